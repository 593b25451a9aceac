"""Taking work from a queue and finishing it, in batches of 10, for 20 tenants: ours, and two queues that others use.

Each has a database of its own on the one server, with the same durability and as many rows; the callers are the same,
and each call takes the rows of one tenant. Ours keeps every attempt, pgqueuer keeps a log and procrastinate the jobs
and their events: each does what it does when it is used.
"""

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import asyncpg
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

from bench.ground import Ground
from bench.measure import BenchFailed, Measure, Processors, Subject, closed_loop, latency
from storeroom.core.ids import new_id
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.integration import queries

TENANTS: Final = 20
BATCH: Final = 10
CALLERS: Final = 8
ROWS: Final = 20_000  # there before each measurement; more than can be done in it
ROWS_A_SECOND: Final = 20_000  # what nobody reaches: filled for so much
NAMES: Final = [f"tenant{number}" for number in range(TENANTS)]

Call = Callable[[str], Awaitable[int]]  # take and finish up to BATCH rows of one tenant; how many they were
Fill = Callable[[int], Awaitable[None]]  # as many rows for each tenant


def _subject(ground: Ground, call: Call, fill: Fill) -> Subject:
    async def measure(seconds: float) -> Measure:
        await fill(int(max(ROWS, ROWS_A_SECOND * seconds)) // TENANTS)
        done = 0

        async def one() -> None:
            nonlocal done
            rows = await call(random.choice(NAMES))
            done += rows  # not in one: others add while we wait

        processors = Processors({"postgres": ground.pid}, here="python")
        rate, latencies = await closed_loop(CALLERS, seconds, one)
        if done < 0.9 * BATCH * len(latencies):
            raise BenchFailed(f"a queue ran dry: {done} rows in {len(latencies)} calls")
        return Measure(rate * done / len(latencies), {**latency(latencies), **processors.seen(done)})

    return measure


@asynccontextmanager
async def ours(ground: Ground) -> AsyncIterator[Subject]:
    """Rows a second through the statements that the dispatcher uses."""
    await _database(ground, "queue_ours")
    dsn = ground.postgres.dsn("queue_ours")
    await migrate(dsn)
    async with await Database.open(dsn, min_size=CALLERS, max_size=CALLERS) as db:

        async def call(tenant: str) -> int:
            claim = new_id()
            rows = await queries.claim(
                db, tenant_id=tenant, destination="url:there", claim=claim, lease=timedelta(minutes=2), size=BATCH
            )
            return await queries.settle(
                db,
                tenant_id=tenant,
                claim=claim,
                ids=[row.id for row in rows],
                delivered=[True] * len(rows),
                final=[False] * len(rows),
                errors=[""] * len(rows),
                statuses=[200] * len(rows),
                bodies=["ok"] * len(rows),
                durations=[1] * len(rows),
                again_in=[timedelta()] * len(rows),
            )

        async def fill(rows: int) -> None:
            await _run(dsn, "DELETE FROM webhook_queue")
            await db.execute(
                "INSERT INTO webhook_queue (tenant_id, id, destination, url, event_type, payload) "
                "SELECT 'tenant' || n % $2, id, 'url:there', 'http://there/', 'order.placed', "
                "jsonb_build_object('n', n) FROM unnest($1::uuid[]) WITH ORDINALITY AS queued (id, n)",
                [new_id() for _ in range(rows * TENANTS)],  # as `webhooks.enqueue` makes them
                TENANTS,
            )
            await _run(dsn, "VACUUM ANALYZE webhook_queue")

        yield _subject(ground, call, fill)


@asynccontextmanager
async def pgqueuer(ground: Ground) -> AsyncIterator[Subject]:
    """Rows a second through pgqueuer's own operations: each tenant an entrypoint."""
    await _database(ground, "queue_pgqueuer")
    dsn = ground.postgres.dsn("queue_pgqueuer")
    async with asyncpg.create_pool(dsn, min_size=CALLERS, max_size=CALLERS) as pool:
        queue = Queries(AsyncpgPoolDriver(pool))
        await queue.install()
        worker = new_id()

        async def call(tenant: str) -> int:
            jobs = await queue.dequeue(
                batch_size=BATCH,
                entrypoints={tenant: EntrypointExecutionParameter(concurrency_limit=0)},
                queue_manager_id=worker,
                global_concurrency_limit=None,
                heartbeat_timeout=timedelta(minutes=2),
            )
            await queue.log_jobs([(job, "successful", None) for job in jobs])
            return len(jobs)

        async def fill(rows: int) -> None:
            await pool.execute("DELETE FROM pgqueuer")
            for tenant in NAMES:
                await queue.enqueue([tenant] * rows, [b'{"n": 1}'] * rows, [0] * rows)
            await _run(dsn, "VACUUM ANALYZE pgqueuer")

        yield _subject(ground, call, fill)


@asynccontextmanager
async def procrastinate(ground: Ground) -> AsyncIterator[Subject]:
    """Rows a second through procrastinate's own operations, which take one job at a time: each tenant a queue."""
    await _database(ground, "queue_procrastinate")
    dsn = ground.postgres.dsn("queue_procrastinate")
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=CALLERS, max_size=CALLERS))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = await app.job_manager.register_worker()

        async def call(tenant: str) -> int:
            for done in range(BATCH):
                job = await app.job_manager.fetch_job([tenant], worker)
                if job is None:
                    return done
                await app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
            return BATCH

        async def fill(rows: int) -> None:
            await _run(
                dsn,
                "TRUNCATE procrastinate_jobs CASCADE",
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
                f"SELECT 'tenant' || t, 'order.placed', '{json.dumps({'n': 1})}' "
                f"FROM generate_series(1, {rows}) n, generate_series(0, {TENANTS - 1}) t",
                "VACUUM ANALYZE procrastinate_jobs",
            )

        yield _subject(ground, call, fill)


async def _database(ground: Ground, name: str) -> None:
    ground.postgres.ensure_database(name)


async def _run(dsn: str, *statements: str) -> None:
    connection: Any = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
