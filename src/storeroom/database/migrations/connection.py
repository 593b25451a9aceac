"""The connection of a run, the lock that it holds, and how its steps run: in a transaction, or alone."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg

from storeroom.database.connecting import CONNECT_TIMEOUT_S
from storeroom.database.errors import DRIVER_ERRORS, raise_translated
from storeroom.database.migrations.errors import MigrationBlocked, MigrationFailed

LOCK_KEY: Final = 0x53544F5245524F4D  # "STOREROM": one run per database at a time
LOCK_WAIT_S: Final = 600.0
LOCK_POLL_S: Final = 0.1
TABLE_LOCK_WAIT_S: Final = 30  # a migration waits so long for a lock on a table, and lets the shop go on

_COMMENT: Final = re.compile(r"--[^\n]*")
_CONCURRENTLY: Final = re.compile(r"\s*(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE)
_INDEX_MADE: Final = re.compile(
    r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(\S+)", re.IGNORECASE
)


@asynccontextmanager
async def connected(database: "str | asyncpg.Connection[Any]") -> "AsyncIterator[asyncpg.Connection[Any]]":
    """The connection that is given, or one of its own for the time of a run."""
    if not isinstance(database, str):
        yield database
        return
    try:
        connection = await asyncpg.connect(database, timeout=CONNECT_TIMEOUT_S, statement_cache_size=0)
    except DRIVER_ERRORS as error:
        raise_translated(error)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def locked(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Hold the lock of the run. Asked for again and again instead of waited for.

    A waiting statement has a snapshot, and CREATE INDEX CONCURRENTLY of the one who holds the lock waits for all of
    those: the two would wait for each other.
    """
    give_up = time.monotonic() + LOCK_WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if time.monotonic() >= give_up:
            raise MigrationBlocked(name="another migrate", waited_s=LOCK_WAIT_S)
        await asyncio.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(f"SELECT pg_advisory_unlock({LOCK_KEY})")


@asynccontextmanager
async def in_transaction(connection: "asyncpg.Connection[Any]", name: str, sql: str) -> AsyncIterator[None]:
    """One step as one transaction. Raises MigrationBlocked, MigrationFailed."""
    with failing(name, sql):
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{TABLE_LOCK_WAIT_S}s'")
            yield


async def alone(connection: "asyncpg.Connection[Any]", statement: str) -> None:
    """Run one statement as a transaction of its own.

    One that locks a table waits for it no longer than in a transaction: who came after it would wait behind. What is
    done CONCURRENTLY waits for others by its nature, and nobody waits for it; an index that a broken run of it has
    left behind invalid is made anew.
    """
    text = _COMMENT.sub("", statement)
    made = _INDEX_MADE.match(text)
    if made is not None and await connection.fetchval(
        "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", made[1]
    ):
        await connection.execute(f"DROP INDEX CONCURRENTLY {made[1]}")
    if _CONCURRENTLY.match(text):
        await connection.execute(statement)
        return
    await connection.execute(f"SET lock_timeout = '{TABLE_LOCK_WAIT_S}s'")
    try:
        await connection.execute(statement)
    finally:
        await connection.execute("RESET lock_timeout")


@contextmanager
def failing(name: str, sql: str) -> Iterator[None]:
    """Say of what PostgreSQL refuses where it stands. Raises MigrationBlocked, MigrationFailed."""
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise MigrationBlocked(name=name, waited_s=TABLE_LOCK_WAIT_S) from error
    except asyncpg.PostgresError as error:
        position = getattr(error, "position", None)
        line = sql.count("\n", 0, int(position)) + 1 if position else None
        detail = getattr(error, "detail", None)
        raise MigrationFailed(name=name, reason=f"{error} ({detail})" if detail else str(error), line=line) from error
