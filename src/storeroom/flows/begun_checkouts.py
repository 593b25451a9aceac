"""A visitor's page says that a checkout has begun: providers of advertising are told of the cart, as the shop knows it.

The page names the cart and nothing more counts of what it says: goods, prices and whose cart it is stand in our tables.
"""

from collections.abc import Sequence
from typing import Final

from storeroom.analytics import EventDraft
from storeroom.carts import CartNotFound, Carts, CartStatus
from storeroom.conversions import Item, checkout_started
from storeroom.core.ids import CartId
from storeroom.core.visitor import Visitor
from storeroom.database.service import Context

BEGUN: Final = "checkout.started"
CARTS_MAX: Final = 1  # of one call: a visitor has one active cart


async def tell_begun(context: Context, visitor: Visitor, events: Sequence[EventDraft]) -> None:
    """Queue what is told of a cart with which its visitor has begun to check out, in the transaction of the events.

    Of a cart that is not the visitor's, is empty or is no longer open nothing is told; the event is kept all the same.
    """
    named = dict.fromkeys(CartId(event.cart_id) for event in events if event.cart_id is not None)
    for cart_id in list(named)[-CARTS_MAX:]:
        try:
            found = await Carts(context).view(cart_id=cart_id, visitor=visitor)
        except CartNotFound:
            continue
        if found.cart.status is not CartStatus.ACTIVE or found.cart.expired:
            continue
        items = [
            Item(
                id=line.sku or str(line.variant_id),
                name=line.product_name,
                variant=line.variant_title,
                quantity=line.quantity,
                price=line.unit_price,
            )
            for line in found.lines
        ]
        await checkout_started(
            context,
            cart_id=cart_id,
            value=found.cart.total,
            items=items,
            user_id=found.cart.user_id,
            session_id=found.cart.session_id or visitor.session_id,
        )
