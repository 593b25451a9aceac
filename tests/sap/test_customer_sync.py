"""Customers as SAP has them: one row each, with their account, and claimed by one worker at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from factories import LOOPBACK, SECRET, open_shop
from receiver import Receiver, Request, hang, receiving, status
from rivals import race
from storeroom.core.ids import TenantId, UserId, new_id
from storeroom.database.ensured import Ensured
from storeroom.database.migrations import NotMigrated, migrate
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.identity import InvalidPerson, UserRole
from storeroom.integration import Courier, Dispatcher
from storeroom.outbox import enqueue
from storeroom.room import Shop, Storeroom
from storeroom.sap import (
    ATTEMPTS_MAX,
    CustomerSynced,
    InvalidSap,
    SapCodeTaken,
    SapCustomers,
    ensure_customer_syncs,
    map_customer_sync,
    queries,
    sync_customers,
)

DEEP = b'{"x":' + b"[" * 1500  # deeper than can be read
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def system(shop: Shop) -> Shop:
    return shop.acting(actor=SYSTEM)


async def account(shop: Shop, email: str, **metadata: Any) -> UserId:
    return (await system(shop).users.create(email=email, full_name="Ann Buyer", metadata=metadata)).id


async def rows(shop: Shop, database: Database) -> list[asyncpg.Record]:
    return await database.fetch(
        "SELECT * FROM customer_syncs WHERE tenant_id = $1 ORDER BY created_at, id", shop.tenant_id
    )


async def make_due(dsn: str, shop: Shop) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE customer_syncs SET next_attempt_at = now() WHERE tenant_id = $1", shop.tenant_id)
    await connection.close()


@pytest.mark.requirement("RED-CUST-01", "RED-CUST-02", "RED-CUST-05")
async def test_one_row_is_inserted_and_then_updated(shop: Shop) -> None:
    first = await shop.customer_syncs.upsert(customer_email="ann@buyer.example", company_code="1000")
    assert (first.sap_sync, first.sap_customer_code, first.sap_synced_at) == (False, None, None)
    second = await shop.customer_syncs.upsert(customer_email="ANN@buyer.example", sap_customer_code="4711")
    assert (second.sap_sync, second.sap_customer_code, second.company_code) == (True, "4711", "1000")
    assert second.sap_synced_at is not None and second.sap_synced_at >= first.created_at
    third = await shop.customer_syncs.upsert(customer_email="ann@buyer.example", sap_customer_code="4712")
    assert (third.id, third.created_at, third.sap_customer_code) == (first.id, first.created_at, "4712")
    assert third == await shop.customer_syncs.get(sync_id=first.id)
    assert third == await shop.customer_syncs.by_email(customer_email="Ann@Buyer.example")


@pytest.mark.requirement("RED-CUST-03")
async def test_rivals_with_one_address_in_two_spellings_leave_one_row(shop: Shop, database: Database) -> None:
    async def first(tx: Any) -> None:
        await shop.customer_syncs.bound(tx).upsert(customer_email="ann@buyer.example", sap_customer_code="1")

    await race(
        database, first, lambda: shop.customer_syncs.upsert(customer_email="Ann@Buyer.Example", company_code="9")
    )
    (row,) = await rows(shop, database)
    assert (row["customer_email"], row["sap_customer_code"], row["company_code"]) == ("ann@buyer.example", "1", "9")


@pytest.mark.requirement("RED-CUST-03")
async def test_a_code_is_one_customers(shop: Shop, room: Storeroom, database: Database) -> None:
    await shop.customer_syncs.upsert(customer_email="ann@buyer.example", sap_customer_code="4711")
    bo = await account(shop, "bo@buyer.example", tier="gold")
    with pytest.raises(SapCodeTaken) as refused:
        await shop.customer_syncs.upsert(customer_email="bo@buyer.example", sap_customer_code="4711")
    assert refused.value.sap_customer_code == "4711"
    assert len(await rows(shop, database)) == 1
    assert (await shop.users.get(user_id=bo)).metadata == {"tier": "gold"}
    other = await open_shop(room)
    assert (await other.customer_syncs.upsert(customer_email="bo@buyer.example", sap_customer_code="4711")).sap_sync


@pytest.mark.requirement("RED-CUST-06")
async def test_the_account_says_the_same_and_keeps_what_else_it_says(shop: Shop) -> None:
    ann = await account(shop, "ann@buyer.example", tier="gold", sap_customer_code="old")
    sync = await shop.customer_syncs.upsert(customer_email="Ann@buyer.example", sap_customer_code="4711")
    assert sync.customer_id == ann
    said = {"tier": "gold", "sap_sync": True, "sap_customer_code": "4711"}
    assert (await shop.users.get(user_id=ann)).metadata == said
    await shop.customer_syncs.upsert(customer_email="ann@buyer.example", sap_sync=False)
    assert (await shop.users.get(user_id=ann)).metadata == {**said, "sap_sync": False}


@pytest.mark.requirement("RED-CUST-06")
async def test_where_the_account_cannot_say_it_neither_does_the_row(shop: Shop, database: Database) -> None:
    ann = await account(shop, "ann@buyer.example", notes="x" * (10 * 1024 - 20))
    with pytest.raises(InvalidPerson):
        await shop.customer_syncs.upsert(customer_email="ann@buyer.example", sap_customer_code="4711")
    assert await rows(shop, database) == []
    assert "sap_sync" not in (await shop.users.get(user_id=ann)).metadata


async def test_who_is_in_sap_has_a_code_and_fields_have_bounds(shop: Shop, database: Database) -> None:
    for wrong in ({"sap_sync": True}, {"sap_customer_code": " "}, {"company_code": "x" * 51}):
        with pytest.raises(InvalidSap):
            await shop.customer_syncs.upsert(customer_email="ann@buyer.example", **wrong)
    assert await rows(shop, database) == []


async def test_an_account_that_changes_its_address_keeps_its_row(shop: Shop, database: Database, dsn: str) -> None:
    ann = await account(shop, "ann@buyer.example")
    await shop.customer_syncs.upsert(customer_email="ann@buyer.example", sap_customer_code="4711")
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE users SET email = 'ann@new.example' WHERE id = $1", ann)
    await connection.close()
    assert not await shop.customer_syncs.enrol(customer_id=ann)
    (row,) = await rows(shop, database)
    assert (row["customer_email"], row["sap_customer_code"], row["sap_sync"]) == ("ann@new.example", "4711", True)
    await shop.customer_syncs.upsert(customer_email="ann@new.example", sap_customer_code="4712")
    assert [each["sap_customer_code"] for each in await rows(shop, database)] == ["4712"]


@pytest.mark.requirement("RED-CUST-04")
async def test_the_helper_asks_that_the_table_is_there(shop: Shop, database: Database, fresh_database: Any) -> None:
    await asyncio.gather(*(Ensured("users", "customer_syncs")(database) for _ in range(2)))
    kept = await shop.customer_syncs.upsert(customer_email="ann@buyer.example")
    await asyncio.gather(*(Ensured("users", "customer_syncs")(database) for _ in range(2)))
    assert await shop.customer_syncs.get(sync_id=kept.id) == kept
    empty = await fresh_database(empty=True)
    async with await Database.open(empty, role=None) as db:
        with pytest.raises(NotMigrated, match="0034 sap"):
            await ensure_customer_syncs(db)
        await migrate(empty)
        await asyncio.gather(ensure_customer_syncs(db), ensure_customer_syncs(db))


@pytest.mark.requirement("RED-CUST-07")
@pytest.mark.parametrize("form", [AT, AT.astimezone(timezone(timedelta(hours=4))), "2026-03-01 12:30", AT.isoformat()])
def test_rows_are_mapped_to_one_form(form: Any) -> None:
    blank = dict.fromkeys(("customer_id", "sap_customer_code", "sap_synced_at", "company_code", "last_error"))
    row = {
        **blank,
        "id": str(new_id()),
        "customer_email": "ann@buyer.example",
        "sap_sync": None,
        "attempts": None,
        "next_attempt_at": form,
        "created_at": form,
        "updated_at": form,
    }
    plain = map_customer_sync(row)
    assert (plain.sap_sync, plain.sap_synced_at, plain.attempts, plain.created_at) == (False, None, 0, AT)
    full = map_customer_sync({**row, "sap_sync": 1, "sap_customer_code": " ", "sap_synced_at": form})
    assert (full.sap_sync, full.sap_customer_code, full.sap_synced_at) == (True, None, AT)
    assert full.sap_synced_at is not None and full.sap_synced_at.utcoffset() == timedelta(0)


@pytest.mark.requirement("RED-CUST-08")
async def test_two_workers_take_each_customer_once_the_oldest_first(shop: Shop, database: Database, dsn: str) -> None:
    emails = [f"buyer{n}@buyer.example" for n in range(10)]
    for email in emails:
        await shop.customer_syncs.upsert(customer_email=email)
    waiting = await shop.customer_syncs.waiting(limit=4)
    rest = await shop.customer_syncs.waiting(cursor=waiting.next_cursor, limit=100)
    assert [each.customer_email for each in [*waiting.items, *rest.items]] == emails
    async with database.transaction() as tx:  # one is at it, and has not committed
        first = await shop.customer_syncs.bound(tx).claim(claim=new_id(), size=4)
        second = await asyncio.wait_for(shop.customer_syncs.claim(claim=new_id(), size=4), 60)
    third = await shop.customer_syncs.claim(claim=new_id(), size=10)
    assert [[each.customer_email for each in taken] for taken in (first, second, third)] == [
        emails[:4],
        emails[4:8],
        emails[8:],
    ]
    assert await shop.customer_syncs.claim(claim=new_id(), size=10) == []
    await make_due(dsn, shop)  # their leases have ended
    again = await shop.customer_syncs.claim(claim=new_id(), size=10)
    assert [(each.customer_email, each.attempts) for each in again] == [(email, 2) for email in emails]


async def test_a_claim_that_was_lost_finishes_nothing(shop: Shop, dsn: str) -> None:
    ann = await account(shop, "ann@buyer.example")
    await shop.customer_syncs.enrol(customer_id=ann)
    late, now = new_id(), new_id()
    (row,) = await shop.customer_syncs.claim(claim=late, size=1)
    await make_due(dsn, shop)
    await shop.customer_syncs.claim(claim=now, size=1)
    assert await shop.customer_syncs.synced(claim=late, sync_id=row.id, sap_customer_code="1") is None
    assert not await shop.customer_syncs.failed(claim=late, sync_id=row.id, error="late", attempts=1)
    assert (await shop.users.get(user_id=ann)).metadata == {}
    done = await shop.customer_syncs.synced(claim=now, sync_id=row.id, sap_customer_code="2")
    assert done is not None and done.sap_customer_code == "2"


# --- The job -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
async def nobody_else_waits(dsn: str) -> None:
    """The job goes through all shops: those of other tests are done."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "WITH free AS (SELECT tenant_id, id FROM customer_syncs FOR UPDATE SKIP LOCKED) "
        "DELETE FROM customer_syncs WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM free)"
    )
    await connection.close()


@asynccontextmanager
async def sap_at(shop: Shop, answer: Any) -> AsyncIterator[tuple[Receiver, Courier]]:
    async with receiving(answer) as receiver, Courier(allowed=LOOPBACK) as courier:
        address = f"http://storeroom:pass%20word@127.0.0.1:{receiver.port}/shop"
        await shop.configuration.set(key="sap.address", value=address)
        yield receiver, courier


async def numbers(request: Request, writer: asyncio.StreamWriter) -> None:
    """Each address a number of its own."""
    email = request.json["email"]
    await status(200, json.dumps({"customer_code": f"C-{email.partition('@')[0]}"}).encode())(request, writer)


async def run(database: Database, room: Storeroom, courier: Courier) -> int:
    return await sync_customers(database, keys=room.token_keys, courier=courier, limit=100)


@pytest.mark.requirement("RED-CUST-01", "RED-CUST-06", "RED-CUST-08")
async def test_the_job_sends_who_waits_and_writes_down_their_number(
    shop: Shop, room: Storeroom, database: Database
) -> None:
    people = [await account(shop, f"buyer{n}@buyer.example", tier="gold") for n in range(6)]
    staff = await system(shop).users.create(email="s@shop.example", role=UserRole.STAFF)
    assert (await shop.customer_syncs.enrol_all(), await shop.customer_syncs.enrol_all()) == (6, 0)
    gone = await account(shop, "gone@buyer.example")
    await shop.customer_syncs.enrol(customer_id=gone)
    await system(shop).users.delete(user_id=gone)
    async with sap_at(shop, numbers) as (sap, courier):
        assert sum(await asyncio.gather(run(database, room, courier), run(database, room, courier))) == 6, "each once"
    assert sorted(request.json["email"] for request in sap.requests) == [f"buyer{n}@buyer.example" for n in range(6)]
    first = sap.requests[0]
    assert first.path == "/shop/customers"
    assert first.headers["authorization"] == "Basic c3RvcmVyb29tOnBhc3Mgd29yZA=="
    assert (first.json["full_name"], first.json["company_code"]) == ("Ann Buyer", None)
    for number, person in enumerate(people):
        metadata = (await shop.users.get(user_id=person)).metadata
        assert metadata == {"tier": "gold", "sap_sync": True, "sap_customer_code": f"C-buyer{number}"}
    assert (await shop.users.get(user_id=staff.id)).metadata == {}
    assert [each["customer_email"] for each in await rows(shop, database)] == [
        f"buyer{n}@buyer.example" for n in range(6)
    ], "a closed account waits no longer"


async def test_a_closed_account_that_has_a_number_is_done_and_one_without_goes(shop: Shop, database: Database) -> None:
    for name, code in (("ann", "4711"), ("bo", None)):
        person = await account(shop, f"{name}@buyer.example")
        await shop.customer_syncs.upsert(customer_email=f"{name}@buyer.example", sap_customer_code=code, sap_sync=False)
        await system(shop).users.delete(user_id=person)
    assert (await shop.customer_syncs.waiting()).items == []
    assert await shop.customer_syncs.claim(claim=new_id(), size=4) == []
    (row,) = await rows(shop, database)
    assert (row["sap_customer_code"], row["sap_sync"]) == ("4711", True)
    assert shop.tenant_id not in await queries.tenants_with_waiting(database, size=1_000)


async def test_who_failed_stands_behind_who_is_new(shop: Shop, database: Database) -> None:
    old = await shop.customer_syncs.upsert(customer_email="old@buyer.example")
    claim = new_id()
    await shop.customer_syncs.claim(claim=claim, size=1)
    await shop.customer_syncs.failed(claim=claim, sync_id=old.id, error="down", attempts=1)
    assert shop.tenant_id not in await queries.tenants_with_waiting(database, size=1_000)
    new = await shop.customer_syncs.upsert(customer_email="new@buyer.example")
    assert shop.tenant_id in await queries.tenants_with_waiting(database, size=1_000)
    await shop.customer_syncs.retry(sync_id=old.id)
    assert [each.id for each in await shop.customer_syncs.claim(claim=new_id(), size=4)] == [old.id, new.id]


async def test_what_fails_is_tried_later_and_ends_with_its_error(
    shop: Shop, room: Storeroom, database: Database, dsn: str
) -> None:
    sync = await shop.customer_syncs.upsert(customer_email="ann@buyer.example")
    said = []
    async with sap_at(shop, status(500, b"down")) as (sap, courier):
        for answer in (status(500), status(200, b'{"customer_code": ""}'), status(200, b"garbage"), status(200, DEEP)):
            sap.answer = answer
            assert await run(database, room, courier) == 1
            assert await run(database, room, courier) == 0, "not before its time"
            row = await shop.customer_syncs.get(sync_id=sync.id)
            assert row.next_attempt_at > datetime.now(UTC)
            said.append(row.last_error)
            await make_due(dsn, shop)
        assert said == ["answered 500", *["answered without a customer_code"] * 3]
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            "UPDATE customer_syncs SET attempts = $2 WHERE tenant_id = $1", shop.tenant_id, ATTEMPTS_MAX - 1
        )
        await connection.close()
        assert await run(database, room, courier) == 1
        await make_due(dsn, shop)
        assert await run(database, room, courier) == 0, "out of attempts"
        sap.answer = numbers
        await shop.customer_syncs.retry(sync_id=sync.id)
        assert await run(database, room, courier) == 1
    row = await shop.customer_syncs.get(sync_id=sync.id)
    assert (row.sap_sync, row.sap_customer_code, row.last_error) == (True, "C-ann", None)
    with pytest.raises(CustomerSynced):
        await shop.customer_syncs.retry(sync_id=sync.id)


async def test_a_code_that_sap_gives_twice_is_the_second_ones_error(
    shop: Shop, room: Storeroom, database: Database
) -> None:
    for email in ("ann@buyer.example", "bo@buyer.example"):
        await shop.customer_syncs.upsert(customer_email=email)
    async with sap_at(shop, status(200, b'{"customer_code": 4711}')) as (_, courier):
        assert await run(database, room, courier) == 2
    errors = sorted(
        (each["sap_customer_code"], each["last_error"]) for each in await rows(shop, database) if each["sap_sync"]
    )
    assert errors == [("4711", None)]
    (failed,) = (await shop.customer_syncs.waiting()).items
    assert failed.last_error == "another customer has the code 4711"


async def test_a_shop_without_sap_waits_and_one_that_hangs_is_not_waited_for_for_ever(
    shop: Shop, room: Storeroom, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.customer_syncs.upsert(customer_email="ann@buyer.example")
    async with Courier(allowed=LOOPBACK) as courier:
        await run(database, room, courier)
    (waiting,) = (await shop.customer_syncs.waiting()).items
    assert waiting.attempts == 0
    monkeypatch.setattr("storeroom.sap.port.TIMEOUT", timedelta(seconds=2))
    async with sap_at(shop, hang) as (sap, courier):
        assert await run(database, room, courier) == 1
        assert len(sap.requests) == 1
    (waiting,) = (await shop.customer_syncs.waiting()).items
    assert (waiting.attempts, waiting.last_error) == (1, "no answer within 2 s")
    async with Courier() as public:  # addresses of our own network are not asked
        await shop.customer_syncs.retry(sync_id=waiting.id)
        assert await run(database, room, public) == 1
    (waiting,) = (await shop.customer_syncs.waiting()).items
    assert "not an address of the public Internet" in str(waiting.last_error)


async def test_a_sap_that_hangs_is_left_after_four_and_no_batch_follows(
    shop: Shop, room: Storeroom, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storeroom.sap.port.TIMEOUT", timedelta(seconds=2))
    for n in range(9):
        await shop.customer_syncs.upsert(customer_email=f"buyer{n}@buyer.example")
    async with sap_at(shop, hang) as (sap, courier):
        assert await run(database, room, courier) == 4
        assert len(sap.requests) == 4
        assert await sync_customers(database, keys=room.token_keys, courier=courier, limit=4) == 3
        assert len(sap.requests) == 8
        sap.answer = status(500)
        assert await run(database, room, courier) == 1, "who answers is asked on"


@pytest.fixture
async def new_room(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Storeroom]:
    """An installation whose queue holds nothing of other tests: all of it is sent."""
    async with Storeroom.open(await fresh_database(), secret=SECRET) as opened:
        yield opened


@pytest.mark.parametrize("broken", ["another secret", "no secret", "nonsense"])
async def test_whether_a_shop_has_a_sap_is_answered_whatever_is_wrong(new_room: Storeroom, broken: str) -> None:
    room, database, shop = new_room, new_room.db, await open_shop(new_room)

    def carrier(of: Storeroom) -> SapCustomers:
        return SapCustomers(lambda tenant_id: of.tenant(tenant_id).configuration)

    ann = await account(shop, "ann@buyer.example")
    other = await open_shop(room)
    await shop.configuration.set(key="sap.address", value="https://:token@sap.example")
    if broken == "nonsense":
        await database.execute(
            "UPDATE store_configs SET value = 'x', is_encrypted = FALSE WHERE tenant_id = $1", shop.tenant_id
        )
        theirs = room
    else:
        theirs = Storeroom(database, secret=None if broken == "no secret" else "another secret, of 32 letters or more")
    for suspended in (False, True):
        if suspended:
            await room.tenants.suspend(shop.tenant_id)
            await room.tenants.suspend(other.tenant_id)
        assert await carrier(theirs).wants(shop.tenant_id)
        assert await carrier(room).wants(shop.tenant_id)
        assert not await carrier(theirs).wants(other.tenant_id)
    assert not await carrier(room).wants(TenantId("nobody"))
    await enqueue(
        database,
        tenant_id=shop.tenant_id,
        event_type="customer.created",
        payload={},
        entity_type="user",
        entity_id=ann,
    )
    async with Courier() as courier:
        await Dispatcher(database, courier, keys=room.token_keys, carriers=(carrier(room),)).run_once()
    assert [each["customer_id"] for each in await rows(shop, database)] == [ann], "they wait until it is resumed"


async def test_a_new_customer_waits_once_the_shop_has_a_sap(new_room: Storeroom) -> None:
    room, database, shop = new_room, new_room.db, await open_shop(new_room)
    ann = await account(shop, "ann@buyer.example")
    carrier = SapCustomers(lambda tenant_id: room.tenant(tenant_id).configuration)
    await shop.configuration.set(key="sap.address", value="https://:token@sap.example")
    assert await carrier.wants(shop.tenant_id)
    assert not await carrier.wants((await open_shop(room)).tenant_id)
    await enqueue(
        database,
        tenant_id=shop.tenant_id,
        event_type="customer.created",
        payload={},
        entity_type="user",
        entity_id=ann,
    )
    async with Courier() as courier:
        await Dispatcher(database, courier, keys=room.token_keys, carriers=(carrier,)).run_once()
    assert [each["customer_id"] for each in await rows(shop, database)] == [ann]
