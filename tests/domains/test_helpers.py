"""The helpers around a table: one question to the database, one mapper from its rows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import storeroom
from storeroom.core.ids import new_id
from storeroom.database.ensured import Ensured
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.executor import Executor
from storeroom.database.migrations import NotMigrated
from storeroom.database.pool import Database
from storeroom.domains import ensure_domains, map_domain
from storeroom.guests import GuestMethod, ensure_guest_user_audits, map_guest_attempt
from storeroom.room import Shop

Fresh = Callable[..., Awaitable[str]]


class Counted:
    """A database that keeps what it is asked, and fails as often as it is told to."""

    def __init__(self, db: Executor, failures: int = 0) -> None:
        self.db = db
        self.names = db.names
        self.asked: list[str] = []
        self.failures = failures

    async def fetch(self, sql: str, /, *args: object) -> list[asyncpg.Record]:
        self.asked.append(sql)
        await asyncio.sleep(0)  # let the others in, so that they come while this is asked
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable(reason="connection refused")
        return await self.db.fetch(sql, *args)

    async def fetchrow(self, sql: str, /, *args: object) -> asyncpg.Record | None:
        raise AssertionError(sql)

    async def fetchval(self, sql: str, /, *args: object) -> Any:
        raise AssertionError(sql)

    async def execute(self, sql: str, /, *args: object) -> str:
        raise AssertionError(sql)


@pytest.mark.requirement("RED-GEN-02")
async def test_a_process_asks_once_however_many_call(database: Database) -> None:
    ensured, counted = Ensured("domains"), Counted(database)
    await asyncio.gather(*(ensured(counted) for _ in range(20)))
    await ensured(counted)
    (asked,) = counted.asked
    assert asked.startswith("SELECT version FROM schema_migrations")


async def test_another_database_is_asked_for_itself(database: Database) -> None:
    ensured, one, other = Ensured("domains"), Counted(database), Counted(database)
    for counted in (one, other, one):
        await ensured(counted)
    assert (len(one.asked), len(other.asked)) == (1, 1)


async def test_a_transaction_shares_the_answer_of_its_database(database: Database) -> None:
    ensured = Ensured("domains")
    async with database.transaction() as tx:
        await ensured(tx)
    counted = Counted(database)
    await Ensured("domains")(counted)
    assert len(counted.asked) == 1, "the control"
    assert list(ensured._ran) == [database]


@pytest.mark.requirement("RED-GEN-10")
async def test_a_failure_is_not_remembered(database: Database) -> None:
    ensured, counted = Ensured("domains"), Counted(database, failures=1)
    with pytest.raises(DatabaseUnavailable):
        await ensured(counted)
    await ensured(counted)
    await ensured(counted)
    assert len(counted.asked) == 2


@pytest.mark.requirement("RED-GEN-02", "RED-GEN-10", "RED-GUEST-03")
async def test_before_the_migration_the_error_names_it_and_nothing_is_made(fresh_database: Fresh) -> None:
    dsn = await fresh_database(empty=True)
    async with await Database.open(dsn, role=None) as db:
        for ensured in (ensure_domains, ensure_guest_user_audits):
            for _ in range(2):
                with pytest.raises(NotMigrated, match="0011 domains") as refused:
                    await ensured(db)
                assert refused.value.missing == ["0011 domains"]
        made = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        assert await db.fetchval(made) == 0
        await storeroom.database.migrations.migrate(dsn)
        await ensure_guest_user_audits(db)


@pytest.mark.requirement("RED-GUEST-03")
async def test_called_again_and_at_once_it_passes_and_touches_nothing(shop: Shop, database: Database) -> None:
    await asyncio.gather(ensure_guest_user_audits(database), ensure_guest_user_audits(database))
    kept = await shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=True)
    await asyncio.gather(*(Ensured("domains", "guest_user_audits")(database) for _ in range(2)))
    assert (await shop.guest_attempts.list()).items == [kept]


async def test_a_table_that_nobody_makes_is_never_missing_by_mistake() -> None:
    assert [each.version for each in ensure_domains.migrations] == [11]
    assert [each.version for each in Ensured("tenants").migrations] == [1]


AT = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)


@pytest.mark.requirement("RED-GEN-04")
@pytest.mark.parametrize(
    "form",
    [
        AT,
        AT.astimezone(timezone(timedelta(hours=4))),
        "2026-03-01 12:30:15.25",
        "2026-03-01T12:30:15.250000Z",
        "2026-03-01T16:30:15.25+04:00",
    ],
)
def test_an_instant_is_the_same_in_every_form(form: object) -> None:
    domain = dict.fromkeys(("legacy_id", "domain_name", "display_name", "company_code", "country_code", "currency"))
    row = {**domain, "id": str(new_id()), "is_active": True, "created_at": form, "updated_at": form}
    mapped = map_domain(row)
    attempt = map_guest_attempt(attempt_row(created_at=form))
    for at in (mapped.created_at, mapped.updated_at, attempt.created_at):
        assert (at, at.utcoffset()) == (AT, timedelta(0))


def attempt_row(**facts: object) -> dict[str, Any]:
    return {
        **dict.fromkeys(("email", "phone", "order_reference", "message", "failure_code", "metadata")),
        **dict.fromkeys(("ip_address", "user_agent", "domain_id")),
        "id": new_id(),
        "verification_method": "order_lookup",
        "success": None,
        "created_at": AT,
        **facts,
    }


@pytest.mark.requirement("RED-GUEST-04")
@pytest.mark.parametrize(
    ("value", "metadata"),
    [(None, {}), ({}, {}), ({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("[1]", {}), ("no json", {}), ([1], {})],
)
def test_metadata_is_an_object_and_success_a_boolean(value: object, metadata: dict[str, object]) -> None:
    mapped = map_guest_attempt(attempt_row(metadata=value))
    assert mapped.metadata == metadata
    assert mapped.success is False
    assert map_guest_attempt(attempt_row(success=1)).success is True


@pytest.mark.parametrize("table", ["domains", "guest_user_audits"])
def test_a_table_is_made_in_one_place(table: str) -> None:
    package = Path(storeroom.__file__).parent
    makers = [file.name for file in package.rglob("*.sql") if f"CREATE TABLE {{{table}}}" in file.read_text()]
    assert makers == ["0011_domains.sql"]


async def test_two_calls_give_the_same_value_of_a_row(shop: Shop) -> None:
    made = await shop.domains.create(domain_name="shop.example")
    assert made == await shop.domains.get(domain_id=made.id) == await shop.domains.resolve(host="shop.example")
    kept = await shop.guest_attempts.record(method=GuestMethod.PHONE_CODE, success=True, metadata={"a": [1]})
    assert (await shop.guest_attempts.list()).items == [kept]
