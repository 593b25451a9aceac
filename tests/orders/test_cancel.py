"""Cancelling: the units go back, once; and orders whose time to pay is over."""

import asyncio
from datetime import timedelta

import pytest

from desk import Desk
from rivals import race
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.orders import Order, OrderMoveRefused, OrderStatus

S = OrderStatus
OVER = timedelta(minutes=-1)


async def due(desk: Desk, order: Order) -> None:
    """Let the time to pay be over: the order is dated back, the clock stays."""
    await desk.run(
        "UPDATE {orders} SET payment_due_at = now() - interval '1 second' WHERE tenant_id = $1 AND id = $2", order.id
    )


@pytest.mark.requirement("SBB-OVP-06", "SBB-OVP-02", "SBB-OVP-03")
async def test_an_unpaid_order_is_cancelled_without_any_payment(desk: Desk) -> None:
    shirt, cap = await desk.variant(stock=5), await desk.variant(stock=3)
    order = await desk.place((shirt, 2), (cap, 3), (shirt, 1))
    assert (await desk.stock(shirt), await desk.stock(cap)) == ((5, 3), (3, 3))
    cancelled = await desk.orders.cancel(order_id=order.id, reason="changed my mind")
    assert (await desk.stock(shirt), await desk.stock(cap)) == ((5, 0), (3, 0))
    assert cancelled.status is S.CANCELLED
    assert cancelled.cancellation_reason == "changed my mind"
    assert cancelled.cancelled_at == cancelled.status_updated_at
    assert cancelled.amount_paid.is_zero
    lines = await desk.orders.items(order_id=order.id)
    assert [(line.quantity_held, line.quantity_cancelled) for line in lines] == [(0, 2), (0, 3), (0, 1)]
    assert await desk.one("SELECT count(*) FROM {payments} WHERE tenant_id = $1") == 0
    assert await desk.one("SELECT count(*) FROM {stock_movements} WHERE tenant_id = $1") == 0  # nothing left the shelf


async def test_cancelling_twice_gives_back_once(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order, kept = await desk.place((variant, 2)), await desk.place((variant, 1))
    outcome = await race(
        desk.db,
        lambda tx: desk.orders.bound(tx).cancel(order_id=order.id, reason="first"),
        lambda: desk.orders.cancel(order_id=order.id, reason="second"),
    )
    assert isinstance(outcome, OrderMoveRefused)
    assert await desk.stock(variant) == (5, 1)
    assert (await desk.orders.get(order_id=order.id)).cancellation_reason == "first"
    assert (await desk.orders.get(order_id=kept.id)).status is S.PENDING_PAYMENT


async def test_many_cancel_orders_of_the_same_goods_at_once(desk: Desk) -> None:
    """Lines in opposite orders: stock is locked by key, so nobody waits in a circle, and every unit is back."""
    shirt, cap = await desk.variant(stock=20), await desk.variant(stock=20)
    pairs = [[(shirt, 1), (cap, 2)], [(cap, 2), (shirt, 1)]] * 5
    orders = [await desk.place(*pair, customer_email=f"b{i}@buyer.example") for i, pair in enumerate(pairs)]
    await asyncio.gather(*(desk.orders.cancel(order_id=order.id, reason="all") for order in orders))
    assert (await desk.stock(shirt), await desk.stock(cap)) == ((20, 0), (20, 0))


async def test_a_refund_of_all_the_money_gives_unshipped_units_back(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PROCESSING, (variant, 2))
    await desk.orders.move(order_id=order.id, to=S.REFUNDED, reason="sold by mistake")
    assert await desk.stock(variant) == (5, 0)


async def test_a_refund_after_shipping_gives_nothing_back(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PROCESSING, (variant, 2))
    await desk.orders.ship(order_id=order.id)
    await desk.orders.move(order_id=order.id, to=S.REFUNDED)
    assert await desk.stock(variant) == (3, 0)
    assert [line.quantity_cancelled for line in await desk.orders.items(order_id=order.id)] == [0]


async def test_the_worker_cancels_what_was_not_paid_in_time(desk: Desk) -> None:
    """Only what is due and has no money on its way; a second run finds nothing."""
    await desk.drain()
    variant = await desk.variant(stock=20)
    cases = {}
    for name in (
        "plain",
        "early",
        "awaiting",
        "pending",
        "processing",
        "expired",
        "overdue",
        "failed",
        "cancelled",
        "half",
    ):
        cases[name] = await desk.place((variant, 1), customer_email=f"{name}@buyer.example")
        if name != "early":
            await due(desk, cases[name])
    await desk.pay(cases["awaiting"], 1000, status="awaiting_verification", expires_in=OVER)
    await desk.pay(cases["pending"], 1000, status="pending")
    await desk.pay(cases["processing"], 1000, status="processing", expires_in=OVER)
    await desk.pay(cases["expired"], 1000, status="expired", expires_in=OVER)
    await desk.pay(cases["overdue"], 1000, status="pending", expires_in=OVER)
    await desk.pay(cases["failed"], 1000, status="failed")
    await desk.pay(cases["cancelled"], 1000, status="cancelled")
    await desk.pay(cases["half"], 400)
    await desk.orders.recompute_paid(order_id=cases["half"].id)

    assert await cancel_unpaid(desk.db) == 6
    assert await cancel_unpaid(desk.db) == 0
    after = {name: (await desk.orders.get(order_id=order.id)).status for name, order in cases.items()}
    gone = {name for name, status in after.items() if status is S.CANCELLED}
    assert gone == {"plain", "expired", "overdue", "failed", "cancelled", "half"}
    assert {after[name] for name in after.keys() - gone} == {S.PENDING_PAYMENT}
    assert await desk.stock(variant) == (20, 4)
    change = (await desk.orders.history(order_id=cases["plain"].id))[0]
    assert (change.reason, change.changed_by_type, change.changed_by) == ("unpaid", "system", None)
    assert await desk.told(cases["plain"].id) == ["order.cancelled"]
    due_back = await desk.orders.needing_refund()
    assert [(row.id, row.refund_amount.amount) for row in due_back.items] == [(cases["half"].id, 400)]


async def test_two_workers_at_once_cancel_each_order_once(desk: Desk, other: Desk) -> None:
    await desk.drain()
    variant = await desk.variant(stock=50)
    orders = [await desk.place((variant, 1), customer_email=f"b{i}@buyer.example") for i in range(12)]
    for order in orders:
        await due(desk, order)
    foreign = await other.place()
    await due(other, foreign)
    done = await asyncio.gather(*(cancel_unpaid(desk.db) for _ in range(3)))
    assert sum(done) == 13
    assert await desk.stock(variant) == (50, 0)
    assert [len(await desk.orders.history(order_id=order.id)) for order in orders] == [2] * 12
    assert (await other.orders.get(order_id=foreign.id)).status is S.CANCELLED


async def test_the_worker_keeps_to_its_limit(desk: Desk) -> None:
    await desk.drain()
    for i in range(3):
        await due(desk, await desk.place(customer_email=f"b{i}@buyer.example"))
    assert await cancel_unpaid(desk.db, limit=2) == 2
    assert await cancel_unpaid(desk.db, limit=2) == 1


async def test_an_order_that_somebody_holds_is_left_for_the_next_run(desk: Desk) -> None:
    await desk.drain()
    order = await desk.place()
    await due(desk, order)
    async with desk.db.transaction() as tx:
        await desk.orders.bound(tx).lock(order_id=order.id)
        assert await cancel_unpaid(desk.db) == 0
    assert await cancel_unpaid(desk.db) == 1


async def test_a_proof_that_came_in_between_saves_the_order(desk: Desk) -> None:
    """The order was found due; before its lock was free a payment came to await verification."""
    order = await desk.place()
    await due(desk, order)

    async def submit(tx: object) -> None:
        await desk.orders.bound(tx).lock(order_id=order.id)  # type: ignore[arg-type]
        await Desk(tx, desk.tenant_id, desk.context).pay(order, 1000, status="awaiting_verification")  # type: ignore[arg-type]

    assert await race(desk.db, submit, lambda: desk.orders.cancel_if_unpaid(order_id=order.id)) is False
    assert (await desk.orders.get(order_id=order.id)).status is S.PENDING_PAYMENT
