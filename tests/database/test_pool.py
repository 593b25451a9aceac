"""The pool against a real server: transactions, retries, lost connections, listening, PgBouncer."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import psutil
import pytest

from bouncer import open_soon
from storeroom.core.errors import Conflict
from storeroom.database import pool
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.errors import (
    Contended,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseRefused,
    DatabaseTimeout,
    DatabaseUnavailable,
    RoleUnusable,
    constraint_of,
    violations,
)
from storeroom.database.names import TableNames
from storeroom.database.pool import Database, Transaction, caches_statements


class CodeTaken(Conflict):
    code = "test_pool.code_taken"

    def __init__(self) -> None:
        super().__init__("taken")


@pytest.fixture
async def table(database: Database, dsn: str) -> AsyncIterator[str]:
    """A table of the test's own that the service's role may use."""
    name = f"pool_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(dsn)
    await owner.execute(
        f"CREATE TABLE {name} (id INTEGER, note TEXT, CONSTRAINT {name}_note_unique UNIQUE (note),"
        f" CONSTRAINT {name}_pkey PRIMARY KEY (id)); GRANT ALL ON {name} TO storeroom_app"
    )
    yield name
    await owner.execute(f"DROP TABLE {name}")
    await owner.close()


async def ids(database: Database, table: str) -> list[int]:
    return [row["id"] for row in await database.fetch(f"SELECT id FROM {table} ORDER BY id")]


async def test_jsonb_goes_in_and_comes_out_as_values(database: Database) -> None:
    class Line(msgspec.Struct):
        at: datetime
        id: uuid.UUID

    line = Line(at=datetime(2026, 3, 1, tzinfo=UTC), id=uuid.UUID(int=7))
    got = await database.fetchval("SELECT $1::JSONB", {"lines": [line], "n": 1, "none": None})
    assert got == {
        "lines": [{"at": "2026-03-01T00:00:00Z", "id": "00000000-0000-0000-0000-000000000007"}],
        "n": 1,
        "none": None,
    }
    assert await database.fetchval("SELECT $1::JSONB->>'a'", {"a": "Юла"}) == "Юла"
    assert await database.fetchval("SELECT $1::JSONB[]", [{"a": 1}, {"b": [2]}]) == [{"a": 1}, {"b": [2]}]


async def test_it_works_as_the_role_of_the_service(database: Database, dsn: str) -> None:
    assert await database.fetchval("SELECT current_user::TEXT") == "storeroom_app"
    async with await Database.open(dsn, role=None) as login:
        assert await login.fetchval("SELECT current_user = session_user")
    async with await Database.open(dsn, statement_cache=False) as pooled:
        assert await pooled.fetchval("SELECT current_user = session_user")
    with pytest.raises(RoleUnusable, match="db migrate"):
        await Database.open(dsn, role="nobody_made_this")
    with pytest.raises(RoleUnusable):
        await Database.open(dsn, role="x; DROP TABLE orders")


async def test_a_call_is_one_round_trip(dsn: str, database: Database) -> None:
    """The last statement a connection saw is the caller's own: nothing was sent to reset it."""
    async with await Database.open(dsn, max_size=1) as one:
        pid = await one.fetchval("SELECT pg_backend_pid()")
        assert await one.fetchval("SELECT 41 + 1") == 42
        owner = await asyncpg.connect(dsn)
        last = await owner.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
        await owner.close()
    assert last == "SELECT 41 + 1"


async def test_a_transaction_commits_whole_or_not_at_all(dsn: str, table: str) -> None:
    async with await Database.open(dsn) as own:
        async with own.transaction() as tx:
            await tx.execute(f"INSERT INTO {table} VALUES (1)")
            assert await ids(own, table) == []
        with pytest.raises(ZeroDivisionError):
            async with own.transaction() as tx:
                await tx.execute(f"INSERT INTO {table} VALUES (2)")
                raise ZeroDivisionError
        assert await ids(own, table) == [1]
        assert own.idle == own.size


async def test_a_nested_transaction_is_undone_alone(database: Database, table: str) -> None:
    called: list[str] = []
    async with database.transaction() as tx:
        await tx.execute(f"INSERT INTO {table} VALUES (1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with tx.transaction() as inner:
                inner.after_commit(lambda: called.append("undone"))
                await inner.execute(f"INSERT INTO {table} VALUES (2)")
                await inner.execute(f"INSERT INTO {table} VALUES (1)")
        async with tx.transaction() as inner, inner.transaction() as innermost:
            innermost.after_commit(lambda: called.append("kept"))
            await innermost.execute(f"INSERT INTO {table} VALUES (3)")
        assert called == []
    assert await ids(database, table) == [1, 3]
    assert called == ["kept"]


async def test_hooks_are_called_once_and_only_after_the_commit(
    database: Database, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    count = 0

    def notify() -> None:
        nonlocal count
        count += 1

    def fails() -> None:
        raise RuntimeError("hook")

    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            tx.after_commit(notify)
            raise ZeroDivisionError
    assert count == 0
    async with database.transaction() as tx:
        tx.after_commit(fails)
        tx.after_commit(notify)
        tx.after_commit(notify)
        await tx.execute(f"INSERT INTO {table} VALUES (1)")
        assert count == 0
    assert count == 1
    assert await ids(database, table) == [1]  # the failing hook did not undo it
    assert "after-commit callback failed" in caplog.text


async def rivals(
    database: Database, table: str, opened: Callable[[Callable[[Transaction], Awaitable[None]]], Awaitable[None]]
) -> tuple[list[object], int]:
    """Two transactions take two rows in opposite order, and each has its first before any asks for its second."""
    await database.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    both = asyncio.Barrier(2)
    tries = 0

    def taking(first: int, second: int) -> Callable[[Transaction], Awaitable[None]]:
        met = False

        async def take(tx: Transaction) -> None:
            nonlocal met, tries
            tries += 1
            await tx.execute(f"UPDATE {table} SET note = note || 'x' WHERE id = $1", first)
            if not met:
                met = True
                await both.wait()
            await tx.execute(f"UPDATE {table} SET note = note || 'x' WHERE id = $1", second)

        return take

    outcomes = await asyncio.gather(opened(taking(1, 2)), opened(taking(2, 1)), return_exceptions=True)
    return list(outcomes), tries


async def test_run_tries_again_after_a_deadlock(database: Database, table: str) -> None:
    outcomes, tries = await rivals(database, table, database.run)
    assert outcomes == [None, None]
    assert tries == 3
    assert [row["note"] for row in await database.fetch(f"SELECT note FROM {table} ORDER BY id")] == ["axx", "bxx"]


async def test_control_the_rivals_do_deadlock(database: Database, table: str) -> None:
    async def once(fn: Callable[[Transaction], Awaitable[None]]) -> None:
        async with database.transaction() as tx:
            await fn(tx)

    outcomes, tries = await rivals(database, table, once)
    assert sorted(type(outcome) for outcome in outcomes if outcome) == [asyncpg.DeadlockDetectedError]
    assert tries == 2


async def test_run_tries_again_after_a_serialization_failure(database: Database, table: str) -> None:
    await database.execute(f"INSERT INTO {table} VALUES (1, '')")
    tries = 0

    async def add(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        note = await tx.fetchval(f"SELECT note FROM {table} WHERE id = 1")
        if tries == 1:
            await database.execute(f"UPDATE {table} SET note = note || 'rival,' WHERE id = 1")
        await tx.execute(f"UPDATE {table} SET note = $1 WHERE id = 1", f"{note}mine")

    await database.run(add, isolation="repeatable_read")
    assert tries == 2
    assert await database.fetchval(f"SELECT note FROM {table}") == "rival,mine"


@pytest.mark.parametrize(
    ("sqlstate", "message", "attempts", "expected_tries"),
    [
        ("40001", "could not serialize access", 3, 3),
        ("40P01", "deadlock detected", 2, 2),
        ("40001", "could not serialize access", 99, 5),
        ("XX000", "could not commit transaction for shard 102008", 4, 2),
    ],
)
async def test_run_gives_up_in_time(
    database: Database, table: str, sqlstate: str, message: str, attempts: int, expected_tries: int
) -> None:
    tries = 0

    async def lose(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(f"INSERT INTO {table} VALUES (1)")
        await tx.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{message}'; END $$")

    with pytest.raises(Contended) as caught:
        await database.run(lose, attempts=attempts)
    assert tries == caught.value.attempts == expected_tries
    assert caught.value.transient
    assert await ids(database, table) == []


async def test_run_does_not_repeat_other_errors(database: Database, table: str) -> None:
    tries = 0

    async def fail(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(f"INSERT INTO {table} VALUES (1), (1)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.run(fail)
    assert tries == 1


async def test_run_survives_a_migration_under_a_kept_statement(dsn: str, table: str) -> None:
    owner = await asyncpg.connect(dsn)
    async with await Database.open(dsn, max_size=1) as one:
        await one.execute(f"INSERT INTO {table} VALUES (1, 'a')")

        async def read(tx: Transaction) -> asyncpg.Record | None:
            return await tx.fetchrow(f"TABLE {table}")

        assert await one.run(read) == (1, "a")
        await owner.execute(f"ALTER TABLE {table} ADD COLUMN more INTEGER DEFAULT 5")
        assert await one.run(read) == (1, "a", 5)
    await owner.close()


async def test_a_lost_connection_is_typed_and_the_pool_heals(dsn: str) -> None:
    async with await Database.open(dsn, max_size=1, role=None) as one:
        with pytest.raises(DatabaseUnavailable) as caught:
            await one.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert caught.value.transient
        assert await one.fetchval("SELECT 1") == 1
        with pytest.raises(DatabaseUnavailable):
            async with one.transaction() as tx:
                await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await one.fetchval("SELECT 1") == 1


async def test_a_transaction_begins_again_where_an_idle_connection_was_dead(dsn: str) -> None:
    """The server ended it while the loop did something else, so the pool cannot know before BEGIN is sent."""
    async with await Database.open(dsn, max_size=1) as one:
        backend = psutil.Process(await one.fetchval("SELECT pg_backend_pid()"))
        backend.terminate()
        backend.wait(60)
        async with one.transaction() as tx:
            assert await tx.fetchval("SELECT pg_backend_pid()") != backend.pid


async def test_an_error_of_the_block_is_not_taken_for_one_of_the_database(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.transaction():
            raise FileNotFoundError("proof.pdf")


async def test_a_server_that_restarted_is_found_again() -> None:
    """Idle connections to a server that is gone do not fail the first transaction after it is back."""
    folder = Path(os.environ["STOREROOM_TEST_RUN_FOLDER"]) / f"restart-{uuid.uuid4().hex[:8]}"
    server = EmbeddedPostgres(folder, settings={"fsync": "off"})
    server.start()
    database = await Database.open(server.dsn("postgres"), role=None)
    try:
        assert await database.fetchval("SELECT 1") == 1
        server.stop()
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as tx:
                await tx.execute("SELECT 1")
        server.start()
        async with database.transaction() as tx:
            assert await tx.fetchval("SELECT 1") == 1
    finally:
        await database.close()
        server.stop()


async def test_opening_says_what_is_wrong(dsn: str, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseUnavailable):
        await Database.open("postgresql://postgres@/x?host=/nonexistent")
    with pytest.raises(DatabaseRefused, match="does not exist"):
        await Database.open(postgres.dsn("nobody_made_this"))


async def test_a_closed_handle_says_so(dsn: str) -> None:
    database = await Database.open(dsn)
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")
    await database.close()
    await database.close()
    assert database.closed
    for call in (
        database.fetch("SELECT 1"),
        database.fetchrow("SELECT 1"),
        database.fetchval("SELECT 1"),
        database.execute("SELECT 1"),
        database.listen("x", print),
        database.run(lambda tx: tx.execute("SELECT 1")),
    ):
        with pytest.raises(DatabaseClosed) as caught:
            await call
        assert not caught.value.transient


async def test_waiting_for_a_connection_ends(dsn: str) -> None:
    async with await Database.open(dsn, max_size=1, acquire_timeout_s=0.05) as one:
        async with one.transaction():
            with pytest.raises(DatabaseBusy) as caught:
                await one.fetchval("SELECT 1")
        assert caught.value.facts() == {"waited_s": 0.05, "pool_size": 1}
        assert await one.fetchval("SELECT 1") == 1


async def test_a_statement_may_not_run_for_ever(dsn: str) -> None:
    async with await Database.open(dsn, max_size=1, command_timeout_s=3) as one:  # which opening has to do with, too
        with pytest.raises(DatabaseTimeout):
            await one.fetchval("SELECT pg_sleep(60)")
        assert await one.fetchval("SELECT 1") == 1


async def test_many_callers_share_few_connections(dsn: str) -> None:
    async with await Database.open(dsn, max_size=4) as few:
        got = await asyncio.gather(*(few.fetchval("SELECT $1::INTEGER", n) for n in range(200)))
        assert got == list(range(200))
        assert few.size <= 4


async def test_what_is_put_by_passes_through_the_pool_now_and_then(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There asyncpg closes what is worn out or unused; the next call finds a connection all the same."""
    monkeypatch.setattr(pool, "SPARE_S", 0.0)
    async with await Database.open(dsn, max_size=2) as two:
        await asyncio.gather(*(two.fetchval("SELECT pg_sleep(0.01)") for _ in range(2)))
        tidying = two._tidying
        assert tidying is not None
        await tidying
        assert two._spare == []
        assert two.idle == two.size == 2
        assert await two.fetchval("SELECT 1") == 1
        assert two.idle == two.size == 2


async def test_a_call_given_up_leaves_its_connection_usable(dsn: str) -> None:
    """What the next caller gets must not still be busy with, or answer, the statement that was given up."""
    async with await Database.open(dsn, max_size=1) as one, await Database.open(dsn, role=None) as database:
        pid = await one.fetchval("SELECT pg_backend_pid()")
        sleeping = asyncio.create_task(one.fetchval("SELECT pg_sleep(60)"))
        async with asyncio.timeout(50):
            while not await database.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep')", pid
            ):
                await asyncio.sleep(0)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        async with asyncio.timeout(50):
            assert await one.fetchval("SELECT 2") == 2


async def test_a_transaction_left_open_by_hand_is_not_handed_on(dsn: str) -> None:
    async with await Database.open(dsn, max_size=1) as one:
        await one.execute("BEGIN")
        before = await one.fetchval("SELECT now()")  # the instant a transaction began
        assert await one.fetchval("SELECT now()") > before


async def test_listening_outlives_its_connection(dsn: str, database: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN \"due%' AND datname = current_database()"
    async with asyncio.timeout(120):
        async with await Database.open(dsn, role=None) as db, await db.listen("due", heard.put_nowait):
            await database.execute("SELECT pg_notify('due', 'one')")
            assert await heard.get() == "one"
            cut = await db.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN \"due%' AND datname = current_database()"
            )
            assert cut == 1
            assert await heard.get() == ""  # back again: look for yourself
            await database.execute("SELECT pg_notify('due', 'two')")
            assert await heard.get() == "two"
        while await database.fetchval(left):  # the server ends it when it reads that we have gone
            await asyncio.sleep(0.01)


@pytest.mark.requirement("SBB-CONV-04")
async def test_a_violated_constraint_becomes_the_slices_error(database: Database, table: str) -> None:
    await database.execute(f"INSERT INTO {table} VALUES (1, 'a')")
    constraint = f"{table}_note_unique"
    with pytest.raises(CodeTaken), violations({constraint: CodeTaken}, database.names):
        await database.execute(f"INSERT INTO {table} VALUES (2, 'a')")
    with pytest.raises(CodeTaken), violations({constraint.removeprefix("pool_"): CodeTaken}):
        await database.execute(f"INSERT INTO {table} VALUES (2, 'a')")
    with pytest.raises(CodeTaken), violations({"pkey": CodeTaken}, TableNames(prefix=f"{table}_")):
        await database.execute(f"INSERT INTO {table} VALUES (1, 'b')")
    with pytest.raises(asyncpg.UniqueViolationError), violations({"other": CodeTaken}, database.names):
        await database.execute(f"INSERT INTO {table} VALUES (2, 'a')")


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ('duplicate key value violates unique constraint "shop_orders_number_unique_102070"', "orders_number_unique"),
        ('new row for relation "orders_102070" violates check constraint "shop_orders_total_positive"',
         "orders_total_positive"),
        ("null value in column", None),
    ],
)  # fmt: skip
def test_a_constraint_is_known_from_the_message_of_a_shard(message: str, name: str | None) -> None:
    assert constraint_of(asyncpg.UniqueViolationError(message), TableNames(prefix="shop_")) == name


@pytest.mark.parametrize(
    ("value", "expected"), [(None, True), ("on", True), ("off", False), ("OFF", False), ("0", False), ("false", False)]
)
def test_statement_caching_is_a_setting(value: str | None, expected: bool) -> None:
    assert caches_statements({} if value is None else {"STOREROOM_STATEMENT_CACHE": value}) is expected


async def test_pgbouncer_in_transaction_mode(bouncer: tuple[str, tuple[int, ...]], dsn: str, table: str) -> None:
    async with await open_soon(bouncer[0], statement_cache=False) as db:
        got = await asyncio.gather(*(db.fetchval("SELECT $1::INTEGER + 1", n) for n in range(400)))
        assert got == list(range(1, 401))

        async def add(tx: Transaction) -> None:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            number = await tx.fetchval(f"INSERT INTO {table} SELECT coalesce(max(id), 0) + 1 FROM {table} RETURNING id")
            with pytest.raises(asyncpg.UniqueViolationError):
                async with tx.transaction() as inner:
                    await inner.execute(f"INSERT INTO {table} VALUES ($1)", number)
            assert await tx.fetchval("SELECT pg_backend_pid()") == pid

        await asyncio.gather(*(db.run(locked(add, table)) for _ in range(20)))
        assert await ids(db, table) == list(range(1, 21))
        assert (await db.fetchval("SELECT $1::JSONB", [1])) == [1]


async def test_control_pgbouncer_loses_kept_statements(bouncer: tuple[str, tuple[int, ...]]) -> None:
    """Why statement caching is turned off there. PgBouncer keeps statements itself from 1.21 on, if it is told to."""
    if bouncer[1] >= (1, 21):
        pytest.skip("this PgBouncer keeps prepared statements itself")
    server = "SELECT pg_backend_pid()"
    async with AsyncExitStack() as stack:
        caching = await stack.enter_async_context(await open_soon(bouncer[0], statement_cache=True))
        others = await stack.enter_async_context(await open_soon(bouncer[0], statement_cache=False))
        home = await caching.fetchval(server)  # where the statement is kept
        first = await stack.enter_async_context(AsyncExitStack())
        tx = await first.enter_async_context(others.transaction())
        if await tx.fetchval(server) != home:  # then the next one of the two is home: occupy it, and free the other
            await stack.enter_async_context(others.transaction())
            await first.aclose()
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await caching.fetchval(server)


def locked(fn: Callable[[Transaction], Awaitable[None]], table: str) -> Callable[[Transaction], Awaitable[None]]:
    async def inner(tx: Transaction) -> None:
        await tx.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        await fn(tx)

    return inner
