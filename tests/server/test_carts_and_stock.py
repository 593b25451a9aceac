"""Carts and stock over HTTP: what a visitor and what staff see of them."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from served import Place, client_of

from storeroom.core.ids import VariantId
from storeroom.identity import Permission, UserRole

PASSWORD = "correct horse battery"


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


async def signed_in(place: Place, http: httpx.AsyncClient, *permissions: Permission, staff: bool = True) -> str:
    """A bearer token of a new account; the client sends it from now on."""
    users = place.room.tenant(place.market.tenant_id).users
    email = f"{uuid4().hex}@shop.example"
    user = await users.register(email=email, password=PASSWORD, full_name="Ann")
    if staff:
        await users.set_role(user_id=user.id, role=UserRole.STAFF)
        await users.set_permissions(user_id=user.id, permissions=permissions)
    answer = await http.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return str(user.id)


@pytest.mark.requirement("STO-CART-01", "SBB-CI-02")
async def test_a_guests_cart_from_the_first_item_to_the_last(place: Place) -> None:
    shirt, mug = await place.sku(price=1000, stock=5), await place.sku(price=250)
    made = await place.http.post("/v1/carts", json={"utm_source": "ig"})
    assert made.status_code == 201, made.text
    cart, path = made.json(), f"/v1/carts/{made.json()['id']}"
    assert cart["token"]
    assert cart["cart"]["items"] == []
    again = (await place.http.post("/v1/carts")).json()  # the cookie brings it back, and no token is made twice
    assert (again["id"], again["token"]) == (cart["id"], None)
    added = await place.http.post(f"{path}/items", json={"sku": shirt, "quantity": 2})
    assert added.status_code == 201, added.text
    (line,) = added.json()["items"]
    assert (line["quantity"], line["unit_price"], line["total"]) == (2, usd(1000), usd(2000))
    await place.http.post(f"{path}/items", json={"sku": mug})
    changed = await place.http.patch(f"{path}/items/{line['id']}", json={"quantity": 3})
    assert (changed.status_code, changed.json()["total"]) == (200, usd(3250))
    shipped = await place.http.put(f"{path}/shipping", json={"method": "standard"})
    assert (shipped.json()["shipping"], shipped.json()["total"]) == (usd(500), usd(3750))
    held = await place.http.post(f"{path}/reserve")
    assert sorted(each["quantity"] for each in held.json()["reservations"]) == [1, 3]
    await place.market.run("UPDATE {product_variants} SET price = 1100 WHERE tenant_id = $1 AND sku = $2", shirt)
    seen = (await place.http.get(path)).json()["items"][0]
    assert (seen["unit_price"], seen["current_price"], seen["price_difference"]) == (usd(1000), usd(1100), usd(100))
    repriced = (await place.http.post(f"{path}/reprice")).json()
    assert [(each["before"], each["after"]) for each in repriced["changes"]] == [(usd(1000), usd(1100))]
    assert repriced["cart"]["total"] == usd(4050)
    removed = await place.http.delete(f"{path}/items/{line['id']}")
    assert (removed.status_code, removed.json()["total"]) == (200, usd(750))


@pytest.mark.requirement("STO-CART-01")
async def test_another_cookie_does_not_reach_it(place: Place) -> None:
    sku = await place.sku()
    path = f"/v1/carts/{(await place.http.post('/v1/carts')).json()['id']}"
    line = (await place.http.post(f"{path}/items", json={"sku": sku})).json()["items"][0]["id"]
    async with client_of(place.app, place.host) as stranger:
        assert (await stranger.get(path)).status_code == 401
        await stranger.post("/v1/carts")
        for method, where, body in (
            ("GET", path, None),
            ("POST", f"{path}/items", {"sku": sku}),
            ("PATCH", f"{path}/items/{line}", {"quantity": 9}),
            ("DELETE", f"{path}/items/{line}", None),
            ("POST", f"{path}/reprice", None),
            ("PUT", f"{path}/shipping", {"method": "standard"}),
            ("POST", f"{path}/reserve", None),
        ):
            refused = await stranger.request(method, where, json=body)
            assert (refused.status_code, refused.json()["code"]) == (404, "carts.not_found"), (method, where)
    assert (await place.http.get(path)).json()["items"][0]["quantity"] == 1


async def test_bad_items_name_their_field(place: Place) -> None:
    sku = await place.sku(stock=1)
    path = f"/v1/carts/{(await place.http.post('/v1/carts')).json()['id']}"
    for body, field in (
        ({"sku": sku, "quantity": 0}, "quantity"),
        ({"sku": sku, "quantity": 10_001}, "quantity"),
        ({"sku": sku, "print_name": " a"}, "print_name"),
        ({"quantity": 1}, "sku"),
        ({"sku": sku, "variant_id": str(uuid4())}, "sku"),
        ({"sku": sku, "gift": True}, "gift"),
    ):
        refused = await place.http.post(f"{path}/items", json=body)
        assert refused.status_code in {400, 422}, refused.text
        assert refused.json()["field"] == field
    for unknown in ("nothing like it", "\x00"):
        refused = await place.http.post(f"{path}/items", json={"sku": unknown})
        assert refused.status_code in {400, 404, 422}, refused.text
    await place.http.post(f"{path}/items", json={"sku": sku, "quantity": 2})
    short = await place.http.post(f"{path}/reserve")
    assert (short.status_code, short.json()["code"]) == (409, "inventory.insufficient_stock")
    assert (short.json()["requested"], short.json()["available"]) == (2, 1)


async def test_an_add_sent_twice_with_one_key_counts_once(place: Place) -> None:
    sku = await place.sku()
    path = f"/v1/carts/{(await place.http.post('/v1/carts')).json()['id']}/items"
    for _ in range(2):
        added = await place.http.post(path, json={"sku": sku, "quantity": 2}, headers={"Idempotency-Key": "add-1"})
        assert added.status_code == 201
        assert added.json()["items"][0]["quantity"] == 2


async def test_staff_count_adjust_and_look(place: Place) -> None:
    variant = await place.market.variant(stock=10)
    ann = await signed_in(place, place.http, Permission.INVENTORY_WRITE)
    path = f"/v1/admin/stock/{variant}"
    key = {"Idempotency-Key": "broken-in-transit-7"}
    for _ in range(2):
        adjusted = await place.http.post(f"{path}/adjustments", json={"by": -3, "reason": "broken"}, headers=key)
        assert (adjusted.status_code, adjusted.json()["on_hand_after"]) == (201, 7), adjusted.text
    assert adjusted.json()["actor_id"] == ann
    await place.market.inventory.reserve(variant_id=VariantId(variant), quantity=6)
    counted = await place.http.post(f"{path}/counts", json={"on_hand": 4})
    assert (counted.status_code, counted.json()["quantity"]) == (201, -3)
    level = (await place.http.get(path)).json()
    assert (level["on_hand"], level["reserved"], level["available"], level["policy"]) == (4, 6, -2, "deny")
    for listed in ("/v1/admin/stock", "/v1/admin/stock/low", "/v1/admin/stock/oversold"):
        page = (await place.http.get(listed)).json()
        assert ([each["variant_id"] for each in page["items"]], page["next_cursor"]) == ([str(variant)], None)
    movements = (await place.http.get(f"{path}/movements", params={"limit": 1})).json()
    assert movements["items"][0]["kind"] == "count"
    older = (await place.http.get(f"{path}/movements", params={"cursor": movements["next_cursor"]})).json()
    assert [each["reason"] for each in older["items"]] == ["broken"]
    chosen = await place.http.put(f"{path}/policy", json={"policy": "backorder", "backorder_limit": 2})
    assert (chosen.status_code, chosen.json()["backorder_limit"]) == (200, 2)
    assert (await place.http.get("/v1/admin/stock/oversold")).json()["items"] == []
    refused = await place.http.post(f"{path}/adjustments", json={"by": -5, "reason": "gone"})
    assert (refused.status_code, refused.json()["code"]) == (409, "inventory.stock_out_of_range")
    for body in ({"by": 1}, {"by": 1, "reason": " "}, {"by": 0, "reason": "nothing"}, {"by": 2**70, "reason": "much"}):
        assert (await place.http.post(f"{path}/adjustments", json=body)).status_code in {400, 422}
    assert (await place.http.get(f"/v1/admin/stock/{uuid4()}")).status_code == 404
    assert (await place.http.get("/v1/admin/stock", params={"cursor": "x"})).status_code in {400, 422}


async def test_stock_is_for_those_who_may(place: Place) -> None:
    variant = await place.market.variant(stock=10)
    assert (await place.http.get("/v1/admin/stock")).status_code == 401
    await signed_in(place, place.http, staff=False)
    assert (await place.http.get("/v1/admin/stock")).status_code == 403
    async with client_of(place.app, place.host) as reader:
        await signed_in(place, reader, Permission.ORDERS_READ)
        refused = await reader.post(f"/v1/admin/stock/{variant}/adjustments", json={"by": 1, "reason": "found"})
        assert (refused.status_code, refused.json()["code"]) == (403, "auth.permission_missing")
        await place.market.guest_cart()
        await place.market.run("UPDATE {carts} SET status = 'abandoned' WHERE tenant_id = $1")
        abandoned = await reader.get("/v1/admin/carts/abandoned")
        assert (abandoned.status_code, len(abandoned.json()["items"])) == (200, 1)
    assert await place.market.stock(variant) == (10, 0)
