"""Shipping a whole order: units leave the shelf, with their movement; what is not there is not shipped."""

from datetime import date

import pytest
from desk import Desk

from rivals import race
from storeroom.orders import DeliveryStage, NotOnHand, OrderMoveRefused, OrderStatus

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
