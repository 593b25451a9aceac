"""Orders over HTTP: what buyers and staff get to see, and who is let in."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from desk import Desk
from storeroom.core.ids import SessionId, TenantId, UserId, new_id
from storeroom.database.executor import Executor
from storeroom.database.service import Service
from storeroom.flows import cancellation_routes
from storeroom.flows.cancellation import Cancellation
from storeroom.guests import FAILURES_MAX
from storeroom.orders import Customers, Orders, OrderStatus, ShippingRates, routes
from storeroom.orders.routes import LOOKUPS_BY_NUMBER
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
)

S = OrderStatus


class DeskGate:
    """Knows one shop, and accounts by their tokens."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.accounts: dict[str, Principal] = {}

    @property
    def db(self) -> Executor:
        return self.desk.db

    async def tenant_at(self, _: str) -> TenantId:
        return TenantId(self.desk.tenant_id)

    answers_ring = None  # no answer here carries a token

    async def require_tenant(self, tenant_id: TenantId) -> None:
        """There is one shop."""

    async def authenticate(self, access_token: str) -> Principal:
        if access_token not in self.accounts:
            raise InvalidToken
        return self.accounts[access_token]

    async def guest(self, *_: object) -> Principal | None:
        return None

    async def new_guest(self, *_: object) -> NewGuest:
        raise AssertionError

    async def admit(self, *_: object) -> None:
        """As often as they like."""

    def let_in(self, user_id: UserId, role: str, *permissions: str) -> dict[str, str]:
        token = new_id().hex
        self.accounts[token] = Principal(
            kind=PrincipalKind.ACCOUNT,
            tenant_id=TenantId(self.desk.tenant_id),
            user_id=user_id,
            session_id=SessionId(new_id()),
            role=role,
            permissions=frozenset(permissions),
            name=f"{role}@shop.example",
        )
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def gate(desk: Desk) -> DeskGate:
    return DeskGate(desk)


@pytest.fixture
async def http(gate: DeskGate) -> AsyncIterator[httpx.AsyncClient]:
    def provide(service: type[Service]) -> Provide:
        async def made(request: AnyRequest) -> Any:
            call = call_of(request.scope)
            context = msgspec.structs.replace(gate.desk.context, actor=await call.actor(), claim=call.claim)
            return service(context)

        return Provide(made)

    app = Litestar(
        [*routes.route_handlers, *cancellation_routes.route_handlers],
        dependencies={
            **DEPENDENCIES,
            "orders": provide(Orders),
            "shipping_rates": provide(ShippingRates),
            "customers": provide(Customers),
            "cancellation": provide(Cancellation),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[Idempotency()],
        logging_config=None,
    )
    inner = app.asgi_handler

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        attach(scope, Call(scope, gate))
        await inner(scope, receive, send)

    app.asgi_handler = edge
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client


@pytest.fixture
async def staff(desk: Desk, gate: DeskGate, http: httpx.AsyncClient) -> httpx.AsyncClient:
    """The client, signed in as somebody who may read and write orders."""
    user = await desk.user("ann@shop.example")
    http.headers.update(gate.let_in(user, "staff", "orders.read", "orders.write"))
    return http


async def test_a_buyer_follows_an_order_by_number_and_phone(desk: Desk, http: httpx.AsyncClient) -> None:
    order = await desk.place()
    found = await http.post("/v1/orders/lookup", json={"number": order.order_number, "phone": "+1 512 555 0123"})
    assert found.status_code == 200
    assert found.json() == {
        "number": order.order_number,
        "status": "pending_payment",
        "delivery_stage": "ORDER_CONFIRMED",
        "created_at": found.json()["created_at"],
        "estimated_delivery": None,
        "shipping_carrier": None,
        "tracking_number": None,
    }
    wrong_phone = await http.post("/v1/orders/lookup", json={"number": order.order_number, "phone": "512 555 0124"})
    wrong_number = await http.post("/v1/orders/lookup", json={"number": "NONE-0000", "phone": "512 555 0123"})
    bodies = [answer.json() for answer in (wrong_phone, wrong_number)]
    for answer, body, number in zip(
        (wrong_phone, wrong_number), bodies, (order.order_number, "NONE-0000"), strict=True
    ):
        assert answer.status_code == 404
        assert body.pop("order") == number
        assert body.pop("detail") == f"no order {number}"
        del body["request_id"]
    assert bodies[0] == bodies[1]
    bad = await http.post("/v1/orders/lookup", json={"number": order.order_number, "phone": "12345"})
    assert (bad.status_code, bad.json()["field"]) == (422, "phone")


@pytest.mark.usefixtures("one_window")
async def test_guessing_at_one_order_is_throttled(desk: Desk, http: httpx.AsyncClient) -> None:
    order = await desk.place()
    answers = [
        await http.post("/v1/orders/lookup", json={"number": order.order_number, "phone": f"512 555 01{n:02}"})
        for n in range(30, 41)
    ]
    assert [answer.status_code for answer in answers] == [404] * FAILURES_MAX + [429] * (11 - FAILURES_MAX)
    codes = [answer.json()["code"] for answer in answers[FAILURES_MAX:]]
    assert codes == ["guests.too_many_attempts"] * (LOOKUPS_BY_NUMBER - FAILURES_MAX) + ["request.rate_limited"]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[FAILURES_MAX:])


@pytest.mark.parametrize(
    ("status", "paid", "due"),
    [
        (S.PENDING_PAYMENT, 400, 600),
        (S.PAYMENT_RECEIVED, 1_200, -200),
        (S.CANCELLED, 0, 0),
        (S.REFUNDED, 0, 0),
        (S.PARTIALLY_REFUNDED, 400, 0),
        (S.PARTIALLY_REFUNDED, 1_200, -200),
    ],
)
async def test_nothing_is_due_of_an_order_that_ended_or_was_refunded(
    desk: Desk, gate: DeskGate, http: httpx.AsyncClient, status: S, paid: int, due: int
) -> None:
    """Who got money back would else read that as much is due."""
    user = await desk.user("bo@buyer.example")
    order = await desk.place(user_id=user)
    await desk.put(order.id, status)
    await desk.run("UPDATE {orders} SET amount_paid = $3 WHERE tenant_id = $1 AND id = $2", order.id, paid)
    signed = gate.let_in(user, "customer")
    (row,) = (await http.get("/v1/account/orders", headers=signed)).json()["items"]
    shown = (await http.get(f"/v1/account/orders/{order.order_number}", headers=signed)).json()
    assert row["due"] == shown["due"] == {"amount": due, "currency": "USD"}
    assert shown["paid"] == {"amount": paid, "currency": "USD"}


@pytest.mark.requirement("SBB-ORD-15")
async def test_an_account_sees_its_own_orders_without_internal_notes(
    desk: Desk, gate: DeskGate, http: httpx.AsyncClient
) -> None:
    user = await desk.user("bo@buyer.example")
    mine, foreign = await desk.place(user_id=user), await desk.place()
    await desk.orders.add_note(order_id=mine.id, note="secret")
    assert (await http.get("/v1/account/orders")).status_code == 401
    signed = gate.let_in(user, "customer")
    listed = await http.get("/v1/account/orders", headers=signed)
    assert [row["number"] for row in listed.json()["items"]] == [mine.order_number]
    shown = await http.get(f"/v1/account/orders/{mine.order_number}", headers=signed)
    assert shown.status_code == 200
    assert shown.json()["total"] == {"amount": 1000, "currency": "USD"}
    assert "secret" not in listed.text + shown.text
    assert "internal" not in shown.text
    hidden = await http.get(f"/v1/account/orders/{foreign.order_number}", headers=signed)
    assert hidden.status_code == 404
    assert (await http.get("/v1/admin/orders", headers=signed)).status_code == 403


async def test_staff_work_an_order_through(desk: Desk, staff: httpx.AsyncClient) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(S.PAYMENT_RECEIVED, (variant, 2))
    here = f"/v1/admin/orders/{order.id}"
    moved = await staff.post(f"{here}/move", json={"to": "processing", "reason": "packing"})
    assert (moved.status_code, moved.json()["order"]["status"]) == (200, "processing")
    refused = await staff.post(f"{here}/deliver", json={})
    assert refused.status_code == 409
    assert refused.json()["code"] == "orders.move_refused"
    assert set(refused.json()["allowed"]) == {
        "ready_to_ship", "shipped", "cancelled", "refunded", "partially_refunded",
    }  # fmt: skip
    shipped = await staff.post(f"{here}/ship", json={"carrier": "UPS", "tracking_number": "1Z"})
    assert shipped.json()["order"]["tracking_number"] == "1Z"
    (line,) = await desk.orders.items(order_id=order.id)
    progress = {"line": 1, "held": 0, "shipped": 2, "cancelled": 0, "returned": 0, "refunded": 0, "batch_id": None}
    assert shipped.json()["progress"] == [{"order_item_id": str(line.id), **progress}]
    assert await desk.stock(variant) == (3, 0)
    tracked = await staff.put(f"{here}/tracking", json={"estimated_delivery": "2030-01-02"})
    assert tracked.json()["order"]["estimated_delivery"] == "2030-01-02"
    assert (await staff.post(f"{here}/deliver", json={})).json()["order"]["status"] == "delivered"
    noted = await staff.post(f"{here}/notes", json={"note": "left at the door"})
    assert noted.status_code == 201
    assert noted.json()["internal_notes"].endswith("staff@shop.example: left at the door")
    history = (await staff.get(f"{here}/history")).json()
    assert [change["to_status"] for change in history] == ["delivered", "shipped", "processing", "pending_payment"]
    assert [change["changed_by_type"] for change in history[:3]] == ["admin"] * 3
    assert (await staff.get(here)).json()["order"]["number"] == order.order_number


async def test_cancelling_over_http_closes_payments_and_is_repeatable(desk: Desk, staff: httpx.AsyncClient) -> None:
    variant = await desk.variant(stock=5)
    order = await desk.place((variant, 2))
    payment = await desk.pay(order, 1000, status="pending")
    headers = {"Idempotency-Key": new_id().hex}
    path = f"/v1/admin/orders/{order.id}/cancel"
    answers = [await staff.post(path, json={"reason": "sold twice"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[0].json() == {"id": str(order.id), "number": order.order_number, "status": "cancelled"}
    assert (await staff.post(path, json={"reason": "again"})).status_code == 409
    assert await desk.stock(variant) == (5, 0)
    assert await desk.one("SELECT status FROM {payments} WHERE tenant_id = $1 AND id = $2", payment) == "cancelled"
    by_name = await staff.post(f"/v1/admin/orders/{order.id}/move", json={"to": "cancelled"})
    assert (by_name.status_code, by_name.json()["field"]) == (400, "to")


async def test_staff_lists_and_their_filters(desk: Desk, staff: httpx.AsyncClient) -> None:
    first, second = await desk.place(utm_campaign="spring"), await desk.placed_in(S.PROCESSING)

    async def numbers(path: str) -> list[str]:
        answer = await staff.get(f"/v1/admin/orders{path}")
        assert answer.status_code == 200, answer.text
        return [row["number"] for row in answer.json()["items"]]

    both = [second.order_number, first.order_number]
    assert await numbers("") == both
    assert await numbers("?status=processing") == [second.order_number]
    assert await numbers(f"?q={first.order_number.lower()}") == [first.order_number]
    assert await numbers("/pages?limit=1&offset=1") == [first.order_number]
    assert await numbers("/awaiting-payment") == [first.order_number]
    assert await numbers("/needing-refund") == []
    page = (await staff.get("/v1/admin/orders?limit=1")).json()
    rest = (await staff.get("/v1/admin/orders", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [page["items"][0]["number"], rest["items"][0]["number"], rest["next_cursor"]] == [*both, None]
    total = (await staff.get("/v1/admin/orders/pages?status=processing&offset=50")).json()
    assert total == {"items": [], "total": 1}
    span = {"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    revenue = (await staff.get("/v1/admin/orders/revenue", params=span)).json()
    assert {row["utm_campaign"]: row["total_amount"]["amount"] for row in revenue} == {"spring": 1000, None: 1000}
    changes = (await staff.get("/v1/admin/orders/changes")).json()
    assert len(changes["items"]) == 2
    for path, field in (
        ("?status=paid", "status"),
        ("?limit=101", "limit"),
        ("/pages?offset=10001", "offset"),
    ):
        bad = await staff.get(f"/v1/admin/orders{path}")
        assert (bad.status_code, bad.json().get("field")) == (400, field), bad.text
    half = await staff.get("/v1/admin/orders/revenue?since=2020-01-01T00:00:00Z")
    assert half.status_code == 400
    assert "'until'" in half.json()["detail"]
    naive = await staff.get("/v1/admin/orders/revenue?since=2020-01-01T00:00:00&until=2021-01-01T00:00:00")
    assert naive.status_code in {400, 422}
    assert (await staff.get("/v1/admin/orders?cursor=nonsense")).status_code == 422


async def test_who_may_only_read_changes_nothing(desk: Desk, gate: DeskGate, http: httpx.AsyncClient) -> None:
    order = await desk.placed_in(S.PROCESSING)
    reader = gate.let_in(await desk.user("read@shop.example"), "staff", "orders.read")
    assert (await http.get(f"/v1/admin/orders/{order.id}", headers=reader)).status_code == 200
    for path, body in (("move", {"to": "ready_to_ship"}), ("ship", {}), ("deliver", {}), ("cancel", {"reason": "x"}),
                       ("notes", {"note": "x"})):  # fmt: skip
        refused = await http.post(f"/v1/admin/orders/{order.id}/{path}", json=body, headers=reader)
        assert refused.status_code == 403
    rate = {"code": "post", "name": "Post", "amount": {"amount": 1, "currency": "USD"}}
    assert (await http.post("/v1/admin/shipping-rates", json=rate, headers=reader)).status_code == 403
    assert await desk.orders.get(order_id=order.id) == order


async def test_an_unknown_order_is_not_found_and_a_broken_body_names_its_field(
    desk: Desk, staff: httpx.AsyncClient, other: Desk
) -> None:
    foreign = await other.place()
    for order_id in (UUID(int=0), foreign.id):
        for answer in (
            await staff.get(f"/v1/admin/orders/{order_id}"),
            await staff.get(f"/v1/admin/orders/{order_id}/history"),
            await staff.post(f"/v1/admin/orders/{order_id}/ship", json={}),
            await staff.post(f"/v1/admin/orders/{order_id}/cancel", json={"reason": "x"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "orders.not_found")
    order = await desk.placed_in(S.PROCESSING)
    for path, body, field in (
        ("move", {"to": "flying"}, "to"),
        ("move", {}, "to"),
        ("ship", {"carrier": "x" * 101}, "carrier"),
        ("ship", {"unknown": 1}, "unknown"),
        ("notes", {"note": ""}, "note"),
        ("cancel", {}, "reason"),
    ):
        bad = await staff.post(f"/v1/admin/orders/{order.id}/{path}", json=body)
        assert (bad.status_code, bad.json().get("field")) == (400, field), bad.text
    assert (await staff.get("/v1/admin/orders/not-an-id")).status_code in {400, 404}
    assert await desk.orders.get(order_id=order.id) == order


async def test_shipping_rates_over_http(desk: Desk, gate: DeskGate, http: httpx.AsyncClient) -> None:
    http.headers.update(gate.let_in(await desk.user("boss@shop.example"), "admin"))
    draft = {"code": "post", "name": "Post", "amount": {"amount": 500, "currency": "USD"}, "countries": ["US"]}
    made = await http.post("/v1/admin/shipping-rates", json=draft)
    assert made.status_code == 201, made.text
    assert (await http.post("/v1/admin/shipping-rates", json=draft)).status_code == 409
    path = f"/v1/admin/shipping-rates/{made.json()['id']}"
    off = await http.put(path, json={**draft, "active": False, "free_from": {"amount": 5000, "currency": "USD"}})
    assert off.json()["free_from_amount"] == {"amount": 5000, "currency": "USD"}
    assert (await http.get("/v1/shipping-rates")).json() == []
    assert len((await http.get("/v1/admin/shipping-rates")).json()) == 1
    euro = await http.put(path, json={**draft, "amount": {"amount": 1, "currency": "EUR"}})
    assert (euro.status_code, euro.json()["field"]) == (422, "amount")
    assert (await http.delete(path)).status_code == 204
    assert (await http.delete(path)).status_code == 404


async def test_statuses_have_names_for_everybody(http: httpx.AsyncClient) -> None:
    labels = (await http.get("/v1/order-statuses")).json()
    assert [label["status"] for label in labels] == [status.value for status in OrderStatus]
