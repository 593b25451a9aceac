"""Where the orders of a test are placed."""

from __future__ import annotations

from typing import Any

from market import Market
from storeroom.core.contact import Address
from storeroom.core.ids import VariantId, new_id
from storeroom.flows.checkout import Checkout
from storeroom.flows.model import Compliance, Placement, Purchase, PurchaseLine

HOME = Address(
    recipient_name="Ann Buyer",
    street_line_1="1 Main Street",
    city="Albany",
    state_province="NY",
    postal_code="12207",
    country_code="US",
)
AGREED = Compliance(acknowledged=True, version="2026-01")


class Counter:
    """Where the shop's orders are placed, and what a test wants to know afterwards."""

    def __init__(self, market: Market, checkout: Checkout) -> None:
        self.market = market
        self.checkout = checkout

    def purchase(self, *variants: VariantId, **facts: Any) -> Purchase:
        """A purchase of one unit of each variant, unless `lines` or `cart_id` say otherwise."""
        if "cart_id" not in facts and "lines" not in facts:
            facts["lines"] = [PurchaseLine(variant_id=variant) for variant in variants]
        return Purchase(**{"email": "ann@example.com", "name": "Ann Buyer", "shipping_address": HOME, **facts})

    async def place(self, *variants: VariantId, **facts: Any) -> Placement:
        keyword = {name: facts.pop(name) for name in ("visitor", "idempotency_key") if name in facts}
        return await self.checkout.place(self.purchase(*variants, **facts), **keyword)

    async def regulated(self, variant_id: VariantId, **columns: Any) -> None:
        """Set columns of the variant's product."""
        for column, value in columns.items():
            await self.market.run(
                f"UPDATE {{products}} SET {column} = $3 WHERE tenant_id = $1 AND id = $2",
                self.market.products[variant_id],
                value,
            )

    async def method(self, code: str = "zelle", **columns: Any) -> None:
        facts = {
            "id": new_id(),
            "code": code,
            "method_type": "zelle",
            "name": "Zelle",
            "instructions": "Send it to pay@example.com",
            "payment_details": {"email": "pay@example.com", "recipient_name": "The Shop"},
            "currency": "USD",
            **columns,
        }
        names = ", ".join(facts)
        places = ", ".join(f"${place}" for place in range(2, len(facts) + 2))
        await self.market.run(
            f"INSERT INTO {{payment_methods}} (tenant_id, {names}) VALUES ($1, {places})", *facts.values()
        )

    async def count(self, table: str) -> int:
        """Rows of the tenant."""
        return await self.market.one(f"SELECT count(*) FROM {{{table}}} WHERE tenant_id = $1")

    async def trace(self) -> dict[str, int]:
        """How many rows an order has left, by table: what a refusal must not change."""
        tables = (
            "orders",
            "order_items",
            "order_status_history",
            "order_search",
            "payments",
            "webhook_queue",
            "idempotency_keys",
        )
        return {table: await self.count(table) for table in tables}
