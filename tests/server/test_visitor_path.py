"""One visitor's way through the shop, told from the shop's own tables alone."""

import pytest
from served import Place

PATH = """
SELECT e.event_name, e.utm_campaign, c.utm_campaign AS cart_came_by, o.utm_campaign AS order_came_by, o.order_number,
       v.sku AS saw
  FROM {events} e
  JOIN {auth_sessions} s ON s.tenant_id = $1 AND s.anonymous_id = e.anonymous_id
  LEFT JOIN {product_variants} v ON v.tenant_id = $1 AND v.product_id = e.product_id
  LEFT JOIN {carts} c ON c.tenant_id = $1 AND c.id = e.cart_id
  LEFT JOIN {orders} o ON o.tenant_id = $1 AND o.id = e.order_id
 WHERE e.tenant_id = $1
 ORDER BY e.created_at, e.event_name = 'checkout.completed'
"""


@pytest.mark.requirement("SBB-PRIN-01")
async def test_the_whole_way_from_a_campaign_to_an_order_is_in_our_own_tables(place: Place) -> None:
    """Where they came from, what they saw, what they took, what they bought; and nobody outside was asked."""
    sku = await place.sku(price=1500)
    product_id = await place.market.one("SELECT product_id FROM {product_variants} WHERE tenant_id = $1")
    source = {"utm_source": "ig", "utm_medium": "social", "utm_campaign": "spring"}
    cart = (await place.http.post("/v1/carts", json=source)).json()
    seen = [
        {"event_name": "page.view", "event_category": "page", "session_id": "visit", **source},
        {
            "event_name": "product.view",
            "event_category": "product",
            "session_id": "visit",
            "product_id": str(product_id),
        },
    ]
    for event in seen:
        assert (await place.http.post("/v1/events", json=[event])).status_code == 201
    await place.http.post(f"/v1/carts/{cart['id']}/items", json={"sku": sku, "quantity": 2})
    order = {**await place.order(sku), "cart_id": cart["id"]}
    del order["lines"]
    placed = await place.http.post("/v1/checkout", json=order)
    assert placed.status_code == 201, placed.text

    rows = await place.room.db.fetch(place.room.db.names.render(PATH), place.market.tenant_id)
    told = {row["event_name"]: row for row in rows}
    names = [row["event_name"] for row in rows]
    assert (
        names.index("page.view") < names.index("product.view") < names.index("cart.add") < names.index("order.created")
    )
    assert told["page.view"]["utm_campaign"] == "spring"
    assert told["product.view"]["saw"] == sku
    assert told["cart.add"]["cart_came_by"] == "spring"
    bought = told["order.created"]
    assert (bought["order_number"], bought["order_came_by"]) == (placed.json()["order"]["number"], "spring")
    assert "checkout.completed" in names
