"""Refunds over HTTP: from the promise to the money, and what is refused on the way."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from refund_desk import Desk, usd
from serving import app_of
from storeroom.identity import Proof
from storeroom.room import Storeroom


@pytest.fixture
async def http(room: Storeroom, desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator at the door."""
    host = f"{secrets.token_hex(6)}.example"
    await room.tenants.add_host(desk.shop.tenant_id, host)
    token = (await desk.shop.sessions.start(proof=Proof(user_id=desk.admin.id))).access_token
    transport = httpx.ASGITransport(app_of(room))
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://{host}", headers={"Authorization": f"Bearer {token}"}
    ) as client:
        yield client


async def test_a_refund_is_promised_looked_at_and_completed(desk: Desk, http: httpx.AsyncClient) -> None:
    order, payment = await desk.paid()
    (line,) = (await http.get(f"/v1/admin/orders/{order.id}")).json()["progress"]
    item = {"order_item_id": line["order_item_id"], "quantity": 1, "restock": True}
    asked = {"amount": {"amount": 4000, "currency": "USD"}, "reason": "damaged", "items": [item]}
    path = f"/v1/admin/payments/{payment.id}/refunds"
    made = await http.post(path, json=asked, headers={"Idempotency-Key": "refund-1"})
    assert made.status_code == 201, made.text
    again = await http.post(path, json=asked, headers={"Idempotency-Key": "refund-1"})
    assert again.json() == made.json()
    refund = made.json()
    assert (refund["status"], refund["amount"]) == ("pending", {"amount": 4000, "currency": "USD"})
    more = await http.post(path, json={"amount": {"amount": 6001, "currency": "USD"}, "reason": "damaged"})
    assert (more.status_code, more.json()["code"]) == (409, "refunds.exceeds_payment")
    assert more.json()["left"] == {"amount": 6000, "currency": "USD"}
    one = (await http.get(f"/v1/admin/refunds/{refund['id']}")).json()
    assert one["refund"] == refund
    assert one["items"] == [item]
    bare = await http.post(f"/v1/admin/refunds/{refund['id']}/complete", json={})
    assert bare.status_code == 400
    done = await http.post(
        f"/v1/admin/refunds/{refund['id']}/complete", json={"method": "check", "details": {"number": "1001"}}
    )
    assert done.status_code == 200, done.text
    assert (done.json()["status"], done.json()["refund_details"]) == ("completed", {"number": "1001"})
    twice = await http.post(f"/v1/admin/refunds/{refund['id']}/complete", json={"method": "check"})
    assert (twice.status_code, twice.json()["code"]) == (409, "refunds.move_refused")
    failed = await http.post(f"/v1/admin/refunds/{refund['id']}/fail", json={"reason": "no"})
    assert (failed.status_code, failed.json()["code"]) == (409, "refunds.move_refused")
    listed = (await http.get("/v1/admin/refunds", params={"status": "completed"})).json()
    assert [each["id"] for each in listed["items"]] == [refund["id"]]
    assert [each["id"] for each in (await http.get(f"/v1/admin/orders/{order.id}/refunds")).json()] == [refund["id"]]
    assert (await desk.order(order.id)).amount_paid == usd(6_000)


async def test_staff_without_the_right_give_nothing_back(desk: Desk, http: httpx.AsyncClient) -> None:
    _, payment = await desk.paid(buyer=(buyer := await desk.buyer()))
    token = (await desk.shop.sessions.start(proof=Proof(user_id=buyer.id))).access_token
    answer = await http.post(
        f"/v1/admin/payments/{payment.id}/refunds",
        json={"reason": "mine"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403
    assert await desk.shop.refunds.for_payment(payment_id=payment.id) == []


@pytest.mark.requirement("CED-NON-02", "CED-OP-035")
async def test_a_shop_can_ask_for_a_nonce_for_each_of_these(desk: Desk, http: httpx.AsyncClient) -> None:
    _, payment = await desk.paid()
    refund = await desk.shop.refunds.request(payment_id=payment.id, reason="damaged")
    quote = {
        "id": "rq-1",
        "original_purchase_id": "sig-1",
        "recipient_wallet": "7xKX",
        "amount": {"amount": 1_500_000_001, "currency": "SOL"},
    }
    assert (await http.post("/v1/admin/refund-quotes", json=quote)).status_code == 201
    await desk.shop.configuration.set(key="refunds.nonce_required", value="on")

    async def nonce(purpose: str) -> str:
        answer = await http.post("/v1/admin/nonces", json={"purpose": purpose})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    acts = [
        ("/v1/admin/refund-quotes/rq-1/approve", "approve-refund", None),
        ("/v1/admin/refund-quotes/rq-1/process", "process-refund", {"processed_by": "ann", "signature": "out-1"}),
        (f"/v1/admin/refunds/{refund.id}/complete", "complete-refund", {"method": "check"}),
    ]
    for path, purpose, body in acts:
        bare = await http.post(path, json=body)
        assert (bare.status_code, bare.json()["code"]) == (403, "verification.nonce_required")
        assert bare.json()["purpose"] == purpose
        other = await nonce("list-pending-refunds")
        wrong = await http.post(path, json=body, headers={"Storeroom-Nonce": other})
        assert (wrong.status_code, wrong.json()["code"]) == (409, "verification.invalid_nonce_purpose")
        unknown = await http.post(path, json=body, headers={"Storeroom-Nonce": "none"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "verification.nonce_not_found")
        good = await nonce(purpose)
        done = await http.post(path, json=body, headers={"Storeroom-Nonce": good})
        assert done.status_code == 200, done.text
        again = await http.post(path, json=body, headers={"Storeroom-Nonce": good})
        assert (again.status_code, again.json()["code"]) == (409, "verification.nonce_already_used")
    assert (await desk.shop.refund_quotes.get(quote_id="rq-1")).status == "processed"
    assert (await desk.payment(payment.id)).status == "refunded"
    told = await desk.shop.audit.list(limit=100)
    kept = [entry.new_values for entry in told.items if entry.action == "refunds.complete" and entry.success]
    assert [values and values["nonce_token"] for values in kept] == ["(secret)"], "and never the nonce itself"


async def test_a_refused_act_leaves_its_nonce_good(desk: Desk, http: httpx.AsyncClient) -> None:
    _, payment = await desk.paid()
    refund = await desk.shop.refunds.request(payment_id=payment.id, reason="damaged")
    nonce = (await http.post("/v1/admin/nonces", json={"purpose": "complete-refund"})).json()["id"]
    path, headers = f"/v1/admin/refunds/{refund.id}/complete", {"Storeroom-Nonce": nonce}
    guest = await http.post(path, json={"method": "store_credit"}, headers=headers)
    assert (guest.status_code, guest.json()["code"]) == (409, "refunds.credit_needs_account")
    done = await http.post(path, json={"method": "check"}, headers=headers)
    assert done.status_code == 200, done.text
