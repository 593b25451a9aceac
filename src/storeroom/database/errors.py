"""What can go wrong between us and PostgreSQL, as typed errors, and violated constraints by their names.

An integrity error passes through the executors unchanged: only the slice knows what it means. A slice says so with
`violations`; everything about the connection is translated here, once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn

import asyncpg

from storeroom.core.errors import Misconfigured, StoreroomError, Unavailable
from storeroom.database.names import TableNames


class DatabaseUnavailable(Unavailable):
    """No connection, or it broke in the middle; whether an open commit took place is unknown."""

    code, transient = "database.unavailable", True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the database does not answer: {reason}")
        self.reason = reason


class DatabaseTimeout(Unavailable):
    """One statement took longer than it may."""

    code, transient = "database.timeout", True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the database took too long: {reason}")
        self.reason = reason


class DatabaseBusy(Unavailable):
    """Every connection of the pool was in use for as long as a caller waits."""

    code, transient = "database.busy", True

    def __init__(self, *, waited_s: float, pool_size: int) -> None:
        super().__init__(f"none of the {pool_size} connections became free within {waited_s:g} s")
        self.waited_s, self.pool_size = waited_s, pool_size


class Contended(Unavailable):
    """Every attempt of a transaction lost against a rival; nothing was written."""

    code, transient = "database.contended", True

    def __init__(self, *, attempts: int, reason: str) -> None:
        super().__init__(f"given up after {attempts} attempts: {reason}")
        self.attempts, self.reason = attempts, reason


class DatabaseClosed(Unavailable):
    """The handle was closed by this process; the same call can not succeed later."""

    code, transient = "database.closed", False

    def __init__(self) -> None:
        super().__init__("this database handle is closed; open another one")


class DatabaseRefused(Misconfigured):
    """The server answers and lets us not in: password, database, or right to connect."""

    code = "database.refused"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the database refuses the connection: {reason}")
        self.reason = reason


class RoleUnusable(Misconfigured):
    """The login can not work as the role of the service: never migrated, or not a member."""

    code = "database.role_unusable"

    def __init__(self, *, role: str, reason: str) -> None:
        super().__init__(
            f"cannot work as the role {role}: {reason}. "
            f"`storeroom db migrate` makes the role; a login of its own also needs: GRANT {role} TO <login>"
        )
        self.role, self.reason = role, reason


_UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,  # class 08, ConnectionDoesNotExistError among them
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # the server we write to has become a standby
    asyncpg.InternalClientError,  # "cannot switch to state 11": seen once when a server died
    asyncpg.TargetServerAttributeNotMatched,
)
_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
_GONE: Final = re.compile(r"connection (?:is closed|has been released|was closed)|underlying connection is closed")

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a call into the driver raises that `translated` may know."""


def translated(error: Exception) -> Exception:
    """Our own error for a failure of the connection; any other comes back as it is.

    Give it only what a call into the driver raised: an OSError of other making would be mistaken for a lost server.
    """
    reason = str(error) or type(error).__name__
    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
        return DatabaseTimeout(reason=reason)
    if isinstance(error, _REFUSED):
        return DatabaseRefused(reason=reason)
    if isinstance(error, (*_UNAVAILABLE, OSError)):
        return DatabaseUnavailable(reason=reason)
    if isinstance(error, asyncpg.InterfaceError) and _GONE.search(reason):
        return DatabaseUnavailable(reason=reason)
    return error


def raise_translated(error: Exception) -> NoReturn:
    """Raise what `translated` gives."""
    ours = translated(error)
    if ours is error:
        raise error
    raise ours from error


def lost_to_a_rival(error: BaseException) -> bool:
    """True where the same transaction, run again, may well succeed: nothing of it was kept."""
    if isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError):
        return True
    if isinstance(error, asyncpg.InvalidCachedStatementError):  # a migration changed a table under a kept statement
        return True
    return commit_failed(error)


def commit_failed(error: BaseException) -> bool:
    """Citus hides what failed at COMMIT behind XX000; the real reason is only in a warning."""
    return isinstance(error, asyncpg.InternalServerError) and "could not commit transaction" in str(error)


_CONSTRAINT: Final = re.compile(r'constraint "(.+?)(?:_\d{6,})?"')


def constraint_of(error: asyncpg.PostgresError, names: TableNames | None = None) -> str | None:
    """The name of the violated constraint as our sources write it, or None where there is none.

    On Citus the diagnostics are empty and the message carries the shard's name (`orders_number_unique_102070`), which
    is why no constraint of ours ends in digits.
    """
    found = getattr(error, "constraint_name", None)
    if not found:
        match = _CONSTRAINT.search(str(error))
        if match is None:
            return None
        found = match.group(1)
    return names.original(found) if names is not None else str(found)


@contextmanager
def violations(meanings: Mapping[str, Callable[[], StoreroomError]], names: TableNames | None = None) -> Iterator[None]:
    """Raise the slice's own error where one of the named constraints is violated.

        with violations({"products_slug_unique": lambda: SlugTaken(slug=slug)}):
            await queries.add_product(self.db, ...)

    Args:
        meanings: by constraint; only the violated one's error is made.
        names: how tables are named here. Without them a constraint is also known behind any prefix.
    """
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        violated = constraint_of(error, names)
        if violated is None:
            raise
        meaning = meanings.get(violated)
        if meaning is None and names is None:
            behind_prefix = [name for name in meanings if violated.endswith(name)]
            meaning = meanings[max(behind_prefix, key=len)] if behind_prefix else None
        if meaning is None:
            raise
        raise meaning() from error


@contextmanager
def foreign_key_violated(meaning: Callable[[], StoreroomError]) -> Iterator[None]:
    """Raise the slice's own error where a row is still referred to, by whichever table: later rooms may add theirs."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        raise meaning() from error
