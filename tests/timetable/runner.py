"""Workers in processes of their own, with a job that logs its runs: `python runner.py DSN JOB`.

For each name on its standard input it forks one, which begins to work at once, and prints its pid. The job writes down when it began and when it ended, by the database's clock and in transactions of their own, so that
what it did is known though it is killed in between.
"""

import asyncio
import os
import random
import signal
import sys
from datetime import timedelta

from storeroom.database.pool import Database
from storeroom.settings import Settings
from storeroom.worker import Job, Worker

EVERY = timedelta(milliseconds=500)
LEASE = timedelta(seconds=3)  # longer than a busy machine lets a process stand still


def tick_job(who: str, name: str) -> Job:
    async def tick(db: Database, /, *, limit: int) -> int:
        begun = "SELECT $1, last_started_at, clock_timestamp() FROM {scheduled_jobs} WHERE name = $2 RETURNING id"
        insert = f"INSERT INTO ticks (who, due, started) {db.names.render(begun)}"
        run = await db.fetchval(insert, who, name)
        await asyncio.sleep(random.uniform(0.02, 0.15))  # the work
        await db.execute("UPDATE ticks SET ended = clock_timestamp() WHERE id = $1", run)
        return 0

    return Job(name=name, every=EVERY, run=tick, limit=1)


async def main(dsn: str, who: str, job: str) -> None:
    async with await Database.open(dsn, names=Settings.from_environment().names) as db:
        await Worker(db, schedule=[tick_job(who, job)], lease=LEASE).run(asyncio.Event())


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever was killed is gone
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asyncio.run(main(sys.argv[1], line.strip(), sys.argv[2]))
        print(pid, flush=True)
