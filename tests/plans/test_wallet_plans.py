"""What runs inside the functions of payments from wallets reads no growing table from end to end."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from filled import Plan, plans_inside
from storeroom.core.ids import new_id
from storeroom.database.connecting import prepare_connection

pytestmark = pytest.mark.timeout(600)  # whoever comes first fills the database

TENANT = "t7"


@pytest.fixture(scope="module")
async def inside(filled: asyncpg.Connection, plans: list[Plan]) -> list[Plan]:
    """The plans inside, caught by auto_explain; what they write is rolled back."""
    await prepare_connection(filled)
    transaction = filled.transaction()
    await transaction.start()
    try:
        variants = [
            row["id"]
            for row in await filled.fetch("SELECT id FROM product_variants WHERE tenant_id = $1 LIMIT 3", TENANT)
        ]
        items = [
            {"variant_id": variant, "quantity": 2, "unit_price": {"amount": 5, "currency": "USDC"}}
            for variant in variants
        ]
        quote_id = await filled.fetchval(
            "UPDATE cart_quotes SET items = $2, total_amount = 25, total_asset = 'USDC', wallet_paid_by = NULL, "
            "expires_at = now() + interval '1 hour' WHERE (tenant_id, id) = "
            "(SELECT tenant_id, id FROM cart_quotes WHERE tenant_id = $1 ORDER BY id LIMIT 1) RETURNING id",
            TENANT,
            items,
        )
        account = await filled.fetchval(
            "UPDATE receiving_accounts SET asset = 'USDC', is_active = TRUE WHERE (tenant_id, id) = "
            "(SELECT tenant_id, id FROM receiving_accounts WHERE tenant_id = $1 ORDER BY id LIMIT 1) RETURNING address",
            TENANT,
        )
        user = await filled.fetchval("SELECT id FROM users WHERE tenant_id = $1 LIMIT 1", TENANT)
        call = "SELECT * FROM record_verified_payment_v1($1, $2)"
        first = payment(account, quote_id=quote_id, user_id=user)
        found = await plans_inside(filled, call, TENANT, first)
        assert (await filled.fetchrow(call, TENANT, first))["verdict"] == "replayed"
        again = payment(account, items=items, total=25, purchase_id=quote_id)
        found += await plans_inside(filled, call, TENANT, again)
        found += await plans_inside(filled, call, TENANT, again)
        found += await plans_inside(
            filled,
            "SELECT * FROM record_payments_v1($1, $2)",
            TENANT,
            [
                {
                    "signature": f"new {n}",
                    "resource_id": "r",
                    "wallet": "w",
                    "amount": 1,
                    "amount_asset": "USDC",
                    "account": account,
                    "metadata": {},
                }
                for n in range(20)
            ],
        )
        await filled.execute(
            "UPDATE payment_transactions SET signature = 'old ' || signature WHERE tenant_id = $1", TENANT
        )
        found += await plans_inside(filled, "SELECT archive_transactions_v1($1, now() - interval '1 day', 5)", TENANT)
        return found
    finally:
        await transaction.rollback()


def payment(account: str, **facts: Any) -> dict[str, Any]:
    return {
        "signature": new_id().hex,
        "wallet": "buyer",
        "account": account,
        "amount": 25,
        "asset": "USDC",
        "resource_id": "r",
        "metadata": {},
        "line_ids": [new_id() for _ in range(3)],
        "source": "wallet",
        "purchase_id": facts.get("quote_id"),
        "order_id": new_id(),
        "order_number": new_id().hex[-12:],
        "history_ids": [new_id(), new_id()],
        "payment_id": new_id(),
        "payment_reference": new_id().hex[-12:],
        "method": "wallet-usdc",
        "method_id": new_id(),
        "webhook_ids": [new_id(), new_id()],
        "customer_email": "a@example.com",
        "customer_name": "A",
        "actor_kind": "system",
        **facts,
    }


async def test_paying_reads_no_growing_table_whole(inside: list[Plan]) -> None:
    """A quote that becomes an order, the same again, another payment of the order, a batch, and the archival."""
    assert len(inside) > 40
    assert {plan.query[:60]: plan.read_whole for plan in inside if plan.read_whole} == {}
