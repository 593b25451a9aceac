"""One worker in a process of its own, that can be killed: `python worker.py DSN`. Short leases, so that tests need not wait.

Its handler writes its effect, says so, and waits for the word to go on: it is killed in the middle of its transaction.
"""

import asyncio
import signal
import sys
from datetime import timedelta

from reception import effect

import mapped
from storeroom.database.pool import Database
from storeroom.database.service import Context
from storeroom.inbox import Handled, InboxMessage, InboxProcessor
from storeroom.inbox.jobs import return_lost
from storeroom.room import Storeroom
from storeroom.worker import Job, Worker

mapped.install()  # under the names of the run
LEASE = timedelta(seconds=2)  # longer than a busy machine makes anyone wait between a claim and its handler
LOST = Job(name="inbox.return_lost", every=timedelta(milliseconds=300), run=return_lost, limit=1_000)


async def handle(context: Context, message: InboxMessage) -> Handled:
    done = await effect(context, message)
    if message.payload.get("deadly"):
        print(f"in {message.id}", flush=True)
        await asyncio.Event().wait()
    return done


async def main(dsn: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await Database.open(dsn) as db, asyncio.TaskGroup() as tasks:
        room = Storeroom(db)
        tasks.create_task(Worker(db, schedule=[LOST]).run(stop))
        processor = InboxProcessor(
            db,
            handlers={("epicor_propello", "*"): handle},
            tenants=room.tenants.cache,
            lease=LEASE,
            wait=lambda _: timedelta(),
        )
        tasks.create_task(processor.run(stop))
        print("ready", flush=True)


asyncio.run(main(*sys.argv[1:]))
