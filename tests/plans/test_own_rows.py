"""A customer's policies are conditions of an index: nobody's request reads a shop's whole table."""

from __future__ import annotations

import json

import asyncpg
import pytest

from filled import SMALL, nodes_of
from storeroom.database.access import CUSTOMER_READS, CUSTOMER_ROLE

pytestmark = pytest.mark.timeout(600)  # whoever comes first fills the database

CLAIMS = json.dumps({"sub": "00000000-0000-7000-8000-000000000001", "tenant_id": "t1"})
ASKED = [
    *(f"SELECT tenant_id FROM {table}" for table in CUSTOMER_READS),
    "SELECT id, total_amount FROM orders ORDER BY id DESC LIMIT 20",
    "SELECT id FROM order_items WHERE order_id = '00000000-0000-7000-8000-000000000001'",
    "SELECT id FROM payments WHERE order_id = '00000000-0000-7000-8000-000000000001'",
    "SELECT id, payment_method FROM customer_orders_summary ORDER BY id DESC LIMIT 20",
    "SELECT id FROM customer_addresses",
]


@pytest.mark.parametrize("asked", ASKED)
async def test_an_index_finds_a_customers_rows(filled: asyncpg.Connection, asked: str) -> None:
    async with filled.transaction():
        await filled.execute("SELECT set_config('request.jwt.claims', $1, TRUE)", CLAIMS)
        await filled.execute(f"SET LOCAL ROLE {CUSTOMER_ROLE}")
        plan = list(nodes_of(json.loads(await filled.fetchval(f"EXPLAIN (FORMAT JSON) {asked}"))))
        await filled.execute("RESET ROLE")
    assert {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"} - SMALL == set()


async def test_control_without_claims_to_go_by_it_would_be_read_whole(filled: asyncpg.Connection) -> None:
    plan = list(nodes_of(json.loads(await filled.fetchval("EXPLAIN (FORMAT JSON) SELECT customer_name FROM orders"))))
    assert {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"} == {"orders"}
