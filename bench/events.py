"""Taking down events: over HTTP in batches, and by COPY of the same rows into the same partitions."""

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from bench.ground import TENANT, Ground, any_variant
from bench.http_client import fetch, load, request
from bench.measure import BenchFailed, Measure, Processors, Subject, closed_loop, latency
from bench.serving import HOST, HOST_NAME, Running
from storeroom.core.ids import new_id
from storeroom.room import Storeroom
from storeroom.web import guest_token

BATCH = 100
TELLERS = 8  # connections that send batches, and that copy
BODIES = 40  # different batches; which one is sent is drawn each time
PATH = "/v1/events"
COLUMNS = (
    "tenant_id", "id", "event_name", "event_category", "anonymous_id", "session_id", "page_url", "referrer_url",
    "utm_source", "utm_medium", "utm_campaign", "product_id", "properties", "ip_address", "device_type",
    "screen_resolution", "client_timestamp",
)  # fmt: skip
_HAPPENED = datetime(2026, 11, 20, 12, tzinfo=UTC)
_NAMES = ("page.view", "page.scroll.50", "product.view", "cart.add")


def batch(visit: str) -> list[dict[str, Any]]:
    """What a browser has gathered."""
    return [
        {
            "event_name": _NAMES[number % len(_NAMES)],
            "event_category": _NAMES[number % len(_NAMES)].partition(".")[0],
            "session_id": visit,
            "page_url": f"https://shop.example/products/product-{number}",
            "referrer_url": "https://search.example/",
            "utm_source": "ig",
            "utm_medium": "social",
            "utm_campaign": f"campaign-{random.randint(1, 20)}",
            "product_id": any_variant(),
            "properties": {"position": number, "list": "category", "price": {"amount": 1000, "currency": "USD"}},
            "device_type": "mobile",
            "screen_resolution": "390x844",
            "client_timestamp": _HAPPENED,
        }
        for number in range(BATCH)
    ]


class Told:
    """The batches of a run: as they go over the wire, and as rows for COPY."""

    def __init__(self, visitors: list[tuple[str, str]]) -> None:
        """Make them for visitors, each a token and the id behind it."""
        self.wire: list[bytes] = []
        self.rows: list[list[tuple[Any, ...]]] = []
        for number, (token, anonymous_id) in zip(range(BODIES), itertools.cycle(visitors), strict=False):
            events = batch(f"visit-{number}")
            self.wire.append(
                request("POST", PATH, HOST_NAME, msgspec.json.encode(events), {"storeroom-session": token})
            )
            shared = {"tenant_id": TENANT, "anonymous_id": anonymous_id, "ip_address": HOST}
            whole = [{**each, **shared, "properties": _text(each["properties"])} for each in events]
            self.rows.append([tuple(row.get(column) for column in COLUMNS) for row in whole])

    @classmethod
    async def to(cls, dsn: str) -> "Told":
        """A guest for each connection tells them."""
        async with Storeroom.open(dsn) as room:
            shop = room.tenant(TENANT)
            guests = [await shop.sessions.guest() for _ in range(TELLERS)]
        return cls([(guest_token(TENANT, token), session.anonymous_id) for session, token in guests])


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def taking(ground: Ground, server: Running, told: Told) -> Subject:
    """Events a second, each batch one POST."""

    async def measure(seconds: float) -> Measure:
        processors = Processors({"server": server.process.pid, "postgres": ground.pid}, here="client")
        rate, latencies = await load(
            HOST, server.port, lambda: random.choice(told.wire), connections=TELLERS, seconds=seconds, status=201
        )
        return Measure(rate * BATCH, {**latency(latencies), **processors.seen(len(latencies) * BATCH)})

    return measure


@asynccontextmanager
async def copying(ground: Ground, dsn: str, told: Told) -> AsyncIterator[Subject]:
    """Events a second, each batch one COPY and one commit. As the owner: COPY knows no row level security."""
    async with asyncpg.create_pool(dsn, min_size=TELLERS, max_size=TELLERS) as pool:

        async def copy() -> None:
            await _copy(pool, random.choice(told.rows))

        async def measure(seconds: float) -> Measure:
            processors = Processors({"postgres": ground.pid}, here="python")
            rate, latencies = await closed_loop(TELLERS, seconds, copy)
            return Measure(rate * BATCH, {**latency(latencies), **processors.seen(len(latencies) * BATCH)})

        yield measure


async def _copy(pool: Any, rows: list[tuple[Any, ...]]) -> None:
    fresh = [(row[0], new_id(), *row[2:]) for row in rows]
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("events", records=fresh, columns=COLUMNS)


async def check_equal(server: Running, dsn: str, told: Told) -> None:
    """Both sides write the same rows into the same partition, but for ids and instants.

    Raises:
        BenchFailed: they do not.
    """
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        answer = await fetch(HOST, server.port, told.wire[0])
        if answer.status != 201:
            raise BenchFailed(f"{PATH}: {answer.status} {answer.body[:500]!r}")
        ours = await _rows(pool)
        await pool.execute("DELETE FROM events")
        await _copy(pool, told.rows[0])
        theirs = await _rows(pool)
        if ours != theirs or len(ours) != BATCH:
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
            raise BenchFailed(f"COPY does not write the same events: {ours[at : at + 1]} and {theirs[at : at + 1]}")


async def _rows(pool: Any) -> list[str]:
    found = await pool.fetch(
        "SELECT tableoid::REGCLASS::TEXT || (to_jsonb(e) - 'id' - 'created_at')::TEXT FROM events AS e ORDER BY id"
    )
    return [row[0] for row in found]
