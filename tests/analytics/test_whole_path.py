"""One visitor, from the first page to the order: all of it stands in the shop's own tables."""

from __future__ import annotations

import pytest

from factories import make_product, place
from storeroom.carts import Attribution
from storeroom.core.visitor import Visitor
from storeroom.database.service import Actor, ActorKind
from storeroom.room import Shop

# What somebody asks who has nothing but the database: all that one visitor did, in its order, and what came of it.
PATH = """
SELECT e.event_name, e.page_url, e.utm_source, e.product_id, c.utm_campaign, i.quantity, o.order_number, o.total_amount,
       l.product_sku
  FROM {events} e
  LEFT JOIN {carts} c ON c.tenant_id = $1 AND c.id = e.cart_id
  LEFT JOIN {orders} o ON o.tenant_id = $1 AND o.id = coalesce(e.order_id, c.converted_to_order_id)
  LEFT JOIN {cart_items} i ON i.tenant_id = $1 AND i.cart_id = c.id
  LEFT JOIN {order_items} l ON l.tenant_id = $1 AND l.order_id = o.id
 WHERE e.tenant_id = $1
   AND e.anonymous_id = $2
 ORDER BY e.created_at, e.id
"""


@pytest.mark.requirement("SBB-PRIN-01")
async def test_a_visitors_whole_path_is_in_our_own_tables(shop: Shop) -> None:
    variant_id = await make_product(shop, price=1_500, sku="PATH-1")
    product = await shop.products.variant(variant_id=variant_id)
    guest, _ = await shop.sessions.guest()
    other, _ = await shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    buying = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="guest"), ip="203.0.113.9", user_agent="Firefox/1")

    landing = "https://shop.example/?utm_source=ig&utm_campaign=spring"
    seen = {"event_category": "page", "session_id": "visit-1"}
    for who in (visitor, Visitor(session_id=other.id)):
        await buying.events.take(
            batch=[seen | {"event_name": "page.view", "page_url": landing, "utm_source": "ig"}], visitor=who
        )
    viewed = {"event_name": "product.view", "event_category": "product", "session_id": "visit-1"}
    await buying.events.take(batch=[viewed | {"product_id": str(product.product_id)}], visitor=visitor)
    cart = await buying.carts.create(visitor=visitor, attribution=Attribution(utm_source="ig", utm_campaign="spring"))
    await buying.carts.add(cart_id=cart.id, variant_id=variant_id, quantity=2, visitor=visitor)
    placed = await place(buying, cart_id=cart.id, visitor=visitor)

    path = await shop.context.db.fetch(shop.context.db.names.render(PATH), shop.tenant_id, guest.anonymous_id)
    number = placed.order.number
    assert [(row["event_name"], row["order_number"]) for row in path] == [
        ("page.view", None),
        ("product.view", None),
        ("cart.add", number),
        ("order.created", number),
        ("checkout.completed", number),
    ]
    landed, looked, added, ordered, _ = path
    assert (landed["page_url"], landed["utm_source"]) == (landing, "ig")
    assert looked["product_id"] == product.product_id
    assert (added["utm_campaign"], added["quantity"]) == ("spring", 2)
    assert (ordered["product_sku"], ordered["total_amount"]) == ("PATH-1", placed.order.total.amount)
    # The same for staff, who read it page by page.
    told = (await shop.events.of_anonymous(guest.anonymous_id)).items
    assert [event.event_name for event in told][::-1] == [row["event_name"] for row in path]
    assert {event.order_id for event in told} == {None, placed.order.id}
