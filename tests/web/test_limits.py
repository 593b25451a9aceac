"""Limits hold over all processes, and say when they are over."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from small_app import TestGate, application, client_of

from storeroom.core.clock import FixedClock
from storeroom.database.pool import Database
from storeroom.web import Flood, Limiter, RateLimited, limit, network, queries
from storeroom.web.errors import MalformedRequest, StaffOnly
from storeroom.web.jobs import delete_old_counters

HOUR = timedelta(hours=1)


@pytest.mark.usefixtures("one_window")
async def test_two_servers_on_one_database_count_together(gate: TestGate, dsn: str, tenant: str) -> None:
    async with (
        await Database.open(dsn) as second_pool,
        client_of(application(gate)) as one,
        client_of(application(TestGate(second_pool, tenant))) as other,
    ):
        answers = await asyncio.gather(*(client.post("/guess") for client in (one, other) for _ in range(6)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers].count(201) == 5
    assert len(refused) == 7
    assert all(answer.json()["code"] == "request.rate_limited" for answer in refused)
    assert all(0 < int(answer.headers["retry-after"]) <= 3600 for answer in refused)


@pytest.mark.usefixtures("one_window")
async def test_another_address_and_another_shop_have_their_own_count(
    http: httpx.AsyncClient, gate: TestGate, database: Database, tenant: str
) -> None:
    for _ in range(5):
        await http.post("/guess")
    assert (await http.post("/guess")).status_code == 429
    async with client_of(application(gate), ip="198.51.100.1") as elsewhere:
        assert (await elsewhere.post("/guess")).status_code == 201
    await limit(database, tenant_id=f"{tenant}-2", bucket="guess:203.0.113.9", times=1, window=HOUR)


@pytest.mark.usefixtures("one_window")
async def test_addresses_of_one_line_are_one_caller(gate: TestGate) -> None:
    """Else whoever has a line with IPv6 has 2**64 guesses for each one that is allowed."""
    statuses = []
    for host in range(7):
        async with client_of(application(gate), ip=f"2001:db8:0:1::{host:x}") as caller:
            statuses.append((await caller.post("/guess")).status_code)
    assert statuses == [201] * 5 + [429] * 2
    async with client_of(application(gate), ip="2001:db8:0:2::1") as neighbour:
        assert (await neighbour.post("/guess")).status_code == 201


@pytest.mark.parametrize(
    ("ip", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", ""),
        ("no: address", "no: address"),
    ],
)
def test_who_is_counted_for_an_address(ip: str, counted: str) -> None:
    assert network(ip) == counted


async def test_right_tries_of_one_address_are_not_counted_and_wrong_ones_are(database: Database, tenant: str) -> None:
    """What is right may say so by an error that asks for another step; every other error is a wrong try."""
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    limiter = Limiter(database, tenant, "203.0.113.9", clock=clock)

    async def tried(error: Exception | None) -> None:
        async with limiter.wrong_by_address("try", times=2, window=HOUR, right=(StaffOnly,)):
            if error is not None:
                raise error

    for _ in range(9):
        await tried(None)
        with pytest.raises(StaffOnly):
            await tried(StaffOnly())
    for error in (MalformedRequest(reason="x"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            await tried(error)
    with pytest.raises(RateLimited):
        await tried(None)


async def test_of_many_wrong_tries_at_once_no_more_pass_than_are_allowed(database: Database, tenant: str) -> None:
    limiter = Limiter(database, tenant, "203.0.113.9", clock=FixedClock(datetime(2026, 1, 1, tzinfo=UTC)))
    begun, all_here = 0, asyncio.Event()

    async def wrong() -> None:
        nonlocal begun
        async with limiter.wrong_by_address("try", times=3, window=HOUR):
            begun += 1
            if begun == 3:
                all_here.set()
            await all_here.wait()
            raise ZeroDivisionError

    outcomes = await asyncio.gather(*(wrong() for _ in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["RateLimited"] * 5 + ["ZeroDivisionError"] * 3


async def test_a_right_try_is_the_next_one_s_and_is_written_once(database: Database, tenant: str) -> None:
    """A window later there is nothing of it left, and one that ends in a later window is not of that one."""
    clock = FixedClock(datetime(2026, 1, 1, 10, tzinfo=UTC))
    limiter = Limiter(database, tenant, "203.0.113.9", clock=clock)
    for _ in range(5):
        async with limiter.wrong_by_address("try", times=2, window=HOUR):
            pass
    counted = "SELECT array_agg(hits ORDER BY window_at) FROM rate_counters WHERE tenant_id = $1"
    assert await database.fetchval(counted, tenant) == [1]
    async with limiter.wrong_by_address("try", times=2, window=HOUR):
        clock.move(HOUR)
    for expected in (ZeroDivisionError, ZeroDivisionError, RateLimited):
        with pytest.raises(expected):
            async with limiter.wrong_by_address("try", times=2, window=HOUR):
                raise ZeroDivisionError
    assert await database.fetchval(counted, tenant) == [1, 3]


async def test_what_servers_keep_of_right_tries_allows_no_more_wrong_ones(
    database: Database, dsn: str, tenant: str
) -> None:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with await Database.open(dsn) as second:
        one, other = (Limiter(db, tenant, "203.0.113.9", clock=clock) for db in (database, second))
        for limiter in (one, other, one, other):
            async with limiter.wrong_by_address("try", times=4, window=HOUR):
                pass
        wrong = 0
        for limiter in (one, other, one, other, one, other, one, other):
            with pytest.raises((ZeroDivisionError, RateLimited)):
                async with limiter.wrong_by_address("try", times=4, window=HOUR):
                    wrong += 1
                    raise ZeroDivisionError
    assert wrong == 4


async def test_the_next_window_begins_at_zero(database: Database, tenant: str) -> None:
    clock = FixedClock(datetime(2026, 1, 1, 10, 59, 30, tzinfo=UTC))
    named: dict[str, Any] = {"tenant_id": tenant, "bucket": "b", "times": 1, "window": HOUR, "clock": clock}
    await limit(database, **named)
    with pytest.raises(RateLimited) as refused:
        await limit(database, **named)
    assert refused.value.retry_after_s == 30
    named["clock"] = FixedClock(datetime(2026, 1, 1, 11, 0, 0, tzinfo=UTC))
    await limit(database, **named)


@pytest.mark.usefixtures("one_window")
async def test_a_bucket_may_be_made_of_anything(database: Database, tenant: str) -> None:
    for bucket in ("x:" + "y" * 10_000, "order:\x00", "order:\ud800"):
        await limit(database, tenant_id=tenant, bucket=bucket, times=1, window=HOUR)
        with pytest.raises(RateLimited):
            await limit(database, tenant_id=tenant, bucket=bucket, times=1, window=HOUR)


async def test_the_job_deletes_counters_of_long_ago(fresh_database: Any) -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    async with await Database.open(await fresh_database()) as db:
        for days in (0, 1, 3, 4, 5):
            for tenant in ("a", "b"):
                clock = FixedClock(now - timedelta(days=days))
                await limit(db, tenant_id=tenant, bucket="b", times=9, window=HOUR, clock=clock)
        assert await delete_old_counters(db, limit=4, clock=FixedClock(now)) == 4
        assert await delete_old_counters(db, clock=FixedClock(now)) == 2
        assert await delete_old_counters(db, clock=FixedClock(now)) == 0
        assert await db.fetchval("SELECT count(*) FROM rate_counters") == 4


def test_a_flood_is_stopped_and_forgotten() -> None:
    now = 100.0
    flood = Flood(times=3, window_s=10.0, monotonic=lambda: now)
    for _ in range(3):
        flood.hit("a")
    with pytest.raises(RateLimited) as refused:
        flood.hit("a")
    assert refused.value.retry_after_s == 10
    flood.hit("b")
    now = 111.0
    flood.hit("a")


def test_no_limit_counts_nothing() -> None:
    flood = Flood(times=0, window_s=10.0, monotonic=lambda: 0.0)
    for _ in range(1000):
        flood.hit("a")


async def test_counting_waits_for_no_disk(database: Database, tenant: str) -> None:
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL synchronous_commit = on")  # the server under test never waits
        at = datetime(2026, 1, 1, tzinfo=UTC)
        assert await queries.count_hits(tx, tenant_id=tenant, bucket="b", window_at=at, hits=2) == 2
        assert await tx.fetchval("SHOW synchronous_commit") == "off"
