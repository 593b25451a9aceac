"""Draining a full queue with the dispatcher that a shop runs, and how fast it is from tenth to tenth.

What brings the rows does nothing, so that the queue is what is seen. Three times in one table: an empty one; again,
with what was brought still in it; and once more after that was removed.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import asyncpg

from bench import lines
from bench.ground import Ground
from bench.measure import BenchFailed, Measure
from storeroom.core.ids import TenantId
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.identity import TokenKeys
from storeroom.integration import Claimed, Courier, Dispatcher, Outcome
from storeroom.integration.jobs import purge

ROWS: Final = 100_000
TENTHS: Final = 10
FIFTH: Final = 2  # tenths
TENANTS: Final = 20
TIMES: Final = ("an empty table", "a table that has grown", "a table that has shrunk")
PURGED_AT_ONCE: Final = 10_000
DESTINATION: Final = "bench"


class Sink:
    """A carrier that takes everything, and notes when each tenth was through."""

    destination: Final = DESTINATION
    event_types: Final[frozenset[str]] = frozenset()
    keeps_order: Final = False
    in_flight_max: Final = 32

    def __init__(self, rows: int) -> None:
        self._tenth, self._taken = rows // TENTHS, 0
        self.at = [time.perf_counter()]

    async def wants(self, tenant_id: TenantId) -> bool:
        del tenant_id
        return True

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        del tenant_id, row
        self._taken += 1
        if self._taken % self._tenth == 0:
            self.at.append(time.perf_counter())
        return Outcome(duration_ms=0)

    def rates(self) -> list[float]:
        """Rows a second, of each tenth."""
        if len(self.at) != TENTHS + 1:
            raise BenchFailed(f"{self._taken} rows were brought, and {self._tenth * TENTHS} were queued")
        return [self._tenth / (later - earlier) for earlier, later in zip(self.at, self.at[1:], strict=False)]


async def curves(ground: Ground, rows: int, say: Callable[[str], None]) -> list[list[float]]:
    """Rows a second by tenths, for each of TIMES."""
    ground.postgres.ensure_database("queue_drained")
    dsn = ground.postgres.dsn("queue_drained")
    await migrate(dsn)
    connection: asyncpg.Connection = await asyncpg.connect(dsn)
    found = []
    try:
        async with await Database.open(dsn) as db, Courier() as courier:
            for number, when in enumerate(TIMES):
                say(f"draining {rows:,} rows of {when}")
                if number == 2:
                    await _forget(connection, db)
                await _fill(connection, rows)
                sink = Sink(rows)
                await Dispatcher(db, courier, keys=TokenKeys.of(None), carriers=(sink,)).run_once()
                found.append(sink.rates())
    finally:
        await connection.close()
    return found


def as_measures(curves: list[list[float]]) -> dict[str, list[Measure]]:
    """Each curve, and over all of them the last fifth and the first."""

    def mean(tenths: list[float]) -> float:
        return len(tenths) / sum(1 / rate for rate in tenths)

    shown = {
        f"{lines.DRAINED}, {when}": [
            Measure(mean(curve), {f"{10 * tenth} %": rate for tenth, rate in enumerate(curve, 1)})
        ]
        for when, curve in zip(TIMES, curves, strict=True)
    }
    return shown | {
        lines.DRAINED_LAST: [Measure(mean(curve[-FIFTH:])) for curve in curves],
        lines.DRAINED_FIRST: [Measure(mean(curve[:FIFTH])) for curve in curves],
    }


async def _fill(connection: asyncpg.Connection, rows: int) -> None:
    await connection.execute(
        "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload, entity_type, entity_id) "
        "SELECT 'tenant' || n % $2, gen_random_uuid(), $3, 'order.placed', jsonb_build_object('n', n), 'order', "
        "gen_random_uuid() FROM generate_series(1, $1) n",
        rows,
        TENANTS,
        DESTINATION,
    )


async def _forget(connection: asyncpg.Connection, db: Database) -> None:
    """As the worker does with what arrived a week ago."""
    await connection.execute("UPDATE webhook_queue SET completed_at = completed_at - interval '30 days'")
    began = datetime.now(UTC)
    while await purge(db, limit=PURGED_AT_ONCE):
        if (datetime.now(UTC) - began).total_seconds() > 300:
            raise BenchFailed("what was brought is not removed")
