"""PostgreSQL is restarted under load, and nobody else is: what was committed is told, and nothing stays claimed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from test_killed import Stream, settle

from factories import SECRET
from market import Market
from process import ServerProcess
from receiver import Receiver, receiving
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.pool import Database
from storeroom.room import Storeroom

BUYERS = 4
ORDERS_BETWEEN = 15
ORDERS_BETWEEN_LONG = 200
DEADLINE_S = 90.0
# Of rows that nobody is at: the worker takes its rows in an order of its own, and two orders would be a deadlock.
DUE = (
    (
        "WITH due AS (SELECT id FROM webhook_queue WHERE status = 'pending' FOR UPDATE SKIP LOCKED) "
        "UPDATE webhook_queue SET next_attempt_at = now() WHERE id IN (SELECT id FROM due)"
    ),
    (
        "WITH due AS (SELECT id FROM webhook_queue WHERE status = 'processing' "
        "AND last_attempt_at < now() - interval '10 s' FOR UPDATE SKIP LOCKED) "
        "UPDATE webhook_queue SET lease_until = now() WHERE id IN (SELECT id FROM due)"
    ),
)
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # what the postmaster understands by them


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="storeroom-restart-"))
    path.chmod(0o755)  # as root, PostgreSQL runs as another user
    yield path
    shutil.rmtree(path)


async def restart(postgres: EmbeddedPostgres, how: signal.Signals) -> None:
    postmaster = int((postgres.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    os.kill(postmaster, how)
    async with asyncio.timeout(DEADLINE_S):
        while psutil.pid_exists(postmaster):
            await asyncio.sleep(0.01)
    await asyncio.to_thread(postgres.start)


async def until_more(stream: Stream, more: int) -> None:
    enough = len(stream.promised) + more
    async with asyncio.timeout(DEADLINE_S):
        while len(stream.promised) < enough:
            await asyncio.sleep(0.01)


async def until_told(db: Database) -> None:
    """Nothing waits, nothing is claimed. What waits for its time is dated, and what nobody heard that he has it."""
    async with asyncio.timeout(DEADLINE_S):
        while await db.fetchval("SELECT count(*) FROM webhook_queue WHERE status IN ('pending', 'processing')"):
            await db.execute("UPDATE webhook_endpoints SET paused_until = NULL")
            for due in DUE:
                await db.execute(due)
            await asyncio.sleep(0.2)


async def survive(restarts: list[signal.Signals], orders: int) -> None:
    with folder() as here:
        postgres = EmbeddedPostgres(here / "postgres", settings={"fsync": "off"})  # the machine itself does not fail
        await asyncio.to_thread(postgres.start)
        postgres.ensure_database("storeroom")
        server = ServerProcess(
            here,
            STOREROOM_DATABASE_URL=postgres.dsn("storeroom"),
            STOREROOM_SECRET=SECRET,
            STOREROOM_PRIVATE_DESTINATIONS="127.0.0.0/8",
        )
        try:
            await asyncio.to_thread(server.start)
            async with await Database.open(postgres.dsn("storeroom")) as db, receiving() as receiver:
                await order_through(restarts, orders, postgres, server, db, receiver)
        finally:
            server.stop()
            postgres.stop()


async def order_through(
    restarts: list[signal.Signals],
    orders: int,
    postgres: EmbeddedPostgres,
    server: ServerProcess,
    db: Database,
    receiver: Receiver,
) -> None:
    market = await Market.open(db, tenant_id="default")
    variant = await market.variant(stock=0, sku="HOT")
    await market.inventory.adjust(variant_id=variant, by=100_000, reason="delivery")
    await Storeroom(db, secret=SECRET).tenant().endpoints.create(name="there", url=receiver.url)
    process, stream = server.process, Stream(server.url, "HOT")
    buyers = [asyncio.create_task(stream.buyer(with_cart=place % 3 == 0)) for place in range(BUYERS)]
    for how in restarts:
        await until_more(stream, orders)
        await restart(postgres, how)
    await until_more(stream, orders)
    stream.stopped.set()
    await asyncio.gather(*buyers)
    await settle(stream, market, db, variant)
    await until_told(db)

    assert server.process is process
    assert process is not None
    assert process.poll() is None
    events = {str(row[0]) for row in await db.fetch("SELECT id FROM webhook_queue WHERE destination = 'webhooks'")}
    assert len(events) >= len(stream.promised)
    assert events <= set(receiver.ids)
    for_us = "SELECT status::text, count(*) FROM webhook_queue WHERE endpoint_id IS NOT NULL GROUP BY 1"
    assert dict(await db.fetch(for_us)) == {"success": len(events)}
    assert await db.fetchval("SELECT count(*) FROM webhook_queue WHERE status <> 'success'") == 0
    before = await db.fetchval("SELECT sum(runs) FROM scheduled_jobs")
    async with asyncio.timeout(DEADLINE_S):  # the schedule goes on
        while await db.fetchval("SELECT sum(runs) FROM scheduled_jobs") <= before:
            await asyncio.sleep(0.05)
    assert await asyncio.to_thread(server.stop) == 0
    assert await db.fetchval("SELECT count(*) FROM scheduled_jobs WHERE claim IS NOT NULL") == 0


@pytest.mark.timeout(480)
async def test_postgresql_restarted_under_load_loses_nothing() -> None:
    await survive([IMMEDIATE, FAST], ORDERS_BETWEEN)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_postgresql_restarted_again_and_again() -> None:
    await survive([FAST, IMMEDIATE] * 5, ORDERS_BETWEEN_LONG)
