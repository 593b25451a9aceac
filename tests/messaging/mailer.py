"""One worker in a process of its own, that can be killed: `python mailer.py DSN SECRET PORT`."""

import asyncio
import sys

from storeroom.core.senders import Mailbox, SmtpServer
from storeroom.database.pool import Database
from storeroom.integration import Dispatcher
from storeroom.room import Storeroom
from storeroom.settings import Settings
from storeroom.worker.carriers import carrying


async def main(dsn: str, secret: str, port: str) -> None:
    settings = Settings(
        smtp=SmtpServer.parse(f"smtp://127.0.0.1:{port}"), mail_from=Mailbox.parse("The shop <mail@shop.example>")
    )
    async with await Database.open(dsn) as db:
        room = Storeroom(db, secret=secret)
        async with carrying(room, settings) as (courier, carriers):
            await Dispatcher(db, courier, keys=room.token_keys, carriers=carriers).run_once()


asyncio.run(main(*sys.argv[1:]))
