"""Whoever moves an order, by whichever way: each move has one row of history, written in the transaction of the move."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from factories import make_method, make_product, place
from storeroom.core.ids import OrderId
from storeroom.flows.model import Placement
from storeroom.orders import OrderStatus
from storeroom.room import Shop

S = OrderStatus
Step = Callable[[Shop, Placement], Awaitable[object]]


async def _verify(shop: Shop, placed: Placement) -> None:
    assert placed.order.payment is not None
    await shop.payments.verify(payment_id=placed.order.payment.id)


async def _unpaid(shop: Shop, placed: Placement) -> None:
    db = shop.context.db
    await db.execute(
        "UPDATE payments SET status = 'expired' WHERE tenant_id = $1 AND status = 'pending'", shop.tenant_id
    )
    await db.execute(
        "UPDATE orders SET payment_due_at = now() - INTERVAL '1 day' WHERE tenant_id = $1 AND id = $2",
        shop.tenant_id,
        placed.order.id,
    )
    assert await shop.orders.cancel_if_unpaid(order_id=placed.order.id)


def _moves(to: OrderStatus) -> Step:
    return lambda shop, placed: shop.orders.move(order_id=placed.order.id, to=to, reason="so it is")


# A way through the states, and what each step of it is done by.
WAYS: list[list[tuple[OrderStatus, Step]]] = [
    [
        (S.PAYMENT_RECEIVED, _verify),
        (S.PROCESSING, _moves(S.PROCESSING)),
        (S.READY_TO_SHIP, _moves(S.READY_TO_SHIP)),
        (
            S.SHIPPED,
            lambda shop, placed: shop.orders.ship(order_id=placed.order.id, carrier="UPS", tracking_number="1Z"),
        ),
        (S.DELIVERED, lambda shop, placed: shop.orders.deliver(order_id=placed.order.id)),
    ],
    [(S.CANCELLED, lambda shop, placed: shop.cancellation.cancel(order_id=placed.order.id, reason="no more"))],
    [(S.CANCELLED, _unpaid)],
    [
        (S.PAYMENT_RECEIVED, _verify),
        (S.CANCELLED, lambda shop, placed: shop.cancellation.cancel(order_id=placed.order.id, reason="no more")),
    ],
]


async def test_each_move_has_one_row_of_its_own_transaction(shop: Shop) -> None:
    variant_id = await make_product(shop, stock=100)
    await make_method(shop)
    for way in WAYS:
        placed = await place(shop, (variant_id, 1), payment_method="zelle")
        expected: list[tuple[str | None, str]] = [(None, S.PENDING_PAYMENT)]
        assert await told(shop, placed.order.id) == expected
        for to, step in way:
            await step(shop, placed)
            expected.append((expected[-1][1], to))
            assert await told(shop, placed.order.id) == expected


async def told(shop: Shop, order_id: OrderId) -> list[tuple[str | None, str]]:
    """The history; the last row and the state of the order are of one transaction, and of one instant."""
    rows: list[Any] = await shop.context.db.fetch(
        "SELECT h.from_status::text, h.to_status::text, h.created_at, o.status::text, o.status_updated_at "
        "FROM order_status_history h JOIN orders o ON o.tenant_id = $1 AND o.id = h.order_id "
        "WHERE h.tenant_id = $1 AND h.order_id = $2 ORDER BY h.sequence",
        shop.tenant_id,
        order_id,
    )
    last = rows[-1]
    assert (last["to_status"], last["created_at"]) == (last["status"], last["status_updated_at"])
    return [(row["from_status"], row["to_status"]) for row in rows]
