"""Brings a database to the schema of this release, and says how far one is.

`migrations/NNNN_name.sql` run once each, in order, every one in its own transaction, and are never edited afterwards.
Then every `functions.sql` of the slices: `CREATE FUNCTION {place_orders_v1}` is made once and frozen as well, a change
is `_v2`; what a document gives a name without a version is written `CREATE OR REPLACE FUNCTION` and follows its text.
Roles come before (`roles.sql`), rights after (`access.sql`).

A migration whose first lines say `-- transaction: none` (CREATE INDEX CONCURRENTLY) runs statement by statement. It may
stop halfway and begins again from the top, so each of its statements must bear that; it holds no dollar quotes.
"""

import asyncio
import hashlib
import itertools
import random
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, NoReturn, cast

import asyncpg
import msgspec

from storeroom.core.errors import Misconfigured, Unavailable
from storeroom.database.access import CUSTOMER_READS, CUSTOMER_ROLE, CUSTOMER_VIEWS
from storeroom.database.errors import DRIVER_ERRORS, raise_translated
from storeroom.database.executor import Executor
from storeroom.database.names import InvalidTableName, TableNames
from storeroom.database.pool import APP_ROLE, CONNECT_TIMEOUT_S, RETRY_WAIT_S

OWNER_ROLE: Final = "storeroom_owner"
ROLES: Final = (OWNER_ROLE, APP_ROLE, "storeroom_tenant", CUSTOMER_ROLE)
LOCK_KEY: Final = 0x53544F5245524F4D  # "STOREROM": one run per database at a time
LOCK_WAIT_S: Final = 600.0
LOCK_POLL_S: Final = 0.1
TABLE_LOCK_WAIT_S: Final = 30  # a migration waits so long for a lock on a table, and lets the shop go on
ROLE_ATTEMPTS_MAX: Final = 20

# The one place that says which rows are history. The service may add to these tables and read them.
APPEND_ONLY: Final = frozenset({
    "audit_logs", "audit_seals", "order_history", "order_status_history", "order_stage_events", "payment_attempts",
    "stock_movements", "payment_signatures", "payment_transactions_archive",
    "store_credit_entries",
    "payment_transactions", "order_discounts", "fulfillment_status_history", "inbox_message_attempts",
    "guest_user_audits", "invoice_audits", "consent_changes", "subscription_history",
})  # fmt: skip
NEVER_DELETED: Final = frozenset({
    "orders", "payments", "refunds", "users", "tenants", "coupons", "coupon_redemptions", "subscriptions",
    "subscription_payments",
})  # fmt: skip
RUNNERS_OWN: Final = frozenset({"schema_functions", "schema_migrations"})
TENANT_READS: Final = frozenset({"tenants"})  # nobody lifts his own suspension

_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_NO_TRANSACTION: Final = re.compile(r"^--\s*transaction:\s*none\s*$", re.MULTILINE)
_FUNCTION: Final = re.compile(
    r"^CREATE(?P<replace> OR REPLACE)? (?:FUNCTION|PROCEDURE) \{(?P<name>\w+)\}", re.MULTILINE
)
_FUNCTION_LOOSE: Final = re.compile(
    r"^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.MULTILINE | re.IGNORECASE
)
_VERSIONED: Final = re.compile(r".*_v[1-9][0-9]*")
_TABLE: Final = re.compile(r"\bCREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?\{(\w+)\}|\bRENAME TO \{(\w+)\}")
_VIEW: Final = re.compile(r"\bCREATE (?:OR REPLACE )?(?:MATERIALIZED )?VIEW (?:IF NOT EXISTS )?\{(\w+)\}")
_BRACED: Final = re.compile(r"\{([a-z_]\w*)\}")
_STATEMENT_END: Final = re.compile(r";[ \t]*(?:--[^\n]*)?(?:\n|$)")
_COMMENT: Final = re.compile(r"--[^\n]*")
_CONCURRENTLY: Final = re.compile(r"\s*(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE)
_INDEX_MADE: Final = re.compile(
    r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(\S+)", re.IGNORECASE
)
_TRAILING_COMMENTS: Final = re.compile(r"(?:\s*--[^\n]*)*\s*\Z")

BOOTSTRAP: Final = """
CREATE TABLE IF NOT EXISTS {schema_migrations} (
    version      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    checksum     TEXT NOT NULL,
    duration     INTERVAL NOT NULL,
    applied_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {schema_migrations_pkey} PRIMARY KEY (version)
);
CREATE TABLE IF NOT EXISTS {schema_functions} (
    name         TEXT NOT NULL,
    checksum     TEXT NOT NULL,
    applied_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {schema_functions_pkey} PRIMARY KEY (name)
);
"""


class MigrationEdited(Misconfigured):
    """A migration that this database has already run reads differently now."""

    code = "database.migration_edited"

    def __init__(self, *, version: int, name: str) -> None:
        super().__init__(
            f"migration {version:04} ({name}) was edited after it ran here; restore its text and write the change as a "
            "migration of its own"
        )
        self.version, self.name = version, name


class MigrationMissing(Misconfigured):
    """A number is missing between the migrations, or a file is no migration at all."""

    code = "database.migration_missing"

    def __init__(self, *, version: int, reason: str) -> None:
        super().__init__(f"migration {version:04}: {reason}")
        self.version, self.reason = version, reason


class MigrationFailed(Misconfigured):
    """PostgreSQL refused a migration or a function; the ones before it are applied, this one is not."""

    code = "database.migration_failed"

    def __init__(self, *, name: str, reason: str, line: int | None) -> None:
        super().__init__(f"{name}{f', line {line}' if line else ''}: {reason}")
        self.name, self.reason, self.line = name, reason, line


class MigrationBlocked(Unavailable):
    """Another migration, or a long transaction on a table, did not make way in time. Nothing was changed."""

    code, transient = "database.migration_blocked", True

    def __init__(self, *, name: str, waited_s: float) -> None:
        super().__init__(f"{name}: waited {waited_s:g} s for its lock; try again when the database is quieter")
        self.name, self.waited_s = name, waited_s


class DatabaseNewer(Misconfigured):
    """The database was migrated by a later release than this one."""

    code = "database.newer"

    def __init__(self, *, database: int, newest: int) -> None:
        super().__init__(f"the database is at migration {database:04}, this release knows {newest:04}; run a later one")
        self.database, self.newest = database, newest


class NotMigrated(Misconfigured):
    """The database lacks migrations or functions of this release."""

    code = "database.not_migrated"

    def __init__(self, *, missing: list[str]) -> None:
        super().__init__(f"the database lacks {', '.join(missing)}; run: storeroom db migrate")
        self.missing = missing


class FunctionEdited(Misconfigured):
    """A released function reads differently from what this database runs."""

    code = "database.function_edited"

    def __init__(self, *, name: str) -> None:
        stem, _, number = name.rpartition("_v")
        successor = f"{stem}_v{int(number) + 1}" if number.isdigit() else f"{name}_v2"
        super().__init__(f"{name} is released and frozen, yet its text was edited; restore it and make it {successor}")
        self.name, self.successor = name, successor


class FunctionFileInvalid(Misconfigured):
    """A functions.sql cannot be taken apart."""

    code = "database.function_file_invalid"

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = file, reason


class RolesMissing(Misconfigured):
    """The login may not make the roles, or use them; `statements` are what a superuser has to run once."""

    code = "database.roles_missing"

    def __init__(self, *, login: str, statements: list[str], reason: str) -> None:
        script = "\n".join(f"    {statement};" for statement in statements)
        super().__init__(
            f"{login} cannot set up the roles ({reason}). Let a superuser run, in this database:\n{script}"
        )
        self.login, self.statements, self.reason = login, statements, reason


class ExtensionMissing(Misconfigured):
    """pg_trgm is not there and cannot be made; search needs it."""

    code = "database.extension_missing"

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"the extension pg_trgm is missing ({reason}). Install PostgreSQL's contrib package if need be, and let a "
            "superuser run, in this database: CREATE EXTENSION pg_trgm"
        )
        self.reason = reason


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file of `migrations/`."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text as it is in the file, whatever the tables are called here."""
        return _checksum(self.text)

    @property
    def in_transaction(self) -> bool:
        """False where its header says `-- transaction: none`."""
        return _NO_TRANSACTION.search(self.text[:2000]) is None


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a `functions.sql`, from its CREATE to the comment before the next."""

    name: str
    text: str
    file: str
    replaceable: bool

    @property
    def checksum(self) -> str:
        """Of the text as it is in the file."""
        return _checksum(self.text)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a release consists of for the database."""

    migrations: tuple[Migration, ...]
    functions: tuple[Function, ...] = ()

    @classmethod
    def read(cls, root: Traversable) -> "Sources":
        """Take `migrations/*.sql` and `*/functions.sql` below a folder.

        Raises:
            MigrationMissing: the numbers have a gap, or one is there twice.
            FunctionFileInvalid: a functions.sql is not a list of CREATE FUNCTION statements, or a name comes twice.
        """
        migrations = sorted(_migrations(root / "migrations"), key=lambda m: m.version)
        for place, migration in enumerate(migrations, start=1):
            if migration.version != place:
                twice = migration.version < place
                raise MigrationMissing(
                    version=migration.version if twice else place,
                    reason="two files have this number" if twice else "there is no such file, but there are later ones",
                )
        functions: list[Function] = []
        for folder in sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name):
            source = folder / "functions.sql"
            if source.is_file():
                functions.extend(_functions(source.read_text(encoding="utf-8"), f"{folder.name}/functions.sql"))
        seen: dict[str, str] = {}
        for function in functions:
            if seen.setdefault(function.name, function.file) != function.file or (
                sum(other.name == function.name for other in functions) > 1
            ):
                raise FunctionFileInvalid(file=function.file, reason=f"{function.name} is defined twice")
        return cls(migrations=tuple(migrations), functions=tuple(functions))

    @classmethod
    def packaged(cls) -> "Sources":
        """Those of this release."""
        return _packaged()

    @property
    def newest(self) -> int:
        """The number of the last migration; 0 where there is none."""
        return self.migrations[-1].version if self.migrations else 0

    def tables(self) -> frozenset[str]:
        """Every table they make, by the name in braces."""
        found = (a or b for m in self.migrations for a, b in _TABLE.findall(m.text))
        return frozenset(found) | RUNNERS_OWN

    def views(self) -> frozenset[str]:
        """Every view they make."""
        return frozenset(name for m in self.migrations for name in _VIEW.findall(m.text))

    def names(self) -> frozenset[str]:
        """Everything that they write in braces, so all that may be called otherwise."""
        texts = [BOOTSTRAP, *(m.text for m in self.migrations), *(f.text for f in self.functions)]
        return frozenset(name for text in texts for name in _BRACED.findall(text))

    def function_names(self) -> frozenset[str]:
        """Every function they make, in migrations too."""
        early = {match["name"] for m in self.migrations for match in _FUNCTION.finditer(m.text)}
        return frozenset(early | {function.name for function in self.functions})


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done, or one had done before."""

    kind: str  # "migration" or "function"
    name: str
    version: int | None  # None for functions
    duration: timedelta
    applied_at: datetime


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How far a database is, compared with this release."""

    applied: list[Applied]
    pending: list[str]  # migrations and functions that `migrate` would run, in its order
    edited: list[str]  # applied ones whose text is another now
    database: int  # the last migration applied; 0 for none
    newest: int  # the last migration this release knows

    @property
    def up_to_date(self) -> bool:
        """True where there is nothing to do and nothing wrong."""
        return not self.pending and not self.edited and self.database == self.newest


async def migrate(
    database: "str | asyncpg.Connection[Any]",
    *,
    names: TableNames | None = None,
    target: int | None = None,
    sources: Sources | None = None,
) -> list[Applied]:
    """Run what is missing and return it, in order. A second one waits for the first and then finds nothing to do.

    Args:
        database: a DSN or an open connection of a login that may make tables; never through a pooler, since the lock
            belongs to the session.
        names: what the tables are called here.
        target: stop after this migration; functions, which may need later ones, are then left out.
        sources: another set of migrations than this release's.

    Raises:
        MigrationEdited, FunctionEdited, MigrationMissing, DatabaseNewer: nothing was changed.
        RolesMissing, ExtensionMissing: a superuser has to act once; nothing was changed.
        MigrationFailed, MigrationBlocked: those before it are applied.
        InvalidTableName: a name is given to a table that does not exist; nothing was changed.
    """
    names, sources = names or TableNames(), sources or Sources.packaged()
    _check_names(names, sources)
    async with _connected(database) as connection, _locked(connection):
        await _make_roles(connection)
        await _make_extension(connection)
        await connection.execute(f"SET ROLE {OWNER_ROLE}")
        try:
            await connection.execute(names.render(BOOTSTRAP))
            known = await _known(connection, names)
            _check(known, sources)
            done = await _run_migrations(connection, names, sources, known, target)
            if target is None or target >= sources.newest:
                done += await _run_functions(connection, names, sources, known)
            await _give_access(connection, names, sources)
        finally:
            if not connection.is_closed():
                await connection.execute("RESET ROLE")
    return done


async def status(
    database: "str | asyncpg.Connection[Any]", *, names: TableNames | None = None, sources: Sources | None = None
) -> Status:
    """Compare a database with this release; changes nothing."""
    names, sources = names or TableNames(), sources or Sources.packaged()
    async with _connected(database) as connection:
        known = await _known(connection, names)
    applied = [
        Applied(kind="migration", name=row["name"], version=v, duration=row["duration"], applied_at=row["applied_at"])
        for v, row in known.migrations.items()
    ]
    applied += [
        Applied(kind="function", name=n, version=None, duration=timedelta(), applied_at=row["applied_at"])
        for n, row in known.functions.items()
    ]
    return Status(
        applied=applied,
        pending=known.missing(sources),
        edited=[edited.name for edited in known.edited(sources)],
        database=known.version,
        newest=sources.newest,
    )


async def require_migrated(db: Executor, *, sources: Sources | None = None) -> None:
    """Refuse to work on a database that is not of this release; a server asks once, when it starts.

    Raises:
        NotMigrated: says what is missing.
        DatabaseNewer, MigrationEdited, FunctionEdited, InvalidTableName: as `migrate`.
    """
    sources = sources or Sources.packaged()
    _check_names(db.names, sources)
    known = await _known(db, db.names)
    _check(known, sources)
    if missing := known.missing(sources):
        raise NotMigrated(missing=missing)


def _check_names(names: TableNames, sources: Sources) -> None:
    """A misspelt key would leave its table under the ordinary name, and nobody would notice."""
    if names.tables:
        for strange in sorted(names.tables.keys() - sources.names()):
            raise InvalidTableName(name=strange, reason="no table, type, function or index of storeroom is called so")


class _Known(msgspec.Struct, frozen=True):
    """What the database remembers of its runs."""

    migrations: Mapping[int, Mapping[str, Any]]
    functions: Mapping[str, Mapping[str, Any]]

    @property
    def version(self) -> int:
        return max(self.migrations, default=0)

    def missing(self, sources: Sources) -> list[str]:
        migrations = [f"{m.version:04} {m.name}" for m in sources.migrations if m.version not in self.migrations]
        return migrations + [f.name for f in sources.functions if self._stale(f)]

    def edited(self, sources: Sources) -> list[Migration | Function]:
        migrations = [
            m for m in sources.migrations
            if m.version in self.migrations and self.migrations[m.version]["checksum"] != m.checksum
        ]  # fmt: skip
        frozen = [f for f in sources.functions if not f.replaceable and f.name in self.functions and self._stale(f)]
        return [*migrations, *frozen]

    def _stale(self, function: Function) -> bool:
        row = self.functions.get(function.name)
        return row is None or row["checksum"] != function.checksum


def _check(known: _Known, sources: Sources) -> None:
    if known.version > sources.newest:
        raise DatabaseNewer(database=known.version, newest=sources.newest)
    for edited in known.edited(sources):
        if isinstance(edited, Migration):
            raise MigrationEdited(version=edited.version, name=edited.name)
        raise FunctionEdited(name=edited.name)
    for migration in sources.migrations[: known.version]:
        if migration.version not in known.migrations:
            raise MigrationMissing(version=migration.version, reason="later ones ran here, this one did not")


async def _known(db: "Executor | asyncpg.Connection[Any]", names: TableNames) -> _Known:
    migrations, functions = names.resolve("schema_migrations"), names.resolve("schema_functions")
    if await db.fetchval("SELECT to_regclass($1)::TEXT", functions) is None:
        return _Known({}, {})
    ran = await db.fetch(f"SELECT version, name, checksum, duration, applied_at FROM {migrations} ORDER BY version")
    made = await db.fetch(f"SELECT name, checksum, applied_at FROM {functions} ORDER BY applied_at, name")
    return _Known({row["version"]: row for row in ran}, {row["name"]: row for row in made})


@asynccontextmanager
async def _connected(database: "str | asyncpg.Connection[Any]") -> "AsyncIterator[asyncpg.Connection[Any]]":
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
async def _locked(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
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


async def _make_roles(connection: "asyncpg.Connection[Any]") -> None:
    if await connection.fetchval("SELECT current_schema()") is None:
        raise RolesMissing(
            login=await connection.fetchval("SELECT current_user"),
            statements=["CREATE SCHEMA storeroom", "ALTER ROLE CURRENT_USER SET search_path = storeroom"],
            reason="its search_path names no schema that exists",
        )
    text = _text("roles.sql")
    for attempt in range(1, ROLE_ATTEMPTS_MAX + 1):
        try:
            await connection.execute(text)
            break
        except asyncpg.InsufficientPrivilegeError as error:
            await _refuse_roles(connection, str(error))
        except (asyncpg.InternalServerError, asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError) as error:
            # Another database made the role first, or grants the same at this moment ("tuple concurrently updated").
            if isinstance(error, asyncpg.InternalServerError) and "concurrently" not in str(error):
                raise
            if attempt == ROLE_ATTEMPTS_MAX:
                await _refuse_roles(connection, str(error))
            await asyncio.sleep(RETRY_WAIT_S * attempt * (1 + random.random()))  # noqa: S311 - jitter
    # GRANT by one who may not grant is a warning, not an error.
    if not await connection.fetchval(f"SELECT has_schema_privilege('{OWNER_ROLE}', current_schema(), 'CREATE')"):
        await _refuse_roles(connection, f"{OWNER_ROLE} may not make tables in this schema")


async def _refuse_roles(connection: "asyncpg.Connection[Any]", reason: str) -> NoReturn:
    found = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    login = await connection.fetchval("SELECT quote_ident(current_user)")
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    raise RolesMissing(
        login=login,
        statements=[
            *(f"CREATE ROLE {role} NOLOGIN" for role in ROLES if role not in found),
            f"GRANT {OWNER_ROLE}, {APP_ROLE} TO {login}",
            f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {OWNER_ROLE}",
            f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(role for role in ROLES if role != OWNER_ROLE)}",
        ],
        reason=reason,
    )


async def _make_extension(connection: "asyncpg.Connection[Any]") -> None:
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm')"):
        return
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as error:
        raise ExtensionMissing(reason=str(error)) from error


async def _run_migrations(
    connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources, known: _Known, target: int | None
) -> list[Applied]:
    done = []
    for migration in sources.migrations:
        if migration.version in known.migrations or (target is not None and migration.version > target):
            continue
        label = f"{migration.version:04}_{migration.name}.sql"
        sql = names.render(migration.text, inside_dollar=True)
        started = time.monotonic()
        if migration.in_transaction:
            async with _in_transaction(connection, label, sql):
                await connection.execute(sql)
                applied = await _remember(connection, names, migration, started)
        else:
            for statement in _STATEMENT_END.split(sql):
                if _TRAILING_COMMENTS.fullmatch("\n" + statement):
                    continue
                with _failing(label, statement):
                    await _alone(connection, statement)
            applied = await _remember(connection, names, migration, started)
        done.append(applied)
    return done


async def _alone(connection: "asyncpg.Connection[Any]", statement: str) -> None:
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


async def _remember(
    connection: "asyncpg.Connection[Any]", names: TableNames, migration: Migration, started: float
) -> Applied:
    took = timedelta(seconds=time.monotonic() - started)
    at = await connection.fetchval(
        names.render(
            "INSERT INTO {schema_migrations} (version, name, checksum, duration) VALUES ($1, $2, $3, $4) "
            "RETURNING applied_at"
        ),
        migration.version,
        migration.name,
        migration.checksum,
        took,
    )
    return Applied(kind="migration", name=migration.name, version=migration.version, duration=took, applied_at=at)


async def _run_functions(
    connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources, known: _Known
) -> list[Applied]:
    done = []
    remember = names.render(
        "INSERT INTO {schema_functions} AS f (name, checksum) VALUES ($1, $2) ON CONFLICT (name) "
        "DO UPDATE SET checksum = EXCLUDED.checksum, applied_at = EXCLUDED.applied_at RETURNING applied_at"
    )
    for function in sources.functions:
        row = known.functions.get(function.name)
        if row is not None and row["checksum"] == function.checksum:
            continue
        sql = names.render(function.text, inside_dollar=True)
        started = time.monotonic()
        async with _in_transaction(connection, f"{function.file}, {function.name}", sql):
            await connection.execute(sql)
            at = await connection.fetchval(remember, function.name, function.checksum)
        took = timedelta(seconds=time.monotonic() - started)
        done.append(Applied(kind="function", name=function.name, version=None, duration=took, applied_at=at))
    return done


async def _give_access(connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources) -> None:
    def resolved(logical: Iterable[str]) -> list[str]:
        return sorted(names.resolve(name) for name in logical)

    tables = sources.tables()
    customers = [
        {"name": names.resolve(table), "rule": names.render(own.rule), "columns": own.columns}
        for table, own in sorted(CUSTOMER_READS.items())
        if table in tables and own.needs() <= tables
    ]
    missing = await connection.fetch(
        _text("access.sql"),
        resolved(tables),
        resolved(APPEND_ONLY),
        resolved(NEVER_DELETED),
        resolved(RUNNERS_OWN),
        resolved(TENANT_READS),
        resolved(sources.views()),
        resolved(sources.function_names()),
        msgspec.json.encode(customers).decode(),
        resolved(CUSTOMER_VIEWS & sources.views()),
    )
    if missing:
        sql = ";\n".join(row["statement"] for row in missing)
        async with _in_transaction(connection, "access.sql", sql):
            await connection.execute(sql)


@asynccontextmanager
async def _in_transaction(connection: "asyncpg.Connection[Any]", name: str, sql: str) -> AsyncIterator[None]:
    with _failing(name, sql):
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{TABLE_LOCK_WAIT_S}s'")
            yield


@contextmanager
def _failing(name: str, sql: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise MigrationBlocked(name=name, waited_s=TABLE_LOCK_WAIT_S) from error
    except asyncpg.PostgresError as error:
        position = getattr(error, "position", None)
        line = sql.count("\n", 0, int(position)) + 1 if position else None
        detail = getattr(error, "detail", None)
        raise MigrationFailed(name=name, reason=f"{error} ({detail})" if detail else str(error), line=line) from error


def _migrations(folder: Traversable) -> Iterator[Migration]:
    for entry in folder.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if match is None:
            raise MigrationMissing(version=0, reason=f"{entry.name} is not called NNNN_name.sql")
        yield Migration(version=int(match[1]), name=match[2], text=entry.read_text(encoding="utf-8"))


def _functions(text: str, file: str) -> Iterator[Function]:
    starts = list(_FUNCTION.finditer(text))
    if len(starts) != len(_FUNCTION_LOOSE.findall(text)):
        raise FunctionFileInvalid(
            file=file, reason="each begins a line with CREATE FUNCTION {name}, its name in braces"
        )
    if not _TRAILING_COMMENTS.fullmatch("\n" + text[: starts[0].start() if starts else None]):
        raise FunctionFileInvalid(file=file, reason="only functions stand here; before the first is other text")
    for start, following in itertools.zip_longest(starts, starts[1:]):
        body = text[start.start() : following.start() if following else None]
        body = body[: cast("re.Match[str]", _TRAILING_COMMENTS.search(body)).start()].rstrip()
        name, replaceable = start["name"], start["replace"] is not None
        if replaceable == (_VERSIONED.fullmatch(name) is not None):
            rule = "a version ends in its name (_v1) and is CREATE FUNCTION, any other is CREATE OR REPLACE FUNCTION"
            raise FunctionFileInvalid(file=file, reason=f"{name}: {rule}")
        yield Function(name=name, text=body, file=file, replaceable=replaceable)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()  # read with universal newlines


@cache
def _text(name: str) -> str:
    return (files("storeroom.database") / name).read_text(encoding="utf-8")


@cache
def _packaged() -> Sources:
    return Sources.read(files("storeroom"))
