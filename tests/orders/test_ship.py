"""Shipping a whole order: units leave the shelf, with their movement; what is not there is not shipped."""

from datetime import date, timedelta

import pytest

from desk import Desk
from rivals import race
from storeroom.catalog import Batches, BatchesShort
from storeroom.core.ids import BatchId, VariantId
from storeroom.inventory import Inventory
from storeroom.orders import DeliveryStage, NotOnHand, OrderMoveRefused, Orders, OrderStatus

S = OrderStatus


@pytest.mark.requirement("SBB-ORD-11", "CED-ORD-05", "SIG-ORD-05")
async def test_shipping_lowers_stock_and_tells_the_parcel(desk: Desk) -> None:
    shirt, file = await desk.variant(stock=5), await desk.variant(stock=0, policy="untracked", digital=True)
    order = await desk.placed_in(S.PROCESSING, (shirt, 2), (file, 4), (shirt, 1))
    shipped = await desk.orders.ship(
        order_id=order.id, carrier="UPS", tracking_number=" 1Z999 ", estimated_delivery=date(2030, 1, 2)
    )
    assert await desk.stock(shirt) == (2, 0)
    assert await desk.stock(file) == (0, 0)
    assert (shipped.shipping_carrier, shipped.tracking_number) == ("UPS", "1Z999")
    assert shipped.estimated_delivery == date(2030, 1, 2)
    assert shipped.delivery_stage is DeliveryStage.DISPATCHED
    lines = await desk.orders.items(order_id=order.id)
    assert [(line.quantity_held, line.quantity_fulfilled) for line in lines] == [(0, 2), (0, 4), (0, 1)]
    movements = await desk.rows(
        "SELECT variant_id, kind, quantity, on_hand_after, order_id, actor_kind FROM {stock_movements} "
        "WHERE tenant_id = $1"
    )
    assert movements == [(shirt, "shipment", -3, 2, order.id, "admin")]

    later = await desk.orders.set_tracking(order_id=order.id, tracking_number="1Z000")
    assert (later.shipping_carrier, later.tracking_number) == ("UPS", "1Z000")
    assert later.status_updated_at == shipped.status_updated_at
    assert later.updated_at > shipped.updated_at
    delivered = await desk.orders.deliver(order_id=order.id)
    assert delivered.delivery_stage is DeliveryStage.DELIVERED
    assert delivered.status_updated_at == delivered.updated_at > later.updated_at


async def test_a_shipment_is_dated_by_when_it_left(desk: Desk) -> None:
    """And not by when its transaction began: the list of movements tells what became of the shelf step by step."""
    shirt = await desk.variant(stock=5)
    order = await desk.placed_in(S.PROCESSING, (shirt, 2))
    async with desk.db.transaction() as tx:
        orders = Orders(desk.context.on(tx))
        await orders.get(order_id=order.id)
        await Inventory(desk.context).adjust(variant_id=shirt, by=-1, reason="broken")
        await orders.ship(order_id=order.id)
    page = await Inventory(desk.context).movements(variant_id=shirt)
    assert [(each.kind.value, each.on_hand_after) for each in page.items] == [("shipment", 2), ("adjustment", 4)]


async def test_a_backorder_is_not_shipped_before_its_goods_came(desk: Desk) -> None:
    """Nothing of the order leaves: not the line that is there, not its tracking number."""
    here, awaited = await desk.variant(stock=5), await desk.variant(stock=1, policy="backorder")
    order = await desk.placed_in(S.PROCESSING, (here, 1), (awaited, 3))
    with pytest.raises(NotOnHand) as refused:
        await desk.orders.ship(order_id=order.id, carrier="UPS")
    (line,) = refused.value.lines
    assert (line.variant_id, line.needed, line.on_hand) == (awaited, 3, 1)  # type: ignore[attr-defined]
    assert refused.value.facts()["lines"] == [
        {"variant_id": awaited, "sku": line.sku, "needed": 3, "on_hand": 1}  # type: ignore[attr-defined]
    ]
    assert (await desk.stock(here), await desk.stock(awaited)) == ((5, 1), (1, 3))
    assert await desk.orders.get(order_id=order.id) == order
    await desk.run("UPDATE {stock_levels} SET on_hand = 3 WHERE tenant_id = $1 AND variant_id = $2", awaited)
    await desk.orders.ship(order_id=order.id, carrier="UPS")
    assert (await desk.stock(here), await desk.stock(awaited)) == ((4, 0), (0, 0))


@pytest.mark.requirement("SBB-OI-06")
async def test_two_who_ship_at_once_ship_once(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.READY_TO_SHIP, (variant, 2))
    outcome = await race(
        desk.db,
        lambda tx: desk.orders.bound(tx).ship(order_id=order.id),
        lambda: desk.orders.ship(order_id=order.id),
    )
    assert isinstance(outcome, OrderMoveRefused)
    assert await desk.stock(variant) == (3, 0)
    assert [line.quantity_fulfilled for line in await desk.orders.items(order_id=order.id)] == [2]
    assert await desk.one("SELECT count(*) FROM {stock_movements} WHERE tenant_id = $1") == 1


async def test_shipping_and_cancelling_at_once_has_one_winner(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.READY_TO_SHIP, (variant, 2))
    outcome = await race(
        desk.db,
        lambda tx: desk.orders.bound(tx).ship(order_id=order.id),
        lambda: desk.orders.cancel(order_id=order.id, reason="too late"),
    )
    assert isinstance(outcome, OrderMoveRefused)
    assert await desk.stock(variant) == (3, 0)


@pytest.mark.requirement("SBB-OVP-04")
async def test_shipping_leaves_payments_as_they_are(desk: Desk) -> None:
    order = await desk.placed_in(S.PROCESSING)
    payment = await desk.pay(order, 1000, status="awaiting_verification")
    await desk.orders.ship(order_id=order.id)
    assert await desk.one("SELECT status FROM {payments} WHERE tenant_id = $1 AND id = $2", payment) == (
        "awaiting_verification"
    )


async def test_a_partly_refunded_order_goes_on_without_shipping_twice(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PROCESSING, (variant, 2))
    await desk.orders.ship(order_id=order.id)
    await desk.orders.move(order_id=order.id, to=S.PARTIALLY_REFUNDED)
    await desk.orders.ship(order_id=order.id)
    assert await desk.stock(variant) == (3, 0)
    await desk.orders.deliver(order_id=order.id)


@pytest.mark.parametrize("to", [S.CANCELLED, S.PROCESSING, S.READY_TO_SHIP])
@pytest.mark.parametrize("delivered", [False, True])
async def test_what_has_left_is_not_as_if_it_had_not(desk: Desk, to: OrderStatus, delivered: bool) -> None:
    """A refund of one cent opens no way back: the goods are with the buyer, and credit and coupons stay used."""
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PROCESSING, (variant, 2))
    await desk.orders.ship(order_id=order.id)
    if delivered:
        await desk.orders.deliver(order_id=order.id)
    await desk.orders.move(order_id=order.id, to=S.PARTIALLY_REFUNDED)
    with pytest.raises(OrderMoveRefused) as refused:
        await desk.orders.move(order_id=order.id, to=to)
    assert refused.value.allowed == ["shipped", "delivered", "refunded"]
    with pytest.raises(OrderMoveRefused):
        await desk.orders.cancel(order_id=order.id, reason="no more")
    assert (await desk.orders.get(order_id=order.id)).status is S.PARTIALLY_REFUNDED
    assert await desk.stock(variant) == (3, 0)


async def test_goods_that_another_system_sent_have_left_too(desk: Desk) -> None:
    order = await desk.placed_in(S.PARTIALLY_REFUNDED)
    await desk.run("UPDATE {order_items} SET quantity_fulfilled = 1 WHERE tenant_id = $1 AND order_id = $2", order.id)
    with pytest.raises(OrderMoveRefused):
        await desk.orders.cancel(order_id=order.id, reason="no more")


async def test_unshipped_after_a_refund_it_may_still_be_cancelled(desk: Desk) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PARTIALLY_REFUNDED, (variant, 2))
    await desk.orders.cancel(order_id=order.id, reason="no more")
    assert await desk.stock(variant) == (5, 0)


async def a_batch(
    desk: Desk, variant: VariantId, number: str, units: int, *, days: int, verified: bool = True
) -> BatchId:
    product = await desk.one("SELECT product_id FROM {product_variants} WHERE tenant_id = $1 AND id = $2", variant)
    today = desk.context.clock.now().date()
    batches = Batches(desk.context)
    batch = await batches.create(
        product_id=product,
        batch_number=number,
        quantity_produced=units,
        coa_file_url=f"https://files.example/{number}.pdf",
        manufactured_at=today - timedelta(days=30),
        expires_at=today + timedelta(days=days),
    )
    if verified:
        await batches.verify(batch_id=batch.id)
    return batch.id


@pytest.mark.requirement("SBB-OI-05")
async def test_lines_are_shipped_from_the_batches_that_expire_first(desk: Desk) -> None:
    """The unverified one is passed over; a line that two batches fill names both, the history says how many of each."""
    vial, shirt = await desk.variant(stock=20, name="Vial"), await desk.variant(stock=5)
    later = await a_batch(desk, vial, "B-LATER", 10, days=90)
    sooner = await a_batch(desk, vial, "B-SOONER", 3, days=30)
    await a_batch(desk, vial, "B-UNSEEN", 10, days=10, verified=False)
    first, second = [await desk.placed_in(S.PROCESSING, (vial, 2), (shirt, 1)) for _ in range(2)]
    for order in (first, second):
        await desk.orders.ship(order_id=order.id)
    lines = [await desk.orders.items(order_id=order.id) for order in (first, second)]
    assert [(line.batch_id, line.batch_number) for line in lines[0]] == [(sooner, "B-SOONER"), (None, None)]
    assert [(line.batch_id, line.batch_number) for line in lines[1]] == [(sooner, "B-SOONER, B-LATER"), (None, None)]
    (shipped, *_) = await desk.orders.history(order_id=second.id)
    assert shipped.metadata == {
        "batches": [
            {"line": 1, "batch_id": str(sooner), "batch_number": "B-SOONER", "quantity": 1},
            {"line": 1, "batch_id": str(later), "batch_number": "B-LATER", "quantity": 1},
        ]
    }
    left = {batch.batch_number: batch.quantity_remaining for batch in await Batches(desk.context).list(
        product_id=lines[0][0].product_id)}  # fmt: skip
    assert left == {"B-SOONER": 0, "B-LATER": 9, "B-UNSEEN": 10}


async def test_too_few_verified_units_ship_nothing_even_where_the_refusal_is_caught(desk: Desk) -> None:
    """Inside a transaction of the caller's that goes on: stock, lines, batches and tracking are as they were."""
    cap, vial = await desk.variant(stock=5), await desk.variant(stock=5, name="Vial")
    batch = await a_batch(desk, vial, "B-1", 1, days=30)
    order = await desk.placed_in(S.PROCESSING, (cap, 1), (vial, 2))
    async with desk.db.transaction() as tx:
        with pytest.raises(BatchesShort):
            await desk.orders.bound(tx).ship(order_id=order.id, carrier="UPS")
        await desk.orders.bound(tx).add_note(order_id=order.id, note="no batch")
    after = await desk.orders.get(order_id=order.id)
    assert (after.status, after.shipping_carrier) == (S.PROCESSING, None)
    assert after.internal_notes is not None
    assert (await desk.stock(cap), await desk.stock(vial)) == ((5, 1), (5, 2))
    assert (await Batches(desk.context).get(batch_id=batch)).quantity_remaining == 1
    assert await desk.told(order.id) == []
    assert await desk.one("SELECT count(*) FROM {stock_movements} WHERE tenant_id = $1") == 0
