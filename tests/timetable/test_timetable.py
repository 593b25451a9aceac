"""One timetable for all workers: who begins, how long it is theirs, and what clocks that jump do to it."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from storeroom.core.ids import new_id
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.timetable import Hold, Timetable, Turn, grid_origin
from storeroom.worker import Job, Outcome, Worker

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LEASE = timedelta(milliseconds=400)
DEADLINE_S = 30.0


def a_name() -> str:
    """Of a job whose hour does not strike while a test runs."""
    while True:
        name = f"test.{uuid4().hex}"
        if (datetime.now(UTC) - grid_origin(name, HOUR)) % HOUR < timedelta(minutes=50):
            return name


async def timetable(db: Database, name: str, every: timedelta = HOUR) -> Timetable:
    made = Timetable(db, every={name: every}, wait_max=timedelta(minutes=1), lease=LEASE)
    await made.register()
    return made


async def turn(of: Timetable, name: str) -> Turn:
    return (await of.turns())[name]


async def begun(of: Timetable, name: str) -> Hold:
    hold = await of.begin(await turn(of, name))
    assert hold is not None
    return hold


async def dated(db: Database, name: str, what: str) -> None:
    """Move the times of a row: for those who read it, the database's clock has jumped the other way."""
    sql = f"UPDATE {{scheduled_jobs}} SET {what} WHERE name = $1"
    assert await db.execute(db.names.render(sql), name) == "UPDATE 1"


async def row(db: Database, name: str) -> Any:
    return await db.fetchrow(db.names.render("SELECT *, now() AS now FROM {scheduled_jobs} WHERE name = $1"), name)


async def until_over(of: Timetable, name: str) -> float:
    """Seconds until a claim of another is over, as this one sees it."""
    now = asyncio.get_running_loop().time
    since = now()
    async with asyncio.timeout(DEADLINE_S):
        while of.is_held(await turn(of, name)):
            await asyncio.sleep(0.01)
    return now() - since


async def test_of_several_that_see_it_due_one_begins(database: Database) -> None:
    name = a_name()
    rivals = [await timetable(database, name) for _ in range(5)]
    seen = [await turn(each, name) for each in rivals]
    assert [each.wait_s(saw) for each, saw in zip(rivals, seen, strict=True)] == [0] * 5
    holds = await asyncio.gather(*(each.begin(saw) for each, saw in zip(rivals, seen, strict=True)))
    assert len([hold for hold in holds if hold]) == 1
    assert (await row(database, name))["runs"] == 1
    late = await turn(rivals[0], name)
    assert all(each.wait_s(late) is None for each, hold in zip(rivals, holds, strict=True) if hold is None)


async def test_due_times_lie_on_a_grid_that_all_know(database: Database) -> None:
    name = a_name()
    ours = await timetable(database, name, SECOND)
    hold = await begun(ours, name)
    written = await row(database, name)
    steps = (written["due_at"] - grid_origin(name, SECOND)) / SECOND
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert timedelta(0) < written["due_at"] - written["last_started_at"] <= SECOND
    assert await ours.end(hold, rows=3, took_s=0.25)
    written = await row(database, name)
    assert (written["last_rows"], written["last_duration_ms"], written["last_error"]) == (3, 250, None)
    assert written["last_success_at"] == written["last_ended_at"]
    assert len({grid_origin(a_name(), HOUR).timestamp() % 3600 // 60 for _ in range(100)}) > 20  # not all at once


async def test_what_falls_due_during_a_run_has_a_run_after_it(database: Database) -> None:
    name = a_name()
    ours = await timetable(database, name)
    hold = await begun(ours, name)
    await dated(database, name, "due_at = now() - interval '1 ms'")
    assert await ours.end(hold, rows=0, took_s=0)
    assert ours.wait_s(await turn(ours, name)) == 0


async def test_after_downtime_a_job_runs_once(database: Database) -> None:
    """A day of missed seconds is no reason for 86,400 runs."""
    name = a_name()
    ours = await timetable(database, name, SECOND)
    await dated(database, name, "due_at = now() - interval '1 day'")
    await ours.end(await begun(ours, name), rows=0, took_s=0)
    await due_at_the_next_point(database, name)


async def due_at_the_next_point(database: Database, name: str) -> None:
    """Of the grid, as it was when the run began: that point may have come since."""
    written = await row(database, name)
    assert timedelta(0) < written["due_at"] - written["last_started_at"] <= SECOND


async def test_after_downtime_the_rows_of_other_workers_jobs_stay_and_those_of_nobody_go(database: Database) -> None:
    ours, beside, nobodys = a_name(), a_name(), a_name()
    names = dict.fromkeys((ours, beside, nobodys), HOUR)
    await Timetable(database, every=names, wait_max=HOUR, lease=LEASE).register()
    for name in names:
        await dated(database, name, "due_at = now() - interval '2 days', runs = 7")
    await Timetable(database, every={ours: HOUR}, wait_max=HOUR, lease=LEASE, kept=[beside]).register()
    assert [(await row(database, name))["runs"] for name in (ours, beside)] == [7, 7]
    assert await row(database, nobodys) is None


async def test_a_dead_workers_job_goes_to_another_and_a_late_one_writes_nothing(database: Database) -> None:
    name = a_name()
    dead, other = await timetable(database, name), await timetable(database, name)
    lost = await begun(dead, name)
    assert await until_over(other, name) >= LEASE.total_seconds() * 0.99
    hold = await begun(other, name)
    assert not await dead.keep(lost)
    assert not await dead.end(lost, rows=99, took_s=0)
    assert (await row(database, name))["claim"] == hold.claim
    assert await other.end(hold, rows=1, took_s=0)
    assert not await dead.end(lost, rows=99, took_s=0)
    assert ((await row(database, name))["last_rows"], (await row(database, name))["runs"]) == (1, 2)


@pytest.mark.parametrize("jump", ["+ interval '1 day'", "- interval '1 day'"], ids=["back", "ahead"])
async def test_whoever_lives_keeps_it_though_clocks_jump(
    database: Database, monkeypatch: pytest.MonkeyPatch, jump: str
) -> None:
    """The clock of the database is set: by it the lease is long over, or lasts for a day. Neither makes it so."""
    name = a_name()
    alive, other = await timetable(database, name), await timetable(database, name)
    hold = await begun(alive, name)
    now = 0.0
    monkeypatch.setattr("storeroom.timetable.service._now", lambda: now)  # the clock that nobody sets
    await turn(other, name)
    for _ in range(15):  # of three leases
        await dated(database, name, f"lease_until = lease_until {jump}")
        assert other.is_held(await turn(other, name))
        assert await alive.keep(hold)
        now += LEASE.total_seconds() / 5
    await dated(database, name, f"lease_until = lease_until {jump}")
    assert other.is_held(await turn(other, name))
    now += LEASE.total_seconds() * 0.99
    assert other.is_held(await turn(other, name))
    now += LEASE.total_seconds() * 0.02
    assert not other.is_held(await turn(other, name))  # now it is dead, and no jump delays that


async def test_a_clock_set_back_stalls_nothing(database: Database) -> None:
    """Due in a year by the new clock: further ahead than it could be, so due now. Within `every` it may well be."""
    name = a_name()
    ours = await timetable(database, name, SECOND)
    await dated(database, name, "due_at = now() + interval '1 year'")
    assert ours.wait_s(await turn(ours, name)) == 0
    await ours.end(await begun(ours, name), rows=0, took_s=0)
    await due_at_the_next_point(database, name)
    await dated(database, name, "due_at = now() + interval '1.9 s'")  # and a second of slack
    assert 0 < (ours.wait_s(await turn(ours, name)) or 0) <= 1.9
    await dated(database, name, "due_at = now() + interval '30 s', failures = 5")  # it rests
    assert (ours.wait_s(await turn(ours, name)) or 0) > 20


async def test_a_failed_run_comes_again_when_it_has_rested_whoever_it_was(database: Database) -> None:
    name = a_name()
    ours, other = await timetable(database, name), await timetable(database, name)
    await ours.end(await begun(ours, name), rows=2, took_s=0, error="database.busy", again_in=30 * SECOND)
    seen = await turn(other, name)
    assert seen.failures == 1
    assert 0 < (other.wait_s(seen) or 0) <= 30
    assert (await row(database, name))["last_error"] == "database.busy"
    await dated(database, name, "due_at = now()")
    assert (await begun(other, name)).failures == 1


async def test_a_run_whose_end_was_not_heard_is_ours_to_repeat_at_once(database: Database) -> None:
    name = a_name()
    db = await Database.open(database.direct_dsn)
    ours = await timetable(db, name)
    hold = await begun(ours, name)
    await db.close()
    with pytest.raises(Exception, match="closed"):
        await ours.end(hold, rows=0, took_s=0)
    ours._db = database
    assert not ours.is_held(await turn(ours, name))
    other = await timetable(database, name)
    assert other.is_held(await turn(other, name))  # to whom it looks alive


async def test_jobs_come_go_and_change(database: Database) -> None:
    old, gone, name = a_name(), a_name(), a_name()
    for each in (old, gone):
        await timetable(database, each)
    await dated(database, gone, "due_at = now() - interval '25 hours'")
    await timetable(database, name)
    changed = await timetable(database, name, SECOND)
    assert (await row(database, name))["every"] == SECOND
    assert await row(database, gone) is None
    assert await row(database, old) is not None
    assert list(await changed.turns()) == [name]  # of the others this worker knows nothing


@pytest.fixture
def alone() -> Iterator[EmbeddedPostgres]:
    """A server on which nobody else looks at old versions: they would stay, in whatever database."""
    folder = Path(tempfile.mkdtemp(prefix="storeroom-alone-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    with EmbeddedPostgres(folder / "postgres", settings={"fsync": "off", "autovacuum": "off"}) as server:
        server.ensure_database("storeroom")
        yield server
    shutil.rmtree(folder)


async def test_the_table_does_not_grow(alone: EmbeddedPostgres) -> None:
    """A job of every second, for an hour: each update stays on its page, and the pages are those of the beginning."""
    dsn = alone.dsn("storeroom")
    await migrate(dsn)
    async with await Database.open(dsn, max_size=1) as db:
        names = [a_name() for _ in range(30)]
        ours = Timetable(db, every=dict.fromkeys(names, SECOND), wait_max=SECOND)
        await ours.register()
        table = db.names.resolve("scheduled_jobs")
        size = "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int"
        for n in range(600):
            await ours.end(await begun(ours, names[n % 30]), rows=n, took_s=0)
        await db.execute("SELECT pg_stat_force_next_flush()")
        updated, hot = await db.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table
        )
        assert updated == 1200
        assert hot >= 0.99 * updated
        assert await db.fetchval(size, table) <= 8


# --- The worker that goes by it -----------------------------------------------------------------------------------------


class Counted:
    """A database that counts what it is asked."""

    def __init__(self, db: Database) -> None:
        self._db, self.statements, self.names = db, list[str](), db.names

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._db, name)

        async def counted(sql: str, *args: object) -> Any:
            self.statements.append(sql)
            return await call(sql, *args)

        return counted if name.startswith(("fetch", "execute")) else call


async def nothing(db: Database, /, *, limit: int) -> int:
    return 0


@pytest.mark.parametrize("look_every_s", [1.0, 60.0])
async def test_an_idle_worker_asks_once_a_second_and_wakes_when_something_is_due(
    database: Database, monkeypatch: pytest.MonkeyPatch, look_every_s: float
) -> None:
    """Also where it would not look again for a minute."""
    monkeypatch.setattr("storeroom.worker.service.LOOK_EVERY_S", look_every_s)
    names = [a_name() for _ in range(3)]
    counted, stop, ran = Counted(database), asyncio.Event(), asyncio.Event()

    async def told(db: Database, /, *, limit: int) -> int:
        ran.set()
        return 0

    jobs = [Job(name=name, every=HOUR, run=told, limit=10) for name in names]
    await Timetable(database, every=dict.fromkeys(names, HOUR), wait_max=HOUR).register()
    for name in names:
        await dated(database, name, "due_at = now() + interval '30 minutes'")
    await dated(database, names[1], "due_at = now() + interval '1.4 s'")
    due_at = (await row(database, names[1]))["due_at"]
    working = asyncio.create_task(Worker(counted, schedule=jobs).run(stop))  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE_S):
        await ran.wait()
        stop.set()
        await working
    looks = [sql for sql in counted.statements if sql.lstrip().startswith("SELECT")]
    assert len(looks) <= 4  # at once, after a second, when it is due, and perhaps once when it has run
    assert len(counted.statements) - len(looks) == 4  # registered, swept; begun, ended
    assert (await row(database, names[1]))["last_started_at"] >= due_at


async def test_a_run_that_became_somebody_elses_is_stopped(database: Database) -> None:
    name, started, cut = a_name(), asyncio.Event(), asyncio.Event()

    async def long(db: Database, /, *, limit: int) -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise
        return 0

    # It shows every second that it lives, and is heard unless the machine stands still for three.
    worker = Worker(database, schedule=[Job(name=name, every=HOUR, run=long, limit=1)], lease=5 * SECOND)
    running = asyncio.create_task(worker.run_once())
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        other = new_id()
        await dated(database, name, f"claim = '{other}'")
        await cut.wait()
        assert await running == [Outcome(job=name, rows=0, error="lease lost")]
    written = await row(database, name)
    assert (written["claim"], written["last_ended_at"]) == (other, None)


async def test_a_worker_that_is_not_heard_stops_before_another_may_begin(database: Database) -> None:
    """The timetable cannot be reached any more. Whoever watches waits for a whole lease; the run ends before that."""
    name, cut, lease = a_name(), list[float](), timedelta(seconds=6)
    now = asyncio.get_running_loop().time
    closed = await Database.open(database.direct_dsn)
    await closed.close()

    async def long(db: Database, /, *, limit: int) -> int:
        worker._timetable._db = closed
        cut.append(now())
        try:
            await asyncio.Event().wait()
        finally:
            cut.append(now())
        return 0

    worker = Worker(database, schedule=[Job(name=name, every=HOUR, run=long, limit=1)], lease=lease)
    async with asyncio.timeout(DEADLINE_S):
        assert await worker.run_once() == [Outcome(job=name, rows=0, error="lease lost")]
    began, ended = cut
    assert lease.total_seconds() / 2 < ended - began < lease.total_seconds()
    assert (await row(database, name))["claim"] is not None


async def test_a_long_run_is_kept_and_others_wait_for_it(database: Database) -> None:
    """`run_once` beside it: it does not begin a second one, waits a lease's time, and says that it left it."""
    name, started, go_on = a_name(), asyncio.Event(), asyncio.Event()
    runs = list[str]()

    async def long(db: Database, /, *, limit: int) -> int:
        runs.append("begun")
        started.set()
        await go_on.wait()
        runs.append("ended")
        return 0

    job, stop, lease = Job(name=name, every=HOUR, run=long, limit=1), asyncio.Event(), 3 * SECOND
    working = asyncio.create_task(Worker(database, schedule=[job], lease=lease).run(stop))
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        assert await Worker(database, schedule=[job], lease=lease).run_once() == [
            Outcome(job=name, rows=0, elsewhere=True)
        ]
        assert runs == ["begun"]
        waiting = asyncio.create_task(Worker(database, schedule=[job], lease=lease).run_once())
        go_on.set()
        assert await waiting == [Outcome(job=name, rows=0)]
        stop.set()
        await working
    assert runs == ["begun", "ended"] * 2


async def test_cut_off_it_lets_go_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storeroom.worker.service.LOOK_EVERY_S", DEADLINE_S)  # so long it may take to write that down
    name, started = a_name(), asyncio.Event()

    async def long(db: Database, /, *, limit: int) -> int:
        started.set()
        await asyncio.Event().wait()
        return 0

    working = asyncio.create_task(
        Worker(database, schedule=[Job(name=name, every=HOUR, run=long, limit=1)]).run(asyncio.Event())
    )
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
    working.cancel()
    await asyncio.wait({working})
    written = await row(database, name)
    assert (written["claim"], written["last_error"]) == (None, "cut off")
    assert written["due_at"] <= written["now"]


async def test_the_metrics_tell_of_all_workers(database: Database) -> None:
    name, registry = a_name(), CollectorRegistry()
    job = Job(name=name, every=HOUR, run=nothing, limit=1)
    await Worker(database, schedule=[job]).run_once()
    await dated(database, name, "due_at = now() + interval '1 minute', failures = 3")
    stop = asyncio.Event()
    working = asyncio.create_task(Worker(database, schedule=[job], registry=registry).run(stop))
    async with asyncio.timeout(DEADLINE_S):
        while registry.get_sample_value("storeroom_job_failures_in_a_row", {"job": name}) != 3:
            await asyncio.sleep(0.01)
    stop.set()
    await working
    assert (registry.get_sample_value("storeroom_job_last_success_timestamp_seconds", {"job": name}) or 0) > 1e9
    assert registry.get_sample_value("storeroom_job_late_seconds", {"job": name}) == 0
    assert registry.get_sample_value("storeroom_job_running", {"job": name}) == 0
