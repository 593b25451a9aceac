"""Limits hold over all processes, and say when they are over."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from small_app import TestGate, application, client_of

from storeroom.core.clock import FixedClock
from storeroom.database.pool import Database
from storeroom.web import Flood, RateLimited, limit, queries
from storeroom.web.jobs import delete_old_counters

HOUR = timedelta(hours=1)


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


async def test_another_address_and_another_shop_have_their_own_count(
    http: httpx.AsyncClient, gate: TestGate, database: Database, tenant: str
) -> None:
    for _ in range(5):
        await http.post("/guess")
    assert (await http.post("/guess")).status_code == 429
    async with client_of(application(gate), ip="198.51.100.1") as elsewhere:
        assert (await elsewhere.post("/guess")).status_code == 201
    await limit(database, tenant_id=f"{tenant}-2", bucket="guess:203.0.113.9", times=1, window=HOUR)


async def test_the_next_window_begins_at_zero(database: Database, tenant: str) -> None:
    clock = FixedClock(datetime(2026, 1, 1, 10, 59, 30, tzinfo=UTC))
    named: dict[str, Any] = {"tenant_id": tenant, "bucket": "b", "times": 1, "window": HOUR, "clock": clock}
    await limit(database, **named)
    with pytest.raises(RateLimited) as refused:
        await limit(database, **named)
    assert refused.value.retry_after_s == 30
    named["clock"] = FixedClock(datetime(2026, 1, 1, 11, 0, 0, tzinfo=UTC))
    await limit(database, **named)


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
