"""`storeroom worker` as a process of its own: ended by SIGTERM, and killed in the middle of its work."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import mapped
from storeroom.core.ids import OrderId
from storeroom.database.pool import Transaction
from storeroom.doctor import examine
from storeroom.flows.model import Purchase, PurchaseLine
from storeroom.identity import UserStatus
from storeroom.orders import OrderStatus
from storeroom.room import Shop, Storeroom
from storeroom.seeding import Environment, plant
from storeroom.settings import Settings
from storeroom.timetable import Timetable
from storeroom.worker import Worker, work
from storeroom.worker.schedule import asking, asking_sap, schedule

DEADLINE_S = 90.0


@pytest.fixture
async def dsn_of_its_own(fresh_database: Callable[..., Awaitable[str]]) -> str:
    return await fresh_database()


@pytest.fixture
async def room(dsn_of_its_own: str) -> AsyncIterator[Storeroom]:
    async with Storeroom.open(dsn_of_its_own) as opened:
        await plant(opened, Environment.DEVELOPMENT)
        yield opened


@asynccontextmanager
async def worker_process(dsn: str) -> AsyncIterator[Process]:
    """A worker that has begun to work; killed at the end, if it still lives."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STOREROOM_")} | {
        "STOREROOM_DATABASE_URL": dsn,
        **mapped.environment(),
    }
    main = "from storeroom.cli import main; main()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", main, "worker", stderr=PIPE, env=environment)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while b"working" not in (line := await process.stderr.readline()):
                assert line, "the worker ended before it worked"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def an_order_nobody_paid(room: Storeroom) -> OrderId:
    purchase = Purchase(
        lines=[PurchaseLine(sku="GUIDE-PDF"), PurchaseLine(sku="BUNDLE-MORNING", quantity=2)],
        email="ada@example.com",
        name="Ada",
        shipping_address=await an_address(room.tenant()),
        payment_method="zelle",
    )
    order = (await room.tenant().checkout.place(purchase)).order
    for sql in (
        "UPDATE {payments} SET expires_at = now() - interval '1 day' WHERE tenant_id = 'default' AND order_id = $1",
        "UPDATE {orders} SET payment_due_at = now() - interval '1 minute' WHERE tenant_id = 'default' AND id = $1",
    ):
        await room.db.execute(room.db.names.render(sql), order.id)
    return order.id


async def an_address(shop: Shop) -> Any:
    ada = await shop.users.by_email(email="ada@example.com")
    assert ada.status is UserStatus.ACTIVE
    return (await shop.addresses.list(user_id=ada.id))[0].address


async def test_after_days_of_downtime_the_schedule_is_remembered(room: Storeroom) -> None:
    """The workers of one process come back one after the other, and none takes the others' rows for nobody's."""
    jobs = (*schedule(Settings(), room.token_keys), *asking(room.token_keys, room.courier))
    every = {job.name: job.every for job in (*jobs, *asking_sap(room.token_keys, room.courier))}
    await Timetable(room.db, every=every, wait_max=timedelta(0)).register()
    run = room.db.names.render
    await room.db.execute(run("UPDATE {scheduled_jobs} SET due_at = now() - interval '3 days', runs = 1000"))
    stop = asyncio.Event()
    working = asyncio.create_task(work(room, stop))
    late = run("SELECT count(*) FROM {scheduled_jobs} WHERE due_at < now() - interval '1 day'")
    try:
        await until(lambda: is_none(room.db.fetchval(late)))
    finally:
        stop.set()
        await working
    remembered = await room.db.fetch(run("SELECT name FROM {scheduled_jobs} WHERE runs >= 1000"))
    assert {row["name"] for row in remembered} == set(every)


async def is_none(count: Awaitable[int]) -> bool:
    return await count == 0


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await ask():
            await asyncio.sleep(0.01)


async def test_sigterm_ends_it_cleanly(room: Storeroom, dsn_of_its_own: str) -> None:
    shop = room.tenant()
    async with worker_process(dsn_of_its_own) as process:
        order_id = await an_order_nobody_paid(room)

        async def cancelled() -> bool:
            return (await shop.orders.get(order_id=order_id)).status is OrderStatus.CANCELLED

        await until(cancelled)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
    bundle = await shop.products.variant_by_sku(sku="BUNDLE-MORNING")
    assert (bundle.on_hand, bundle.reserved) == (15, 0)


async def test_what_a_killed_worker_had_claimed_is_free_again(room: Storeroom, dsn_of_its_own: str) -> None:
    """The worker is killed while it holds an order and waits for its stock: nothing of it happened, and another does it."""
    shop = room.tenant()
    bundle = await shop.products.variant_by_sku(sku="BUNDLE-MORNING")
    order_id = await an_order_nobody_paid(room)
    async with room.db.transaction() as tx:
        stock = "SELECT 1 FROM {stock_levels} WHERE tenant_id = 'default' AND variant_id = $1 FOR UPDATE"
        await tx.fetchval(room.db.names.render(stock), bundle.id)
        pid = await tx.fetchval("SELECT pg_backend_pid()")
        async with worker_process(dsn_of_its_own) as process:
            await until(lambda: _blocks_somebody(room, pid))
            assert not await _can_be_claimed(room, order_id)
            process.kill()
            await process.wait()
    await until(lambda: _can_be_claimed(room, order_id))  # its session ends once it has no lock to wait for

    assert (await shop.orders.get(order_id=order_id)).status is OrderStatus.PENDING_PAYMENT
    soon = timedelta(seconds=3)  # the dead one is believed to live no longer than that
    outcomes = {outcome.job: outcome for outcome in await Worker(room.db, lease=soon).run_once()}
    assert outcomes["flows.cancel_unpaid"].rows == 1
    assert (await shop.orders.get(order_id=order_id)).status is OrderStatus.CANCELLED
    after = await shop.products.variant_by_sku(sku="BUNDLE-MORNING")
    assert (after.on_hand, after.reserved) == (15, 0)
    assert [result.name for result in await examine(room.db) if result.broken] == []


async def _blocks_somebody(room: Storeroom, pid: int) -> bool:
    blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))"
    return bool(await room.db.fetchval(blocked, pid))


async def _can_be_claimed(room: Storeroom, order_id: OrderId) -> bool:
    """As a worker would claim it; the lock is given back at once."""

    async def claim(tx: Transaction) -> bool:
        free = "SELECT 1 FROM {orders} WHERE tenant_id = 'default' AND id = $1 FOR NO KEY UPDATE SKIP LOCKED"
        return await tx.fetchval(room.db.names.render(free), order_id) is not None

    return await room.db.run(claim)
