"""A shop at a host, from the first cart to the placed order, as a program outside sees it."""

import asyncio

import httpx
from served import Place, client_of

from factories import forged_from

KEY = {"Idempotency-Key": "order-1"}


async def test_from_a_cart_to_an_order(place: Place) -> None:
    sku = await place.sku(stock=3, price=1500)
    cart = (await place.http.post("/v1/carts")).json()
    added = await place.http.post(f"/v1/carts/{cart['id']}/items", json={"sku": sku, "quantity": 2})
    assert added.status_code in {200, 201}, added.text
    order = {**await place.order(sku), "cart_id": cart["id"]}
    del order["lines"]
    placed = await place.http.post("/v1/checkout", json=order)
    assert placed.status_code == 201, placed.text
    answer = placed.json()["order"]
    assert answer["status"] == "pending_payment"
    assert (answer["subtotal"], answer["total"]) == (
        {"amount": 3000, "currency": "USD"},
        {"amount": 3500, "currency": "USD"},
    )
    again = await place.http.post("/v1/checkout", json=order)
    assert (again.status_code, again.json()["order"]["number"]) == (200, answer["number"])
    assert await place.count("orders") == 1


async def test_a_cart_of_another_visitor_does_not_exist(place: Place) -> None:
    sku = await place.sku()
    cart = (await place.http.post("/v1/carts")).json()
    await place.http.post(f"/v1/carts/{cart['id']}/items", json={"sku": sku, "quantity": 1})
    order = {**await place.order(sku), "cart_id": cart["id"]}
    del order["lines"]
    async with client_of(place.app, place.host) as stranger:
        nobody = await stranger.post("/v1/checkout", json=order)
        await stranger.post("/v1/carts")
        somebody = await stranger.post("/v1/checkout", json=order)
    for refused in (nobody, somebody):
        assert (refused.status_code, refused.json()["code"]) == (404, "checkout.cart_not_found")
    assert await place.count("orders") == 0


async def test_the_same_checkout_twenty_times_at_once_is_one_order(place: Place) -> None:
    order = await place.order(await place.sku(stock=50))
    answers = await asyncio.gather(*(place.http.post("/v1/checkout", json=order, headers=KEY) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotency-replay") == "true" for answer in answers) == 19
    assert await place.count("orders") == 1


async def test_a_key_belongs_to_one_request_of_one_visitor(place: Place) -> None:
    sku = await place.sku(stock=50)
    order = await place.order(sku)
    first = await place.http.post("/v1/checkout", json=order, headers=KEY)
    other_body = await place.http.post("/v1/checkout", json={**order, "name": "Bo"}, headers=KEY)
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency.key_reused")
    async with client_of(place.app, place.host) as stranger:
        await stranger.post("/v1/carts")
        second = await stranger.post("/v1/checkout", json=order, headers=KEY)
    assert second.status_code == 201
    assert first.json()["order"]["number"] != second.json()["order"]["number"]
    assert await place.count("orders") == 2


async def test_a_shortage_names_the_line_and_frees_the_key(place: Place) -> None:
    plenty, scarce = await place.sku(stock=50), await place.sku(stock=1)
    order = await place.order(plenty)
    order["lines"].append({"sku": scarce, "quantity": 2})
    for _ in range(2):
        refused = await place.http.post("/v1/checkout", json=order, headers=KEY)
        assert (refused.status_code, refused.json()["code"]) == (409, "checkout.out_of_stock")
        (line,) = refused.json()["lines"]
        assert (line["line"], line["sku"], line["requested"], line["available"]) == (2, scarce, 2, 1)
    assert await place.count("orders") == await place.count("idempotency_keys") == 0
    order["lines"][1]["quantity"] = 1
    assert (await place.http.post("/v1/checkout", json=order, headers=KEY)).status_code == 201


async def test_what_only_trusted_callers_may_say_is_unknown_here(place: Place) -> None:
    order = await place.order(await place.sku())
    for field, value in (("purchase_id", "1"), ("source", "erp"), ("metadata", {})):
        refused = await place.http.post("/v1/checkout", json={**order, field: value})
        assert (refused.status_code, refused.json()["field"]) == (400, field)
    assert await place.count("orders") == 0


async def test_bad_input_names_its_field_and_writes_nothing(place: Place) -> None:
    order = await place.order(await place.sku())
    for changes, status, field in (
        ({"email": "nobody"}, 422, "email"),
        ({"email": 7}, 400, "email"),
        ({"lines": [{"sku": "x", "quantity": 0}]}, 400, "lines[0].quantity"),
        ({"lines": [{"quantity": 1}]}, 422, "lines[0]"),
        ({"lines": []}, 422, "lines"),
        ({"shipping_address": None}, 422, "shipping_address"),
        ({"notes": "a\x00"}, 422, "notes"),
    ):
        refused = await place.http.post("/v1/checkout", json={**order, **changes}, headers=KEY)
        assert (refused.status_code, refused.json().get("field")) == (status, field), refused.text
    assert await place.count("orders") == await place.count("idempotency_keys") == 0


async def test_each_shop_answers_at_its_own_host_only(place: Place) -> None:
    sku = await place.sku()
    async with client_of(place.app, "unknown.test") as stranger:
        missing = await stranger.get("/v1/carts")
        assert missing.status_code in {404, 405}
        refused = await stranger.post("/v1/checkout", json=await place.order(sku))
    assert (refused.status_code, refused.json()["code"]) == (404, "tenants.host_unknown")
    named = {"Host": "unknown.test", "Storeroom-Tenant": place.market.tenant_id}
    assert (await place.http.post("/v1/checkout", json=await place.order(sku), headers=named)).status_code == 201


async def test_a_suspended_shop_refuses(place: Place) -> None:
    order = await place.order(await place.sku())
    await place.room.tenants.suspend(place.market.tenant_id)
    refused = await place.http.post("/v1/checkout", json=order)
    assert (refused.status_code, refused.json()["code"]) == (403, "tenants.suspended")


async def test_an_account_keeps_its_shop_whatever_the_headers_say(place: Place) -> None:
    person = {"email": "bo@example.com", "password": "a long password"}
    assert (await place.http.post("/v1/auth/register", json={**person, "full_name": "Bo"})).status_code == 201
    signed_in = await place.http.post("/v1/auth/sign-in", json=person)
    assert signed_in.status_code == 200, signed_in.text
    token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    elsewhere = {**token, "Host": "unknown.test", "Storeroom-Tenant": "default"}
    me = await place.http.get("/v1/account", headers=elsewhere)
    assert (me.status_code, me.json()["account"]["email"]) == (200, "bo@example.com")
    forged = forged_from(signed_in.json()["access_token"])
    assert (await place.http.get("/v1/account", headers={"Authorization": f"Bearer {forged}"})).status_code == 401
    assert (await place.http.get("/v1/admin/orders", headers=token)).status_code == 403


async def test_signing_in_brings_the_cart_along(place: Place) -> None:
    sku = await place.sku()
    person = {"email": "cy@example.com", "password": "a long password"}
    await place.http.post("/v1/auth/register", json={**person, "full_name": "Cy"})
    cart = (await place.http.post("/v1/carts")).json()
    await place.http.post(f"/v1/carts/{cart['id']}/items", json={"sku": sku, "quantity": 1})
    signed_in: httpx.Response = await place.http.post("/v1/auth/sign-in", json=person)
    token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    order = {**await place.order(sku), "cart_id": cart["id"]}
    del order["lines"]
    assert (await place.http.post("/v1/checkout", json=order, headers=token)).status_code == 201
