"""Events: what is taken down, what is refused, whose they are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from storeroom.analytics import (
    EVENTS_MAX,
    PROPERTIES_BYTES_MAX,
    DeviceType,
    EventCategory,
    EventDraft,
    EventUserNotFound,
    InvalidEvent,
    InvalidEventBatch,
    InvalidPeriod,
    NoEventKept,
    Place,
    Refusal,
    client_of,
)
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.room import Shop, Storeroom

EVERYTHING: dict[str, Any] = {
    "event_name": "product.view",
    "event_category": "product",
    "session_id": "visit-1",
    "page_url": "https://shop.example/p/1",
    "page_title": "A shirt",
    "referrer_url": "https://search.example/",
    "utm_source": "ig",
    "utm_medium": "social",
    "utm_campaign": "spring",
    "utm_term": "shirt",
    "utm_content": "banner",
    "product_id": str(uuid4()),
    "cart_id": str(uuid4()),
    "order_id": str(uuid4()),
    "payment_id": str(uuid4()),
    "properties": {"price": {"amount": 1000, "currency": "USD"}, "tags": ["a", {"b": None}], "é": 1.5},
    "device_type": "tablet",
    "browser": "Firefox",
    "os": "Android",
    "screen_resolution": "1024x768",
    "client_timestamp": "2026-01-02T03:04:05+00:00",
}
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.0 Mobile/15E148 Safari/604.1"
)


def draft(name: str = "page.view", **fields: Any) -> EventDraft:
    return msgspec.convert(
        {"event_name": name, "event_category": name.partition(".")[0], "session_id": "visit-1", **fields}, EventDraft
    )


def raw(name: str = "page.view", **fields: Any) -> dict[str, Any]:
    return {"event_name": name, "event_category": name.partition(".")[0], "session_id": "visit-1", **fields}


async def account(shop: Shop) -> UserId:
    """One that staff made: signing up would be an event."""
    return (await shop.acting(actor=SYSTEM).users.create(email=f"{uuid4().hex}@buyer.example")).id


async def newest(shop: Shop, **asked: Any) -> Any:
    return (await shop.events.list(**asked)).items[0]


@pytest.mark.requirement("SBB-EVT-01", "SBB-EVT-05", "SBB-EVT-17")
async def test_every_field_comes_back(shop: Shop) -> None:
    user_id = await account(shop)
    acting = shop.acting(ip="203.0.113.9", user_agent=SAFARI)
    event = msgspec.convert(EVERYTHING, EventDraft)
    assert await acting.events.record(events=[event], user_id=user_id, anonymous_id="someone") == 1
    kept = msgspec.to_builtins(await newest(shop))
    assert {name: kept[name] for name in EVERYTHING if name != "client_timestamp"} == {
        name: value for name, value in EVERYTHING.items() if name != "client_timestamp"
    }
    assert datetime.fromisoformat(kept["client_timestamp"]) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (kept["user_id"], kept["anonymous_id"]) == (str(user_id), "someone")
    assert (kept["ip_address"], kept["user_agent"]) == ("203.0.113.9", SAFARI)


@pytest.mark.requirement("SBB-EVT-01", "SBB-EVT-17")
async def test_the_least_comes_back(shop: Shop) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    assert await shop.events.record(events=[draft()], anonymous_id="someone") == 1
    kept = msgspec.structs.asdict(await newest(shop))
    assert before <= kept.pop("created_at") <= datetime.now(UTC) + timedelta(seconds=5)
    assert kept.pop("id").version == 7
    assert {name: value for name, value in kept.items() if value is not None} == {
        "event_name": "page.view",
        "event_category": EventCategory.PAGE,
        "anonymous_id": "someone",
        "session_id": "visit-1",
        "properties": {},
    }


NAMED = """page.view page.scroll.50 page.scroll.100 user.signup.started user.signup.completed user.login.success
user.login.failed product.view product.quick_view cart.add cart.remove cart.update_quantity checkout.started
checkout.step.shipping checkout.step.payment checkout.compliance.acknowledged checkout.completed order.created
payment.initiated payment.proof_uploaded payment.completed system.started""".split()  # noqa: SIM905


@pytest.mark.requirement("SBB-EVT-02", "SBB-EVT-14")
async def test_the_names_of_the_convention_are_taken(shop: Shop) -> None:
    assert await shop.events.record(events=[draft(name) for name in NAMED], anonymous_id="someone") == len(NAMED)
    page = await shop.events.list(limit=100)
    assert [event.event_name for event in page.items] == NAMED[::-1]


@pytest.mark.requirement("SBB-EVT-02", "SBB-EVT-14", "SBB-EVT-16", "SBB-EVT-06")
@pytest.mark.parametrize(
    "wrong",
    [
        raw("PageView"),
        raw("page"),
        raw("page..x"),
        raw("page.view."),
        raw("page.a.b.c"),
        raw("page.view\n"),
        raw("mail.open"),
        raw("page.view", event_category="cart"),
        raw("page." + "x" * 100),
        {key: value for key, value in raw().items() if key != "event_name"},
        {key: value for key, value in raw().items() if key != "event_category"},
        {key: value for key, value in raw().items() if key != "session_id"},
        raw(session_id=""),
        raw(session_id="x" * 101),
        raw(device_type="fridge"),
        raw(user_id=str(uuid4())),  # nobody says who they are; the token does
        raw(properties=[]),
        raw(properties={"x": "y" * PROPERTIES_BYTES_MAX}),
        raw(properties={"x": {"y": ["a\x00"]}}),
        raw(page_title="\x00"),
        raw(client_timestamp="2026-01-02T03:04:05"),
        raw(client_timestamp="1970-01-01T00:00:00Z"),
        raw(client_timestamp="9999-12-31T23:59:59-14:00"),
        raw(product_id="shirt"),
    ],
)
async def test_what_is_refused_is_named_by_its_place(shop: Shop, wrong: dict[str, Any]) -> None:
    session, _ = await shop.sessions.guest()
    visitor = Visitor(session_id=session.id)
    taken = await shop.events.take(batch=[raw(), wrong, raw("cart.add")], visitor=visitor)
    assert (taken.kept, [each.index for each in taken.refused]) == (2, [1])
    assert taken.refused[0].reason
    with pytest.raises(NoEventKept) as caught:
        await shop.events.take(batch=[wrong], visitor=visitor)
    assert caught.value.refused == [Refusal(index=0, reason=taken.refused[0].reason.replace("[1]", "[0]"))]
    assert [event.event_name for event in (await shop.events.list()).items] == ["cart.add", "page.view"]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"x": value}
    return value


def test_properties_are_nested_so_deep_and_no_deeper() -> None:
    assert draft(properties=nested(15)).encoded()
    assert draft(properties={f"x{n}": [n] for n in range(40)}).encoded()  # wide is not deep
    with pytest.raises(InvalidEvent):
        draft(properties=nested(16)).encoded()


def test_a_backslash_is_no_nul() -> None:
    assert draft(properties={"path": "C:\\u0000"}, page_title="\\u0000").encoded()


async def test_a_batch_has_its_bounds(shop: Shop) -> None:
    for events in ([], [draft()] * (EVENTS_MAX + 1)):
        with pytest.raises(InvalidEventBatch):
            await shop.events.record(events=events, anonymous_id="someone")
    assert await shop.events.record(events=[draft()] * EVENTS_MAX, anonymous_id="someone") == EVENTS_MAX


async def test_somebody_it_must_have_been(shop: Shop) -> None:
    for nobody in ({}, {"anonymous_id": ""}, {"anonymous_id": "x" * 101}, {"anonymous_id": "\x00"}):
        with pytest.raises(InvalidEvent):
            await shop.events.record(events=[draft()], **nobody)
    assert (await shop.events.take(batch=[raw()], visitor=Visitor(session_id=SessionId(new_id())))).kept == 0
    with pytest.raises(EventUserNotFound):
        await shop.events.record(events=[draft()], user_id=UserId(new_id()))
    assert (await shop.events.list()).items == []


ROW = {
    "tenant_id": "'t'",
    "id": "gen_random_uuid()",
    "event_name": "'page.view'",
    "event_category": "'page'",
    "anonymous_id": "'a'",
    "session_id": "'v'",
}


@pytest.mark.requirement("SBB-EVT-02", "SBB-EVT-03", "SBB-EVT-06", "SBB-EVT-14", "SBB-EVT-16")
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"event_name": "NULL"}, None),
        ({"event_category": "NULL"}, None),
        ({"session_id": "NULL"}, None),
        ({"properties": "NULL"}, None),
        ({"anonymous_id": "NULL"}, "events_actor_known"),
        ({"event_name": "'PageView'"}, "events_name_shape"),
        ({"event_name": "'page'"}, "events_name_shape"),
        ({"event_name": "'page..x'"}, "events_name_shape"),
        ({"event_name": "'cart.add'"}, "events_name_shape"),
        ({"event_name": "'mail.open'", "event_category": "'mail'"}, "events_category_known"),
        ({"device_type": "'fridge'"}, "events_device_known"),
        ({"properties": "'[]'"}, "events_properties_object"),
        ({"session_id": "''"}, "events_lengths"),
    ],
)
async def test_the_database_refuses_it_as_well(dsn: str, change: dict[str, str], constraint: str | None) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(insert(ROW))  # the control: this row is fine
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
            await connection.execute(insert({**ROW, **change}))
        assert caught.value.constraint_name == constraint
    finally:
        await connection.execute("DELETE FROM events WHERE tenant_id = 't'")
        await connection.close()


def insert(row: dict[str, str]) -> str:
    return f"INSERT INTO events ({', '.join(row)}) VALUES ({', '.join(row.values())})"


@pytest.mark.requirement("SBB-EVT-04")
async def test_each_event_keeps_its_own_campaign(shop: Shop) -> None:
    for campaign in ("spring", "autumn"):
        await shop.events.record(
            events=[draft(utm_source="ig", utm_medium="m", utm_campaign=campaign, utm_term="t", utm_content=campaign)],
            anonymous_id="someone",
        )
    for campaign in ("spring", "autumn"):
        (event,) = (await shop.events.of_campaign(utm_source="ig", utm_campaign=campaign)).items
        assert (event.utm_campaign, event.utm_content, event.utm_medium) == (campaign, campaign, "m")
    assert len((await shop.events.of_anonymous("someone")).items) == 2


@pytest.mark.requirement("SBB-EVT-05")
async def test_an_event_outlives_its_cart(shop: Shop) -> None:
    session, _ = await shop.sessions.guest()
    cart = await shop.carts.create(visitor=Visitor(session_id=session.id))
    await shop.events.take(batch=[raw("cart.view", cart_id=str(cart.id))], visitor=Visitor(session_id=session.id))
    assert isinstance(shop.context.db, Database)
    gone = await shop.context.db.execute("DELETE FROM carts WHERE tenant_id = $1 AND id = $2", shop.tenant_id, cart.id)
    assert gone == "DELETE 1"
    assert (await newest(shop)).cart_id == cart.id


@pytest.mark.requirement("SBB-EVT-07")
async def test_a_late_event_is_found_by_the_servers_time(shop: Shop) -> None:
    happened = datetime.now(UTC) - timedelta(hours=1)
    await shop.events.record(events=[draft(client_timestamp=happened)], anonymous_id="someone")
    lately = await shop.events.list(since=datetime.now(UTC) - timedelta(minutes=30))
    assert [event.client_timestamp for event in lately.items] == [happened]
    earlier = await shop.events.list(since=happened - timedelta(minutes=1), until=happened + timedelta(minutes=1))
    assert earlier.items == []


@pytest.mark.requirement("SBB-EVT-06")
async def test_the_place_is_looked_up_and_missing_where_that_fails(database: Database, shop: Shop) -> None:
    asked: list[str] = []

    async def known(ip: str) -> Place:
        asked.append(ip)
        return Place(country_code="LK", region="Western", city="Colombo")

    async def broken(_: str) -> Place:
        raise OSError("no such service")

    async def endless(_: str) -> Place:
        await asyncio.Event().wait()
        raise AssertionError

    for places in (known, broken, endless):
        acting = Storeroom(database, places=places).tenant(shop.tenant_id).acting(ip="203.0.113.9")
        await acting.events.record(events=[draft()], anonymous_id=places.__name__)
    found = {event.anonymous_id: event for event in (await shop.events.list()).items}
    assert asked == ["203.0.113.9"]
    assert (found["known"].country_code, found["known"].region, found["known"].city) == ("LK", "Western", "Colombo")
    for name in ("broken", "endless"):
        assert (found[name].country_code, found[name].region, found[name].city) == (None, None, None)


@pytest.mark.requirement("SBB-EVT-06")
@pytest.mark.parametrize(
    ("user_agent", "device", "browser", "system"),
    [
        (SAFARI, "mobile", "Safari", "iOS"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0 Safari/537.36 Edg/120.0",
            "desktop",
            "Edge",
            "Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120.0 Mobile Safari/537.36", "mobile", "Chrome", "Android"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X200) Chrome/120.0 Safari/537.36", "tablet", "Chrome", "Android"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "desktop", "Firefox", "Linux"),
        ("curl/8.5.0", None, None, None),
        (None, None, None, None),
    ],
)
def test_a_browser_says_roughly_what_it_is(
    user_agent: str | None, device: str | None, browser: str | None, system: str | None
) -> None:
    client = client_of(user_agent)
    assert (client.device_type, client.browser, client.os) == (device, browser, system)


async def test_the_clients_word_on_its_device_counts_more_than_its_browsers(shop: Shop) -> None:
    acting = shop.acting(user_agent=SAFARI)
    await acting.events.record(events=[draft(device_type="desktop"), draft()], anonymous_id="someone")
    found = (await shop.events.list()).items
    assert [event.device_type for event in found] == [DeviceType.MOBILE, DeviceType.DESKTOP]
    assert {event.browser for event in found} == {"Safari"}


async def test_staff_find_them_page_by_page(shop: Shop) -> None:
    ann, bob = await account(shop), await account(shop)
    order_id = new_id()
    for number in range(3):
        await shop.events.record(events=[draft(session_id=f"v{number}"), draft("cart.add")], user_id=ann)
    await shop.events.record(events=[draft("order.created", order_id=str(order_id))], user_id=bob, anonymous_id="b")
    events = shop.events
    assert [len((await events.list(**asked)).items) for asked in (
        {}, {"name": "cart.add"}, {"category": EventCategory.PAGE}, {"visit": "v1"}, {"user_id": bob},
        {"user_id": ann, "name": "cart.add"}, {"user_id": bob, "name": "cart.add"},
    )] == [7, 3, 3, 1, 1, 3, 0]  # fmt: skip
    assert [event.user_id for event in (await events.of_order(order_id)).items] == [bob]  # type: ignore[arg-type]
    assert [event.user_id for event in (await events.of_anonymous("b")).items] == [bob]
    assert [each.event_name for each in await events.last(user_id=ann, name="cart.add", limit=2)] == ["cart.add"] * 2
    assert await events.last(user_id=bob, name="cart.add") == []
    seen, cursor = [], None
    while True:
        page = await events.list(limit=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len({event.id for event in seen}) == 7
    assert seen == sorted(seen, key=lambda event: (event.created_at, event.id), reverse=True)


async def test_a_period_has_its_bounds(shop: Shop) -> None:
    now = datetime.now(UTC)
    for since, until in ((now, now), (now, now - timedelta(days=1)), (now - timedelta(days=367), now)):
        with pytest.raises(InvalidPeriod):
            await shop.events.list(since=since, until=until)
