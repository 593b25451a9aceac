"""Limits on how often: a counter in memory against floods, and one in PostgreSQL that holds over all processes.

Both count in fixed windows. That lets at most twice the limit through around a window's edge, and costs one number per
caller where a sliding window would cost a list of instants.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final

from storeroom.core.clock import Clock, SystemClock
from storeroom.database.executor import Executor
from storeroom.web import queries
from storeroom.web.errors import RateLimited

BUCKET_LENGTH_MAX: Final = 200
FLOOD_CALLERS_MAX: Final = 50_000  # addresses counted at a time; more of them start the window anew


async def limit(
    db: Executor, *, tenant_id: str, bucket: str, times: int, window: timedelta, clock: Clock | None = None
) -> None:
    """Count one more, whatever happens to the caller's own work afterwards.

    Args:
        db: not the transaction of the work: a refused sign-in has to be counted too.
        tenant_id: whose shop; the same bucket of another shop is another one.
        bucket: what is counted and for whom, as in `sign_in:203.0.113.9`.
        times: allowed in one window.
        window: counted from the epoch, so that all processes agree on it.
        clock: for tests.

    Raises:
        RateLimited: it was one too many; carries the seconds until the window ends.
    """
    now = (clock or SystemClock()).now()
    length_s = window.total_seconds()
    start_s = now.timestamp() // length_s * length_s
    hits = await queries.count_hit(
        db, tenant_id=tenant_id, bucket=_short(bucket), window_at=datetime.fromtimestamp(start_s, UTC)
    )
    if hits > times:
        raise RateLimited(retry_after_s=max(1, ceil(start_s + length_s - now.timestamp())))


class Limiter:
    """`limit` for the shop and the caller of one request."""

    def __init__(self, db: Executor, tenant_id: str, ip: str | None, *, clock: Clock | None = None) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self._ip = ip
        self._clock = clock

    async def by_address(self, what: str, *, times: int, window: timedelta) -> None:
        """Count for the caller's network address. Raises RateLimited."""
        await self.by(what, self._ip or "unknown", times=times, window=window)

    async def by(self, what: str, who: str, *, times: int, window: timedelta) -> None:
        """Count for an account, an order number, whatever is guessed at. Raises RateLimited."""
        await limit(
            self._db,
            tenant_id=self._tenant_id,
            bucket=f"{what}:{who}",
            times=times,
            window=window,
            clock=self._clock,
        )


class Flood:
    """Requests per address in this process, in memory: a cheap first wall that asks no database."""

    def __init__(self, *, times: int, window_s: float, monotonic: Callable[[], float]) -> None:
        """Allow `times` requests of one address in each window; 0 allows any number."""
        self._times = times
        self._window_s = window_s
        self._monotonic = monotonic
        self._until = 0.0
        self._hits: dict[str, int] = {}

    def hit(self, who: str) -> None:
        """Count one more. Raises RateLimited."""
        if not self._times:
            return
        now = self._monotonic()
        if now >= self._until or len(self._hits) >= FLOOD_CALLERS_MAX:
            self._hits.clear()
            self._until = now + self._window_s
        hits = self._hits[who] = self._hits.get(who, 0) + 1
        if hits > self._times:
            raise RateLimited(retry_after_s=max(1, ceil(self._until - now)))


def _short(bucket: str) -> str:
    """What comes from outside may be long, or hold what the database refuses."""
    if len(bucket) <= BUCKET_LENGTH_MAX and bucket.isprintable():
        return bucket
    return f"{bucket.partition(':')[0][:50]}:{hashlib.sha256(bucket.encode('utf-8', 'replace')).hexdigest()}"
