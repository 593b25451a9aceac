"""Payments from wallets over HTTP: a pay server's key records them, and a customer looks at an offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from factories import make_product
from purse import OURS, RIVAL, WALLET, Purse, signature
from serving import app_of
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import Permission, UserRole
from storeroom.room import Storeroom

USDC = {"amount": 5_000_000, "currency": "USDC"}


@pytest.fixture
async def http(room: Storeroom, purse: Purse) -> AsyncIterator[httpx.AsyncClient]:
    """Called with the key of a pay server."""
    owner = await purse.shop.users.create(email="owner@shop.example", role=UserRole.SUPER_ADMIN)
    staff = purse.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=owner.id, name=owner.email))
    _, key = await staff.api_keys.create(
        name="pay server", permissions=[Permission.PAYMENTS_RECORD, Permission.PAYMENTS_READ]
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app_of(room)),
        base_url="http://shop.example",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        yield client


def a_payment(**facts: Any) -> dict[str, Any]:
    return {
        "signature": signature(),
        "resource_id": "cart:1",
        "wallet": WALLET,
        "amount": USDC,
        "account": OURS,
        **facts,
    }


async def test_a_pay_servers_key_records_once(http: httpx.AsyncClient) -> None:
    sent = a_payment()
    first, again = [await http.post("/v1/admin/payment-transactions", json=sent) for _ in range(2)]
    assert (first.status_code, first.json(), again.json()) == (200, {"first": True}, {"first": False})
    batch = await http.post("/v1/admin/payment-transactions/batch", json={"payments": [a_payment(), sent]})
    assert batch.json() == {"first": False, "replayed": [sent["signature"]]}
    found = await http.get("/v1/admin/payment-transactions/by-signature", params={"signature": sent["signature"]})
    assert {name: found.json()[name] for name in sent} == sent
    for asked, processed in ((sent["signature"], True), ("none", False)):
        said = await http.get("/v1/admin/payment-transactions/processed", params={"signature": asked})
        assert said.json() == {"processed": processed}
    listed = await http.get("/v1/admin/payment-transactions", params={"wallet": WALLET})
    assert [each["signature"] for each in listed.json()["items"]] == [sent["signature"]]
    elsewhere = await http.post("/v1/admin/payment-transactions", json=a_payment(account="elsewhere"))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "wallets.not_our_account")
    missing = await http.get("/v1/admin/payment-transactions/by-signature", params={"signature": "none"})
    assert (missing.status_code, missing.json()["code"]) == (404, "wallets.transaction_not_found")


async def test_an_answer_that_was_lost_is_given_again(http: httpx.AsyncClient) -> None:
    """The key of the request keeps `first`: a program that asks again does not take itself for a replay."""
    sent, key = a_payment(), {"Idempotency-Key": signature()}
    told = [await http.post("/v1/admin/payment-transactions", json=sent, headers=key) for _ in range(2)]
    assert [each.json() for each in told] == [{"first": True}] * 2
    assert told[1].headers["Idempotency-Replay"] == "true"


async def test_an_offer_is_made_looked_at_and_paid(http: httpx.AsyncClient, purse: Purse) -> None:
    variant = str(await make_product(purse.staff, stock=5))
    draft = {
        "id": f"cart_{signature()}",
        "items": [{"variant_id": variant, "quantity": 2, "unit_price": {"amount": 2_500_000, "currency": "USDC"}}],
        "total": USDC,
    }
    made = await http.post("/v1/admin/cart-quotes", json=draft)
    assert (made.status_code, made.json()["expired"]) == (201, False)
    customer = {"Authorization": "", "Storeroom-Tenant": purse.shop.tenant_id}
    seen = await http.get(f"/v1/cart-quotes/{draft['id']}", headers=customer)
    assert seen.status_code == 200, seen.text
    assert (seen.json()["total"], seen.json()["paid"], seen.json()["accounts"]) == (USDC, False, [OURS])
    assert "metadata" not in seen.json() and "wallet_paid_by" not in seen.json()
    sent = {
        "signature": signature(),
        "wallet": WALLET,
        "amount": USDC,
        "account": OURS,
        "quote_id": draft["id"],
        "email": "bo@buyer.example",
        "name": "Bo Buyer",
    }
    first, again = [await http.post("/v1/admin/wallet-payments", json=sent) for _ in range(2)]
    assert (first.status_code, first.json()["placed"], first.json()["order_status"]) == (200, True, "payment_received")
    assert (again.json()["first"], again.json()["order_id"]) == (False, first.json()["order_id"])
    assert (await http.get(f"/v1/cart-quotes/{draft['id']}", headers=customer)).json()["paid"] is True
    for wallet, access in ((WALLET, True), (RIVAL, False)):
        said = await http.get(f"/v1/admin/cart-quotes/{draft['id']}/access", params={"wallet": wallet})
        assert said.json() == {"has_access": access}
    rival = await http.post("/v1/admin/wallet-payments", json={**sent, "signature": signature(), "wallet": RIVAL})
    assert (rival.status_code, rival.json()["code"]) == (409, "wallets.quote_paid_by_another")
    over = await http.post("/v1/admin/cart-quotes", json=draft)
    assert (over.status_code, over.json()["code"], over.json()["quote_ids"]) == (
        409,
        "wallets.quote_paid",
        [draft["id"]],
    )


async def test_each_outcome_of_marking_has_its_answer(http: httpx.AsyncClient, purse: Purse) -> None:
    item = {"sku": "A-1", "unit_price": USDC}
    quotes = [{"id": name, "items": [item], "total": USDC} for name in ("q1", "q2")]
    assert (await http.post("/v1/admin/cart-quotes/batch", json={"quotes": quotes})).json() == {"saved": 2}
    await purse.one("UPDATE cart_quotes SET expires_at = now() WHERE tenant_id = $1 AND id = 'q2'")

    async def mark(quote_id: str, wallet: str) -> tuple[int, str]:
        said = await http.post(f"/v1/admin/cart-quotes/{quote_id}/mark-paid", json={"wallet": wallet})
        return said.status_code, said.json().get("outcome") or said.json()["code"]

    assert await mark("q1", WALLET) == (200, "paid_now")
    assert await mark("q1", WALLET) == (200, "already_paid_by_this_wallet")
    assert await mark("q1", RIVAL) == (409, "wallets.quote_paid_by_another")
    assert await mark("q2", WALLET) == (409, "wallets.quote_expired")
    assert await mark("q3", WALLET) == (404, "wallets.quote_not_found")
    some = await http.get("/v1/admin/cart-quotes/by-ids", params={"ids": ["q2", "q3", "q1"]})
    assert [each["id"] for each in some.json()["items"]] == ["q2", "q1"]
    lapsed = await http.get("/v1/admin/cart-quotes", params={"lapsed": "true"})
    assert [each["id"] for each in lapsed.json()["items"]] == ["q2"]
    assert len((await http.get("/v1/admin/cart-quotes")).json()["items"]) == 2
    assert (await http.get("/v1/admin/cart-quotes/q2")).json()["expired"] is True


async def test_a_pay_server_moves_no_money_elsewhere(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/admin/receiving-accounts", json={"asset": "USDC", "address": "thief", "label": "Mine"})
    assert made.status_code == 403
    assert [each["address"] for each in (await http.get("/v1/admin/receiving-accounts")).json()["items"]] == [OURS]
