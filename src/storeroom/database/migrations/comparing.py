"""How far a database is: what it remembers of its runs, held against the files of this release."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from storeroom.database.executor import Executor
from storeroom.database.migrations.connection import connected
from storeroom.database.migrations.errors import (
    DatabaseNewer,
    FunctionEdited,
    MigrationEdited,
    MigrationMissing,
    NotMigrated,
)
from storeroom.database.migrations.files import Function, Migration, Sources
from storeroom.database.names import InvalidTableName, TableNames


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


async def status(
    database: "str | asyncpg.Connection[Any]", *, names: TableNames | None = None, sources: Sources | None = None
) -> Status:
    """Compare a database with this release; changes nothing."""
    names, sources = names or TableNames(), sources or Sources.packaged()
    async with connected(database) as connection:
        known = await remembered(connection, names)
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
    check_names(db.names, sources)
    known = await remembered(db, db.names)
    check(known, sources)
    if missing := known.missing(sources):
        raise NotMigrated(missing=missing)


def check_names(names: TableNames, sources: Sources) -> None:
    """A misspelt key would leave its table under the ordinary name, and nobody would notice."""
    if names.tables:
        for strange in sorted(names.tables.keys() - sources.names()):
            raise InvalidTableName(name=strange, reason="no table, type, function or index of storeroom is called so")


class Known(msgspec.Struct, frozen=True):
    """What the database remembers of its runs."""

    migrations: Mapping[int, Mapping[str, Any]]
    functions: Mapping[str, Mapping[str, Any]]

    @property
    def version(self) -> int:
        """The last migration that ran; 0 for none."""
        return max(self.migrations, default=0)

    def missing(self, sources: Sources) -> list[str]:
        """Migrations that did not run and functions that are not there as they read now, in the order of a run."""
        migrations = [f"{m.version:04} {m.name}" for m in sources.migrations if m.version not in self.migrations]
        return migrations + [f.name for f in sources.functions if self._stale(f)]

    def edited(self, sources: Sources) -> list[Migration | Function]:
        """What ran, and reads differently now though it may not."""
        migrations = [
            m for m in sources.migrations
            if m.version in self.migrations and self.migrations[m.version]["checksum"] != m.checksum
        ]  # fmt: skip
        frozen = [f for f in sources.functions if not f.replaceable and f.name in self.functions and self._stale(f)]
        return [*migrations, *frozen]

    def _stale(self, function: Function) -> bool:
        row = self.functions.get(function.name)
        return row is None or row["checksum"] != function.checksum


def check(known: Known, sources: Sources) -> None:
    """Raises DatabaseNewer, MigrationEdited, FunctionEdited, MigrationMissing."""
    if known.version > sources.newest:
        raise DatabaseNewer(database=known.version, newest=sources.newest)
    for edited in known.edited(sources):
        if isinstance(edited, Migration):
            raise MigrationEdited(version=edited.version, name=edited.name)
        raise FunctionEdited(name=edited.name)
    for migration in sources.migrations[: known.version]:
        if migration.version not in known.migrations:
            raise MigrationMissing(version=migration.version, reason="later ones ran here, this one did not")


async def remembered(db: "Executor | asyncpg.Connection[Any]", names: TableNames) -> Known:
    """What a database says of its runs; nothing before the first."""
    migrations, functions = names.resolve("schema_migrations"), names.resolve("schema_functions")
    if await db.fetchval("SELECT to_regclass($1)::TEXT", functions) is None:
        return Known({}, {})
    ran = await db.fetch(f"SELECT version, name, checksum, duration, applied_at FROM {migrations} ORDER BY version")
    made = await db.fetch(f"SELECT name, checksum, applied_at FROM {functions} ORDER BY applied_at, name")
    return Known({row["version"]: row for row in ran}, {row["name"]: row for row in made})
