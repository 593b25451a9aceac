"""One worker in a process of its own, that can be killed: `python sender.py DSN SECRET LEASE_S`."""

import asyncio
import ipaddress
import signal
import sys
from datetime import timedelta

from storeroom.database.pool import Database
from storeroom.identity import TokenKeys
from storeroom.integration import Courier, Dispatcher
from storeroom.integration.jobs import return_lost
from storeroom.worker import Job, Worker

LOST = Job(name="integration.return_lost", every=timedelta(milliseconds=500), run=return_lost, limit=1_000)


async def main(dsn: str, secret: str, lease_s: str) -> None:
    lease = timedelta(seconds=int(lease_s))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        await Database.open(dsn) as db,
        Courier(allowed=[ipaddress.ip_network("127.0.0.0/8")]) as courier,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(Worker(db, schedule=[LOST]).run(stop))
        tasks.create_task(Dispatcher(db, courier, keys=TokenKeys.of(secret), lease=lease).run(stop))
        print("ready", flush=True)


asyncio.run(main(*sys.argv[1:]))
