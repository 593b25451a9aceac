"""What the worker does for events."""

from datetime import date
from functools import partial

from storeroom.analytics import queries
from storeroom.core.clock import Clock, SystemClock
from storeroom.database.partitions import MONTHS_AHEAD, MONTHS_KEPT_MIN, ensure_months
from storeroom.database.pool import Database


async def make_partitions(db: Database, *, limit: int = 100) -> int:
    """Make the partitions of this month and the next ones that are not there yet; return how many were made.

    Any number of workers may do it at once: each month is made once.
    """
    return await ensure_months(db, "events", min(limit, MONTHS_AHEAD))


async def retire_months(
    db: Database, *, months_kept: int, drop: bool = False, limit: int = 12, clock: Clock | None = None
) -> int:
    """Take the months of events that are older than those kept out of the table; return how many it were.

    Of two workers at once, one does it. It waits two seconds for its lock, and then leaves it for the next run.

    Args:
        db: the service's role is enough.
        months_kept: whole months before this one, at least MONTHS_KEPT_MIN.
        drop: whether they are gone for good; else each stays as a table of its own, for whoever keeps it elsewhere.
        limit: months at most.
        clock: for tests.

    Raises:
        ValueError: too few months are to be kept.
    """
    if months_kept < MONTHS_KEPT_MIN:
        raise ValueError(f"at least {MONTHS_KEPT_MIN} months of events are kept")
    now = (clock or SystemClock()).now()
    year, month = divmod(now.year * 12 + now.month - 1 - months_kept, 12)
    before = date(year, month + 1, 1)
    return await db.run(partial(queries.retire_months, before=before, drop=drop, rows=limit))
