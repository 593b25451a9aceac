"""Every statement has an index for it, and every index a statement."""

from __future__ import annotations

import asyncpg
import pytest

from filled import ROWS, Plan, plans_inside
from storeroom.core.ids import new_id
from storeroom.database.connecting import prepare_connection

pytestmark = pytest.mark.timeout(600)  # whoever comes first fills the database

# What an operator asks once: the doctor reads everything, and so does `storeroom secrets status`, which counts by key.
READS_ALL = (
    "doctor.",
    "configuration.config_seals",
    "conversions.depth",  # 100,000 rows of it at most, and what was told has left it
    "conversions.provider_seals",
    "erp.connection_seals",
    "gateways.gateway_seals",
    "inbox.source_seals",
    "integration.endpoint_seals",
    "notices.notice_seals",
    "verification.factor_seals",
)

# Statements that read all of a table of the installation, which has a row for each periodic job.
WHOLE_INDEX_IS_FINE = frozenset({"doctor.schedule_is_kept", "timetable.scheduled_jobs"})

# Indexes whose statements come with a later step of the requirements: the ERP's queue.
WAITING = frozenset(
    {
        "idx_webhook_queue_status",
        "idx_webhook_queue_entity",
    }
)


@pytest.mark.requirement("SBB-PRIN-08")
async def test_no_statement_reads_a_growing_table_from_end_to_end(plans: list[Plan]) -> None:
    assert plans
    found = [
        f"{plan.query}: {sorted(plan.read_whole)}"
        for plan in plans
        if plan.read_whole and not plan.query.startswith(READS_ALL)
    ]
    assert found == []


async def test_no_statement_of_a_tenant_reads_an_index_from_end_to_end(plans: list[Plan]) -> None:
    found = [
        f"{plan.query}: {sorted(plan.unconditioned())}"
        for plan in plans
        if plan.unconditioned() and not plan.all_tenants and plan.query not in WHOLE_INDEX_IS_FINE
    ]
    assert found == []


async def test_the_tables_are_long_enough_to_tell(filled: asyncpg.Connection) -> None:
    """A table of one page is read whole by any plan: the control of the two tests above."""
    assert await filled.fetchval("SELECT count(*) FROM orders") == ROWS
    plan = await filled.fetch("EXPLAIN SELECT 1 FROM orders WHERE customer_name = 'nobody'")
    assert "Seq Scan" in plan[0][0]


@pytest.mark.requirement("SBB-IDX-16")
async def test_every_index_serves_a_statement_or_a_constraint(
    filled: asyncpg.Connection, plans: list[Plan], placing: list[Plan]
) -> None:
    used = set().union(*(plan.indexes for plan in plans + placing))
    spare = {
        row["name"]
        for row in await filled.fetch(
            """
            SELECT c.relname AS name
              FROM pg_index i
              JOIN pg_class c ON c.oid = i.indexrelid
             WHERE c.relnamespace = 'public'::regnamespace
               AND NOT i.indisunique
               AND NOT c.relispartition
               AND NOT EXISTS (SELECT FROM pg_constraint k
                                WHERE k.contype = 'f' AND k.conrelid = i.indrelid
                                  AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
            """
        )
    } - used
    assert spare - WAITING == set()


async def test_placing_orders_reads_no_growing_table_whole(placing: list[Plan]) -> None:
    """What runs inside the function, for a group of one and of many."""
    assert len(placing) > 40
    assert {plan.query[:60]: plan.read_whole for plan in placing if plan.read_whole} == {}


@pytest.fixture(scope="session")
async def placing(filled: asyncpg.Connection, plans: list[Plan]) -> list[Plan]:
    """The plans of what place_orders_v2 runs inside, caught by auto_explain; its orders are rolled back."""
    await prepare_connection(filled)
    transaction = filled.transaction()
    await transaction.start()
    try:
        await filled.execute(
            "UPDATE products SET status = 'active', deleted_at = NULL, is_digital = TRUE, currency = 'USD', "
            "requires_age_verification = FALSE, requires_kyc = FALSE"
        )
        await filled.execute(
            "UPDATE product_variants SET is_active = TRUE, currency = 'USD', price = 5, stock_policy = 'deny'"
        )
        await filled.execute("UPDATE stock_levels SET on_hand = 1000000, reserved = 0")
        await filled.execute("UPDATE users SET status = 'active'")
        await filled.execute("UPDATE store_credits SET currency = 'USD', balance = 1000 WHERE tenant_id = 't7'")
        await filled.execute(
            "UPDATE payment_methods SET code = 'store-credit' WHERE (tenant_id, id) = "
            "(SELECT tenant_id, id FROM payment_methods WHERE tenant_id = 't7' LIMIT 1)"
        )
        rows = await filled.fetch("SELECT id FROM product_variants WHERE tenant_id = 't7' LIMIT 40")
        settings = {"currency": "USD", "order_window": "P7D", "open_orders_max": 20, "compliance_required": False}
        found = []
        for group in (1, 20):
            orders = [order(ordinal, [row["id"] for row in rows[ordinal : ordinal + 2]]) for ordinal in range(group)]
            found += await plans_inside(filled, "SELECT * FROM place_orders_v2($1, $2, $3)", "t7", orders, settings)
            await filled.execute(COUPON, f"TYPED{group}", False)
            await filled.execute(COUPON, f"AUTO{group}", True)
            buyers = await filled.fetch(BUYERS, group)
            orders = [
                order(ordinal, [rows[-1 - ordinal]["id"]], buyer["user_id"], coupons=[f"TYPED{group}"])
                for ordinal, buyer in enumerate(buyers)
            ]
            inside = await plans_inside(filled, "SELECT * FROM place_orders_v2($1, $2, $3)", "t7", orders, settings)
            said = await filled.fetch("SELECT * FROM place_orders_v2($1, $2, $3)", "t7", orders, settings)
            assert {row["verdict"] for row in said} == {"replayed"}, said
            for table in ("coupons", "coupon_redemptions", "order_discounts", "store_credits", "domains", "events"):
                assert any(table in plan.query for plan in inside), f"nothing was done to {table}"
            found += inside
        placed = await filled.fetch(
            "SELECT * FROM place_orders_v2($1, $2, $3)", "t7", [order(0, [rows[0]["id"]])], settings
        )
        assert placed[0]["verdict"] == "placed"
        return found
    finally:
        await transaction.rollback()


COUPON = """
INSERT INTO coupons (tenant_id, id, code, name, discount_type, percentage, scope, applies_at, usage_limit, usage_count,
                     usage_limit_per_user, first_order_only, auto_apply, is_active, starts_at)
VALUES ('t7', gen_random_uuid(), $1, '', 'percentage', 40, 'all', 'checkout', 1000, 0, 100, FALSE, $2, TRUE,
        now() - INTERVAL '1 day')
"""
BUYERS = """
SELECT DISTINCT ON (s.user_id) s.user_id
  FROM store_credits s
  JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
 WHERE s.tenant_id = 't7'
 LIMIT $1
"""


def order(
    ordinal: int, variants: list[object], user_id: object = None, coupons: list[str] | None = None
) -> dict[str, object]:
    id_ = new_id()
    return {
        "user_id": user_id,
        "coupons": coupons or [],
        "credit_limit": 1 if user_id else None,
        "credit_payment_id": new_id(),
        "credit_reference": id_.hex[-10:],
        "credit_entry_id": new_id(),
        "domain": "shop.example",
        "ordinal": ordinal,
        "id": id_,
        "order_number": id_.hex[-12:],
        "history_id": new_id(),
        "webhook_id": new_id(),
        "source": "test",
        "any_cart": True,
        "session_id": new_id(),
        "idempotency_scope": "checkout",
        "idempotency_key": id_.hex,
        "request_fingerprint": "x",
        "idempotency_ttl": "P1D",
        "purchase_id": id_.hex,
        "customer_email": "a@example.com",
        "customer_name": "A",
        "actor_kind": "customer",
        "lines": [{"id": new_id(), "variant_id": variant, "quantity": 1} for variant in variants],
    }
