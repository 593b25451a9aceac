"""Workers that are killed while they handle messages: nothing that was taken is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from reception import Desk
from senders import body_of, standard

from factories import SECRET, open_shop
from process import ServerProcess
from storeroom.database.pool import Database
from storeroom.inbox import SourceChanges
from storeroom.room import Storeroom

WORKER = Path(__file__).with_name("worker.py")
PATHS = os.pathsep.join([str(WORKER.parent), str(WORKER.parents[1])])


@asynccontextmanager
async def working(dsn: str, count: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    running = [await start(dsn) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def start(dsn: str) -> asyncio.subprocess.Process:
    path = os.pathsep.join([PATHS, os.environ.get("PYTHONPATH", "")])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        dsn,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@asynccontextmanager
async def desk_of(dsn: str) -> AsyncIterator[Desk]:
    async with await Database.open(dsn) as db:
        room = Storeroom(db, secret=SECRET)
        desk = Desk(room, await open_shop(room))
        await desk.source()
        yield desk


async def until(desk: Desk, sql: str, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await desk.one(sql):
            await asyncio.sleep(0.05)


@pytest.mark.requirement("SBB-WIN-02", "SBB-WIN-05", "SBB-WIN-10")
async def test_workers_killed_in_the_middle_lose_nothing_and_repeat_nothing(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    """Two workers over 80 messages, killed at random; and one message that every worker dies of."""
    dsn = await fresh_database()
    async with desk_of(dsn) as desk, working(dsn, 2) as running:
        # A message may lose its worker, or its lease on a busy machine, more often than anyone is killed here.
        await desk.shop.webhook_sources.update(code="epicor_propello", changes=SourceChanges(max_attempts=20))
        sent = [await desk.take(body_of(n=n)) for n in range(80)]
        for kill in range(1, 3):
            await until(
                desk,
                f"SELECT count(*) >= {kill * 25} FROM {{webhooks_inbox}} WHERE tenant_id = $1 AND status = 'completed'",
            )
            await asyncio.sleep(random.random() / 20)  # any moment will do
            victim = random.randrange(len(running))
            running[victim].kill()
            await running[victim].wait()
            running[victim] = await start(dsn)
        await until(desk, "SELECT count(*) = 80 FROM {webhooks_inbox} WHERE tenant_id = $1 AND status = 'completed'")
        assert await desk.applied() == len(sent)
        by_message = "SELECT count(DISTINCT payload ->> 'of') FROM {webhook_queue} WHERE tenant_id = $1"
        assert await desk.one(by_message) == len(sent)


@pytest.mark.requirement("SBB-WIN-05")
async def test_a_message_of_which_every_worker_dies_is_given_up(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    dsn = await fresh_database()
    async with desk_of(dsn) as desk, working(dsn, 1) as running:
        await desk.shop.webhook_sources.update(code="epicor_propello", changes=SourceChanges(max_attempts=2))
        poison = await desk.take(body_of(deadly=True))
        for attempt in (1, 2):
            reading = running[0].stdout
            assert reading is not None
            async with asyncio.timeout(30):
                assert await reading.readline() == f"in {poison}\n".encode()
            running[0].kill()  # its effect is written, and not committed
            await running[0].wait()
            held = await desk.entry(poison)
            assert (held.status, held.attempts) == ("processing", attempt)
            running[0] = await start(dsn)
        await until(desk, "SELECT count(*) FROM {webhooks_inbox} WHERE tenant_id = $1 AND status = 'failed'")
        after = await desk.take(body_of())
        await until(desk, "SELECT count(*) FROM {webhooks_inbox} WHERE tenant_id = $1 AND status = 'completed'")
        assert (await desk.entry(poison)).error_message == "the worker that handled it went away"
        assert (await desk.entry(after)).attempts == 1
        assert await desk.applied() == 1


@pytest.mark.requirement("SBB-WIN-10")
async def test_one_event_delivered_three_times_at_once_is_applied_once(
    fresh_database: Callable[..., Awaitable[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over real sockets to a real server, with two workers that wait for it."""
    dsn = await fresh_database()
    async with desk_of(dsn) as desk, serving(dsn, tmp_path_factory.mktemp("serve")) as url, working(dsn, 2):
        body = body_of()
        async with httpx.AsyncClient() as http:
            path = f"{url}/v1/webhooks/{desk.shop.tenant_id}/epicor_propello"
            answers = await asyncio.gather(
                *(http.post(path, content=body, headers=standard(body, id="msg_once")) for _ in range(3))
            )
            assert sorted(each.status_code for each in answers) == [200, 200, 202]
            await until(desk, "SELECT count(*) FROM {webhooks_inbox} WHERE tenant_id = $1 AND status = 'completed'")
            late = await http.post(path, content=body, headers=standard(body, id="msg_once"))
            assert late.status_code == 200
            forged = await http.post(path, content=body + b" ", headers=standard(body))
            assert forged.status_code == 401
        assert await desk.applied() == 1
        states = await desk.one(
            "SELECT string_agg(status::text, ' ' ORDER BY status) FROM {webhooks_inbox} WHERE tenant_id = $1"
        )
        assert states == "completed failed"


@asynccontextmanager
async def serving(dsn: str, folder: Path) -> AsyncIterator[str]:

    server = ServerProcess(
        folder, STOREROOM_DATABASE_URL=dsn, STOREROOM_SECRET=SECRET, STOREROOM_WORKER="off", STOREROOM_PROCESSES="1"
    )
    await asyncio.to_thread(server.start)
    try:
        yield server.url
    finally:
        await asyncio.to_thread(server.stop)
