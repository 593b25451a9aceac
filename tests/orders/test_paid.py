"""What was paid is summed from the payments; a fully paid order moves on."""

from datetime import timedelta

import asyncpg
import pytest

from desk import Desk
from rivals import race
from storeroom.orders import OrderStatus

S = OrderStatus


@pytest.mark.requirement("SBB-ORD-08", "SBB-ORD-09", "SBB-OVP-01", "SBB-OVP-07")
async def test_the_sum_follows_the_payments_and_full_payment_moves_the_order(desk: Desk) -> None:
    order = await desk.place((await desk.variant(price=1000), 1))
    for status in ("pending", "awaiting_verification", "failed", "expired", "cancelled"):
        await desk.pay(order, 1000, status=status)
    assert (await desk.orders.recompute_paid(order_id=order.id)).amount_paid.amount == 0

    await desk.pay(order, 400)
    half = await desk.orders.recompute_paid(order_id=order.id)
    assert (half.status, half.amount_paid.amount, half.amount_due.amount) == (S.PENDING_PAYMENT, 400, 600)
    assert half.paid_at is None

    await desk.pay(order, 600)
    paid = await desk.orders.recompute_paid(order_id=order.id)
    assert (paid.status, paid.amount_paid.amount, paid.amount_due.amount) == (S.PAYMENT_RECEIVED, 1000, 0)
    assert paid.paid_at == paid.status_updated_at
    again = await desk.orders.recompute_paid(order_id=order.id)
    assert (again.status, again.amount_paid, again.paid_at) == (paid.status, paid.amount_paid, paid.paid_at)
    assert await desk.told(order.id) == ["order.payment_received"]

    await desk.run(
        "UPDATE {payments} SET status = 'partially_refunded', refunded_amount = 150 "
        "WHERE tenant_id = $1 AND received_amount = 400"
    )
    less = await desk.orders.recompute_paid(order_id=order.id)
    assert (less.status, less.amount_paid.amount, less.amount_due.amount) == (S.PAYMENT_RECEIVED, 850, 150)
    with pytest.raises(asyncpg.GeneratedAlwaysError):
        await desk.run("UPDATE {orders} SET amount_due = 0 WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-OVP-08")
async def test_two_halves_at_once_make_it_paid_exactly_once(desk: Desk) -> None:
    order = await desk.place((await desk.variant(price=1000), 1))

    async def half(tx: object) -> None:
        here = Desk(tx, desk.tenant_id, desk.context)  # type: ignore[arg-type]
        orders = desk.orders.bound(tx)  # type: ignore[arg-type]
        await orders.lock(order_id=order.id)
        await here.pay(order, 500)
        await orders.recompute_paid(order_id=order.id)

    async def second() -> None:
        async with desk.db.transaction() as tx:
            await half(tx)

    assert await race(desk.db, half, second) is None
    after = await desk.orders.get(order_id=order.id)
    assert (after.status, after.amount_due.amount) == (S.PAYMENT_RECEIVED, 0)
    assert await desk.chain(order.id) == [(None, "pending_payment"), ("pending_payment", "payment_received")]


@pytest.mark.requirement("SBB-OVP-09", "SBB-ORD-09")
async def test_too_much_money_and_money_for_a_cancelled_order_are_due_back(desk: Desk) -> None:
    over, late, exact = [await desk.place((await desk.variant(price=1000), 1)) for _ in range(3)]
    await desk.orders.cancel(order_id=late.id, reason="gone")
    for order, amount in ((over, 1300), (late, 1000), (exact, 1000)):
        await desk.pay(order, amount)
        await desk.orders.recompute_paid(order_id=order.id)
    assert (await desk.orders.get(order_id=late.id)).status is S.CANCELLED
    assert (await desk.orders.get(order_id=over.id)).amount_due.amount == -300
    first = await desk.orders.needing_refund(limit=1)
    rest = await desk.orders.needing_refund(cursor=first.next_cursor)
    assert [(row.id, row.refund_amount.amount) for row in (*first.items, *rest.items)] == [
        (late.id, 1000),
        (over.id, 300),
    ]
    assert rest.next_cursor is None


@pytest.mark.requirement("SBB-ORD-14")
async def test_revenue_by_campaign_is_the_sum_over_its_orders(desk: Desk, other: Desk) -> None:
    shirt = await desk.variant(price=1000, stock=50)
    for units, campaign in ((1, "spring"), (2, "spring"), (3, "summer"), (4, None), (5, "spring")):
        order = await desk.place((shirt, units), utm_campaign=campaign)
    await desk.orders.cancel(order_id=order.id, reason="does not count")
    await other.place(utm_campaign="spring")
    start = order.created_at - timedelta(hours=1)
    found = await desk.orders.revenue_by_campaign(since=start, until=start + timedelta(hours=2))
    assert [(row.utm_campaign, row.orders, row.total_amount.amount) for row in found] == [
        (None, 1, 4000),
        ("spring", 2, 3000),
        ("summer", 1, 3000),
    ]
    assert await desk.orders.revenue_by_campaign(since=start, until=start + timedelta(minutes=1)) == []
