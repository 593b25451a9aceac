"""When each job of the worker is due, whether somebody is at it, and what came of its last run."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

LEASE: Final = timedelta(seconds=15)  # the same for every worker: none may end another's run before
KEPT: Final = timedelta(days=1)  # the row of a job that nobody runs any more
ERROR_LENGTH_MAX: Final = 200
JOBS_MAX: Final = 1_000


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a worker sees it at one moment, by the clock of the database."""

    name: str
    due_at: datetime
    claim: UUID | None
    lease_until: datetime | None
    failures: int
    last_success_at: datetime | None
    last_duration_ms: int | None
    seen_at: datetime

    @property
    def due_in(self) -> timedelta:
        """Negative where it is late."""
        return self.due_at - self.seen_at


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has begun; nobody else begins one of this job while it is kept."""

    name: str
    claim: UUID
    failures: int  # in a row, before this run
    due_at: datetime  # the next one
    begun_at: datetime | None

    @property
    def due_in(self) -> timedelta:
        """From the begin of this run to the next due time."""
        return self.due_at - (self.begun_at or self.due_at)


class ScheduledJob(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the schedule, as people see it."""

    name: str
    every: timedelta
    due_at: datetime
    running: bool  # somebody is at it, or died at it a moment ago
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_success_at: datetime | None
    last_duration_ms: int | None
    last_rows: int | None
    last_error: str | None
    runs: int
    failures: int
