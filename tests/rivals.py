"""Two callers that meet: the second is seen to wait for the first before the first commits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from storeroom.database.pool import Database, Transaction

MEETING_DEADLINE_S = 10.0
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


async def _until_blocked(db: Database, pid: int, waiting: "asyncio.Future[Any]") -> None:
    blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))"
    async with asyncio.timeout(MEETING_DEADLINE_S):
        while not await db.fetchval(blocked, pid):
            if waiting.done():
                raise AssertionError(f"the two did not meet; the second is through: {waiting}")
            await asyncio.sleep(POLL_S)
