"""A person is erased: nothing says who they were but their orders, nobody takes their place, and the books still hold."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar import Litestar

from factories import make_method, make_product, usd
from posted import posted
from rivals import race
from storeroom.audit.jobs import seal
from storeroom.core.contact import Address
from storeroom.core.ids import UserId, new_id
from storeroom.database.service import Actor, ActorKind
from storeroom.doctor import examine
from storeroom.identity import (
    EmailTaken,
    InvalidPerson,
    OneTimeTokenRefused,
    Proof,
    RoleForbidden,
    SyncedCustomer,
    SyncObstacle,
    User,
    UserNotFound,
    UserRole,
)
from storeroom.identity.synced import SyncedAccounts
from storeroom.room import Shop, Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings

SECRET = "a secret of the tests, long enough to sign with"
PASSWORD = "correct horse battery"
EMAIL, PHONE, BROWSER, PLACE = "jo@buyer.example", "15125550123", "JosBrowser/1", "203.0.113.77"
HOME = Address(
    recipient_name="Jo Buyer",
    street_line_1="7 Quiet Lane",
    city="Austin",
    state_province="TX",
    postal_code="78701",
    country_code="US",
)
WORDS = (EMAIL, PHONE, BROWSER, PLACE, "Jo Buyer", "Jo Jo", "1990-01-31", "Quiet Lane", "spring-campaign", "jos-cousin")

# What is bought stays with whom it was bought by and where it went: books are kept for years. The counters of limits have
# network addresses for some minutes, whosever they are.
KEPT = {"orders", "order_status_history", "webhook_queue", "rate_counters"}


@dataclass
class Town:
    """A shop in a database of its own, one who works there, and Jo, who did all that one can do."""

    room: Storeroom
    shop: Shop
    staff: User
    http: httpx.AsyncClient  # Jo's
    desk: httpx.AsyncClient  # of who works there
    jo: UserId

    @property
    def by_staff(self) -> Shop:
        return self.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=self.staff.id, name=self.staff.email))

    async def where(self, *words: str) -> set[str]:
        """The tables in which any of the words stands, in whatever column."""
        db, found = self.room.db, set()
        tables = await db.fetch(
            "SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
            "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition"
        )
        for table in tables:
            hit = f"SELECT EXISTS (SELECT FROM {table['name']} t WHERE to_jsonb(t)::text LIKE ANY ($1))"
            if await db.fetchval(hit, [f"%{word}%" for word in words]):
                found.add(table["name"])
        return found

    async def faults(self) -> list[str]:
        while await seal(self.room.db):
            pass
        return [result.name for result in await examine(self.room.db) if result.broken and result.count]


@pytest.fixture
async def town(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Town]:
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        await room.tenants.create("town", name="A shop", currency="USD", country_code="US")
        shop = room.tenant("town")
        staff = await shop.users.create(email="ann@shop.example", role=UserRole.ADMIN)
        sku = f"SKU-{secrets.token_hex(4)}"
        await make_product(shop, sku=sku)
        await make_method(shop)
        app = create_app(room, Settings(flood_requests=0))
        token = (await shop.sessions.start(proof=Proof(user_id=staff.id))).access_token
        async with (
            _client(app, PLACE, {"Storeroom-Tenant": "town", "User-Agent": BROWSER}) as http,
            _client(app, "203.0.113.1", {"Authorization": f"Bearer {token}"}) as desk,
        ):
            yield Town(room, shop, staff, http, desk, await _lived(http, shop, sku))


def _client(app: Litestar, ip: str, headers: dict[str, str]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(ip, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://shop.test", headers=headers)


async def _lived(http: httpx.AsyncClient, shop: Shop, sku: str) -> UserId:
    async def send(method: str, path: str, **body: Any) -> Any:
        answer = await http.request(method, path, json=body)
        assert answer.is_success, (path, answer.text)
        return answer.json() if answer.content else None

    await send("POST", "/v1/events", event_name="page.view", event_category="page", session_id="visit")
    person = {"email": EMAIL, "password": PASSWORD, "full_name": "Jo Buyer", "phone": f"+{PHONE}"}
    made = await send("POST", "/v1/auth/register", **person, utm_campaign="spring-campaign")
    tokens = await send("POST", "/v1/auth/sign-in", email=EMAIL, password=PASSWORD, device=BROWSER)
    http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    profile = {"display_name": "Jo Jo", "date_of_birth": "1990-01-31", "marketing_consent": True}
    await send("PATCH", "/v1/account", **profile)
    lines = {name: getattr(HOME, name) for name in HOME.__struct_fields__ if getattr(HOME, name)}
    await send("POST", "/v1/account/addresses", address=lines)
    await send("PUT", "/v1/conversion-consent", consents=True, fbp="fb.1.jos-cousin")
    await send("POST", "/v1/auth/otp/request", phone=f"+{PHONE}")
    await send("POST", "/v1/auth/forgot-password", email=EMAIL)
    order = {"lines": [{"sku": sku, "quantity": 2}], "email": EMAIL, "name": "Jo Buyer", "shipping_address": lines}
    placed = await send("POST", "/v1/checkout", **order, payment_method="zelle")
    number = placed["order"]["number"]
    await http.post("/v1/orders/lookup", json={"number": number, "email": EMAIL})
    await send("POST", "/v1/carts")
    user_id = UserId(UUID(made["id"]))
    await shop.users.merge_metadata(user_id=user_id, changes={"asked_by": "jos-cousin"})
    await shop.store_credit.grant(user_id=user_id, amount=usd(500))
    await shop.customer_syncs.upsert(customer_email=EMAIL)
    await shop.guest_attempts.record(method="order_lookup", success=False, email=EMAIL, phone=PHONE)
    return user_id


async def test_nothing_says_who_it_was_but_the_orders(town: Town) -> None:
    before = await town.where(*WORDS)
    assert before > {"users", "user_profiles", "user_addresses", "auth_sessions", "events", "orders", "consent_changes"}
    assert before > {"guest_user_audits", "otp_sessions", "otp_requests", "conversion_visitors", "account_tokens"}
    path = f"/v1/admin/users/{town.jo}/erase"
    erased = await town.desk.post(path, json={"reason": "asked by letter"})
    assert (erased.status_code, erased.json()) == (200, {"user_id": str(town.jo), "orders": 1})

    assert await town.where(*WORDS) == KEPT
    assert await town.where(BROWSER, "Jo Jo", "1990-01-31", "spring-campaign", "jos-cousin") == set()
    assert await town.where(PLACE) == {"rate_counters"}
    assert await town.faults() == []
    queued = await town.room.db.fetch(
        "SELECT DISTINCT entity_type FROM webhook_queue WHERE payload::text LIKE ANY ($1)", [f"%{w}%" for w in WORDS]
    )
    assert {row["entity_type"] for row in queued} == {"order"}
    assert (await town.http.get("/v1/account")).status_code == 401, "the token of before opens nothing"
    credit = await town.room.db.fetchval("SELECT balance FROM store_credits WHERE user_id = $1", town.jo)
    assert credit == 500, "what the shop owes it owes"
    (told,) = (await town.shop.audit.list(action="identity.erase_user")).items
    assert (told.user_email, told.resource_id) == ("ann@shop.example", town.jo)
    assert told.new_values == {"user_id": str(town.jo), "reason": "asked by letter"}
    again = await town.desk.post(path, json={"reason": "asked by letter"})
    assert (again.status_code, again.json()["code"]) == (404, "identity.user_not_found")


async def test_the_chain_that_was_sealed_before_stays_whole(town: Town) -> None:
    await town.by_staff.users.set_name(user_id=town.jo, full_name="Jo Buyer-Other")
    assert await town.faults() == []
    links = "SELECT array_agg(hash ORDER BY number) FROM audit_seals"
    sealed = await town.room.db.fetchval(links)
    await town.by_staff.erasures.erase(user_id=town.jo, reason="asked by letter")
    assert await town.faults() == []
    assert (await town.room.db.fetchval(links))[: len(sealed)] == sealed
    assert "Buyer-Other" not in await town.room.db.fetchval("SELECT jsonb_agg(a)::text FROM audit_logs a")


async def test_nobody_gets_the_address_of_somebody_who_was_erased(town: Town) -> None:
    other = await town.shop.users.register(email="bo@buyer.example", password=PASSWORD, full_name="Bo")
    await town.by_staff.erasures.erase(user_id=town.jo, reason="asked by letter")
    with pytest.raises(EmailTaken):
        await town.shop.users.register(email="JO@buyer.example", password=PASSWORD, full_name="Another")
    with pytest.raises(EmailTaken):
        await town.shop.users.change_email(user_id=other.id, email=EMAIL)
    own = town.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=other.id))
    await own.mail_proofs.change_email(user_id=other.id, email=EMAIL, current_password=PASSWORD)
    (change,) = [notice for notice in await posted(town.room, "town") if notice.kind == "change_email"]
    with pytest.raises(OneTimeTokenRefused):
        await town.shop.mail_proofs.verify_email(token=str(change.facts["token"]))
    assert (await town.shop.users.get(user_id=other.id)).email == "bo@buyer.example"
    number = await town.shop.users.change_phone(user_id=other.id, phone=f"+{PHONE}")
    assert number.phone == PHONE, "numbers are given to others by those who give them"


async def test_who_registers_while_the_address_is_erased_waits_and_is_refused(town: Town) -> None:
    """The unique address is gone when the waiting one goes on; the hash is there by then."""

    async def first(tx: Any) -> Any:
        return await town.by_staff.erasures.bound(tx).erase(user_id=town.jo, reason="asked by letter")

    outcome = await race(
        town.room.db,
        first,
        lambda: town.shop.users.register(email=EMAIL, password=PASSWORD, full_name="Another"),
    )
    assert isinstance(outcome, EmailTaken)


async def test_another_system_brings_nobody_back(town: Town) -> None:
    await town.by_staff.erasures.erase(user_id=town.jo, reason="asked by letter")
    customer = SyncedCustomer(external_id="7", email=EMAIL, first_name="Jo", last_name="Buyer")
    async with town.shop.transaction() as tx:
        accounts = SyncedAccounts(tx.context)
        assert await accounts.put(customer=customer, user_id=None) is SyncObstacle.EMAIL_OF_DELETED
        assert await accounts.put(customer=customer, user_id=town.jo) is SyncObstacle.EMAIL_OF_DELETED
    assert await town.where("Jo Buyer") == {"orders"}


async def test_an_account_that_was_closed_before_is_erased_too(town: Town) -> None:
    await town.by_staff.users.delete(user_id=town.jo)
    assert "users" in await town.where(EMAIL)
    await town.by_staff.erasures.erase(user_id=town.jo, reason="asked by letter")
    assert await town.where(*WORDS) == KEPT


async def test_only_who_stands_above_erases_and_says_why(town: Town) -> None:
    admin = await town.shop.users.create(email="al@shop.example", role=UserRole.ADMIN)
    customer = town.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=admin.id))
    for shop, user_id, reason, refusal in (
        (town.by_staff, admin.id, "left", RoleForbidden),
        (town.by_staff, town.staff.id, "left", RoleForbidden),
        (town.by_staff, town.jo, " ", InvalidPerson),
        (town.by_staff, UserId(new_id()), "left", UserNotFound),
        (customer, town.jo, "spite", UserNotFound),
    ):
        with pytest.raises(refusal):
            await shop.erasures.erase(user_id=user_id, reason=reason)
    assert (await town.shop.users.get(user_id=town.jo)).full_name == "Jo Buyer"
    assert "events" in await town.where(str(town.jo))
