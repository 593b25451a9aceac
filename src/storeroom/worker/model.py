"""A job and what came of it."""

from datetime import timedelta
from typing import Final, Protocol

import msgspec

from storeroom.database.pool import Database

EVERY_MIN: Final = timedelta(milliseconds=100)
EVERY_MAX: Final = timedelta(days=1)


class Batch(Protocol):
    """What a slice's `jobs.py` offers: do at most `limit` and say how many it were, in transactions of its own.

    No two runs of a job are under way at once, as long as whoever runs it is connected; a statement of one that was cut
    off may still be at work in the server when the next begins. So rows are claimed with FOR UPDATE SKIP LOCKED and
    done in the transaction that claims them: nothing is done twice, and what a worker was at when it died is free.
    """

    async def __call__(self, db: Database, /, *, limit: int) -> int:
        """Do one batch."""
        ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the schedule."""

    name: str  # slice and function, as in logs and metrics
    every: timedelta  # from one due time to the next
    run: Batch
    limit: int  # rows of one batch; a full batch is followed by another at once

    def __post_init__(self) -> None:
        if not EVERY_MIN <= self.every <= EVERY_MAX or self.limit < 1:
            raise ValueError(f"{self.name}: every {EVERY_MIN} to {EVERY_MAX}, at least one row a batch")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a job came to."""

    job: str
    rows: int  # done, also where it failed later
    error: str | None = None
    elsewhere: bool = False  # another worker was at it all the time, so it was left to that one
