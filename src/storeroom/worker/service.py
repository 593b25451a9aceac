"""Runs the schedule: of the jobs that are due one after the other, each until nothing more is to do.

All workers of a database go by one timetable, so each due time has one run, whoever makes it.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from storeroom.core.errors import StoreroomError
from storeroom.database.pool import Database
from storeroom.timetable import LEASE, Hold, Timetable, Turn
from storeroom.worker.model import Job, Outcome
from storeroom.worker.schedule import SCHEDULE

BATCHES_MAX: Final = 20  # of one job in a row; one with more to do comes again after the others
RETRY_MAX: Final = timedelta(minutes=1)  # a job that keeps failing waits twice as long each time, up to this
LOOK_EVERY_S: Final = 1.0  # at least: another worker may have died
LOOK_AGAIN_S: Final = 0.1  # where something is due and somebody else was faster, and while one waits for another's run
REGISTER_EVERY_S: Final = 3600.0
SIGNS_IN_LEASE: Final = 5  # how often a worker shows during a lease that it lives
GIVE_UP_AFTER: Final = 2 / 3  # of a lease without being heard, it stops: before anyone else begins

_log: Final = logging.getLogger(__name__)


class Meters:
    """What Prometheus reads of the schedule: this worker's own counts, and the timetable as it saw it last."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """In `registry`, which takes one of them; None: shown nowhere."""
        self.rows = Counter("storeroom_job_rows", "Rows that jobs have done.", ["job"], registry=registry)
        self.failures = Counter("storeroom_job_failures", "Runs that ended in an error.", ["job"], registry=registry)
        self.seconds = Counter("storeroom_job_seconds", "Time spent in jobs.", ["job"], registry=registry)
        self.ended_well = Gauge(
            "storeroom_job_last_success_timestamp_seconds", "When a job last ended well.", ["job"], registry=registry
        )
        self.late = Gauge(
            "storeroom_job_late_seconds", "For how long a job has been due and not begun.", ["job"], registry=registry
        )
        self.running = Gauge("storeroom_job_running", "Whether a worker is at it.", ["job"], registry=registry)
        self.failing = Gauge(
            "storeroom_job_failures_in_a_row", "Runs since a job last ended well.", ["job"], registry=registry
        )
        self.took = Gauge(
            "storeroom_job_last_duration_seconds", "How long the last run took.", ["job"], registry=registry
        )

    def saw(self, turns: Sequence[Turn]) -> None:
        """Show what the timetable says, of the runs of all workers."""
        for turn in turns:
            self.late.labels(turn.name).set(max(-turn.due_in.total_seconds(), 0))
            self.running.labels(turn.name).set(turn.claim is not None)
            self.failing.labels(turn.name).set(turn.failures)
            if turn.last_duration_ms is not None:
                self.took.labels(turn.name).set(turn.last_duration_ms / 1000)
            if turn.last_success_at is not None:
                self.ended_well.labels(turn.name).set(turn.last_success_at.timestamp())


class Worker:
    """One worker, which runs one job at a time. Any number may run on one database, in this process and in others."""

    def __init__(
        self,
        db: Database,
        *,
        schedule: Sequence[Job] = SCHEDULE,
        registry: CollectorRegistry | None = None,
        meters: Meters | None = None,
        lease: timedelta = LEASE,
        beside: Iterable[Job] = (),
    ) -> None:
        """Nothing runs yet.

        Args:
            db: of the room, working as the service does.
            schedule: what to run; what other workers run besides is left to them.
            registry: where the counters are shown; a registry takes one worker.
            meters: instead of `registry`, of several workers together.
            lease: the same for all workers of a database: how long after its last sign one counts as dead.
            beside: what the other workers of the installation run; the rows of such jobs are never forgotten.
        """
        self._db = db
        self._schedule = schedule
        self._lease_s = lease.total_seconds()
        self._timetable = Timetable(
            db,
            every={job.name: job.every for job in schedule},
            wait_max=RETRY_MAX,
            lease=lease,
            kept=[job.name for job in beside],
        )
        self._registered_at: float | None = None
        self._meters = meters or Meters(registry)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set: the batch at hand is finished and no other begun.

        An error in a job is logged and counted, and the job is tried again later; it never ends the worker, nor does a
        database that is away.
        """
        while not stop.is_set():
            try:
                wait_s = await self._round(stop)
            except Exception as error:  # noqa: BLE001  # this is the edge: the next round may succeed
                _say("the schedule", error)
                wait_s = LOOK_EVERY_S
            await _set_within(stop, wait_s)

    async def run_once(self, stop: asyncio.Event | None = None) -> list[Outcome]:
        """Run each job once, whether its time has come or not, until it finds nothing more (BATCHES_MAX at most).

        A job that another worker is at is waited for and then run; one that does not end in a lease's time is left.
        """
        stop = stop or asyncio.Event()
        await self._register()
        return [await self._in_turn(job, stop) for job in self._schedule]

    async def _register(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._registered_at is None or now - self._registered_at >= REGISTER_EVERY_S:
            await self._timetable.register()
            self._registered_at = now

    async def _round(self, stop: asyncio.Event) -> float:
        """Run what is due, in the order of the schedule; return the seconds until it is worth looking again."""
        await self._register()
        now = asyncio.get_running_loop().time
        turns = await self._timetable.turns()
        self._meters.saw(list(turns.values()))
        looked = now()
        look_at = looked + LOOK_EVERY_S
        for job in self._schedule:
            turn = turns.get(job.name)
            if turn is None:  # somebody removed the row
                self._registered_at = None
                continue
            due_in_s = self._timetable.wait_s(turn)
            if due_in_s is None:
                continue
            if due_in_s > 0:
                look_at = min(look_at, looked + due_in_s)
            elif not stop.is_set():
                hold, begun = await self._timetable.begin(turn), now()
                if hold is None:
                    look_at = min(look_at, now() + LOOK_AGAIN_S)
                else:
                    _, again_in = await self._run(job, hold, stop)
                    due_at = begun + hold.due_in.total_seconds() if again_in is None else now() + again_in
                    look_at = min(look_at, due_at)
        return look_at - now()

    async def _in_turn(self, job: Job, stop: asyncio.Event) -> Outcome:
        now = asyncio.get_running_loop().time
        until = now() + self._lease_s + LOOK_EVERY_S  # by then a dead holder is known to be dead
        while not stop.is_set():
            turn = (await self._timetable.turns()).get(job.name)
            if turn is None:
                await self._timetable.register()
            elif not self._timetable.is_held(turn):
                hold = await self._timetable.begin(turn)
                if hold is not None:
                    return (await self._run(job, hold, stop))[0]
            elif now() > until:
                return Outcome(job=job.name, rows=0, elsewhere=True)
            await _set_within(stop, LOOK_AGAIN_S)
        return Outcome(job=job.name, rows=0)

    async def _run(self, job: Job, hold: Hold, stop: asyncio.Event) -> tuple[Outcome, float | None]:
        """Run a job that is ours, and write down what it came to; with the seconds after which it comes again.

        None: at the next point of the grid.
        """
        now = asyncio.get_running_loop().time
        started, done = now(), _Done(job)
        error: str | None = None
        running = asyncio.create_task(self._batches(done, stop), name=f"job {job.name}")
        try:
            await self._attend(hold, running)
        except _LeaseLost:
            error = "lease lost"
            _log.warning("job %s: stopped, since this worker was not heard for most of its lease", job.name)
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running})
            await self._let_go(hold, done.rows, now() - started)
            raise
        except Exception as caught:  # noqa: BLE001  # this is the edge: the other jobs go on
            error = _say(f"job {job.name}", caught)
        took_s = now() - started
        self._meters.seconds.labels(job.name).inc(took_s)
        if error is None:
            self._meters.ended_well.labels(job.name).set_to_current_time()  # until the table is looked at again
        else:
            self._meters.failures.labels(job.name).inc()
        again_in = timedelta(0) if done.more else None
        if error is not None:
            again_in = min(job.every * 2 ** min(hold.failures + 1, 16), RETRY_MAX)
        try:
            ours = await self._timetable.end(hold, rows=done.rows, took_s=took_s, error=error, again_in=again_in)
        except Exception as caught:  # noqa: BLE001  # it is due again as soon as we can write that
            _say(f"ending job {job.name}", caught)
        else:
            if not ours:
                _log.warning("job %s: ended late, when it was somebody else's already", job.name)
        outcome = Outcome(job=job.name, rows=done.rows, error=error)
        return outcome, None if again_in is None else again_in.total_seconds()

    async def _batches(self, done: "_Done", stop: asyncio.Event) -> None:
        job = done.job
        for _ in range(BATCHES_MAX):
            count = await job.run(self._db, limit=job.limit)
            done.rows += count
            done.more = count >= job.limit
            self._meters.rows.labels(job.name).inc(count)
            if not done.more or stop.is_set():
                break

    async def _attend(self, hold: Hold, running: "asyncio.Task[None]") -> None:
        """Show that we live until the job has ended; stop it where that did not succeed for too long."""
        now = asyncio.get_running_loop().time
        heard, patience_s = now(), self._lease_s * GIVE_UP_AFTER
        while not running.done():
            await asyncio.wait({running}, timeout=self._lease_s / SIGNS_IN_LEASE)
            if running.done():
                break
            asked = now()
            try:
                async with asyncio.timeout_at(heard + patience_s):
                    ours = await self._timetable.keep(hold)
            except Exception as error:  # noqa: BLE001  # as long as there is time it is tried again
                _say(f"keeping job {hold.name}", error)
                ours = now() - heard < patience_s
            else:
                heard = asked
            if not ours and running.cancel():
                await asyncio.wait({running})
                raise _LeaseLost
        running.result()

    async def _let_go(self, hold: Hold, rows: int, took_s: float) -> None:
        """Cut off from outside: the job is anybody's at once, if that can still be written."""
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._timetable.end(hold, rows=rows, took_s=took_s, error="cut off")
        except Exception as error:  # noqa: BLE001  # then it is when the lease is over
            _say(f"letting go of job {hold.name}", error)


class _Done:
    """What a run has done so far."""

    def __init__(self, job: Job) -> None:
        self.job, self.rows, self.more = job, 0, False


class _LeaseLost(Exception):
    """The run is somebody else's, or may be soon."""


def _say(what: str, error: Exception) -> str:
    if isinstance(error, StoreroomError):  # said in one line; anything else is a fault of ours, with its place
        _log.error("%s: %s (%s)", what, error, error.code)
        return error.code
    _log.error("%s failed", what, exc_info=error)
    return type(error).__name__


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        pass
