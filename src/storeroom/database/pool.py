"""The pool of connections and transactions on it: all that speaks to PostgreSQL while the shop runs.

Nothing here keeps state in a session. A connection given back is therefore not reset (one round trip less per call),
and PgBouncer in transaction mode may stand between: `statement_cache=False`, and a direct DSN to listen and migrate.
"""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from typing_extensions import override

from storeroom.database.connecting import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, prepare_connection
from storeroom.database.errors import (
    DRIVER_ERRORS,
    Contended,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseUnavailable,
    RoleUnusable,
    commit_failed,
    lost_to_a_rival,
    raise_translated,
    translated,
)
from storeroom.database.listening import Listener
from storeroom.database.names import TableNames

POOL_SIZE_MIN: Final = 1
POOL_SIZE_MAX: Final = 8
ACQUIRE_TIMEOUT_S: Final = 30.0  # a caller waits so long for a free connection
CLOSE_TIMEOUT_S: Final = 10.0  # then connections still in use are cut
STATEMENTS_CACHED_MAX: Final = 1024  # a connection; every named statement of the package fits
SPARE_S: Final = 60.0  # so often idle connections pass through asyncpg's pool
ATTEMPTS_MAX: Final = 5
ATTEMPTS_DEFAULT: Final = 3
COMMIT_FAILURES_MAX: Final = 1  # how often "could not commit transaction" (Citus) is tried again
RETRY_WAIT_S: Final = 0.01  # doubled each time, and up to as much again by chance
APP_ROLE: Final = "storeroom_app"

Isolation = Literal["read_committed", "repeatable_read", "serializable"]
R = TypeVar("R")
_Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_log = logging.getLogger(__name__)
_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]*")

# While a server is away the pool's own task logs a traceback at every try; each call reports the same by its error.
logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)


async def _keep_session(_: object) -> None:
    """Instead of asyncpg's reset, which costs a round trip per call; there is nothing of a session to reset."""


def caches_statements(environment: Mapping[str, str]) -> bool:
    """False where STOREROOM_STATEMENT_CACHE is off: PgBouncer pools transactions before the server."""
    return environment.get("STOREROOM_STATEMENT_CACHE", "on").strip().lower() not in {"off", "false", "no", "0"}


class Transaction:
    """An Executor whose statements commit or roll back together. Made by `Database.transaction` and `Database.run`.

    One statement at a time: a connection has no room for two.
    """

    __slots__ = ("_after_commit", "_connection", "_database")

    def __init__(self, database: "Database", connection: _Connection) -> None:
        self._database = database
        self._connection = connection
        self._after_commit: dict[Callable[[], None], None] = {}

    @property
    def names(self) -> TableNames:
        """What `{orders}` is called here."""
        return self._database.names

    @property
    def database(self) -> "Database":
        """The handle this transaction was opened on."""
        return self._database

    async def fetch(self, sql: str, /, *args: object) -> list[asyncpg.Record]:
        """All rows."""
        try:
            return await self._connection.fetch(sql, *args)
        except DRIVER_ERRORS as error:
            raise_translated(error)

    async def fetchrow(self, sql: str, /, *args: object) -> asyncpg.Record | None:
        """The first row, or None."""
        try:
            return await self._connection.fetchrow(sql, *args)
        except DRIVER_ERRORS as error:
            raise_translated(error)

    async def fetchval(self, sql: str, /, *args: object) -> Any:
        """The first column of the first row; None where there is no row."""
        try:
            return await self._connection.fetchval(sql, *args)
        except DRIVER_ERRORS as error:
            raise_translated(error)

    async def execute(self, sql: str, /, *args: object) -> str:
        """The status, such as `UPDATE 3`."""
        try:
            return await self._connection.execute(sql, *args)
        except DRIVER_ERRORS as error:
            raise_translated(error)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """A savepoint: what fails inside is undone alone, with the hooks that were asked for there."""
        inner = Transaction(self._database, self._connection)
        begun = await _start(self._connection)
        try:
            yield inner
        except BaseException:
            await _roll_back(begun)
            raise
        await _commit(begun)
        self._after_commit.update(inner._after_commit)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call once when, and only when, the whole transaction has committed; the same callback counts once.

        An error in it is logged and kept from the caller, whose rows are committed.
        """
        self._after_commit[callback] = None

    def committed(self) -> None:
        """Call the hooks. Only the Database calls this."""
        for callback in self._after_commit:
            try:
                callback()
            except Exception:  # noqa: BLE001 - the rows are committed, and the caller has to hear that
                _log.exception("after-commit callback failed")


class Database:
    """A pool of connections to one database, and the Executor for statements that need no transaction."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        names: TableNames,
        direct_dsn: str,
        statement_cache: bool,
        acquire_timeout_s: float = ACQUIRE_TIMEOUT_S,
    ) -> None:
        """Use `Database.open`."""
        self.names = names
        self.statement_cache = statement_cache
        self.direct_dsn = direct_dsn
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._listeners: set[Listener] = set()
        self._spare: list[_Connection] = []  # idle and healthy, the one used last at the end
        self._waiting = 0  # calls that ask the pool for a connection
        self._tidying: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        names: TableNames | None = None,
        min_size: int = POOL_SIZE_MIN,
        max_size: int = POOL_SIZE_MAX,
        statement_cache: bool = True,
        role: str | None = APP_ROLE,
        direct_dsn: str | None = None,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
        acquire_timeout_s: float = ACQUIRE_TIMEOUT_S,
    ) -> "Database":
        """Connect `min_size` times and return the handle.

        Args:
            dsn: where PostgreSQL, or a pooler before it, answers; several hosts may be listed.
            names: what the tables are called here.
            min_size: connections kept open; the pool restores them after the server was away.
            max_size: connections at most.
            statement_cache: False where PgBouncer pools transactions: no prepared statements are kept, and no role is
                set; there the login must inherit the rights of storeroom_app.
            role: the role to work as; None stays the login.
            direct_dsn: past the pooler, for `listen`; where there is no pooler, `dsn` itself.
            command_timeout_s: for each statement.
            acquire_timeout_s: how long a caller waits for a free connection.

        Raises:
            DatabaseUnavailable: nothing answers there.
            DatabaseRefused: the server lets us not in.
            RoleUnusable: the database was never migrated, or the login is no member of the role.
        """
        if role is not None and not _ROLE.fullmatch(role):
            raise RoleUnusable(role=role, reason="not a plain identifier")
        set_role = f"SET ROLE {role}" if role is not None and statement_cache else None

        async def init(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
            await prepare_connection(connection)
            if set_role is not None:
                try:
                    await connection.execute(set_role)
                except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
                    raise RoleUnusable(role=str(role), reason=str(error)) from error

        async with AsyncExitStack() as undo:
            try:
                pool = asyncpg.create_pool(
                    dsn,
                    min_size=min_size,
                    max_size=max_size,
                    init=init,
                    reset=_keep_session,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=command_timeout_s,
                    statement_cache_size=STATEMENTS_CACHED_MAX if statement_cache else 0,
                    max_cached_statement_lifetime=0,
                )
                undo.callback(pool.terminate)
                await pool
            except DRIVER_ERRORS as error:
                raise_translated(error)
            undo.pop_all()
        return cls(
            pool,
            names=names or TableNames(),
            direct_dsn=direct_dsn or dsn,
            statement_cache=statement_cache,
            acquire_timeout_s=acquire_timeout_s,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what runs, at most CLOSE_TIMEOUT_S, then cut it. Closing twice is closing once."""
        if self._closed:
            return
        self._closed = True
        for listener in list(self._listeners):
            await listener.close()
        tidying, self._tidying = self._tidying, None
        if tidying is not None:
            tidying.cancel()
            await asyncio.gather(tidying, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._release_spare()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def share(self) -> "Database":
        """Another handle on this pool, to be closed by itself: what it served is refused from then on, the pool stays.

        stock, discounts = Storeroom(db.share()), Storeroom(db.share())
        await stock.close()  # discounts goes on; db.close() frees the connections of both
        """
        return _Share(self)

    @property
    def closed(self) -> bool:
        """True from the moment `close` was called."""
        return self._closed

    @property
    def size(self) -> int:
        """Connections open now."""
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        """Connections open now that nobody uses."""
        return self._pool.get_idle_size() + sum(not _lost(connection) for connection in self._spare)

    async def fetch(self, sql: str, /, *args: object) -> list[asyncpg.Record]:
        """All rows."""
        rows: list[asyncpg.Record] = await self._once(PoolConnectionProxy.fetch, sql, args)
        return rows

    async def fetchrow(self, sql: str, /, *args: object) -> asyncpg.Record | None:
        """The first row, or None."""
        row: asyncpg.Record | None = await self._once(PoolConnectionProxy.fetchrow, sql, args)
        return row

    async def fetchval(self, sql: str, /, *args: object) -> Any:
        """The first column of the first row; None where there is no row."""
        return await self._once(PoolConnectionProxy.fetchval, sql, args)

    async def execute(self, sql: str, /, *args: object) -> str:
        """The status, such as `UPDATE 3`."""
        status: str = await self._once(PoolConnectionProxy.execute, sql, args)
        return status

    async def _once(self, call: Callable[..., Awaitable[Any]], sql: str, args: tuple[object, ...]) -> Any:
        connection = await self._acquire()
        try:
            result = await call(connection, sql, *args)
        except DRIVER_ERRORS as error:
            await self._release(connection)
            raise_translated(error)
        except BaseException:
            await self._release(connection)
            raise
        await self._put_by(connection)
        return result

    @asynccontextmanager
    async def transaction(self, *, isolation: Isolation = "read_committed") -> AsyncIterator[Transaction]:
        """One transaction: committed at the end of the block, rolled back by any exception in it.

        It is never retried, since the block cannot be run again; `run` is what retries.
        """
        connection, begun = await self._begin(isolation)
        try:
            tx = Transaction(self, connection)
            try:
                yield tx
            except BaseException:
                await _roll_back(begun)
                raise
            await _commit(begun)
        except BaseException:
            await self._release(connection)
            raise
        await self._put_by(connection)
        tx.committed()

    async def run(
        self,
        fn: Callable[[Transaction], Awaitable[R]],
        *,
        attempts: int = ATTEMPTS_DEFAULT,
        isolation: Isolation = "read_committed",
    ) -> R:
        """`fn(tx)` in a transaction, run again where it lost to a rival (serialization failure, deadlock).

        Args:
            fn: may run several times; what it does outside of `tx` it does each time.
            attempts: 1 to ATTEMPTS_MAX.
            isolation: of the transaction.

        Raises:
            Contended: the last attempt lost as well. Nothing was written.
        """
        attempts = min(max(attempts, 1), ATTEMPTS_MAX)
        commit_failures, attempt = 0, 1
        while True:
            try:
                async with self.transaction(isolation=isolation) as tx:
                    return await fn(tx)
            except asyncpg.PostgresError as error:
                commit_failures += commit_failed(error)
                if not lost_to_a_rival(error):
                    raise
                if attempt >= attempts or commit_failures > COMMIT_FAILURES_MAX:
                    raise Contended(attempts=attempt, reason=str(error)) from error
            await asyncio.sleep(RETRY_WAIT_S * 2 ** (attempt - 1) * (1 + random.random()))  # noqa: S311 - jitter
            attempt += 1

    async def listen(self, channel: str, callback: Callable[[str], None]) -> "Listener":
        """Call back with the payload of each NOTIFY on the channel, on a connection of its own.

        When the connection was lost and is back, the callback gets an empty payload: whatever was sent meanwhile is
        lost, so look for yourself.

        Raises:
            DatabaseUnavailable: the first connection failed. Later ones are tried until `Listener.close`.
        """
        if self._closed:
            raise DatabaseClosed
        listener = Listener(self.direct_dsn, channel, callback, forget=self._listeners.discard)
        await listener.start()
        self._listeners.add(listener)
        return listener

    async def _acquire(self) -> _Connection:
        if self._closed:
            raise DatabaseClosed
        while self._spare:
            connection = self._spare.pop()
            if not _lost(connection):
                return connection
            await self._release(connection)
        limit = asyncio.timeout(self._acquire_timeout_s)
        self._waiting += 1
        try:
            async with limit:
                return await self._pool.acquire()
        except DRIVER_ERRORS as error:
            if self._closed:
                raise DatabaseClosed from error
            if isinstance(error, TimeoutError) and limit.expired():
                raise DatabaseBusy(waited_s=self._acquire_timeout_s, pool_size=self._pool.get_max_size()) from error
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable(reason=f"no connection within {CONNECT_TIMEOUT_S:g} s") from error
            raise_translated(error)
        finally:
            self._waiting -= 1

    async def _put_by(self, connection: _Connection) -> None:
        """Have a connection that is as good as new ready for the next call.

        Through asyncpg's pool it would take a task and two timers more, half of what a short call costs. Whoever waits
        for a connection waits there, so then it goes there; and once in SPARE_S all that are idle do, because the pool
        closes those that are worn out or not needed.
        """
        if self._waiting or self._closed or connection.is_in_transaction():
            await self._release(connection)
            return
        self._spare.append(connection)
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy(), name="tidy the pool")

    async def _tidy(self) -> None:
        while self._spare:
            await asyncio.sleep(SPARE_S)
            await self._release_spare()
        self._tidying = None

    async def _release_spare(self) -> None:
        while self._spare:
            await self._release(self._spare.pop())

    async def _begin(self, isolation: Isolation) -> "tuple[_Connection, asyncpg.transaction.Transaction]":
        for last in (False, True):
            connection = await self._acquire()
            try:
                return connection, await _start(connection, isolation)
            except BaseException as error:
                await self._release(connection)
                # An idle connection may be to a server that is gone. BEGIN is the first thing sent: safe to try again.
                if last or not isinstance(error, DatabaseUnavailable):
                    raise
        raise AssertionError

    async def _release(self, connection: _Connection) -> None:
        try:
            await self._pool.release(connection)
        except DRIVER_ERRORS as error:  # it was lost in use: the pool has dropped it, the caller knows from the call
            if not isinstance(translated(error), DatabaseUnavailable) and not self._closed:
                raise


class _Share(Database):
    """A handle on the pool of another one."""

    def __init__(self, owner: Database) -> None:
        self.names = owner.names
        self.statement_cache = owner.statement_cache
        self.direct_dsn = owner.direct_dsn
        self._owner = owner
        self._listeners = set()
        self._closed = False

    @override
    async def close(self) -> None:
        """What runs may finish. Closing twice is closing once."""
        self._closed = True
        for listener in list(self._listeners):
            await listener.close()

    @property
    @override
    def size(self) -> int:
        return self._owner.size

    @property
    @override
    def idle(self) -> int:
        return self._owner.idle

    @override
    async def _acquire(self) -> _Connection:
        if self._closed:
            raise DatabaseClosed
        return await self._owner._acquire()  # noqa: SLF001 - one handle's connections are the other's

    @override
    async def _put_by(self, connection: _Connection) -> None:
        await self._owner._put_by(connection)  # noqa: SLF001

    @override
    async def _release(self, connection: _Connection) -> None:
        await self._owner._release(connection)  # noqa: SLF001


def _lost(connection: _Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back already
        return True


async def _start(connection: _Connection, isolation: Isolation | None = None) -> "asyncpg.transaction.Transaction":
    """Begin a transaction, or a savepoint where one is open."""
    begun = connection.transaction(isolation=isolation)
    try:
        await begun.start()
    except DRIVER_ERRORS as error:
        raise_translated(error)
    return begun


async def _commit(begun: "asyncpg.transaction.Transaction") -> None:
    try:
        await begun.commit()
    except DRIVER_ERRORS as error:
        raise_translated(error)


async def _roll_back(begun: "asyncpg.transaction.Transaction") -> None:
    try:
        await begun.rollback()
    except DRIVER_ERRORS:  # a lost connection rolls back by itself, and the first error is the one to hear
        _log.debug("rollback failed", exc_info=True)
