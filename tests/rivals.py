"""Two callers that meet: the second is seen to wait for the first before the first commits, or is cut while it waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from storeroom.database.pool import Database, Transaction

MEETING_DEADLINE_S = 60.0
POLL_S = 0.002


async def race(
    db: Database, first: Callable[[Transaction], Awaitable[Any]], second: Callable[[], Awaitable[Any]]
) -> Any:
    """What the second gave or raised, having waited for the first, which commits only then.

    Fails where the two do not meet: a race that did not take place proves nothing.
    """
    async with db.transaction() as tx:
        pid = await tx.fetchval("SELECT pg_backend_pid()")
        await first(tx)
        waiting = asyncio.ensure_future(second())
        try:
            await _until_blocked(db, pid, waiting)
        except BaseException:
            waiting.cancel()
            raise
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    return outcome


async def cut_at(dsn: str, db: Database, table: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """What became of the work whose connection the server ended while it was about to write to a table.

    Reading and locking rows goes on. Fails where the work is through without it.
    """
    holder, watcher = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        async with holder.transaction():
            await holder.execute(f"LOCK TABLE {db.names.resolve(table)} IN SHARE ROW EXCLUSIVE MODE")
            working = asyncio.ensure_future(work())
            try:
                pid = await _until_blocked(watcher, holder.get_server_pid(), working)
            except BaseException:
                working.cancel()
                raise
            await watcher.execute("SELECT pg_terminate_backend($1)", pid)
        (outcome,) = await asyncio.gather(working, return_exceptions=True)  # which may write down that it failed
        return outcome
    finally:
        await holder.close()
        await watcher.close()


async def _until_blocked(db: Database | asyncpg.Connection, pid: int, waiting: "asyncio.Future[Any]") -> int:
    """The process that waits for `pid`."""
    blocked = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) LIMIT 1"
    async with asyncio.timeout(MEETING_DEADLINE_S):
        while (found := await db.fetchval(blocked, pid)) is None:
            if waiting.done():
                raise AssertionError(f"the two did not meet; the second is through: {waiting}")
            await asyncio.sleep(POLL_S)
    return int(found)
