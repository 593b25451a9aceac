"""The rules of the schema, read from the catalogue of a migrated database, and proof that each rule can be broken."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from storeroom.database.names import NAME_BYTES_MAX

CITUS_LINT = (Path(__file__).parent / "citus_lint.sql").read_text()
WITHOUT_TENANT = ["scheduled_jobs", "schema_functions", "schema_migrations", "tenant_hosts"]
IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

OURS = "c.relnamespace = current_schema()::REGNAMESPACE AND c.relkind IN ('r', 'p')"
OF_NO_EXTENSION = "NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = {oid} AND d.deptype = 'e')"
WITHOUT_RLS = f"""
SELECT c.relname::TEXT
  FROM pg_class AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
 WHERE {OURS}
   AND NOT c.relispartition
   AND (NOT c.relrowsecurity
        OR (SELECT count(*)
              FROM pg_policy AS p
             WHERE p.polrelid = c.oid AND p.polname IN ('storeroom_app', 'storeroom_tenant')) < 2)
"""
# A partial index serves the key only where it leaves out nothing but the rows that point nowhere.
UNINDEXED_KEYS = f"""
SELECT c.relname || '.' || k.conname
  FROM pg_constraint AS k
  JOIN pg_class AS c ON c.oid = k.conrelid
 WHERE {OURS}
   AND k.contype = 'f'
   AND NOT EXISTS (SELECT 1
                     FROM pg_index AS i
                    WHERE i.indrelid = k.conrelid
                      AND i.indisvalid
                      AND (i.indkey::SMALLINT[])[0:cardinality(k.conkey) - 1] @> k.conkey
                      AND (i.indpred IS NULL
                           OR pg_get_expr(i.indpred, i.indrelid) IN
                              (SELECT format('(%I IS NOT NULL)', a.attname)
                                 FROM pg_attribute AS a
                                WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey))))
"""
BY_TYPE = f"""
SELECT c.relname || '.' || a.attname
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE {OURS}
   AND a.attnum > 0
   AND NOT a.attisdropped
   AND coalesce(nullif(t.typelem, 0), t.oid) = ANY($1::REGTYPE[]::OID[])
"""
CREATED_AT_NULLABLE = f"""
SELECT c.relname || '.' || a.attname
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid
 WHERE {OURS}
   AND a.attname IN ('created_at', 'updated_at')
   AND (NOT a.attnotnull OR NOT a.atthasdef)
"""
# stock_levels is as narrow as can be: its variant and stock_movements say when.
TABLES_WITHOUT_CREATION = f"""
SELECT c.relname::TEXT
  FROM pg_class AS c
 WHERE {OURS}
   AND c.relname <> 'stock_levels'
   AND NOT EXISTS (SELECT 1
                     FROM pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attname IN ('created_at', 'applied_at', 'updated_at'))
"""
IDENTIFIERS = f"""
SELECT c.relname::TEXT FROM pg_class AS c
 WHERE c.relnamespace = current_schema()::REGNAMESPACE AND {OF_NO_EXTENSION.format(oid="c.oid")}
UNION
SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
 WHERE c.relnamespace = current_schema()::REGNAMESPACE AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
   AND NOT a.attisdropped AND {OF_NO_EXTENSION.format(oid="c.oid")}
UNION
SELECT k.conname FROM pg_constraint AS k WHERE k.connamespace = current_schema()::REGNAMESPACE
UNION
SELECT f.proname FROM pg_proc AS f
 WHERE f.pronamespace = current_schema()::REGNAMESPACE AND {OF_NO_EXTENSION.format(oid="f.oid")}
UNION
SELECT t.typname FROM pg_type AS t
 WHERE t.typnamespace = current_schema()::REGNAMESPACE AND t.typelem = 0 AND {OF_NO_EXTENSION.format(oid="t.oid")}
"""
CONSTRAINTS_IN_DIGITS = """
SELECT k.conname::TEXT FROM pg_constraint AS k
 WHERE k.connamespace = current_schema()::REGNAMESPACE AND k.conname ~ '[0-9]$'
UNION
SELECT i.indexrelid::REGCLASS::TEXT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
 WHERE c.relnamespace = current_schema()::REGNAMESPACE AND i.indisunique AND i.indexrelid::REGCLASS::TEXT ~ '[0-9]$'
"""
# PostgreSQL names NOT NULL constraints itself from 18 on; no code looks at them.
UNNAMED_CHECKS = f"""
SELECT c.relname || '.' || k.conname
  FROM pg_constraint AS k
  JOIN pg_class AS c ON c.oid = k.conrelid
 WHERE {OURS}
   AND k.contype = 'c'
   AND k.conname ~ '_check[0-9]*$'
"""


@pytest.fixture
async def catalogue(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose changes, made to break a rule, are undone."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def found(connection: asyncpg.Connection, query: str, *args: object) -> list[str]:
    return sorted(row[0] for row in await connection.fetch(query, *args))


async def bad_identifiers(connection: asyncpg.Connection) -> list[str]:
    names = await found(connection, IDENTIFIERS)
    assert len(names) > 200
    return [name for name in names if len(name.encode()) > NAME_BYTES_MAX or not IDENTIFIER.fullmatch(name)]


async def test_the_schema_can_be_distributed_as_it_stands(catalogue: asyncpg.Connection) -> None:
    assert [tuple(row) for row in await catalogue.fetch(CITUS_LINT, WITHOUT_TENANT)] == []


@pytest.mark.parametrize(
    ("change", "fault", "part"),
    [
        ("CREATE TABLE x (id INTEGER)", "has no tenant_id", None),
        ("CREATE TABLE x (id INTEGER, tenant_id TEXT NOT NULL, PRIMARY KEY (tenant_id, id))", "first column", None),
        ("CREATE TABLE x (tenant_id VARCHAR(9) PRIMARY KEY)", "not TEXT", "character varying"),
        ("CREATE TABLE x (tenant_id TEXT)", "may be NULL", None),
        ("CREATE TABLE x (tenant_id TEXT NOT NULL)", "no primary key", None),
        ("CREATE TABLE x (tenant_id TEXT, id INTEGER, PRIMARY KEY (id, tenant_id))", "in front", "x_pkey"),
        ("CREATE TABLE x (tenant_id TEXT PRIMARY KEY, e TEXT CONSTRAINT x_e UNIQUE)", "in front", "x_e"),
        (
            "CREATE TABLE x (tenant_id TEXT PRIMARY KEY, other TEXT CONSTRAINT k REFERENCES tenants (tenant_id))",
            "does not pair",
            "k",
        ),
        ("ALTER TABLE tenant_hosts ADD CONSTRAINT k FOREIGN KEY (tenant) REFERENCES tenants", "into a tenant's", "k"),
        (
            "CREATE TABLE x (tenant_id TEXT PRIMARY KEY CONSTRAINT k REFERENCES tenants ON DELETE SET NULL)",
            "on delete",
            "k",
        ),
        (
            "CREATE TABLE x (tenant_id TEXT PRIMARY KEY CONSTRAINT k REFERENCES tenants ON UPDATE CASCADE)",
            "on update",
            "k",
        ),
        ("CREATE TABLE x (tenant_id TEXT PRIMARY KEY DEFERRABLE)", "deferrable", "x_pkey"),
        (
            (
                "CREATE FUNCTION f() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                "CREATE TRIGGER t BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION f()"
            ),
            "trigger",
            "t",
        ),
        ("CREATE RULE r AS ON DELETE TO tenants DO INSTEAD NOTHING", "rule", "r"),
        ("CREATE TABLE x (tenant_id TEXT PRIMARY KEY, n SERIAL)", "narrower than BIGINT", "n"),
        (
            "CREATE TABLE x (tenant_id TEXT PRIMARY KEY, n INTEGER GENERATED ALWAYS AS IDENTITY)",
            "narrower than BIGINT",
            "n",
        ),
    ],
)
async def test_control_the_lint_sees(catalogue: asyncpg.Connection, change: str, fault: str, part: str | None) -> None:
    await catalogue.execute(change)
    rows = await catalogue.fetch(CITUS_LINT, WITHOUT_TENANT)
    assert [row["part"] for row in rows if fault in row["fault"]] == [part]


@pytest.mark.requirement("SIG-SEC-01")
async def test_row_level_security_is_on_everywhere(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, WITHOUT_RLS) == []


@pytest.mark.requirement("SIG-IDX-05")
async def test_every_foreign_key_has_an_index(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, UNINDEXED_KEYS) == []


@pytest.mark.requirement("SBB-CONV-03")
async def test_no_column_is_a_binary_fraction(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, BY_TYPE, ["real", "double precision", "money"]) == []


async def test_every_instant_has_a_zone(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, BY_TYPE, ["timestamp", "time", "timetz"]) == []


async def test_every_row_knows_when_it_was_made(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, CREATED_AT_NULLABLE) == []
    assert await found(catalogue, TABLES_WITHOUT_CREATION) == []


async def test_names_fit_and_are_plain(catalogue: asyncpg.Connection) -> None:
    assert await bad_identifiers(catalogue) == []


async def test_constraints_can_be_recognised_by_name(catalogue: asyncpg.Connection) -> None:
    assert await found(catalogue, CONSTRAINTS_IN_DIGITS) == []
    assert await found(catalogue, UNNAMED_CHECKS) == []


BREAKS = """
CREATE TABLE x (
    tenant_id   TEXT PRIMARY KEY,
    parent      TEXT REFERENCES x (tenant_id),
    partly      TEXT REFERENCES x (tenant_id),
    served      TEXT REFERENCES x (tenant_id),
    price       DOUBLE PRECISION,
    prices      REAL[],
    at          TIMESTAMP CHECK (at > '2000-01-01'),
    ats         TIMESTAMP[],
    created_at  TIMESTAMPTZ,
    "Name"      TEXT CONSTRAINT x_name_2 CHECK ("Name" <> '')
);
CREATE INDEX idx_x_partly ON x (partly) WHERE price > 0;
CREATE INDEX idx_x_served ON x (served) WHERE served IS NOT NULL;
CREATE UNIQUE INDEX x_price_7 ON x (tenant_id, price);
CREATE TABLE y (tenant_id TEXT PRIMARY KEY);
CREATE FUNCTION a_name_that_has_fifty_five_bytes_and_is_one_byte_too_lo() RETURNS TEXT LANGUAGE sql AS $$ SELECT '' $$;
"""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda c: found(c, WITHOUT_RLS), ["x", "y"]),
        (lambda c: found(c, UNINDEXED_KEYS), ["x.x_parent_fkey", "x.x_partly_fkey"]),
        (lambda c: found(c, BY_TYPE, ["real", "double precision", "money"]), ["x.price", "x.prices"]),
        (lambda c: found(c, BY_TYPE, ["timestamp", "time", "timetz"]), ["x.at", "x.ats"]),
        (lambda c: found(c, CREATED_AT_NULLABLE), ["x.created_at"]),
        (lambda c: found(c, TABLES_WITHOUT_CREATION), ["y"]),
        (bad_identifiers, ["Name", "a_name_that_has_fifty_five_bytes_and_is_one_byte_too_lo"]),
        (lambda c: found(c, CONSTRAINTS_IN_DIGITS), ["x_name_2", "x_price_7"]),
        (lambda c: found(c, UNNAMED_CHECKS), ["x.x_at_check"]),
    ],
)
async def test_control_each_rule_can_be_broken(
    catalogue: asyncpg.Connection, rule: Callable[[asyncpg.Connection], object], expected: list[str]
) -> None:
    await catalogue.execute(BREAKS)
    assert await rule(catalogue) == expected  # type: ignore[misc]
