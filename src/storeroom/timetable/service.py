"""Who runs which job when: a claim under a lease for the worker, and a table for people.

No clock of a machine is trusted, that of the database neither, since any of them may be set. Due times lie on a grid by
the database's clock; one that is further ahead than it could be has come to be so by a clock set back, and counts as
due. A lease is not over at an instant: it is over when a worker has seen it stand still for its whole length, by a
clock that nobody sets. So as long as whoever holds it lives and is connected, nobody takes it.
"""

import asyncio
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from storeroom.core.ids import new_id
from storeroom.database.executor import Executor
from storeroom.database.service import Service, operation
from storeroom.timetable import queries
from storeroom.timetable.model import ERROR_LENGTH_MAX, JOBS_MAX, KEPT, LEASE, Hold, ScheduledJob, Turn

AHEAD_SLACK: Final = timedelta(seconds=1)

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def grid_origin(name: str, every: timedelta) -> datetime:
    """A point of the grid of a job's due times: the same in every process, and not that of other jobs."""
    return _EPOCH + every * (zlib.crc32(name.encode()) / 2**32)


class Timetable:
    """The schedule in the hands of one worker, which runs one job at a time."""

    def __init__(
        self,
        db: Executor,
        *,
        every: Mapping[str, timedelta],
        wait_max: timedelta,
        lease: timedelta = LEASE,
        kept: Iterable[str] = (),
    ) -> None:
        """Nothing is asked yet.

        Args:
            db: of the room.
            every: the jobs of this worker and how often each is due; others are left alone.
            wait_max: how long a job may have to rest beyond `every`, when it failed.
            lease: the same for all workers of a database.
            kept: jobs of the workers beside this one. When all were away for long, the first to come back finds the
                rows of the others as old as those of jobs that nobody runs.
        """
        self._db, self._every, self._wait_max, self._lease = db, every, wait_max, lease
        self._names = sorted(every)
        self._kept = sorted({*every, *kept})
        self._stood: dict[
            str, tuple[UUID, datetime, float]
        ] = {}  # the claims of others, and since when they stand still
        self._unended = set[UUID]()  # of our own runs that are over, where that could not be written down

    async def register(self) -> None:
        """Make the rows of our jobs, and remove those that nobody runs any more."""
        await queries.register(self._db, names=self._names, everies=[self._every[name] for name in self._names])
        await queries.forget(self._db, names=self._kept, kept=KEPT)

    async def turns(self) -> Mapping[str, Turn]:
        """Every job of ours as it is now."""
        turns = {turn.name: turn for turn in await queries.turns(self._db, names=self._names)}
        self._unended &= {turn.claim for turn in turns.values() if turn.claim is not None}
        now = _now()
        for name, turn in turns.items():
            if turn.claim is None or turn.lease_until is None:
                self._stood.pop(name, None)
            elif self._stood.get(name, (None, None))[:2] != (turn.claim, turn.lease_until):
                self._stood[name] = (turn.claim, turn.lease_until, now)
        return turns

    def wait_s(self, turn: Turn) -> float | None:
        """Seconds until this job may begin; None while a worker that may live is at it."""
        if turn.claim is not None:
            return 0 if self._is_over(turn) else None
        rest = self._wait_max if turn.failures else timedelta(0)
        if turn.due_in > max(self._every[turn.name], rest) + AHEAD_SLACK:
            return 0
        return max(turn.due_in.total_seconds(), 0)

    def is_held(self, turn: Turn) -> bool:
        """Whether somebody who may live is at it."""
        return turn.claim is not None and not self._is_over(turn)

    def _is_over(self, turn: Turn) -> bool:
        if turn.claim in self._unended:
            return True
        stood = self._stood.get(turn.name)
        return stood is not None and _now() - stood[2] >= self._lease.total_seconds()

    async def begin(self, turn: Turn) -> Hold | None:
        """Begin a run, if nothing has changed since this turn was read; None where somebody else was faster."""
        every, claim = self._every[turn.name], new_id()
        try:
            return await queries.begin(
                self._db,
                name=turn.name,
                seen_due_at=turn.due_at,
                seen_claim=turn.claim,
                seen_lease_until=turn.lease_until,
                claim=claim,
                lease=self._lease,
                every=every,
                origin=grid_origin(turn.name, every),
            )
        except BaseException:
            self._unended.add(claim)  # it may have begun, and nobody is at it
            raise

    async def keep(self, hold: Hold) -> bool:
        """Show that we live; False where the run is no longer ours."""
        return await queries.keep(self._db, name=hold.name, claim=hold.claim, lease=self._lease) == 1

    async def end(
        self, hold: Hold, *, rows: int, took_s: float, error: str | None = None, again_in: timedelta | None = None
    ) -> bool:
        """Write down what came of it; False where the run was no longer ours, and then nothing is written.

        Args:
            hold: of the run.
            rows: done.
            took_s: seconds.
            error: None where it ended well.
            again_in: due so soon, instead of at the next point of the grid.
        """
        self._unended.add(hold.claim)
        duration_ms = int(took_s * 1000)
        if error is None:
            ended = await queries.end_well(
                self._db, name=hold.name, claim=hold.claim, rows=rows, duration_ms=duration_ms, again_in=again_in
            )
        else:
            ended = await queries.end_badly(
                self._db,
                name=hold.name,
                claim=hold.claim,
                rows=rows,
                duration_ms=duration_ms,
                error=error[:ERROR_LENGTH_MAX],
                failures=hold.failures + 1,
                again_in=again_in or timedelta(0),
            )
        self._unended.discard(hold.claim)
        return ended == 1


async def scheduled_jobs(db: Executor) -> Sequence[ScheduledJob]:
    """The whole schedule, by name."""
    return await queries.scheduled_jobs(db, size=JOBS_MAX)


def _now() -> float:
    """By a clock that nobody sets."""
    return asyncio.get_running_loop().time()


class Schedule(Service):
    """The schedule, shown to the staff of a shop. It is the installation's: nothing can be changed here."""

    @operation
    async def list(self) -> Sequence[ScheduledJob]:
        """Every job, by name. Where there are several shops without the rows, which are those of all of them."""
        jobs = await scheduled_jobs(self.db)
        if await queries.shops(self.db, size=2) == 1:
            return jobs
        return [msgspec.structs.replace(job, last_rows=None) for job in jobs]
