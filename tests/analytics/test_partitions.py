"""Events are cut by month: each month has its partition, and a month that nobody made loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storeroom.analytics.jobs import make_partitions, retire_months
from storeroom.core.clock import FixedClock
from storeroom.database.migrations import migrate
from storeroom.database.partitions import ensure_months
from storeroom.database.pool import Database
from storeroom.doctor import examine
from storeroom.settings import Settings
from storeroom.worker import SCHEDULE, schedule

Fresh = Callable[..., Awaitable[str]]
INSERT = """
INSERT INTO events (tenant_id, id, event_name, event_category, anonymous_id, session_id, created_at)
VALUES ('t', gen_random_uuid(), 'page.view', 'page', 'a', 'v', $1)
"""


@pytest.fixture
async def own_dsn(fresh_database: Fresh) -> str:
    """A database of the test's own, made in this month and with some of it left."""
    if (left := first(1) - datetime.now(UTC)) < timedelta(seconds=30):
        await asyncio.sleep(left.total_seconds())  # a test that meets the end of a month would see two of them
    dsn = await fresh_database()
    owner = await asyncpg.connect(dsn)
    made = await months(owner)
    await owner.close()
    if made != [named(n) for n in range(4)]:  # the month has begun since the run did
        dsn = await fresh_database(empty=True)
        await migrate(dsn)
    return dsn


@pytest.fixture
async def owner(own_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Who may do everything there."""
    connection = await asyncpg.connect(own_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def service(own_dsn: str) -> AsyncIterator[Database]:
    """The service, with the rights it has."""
    async with await Database.open(own_dsn) as db:
        yield db


async def months(owner: asyncpg.Connection) -> list[str]:
    """The partitions of events, without the default one."""
    rows = await owner.fetch("SELECT relid::REGCLASS::TEXT FROM pg_partition_tree('events') WHERE level = 1 ORDER BY 1")
    return [row[0] for row in rows if row[0] != "events_default"]


async def where(owner: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await owner.fetch("SELECT tableoid::REGCLASS::TEXT FROM events ORDER BY created_at, id")]


def named(offset: int) -> str:
    return f"events_y{first(offset):%Ym%m}"


def first(offset: int) -> datetime:
    """The first instant of a month, counted from this one."""
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 + offset, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def relations(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(relations, node))
    if isinstance(node, dict):
        return {str(node["Relation Name"])} if "Relation Name" in node else set().union(*map(relations, node.values()))
    return set()


# By what events are looked for; each is the answer to a statement, see tests/plans/test_indexes.py.
INDEXES = {
    "events_pkey": "tenant_id, id, created_at",
    "idx_events_name": "tenant_id, event_name, created_at DESC, id DESC",
    "idx_events_category": "tenant_id, event_category, created_at DESC, id DESC",
    "idx_events_session": "tenant_id, session_id, created_at DESC, id DESC",
    "idx_events_created": "tenant_id, created_at DESC, id DESC",
    "idx_events_user": "tenant_id, user_id, created_at DESC, id DESC",
    "idx_events_anonymous": "tenant_id, anonymous_id, created_at DESC, id DESC",
    "idx_events_order": "tenant_id, order_id, created_at DESC, id DESC",
    "idx_events_user_name": "tenant_id, user_id, event_name, created_at DESC, id DESC",
    "idx_events_attribution": "tenant_id, utm_source, utm_campaign, created_at DESC, id DESC",
}


@pytest.mark.requirement("SBB-IDX-15")
async def test_events_have_the_indexes_that_are_asked_for_and_no_other(owner: asyncpg.Connection) -> None:
    """On the table and on each of its months; and PostgreSQL alone is enough."""
    found = await owner.fetch(
        "SELECT c.relname AS table, i.relname AS name, "
        r"substring(pg_get_indexdef(i.oid) FROM '\((.*?)\)( WHERE|$)') AS columns "
        "FROM pg_partition_tree('events') t JOIN pg_class c ON c.oid = t.relid "
        "JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid"
    )
    by_table: dict[str, dict[str, str]] = {}
    for row in found:
        by_table.setdefault(row["table"], {})[row["name"]] = row["columns"]
    assert by_table.pop("events") == INDEXES
    assert by_table.keys() == {"events_default", *(named(n) for n in range(4))}
    for table, indexes in by_table.items():
        assert sorted(indexes.values()) == sorted(INDEXES.values()), table
    extensions = {row[0] for row in await owner.fetch("SELECT extname::text FROM pg_extension")}
    assert extensions == {"plpgsql", "pg_trgm"}


async def test_a_new_database_has_its_months(owner: asyncpg.Connection) -> None:
    assert await months(owner) == [named(n) for n in range(4)]


@pytest.mark.requirement("SBB-EVT-09")
async def test_the_months_ahead_are_made_once_each(owner: asyncpg.Connection, service: Database) -> None:
    for month in await months(owner):
        await owner.execute(f"DROP TABLE {month}")
    assert await make_partitions(service, limit=100) == 4
    assert await make_partitions(service, limit=100) == 0
    assert await months(owner) == [named(n) for n in range(4)]
    secured = await owner.fetch("SELECT relrowsecurity FROM pg_class WHERE relname = ANY($1)", await months(owner))
    assert [row[0] for row in secured] == [True] * 4


@pytest.mark.requirement("SBB-EVT-09")
async def test_rivals_make_each_month_once(owner: asyncpg.Connection, service: Database) -> None:
    for month in await months(owner):
        await owner.execute(f"DROP TABLE {month}")
    made = await asyncio.gather(*(make_partitions(service, limit=100) for _ in range(4)))
    assert sorted(made) == [0, 0, 0, 4]
    assert await months(owner) == [named(n) for n in range(4)]


@pytest.mark.requirement("SBB-EVT-08")
async def test_the_border_of_a_month_parts_the_events(owner: asyncpg.Connection, service: Database) -> None:
    border = first(1)
    for at in (border - timedelta(microseconds=1), border):
        await service.execute(INSERT, at)
    assert await where(owner) == [named(0), named(1)]
    plan = await owner.fetchval(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM events WHERE tenant_id = 't' "
        f"AND created_at >= '{first(0)}' AND created_at < '{border}'"
    )
    assert relations(json.loads(plan)) == {named(0)}


@pytest.mark.requirement("SBB-EVT-08")
async def test_a_month_that_nobody_made_loses_nothing(owner: asyncpg.Connection, service: Database) -> None:
    early, later = first(5), first(6)
    for at in (first(0), early, early + timedelta(days=3), later):
        await service.execute(INSERT, at)
    assert await where(owner) == [named(0), *["events_default"] * 3]
    assert await ensure_months(service, "events", 5) == 2
    assert await where(owner) == [named(0), named(5), named(5), "events_default"]
    assert await owner.fetchval("SELECT count(*) FROM events") == 4
    assert await owner.fetchval("SELECT count(*) FROM events_default") == 1


async def test_the_service_makes_months_and_no_other_table(service: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute("CREATE TABLE events_mine PARTITION OF events FOR VALUES IN (1)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(f"SELECT count(*) FROM {named(0)}")  # reached through its table only
    for table, month in (("users", first(0)), ("events", first(40)), ("nothing", first(0))):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await service.fetchval("SELECT make_month_partition_v1($1, $2)", table, month.date())


# --- Months that are not kept -----------------------------------------------------------------------------------------


async def past(owner: asyncpg.Connection, service: Database, *offsets: int) -> None:
    """Months that were made when they were young, with an event each; the audit log has them too."""
    for table in ("events", "audit_logs"):
        for offset in offsets:
            assert await service.fetchval("SELECT make_month_partition_v1($1, $2)", table, first(offset).date())
    for offset in offsets:
        await service.execute(INSERT, first(offset))


async def tables(owner: asyncpg.Connection, pattern: str) -> list[str]:
    """Ordinary tables, parts of another or not."""
    rows = await owner.fetch(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ $1 ORDER BY relname", f"^{pattern}_y"
    )
    return [row[0] for row in rows]


@pytest.mark.requirement("SBB-EVT-08")
async def test_months_that_are_not_kept_leave_the_table_and_stay_beside_it(
    owner: asyncpg.Connection, service: Database
) -> None:
    await past(owner, service, -5, -4, -3)
    trail = await tables(owner, "audit_logs")
    assert await retire_months(service, months_kept=4) == 1
    assert await retire_months(service, months_kept=4) == 0
    assert await months(owner) == [named(n) for n in (-4, -3, *range(4))]
    assert await where(owner) == [named(-4), named(-3)]
    assert await owner.fetchval(f"SELECT count(*) FROM {named(-5)}") == 1, "it is a table of its own"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(f"SELECT count(*) FROM {named(-5)}")
    (lying,) = [each for each in await examine(service) if each.name == "retired_months_lie_about"]
    assert [finding.subject for finding in lying.findings] == [named(-5)]
    assert not lying.broken
    assert await tables(owner, "audit_logs") == trail, "the trail is kept for ever"


async def test_where_it_is_so_set_they_are_dropped(owner: asyncpg.Connection, service: Database) -> None:
    await past(owner, service, -5, -4, -3)
    trail = await tables(owner, "audit_logs")
    assert await retire_months(service, months_kept=2, drop=True, limit=2) == 2, "the oldest first"
    assert await retire_months(service, months_kept=2, drop=True) == 1
    assert await tables(owner, "events") == [named(n) for n in range(4)]
    assert await where(owner) == []
    assert await tables(owner, "audit_logs") == trail
    assert [each.count for each in await examine(service) if each.name == "retired_months_lie_about"] == [0]


async def test_of_two_workers_one_retires_a_month(owner: asyncpg.Connection, service: Database) -> None:
    await past(owner, service, -5, -4)
    done = await asyncio.gather(*(retire_months(service, months_kept=3, drop=True) for _ in range(3)))
    assert sorted(done) == [0, 0, 2]


async def test_young_months_are_never_retired(owner: asyncpg.Connection, service: Database) -> None:
    """Not by a setting, and not by a clock that is years ahead."""
    with pytest.raises(ValueError, match="at least 2"):
        await retire_months(service, months_kept=1)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await retire_months(service, months_kept=2, drop=True, clock=FixedClock(first(40)))
    assert await months(owner) == [named(n) for n in range(4)]


def test_all_months_are_kept_unless_it_is_said() -> None:
    assert "analytics.retire_months" not in {job.name for job in schedule(Settings())}
    assert schedule(Settings()) == SCHEDULE
    assert [job.name for job in schedule(Settings(events_months=13))][-1] == "analytics.retire_months"
