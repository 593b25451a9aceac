"""Three workers with one schedule, killed at random: each due time has its run, and never two at once."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from runner import EVERY, LEASE, tick_job

import mapped
from storeroom.database.pool import Database
from storeroom.timetable import grid_origin
from storeroom.worker import Worker

RUNNER = Path(__file__).with_name("runner.py")
JOB = "test.tick"
LATE_MAX = LEASE + timedelta(seconds=10)  # found dead, looked again, and two cores that others use as well


class Workers:
    """Of one nursery: started in a moment, and killed."""

    def __init__(self, nursery: asyncio.subprocess.Process) -> None:
        self._nursery, self._pids = nursery, dict[str, int]()

    async def start(self, who: str) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{who}\n".encode())
        self._pids[who] = int(await asyncio.wait_for(self._nursery.stdout.readline(), 60))

    async def kill(self, who: str) -> None:
        pid = self._pids.pop(who)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while psutil.pid_exists(pid):
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        for who in list(self._pids):
            await self.kill(who)
        self._nursery.kill()
        await self._nursery.wait()


@asynccontextmanager
async def workers(dsn: str) -> AsyncIterator[Workers]:
    made = Workers(
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(RUNNER),
            dsn,
            JOB,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **mapped.environment()},
        )
    )
    try:
        yield made
    finally:
        await made.close()


async def log(dsn: str) -> asyncpg.Connection:
    owner = await asyncpg.connect(dsn)
    await owner.execute(
        "CREATE TABLE ticks (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who TEXT, due TIMESTAMPTZ, "
        "started TIMESTAMPTZ, ended TIMESTAMPTZ, killed TIMESTAMPTZ); GRANT ALL ON ticks TO storeroom_app"
    )
    return owner


async def until_ticks(owner: asyncpg.Connection, count: int) -> None:
    async with asyncio.timeout(60):
        while await owner.fetchval("SELECT count(*) FROM ticks WHERE ended IS NOT NULL") < count:
            await asyncio.sleep(0.02)


async def at_it(owner: asyncpg.Connection) -> str:
    """Who is in the middle of a run; the next one that begins, where nobody is."""
    sql = "SELECT who FROM ticks WHERE ended IS NULL AND killed IS NULL ORDER BY id DESC LIMIT 1"
    async with asyncio.timeout(60):
        while (who := await owner.fetchval(sql)) is None:
            await asyncio.sleep(0.002)
    return str(who)


async def overlaps(owner: asyncpg.Connection) -> int:
    """Pairs of runs that were under way at once. One that was killed was at it until then."""
    count = await owner.fetchval(
        "SELECT count(*) FROM ticks a JOIN ticks b ON b.id > a.id AND b.started < coalesce(a.ended, a.killed)"
    )
    return int(count)


async def kill_at_random(dsn: str, owner: asyncpg.Connection, kills: int, *, seed: int) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with workers(dsn) as running:
        for n in range(3):
            await running.start(f"w{n}")
        for kill in range(1, kills + 1):
            await until_ticks(owner, 4 * kill)
            await asyncio.sleep(chance.random() * EVERY.total_seconds())  # any moment will do
            victim = f"w{chance.randrange(3)}"
            if kill % 2:
                victim = await at_it(owner)
            await running.kill(victim)
            await owner.execute(
                "UPDATE ticks SET killed = clock_timestamp() WHERE who = $1 AND ended IS NULL AND killed IS NULL",
                victim,
            )
            await running.start(victim)
        await until_ticks(owner, 4 * kills + 4)
    assert await overlaps(owner) == 0
    check_coverage(await owner.fetch("SELECT due, started, ended FROM ticks ORDER BY started"))


def check_coverage(runs: list[Any]) -> None:
    """Each point of the grid has a whole run that began then or soon after, and no stretch between two has two."""
    origin = grid_origin(JOB, EVERY)

    def stretch(at: datetime) -> int:
        return (at - origin) // EVERY

    whole = [run["due"] for run in runs if run["ended"] is not None]
    late = [
        next(began for began in whole if began >= point) - point
        for place in range(stretch(whole[0]) + 1, stretch(whole[-1]) + 1)
        for point in [origin + place * EVERY]
    ]
    assert len(late) >= 10
    assert max(late) < LATE_MAX
    # In quiet times the run of a due time begins before the next one.
    assert sum(each < EVERY for each in late) >= len(whole) // 2
    assert max(Counter(stretch(run["due"]) for run in runs).values()) == 1


async def test_three_workers_killed_at_random_keep_the_schedule(fresh_database: Callable[..., Awaitable[str]]) -> None:
    dsn = await fresh_database()
    owner = await log(dsn)
    await kill_at_random(dsn, owner, 2, seed=random.randrange(10**6))
    await owner.close()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_many_kills(fresh_database: Callable[..., Awaitable[str]]) -> None:
    dsn = await fresh_database()
    owner = await log(dsn)
    await kill_at_random(dsn, owner, 40, seed=random.randrange(10**6))
    assert await owner.fetchval("SELECT count(*) FROM ticks WHERE ended IS NULL") > 5  # cut off in the middle
    await owner.close()


async def test_control_each_by_its_own_clock_they_run_at_once(fresh_database: Callable[..., Awaitable[str]]) -> None:
    """The same workers with a timetable each: the log shows runs at once, so above it would have."""
    dsn = await fresh_database()
    owner, stop = await log(dsn), asyncio.Event()
    async with await Database.open(dsn) as db, asyncio.TaskGroup() as tasks:
        for n in range(3):
            tasks.create_task(Worker(db, schedule=[tick_job(f"w{n}", f"{JOB}.{n}")], lease=LEASE).run(stop))
        async with asyncio.timeout(60):
            while not await overlaps(owner):
                await asyncio.sleep(0.05)
        stop.set()
    await owner.close()
