"""Spreads the schema over many machines by tenant, where Citus is installed (`storeroom db distribute`).

Every tenant's table is distributed by `tenant_id` beside `tenants`, parents before children; what has no tenant becomes
a reference table, which every node holds; functions whose first argument is the tenant run where its rows are. What is
distributed already is left alone, so the command is run again after each migration that brings a table.
"""

from typing import Any, Final

import asyncpg
import msgspec

from storeroom.core.errors import Misconfigured
from storeroom.database.migrations import OWNER_ROLE, RUNNERS_OWN, Sources
from storeroom.database.names import TableNames

ROOT: Final = "tenants"  # all others are placed beside its rows
TENANT_ARGUMENT: Final = "p_tenant"
KEPT_LOCAL: Final = frozenset({"scheduled_jobs"})  # on the coordinator: workers write there all the time


class CitusMissing(Misconfigured):
    """This server cannot distribute anything; the schema works on it as it is."""

    code = "database.citus_missing"

    def __init__(self) -> None:
        super().__init__(
            "Citus is not installed in this database, so there is nothing to distribute over; one server serves every "
            "tenant. To distribute: install Citus, CREATE EXTENSION citus, add the workers, and run this again"
        )


class NotDistributable(Misconfigured):
    """Tables whose foreign keys form a circle cannot be distributed one after the other."""

    code = "database.not_distributable"

    def __init__(self, *, tables: list[str]) -> None:
        super().__init__(f"foreign keys of {', '.join(tables)} lead in a circle, or {ROOT} is missing")
        self.tables = tables


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be distributed, in the order in which it has to happen."""

    references: list[str]  # tables without a tenant: distributed ones may point at them, so they come first
    tables: list[str]  # `tenants`, then parents before children
    functions: list[str]  # with their argument types

    def statements(self, *, done: frozenset[str] = frozenset()) -> list[str]:
        """One call of Citus each; nothing for tables that are distributed already."""
        root = self.tables[0]
        placed = [
            f"SELECT create_distributed_table('{table}', 'tenant_id', colocate_with => "
            f"'{'none' if table == root else root}')"
            for table in self.tables
            if table not in done
        ]
        return [
            *(f"SELECT create_reference_table('{table}')" for table in self.references if table not in done),
            *placed,
            *(
                f"SELECT create_distributed_function('{function}', '{TENANT_ARGUMENT}', colocate_with => '{root}', "
                "force_delegation => TRUE)"
                for function in self.functions
                if function not in done
            ),
        ]


_TABLES: Final = """
SELECT c.relname::TEXT AS name,
       EXISTS (SELECT 1
                 FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS of_tenant,
       ARRAY(SELECT DISTINCT r.relname::TEXT
               FROM pg_constraint AS k
               JOIN pg_class AS r ON r.oid = k.confrelid
              WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid) AS parents
  FROM pg_class AS c
 WHERE c.relnamespace = current_schema()::REGNAMESPACE
   AND c.relname = ANY($1::TEXT[])
   AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
 ORDER BY c.relname
"""
_FUNCTIONS: Final = """
SELECT f.oid::REGPROCEDURE::TEXT
  FROM pg_proc AS f
 WHERE f.pronamespace = current_schema()::REGNAMESPACE
   AND f.proname = ANY($1::TEXT[])
   AND f.proargnames[1] = $2
 ORDER BY 1
"""


async def plan(
    connection: "asyncpg.Connection[Any]", *, names: TableNames | None = None, sources: Sources | None = None
) -> Distribution:
    """Read the order from the catalogue of a migrated database; Citus is not needed for it.

    Raises:
        NotDistributable: there is no such order.
    """
    names, sources = names or TableNames(), sources or Sources.packaged()
    ours = sorted(names.resolve(name) for name in sources.tables() - RUNNERS_OWN - KEPT_LOCAL)
    rows = await connection.fetch(_TABLES, ours)
    parents = {row["name"]: set(row["parents"]) for row in rows if row["of_tenant"]}
    tenantless = [row["name"] for row in rows if not row["of_tenant"]]
    root = names.resolve(ROOT)
    if root not in parents:
        raise NotDistributable(tables=sorted(parents))
    ordered = [root]
    waiting = {table: found - {root, *tenantless} for table, found in parents.items() if table != root}
    while waiting:
        ready = sorted(table for table, found in waiting.items() if not found & waiting.keys())
        if not ready:
            raise NotDistributable(tables=sorted(waiting))
        ordered += ready
        for table in ready:
            del waiting[table]
    functions = await connection.fetch(
        _FUNCTIONS, sorted(names.resolve(name) for name in sources.function_names()), TENANT_ARGUMENT
    )
    return Distribution(references=tenantless, tables=ordered, functions=[row[0] for row in functions])


async def distribute(
    connection: "asyncpg.Connection[Any]", *, names: TableNames | None = None, sources: Sources | None = None
) -> list[str]:
    """Distribute what is not distributed yet; return the statements that ran.

    Args:
        connection: to the coordinator, as a login that is a member of storeroom_owner.
        names: what the tables are called here.
        sources: another set of migrations than this release's.

    Raises:
        CitusMissing: nothing was changed.
        NotDistributable: nothing was changed.
    """
    if not await connection.fetchval("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')"):
        raise CitusMissing
    wanted = await plan(connection, names=names, sources=sources)
    tables = await connection.fetch("SELECT logicalrelid::TEXT FROM pg_dist_partition")
    functions = await connection.fetch(
        "SELECT objid::REGPROCEDURE::TEXT FROM citus.pg_dist_object "
        "WHERE classid = 'pg_proc'::REGCLASS AND distribution_argument_index IS NOT NULL"
    )
    statements = wanted.statements(done=frozenset(row[0] for row in [*tables, *functions]))
    await connection.execute(f"SET ROLE {OWNER_ROLE}")
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.execute("RESET ROLE")
    return statements
