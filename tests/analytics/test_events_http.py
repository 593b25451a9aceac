"""Events over HTTP: one or a batch, each kept or refused by itself, and read by staff who may."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from storeroom.analytics import EVENTS_MAX
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, UserRole
from storeroom.room import Shop

PASSWORD = "correct horse battery"


def event(name: str = "page.view", **fields: Any) -> dict[str, Any]:
    return {"event_name": name, "event_category": name.partition(".")[0], "session_id": "visit-1", **fields}


async def sign_in(shop: Shop, http: httpx.AsyncClient, *permissions: Permission, staff: bool = False) -> str:
    email = f"{uuid4().hex}@shop.example"
    user = await shop.users.register(email=email, password=PASSWORD, full_name="Ann")
    if staff:
        users = shop.acting(actor=SYSTEM).users
        await users.set_role(user_id=user.id, role=UserRole.STAFF)
        await users.set_permissions(user_id=user.id, permissions=permissions)
    answer = await http.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return str(user.id)


@pytest.mark.requirement("SBB-EVT-03")
async def test_a_stranger_becomes_a_guest_and_stays_one(shop: Shop, http: httpx.AsyncClient) -> None:
    first = await http.post("/v1/events", json=event())
    assert first.status_code == 201, first.text
    assert (first.json()["kept"], first.json()["refused"]) == (1, [])
    assert first.json()["token"].startswith("guest_")
    second = await http.post("/v1/events", json=[event("page.scroll.50"), event("page.scroll.100")])
    assert (second.status_code, second.json()) == (201, {"kept": 2, "refused": [], "token": None})
    found = (await shop.events.list()).items
    assert [each.event_name for each in found] == ["page.scroll.100", "page.scroll.50", "page.view"]
    assert len({each.anonymous_id for each in found}) == 1
    assert {(each.user_id, each.ip_address) for each in found} == {(None, "203.0.113.9")}


@pytest.mark.requirement("SBB-EVT-03")
async def test_an_account_is_named(shop: Shop, http: httpx.AsyncClient) -> None:
    user_id = await sign_in(shop, http)
    assert (await http.post("/v1/events", json=event())).status_code == 201
    found = (await shop.events.list(name="page.view")).items
    assert [str(each.user_id) for each in found] == [user_id]
    assert found[0].anonymous_id is not None


@pytest.mark.requirement("SBB-EVT-16")
async def test_the_good_ones_are_kept_and_the_bad_ones_named(shop: Shop, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/events", json=[event(), event("PageView"), event("cart.add"), {}, event(extra=1)])
    assert answer.status_code == 207
    assert answer.json()["kept"] == 2
    assert [each["index"] for each in answer.json()["refused"]] == [1, 3, 4]
    assert {each.event_name for each in (await shop.events.list()).items} == {"page.view", "cart.add"}


@pytest.mark.requirement("SBB-EVT-16")
async def test_what_is_no_event_at_all_takes_no_good_one_with_it(shop: Shop, http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/events", json=[1, event(), None, "page.view", [event()], [["a", 1]], event("cart.add")]
    )
    assert answer.status_code == 207, answer.text
    assert [each["index"] for each in answer.json()["refused"]] == [0, 2, 3, 4, 5]
    assert {each.event_name for each in (await shop.events.list()).items} == {"page.view", "cart.add"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([1], 422, "analytics.no_event_kept"),
        (1, 400, "request.invalid"),
        ([event("PageView"), {}], 422, "analytics.no_event_kept"),
        (event("cart.add", event_category="page"), 422, "analytics.no_event_kept"),
        (event("PageView"), 400, "request.invalid"),
        ([], 400, "request.invalid"),
        ([event()] * (EVENTS_MAX + 1), 400, "request.invalid"),
        ("page.view", 400, "request.invalid"),
    ],
)
async def test_where_nothing_is_kept_it_says_so(
    shop: Shop, http: httpx.AsyncClient, body: Any, status: int, code: str
) -> None:
    answer = await http.post("/v1/events", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await shop.events.list()).items == []


async def test_a_batch_that_is_sent_again_counts_once(shop: Shop, http: httpx.AsyncClient) -> None:
    await http.post("/v1/auth/guest")  # a key is its sender's
    body, key = [event(), event("PageView")], {"Idempotency-Key": uuid4().hex}
    first = await http.post("/v1/events", json=body, headers=key)
    assert first.status_code == 207, first.text
    again = await http.post("/v1/events", json=body, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replay"] == "true"
    assert len((await shop.events.list()).items) == 1


async def test_a_batch_of_a_thousand_is_kept(shop: Shop, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/events", json=[event(properties={"n": n}) for n in range(EVENTS_MAX)])
    assert (answer.status_code, answer.json()["kept"]) == (201, EVENTS_MAX)
    newest = (await shop.events.list(limit=1)).items
    assert [each.properties for each in newest] == [{"n": EVENTS_MAX - 1}]


async def test_json_that_never_ends_breaks_nothing(http: httpx.AsyncClient) -> None:
    for body in (
        b"[" * 100_000,
        b'[{"event_name":' + b'{"x":' * 50_000,
        b'[{"properties":' + b"[" * 500 + b"]" * 500 + b"}]",
    ):
        answer = await http.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, answer.text


async def test_staff_read_them_where_they_may(shop: Shop, http: httpx.AsyncClient) -> None:
    await http.post("/v1/events", json=[event(), event("cart.add", session_id="visit-2")])
    assert (await http.get("/v1/admin/events")).status_code == 401
    await sign_in(shop, http)
    assert (await http.get("/v1/admin/events")).status_code == 403
    http.headers.pop("Authorization")
    await sign_in(shop, http, Permission.ORDERS_READ, staff=True)
    assert (await http.get("/v1/admin/events")).json()["code"] == "auth.permission_missing"
    http.headers.pop("Authorization")
    await sign_in(shop, http, Permission.ANALYTICS_READ, staff=True)
    answer = await http.get("/v1/admin/events", params={"session_id": "visit-2"})
    assert answer.status_code == 200, answer.text
    assert [each["event_name"] for each in answer.json()["items"]] == ["cart.add"]
    visitor = answer.json()["items"][0]["anonymous_id"]
    for asked, names in (
        ({"name": "page.view"}, ["page.view"]),
        ({"category": "cart"}, ["cart.add"]),
        ({"anonymous_id": visitor, "limit": 1}, ["user.login.success"]),
        ({"order_id": str(uuid4())}, []),
        ({"utm_source": "ig", "utm_campaign": "spring"}, []),
        ({"until": "2020-01-01T00:00:00Z"}, []),
    ):
        answer = await http.get("/v1/admin/events", params=asked)
        assert answer.status_code == 200, answer.text
        assert [each["event_name"] for each in answer.json()["items"]] == names
    for wrong in (
        {"order_id": str(uuid4()), "name": "page.view"},
        {"utm_source": "ig"},
        {"since": "2020-01-01T00:00:00Z", "until": "2022-01-01T00:00:00Z"},
        {"since": "2020-01-01T00:00:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"name": "\x00"},
        {"cursor": "x"},
    ):
        answer = await http.get("/v1/admin/events", params=wrong)
        assert answer.status_code in {400, 422}, (wrong, answer.text)
