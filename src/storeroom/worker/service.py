"""Runs the schedule: one job after the other, each until nothing more is due, whatever becomes of the others."""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from storeroom.core.errors import StoreroomError
from storeroom.database.pool import Database
from storeroom.worker.model import Job, Outcome
from storeroom.worker.schedule import SCHEDULE

JITTER: Final = 0.2  # of the time between two runs, so that workers started together drift apart
BATCHES_MAX: Final = 20  # of one job in a row; one with more to do comes again after the others
RETRY_MAX: Final = timedelta(minutes=1)  # a job that keeps failing waits twice as long each time, up to this

_log: Final = logging.getLogger(__name__)


class Worker:
    """One worker. Any number may run on one database, in this process and in others."""

    def __init__(
        self, db: Database, *, schedule: Sequence[Job] = SCHEDULE, registry: CollectorRegistry | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            db: of the room, working as the service does.
            schedule: what to run.
            registry: where the counters are shown; a registry takes one worker.
        """
        self._db = db
        self._schedule = schedule
        self._failed = dict.fromkeys((job.name for job in schedule), 0)  # runs in a row that ended in an error
        self._rows = Counter("storeroom_job_rows", "Rows that jobs have done.", ["job"], registry=registry)
        self._failures = Counter("storeroom_job_failures", "Runs that ended in an error.", ["job"], registry=registry)
        self._seconds = Counter("storeroom_job_seconds", "Time spent in jobs.", ["job"], registry=registry)
        self._ended_well = Gauge(
            "storeroom_job_last_success_timestamp_seconds", "When a job last ended well.", ["job"], registry=registry
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set: the batch at hand is finished and no other begun.

        An error in a job is logged and counted, and the job is tried again later; it never ends the worker.
        """
        now = asyncio.get_running_loop().time
        due = dict.fromkeys(self._failed, now())
        while not stop.is_set():
            for job in self._schedule:
                if due[job.name] <= now() and not stop.is_set():
                    outcome, more = await self._run(job, stop)
                    due[job.name] = now() + (0 if more else self._pause_s(job, outcome))
            await _set_within(stop, min(due.values()) - now())

    async def run_once(self, stop: asyncio.Event | None = None) -> list[Outcome]:
        """Run each job once, whether its time has come or not, until it finds nothing more (BATCHES_MAX at most)."""
        return [(await self._run(job, stop or asyncio.Event()))[0] for job in self._schedule]

    async def _run(self, job: Job, stop: asyncio.Event) -> tuple[Outcome, bool]:
        """What it came to, and whether there is more to do at once."""
        now = asyncio.get_running_loop().time
        started, rows, done, error = now(), 0, job.limit, None
        try:
            for _ in range(BATCHES_MAX):
                if done < job.limit or stop.is_set():
                    break
                done = await job.run(self._db, limit=job.limit)
                rows += done
                self._rows.labels(job.name).inc(done)
        except Exception as caught:  # noqa: BLE001  # this is the edge: the other jobs go on
            error = self._failing(job, caught)
        else:
            self._failed[job.name] = 0
            self._ended_well.labels(job.name).set_to_current_time()
        self._seconds.labels(job.name).inc(now() - started)
        return Outcome(job=job.name, rows=rows, error=error), error is None and done >= job.limit

    def _failing(self, job: Job, error: Exception) -> str:
        self._failed[job.name] += 1
        self._failures.labels(job.name).inc()
        if isinstance(error, StoreroomError):  # said in one line; anything else is a fault of ours, with its place
            _log.error("job %s: %s (%s)", job.name, error, error.code)
            return error.code
        _log.error("job %s failed", job.name, exc_info=error)
        return type(error).__name__

    def _pause_s(self, job: Job, outcome: Outcome) -> float:
        every = job.every
        if outcome.error is not None:
            every = max(every, min(every * 2 ** min(self._failed[job.name], 16), RETRY_MAX))
        return every.total_seconds() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        pass
