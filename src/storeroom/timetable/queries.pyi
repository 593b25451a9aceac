# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.timetable.model import Hold, ScheduledJob, Turn

async def register(db: Executor, /, *, names: Sequence[str], everies: Sequence[timedelta]) -> int: ...
async def forget(db: Executor, /, *, names: Sequence[str], kept: timedelta) -> int: ...
async def turns(db: Executor, /, *, names: Sequence[str]) -> list[Turn]: ...
async def begin(
    db: Executor,
    /,
    *,
    name: str,
    seen_due_at: datetime,
    seen_claim: UUID | None,
    seen_lease_until: datetime | None,
    claim: UUID,
    lease: timedelta,
    every: timedelta,
    origin: datetime,
) -> Hold | None: ...
async def keep(db: Executor, /, *, name: str, claim: UUID, lease: timedelta) -> int: ...
async def end_well(
    db: Executor, /, *, name: str, claim: UUID, rows: int, duration_ms: int, again_in: timedelta | None = None
) -> int: ...
async def end_badly(
    db: Executor,
    /,
    *,
    name: str,
    claim: UUID,
    rows: int,
    duration_ms: int,
    error: str,
    failures: int,
    again_in: timedelta,
) -> int: ...
async def scheduled_jobs(db: Executor, /, *, size: int) -> list[ScheduledJob]: ...
async def shops(db: Executor, /, *, size: int) -> int: ...
