"""What an action leaves in the trail, done or refused, and what it does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from factories import HOME, make_method, make_product, place
from storeroom.audit import Entry, InvalidAuditQuery
from storeroom.catalog import StockPolicy, VariantNotFound
from storeroom.core.ids import UserId, VariantId
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import EmailTaken, UserRole
from storeroom.inventory import StockOutOfRange
from storeroom.room import Shop


async def entries(shop: Shop, **filters: Any) -> list[Entry]:
    return (await shop.audit.list(**filters)).items


def by_staff(shop: Shop, **changes: Any) -> Shop:
    actor = Actor(kind=ActorKind.ADMIN, user_id=UserId(uuid4()), name="ann@shop.example", role="staff")
    call = {"request_id": "r-1", "ip": "203.0.113.9", "user_agent": "test/1"}
    return shop.acting(actor=actor, **{**call, **changes})


@pytest.mark.requirement("SBB-AUD-01", "SBB-PRIN-05")
async def test_an_action_leaves_who_what_and_the_change(shop: Shop) -> None:
    variant_id = await make_product(shop, stock=10)
    staff = by_staff(shop)
    await staff.inventory.adjust(variant_id=variant_id, by=-2, reason="two broken")
    (entry,) = await entries(shop, resource_type="stock", resource_id=variant_id)
    said = msgspec.structs.asdict(entry)
    assert said["new_values"].pop("made_id")  # the movement
    assert {name: said[name] for name in said if name not in {"id", "created_at"}} == {
        "actor_kind": ActorKind.ADMIN,
        "user_id": staff.context.actor.user_id,
        "user_email": "ann@shop.example",
        "user_role": "staff",
        "action": "inventory.adjust",
        "resource_type": "stock",
        "resource_id": variant_id,
        "old_values": {"on_hand": 10},
        "new_values": {"variant_id": str(variant_id), "by": -2, "reason": "two broken", "on_hand": 8},
        "ip_address": "203.0.113.9",
        "user_agent": "test/1",
        "request_id": "r-1",
        "success": True,
        "error_message": None,
    }
    assert abs(datetime.now(UTC) - entry.created_at) < timedelta(minutes=5)


@pytest.mark.requirement("SBB-AUD-03")
async def test_a_refused_action_is_kept_although_it_was_rolled_back(shop: Shop) -> None:
    variant_id = await make_product(shop, stock=1)
    with pytest.raises(StockOutOfRange):
        await by_staff(shop).inventory.adjust(variant_id=variant_id, by=-2, reason="two broken")
    (entry,) = await entries(shop, action="inventory.adjust")
    assert (entry.success, entry.resource_id, entry.old_values) == (False, variant_id, None)
    assert entry.error_message is not None
    assert entry.error_message.startswith("inventory.stock_out_of_range: ")
    assert entry.new_values == {"variant_id": str(variant_id), "by": -2, "reason": "two broken"}
    assert (await shop.inventory.level(variant_id=variant_id)).on_hand == 1


@pytest.mark.requirement("SBB-AUD-03")
async def test_what_is_not_there_is_refused_with_an_entry(shop: Shop) -> None:
    unknown = VariantId(uuid4())
    with pytest.raises(VariantNotFound):
        await shop.inventory.set_policy(variant_id=unknown, policy=StockPolicy.UNTRACKED)
    (entry,) = await entries(shop, resource_type="variant", resource_id=unknown)
    assert (entry.success, entry.action) == (False, "inventory.set_policy")


async def test_an_entry_is_undone_with_its_change(shop: Shop) -> None:
    variant_id = await make_product(shop)

    async def fail() -> None:
        async with shop.transaction() as tx:
            await tx.inventory.adjust(variant_id=variant_id, by=1, reason="found")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await entries(shop, action="inventory.adjust") == []
    async with shop.transaction() as tx:
        await tx.inventory.adjust(variant_id=variant_id, by=1, reason="found")
        await tx.inventory.adjust(variant_id=variant_id, by=2, reason="found")
    first, second = sorted(await entries(shop, action="inventory.adjust"), key=lambda entry: entry.id)
    assert [first.old_values, second.old_values] == [{"on_hand": 10}, {"on_hand": 11}]


async def test_what_customers_do_is_not_in_it(shop: Shop) -> None:
    variant_id = await make_product(shop)
    before = len(await entries(shop))
    customer = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="guest"))
    await customer.inventory.adjust(variant_id=variant_id, by=1, reason="found")
    assert len(await entries(shop)) == before


async def test_the_system_is_in_it(shop: Shop) -> None:
    variant_id = await make_product(shop)
    system = shop.acting(actor=Actor(kind=ActorKind.SYSTEM, name="stocktaking"))
    await system.inventory.count(variant_id=variant_id, on_hand=7)
    (entry,) = await entries(shop, action="inventory.count")
    assert (entry.actor_kind, entry.user_id, entry.user_email) == (ActorKind.SYSTEM, None, "stocktaking")


@pytest.mark.requirement("SBB-AUD-06")
@pytest.mark.parametrize("statement", ["UPDATE {t} SET tenant_id = 'x'", "DELETE FROM {t}", "TRUNCATE {t}"])
@pytest.mark.parametrize("table", ["audit_logs", "audit_seals"])
async def test_the_service_cannot_rewrite_it(dsn: str, table: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET ROLE storeroom_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(t=table))
        partition = await connection.fetchval(
            "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(t=partition))
    finally:
        await connection.close()


@pytest.mark.requirement("SBB-AUD-02")
async def test_entries_keep_the_role_that_was(shop: Shop) -> None:
    variant_id = await make_product(shop)
    system = shop.acting(actor=Actor(kind=ActorKind.SYSTEM))
    user = await system.users.create(email="bo@shop.example", role=UserRole.STAFF)
    actor = Actor(kind=ActorKind.ADMIN, user_id=user.id, name=user.email, role=user.role)
    await shop.acting(actor=actor).inventory.adjust(variant_id=variant_id, by=1, reason="found")
    await system.users.set_role(user_id=user.id, role=UserRole.CUSTOMER)
    (entry,) = await entries(shop, user_id=user.id)
    assert (entry.user_role, entry.user_email) == ("staff", "bo@shop.example")


async def test_the_filters_and_the_pages(shop: Shop) -> None:
    variant_id = await make_product(shop)
    staff = by_staff(shop)
    for number in range(5):
        await staff.inventory.adjust(variant_id=variant_id, by=1, reason=f"number {number}")
    await shop.inventory.count(variant_id=variant_id, on_hand=1)
    user_id = staff.context.actor.user_id
    pages, cursor = [], None
    while True:
        page = await shop.audit.list(user_id=user_id, cursor=cursor, limit=2)
        pages.append([entry.new_values["reason"] for entry in page.items if entry.new_values])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [["number 4", "number 3"], ["number 2", "number 1"], ["number 0"]]
    assert len(await entries(shop, resource_type="stock", resource_id=variant_id)) == 6
    newest = (await entries(shop, limit=1))[0]
    assert newest.action == "inventory.count"
    assert newest not in await entries(shop, until=newest.created_at)
    assert newest in await entries(shop, since=newest.created_at)
    assert await entries(shop, since=newest.created_at + timedelta(microseconds=1)) == []
    with pytest.raises(InvalidAuditQuery):
        await entries(shop, resource_id=variant_id)
    with pytest.raises(InvalidAuditQuery):
        await entries(shop, action="")


@pytest.mark.requirement("SBB-AUD-04")
async def test_a_month_boundary_lies_between_two_partitions(database: Database, dsn: str, shop: Shop) -> None:
    """Rows of a month that nobody made wait in the default partition; making it moves them."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        now = await connection.fetchval("SELECT date_trunc('month', now(), 'UTC')")
        later = [(now + timedelta(days=days)).replace(day=1) for days in (32, 400)]
        for instant in (later[0] - timedelta(microseconds=1), later[0], later[1]):
            await connection.execute(
                "INSERT INTO audit_logs (tenant_id, id, actor_kind, action, resource_type, created_at) "
                "VALUES ('month', gen_random_uuid(), 'system', 'a', 'b', $1)",
                instant,
            )
        places = "SELECT tableoid::regclass::text FROM audit_logs WHERE tenant_id = 'month' ORDER BY created_at"
        names = [f"audit_logs_{month:y%Ym%m}" for month in (now, *later)]
        assert [row[0] for row in await connection.fetch(places)] == [names[0], names[1], "audit_logs_default"]
        await connection.execute("SET LOCAL ROLE storeroom_app")
        make = "SELECT make_month_partition_v1('audit_logs', $1)"
        assert await connection.fetchval(make, later[1].date()) is True
        assert await connection.fetchval(make, later[1].date()) is False
        assert [row[0] for row in await connection.fetch(places)] == names
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await connection.fetchval(make, datetime(2001, 1, 1, tzinfo=UTC).date())
    finally:
        await transaction.rollback()
        await connection.close()


@pytest.mark.requirement("SBB-AUD-04", "SBB-AUD-05")
async def test_only_the_documented_indexes_are_there(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        indexes = await connection.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = 'audit_logs'::regclass ORDER BY 1"
        )
    finally:
        await connection.close()
    assert [row["name"] for row in indexes] == [
        "audit_logs_pkey",
        "idx_audit_logs_action",
        "idx_audit_logs_created",
        "idx_audit_logs_resource",
        "idx_audit_logs_user",
    ]


@pytest.mark.requirement("SBB-AUD-01")
async def test_neither_secrets_nor_people_stand_in_it(shop: Shop) -> None:
    """Who is erased from the accounts has not to be erased here, so the chain stays whole."""
    system = shop.acting(actor=Actor(kind=ActorKind.SYSTEM, name="console"))
    email, name, password = "jo@buyer.example", "Jo Buyer", "correct horse battery"
    user = await system.users.create(email=email, full_name=name, password=password, phone="+15125550123")
    await system.users.set_name(user_id=user.id, full_name="Jo Other")
    await system.addresses.add(user_id=user.id, address=HOME)
    await system.users.delete(user_id=user.id)
    with pytest.raises(EmailTaken):
        await system.users.create(email="ann@shop.example")
        await system.users.create(email="ann@shop.example")
    texts = await shop.context.db.fetch(
        "SELECT a.id, a::text AS row FROM audit_logs AS a WHERE tenant_id = $1", shop.tenant_id
    )
    assert len(texts) == 7  # and that the shop was made
    for known in (email, name, "Jo Other", password, "5125550123", "argon2", HOME.street_line_1, "ann@shop.example"):
        assert [text["row"] for text in texts if known in text["row"]] == []
    renamed = (await entries(shop, action="identity.set_name"))[0]
    assert renamed.old_values is not None
    assert renamed.new_values is not None
    assert renamed.old_values["full_name"].startswith("sha256:")
    assert renamed.old_values["full_name"] != renamed.new_values["full_name"]


async def test_what_an_action_calls_is_part_of_it(shop: Shop) -> None:
    await make_method(shop)
    placed = await place(shop, (await make_product(shop), 1), payment_method="zelle")
    before = len(await entries(shop))
    await shop.cancellation.cancel(order_id=placed.order.id, reason="sold twice")
    assert len(await entries(shop)) == before + 1
    (entry,) = await entries(shop, resource_type="order", resource_id=placed.order.id)
    assert entry.action == "orders.cancel"
    assert (entry.old_values or {})["status"] == "pending_payment"
    assert (entry.new_values or {})["status"] == "cancelled"


async def test_two_at_once_each_see_what_they_changed(shop: Shop) -> None:
    """The look before a change waits as the change does, so it never tells of an older state."""
    variant_id = await make_product(shop, stock=0)
    await asyncio.gather(*(shop.inventory.adjust(variant_id=variant_id, by=1, reason="found") for _ in range(8)))
    steps = [
        ((entry.old_values or {})["on_hand"], (entry.new_values or {})["on_hand"])
        for entry in await entries(shop, action="inventory.adjust")
    ]
    assert sorted(steps) == [(number, number + 1) for number in range(8)]
