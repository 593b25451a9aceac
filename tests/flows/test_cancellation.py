"""An order ends: its units are free, and nothing more is asked for it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from desk import STAFF, Desk
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import Context
from storeroom.flows.cancellation import Cancellation, cancel_unpaid
from storeroom.orders import Order, OrderMoveRefused, OrderStatus
from storeroom.tenants import Tenants


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database)


async def open_desk(database: Database) -> Desk:
    tenants, tenant_id = Tenants(database), f"t_{secrets.token_hex(6)}"
    await tenants.create(tenant_id, name="A shop", currency="USD")
    return Desk(
        database,
        tenant_id,
        Context(db=database, tenant_id=TenantId(tenant_id), tenants=tenants.cache, actor=STAFF),
    )


async def payments_of(desk: Desk, order: Order) -> dict[str, str]:
    rows = await desk.rows("SELECT id, status FROM {payments} WHERE tenant_id = $1 AND order_id = $2", order.id)
    return dict(rows)  # type: ignore[arg-type]


@pytest.mark.requirement("SBB-OVP-04", "SBB-OVP-06")
async def test_pending_payments_end_with_the_order_and_claimed_ones_stay(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order, other = await desk.place((variant, 2)), await desk.place((variant, 1))
    pending = [await desk.pay(order, 1000, status="pending") for _ in range(2)]
    claimed = await desk.pay(order, 2000, status="awaiting_verification")
    untouched = await desk.pay(other, 1000, status="pending")
    cancelled = await Cancellation(desk.context).cancel(order_id=order.id, reason="sold twice")
    assert cancelled.status is OrderStatus.CANCELLED
    assert await desk.stock(variant) == (5, 1)
    assert await payments_of(desk, order) == {
        pending[0]: "cancelled",
        pending[1]: "cancelled",
        claimed: "awaiting_verification",
    }
    assert await payments_of(desk, other) == {untouched: "pending"}


async def test_what_cannot_be_cancelled_keeps_its_payments(desk: Desk) -> None:
    order = await desk.placed_in(OrderStatus.SHIPPED)
    payment = await desk.pay(order, 1000, status="pending")
    with pytest.raises(OrderMoveRefused):
        await Cancellation(desk.context).cancel(order_id=order.id, reason="too late")
    assert await payments_of(desk, order) == {payment: "pending"}


async def test_the_worker_closes_what_was_asked_for_unpaid_orders(
    fresh_database: Callable[[], Awaitable[str]],
) -> None:
    """In a database without the orders that other tests left unpaid."""
    async with await Database.open(await fresh_database()) as db:
        await closed_once(await open_desk(db))


async def closed_once(desk: Desk) -> None:
    orders = [await desk.place(customer_email=f"b{i}@buyer.example") for i in range(4)]
    payments = [await desk.pay(order, 1000, status="pending", expires_in=timedelta(minutes=-1)) for order in orders]
    await desk.run("UPDATE {orders} SET payment_due_at = now() - interval '1 second' WHERE tenant_id = $1")
    done = await asyncio.gather(*(cancel_unpaid(desk.db) for _ in range(2)))
    assert sum(done) == 4
    for order, payment in zip(orders, payments, strict=True):
        assert (await desk.orders.get(order_id=order.id)).status is OrderStatus.CANCELLED
        assert await payments_of(desk, order) == {payment: "cancelled"}
