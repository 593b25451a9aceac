"""Payments over HTTP: a customer's way, the staff's way, and what nobody gets to see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide
from litestar.types import Receive, Scope, Send
from till import PNG, ZELLE, Till

from storeroom.core.ids import SessionId, TenantId, UserId, new_id
from storeroom.database.executor import Executor
from storeroom.payments import PaymentMethods, Payments
from storeroom.payments.routes import route_handlers
from storeroom.web import (
    DEPENDENCIES,
    EXCEPTION_HANDLERS,
    AnyRequest,
    Call,
    Idempotency,
    InvalidToken,
    NewGuest,
    Principal,
    PrincipalKind,
    attach,
    call_of,
    guest_token,
)


class Door:
    """A gate that knows the tokens it was told."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.known: dict[str, Principal] = {}

    @property
    def db(self) -> Executor:
        return self.till.db

    async def tenant_at(self, host: str) -> TenantId:
        return TenantId(self.till.tenant_id)

    answers_ring = None  # no answer here carries a token

    async def require_tenant(self, tenant_id: TenantId) -> None:
        """There is one shop."""

    async def authenticate(self, access_token: str) -> Principal:
        if access_token not in self.known:
            raise InvalidToken
        return self.known[access_token]

    async def guest(self, tenant_id: TenantId, token: str) -> Principal | None:
        return self.known.get(token)

    async def new_guest(self, tenant_id: TenantId, call: Call) -> NewGuest:
        raise AssertionError

    async def admit(self, principal: Principal, ip: str | None) -> None:
        """As often as they like."""

    def account(self, token: str, user_id: UserId, role: str = "customer", *permissions: str) -> dict[str, str]:
        self.known[token] = Principal(
            kind=PrincipalKind.ACCOUNT,
            tenant_id=TenantId(self.till.tenant_id),
            user_id=user_id,
            role=role,
            permissions=frozenset(permissions),
            name=f"{token}@shop.example",
        )
        return {"Authorization": f"Bearer {token}"}

    def guest_of(self, session_id: SessionId) -> dict[str, str]:
        self.known["visiting"] = Principal(
            kind=PrincipalKind.GUEST, tenant_id=TenantId(self.till.tenant_id), session_id=session_id
        )
        return {"Storeroom-Session": guest_token(self.till.tenant_id, "visiting")}


class Http:
    """The routes of payments alone, behind a door."""

    def __init__(self, till: Till) -> None:
        self.till, self.door = till, Door(till)

        async def payments(request: AnyRequest) -> Payments:
            return Payments(await self.context(request), files=till.files)

        async def payment_methods(request: AnyRequest) -> PaymentMethods:
            return PaymentMethods(await self.context(request))

        self.app = Litestar(
            route_handlers=route_handlers,
            dependencies={
                **DEPENDENCIES,
                "payments": Provide(payments),
                "payment_methods": Provide(payment_methods),
            },
            exception_handlers=EXCEPTION_HANDLERS,
            middleware=[Idempotency()],
            request_max_body_size=2 * 1024 * 1024,
            logging_config=None,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.enter), base_url="http://shop.example")

    async def context(self, request: AnyRequest) -> Any:
        call = call_of(request.scope)
        return msgspec.structs.replace(
            self.till.context,
            actor=await call.actor(),
            ip="203.0.113.9",
            user_agent=call.user_agent,
            request_id=call.request_id,
            claim=call.claim,
        )

    async def enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            attach(scope, Call(scope, self.door))
        await self.app(scope, receive, send)

    async def __call__(self, method: str, path: str, who: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        headers = {**(who or {}), **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)


@pytest.fixture
async def http(till: Till) -> AsyncIterator[Http]:
    made = Http(till)
    async with made.client:
        yield made


async def staff(http: Http, *permissions: str) -> dict[str, str]:
    return http.door.account("ann", await http.till.user(), "staff", *permissions)


@pytest.mark.requirement("SBB-PRIN-03", "SBB-REC-02", "SBB-REC-03", "SBB-REC-04", "SBB-REC-06")
async def test_a_payment_from_start_to_verification(http: Http) -> None:
    till = http.till
    await till.method("zelle")
    owner = await till.user()
    order = await till.order(user_id=owner)
    me, ann = http.door.account("me", owner), await staff(http, "payments.read", "payments.verify")

    started = await http("POST", f"/v1/orders/{order.order_number.lower()}/payments", me, json={"method": "zelle"})
    assert started.status_code == 201, started.text
    body = started.json()
    assert (body["status"], body["amount"], body["instructions"], body["payment_details"]) == (
        "pending",
        {"amount": 10_000, "currency": "USD"},
        "Send it to us",
        ZELLE,
    )
    assert (body["order_number"], body["method"]) == (order.order_number, "zelle")
    path = f"/v1/payments/{body['reference']}"

    sent = await http("POST", f"{path}/proof", me, files={"file": ("cat.txt", PNG)}, data={"customer_reference": "Z-1"})
    assert sent.status_code == 200, sent.text
    assert (sent.json()["status"], sent.json()["proof_content_type"]) == ("awaiting_verification", "image/png")

    (waiting,) = (await http("GET", "/v1/admin/payments/review", ann)).json()["items"]
    assert (waiting["reference"], waiting["customer_reference"]) == (body["reference"], "Z-1")
    admin = f"/v1/admin/payments/{waiting['id']}"
    file = await http("GET", f"{admin}/proof", ann)
    assert (file.status_code, file.content, file.headers["content-type"]) == (200, PNG, "image/png")
    assert (file.headers["x-content-type-options"], file.headers["content-length"]) == ("nosniff", str(len(PNG)))

    refused = await http("POST", f"{admin}/reject", ann, json={"reason": "cannot be read"})
    assert (refused.status_code, refused.json()["status"]) == (200, "failed")
    assert (await http("GET", path, me)).json()["rejection"] == "cannot be read"
    again = await http("POST", f"{path}/proof", me, json={"customer_reference": "Z-2", "notes": "sharper"})
    assert again.json()["status"] == "awaiting_verification"
    done = await http("POST", f"{admin}/verify", ann, json={"received": {"amount": 10_500, "currency": "USD"}})
    assert (done.status_code, done.json()["status"], done.json()["received_amount"]["amount"]) == (
        200,
        "completed",
        10_500,
    )
    twice = await http("POST", f"{admin}/verify", ann, json={})
    assert (twice.status_code, twice.json()["code"]) == (409, "payments.move_refused")

    log = (await http("GET", f"{admin}/attempts", ann)).json()["items"]
    assert [(a["attempt_number"], a["action"], a["performed_by_type"]) for a in log] == [
        (1, "customer_submit", "customer"),
        (2, "customer_submit", "customer"),
        (3, "admin_reject", "admin"),
        (4, "customer_submit", "customer"),
        (5, "admin_verify", "admin"),
    ]
    assert [p["status"] for p in (await http("GET", "/v1/admin/payments?status=completed", ann)).json()["items"]] == [
        "completed"
    ]
    assert len((await http("GET", f"/v1/admin/orders/{order.id}/payments", ann)).json()["items"]) == 1


async def test_a_guest_with_the_number_and_phone_of_the_order(http: Http) -> None:
    till = http.till
    await till.method("zelle")
    session = SessionId(new_id())
    order = await till.order(session_id=session)
    start = f"/v1/orders/{order.order_number}/payments"
    for wrong in ({"method": "zelle"}, {"method": "zelle", "phone": "+15125550124"}):
        unknown = await http("POST", start, json=wrong)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "orders.not_found")
    missing = await http("POST", "/v1/orders/22222222/payments", json={"method": "zelle", "phone": "+15125550123"})
    assert missing.json()["code"] == "orders.not_found"
    asked = await http("POST", start, json={"method": "zelle", "phone": "(512) 555-0123"})
    assert asked.status_code == 201, asked.text
    path = f"/v1/payments/{asked.json()['reference']}"
    assert (await http("GET", path)).status_code == 404
    assert (await http("GET", path, http.door.guest_of(session))).status_code == 200
    proof = {"customer_reference": "Z-1", "number": order.order_number, "phone": "+15125550123"}
    assert (await http("POST", f"{path}/proof", json=proof | {"phone": "+15125550124"})).status_code == 404
    assert (await http("POST", f"{path}/proof", json=proof)).status_code == 200


@pytest.mark.usefixtures("one_window")
async def test_guessing_phone_numbers_is_counted(http: Http) -> None:
    await http.till.method("zelle")
    order = await http.till.order()
    path = f"/v1/orders/{order.order_number}/payments"
    answers = [
        (await http("POST", path, json={"method": "zelle", "phone": f"+151255501{guess:02}"})).status_code
        for guess in range(30, 53)
    ]
    assert answers[0] == 404
    assert answers[-1] == 429


@pytest.mark.parametrize(
    ("sent", "status", "code", "field"),
    [
        ({"json": {}}, 422, "payments.invalid", "customer_reference"),
        ({"json": {"customer_reference": 7}}, 400, "request.invalid", "customer_reference"),
        ({"json": {"customer_reference": "x" * 101}}, 400, "request.invalid", "customer_reference"),
        ({"json": {"surprise": 1}}, 400, "request.invalid", None),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "request.malformed", None),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 400, "request.malformed", None),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "request.malformed",
            None,
        ),
        ({"files": {"file": ("a.png", b"<html>")}}, 422, "payments.proof_not_accepted", "file"),
        ({"files": {"file": ("a.png", b"")}}, 422, "payments.proof_not_accepted", "file"),
        ({"files": [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]}, 400, "request.invalid", "file"),
        ({"files": {"file": ("a.png", PNG)}, "data": {"surprise": "1"}}, 400, "request.invalid", None),
        ({"files": {"file": ("a.png", bytes(11 * 1024 * 1024))}}, 413, "request.too_large", None),
        ({"json": {"customer_reference": "a\x00b"}}, 422, "payments.invalid", "customer_reference"),
    ],
)
async def test_what_is_no_proof_is_refused_and_named(
    http: Http, sent: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    payment = await http.till.pending()
    ann = await staff(http, "payments.verify")
    answer = await http("POST", f"/v1/payments/{payment.reference}/proof", ann, **sent)
    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (status, code, field), answer.text
    assert await http.till.log(payment.id) == []


async def test_a_file_of_ten_megabytes_passes(http: Http) -> None:
    payment = await http.till.pending()
    largest = PNG + bytes(10 * 1024 * 1024 - len(PNG))
    answer = await http(
        "POST",
        f"/v1/payments/{payment.reference}/proof",
        await staff(http, "payments.verify"),
        files={"file": ("a.png", largest)},
    )
    assert answer.status_code == 200, answer.text


async def test_money_that_came_unasked_is_recorded_once_for_each_idempotency_key(http: Http) -> None:
    await http.till.method("wire")
    order = await http.till.order()
    ann = await staff(http, "payments.verify")
    came = {"method": "wire", "amount": {"amount": 4_000, "currency": "USD"}, "reference": "W-1"}
    answers = [
        await http("POST", f"/v1/admin/orders/{order.id}/payments", ann, json=came, headers={"Idempotency-Key": "k-1"})
        for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert (await http.till.orders.get(order_id=order.id)).amount_paid.amount == 4_000


async def test_staff_without_the_permission_and_customers_do_not_get_in(http: Http) -> None:
    payment = await http.till.pending()
    customer = http.door.account("me", await http.till.user())
    reader = await staff(http, "payments.read")
    admin = f"/v1/admin/payments/{payment.id}"
    for method, path in (
        ("POST", f"{admin}/verify"),
        ("POST", f"{admin}/reject"),
        ("POST", f"{admin}/cancel"),
        ("POST", f"/v1/admin/orders/{payment.order_id}/payments"),
        ("POST", "/v1/admin/payment-methods"),
        ("PATCH", f"/v1/admin/payment-methods/{payment.payment_method_id}"),
        ("DELETE", f"/v1/admin/payment-methods/{payment.payment_method_id}"),
        ("PUT", "/v1/admin/payment-methods/order"),
    ):
        assert (await http(method, path, json={})).status_code == 401
        assert (await http(method, path, customer, json={})).status_code == 403
        assert (await http(method, path, reader, json={})).status_code == 403
    for path in ("", "/review", f"/{payment.id}", f"/{payment.id}/attempts", f"/{payment.id}/proof"):
        assert (await http("GET", f"/v1/admin/payments{path}", customer)).status_code == 403
    assert await http.till.payments.get(payment_id=payment.id) == payment


@pytest.mark.requirement("SBB-PM-02", "SBB-PM-05", "SBB-PM-08")
async def test_staff_configure_what_customers_are_offered(http: Http) -> None:
    ann = await staff(http, "payments.read", "settings.write")
    new = {"code": "zelle", "method_type": "zelle", "name": "Zelle", "instructions": "Send", "payment_details": {}}
    refused = await http("POST", "/v1/admin/payment-methods", ann, json=new)
    assert (refused.status_code, refused.json()["field"]) == (422, "payment_details")
    unknown = await http("POST", "/v1/admin/payment-methods", ann, json=new | {"method_type": "shells"})
    assert (unknown.status_code, unknown.json()["field"]) == (400, "method_type")
    made = await http("POST", "/v1/admin/payment-methods", ann, json=new | {"payment_details": ZELLE, "sort_order": 2})
    assert made.status_code == 201, made.text
    other = await http(
        "POST",
        "/v1/admin/payment-methods",
        ann,
        json=new | {"code": "check", "method_type": "check", "payment_details": {"payable_to": "Us"}, "sort_order": 1},
    )
    shown = (await http("GET", "/v1/payment-methods")).json()["items"]
    assert [m["code"] for m in shown] == ["check", "zelle"]
    assert "payment_details" not in shown[0]
    one = f"/v1/admin/payment-methods/{made.json()['id']}"
    limited = await http("PATCH", one, ann, json={"max_amount": {"amount": 5, "currency": "USD"}, "icon_url": "/z.svg"})
    assert (limited.json()["max_amount"]["amount"], limited.json()["name"]) == (5, "Zelle")
    assert (await http("PATCH", one, ann, json={"max_amount": None})).json()["max_amount"] is None
    order = await http("PUT", "/v1/admin/payment-methods/order", ann, json={"method_ids": [made.json()["id"]]})
    assert [m["code"] for m in order.json()["items"]] == ["zelle", "check"]
    assert (await http("DELETE", f"/v1/admin/payment-methods/{other.json()['id']}", ann)).status_code == 204
    assert (await http("GET", f"/v1/admin/payment-methods/{other.json()['id']}", ann)).status_code == 404
    assert len((await http("GET", "/v1/admin/payment-methods", ann)).json()["items"]) == 1


async def test_the_description_of_the_api_says_how_a_proof_comes(http: Http) -> None:
    schema = json.loads(json.dumps(http.app.openapi_schema.to_schema()))
    body = schema["paths"]["/v1/payments/{reference}/proof"]["post"]["requestBody"]
    assert set(body["content"]) == {"application/json", "multipart/form-data"}
    assert body["content"]["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"
    file = schema["paths"]["/v1/admin/payments/{payment_id}/proof"]["get"]["responses"]["200"]
    assert set(file["content"]) == {"image/jpeg", "image/png", "image/webp", "image/heic", "application/pdf"}
