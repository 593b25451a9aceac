"""What whoever works for one shop gets who speaks SQL: storeroom_tenant has that shop's rows, and storeroom_app all."""

from __future__ import annotations

import io
from typing import Any

import asyncpg
import pytest
from town import As, Town, refused

from storeroom.database.migrations import TENANT_READS

TENANTS_TABLES = """
SELECT c.relname::TEXT AS name, c.relkind = 'p' AS cut,
       string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '' AND a.attnum > 1) AS columns,
       has_table_privilege('storeroom_tenant', c.oid, 'INSERT') AS grows,
       has_table_privilege('storeroom_tenant', c.oid, 'UPDATE') AS changes,
       has_table_privilege('storeroom_tenant', c.oid, 'DELETE') AS shrinks
  FROM pg_class AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND EXISTS (SELECT FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
 GROUP BY c.oid, c.relname
 ORDER BY 1
"""
# Of these the town has rows; the others are tried as well, and have none to lose.
FILLED = frozenset(
    """
    audit_logs auth_sessions cart_items carts customer_statistics order_items order_search order_status_history orders
    payment_attempts payment_methods payments product_variants products stock_levels stock_movements tenants
    user_addresses user_profiles users webhook_queue
    """.split()  # noqa: SIM905
)


async def tables(admin: asyncpg.Connection) -> list[Any]:
    found = list(await admin.fetch(TENANTS_TABLES))
    assert {row["name"] for row in found} >= FILLED
    return found


@pytest.mark.requirement("SIG-SEC-01")
async def test_a_shop_sees_all_of_its_own_and_nothing_of_another(
    town: Town, prompt: As, admin: asyncpg.Connection
) -> None:
    here = town.ann.shop.tenant_id
    async with prompt("storeroom_tenant", tenant_id=here) as sql:
        for table in await tables(admin):
            name = table["name"]
            own = await admin.fetchval(f"SELECT count(*) FROM {name} WHERE tenant_id = $1", here)
            assert own or name not in FILLED, name
            assert await sql.fetchval(f"SELECT count(*) FROM {name}") == own, name
            output = io.BytesIO()
            if table["cut"]:  # COPY of such a table would look at no partition
                await sql.copy_from_query(f"SELECT tenant_id FROM {name}", output=output)
            else:
                await sql.copy_from_table(name, columns=["tenant_id"], output=output)
            assert output.getvalue().decode().split() == [here] * own, name
        orders = await sql.fetch("SELECT tenant_id, id FROM customer_orders_summary")
        assert {row["id"] for row in orders} == town.ann.orders | town.ben.orders
        for view in ("customer_order_items", "customer_addresses", "customers"):
            rows = await sql.fetch(f"SELECT DISTINCT tenant_id FROM {view}")
            assert [row["tenant_id"] for row in rows] == [here], view


@pytest.mark.requirement("SIG-SEC-01")
async def test_without_a_shop_there_is_nothing(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    for tenant_id in (None, "", f"no_{town.ann.shop.tenant_id}", town.ann.shop.tenant_id.upper()):
        async with prompt("storeroom_tenant", tenant_id=tenant_id) as sql:
            for table in await tables(admin):
                assert await sql.fetchval(f"SELECT count(*) FROM {table['name']}") == 0, table["name"]


@pytest.mark.requirement("SIG-SEC-01")
async def test_a_shop_writes_nothing_of_another(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    """In every table, by every verb: the other's rows are not found, and none can be made or moved there."""
    here, there = town.ann.shop.tenant_id, town.cat.shop.tenant_id
    async with prompt("storeroom_tenant", tenant_id=here) as sql:
        for table in await tables(admin):
            name = table["name"]
            if table["changes"]:
                changed = await sql.execute(f"UPDATE {name} SET tenant_id = tenant_id WHERE tenant_id = $1", there)
                assert changed == "UPDATE 0", name
            if table["shrinks"]:
                assert await sql.execute(f"DELETE FROM {name} WHERE tenant_id = $1", there) == "DELETE 0", name
            if name not in FILLED:
                continue
            # A row of one's own, said to be the other's: a copy is made there, or the row itself moved there.
            copied = (
                f"INSERT INTO {name} (tenant_id, {table['columns']}) SELECT $1, {table['columns']} FROM {name} LIMIT 1"
            )
            async with refused(sql, "row-level security" if table["grows"] else "permission denied"):
                await sql.execute(copied, there)
            async with refused(sql, "row-level security" if table["changes"] else "permission denied"):
                await sql.execute(f"UPDATE {name} SET tenant_id = $1", there)
        for name in TENANT_READS:
            async with refused(sql):
                await sql.execute(f"UPDATE {name} SET tenant_id = tenant_id")


@pytest.mark.requirement("SIG-SEC-01")
async def test_copy_in_knows_no_policy_and_is_refused(town: Town, prompt: As) -> None:
    here, there = town.ann.shop.tenant_id, town.cat.shop.tenant_id
    row = f"{there}\tx:1\t2026-01-01\n".encode()
    refusal = "COPY FROM not supported with row-level security"
    async with (
        prompt("storeroom_tenant", tenant_id=here) as sql,
        refused(sql, refusal, asyncpg.FeatureNotSupportedError),
    ):
        await sql.copy_to_table("rate_counters", source=io.BytesIO(row), columns=["tenant_id", "bucket", "window_at"])


async def test_functions_work_for_the_shop_that_calls_them(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    """The other's order, named with the other's tenant: nothing is found, nothing given back."""
    there, order = town.cat.shop.tenant_id, town.cat.open.order.id
    held = "SELECT sum(quantity_held)::int FROM order_items WHERE tenant_id = $1 AND order_id = $2"
    async with prompt("storeroom_tenant", tenant_id=town.ann.shop.tenant_id) as sql:
        assert await sql.fetchval("SELECT release_order_units_v2($1, $2)", there, order) == 0
        assert await sql.fetch("SELECT * FROM ship_order_units_v1($1, $2, '{}', 'admin', NULL)", there, order) == []
        await sql.execute("COMMIT")
    assert await admin.fetchval(held, there, order) == 1
    async with prompt("storeroom_tenant", tenant_id=there) as sql:  # the control: its own shop may
        assert await sql.fetchval("SELECT release_order_units_v2($1, $2)", there, order) == 1


async def test_what_runs_with_its_owners_rights_is_the_services_alone(admin: asyncpg.Connection) -> None:
    """A SECURITY DEFINER function knows no policies."""
    ours = await admin.fetch(
        "SELECT f.proname::TEXT AS name, f.prosecdef AS definer, r.name AS role, "
        "has_function_privilege(r.name, f.oid, 'EXECUTE') AS may FROM pg_proc AS f "
        "CROSS JOIN (VALUES ('storeroom_app'), ('storeroom_tenant'), ('storeroom_authenticated')) AS r (name) "
        "WHERE f.pronamespace = 'public'::REGNAMESPACE AND f.proowner = 'storeroom_owner'::REGROLE"
    )
    assert len(ours) > 6
    for row in ours:
        expected = {"storeroom_app": True, "storeroom_tenant": not row["definer"], "storeroom_authenticated": False}
        assert row["may"] == expected[row["role"]], dict(row)


async def test_statistics_of_the_planner_tell_a_shop_nothing(town: Town, prompt: As, admin: asyncpg.Connection) -> None:
    await admin.execute("ANALYZE users")
    assert await admin.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = 'users'") > 0
    async with prompt("storeroom_tenant", tenant_id=town.ann.shop.tenant_id) as sql:
        assert await sql.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = 'users'") == 0


@pytest.mark.requirement("SIG-SEC-02")
async def test_the_service_reads_and_writes_every_customers_rows(
    town: Town, prompt: As, admin: asyncpg.Connection
) -> None:
    shops = [town.ann.shop.tenant_id, town.cat.shop.tenant_id]
    async with prompt("storeroom_app") as sql:
        for table in await tables(admin):
            count = f"SELECT count(*) FROM {table['name']} WHERE tenant_id = ANY ($1)"
            there = await admin.fetchval(count, shops)
            assert there or table["name"] not in FILLED, table["name"]
            assert await sql.fetchval(count, shops) == there, table["name"]
        for name in ("users", "user_profiles", "user_addresses", "orders", "order_items", "payments"):
            for customer in (town.ann, town.ben, town.cat):
                done = await sql.execute(
                    f"UPDATE {name} SET tenant_id = tenant_id WHERE tenant_id = $1", customer.shop.tenant_id
                )
                assert done != "UPDATE 0"


async def test_control_a_policy_that_is_taken_away_is_missed(town: Town, dsn: str) -> None:
    """The proof of the proof: row level security off, and one shop reads the other's orders."""
    connection = await asyncpg.connect(dsn)
    await connection.transaction().start()
    await connection.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY; SET LOCAL ROLE storeroom_tenant")
    await connection.execute("SELECT set_config('storeroom.tenant_id', $1, TRUE)", town.ann.shop.tenant_id)
    assert {row["id"] for row in await connection.fetch("SELECT id FROM orders")} >= town.cat.orders
    await connection.close()
