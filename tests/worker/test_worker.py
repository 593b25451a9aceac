"""The worker runs what the slices offer, each job until nothing is due, whatever becomes of the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from storeroom.analytics.jobs import make_partitions
from storeroom.audit.jobs import make_months
from storeroom.carts import Visitor
from storeroom.core.ids import UserId, new_id
from storeroom.database.errors import DatabaseBusy
from storeroom.database.pool import Database
from storeroom.doctor import examine
from storeroom.flows.model import Purchase, PurchaseLine
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus
from storeroom.room import Shop, Storeroom
from storeroom.seeding import Environment, plant, seed_id
from storeroom.subscriptions import BillingPeriod, SubscriptionPayment
from storeroom.worker import SCHEDULE, Job, Outcome, Worker

DEADLINE_S = 60.0
ADA = UserId(seed_id("default", "users", "usr_ada"))


@pytest.fixture
async def room(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Storeroom]:
    """A database of the test's own with the demonstration shop: jobs look at all tenants."""
    async with Storeroom.open(await fresh_database()) as opened:
        await plant(opened, Environment.DEVELOPMENT)
        yield opened


async def run(room: Storeroom, sql: str, *args: object) -> str:
    return await room.db.execute(room.db.names.render(sql), "default", *args)


async def one(room: Storeroom, sql: str, *args: object) -> Any:
    return await room.db.fetchval(room.db.names.render(sql), "default", *args)


async def forget_a_month(room: Storeroom, *tables: str) -> None:
    """As the owner: the service makes partitions by a function only, and drops none."""
    owner = await asyncpg.connect(room.db.direct_dsn)
    try:
        for table in tables:
            last = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = $1::text::regclass"
            await owner.execute(f"DROP TABLE {await owner.fetchval(last, table)}")
    finally:
        await owner.close()


async def order_of(shop: Shop, sku: str, units: int = 1) -> Any:
    purchase = Purchase(
        lines=[PurchaseLine(sku=sku, quantity=units)],
        email="ada@example.com",
        name="Ada",
        shipping_address=(await shop.addresses.list(user_id=ADA))[0].address,
        payment_method="zelle",
    )
    return (await shop.checkout.place(purchase)).order


async def let_the_window_pass(room: Storeroom, order_id: object) -> None:
    """Date an order and its payment back: nobody paid in time."""
    await run(
        room,
        "UPDATE {payments} SET expires_at = now() - interval '1 day' WHERE tenant_id = $1 AND order_id = $2",
        order_id,
    )
    await run(
        room,
        "UPDATE {orders} SET payment_due_at = now() - interval '1 minute' WHERE tenant_id = $1 AND id = $2",
        order_id,
    )


def rows(outcomes: list[Outcome]) -> dict[str, int]:
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return {outcome.job: outcome.rows for outcome in outcomes}


async def test_an_order_that_nobody_paid_is_cancelled_and_its_units_are_free(room: Storeroom) -> None:
    shop = room.tenant()
    before = await shop.products.variant_by_sku(sku="BEANIE")
    order = await order_of(shop, "BEANIE", 3)
    waiting = await order_of(shop, "BEANIE", 2)
    await let_the_window_pass(room, order.id)

    done = rows(await Worker(room.db).run_once())

    assert (done["payments.expire_payments"], done["flows.cancel_unpaid"]) == (1, 1)
    assert (await shop.orders.get(order_id=order.id)).status is OrderStatus.CANCELLED
    assert [p.status for p in await shop.payments.for_order(order_id=order.id)] == [PaymentStatus.EXPIRED]
    assert (await shop.orders.get(order_id=waiting.id)).status is OrderStatus.PENDING_PAYMENT
    after = await shop.products.variant_by_sku(sku="BEANIE")
    assert (after.on_hand, after.reserved) == (before.on_hand, before.reserved + 2)
    assert [result.name for result in await examine(room.db) if result.broken] == []


@pytest.mark.requirement("SBB-SES-10", "SBB-BAT-08", "SBB-CART-13")
async def test_every_job_of_the_schedule_finds_its_work(room: Storeroom) -> None:
    """One thing due for each; a job that is not wired, or looks at the wrong rows, leaves a zero."""
    shop = room.tenant()
    kettle = await shop.products.variant_by_sku(sku="KETTLE-1L")
    cart = await shop.carts.create(visitor=Visitor(user_id=ADA))
    await shop.inventory.reserve(variant_id=kettle.id, quantity=1)
    overdue = await order_of(shop, "NOTE-LINED")
    await let_the_window_pass(room, overdue.id)
    leaving = UserId(new_id())
    for sql in (
        "INSERT INTO {users} (tenant_id, id, email, status) VALUES ($1, $2, 'left@buyer.example', 'active')",
        "INSERT INTO {user_profiles} (tenant_id, id, user_id, marketing_consent) VALUES ($1, $2, $2, TRUE)",
    ):
        await run(room, sql, leaving)
    left = await shop.carts.create(visitor=Visitor(user_id=leaving))
    await shop.carts.add(cart_id=left.id, variant_id=kettle.id)
    await run(
        room, "UPDATE {carts} SET updated_at = now() - interval '3 hours' WHERE tenant_id = $1 AND id = $2", left.id
    )
    await shop.subscriptions.create(
        product_id=kettle.product_id,
        user_id=ADA,
        payment_method=SubscriptionPayment.MANUAL,
        billing_period=BillingPeriod.MONTH,
        starts_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    old, ended = (await shop.sessions.guest())[0], (await shop.sessions.guest())[0]
    for sql, *arguments in (
        ("UPDATE {inventory_reservations} SET expires_at = now() - interval '1 s' WHERE tenant_id = $1",),
        ("UPDATE {carts} SET updated_at = now() - interval '8 days' WHERE tenant_id = $1 AND id = $2", cart.id),
        (
            (
                "UPDATE {product_batches} SET manufactured_at = '2020-01-01', expires_at = '2021-01-01' "
                "WHERE tenant_id = $1 AND batch_number = 'BPC-2604-B'"
            ),
        ),
        ("UPDATE {auth_sessions} SET expires_at = now() - interval '1 day' WHERE tenant_id = $1 AND id = $2", old.id),
        (
            (
                "INSERT INTO {admin_nonces} (tenant_id, id, purpose, created_at, expires_at) "
                "VALUES ($1, 'n-1', 'approve-refund', now() - interval '2 s', now() - interval '1 s')"
            ),
        ),
        (
            (
                "INSERT INTO {refund_quotes} (tenant_id, id, original_purchase_id, recipient_wallet, amount, amount_asset, "
                "token, token_decimals, expires_at) "
                "VALUES ($1, 'rq-1', 'sig-1', '7xKX', 1, 'SOL', 'SOL', 9, now() - interval '2 days')"
            ),
        ),
        (
            (
                "UPDATE {auth_sessions} SET status = 'expired', expires_at = now() - interval '1 year' "
                "WHERE tenant_id = $1 AND id = $2"
            ),
            ended.id,
        ),
        (
            (
                "INSERT INTO {cart_quotes} (tenant_id, id, items, total_amount, total_asset, expires_at) "
                "VALUES ($1, 'lapsed', '[1]', 1, 'USDC', now() - interval '2 days')"
            ),
        ),
        (
            (
                "INSERT INTO {idempotency_keys} (tenant_id, scope, key, request_fingerprint, claim, expires_at) "
                "VALUES ($1, 's', 'k', 'f', $2, now() - interval '1 day')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {rate_counters} (tenant_id, bucket, window_at) "
                "VALUES ($1, 'sign_in', now() - interval '9 days')"
            ),
        ),
        (
            (
                "INSERT INTO {account_tokens} (tenant_id, id, purpose, token_hash, expires_at) "
                "VALUES ($1, $2, 'sign_in_nonce', 'h', now() - interval '9 days')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {otp_sessions} (tenant_id, id, session_id, phone, otp_hash, expires_at) "
                "VALUES ($1, $2, $2, '15125550123', '$2b$04$' || repeat('x', 53), now() - interval '9 days')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, status, completed_at) "
                "VALUES ($1, $2, 'webhooks', 'order.told', '{}', 'success', now() - interval '9 days')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {erp_connections} (tenant_id, code, base_url, auth) "
                "VALUES ($1, 'epicor_propello', 'https://erp.example', 'none')"
            ),
        ),
        (
            (
                "INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, status, claim, lease_until) "
                "VALUES ($1, $2, 'url:gone', 'order.told', '{}', 'processing', $2, now() - interval '1 s')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {webhooks_inbox} (tenant_id, id, source, webhook_type, status, headers, payload, signature_valid, "
                "processed_at, received_at) "
                "VALUES ($1, $2, 'erp', 'x', 'completed', '{}', '{}', TRUE, now(), now() - interval '40 days')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {webhooks_inbox} (tenant_id, id, source, webhook_type, status, headers, payload, signature_valid, "
                "claim, lease_until) VALUES ($1, $2, 'erp', 'x', 'processing', '{}', '{}', TRUE, $2, now() - interval '1 s')"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {downloads} (tenant_id, order_item_id, order_id, downloads_max, expires_at, mail, notice_id) "
                "SELECT tenant_id, id, order_id, 5, now(), 'queued', $2 FROM {order_items} WHERE tenant_id = $1 "
                "ORDER BY id LIMIT 1"
            ),
            new_id(),
        ),
        (
            (
                "INSERT INTO {source_records} (tenant_id, source, kind, external_id, waits_for, updated_at) "
                "VALUES ($1, 'vendure', 'address', '21', 'customer 7', now() - interval '1 hour')"
            ),
        ),
    ):
        assert await run(room, sql, *arguments) in {"UPDATE 1", "INSERT 0 1"}
    while await make_months(room.db) + await make_partitions(room.db, limit=12):
        pass  # a month may have begun since the database was made
    await forget_a_month(room, "audit_logs", "events")

    done = rows(await Worker(room.db).run_once())

    waiting = "SELECT count(*) FROM {webhook_queue} WHERE tenant_id = $1 AND destination = 'epicor_propello'"
    assert done["erp.queue_unsynced"] == await one(room, waiting) > 1
    many = {"orders.fill_search", "audit.seal", "erp.queue_unsynced"}
    assert {job: count for job, count in done.items() if job not in many} == dict.fromkeys(
        [job.name for job in SCHEDULE if job.name not in many], 1
    )
    assert done["audit.seal"] == await one(room, "SELECT count(*) FROM {audit_logs} WHERE tenant_id = $1") > 0
    told = await shop.audit.list(limit=100)
    jobs = {"abandon_carts", "cancel_unpaid", "expire_payments", "expire_reservations"}
    assert {(entry.action, len(entry.new_values or {})) for entry in told.items if entry.user_email in jobs} == {
        ("carts.abandon", 1),
        ("inventory.expire_reservations", 1),
        ("orders.cancel_unpaid", 0),
        ("payments.expire", 0),
    }
    assert done["orders.fill_search"] == await one(room, "SELECT count(*) FROM {orders} WHERE tenant_id = $1")
    assert [found.order_number for found in await shop.orders.search(text=overdue.number[1:])] == [overdue.number]
    assert (await shop.products.by_slug(slug="bpc-157-reference-standard")).current_batch_number == "BPC-2601-A"
    assert rows(await Worker(room.db).run_once()) == dict.fromkeys([job.name for job in SCHEDULE], 0)


async def test_it_works_until_it_is_told_to_stop(room: Storeroom) -> None:
    """An order placed while it runs can be found by part of its number a moment later."""
    stop, shop = asyncio.Event(), room.tenant()
    working = asyncio.create_task(Worker(room.db).run(stop))
    order = await order_of(shop, "BEANIE")
    async with asyncio.timeout(DEADLINE_S):
        while not await shop.orders.search(text=order.number[1:]):
            await asyncio.sleep(0.01)
        assert not working.done()
        stop.set()
        await working


async def test_two_workers_at_once_do_each_thing_once(room: Storeroom) -> None:
    shop = room.tenant()
    orders = [await order_of(shop, "NOTE-DOTTED") for _ in range(20)]
    for order in orders:
        await let_the_window_pass(room, order.id)
    pen = await shop.products.variant_by_sku(sku="NOTE-LINED")
    for _ in range(40):
        await shop.inventory.reserve(variant_id=pen.id, quantity=1)
    await run(room, "UPDATE {inventory_reservations} SET expires_at = now() - interval '1 s' WHERE tenant_id = $1")

    both = await asyncio.gather(*(Worker(room.db).run_once() for _ in range(2)))

    first, second = (rows(outcomes) for outcomes in both)
    assert first["flows.cancel_unpaid"] + second["flows.cancel_unpaid"] == 20
    assert first["payments.expire_payments"] + second["payments.expire_payments"] == 20
    assert first["inventory.expire_reservations"] + second["inventory.expire_reservations"] == 40
    for order in orders:
        assert [c.to_status for c in await shop.orders.history(order_id=order.id)] == ["cancelled", "pending_payment"]
    assert (await shop.products.variant_by_sku(sku="NOTE-LINED")).reserved == pen.reserved
    assert [result.name for result in await examine(room.db) if result.broken] == []


async def test_what_another_worker_has_in_hand_is_left_to_it(room: Storeroom) -> None:
    """Claims skip what is locked: a second worker neither waits for the first nor does its work again."""
    shop = room.tenant()
    held, free = await order_of(shop, "NOTE-DOTTED"), await order_of(shop, "NOTE-DOTTED")
    for order in (held, free):
        await let_the_window_pass(room, order.id)
    async with room.db.transaction() as other:
        claim = "SELECT 1 FROM {orders} WHERE tenant_id = 'default' AND id = $1 FOR NO KEY UPDATE"
        await other.fetchval(room.db.names.render(claim), held.id)
        async with asyncio.timeout(DEADLINE_S):
            done = rows(await Worker(room.db).run_once())
        assert done["flows.cancel_unpaid"] == 1
        assert (await shop.orders.get(order_id=free.id)).status is OrderStatus.CANCELLED
        assert (await shop.orders.get(order_id=held.id)).status is OrderStatus.PENDING_PAYMENT
    assert rows(await Worker(room.db).run_once())["flows.cancel_unpaid"] == 1


# --- The runner itself, with jobs that say what they do -----------------------------------------------------------------


@pytest.fixture(autouse=True)
async def _no_run_before(database: Database) -> None:
    """The jobs below are of each test; the timetable would remember them."""
    await database.execute("DELETE FROM scheduled_jobs")


def job(name: str, run: Any, *, every: timedelta = timedelta(milliseconds=100), limit: int = 10) -> Job:
    return Job(name=name, every=every, run=run, limit=limit)


class Pile:
    """So many things to do."""

    def __init__(self, things: int) -> None:
        self.things, self.batches = things, list[int]()
        self.empty = asyncio.Event()

    async def __call__(self, db: Database, /, *, limit: int) -> int:
        done = min(limit, self.things)
        self.things -= done
        self.batches.append(done)
        if not self.things:
            self.empty.set()
        return done


async def test_a_job_is_drained_in_batches_and_others_get_their_turn(database: Database) -> None:
    """Full batches follow each other; after BATCHES_MAX of them it is another job's turn."""
    large, small = Pile(1_000), Pile(3)
    outcomes = await Worker(database, schedule=[job("large", large, limit=10), job("small", small)]).run_once()
    assert [(o.job, o.rows, o.error) for o in outcomes] == [("large", 200, None), ("small", 3, None)]
    assert small.batches == [3]

    stop = asyncio.Event()
    large, small = Pile(1_000), Pile(25)
    slow = timedelta(hours=1)  # what is left is not left for an hour
    worker = Worker(database, schedule=[job("larger", large, every=slow), job("smaller", small, every=slow)])
    working = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(DEADLINE_S):
        await large.empty.wait()
        stop.set()
        await working
    assert sum(large.batches) == 1_000
    assert [batch for batch in small.batches if batch] == [10, 10, 5]  # its hour may strike meanwhile


async def test_an_error_is_counted_and_the_others_go_on(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    tries = list[float]()
    enough, pile = asyncio.Event(), Pile(5)

    async def broken(db: Database, /, *, limit: int) -> int:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 4:
            enough.set()
        if len(tries) % 2:
            raise DatabaseBusy(waited_s=1, pool_size=1)
        raise ZeroDivisionError("a fault of ours")

    registry, stop = CollectorRegistry(), asyncio.Event()
    worker = Worker(database, schedule=[job("broken", broken), job("pile", pile)], registry=registry)
    with caplog.at_level(logging.ERROR):
        working = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(DEADLINE_S):
            await enough.wait()
            await pile.empty.wait()
            stop.set()
            await working

    assert registry.get_sample_value("storeroom_job_failures_total", {"job": "broken"}) == 4
    assert registry.get_sample_value("storeroom_job_rows_total", {"job": "pile"}) == 5
    assert registry.get_sample_value("storeroom_job_failures_total", {"job": "pile"}) is None
    assert (registry.get_sample_value("storeroom_job_last_success_timestamp_seconds", {"job": "pile"}) or 0) > 1e9
    assert registry.get_sample_value("storeroom_job_last_success_timestamp_seconds", {"job": "broken"}) is None
    known, unknown, *_ = [record for record in caplog.records if record.name.startswith("storeroom.worker")]
    assert "database.busy" in known.getMessage()
    assert known.exc_info is None
    assert unknown.exc_info is not None
    assert tries[3] - tries[0] >= 0.2 + 0.4 + 0.8  # twice as long each time


async def test_the_batch_at_hand_is_finished_and_no_other_begun(database: Database) -> None:
    stop, started, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finished = list[int]()

    async def long(db: Database, /, *, limit: int) -> int:
        started.set()
        await go_on.wait()
        finished.append(limit)
        return limit

    never = Pile(1)
    working = asyncio.create_task(Worker(database, schedule=[job("long", long), job("never", never)]).run(stop))
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        stop.set()
        go_on.set()
        await working
    assert (finished, never.batches) == ([10], [])


@pytest.mark.parametrize(("every", "limit"), [(timedelta(0), 1), (timedelta(days=2), 1), (timedelta(seconds=1), 0)])
def test_a_job_without_bounds_is_refused(every: timedelta, limit: int) -> None:
    with pytest.raises(ValueError, match="every"):
        job("wild", Pile(0), every=every, limit=limit)


def test_the_schedule_names_each_job_once() -> None:
    names = [scheduled.name for scheduled in SCHEDULE]
    assert len(set(names)) == len(names)
