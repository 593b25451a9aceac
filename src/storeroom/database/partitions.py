"""Tables that are cut by month get their partitions before the months come."""

from typing import Final

from storeroom.database.executor import Executor

MONTHS_AHEAD: Final = 3
MONTHS_AHEAD_MAX: Final = 12
MONTHS_KEPT_MIN: Final = 2  # of events, where they are not kept for ever: sign-in links those of the last days
MONTHS_KEPT_MAX: Final = 1_200

# The function makes what is missing as the schema's owner: the service itself may make no tables.
_ENSURE: Final = """
SELECT count(*) FILTER (WHERE {make_month_partition_v1}($1, month::DATE))
  FROM generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'),
                       date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => $2),
                       INTERVAL '1 month') AS month
"""


async def ensure_months(db: Executor, table: str, ahead: int = MONTHS_AHEAD) -> int:
    """Make the partitions of this month and the next ones; return how many were missing.

    Rows of a month that nobody made in time wait in the default partition and move into it here, so a worker that was
    away loses nothing. Two who call it at once make each month once.

    Args:
        db: any executor; the role of the service is enough.
        table: by its own name, as in `audit_logs`, whatever it is called here.
        ahead: months after this one, up to MONTHS_AHEAD_MAX.

    Raises:
        ValueError: `ahead` is out of range.
    """
    if not 0 <= ahead <= MONTHS_AHEAD_MAX:
        raise ValueError(f"0 to {MONTHS_AHEAD_MAX} months ahead")
    return int(await db.fetchval(db.names.render(_ENSURE), db.names.resolve(table), ahead))
