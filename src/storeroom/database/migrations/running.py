"""Running what a database lacks: each migration once, in order, then every function that is new or reads otherwise."""

import re
import time
from datetime import timedelta
from typing import Any, Final

import asyncpg

from storeroom.database.migrations.comparing import Applied, Known, check, check_names, remembered
from storeroom.database.migrations.connection import alone, connected, failing, in_transaction, locked
from storeroom.database.migrations.files import BOOTSTRAP, TRAILING_COMMENTS, Migration, Sources
from storeroom.database.migrations.rights import OWNER_ROLE, give_access, make_extension, make_roles
from storeroom.database.names import TableNames

_STATEMENT_END: Final = re.compile(r";[ \t]*(?:--[^\n]*)?(?:\n|$)")


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
    check_names(names, sources)
    async with connected(database) as connection, locked(connection):
        await make_roles(connection)
        await make_extension(connection)
        await connection.execute(f"SET ROLE {OWNER_ROLE}")
        try:
            await connection.execute(names.render(BOOTSTRAP))
            known = await remembered(connection, names)
            check(known, sources)
            done = await _run_migrations(connection, names, sources, known, target)
            if target is None or target >= sources.newest:
                done += await _run_functions(connection, names, sources, known)
            await give_access(connection, names, sources)
        finally:
            if not connection.is_closed():
                await connection.execute("RESET ROLE")
    return done


async def _run_migrations(
    connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources, known: Known, target: int | None
) -> list[Applied]:
    done = []
    for migration in sources.migrations:
        if migration.version in known.migrations or (target is not None and migration.version > target):
            continue
        label = f"{migration.version:04}_{migration.name}.sql"
        sql = names.render(migration.text, inside_dollar=True)
        started = time.monotonic()
        if migration.in_transaction:
            async with in_transaction(connection, label, sql):
                await connection.execute(sql)
                applied = await _remember(connection, names, migration, started)
        else:
            for statement in _STATEMENT_END.split(sql):
                if TRAILING_COMMENTS.fullmatch("\n" + statement):
                    continue
                with failing(label, statement):
                    await alone(connection, statement)
            applied = await _remember(connection, names, migration, started)
        done.append(applied)
    return done


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
    connection: "asyncpg.Connection[Any]", names: TableNames, sources: Sources, known: Known
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
        async with in_transaction(connection, f"{function.file}, {function.name}", sql):
            await connection.execute(sql)
            at = await connection.fetchval(remember, function.name, function.checksum)
        took = timedelta(seconds=time.monotonic() - started)
        done.append(Applied(kind="function", name=function.name, version=None, duration=took, applied_at=at))
    return done
