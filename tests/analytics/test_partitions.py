"""Events are cut by month: each month has its partition, and a month that nobody made loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storeroom.analytics.jobs import make_partitions
from storeroom.database.partitions import ensure_months
from storeroom.database.pool import Database

Fresh = Callable[..., Awaitable[str]]
INSERT = """
INSERT INTO events (tenant_id, id, event_name, event_category, anonymous_id, session_id, created_at)
VALUES ('t', gen_random_uuid(), 'page.view', 'page', 'a', 'v', $1)
"""


@pytest.fixture
async def own_dsn(fresh_database: Fresh) -> str:
    """A database of the test's own."""
    return await fresh_database()


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
