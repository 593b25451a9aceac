"""What the worker does for events."""

from storeroom.database.partitions import MONTHS_AHEAD, ensure_months
from storeroom.database.pool import Database


async def make_partitions(db: Database, *, limit: int = 100) -> int:
    """Make the partitions of this month and the next ones that are not there yet; return how many were made.

    Any number of workers may do it at once: each month is made once.
    """
    return await ensure_months(db, "events", min(limit, MONTHS_AHEAD))
