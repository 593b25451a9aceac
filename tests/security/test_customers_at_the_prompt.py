"""What a customer gets who speaks SQL: storeroom_authenticated reads its own rows, and writes nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from town import As, Customer, Town, refused

from storeroom.database.access import CUSTOMER_READS, CUSTOMER_ROLE, CUSTOMER_VIEWS
from storeroom.database.migrations import migrate
from storeroom.database.names import TableNames
from storeroom.database.pool import Database
from storeroom.identity import UserStatus

# Written by hand: no customer reads these, not even of its own rows.
SECRETS = [
    "users.password_hash",
    "users.metadata",
    "auth_sessions.refresh_token_hash",
    "auth_sessions.id",
    "orders.internal_notes",
    "orders.ip_address",
    "orders.session_id",
    "orders.metadata",
    "order_status_history.changed_by_name",
    "order_status_history.reason",
    "payments.proof_file_path",
    "payments.verification_notes",
    "payments.verified_by",
    "payments.metadata",
    "payment_attempts.id",
    "idempotency_keys.response",
    "webhook_queue.payload",
    "carts.id",
    "tenants.name",
    "stock_levels.on_hand",
]
TABLES = """
SELECT c.relname::TEXT AS name
  FROM pg_class AS c
 WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 ORDER BY 1
"""
COLUMNS = """
SELECT c.relname || '.' || a.attname
  FROM pg_class AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind IN ('r', 'p')
   AND has_column_privilege($1, c.oid, a.attnum, $2)
"""


def mine(customer: Customer) -> dict[str, str]:
    """By table: the condition, for a superuser, of the rows that are this customer's."""
    user, tenant = f"'{customer.user.id}'", f"tenant_id = '{customer.shop.tenant_id}'"
    by_order = f"order_id IN (SELECT id FROM orders WHERE user_id = {user})"
    rules = {
        "users": f"id = {user}",
        "user_profiles": f"user_id = {user}",
        "user_addresses": f"user_id = {user}",
        "orders": f"user_id = {user}",
        "order_items": by_order,
        "order_status_history": by_order,
        "payments": by_order,
        "refunds": by_order,
        "store_credit_entries": f"user_id = {user}",
        "payment_methods": "TRUE",  # of the shop: what a payment was made with has a name
    }
    return {table: f"{tenant} AND {rule}" for table, rule in rules.items()}


async def ids(connection: asyncpg.Connection, sql: str) -> list[Any]:
    return sorted(row[0] for row in await connection.fetch(sql))


@pytest.mark.requirement("SIG-SEC-03")
async def test_a_customer_reads_its_own_rows_and_no_others(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    for customer in (town.ann, town.ben, town.cat):
        rules = mine(customer)
        async with prompt(CUSTOMER_ROLE, claims=customer.claims) as sql:
            for table, rule in rules.items():
                own = await ids(admin, f"SELECT id FROM {table} WHERE {rule}")
                assert own, table
                assert await ids(sql, f"SELECT id FROM {table}") == own, table
            assert set(await ids(sql, "SELECT id FROM orders")) == customer.orders
            for table in ("customer_statistics", "store_credits"):
                assert await ids(sql, f"SELECT user_id FROM {table}") == [customer.user.id]
        assert {*rules, "customer_statistics", "store_credits"} == CUSTOMER_READS.keys()


@pytest.mark.requirement("SIG-SEC-03", "SIG-CUS-10")
async def test_views_show_a_customer_its_own(town: Town, prompt: As) -> None:
    async with prompt(CUSTOMER_ROLE, claims=town.ann.claims) as sql:
        rows = await sql.fetch("SELECT id, customer_id, order_code, payment_method FROM customer_orders_summary")
        assert {row["id"] for row in rows} == town.ann.orders
        assert {row["customer_id"] for row in rows} == {town.ann.user.id}
        assert {row["payment_method"] for row in rows} == {"Zelle"}
        items = await sql.fetch("SELECT order_summary_id, product_name FROM customer_order_items")
        assert {row["order_summary_id"] for row in items} == town.ann.orders
        addresses = await sql.fetch("SELECT id, customer_id FROM customer_addresses")
        assert [(row["id"], row["customer_id"]) for row in addresses] == [(town.ann.address.id, town.ann.user.id)]
        async with refused(sql):  # it shows what staff keep of customers
            await sql.fetch("SELECT id FROM customers")


async def test_every_view_of_the_role_asks_as_its_caller(admin: asyncpg.Connection) -> None:
    views = await admin.fetch(
        "SELECT relname::TEXT AS name, reloptions FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE "
        "AND relkind IN ('v', 'm') AND has_table_privilege($1, oid, 'SELECT')",
        CUSTOMER_ROLE,
    )
    assert {row["name"] for row in views} == CUSTOMER_VIEWS
    assert all(row["reloptions"] == ["security_invoker=true"] for row in views)


@pytest.mark.requirement("SIG-SEC-01", "SIG-SEC-03")
async def test_columns_that_no_list_names_are_closed(admin: asyncpg.Connection, town: Town, prompt: As) -> None:
    """A table or column that comes later is closed until somebody says otherwise."""
    listed = {f"{table}.{column}" for table, own in CUSTOMER_READS.items() for column in own.columns}
    assert {row[0] for row in await admin.fetch(COLUMNS, CUSTOMER_ROLE, "SELECT")} == listed
    async with prompt(CUSTOMER_ROLE, claims=town.ann.claims) as sql:
        for secret in SECRETS:
            table, column = secret.split(".")
            for statement in (
                f"SELECT {column} FROM {table}",
                f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL",
                f"COPY (SELECT {column} FROM {table}) TO STDOUT",
            ):
                async with refused(sql):
                    await sql.execute(statement)
        async with refused(sql):
            await sql.fetch("SELECT u FROM users u")  # the whole row


@pytest.mark.requirement("SIG-SEC-03")
async def test_a_customer_writes_nothing(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    tables = await ids(admin, TABLES)
    assert len(tables) > 20
    for privilege in ("INSERT", "UPDATE"):
        assert await admin.fetch(COLUMNS, CUSTOMER_ROLE, privilege) == []
    before = await admin.fetch("SELECT * FROM orders WHERE tenant_id = $1 ORDER BY id", town.ann.shop.tenant_id)
    async with prompt(CUSTOMER_ROLE, claims=town.ann.claims) as sql:
        for table in tables:
            column = await admin.fetchval(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::TEXT::REGCLASS AND attnum = 1", table
            )
            for statement in (
                f"INSERT INTO {table} DEFAULT VALUES",
                f"UPDATE {table} SET {column} = {column}",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
                f"LOCK TABLE {table} IN EXCLUSIVE MODE",
            ):
                async with refused(sql):
                    await sql.execute(statement)
            async with refused(sql):
                await sql.copy_to_table(table, source=io.BytesIO(b""))
        async with refused(sql):
            await sql.fetch("SELECT id FROM orders FOR UPDATE")
        for statement in ("CREATE TABLE own (id INTEGER)", "SET ROLE storeroom_app"):
            async with refused(sql):
                await sql.execute(statement)
    after = await admin.fetch("SELECT * FROM orders WHERE tenant_id = $1 ORDER BY id", town.ann.shop.tenant_id)
    assert after == before


@pytest.mark.requirement("SIG-SEC-03")
async def test_copy_out_gives_a_customer_its_own(town: Town, prompt: As) -> None:
    async with prompt(CUSTOMER_ROLE, claims=town.ann.claims) as sql:
        for copy in (
            sql.copy_from_table("orders", columns=["id"], output=(whole := io.BytesIO())),
            sql.copy_from_query("SELECT id FROM orders", output=(asked := io.BytesIO())),
        ):
            await copy
        for output in (whole, asked):
            assert set(output.getvalue().decode().split()) == {str(order) for order in town.ann.orders}
        async with refused(sql):
            await sql.copy_from_table("orders", output=io.BytesIO())


async def test_a_customer_calls_no_function_of_ours(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    ours = await admin.fetch(
        "SELECT f.oid::REGPROCEDURE::TEXT AS name, has_function_privilege($1, f.oid, 'EXECUTE') AS may FROM pg_proc AS f "
        "WHERE f.pronamespace = 'public'::REGNAMESPACE AND f.proowner = 'storeroom_owner'::REGROLE",
        CUSTOMER_ROLE,
    )
    assert len(ours) > 2
    assert [row["name"] for row in ours if row["may"]] == []
    async with prompt(CUSTOMER_ROLE, claims=town.ann.claims) as sql, refused(sql):
        await sql.fetch("SELECT release_order_units_v2($1, $2)", town.ann.shop.tenant_id, town.ann.open.order.id)


@pytest.mark.requirement("SIG-SEC-03")
@pytest.mark.parametrize("fault", ["none", "empty", "no tenant", "no person", "another shop", "unknown person"])
async def test_without_a_whole_identity_there_is_nothing(town: Town, prompt: As, fault: str) -> None:
    whole = town.ann.claims
    claims: dict[str, dict[str, str] | None] = {
        "none": None,
        "empty": {},
        "no tenant": {"sub": whole["sub"]},
        "no person": {"tenant_id": whole["tenant_id"]},
        "another shop": {**whole, "tenant_id": town.cat.claims["tenant_id"]},
        "unknown person": {**whole, "sub": "00000000-0000-7000-8000-000000000000"},
    }
    async with prompt(CUSTOMER_ROLE, claims=claims[fault]) as sql:
        for name in [*CUSTOMER_READS, *CUSTOMER_VIEWS]:
            assert await sql.fetch(f"SELECT tenant_id FROM {name}") == [], name


async def test_claims_that_make_no_sense_are_an_error(town: Town, prompt: As) -> None:
    async with prompt(CUSTOMER_ROLE, claims={**town.ann.claims, "sub": "no uuid"}) as sql:
        for claims in (None, "no json"):
            if claims is not None:
                await sql.execute("SELECT set_config('request.jwt.claims', $1, TRUE)", claims)
            async with refused(sql, "invalid input syntax", asyncpg.InvalidTextRepresentationError):
                await sql.fetch("SELECT id FROM orders")


@pytest.mark.parametrize("end", [UserStatus.SUSPENDED, UserStatus.BANNED, UserStatus.DELETED])
async def test_who_may_not_sign_in_reads_nothing(town: Town, prompt: As, end: UserStatus) -> None:
    """A token lives on for a while; the rows do not wait for it to end."""
    ann = town.ann
    if end is UserStatus.DELETED:
        await ann.shop.users.delete(user_id=ann.user.id)
    else:
        await _activate(ann)
        await ann.shop.users.set_status(user_id=ann.user.id, status=end)
    async with prompt(CUSTOMER_ROLE, claims=ann.claims) as sql:
        for name in [*CUSTOMER_READS, *CUSTOMER_VIEWS]:
            assert await sql.fetch(f"SELECT tenant_id FROM {name}") == [], name


async def _activate(customer: Customer) -> None:
    if customer.user.status is not UserStatus.ACTIVE:
        await customer.shop.users.set_status(user_id=customer.user.id, status=UserStatus.ACTIVE)


@pytest.mark.requirement("SIG-SEC-03")
async def test_an_identity_does_not_stay_on_a_connection(dsn: str, town: Town) -> None:
    """One connection serves them all, with its plans kept: whoever comes next is who they say, or nobody."""
    asked = "SELECT id FROM orders WHERE id = ANY ($1::UUID[])"
    everyone = [*town.ann.orders, *town.ben.orders, *town.cat.orders]
    async with await Database.open(dsn, role=CUSTOMER_ROLE, min_size=1, max_size=1) as db:
        await db.execute("SET plan_cache_mode = force_generic_plan")
        for customer in (town.ann, town.ben, town.cat, town.ann):
            async with db.transaction() as tx:
                await tx.execute("SELECT set_config('request.jwt.claims', $1, TRUE)", json.dumps(customer.claims))
                assert {row["id"] for row in await tx.fetch(asked, everyone)} == customer.orders
            assert await db.fetch(asked, everyone) == []
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                await tx.execute("SELECT set_config('request.jwt.claims', $1, TRUE)", json.dumps(town.ann.claims))
                raise ZeroDivisionError
        assert await db.fetch(asked, everyone) == []


async def test_control_an_identity_set_for_the_session_would_stay(dsn: str, town: Town) -> None:
    """The proof of the proof: with FALSE instead of TRUE the next caller is Ann."""
    async with await Database.open(dsn, role=CUSTOMER_ROLE, min_size=1, max_size=1) as db:
        async with db.transaction() as tx:
            await tx.execute("SELECT set_config('request.jwt.claims', $1, FALSE)", json.dumps(town.ann.claims))
        assert {row["id"] for row in await db.fetch("SELECT id FROM orders")} == town.ann.orders


MADE = """
SELECT 'policy ' || p.polname || ' on ' || p.polrelid::REGCLASS || ' ' || pg_get_expr(p.polqual, p.polrelid)
  FROM pg_policy AS p
UNION ALL
SELECT 'column ' || a.attrelid::REGCLASS || '.' || a.attname || ' ' || a.attacl::TEXT
  FROM pg_attribute AS a
 WHERE a.attacl::TEXT LIKE '%storeroom_authenticated=%'
UNION ALL
SELECT 'table ' || c.oid::REGCLASS || ' ' || (SELECT string_agg(a::TEXT, ' ' ORDER BY a::TEXT) FROM unnest(c.relacl) AS a)
  FROM pg_class AS c
 WHERE c.relnamespace = 'public'::REGNAMESPACE
 ORDER BY 1
"""


async def test_what_somebody_changed_is_restored_by_the_next_migrate(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    connection = await asyncpg.connect(await fresh_database())
    before = [row[0] for row in await connection.fetch(MADE)]
    assert any("storeroom_authenticated" in line for line in before)
    for change in (
        f"GRANT SELECT ON orders TO {CUSTOMER_ROLE}",
        f"GRANT SELECT (password_hash) ON users TO {CUSTOMER_ROLE}",
        f"GRANT SELECT ON tenants TO {CUSTOMER_ROLE}",
        f"GRANT INSERT, DELETE ON carts TO {CUSTOMER_ROLE}",
        f"GRANT UPDATE (status) ON payments TO {CUSTOMER_ROLE}",
        f"REVOKE SELECT (city) ON user_addresses FROM {CUSTOMER_ROLE}",
        f"GRANT EXECUTE ON FUNCTION release_order_units_v2 TO {CUSTOMER_ROLE}",
        f"REVOKE SELECT ON customer_orders_summary FROM {CUSTOMER_ROLE}",
        f"DROP POLICY {CUSTOMER_ROLE} ON users",
        # As if an earlier release had made it by another rule: a mark that is not the present one's.
        f"DROP POLICY {CUSTOMER_ROLE} ON orders",
        f"CREATE POLICY {CUSTOMER_ROLE} ON orders USING (TRUE)",
        f"COMMENT ON POLICY {CUSTOMER_ROLE} ON orders IS 'another'",
        f"CREATE POLICY {CUSTOMER_ROLE} ON carts USING (TRUE)",
    ):
        await connection.execute(change)
    assert [row[0] for row in await connection.fetch(MADE)] != before
    await migrate(connection)
    assert [row[0] for row in await connection.fetch(MADE)] == before
    assert not await connection.fetchval(
        "SELECT has_function_privilege($1, 'release_order_units_v2(text, uuid)', 'EXECUTE')", CUSTOMER_ROLE
    )
    await connection.close()


async def test_the_rules_follow_the_names_of_the_tables(fresh_database: Callable[..., Awaitable[str]]) -> None:
    connection = await asyncpg.connect(await fresh_database(empty=True))
    await migrate(connection, names=TableNames(prefix="s_", tables={"orders": "sales"}))
    rule = await connection.fetchval(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = $1 AND polrelid = 's_order_items'::REGCLASS",
        CUSTOMER_ROLE,
    )
    assert "FROM sales o" in rule
    assert await connection.fetchval(
        "SELECT has_column_privilege($1, 'sales', 'total_amount', 'SELECT')", CUSTOMER_ROLE
    )
    await connection.close()
