"""Coupons over HTTP: staff keep them, customers never read them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from factories import make_coupon, make_product, open_shop, place
from serving import app_of
from storeroom.core.ids import UserId
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, Proof, UserRole
from storeroom.promotions import CouponChanges
from storeroom.room import Shop, Storeroom

COUPON = {
    "code": "spring",
    "name": "Spring",
    "discount_type": "percentage",
    "percentage": "12.5",
    "minimum_order_amount": {"amount": 5000, "currency": "USD"},
    "usage_limit": 100,
    "expires_at": "2099-01-01T00:00:00+14:00",
}


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    return await open_shop(room, actor=SYSTEM)


@pytest.fixture
async def http(room: Storeroom, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as staff with the one permission."""
    host = f"{secrets.token_hex(8)}.test"
    await room.tenants.add_host(shop.tenant_id, host)
    staff = await shop.users.create(
        email="ann@shop.example", role=UserRole.STAFF, permissions=[Permission.DISCOUNTS_WRITE]
    )
    signed_in = await shop.sessions.start(proof=Proof(user_id=staff.id))
    headers = {"Authorization": f"Bearer {signed_in.access_token}"}
    transport = httpx.ASGITransport(app_of(room), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
        yield client


@pytest.mark.requirement("CED-OP-058", "CED-OP-059", "CED-OP-062", "CED-OP-063", "CED-OP-065")
async def test_a_coupon_is_made_read_changed_and_taken_out_of_use(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/admin/coupons", json=COUPON)
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["code"], body["percentage"], body["usage_count"], body["amount"]) == ("SPRING", "12.5", 0, None)
    assert (body["scope"], body["applies_at"], body["currency"]) == ("all", "checkout", "USD")
    assert datetime.fromisoformat(body["expires_at"]) == datetime(2098, 12, 31, 10, tzinfo=UTC)

    assert (await http.get("/v1/admin/coupons/Spring")).json() == body
    changed = await http.patch("/v1/admin/coupons/spring", json={"percentage": "20", "minimum_order_amount": None})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["percentage"], changed.json()["minimum_order_amount"]) == ("20", None)

    gone = await http.delete("/v1/admin/coupons/SPRING")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await http.get("/v1/admin/coupons/spring")).json()["is_active"] is False
    listed = [
        (await http.get("/v1/admin/coupons", params=which)).json()
        for which in ({}, {"show": "all"}, {"show": "active"}, {"show": "valid"})
    ]
    assert [len(page["items"]) for page in listed] == [0, 1, 0, 0]


async def test_a_repeated_post_makes_one_coupon(http: httpx.AsyncClient) -> None:
    answers = [
        await http.post("/v1/admin/coupons", json=COUPON, headers={"Idempotency-Key": "spring-1"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    second = await http.post("/v1/admin/coupons", json=COUPON, headers={"Idempotency-Key": "spring-2"})
    assert (second.status_code, second.json()["code"], second.json()["coupon"]) == (
        409,
        "promotions.coupon_exists",
        "SPRING",
    )


@pytest.mark.requirement("CED-CPN-07", "SBB-DISC-02")
@pytest.mark.parametrize(
    "change",
    [
        {"discount_type": "free"},
        {"percentage": "0"},
        {"percentage": "101"},
        {"percentage": "ten"},
        {"scope": "some"},
        {"applies_at": "subtotal"},
        {"applies_at": "catalog"},
        {"payment_method": "cheque"},
        {"usage_limit": 0},
        {"expires_at": "2099-01-01T00:00:00"},
        {"unknown": 1},
    ],
)
async def test_what_cannot_be_right_is_refused(http: httpx.AsyncClient, change: dict[str, object]) -> None:
    refused = await http.post("/v1/admin/coupons", json=COUPON | change)
    assert refused.status_code in {400, 422}, refused.text
    assert (await http.get("/v1/admin/coupons", params={"show": "all"})).json()["items"] == []


@pytest.mark.requirement("CED-OP-060", "CED-OP-061")
async def test_what_applies_by_itself_and_what_ends_soon(http: httpx.AsyncClient, shop: Shop) -> None:
    shirt = (await shop.products.variant(variant_id=await make_product(shop))).product_id
    soon = datetime.now(UTC) + timedelta(days=1)
    await make_coupon(shop, "10 %", "SHIRT", auto_apply=True, product_ids=[shirt], payment_method="stripe")
    await make_coupon(shop, "1.00 USD", "ALL", auto_apply=True, expires_at=soon)

    async def codes(path: str, **params: str) -> list[str]:
        answer = await http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return [coupon["code"] for coupon in (found["items"] if isinstance(found, dict) else found)]

    product = f"/v1/admin/products/{shirt}/coupons"
    assert await codes(product) == ["SHIRT"]
    assert await codes(f"{product}/automatic") == ["ALL"]
    assert await codes(f"{product}/automatic", payment_method="stripe") == ["ALL", "SHIRT"]
    assert await codes("/v1/admin/coupons/expiring", before=(soon + timedelta(days=1)).isoformat()) == ["ALL"]
    assert await codes("/v1/admin/coupons/expiring", before=datetime.now(UTC).isoformat()) == []
    every = (await http.get("/v1/admin/coupons/automatic", params={"payment_method": "stripe"})).json()
    assert {product_id: [each["code"] for each in found] for product_id, found in every["by_product"].items()} == {
        str(shirt): ["ALL", "SHIRT"]
    }
    assert [coupon["code"] for coupon in every["everywhere"]] == ["ALL"]


async def test_the_uses_of_a_coupon(http: httpx.AsyncClient, shop: Shop) -> None:
    await make_coupon(shop, "10 %", "SAVE")
    placed = await place(shop, (await make_product(shop), 1), coupons=["save"])
    (use,) = (await http.get("/v1/admin/coupons/save/redemptions")).json()["items"]
    assert (use["order_number"], use["amount"]) == (placed.order.number, {"amount": 100, "currency": "USD"})
    assert (await http.get("/v1/admin/coupons/other/redemptions")).status_code == 404


@pytest.mark.requirement("SBB-ORD-10")
async def test_buyer_and_staff_see_what_each_coupon_took_also_after_it_is_gone(
    http: httpx.AsyncClient, shop: Shop
) -> None:
    ann = await shop.users.register(email="ann@buyer.example", password="correct horse battery", full_name="Ann")
    shirt, cap = await make_product(shop, price=2000), await make_product(shop, price=1000)
    listed = (await shop.products.variant(variant_id=shirt)).product_id
    await make_coupon(shop, "50 %", "SHIRTS", auto_apply=True, product_ids=[listed])
    await make_coupon(shop, "5.00 USD", "FIVE")
    placed = await place(shop, (shirt, 1), (cap, 1), visitor=Visitor(user_id=ann.id), coupons=["five"])
    await shop.coupons.delete(code="FIVE")
    await shop.coupons.update(code="SHIRTS", changes=CouponChanges(percentage=Decimal(1)))

    async def read(path: str, user_id: UserId) -> dict[str, Any]:
        signed_in = await shop.sessions.start(proof=Proof(user_id=user_id))
        answer = await http.get(path, headers={"Authorization": f"Bearer {signed_in.access_token}"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    clerk = await shop.users.create(email="bo@shop.example", role=UserRole.STAFF, permissions=[Permission.ORDERS_READ])
    order = await read(f"/v1/account/orders/{placed.order.number}", ann.id)
    for_staff = await read(f"/v1/admin/orders/{placed.order.id}", clerk.id)
    assert for_staff["order"] == order
    assert [
        (each["code"], each["applies_at"], each["auto_apply"], each["amount"]["amount"]) for each in order["discounts"]
    ] == [
        ("SHIRTS", "catalog", True, 1000),
        ("FIVE", "checkout", False, 500),
    ]
    assert [line["discount"]["amount"] for line in order["lines"]] == [1250, 250]
    assert (order["subtotal"]["amount"], order["discount"]["amount"]) == (3000, 1500)
    kept = await shop.orders.get(order_id=placed.order.id)
    assert (kept.discount_code, kept.discount_id is None) == ("FIVE", False)
    held = await shop.personal_data.export(user_id=ann.id)
    assert sorted(row["code"] for row in held.parts["discounts"]) == ["FIVE", "SHIRTS"]
    assert len(held.parts["coupons"]) == 2
