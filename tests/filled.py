"""A database with rows in every table, and the plans of every statement on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

import storeroom
from storeroom.database.names import TableNames
from storeroom.database.queries import parse

ROWS = 12_000  # in each table: a tenant has 60 of them, so reading all to find one is never right
TENANTS = 200
PACKAGE = Path(storeroom.__file__).parent
NAMES = TableNames()

# Where things happen all the time there are more rows, and few accounts and names in many of them.
TIMES = {"events": 10}
SPREAD = {
    ("events", "user_id"): "(n / 200) % 20",
    ("events", "event_name"): "(n / 4000) % 30",
    ("subscriptions", "product_id"): "(n / 200) % 20",
}

# What few rows of a table are.
RARE = {("coupons", "auto_apply"): "(n / 200) % 20 = 0"}

# Tables of which a tenant has a handful, whatever it sells.
SMALL = frozenset(
    {
        "tenants",
        "tenant_hosts",
        "scheduled_jobs",
        "account_settings",
        "archival_runs",
        "erp_connections",
        "payment_gateways",
        "conversion_providers",
        "store_configs",
        "schema_migrations",
        "schema_functions",
        "seeds_planted",
        "order_status_labels",
    }
)

COLUMNS = """
SELECT c.relname AS tbl, a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
       t.typtype = 'e' AS enumerated, a.attname = 'id' AS is_id, c.relkind = 'p' AND a.attname = 'created_at' AS cuts,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)) AS in_unique
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND c.relname NOT IN ('schema_migrations', 'schema_functions')
 ORDER BY c.relname, a.attnum
"""
CHECKS = """
SELECT conrelid::regclass::text AS tbl, conname AS name
  FROM pg_constraint
 WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conrelid <> 0 AND coninhcount = 0
"""
# The index of a partition -> the one of its table, by which the tests know it.
INDEXES_OF_PARTITIONS = """
SELECT c.relname AS name, pg_partition_root(c.oid)::regclass::text AS root
  FROM pg_class c
 WHERE c.relkind = 'i' AND c.relispartition AND c.relnamespace = 'public'::regnamespace
"""
PARTITIONS = """
SELECT c.oid::regclass::text FROM pg_class c
 WHERE c.relkind = 'r' AND c.relispartition AND c.relnamespace = 'public'::regnamespace
"""


async def fill(connection: asyncpg.Connection) -> None:
    """Put ROWS rows into every table, whatever they mean: only their number and spread matter to a plan."""
    for row in await connection.fetch(CHECKS):
        await connection.execute(f'ALTER TABLE {row["tbl"]} DROP CONSTRAINT "{row["name"]}"')
    await connection.execute("SET session_replication_role = replica")  # no foreign keys
    tables: dict[str, list[asyncpg.Record]] = {}
    for column in await connection.fetch(COLUMNS):
        tables.setdefault(column["tbl"], []).append(column)
    for table, columns in tables.items():
        names = ", ".join(f'"{column["name"]}"' for column in columns)
        values = ", ".join(value_of(column) for column in columns)
        await connection.execute(
            f"INSERT INTO {table} ({names}) SELECT {values} "
            f"FROM generate_series(1, {ROWS * TIMES.get(table, 1)}) n ON CONFLICT DO NOTHING"
        )
    for row in await connection.fetch(PARTITIONS):  # an empty one is read whole by any plan
        if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {row[0]})"):
            await connection.execute(f"DROP TABLE {row[0]}")
    await connection.execute("VACUUM ANALYZE")


def value_of(column: asyncpg.Record) -> str:
    """An expression over n. What is in a unique index differs in every row; a third of what may be null is."""
    name, type_ = column["name"], column["type"]
    if name in {"tenant_id", "tenant"} and column["tbl"] != "tenants":
        return f"'t' || n % {TENANTS}"
    number = SPREAD.get((column["tbl"], name)) or ("n" if column["in_unique"] or column["is_id"] else "n / 3")
    if column["cuts"]:  # every partition gets its share, the default one too
        return "date_trunc('month', now()) + n * interval '14 minutes' + CASE WHEN n % 5 = 0 THEN interval '9 years' ELSE '0' END"
    if rare := RARE.get((column["tbl"], name)):
        return rare
    if column["enumerated"]:
        return f"(enum_range(NULL::{type_}))[1 + n % cardinality(enum_range(NULL::{type_}))]"
    if type_ == "text[]":
        return "ARRAY['a' || n % 50, 'b' || n % 7]"
    if type_.endswith("[]"):
        return f"ARRAY[{value_of_type(name, type_.removesuffix('[]'), number)}]"
    value = value_of_type(name, type_, number)
    if type_ == "jsonb" and column["in_unique"]:
        value = "jsonb_build_object('n', n)"
    return value if column["required"] or column["in_unique"] else f"CASE WHEN n % 3 > 0 THEN {value} END"


def value_of_type(name: str, type_: str, number: str) -> str:
    return {
        "uuid": f"('00000000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid",
        "text": f"'{name} ' || {number}",
        "bigint": number,
        "integer": number,
        "boolean": "n % 2 = 0",
        "timestamp with time zone": f"now() + (n % {ROWS} - {ROWS} / 2) * interval '1 minute'",
        "date": "current_date + n % 100",
        "interval": "interval '1 day'",
        "jsonb": "'{}'::jsonb",
        "inet": "'10.0.0.1'::inet",
        "bytea": f"decode(md5(({number})::text), 'hex')",
        "numeric": "n % 100",
        "smallint": "n % 10",
    }[type_]


@dataclass
class Plan:
    """How the server would run one statement, whatever its arguments."""

    query: str  # slice.name
    all_tenants: bool
    nodes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def read_whole(self) -> set[str]:
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"} - SMALL

    def unconditioned(self) -> set[str]:
        """Indexes that are read from end to end."""
        return {
            node["Index Name"]
            for node in self.nodes
            if node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"} and "Index Cond" not in node
        }


async def plans_of_queries(connection: asyncpg.Connection) -> list[Plan]:
    """Of every variant of every statement in every queries.sql."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute("SET enable_partition_pruning = off")  # the arguments are NULL: no month would be left
    roots = {row["name"]: row["root"] for row in await connection.fetch(INDEXES_OF_PARTITIONS)}
    plans = []
    for file in sorted(PACKAGE.glob("*/queries.sql")):
        for query in parse(file.read_text(), where=str(file)):
            for variant in query.variants:
                await connection.execute(f"PREPARE asked AS {NAMES.render(variant.sql).rstrip().rstrip(';')}")
                places = ", ".join(["NULL"] * len(variant.arguments))
                asked = f"EXPLAIN (FORMAT JSON) EXECUTE asked{f'({places})' if places else ''}"
                found = json.loads(await connection.fetchval(asked))
                await connection.execute("DEALLOCATE asked")
                nodes = list(nodes_of(found))
                for node in nodes:
                    if "Index Name" in node:
                        node["Index Name"] = roots.get(node["Index Name"], node["Index Name"])
                plans.append(Plan(f"{file.parent.name}.{query.name}", query.all_tenants, nodes))
    return plans


def nodes_of(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a plan, at whatever depth."""
    if isinstance(tree, list):
        for part in tree:
            yield from nodes_of(part)
    elif isinstance(tree, dict):
        if "Node Type" in tree:
            yield tree
        for part in tree.values():
            yield from nodes_of(part)


async def plans_inside(connection: asyncpg.Connection, call: str, *arguments: Any) -> list[Plan]:
    """Run a function and catch what auto_explain says of each statement inside it."""
    said: list[str] = []

    def hear(_: object, message: Any) -> None:
        said.append(message.message)

    await connection.execute(
        "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; "
        "SET auto_explain.log_format = json; SET client_min_messages = log"
    )
    connection.add_log_listener(hear)
    try:
        await connection.fetch(call, *arguments)
        await connection.execute("SET client_min_messages = notice")
    finally:
        connection.remove_log_listener(hear)
    plans = []
    for message in said:
        found = re.search(r"plan:\s*(\{.*\})", message, re.DOTALL)
        if found:
            tree = json.loads(found.group(1))
            plans.append(Plan(tree["Query Text"], all_tenants=False, nodes=list(nodes_of(tree["Plan"]))))
    return plans
