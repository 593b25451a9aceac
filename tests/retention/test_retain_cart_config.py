"""How long after a failed payment a domain reminds, how often, with a copy to whom."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from factories import open_shop
from rivals import race
from storeroom.core.ids import DomainId, new_id
from storeroom.database.migrations import NotMigrated, migrate
from storeroom.database.pool import Database, Transaction
from storeroom.domains import DomainNotFound
from storeroom.retention import (
    InvalidRetainCart,
    RetainCartRules,
    ensure_retain_cart_configs,
    map_retain_cart_config,
)
from storeroom.room import Shop, Storeroom

ROWS = "SELECT count(*)::int FROM retain_cart_configs WHERE tenant_id = $1"


async def domain(shop: Shop, name: str = "shop.example") -> DomainId:
    return (await shop.domains.create(domain_name=name)).id


@pytest.mark.requirement("RED-CART-01", "RED-CART-02", "RED-CART-06")
async def test_a_second_time_replaces_what_was_said(shop: Shop, database: Database) -> None:
    ours, theirs = await domain(shop), await domain(shop, "other.example")
    first = await shop.cart_reminders.upsert(domain_id=ours)
    assert (first.retry_time_seconds, first.max_retries, first.bcc_emails, first.is_active) == (7200, 1, [], True)
    second = await shop.cart_reminders.upsert(
        domain_id=ours,
        retry_time_seconds=600,
        max_retries=3,
        bcc_emails=["Sales@shop.example", "sales@shop.example", "b@shop.example"],
        is_active=False,
    )
    assert await shop.cart_reminders.config(domain_id=ours) == second
    assert (second.id, second.created_at, second.retry_time_seconds) == (first.id, first.created_at, 600)
    assert second.bcc_emails == ["sales@shop.example", "b@shop.example"]
    assert second.updated_at > first.updated_at
    assert await database.fetchval(ROWS, shop.tenant_id) == 1
    assert await shop.cart_reminders.config(domain_id=theirs) is None


@pytest.mark.requirement("RED-CART-08")
async def test_what_nobody_configured_has_defaults_and_what_is_inactive_reminds_nobody(shop: Shop) -> None:
    plain, quiet = await domain(shop), await domain(shop, "quiet.example")
    await shop.cart_reminders.upsert(domain_id=quiet, is_active=False, bcc_emails=["a@shop.example"])
    await shop.cart_reminders.upsert(domain_id=None, retry_time_seconds=60)  # of no known domain: of neither of them
    assert await shop.cart_reminders.rules(domain_id=plain) == RetainCartRules(
        retry_time_seconds=7200, max_retries=1, bcc_emails=[], reminds=True, configured=False
    )
    assert (await shop.cart_reminders.rules(domain_id=quiet)).reminds is False
    assert (await shop.cart_reminders.rules(domain_id=None)).retry_time_seconds == 60
    with pytest.raises(DomainNotFound):
        await shop.cart_reminders.rules(domain_id=DomainId(new_id()))


@pytest.mark.requirement("RED-CART-03")
@pytest.mark.parametrize("named", [True, False])
async def test_two_at_once_leave_one_row(shop: Shop, database: Database, named: bool) -> None:
    domain_id = await domain(shop) if named else None

    async def first(tx: Transaction) -> None:
        await shop.cart_reminders.bound(tx).upsert(domain_id=domain_id, retry_time_seconds=1)

    outcome = await race(database, first, lambda: shop.cart_reminders.upsert(domain_id=domain_id, retry_time_seconds=2))
    assert outcome.retry_time_seconds == 2
    assert await database.fetchval(ROWS, shop.tenant_id) == 1


@pytest.mark.requirement("RED-CART-03")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retry_time_seconds", -1),
        ("retry_time_seconds", 2_592_001),
        ("max_retries", -1),
        ("max_retries", 11),
        ("bcc_emails", ["nobody"]),
        ("bcc_emails", [f"a{n}@shop.example" for n in range(11)]),
    ],
)
async def test_what_is_out_of_bounds_is_refused(shop: Shop, database: Database, field: str, value: object) -> None:
    domain_id = await domain(shop)
    with pytest.raises(InvalidRetainCart) as refused:
        await shop.cart_reminders.upsert(domain_id=domain_id, **{field: value})  # type: ignore[arg-type]
    assert refused.value.field == field
    assert await database.fetchval(ROWS, shop.tenant_id) == 0


@pytest.mark.requirement("RED-CART-03")
async def test_the_table_itself_refuses_a_negative_timer(shop: Shop, database: Database) -> None:
    with pytest.raises(Exception, match="retain_cart_configs_time_range"):
        await database.execute(
            "INSERT INTO retain_cart_configs (tenant_id, id, retry_time_seconds) VALUES ($1, $2, -1)",
            shop.tenant_id,
            new_id(),
        )


async def test_a_configuration_goes_with_its_domain(shop: Shop, database: Database) -> None:
    domain_id = await domain(shop)
    await shop.cart_reminders.upsert(domain_id=domain_id)
    await shop.domains.delete(domain_id=domain_id)
    assert await database.fetchval(ROWS, shop.tenant_id) == 0
    with pytest.raises(DomainNotFound):
        await shop.cart_reminders.upsert(domain_id=domain_id)


@pytest.mark.requirement("RED-CART-05")
def test_a_row_is_mapped_whatever_its_form() -> None:
    row = {
        "id": "0199a2b4-0000-7000-8000-000000000001",
        "domain_id": None,
        "retry_time_seconds": 7200,
        "max_retries": 1,
        "bcc_emails": ["a@shop.example", "b@shop.example"],
        "is_active": True,
        "created_at": "2026-01-31T12:00:00+02:00",
        "updated_at": datetime(2026, 1, 31, 10, tzinfo=UTC),
    }
    found = map_retain_cart_config(row)
    assert found.id == UUID("0199a2b4-0000-7000-8000-000000000001") and found.domain_id is None
    assert found.created_at == found.updated_at == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert found.retry_time_seconds == 7200 and type(found.retry_time_seconds) is int
    assert found.bcc_emails == ["a@shop.example", "b@shop.example"]
    assert map_retain_cart_config({**row, "bcc_emails": '["a@shop.example"]'}).bcc_emails == ["a@shop.example"]
    for none in (None, [], "[]"):
        assert map_retain_cart_config({**row, "bcc_emails": none}).bcc_emails == []


@pytest.mark.requirement("RED-CART-04")
async def test_the_table_is_there_after_the_domains_however_often_it_is_asked_for(fresh_database) -> None:
    dsn = await fresh_database(empty=True)
    async with await Database.open(dsn) as db:
        with pytest.raises(NotMigrated) as missing:
            await ensure_retain_cart_configs(db)
        assert list(missing.value.missing) == ["0011 domains", "0032 retain_cart"]
        for _ in range(2):
            await migrate(dsn)
            await ensure_retain_cart_configs(db)
    async with await Database.open(dsn) as db:
        shop = await open_shop(Storeroom(db))
        assert (await shop.cart_reminders.upsert(domain_id=await domain(shop))).is_active
