"""Workers that are killed at random moments, and a database that goes away: nothing promised is lost."""

import asyncio
import contextlib
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from factories import SECRET, open_shop
from receiver import receiving
from storeroom.database.pool import Database
from storeroom.room import Storeroom

SENDER = Path(__file__).with_name("sender.py")
EVENTS = 1_000
EVENTS_LONG = 10_000
SOON_S = 2  # a lease that need not be waited for long
LATE_S = 60  # one that does not end during a test


@asynccontextmanager
async def workers(dsn: str, count: int, lease_s: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    running = [await start(dsn, lease_s) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def start(dsn: str, lease_s: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SENDER), dsn, SECRET, str(lease_s), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def survive(dsn: str, events: int, kills: int) -> None:
    """Three workers, killed one after the other while they send; afterwards every event has arrived."""
    async with await Database.open(dsn) as db, receiving() as receiver:
        shop = await open_shop(Storeroom(db, secret=SECRET))
        await shop.endpoints.create(name="there", url=receiver.url, in_flight_max=32)
        await db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload) "
            "SELECT $1, gen_random_uuid(), 'webhooks', 'order.placed', jsonb_build_object('n', n) "
            "FROM generate_series(1, $2) n",
            shop.tenant_id,
            events,
        )
        async with workers(dsn, 3, SOON_S) as running:
            for kill in range(1, kills + 1):
                await receiver.heard(kill * events // (kills + 2), within_s=120)
                await asyncio.sleep(random.random() / 20)  # any moment will do
                victim = random.randrange(len(running))
                running[victim].kill()
                await running[victim].wait()
                running[victim] = await start(dsn, SOON_S)
            async with asyncio.timeout(120):
                while await db.fetchval("SELECT count(*) FROM webhook_queue WHERE status IN ('pending', 'processing')"):
                    await asyncio.sleep(0.1)
        seen = Counter(request.json["data"]["n"] for request in receiver.requests)
        assert sorted(seen) == list(range(1, events + 1))
        by_id = {request.id: request.json["data"]["n"] for request in receiver.requests}
        assert len(by_id) == events  # whoever got one twice got it under the same id
        states = await db.fetch("SELECT status::text, count(*) FROM webhook_queue GROUP BY 1")
        assert dict(states) == {"success": 2 * events}


@pytest.mark.requirement("CED-WQ-05", "CED-OP-038")
async def test_workers_killed_at_random_lose_nothing(fresh_database: Callable[..., Awaitable[str]]) -> None:
    await survive(await fresh_database(), EVENTS, 4)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_workers_killed_at_random_lose_none_of_ten_thousand(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    await survive(await fresh_database(), EVENTS_LONG, 20)


async def test_control_without_the_leases_end_some_would_stay(fresh_database: Callable[..., Awaitable[str]]) -> None:
    """What a killed worker held stays claimed until a lease ends: the kill above does cut deliveries."""
    dsn = await fresh_database()
    async with await Database.open(dsn) as db, receiving(hang_up) as receiver:
        shop = await open_shop(Storeroom(db, secret=SECRET))
        await shop.endpoints.create(name="there", url=receiver.url)
        await shop.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})
        async with workers(dsn, 1, LATE_S) as running:
            await receiver.heard(1)
            running[0].kill()
            await running[0].wait()
            assert await db.fetchval("SELECT count(*) FROM webhook_queue WHERE status = 'processing'") == 1


async def hang_up(_: object, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_worker_that_is_asked_to_stop_finishes_what_it_sends(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    dsn = await fresh_database()
    may_answer = asyncio.Event()

    async def slow(_: object, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        writer.write(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n")

    async with await Database.open(dsn) as db, receiving(slow) as receiver:
        shop = await open_shop(Storeroom(db, secret=SECRET))
        await shop.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})
        async with workers(dsn, 1, LATE_S) as running:
            await receiver.heard(1)
            running[0].terminate()
            may_answer.set()
            assert await asyncio.wait_for(running[0].wait(), 60) == 0
        assert await db.fetchval("SELECT status::text FROM webhook_queue") == "success"
