"""Coupons over HTTP: staff keep them, customers never read them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from factories import make_coupon, make_product, open_shop, place
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, Proof, UserRole
from storeroom.room import Shop, Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings

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
    transport = httpx.ASGITransport(create_app(room, Settings()), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
        yield client


@pytest.mark.requirement("CED-OP-058", "CED-OP-062", "CED-OP-063", "CED-OP-065")
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
        (await http.get("/v1/admin/coupons", params={"show": show})).json() for show in ("all", "active", "valid")
    ]
    assert [len(page["items"]) for page in listed] == [1, 0, 0]


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
    assert (await http.get("/v1/admin/coupons")).json()["items"] == []


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
