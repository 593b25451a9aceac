"""The same over HTTP: a customer opens the page, the provider sends them back, Stripe sends its messages, staff look."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from stand import PROVIDER, Stand

from factories import LOOPBACK, SECRET, make_product
from standin import MERCHANT, PASSWORD, STRIPE_KEY, SUCCESS, WEBHOOK_SECRET, StandIn, event, serving, signed
from storeroom.database.service import SYSTEM
from storeroom.flows.inbound import HANDLERS
from storeroom.identity import Permission, Proof, UserRole, UserStatus
from storeroom.inbox import InboxProcessor, InboxStatus
from storeroom.payments import PaymentMethodType
from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings


@dataclass
class Web:
    """A shop at a host of its own, with both gateways at the stand-in."""

    stand: Stand
    home: StandIn
    host: str
    http: httpx.AsyncClient

    async def bought(self, method: str) -> tuple[dict[str, str], str, str]:
        """As a guest: the headers that prove who it is, the payment's reference and the order's number."""
        variant = await make_product(self.stand.shop)
        cart = (await self.http.post("/v1/carts")).json()
        mine = {"Storeroom-Session": cart["token"]}
        self.http.cookies.clear()
        await self.http.post(f"/v1/carts/{cart['id']}/items", json={"variant_id": str(variant)}, headers=mine)
        placed = await self.http.post(
            "/v1/checkout",
            headers=mine,
            json={
                "cart_id": cart["id"],
                "email": "bo@buyer.example",
                "name": "Bo",
                "phone": "+1 512 555 0123",
                "payment_method": method,
                "shipping_address": {
                    "recipient_name": "Bo",
                    "street_line_1": "1 Main Street",
                    "city": "Albany",
                    "state_province": "NY",
                    "postal_code": "12207",
                    "country_code": "US",
                },
            },
        )
        assert placed.status_code == 201, placed.text
        return mine, placed.json()["payment"]["reference"], placed.json()["order"]["number"]

    async def open(self, reference: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        body = {"return_url": f"http://{self.host}/thanks?lang=en"}
        return await self.http.post(f"/v1/payments/{reference}/hosted-session", json=body, headers=headers, **more)

    async def status(self, reference: str, headers: dict[str, str]) -> str:
        return str((await self.http.get(f"/v1/payments/{reference}", headers=headers)).json()["status"])

    async def outcomes(self) -> list[str]:
        """Have the worker process what came; what became of it, the last first."""
        shop = self.stand.shop
        processor = InboxProcessor(shop.context.db, handlers=HANDLERS, tenants=shop.context.tenants)
        while await processor.process_next(shop.tenant_id):
            pass
        came = [each for each in (await shop.inbox.list()).items if each.signature_valid]
        assert {each.status for each in came} <= {InboxStatus.COMPLETED, InboxStatus.SKIPPED}, came
        return [str((await shop.inbox.get(message_id=each.id)).result["outcome"]) for each in came]

    async def staff(self, *permissions: Permission) -> dict[str, str]:
        shop = self.stand.shop.acting(actor=SYSTEM)
        user = await shop.users.create(
            email=f"{uuid.uuid4().hex}@shop.example", role=UserRole.STAFF, permissions=permissions
        )
        await shop.users.set_status(user_id=user.id, status=UserStatus.ACTIVE)
        return {"Authorization": f"Bearer {(await shop.sessions.start(proof=Proof(user_id=user.id))).access_token}"}


@pytest.fixture
def home() -> Iterator[StandIn]:
    with serving() as known:
        yield known


@pytest.fixture
async def web(dsn: str, home: StandIn) -> AsyncIterator[Web]:
    async with Storeroom.open(dsn, secret=SECRET, private_destinations=LOOPBACK) as room:
        tenant_id, host = f"t_{uuid.uuid4().hex[:12]}", f"{uuid.uuid4().hex}.test"
        await room.tenants.create(tenant_id, name="A shop", currency="USD")
        await room.tenants.add_host(tenant_id, host)
        stand = Stand(room.tenant(tenant_id, actor=PROVIDER))
        for name, config in {
            "stripe": {"secret_key": STRIPE_KEY, "webhook_secret": WEBHOOK_SECRET, "test_endpoint": home.url},
            "mpgs": {"merchant_id": MERCHANT, "api_password": PASSWORD, "test_endpoint": home.url},
        }.items():
            await stand.shop.gateways.create(id=name, name=name, config=config)
            await stand.shop.gateways.activate(gateway_id=name)
            await stand.method(name, gateway_id=name, method_type=PaymentMethodType(name))
        transport = httpx.ASGITransport(create_app(room, Settings(flood_requests=0)), client=("203.0.113.9", 40000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            yield Web(stand, home, host, http)


async def test_a_guest_pays_on_stripes_page(web: Web) -> None:
    mine, reference, _ = await web.bought("stripe")
    opened = await web.open(reference, mine, params={})
    assert opened.status_code == 201, opened.text
    page = opened.json()
    assert set(page) == {"provider", "session_id", "url", "script_url", "expires_at"}
    assert page["url"] == f"https://checkout.stripe.com/c/pay/{page['session_id']}"
    again = await web.open(reference, mine)
    assert again.json() == page
    body = event("checkout.session.completed", web.home.stripe_pays(page["session_id"]))
    for answer in (202, 200):
        told = await web.http.post(
            f"/v1/webhooks/{web.stand.shop.tenant_id}/stripe",
            content=body,
            headers={"Stripe-Signature": signed(body), "Content-Type": "application/json; charset=utf-8"},
        )
        assert (told.status_code, told.json()) == (answer, {"received": True, "repeated": answer == 200})
    assert await web.outcomes() == ["completed"]
    assert await web.status(reference, mine) == "completed"
    gone = await web.open(reference, mine)
    assert (gone.status_code, gone.json()["code"]) == (409, "payments.move_refused")


async def test_a_guest_without_a_session_opens_the_page_by_number_and_phone(web: Web) -> None:
    """As a checkout without a cart leaves one; nothing else is known of whose order it is."""
    _, reference, number = await web.bought("stripe")
    web.http.cookies.clear()
    body = {"return_url": f"http://{web.host}/thanks", "number": number, "phone": "+1 (512) 555-0123"}
    path = f"/v1/payments/{reference}/hosted-session"
    for strange in ({"phone": "+1 512 555 0199"}, {"number": "XXXX-XXXX"}, {"phone": None}):
        refused = await web.http.post(path, json=body | strange)
        assert (refused.status_code, refused.json()["code"]) == (404, "payments.not_found"), strange
    assert web.home.sessions == {}
    opened = await web.http.post(path, json=body)
    assert opened.status_code == 201, opened.text
    assert opened.json()["url"].endswith(opened.json()["session_id"])
    again = await web.http.post(path, json=body | {"number": f" {number.lower()} "})
    assert again.json() == opened.json()


async def test_the_message_finds_its_shop_by_the_path_alone(web: Web) -> None:
    """Stripe sends no header of ours, and maybe to a host that is another shop's or nobody's."""
    mine, reference, _ = await web.bought("stripe")
    page = (await web.open(reference, mine)).json()
    body = event("checkout.session.completed", web.home.stripe_pays(page["session_id"]))
    headers = {"Stripe-Signature": signed(body), "Host": "api.nobody.example"}
    path = f"/v1/webhooks/{web.stand.shop.tenant_id}/stripe"
    told = await web.http.post(path, content=body, headers={**headers, "Storeroom-Tenant": "default"})
    assert told.status_code == 202
    assert await web.outcomes() == ["completed"]
    assert await web.status(reference, mine) == "completed"
    for tenant in ("nobody", "a.b", "%00"):
        lost = await web.http.post(f"/v1/webhooks/{tenant}/stripe", content=body, headers=headers)
        assert lost.status_code == 404, tenant


async def test_a_token_of_another_shop_does_not_go_with_the_path(web: Web) -> None:
    staff = await web.staff(Permission.PAYMENTS_VERIFY)
    body = event("checkout.session.completed", {"id": "cs_1", "mode": "payment"})
    sent = await web.http.post(
        "/v1/webhooks/another/stripe", content=body, headers={**staff, "Stripe-Signature": signed(body)}
    )
    assert (sent.status_code, sent.json()["code"]) == (404, "tenants.unknown")


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (lambda body: None, "hosted.signature_refused"),
        (lambda body: signed(body, age_s=400), "hosted.signature_refused"),
        (lambda body: signed(body, secret="whsec_x"), "hosted.signature_refused"),
        (lambda body: signed(body + b" "), "hosted.signature_refused"),
    ],
)
async def test_what_stripe_did_not_sign_is_refused(web: Web, signature: Any, code: str) -> None:
    body = event("checkout.session.completed", {"id": "cs_1", "mode": "payment"})
    header = signature(body)
    sent = await web.http.post(
        f"/v1/webhooks/{web.stand.shop.tenant_id}/stripe",
        content=body,
        headers={} if header is None else {"Stripe-Signature": header},
    )
    assert (sent.status_code, sent.json()["code"]) == (401, code)
    assert await web.outcomes() == []
    assert await web.stand.audited("hosted.event") == 0


async def test_a_message_without_end_is_not_read(web: Web) -> None:
    path = f"/v1/webhooks/{web.stand.shop.tenant_id}/stripe"
    sent = await web.http.post(path, content=b" " * (512 * 1024 + 1), headers={"Stripe-Signature": "t=1,v1=a"})
    assert sent.status_code == 413


async def test_a_guest_pays_at_mastercards_gateway_and_comes_back(web: Web) -> None:
    mine, reference, _ = await web.bought("mpgs")
    page = (await web.open(reference, mine)).json()
    assert (page["url"], page["script_url"]) == (None, f"{web.home.url}/static/checkout/checkout.min.js")
    started = web.home.asked[-1].json
    back = httpx.URL(started["interaction"]["returnUrl"])
    assert back.host == web.host
    query = {"resultIndicator": SUCCESS, "sessionVersion": "1f2a3b4c02"}
    web.home.mpgs_says(started["order"]["id"], "CAPTURED", captured="10.00")
    wrong = await web.http.get(back.path, params={**query, "resultIndicator": "0" * 16})
    assert (wrong.status_code, wrong.headers["location"]) == (
        303,
        f"http://{web.host}/thanks?lang=en&payment={reference}",
    )
    assert await web.status(reference, mine) == "pending"
    for _ in range(2):
        right = await web.http.get(back.path, params=query)
        assert (right.status_code, right.headers["location"]) == (303, wrong.headers["location"])
    assert await web.status(reference, mine) == "completed"
    assert await web.stand.told("payment.completed") == 1


async def test_a_return_of_nobody(web: Web) -> None:
    mine, reference, _ = await web.bought("mpgs")
    tenant = web.stand.shop.tenant_id
    for path in (f"/v1/returns/{tenant}/mpgs/{reference}", f"/v1/returns/{tenant}/mpgs/PAY-X", "/v1/returns/x/mpgs/y"):
        lost = await web.http.get(path, params={"resultIndicator": SUCCESS})
        assert lost.status_code == 404
    assert await web.status(reference, mine) == "pending"


async def test_a_page_is_opened_for_whom_the_payment_is(web: Web) -> None:
    _, reference, _ = await web.bought("stripe")
    theirs, _, _ = await web.bought("stripe")
    for headers in ({}, theirs, await web.staff(Permission.PAYMENTS_READ)):
        refused = await web.open(reference, headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "payments.not_found")
    assert web.home.asked == []
    assert (await web.open(reference, await web.staff(Permission.PAYMENTS_VERIFY))).status_code == 201


async def test_the_same_key_gets_the_same_page(web: Web) -> None:
    mine, reference, _ = await web.bought("mpgs")
    key = {**mine, "Idempotency-Key": uuid.uuid4().hex}
    first, again = await web.open(reference, key), await web.open(reference, key)
    assert first.content == again.content
    assert again.headers["idempotency-replay"] == "true" and len(web.home.asked) == 1


async def test_where_the_buyer_goes_is_the_shops_own(web: Web) -> None:
    mine, reference, _ = await web.bought("stripe")
    body = {"return_url": "https://evil.example/"}
    refused = await web.http.post(f"/v1/payments/{reference}/hosted-session", json=body, headers=mine)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        422,
        "hosted.invalid",
        "return_url",
    )


async def test_what_a_provider_says_is_not_passed_on(web: Web) -> None:
    mine, reference, _ = await web.bought("stripe")
    await web.stand.shop.gateways.update(gateway_id="stripe", config={"secret_key": "sk_test_wrong"})
    refused = await web.open(reference, mine)
    assert (refused.status_code, refused.json()["code"]) == (500, "hosted.misconfigured")
    assert "sk_test" not in refused.text and "Invalid API Key" not in refused.text
    assert await web.status(reference, mine) == "pending"


async def test_staff_read_and_ask(web: Web) -> None:
    mine, reference, number = await web.bought("stripe")
    session_id = (await web.open(reference, mine)).json()["session_id"]
    by_gateway, other, _ = await web.bought("mpgs")
    mpgs = (await web.open(other, by_gateway)).json()["session_id"]
    reader = await web.staff(Permission.PAYMENTS_READ)
    listed = (await web.http.get("/v1/admin/hosted-sessions", headers=reader)).json()["items"]
    assert [(each["id"], each["resource_id"], each["status"]) for each in listed] == [(session_id, number, "pending")]
    assert "url" not in listed[0]
    for query, found in (({"status": "completed"}, 0), ({"resource_id": number}, 1), ({"resource_id": "x"}, 0)):
        answer = await web.http.get("/v1/admin/hosted-sessions", params=query, headers=reader)
        assert len(answer.json()["items"]) == found
    transactions = (await web.http.get("/v1/admin/mpgs-transactions", headers=reader)).json()
    assert transactions["total"] == 1 and SUCCESS not in str(transactions)
    transaction = transactions["items"][0]
    assert (transaction["session_id"], transaction["transaction_reference"]) == (mpgs, other)
    for query, total in (
        ({"session_id": mpgs}, 1),
        ({"order_id": transaction["order_id"]}, 1),
        ({"transaction_reference": reference}, 0),
        ({"result_indicator": "x"}, 0),
        ({"status": "initiated"}, 1),
    ):
        answer = await web.http.get("/v1/admin/mpgs-transactions", params=query, headers=reader)
        assert answer.json()["total"] == total, query
    one = await web.http.get(f"/v1/admin/mpgs-transactions/{transaction['id']}", headers=reader)
    assert one.json() == transaction
    asks = [
        f"/v1/admin/hosted-sessions/{session_id}/refresh",
        f"/v1/admin/mpgs-transactions/{transaction['id']}/refresh",
    ]
    for path in asks:
        assert (await web.http.post(path, headers=reader)).status_code == 403
    web.home.stripe_pays(session_id)
    web.home.mpgs_says(transaction["order_ref_id"], "CAPTURED", captured="10.00")
    verifier = await web.staff(Permission.PAYMENTS_VERIFY)
    answers = [(await web.http.post(path, headers=verifier)).json() for path in asks]
    assert [answers[0]["status"], answers[1]["payment_status"]] == ["completed", "captured"]
    assert await web.status(reference, mine) == await web.status(other, by_gateway) == "completed"


async def test_what_no_text_can_hold_is_not_found(web: Web) -> None:
    """A zero byte, which a table cannot hold, and what gateways might echo."""
    staff = await web.staff(Permission.PAYMENTS_READ, Permission.PAYMENTS_VERIFY)
    tenant = web.stand.shop.tenant_id
    mine, reference, _ = await web.bought("mpgs")
    await web.open(reference, mine)
    for method, path in (
        ("GET", "/v1/admin/hosted-sessions/a%00"),
        ("POST", "/v1/admin/hosted-sessions/a%00/refresh"),
        ("GET", f"/v1/returns/{tenant}/mpgs/a%00"),
    ):
        headers = staff if "admin" in path else {}
        assert (await web.http.request(method, path, headers=headers)).status_code == 404, path
    for said in ("%00x", "4111111111111111"):
        back = await web.http.get(f"/v1/returns/{tenant}/mpgs/{reference}?resultIndicator={said}")
        assert back.status_code in (303, 400)
    body = event("checkout.session.completed", {"id": "cs_\x00", "mode": "payment", "metadata": {"x": "\x00"}})
    told = await web.http.post(
        f"/v1/webhooks/{tenant}/stripe", content=body, headers={"Stripe-Signature": signed(body)}
    )
    assert told.status_code == 202
    assert await web.outcomes() == ["unmatched"]
    assert "4111111111111111" not in await web.stand.all_text()
    assert await web.status(reference, mine) == "pending"
