"""Subscriptions over HTTP: their holders see and end their own, staff who may do the rest."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from club import Club

from storeroom.core.ids import UserId
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, UserRole
from storeroom.room import Shop
from storeroom.subscriptions import SubscriptionPayment

PASSWORD = "correct horse battery"
ADMIN = "/v1/admin/subscriptions"
OWN = "/v1/account/subscriptions"


async def sign_in(shop: Shop, http: httpx.AsyncClient, *permissions: Permission) -> UserId:
    email = f"{uuid4().hex}@shop.example"
    user = await shop.users.register(email=email, password=PASSWORD, full_name="Ann")
    if permissions:
        users = shop.acting(actor=SYSTEM).users
        await users.set_role(user_id=user.id, role=UserRole.STAFF)
        await users.set_permissions(user_id=user.id, permissions=permissions)
    answer = await http.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return user.id


async def ask(http: httpx.AsyncClient, method: str, path: str, body: Any = None, **query: Any) -> Any:
    answer = await http.request(method, path, json=body, params=query)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def test_a_holder_sees_and_ends_its_own_and_nobody_elses(club: Club, http: httpx.AsyncClient) -> None:
    user_id = await sign_in(club.shop, http)
    own, foreign = await club.join(user_id=user_id), await club.join()
    card = await club.join(user_id=user_id, payment_method=SubscriptionPayment.STRIPE)
    listed = await ask(http, "GET", OWN)
    assert [each["id"] for each in listed["items"]] == [str(card.id), str(own.id)]
    assert not {"wallet", "metadata", "stripe_customer_id"} & set(listed["items"][0])
    ended = await ask(http, "POST", f"{OWN}/{own.id}/cancel")
    assert (ended["cancel_at_period_end"], ended["status"]) == (True, "active")
    assert not (await ask(http, "POST", f"{OWN}/{own.id}/reactivate"))["cancel_at_period_end"]
    for path, code in ((f"{foreign.id}/cancel", "not_found"), (f"{card.id}/cancel", "collected_elsewhere")):
        answer = await http.post(f"{OWN}/{path}")
        assert answer.json()["code"] == f"subscriptions.{code}"
    assert (await club.get(foreign), await club.get(card)) == (foreign, card)


async def test_staff_keep_them_from_their_beginning_to_their_end(club: Club, http: httpx.AsyncClient) -> None:
    await sign_in(club.shop, http, Permission.SUBSCRIPTIONS_WRITE)
    product = str(club.product_id)
    body = {"product_id": product, "wallet": "W", "payment_method": "manual", "billing_period": "month"}
    answer = await http.post(ADMIN, json=body, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 201, answer.text
    again = await http.post(ADMIN, json=body, headers={"Idempotency-Key": "one"})
    made = answer.json()
    assert again.json()["id"] == made["id"]
    one = f"{ADMIN}/{made['id']}"
    assert await ask(http, "GET", one) == made
    assert (await ask(http, "GET", f"{ADMIN}/by-wallet", wallet="W", product_id=product))["id"] == made["id"]
    assert await ask(http, "GET", f"{ADMIN}/access", wallet="W", product_id=product) == {"access": True}
    assert await ask(http, "GET", f"{ADMIN}/access", wallet="V", product_id=product) == {"access": False}
    for query in (
        {},
        {"product_id": product},
        {"product_id": product, "active": True},
        {"status": "active"},
        {"expiring_before": "2199-01-01T00:00:00Z"},
    ):
        assert [each["id"] for each in (await ask(http, "GET", ADMIN, **query))["items"]] == [made["id"]], query
    for query in ({"stripe_customer_id": "cus_1"}, {"status": "expired"}, {"user_id": str(uuid4())}):
        assert (await ask(http, "GET", ADMIN, **query))["items"] == [], query
    refused = await http.get(ADMIN, params={"status": "active", "product_id": product})
    assert (refused.status_code, refused.json()["code"]) == (422, "subscriptions.invalid")
    changed = await ask(http, "PATCH", one, {"payment_method": "stripe", "stripe_subscription_id": "sub_1"})
    assert changed["stripe_subscription_id"] == "sub_1"
    assert (await ask(http, "GET", f"{ADMIN}/by-stripe-id/sub_1"))["id"] == made["id"]
    period = {"period_start": made["current_period_end"], "period_end": "2198-01-01T00:00:00Z"}
    assert (await ask(http, "POST", f"{one}/period", period))["current_period_end"] == "2198-01-01T00:00:00Z"
    assert (await ask(http, "POST", f"{one}/status", {"status": "past_due"}))["status"] == "past_due"
    refused = await http.post(f"{one}/payments", json={"payment_reference": "p1"})
    assert refused.json()["code"] == "subscriptions.collected_elsewhere"
    assert (await ask(http, "DELETE", one))["status"] == "cancelled"
    assert [each["event"] for each in await ask(http, "GET", f"{one}/history")] == [
        "cancelled", "past_due", "renewed", "changed", "created",
    ]  # fmt: skip


async def test_a_payment_over_http_and_a_cancellation_taken_back(club: Club, http: httpx.AsyncClient) -> None:
    await sign_in(club.shop, http, Permission.SUBSCRIPTIONS_WRITE)
    made = await club.join()
    paid = await ask(http, "POST", f"{ADMIN}/{made.id}/payments", {"payment_reference": "p1"})
    assert paid["current_period_end"] == (await ask(http, "GET", f"{ADMIN}/{made.id}"))["current_period_end"]
    assert (await ask(http, "POST", f"{ADMIN}/{made.id}/cancel"))["cancel_at_period_end"]
    assert not (await ask(http, "POST", f"{ADMIN}/{made.id}/reactivate"))["cancel_at_period_end"]


@pytest.mark.parametrize("permissions", [(), (Permission.ORDERS_WRITE,)])
async def test_nobody_else_gets_in(club: Club, http: httpx.AsyncClient, permissions: tuple[Permission, ...]) -> None:
    await sign_in(club.shop, http, *permissions)
    made = await club.join()
    assert (await http.get(ADMIN)).status_code == 403
    assert (await http.delete(f"{ADMIN}/{made.id}")).status_code == 403
    assert await club.get(made) == made
