"""An order desk of a fresh tenant, and quick ways to bring orders into being for it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, UserId, VariantId, human_code, new_id
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.orders import Order, Orders, OrderStatus, ShippingRates
from storeroom.orders.jobs import fill_search

STAFF = Actor(kind=ActorKind.ADMIN, name="ann@shop.example")
ADDRESS = {
    "recipient_name": "Bo Buyer",
    "street_line_1": "1 Main St",
    "city": "Austin",
    "state_province": "TX",
    "postal_code": "78701",
    "country_code": "US",
}


@dataclass
class Desk:
    """A tenant's orders, and what a test wants to know of the tables behind them."""

    db: Database
    tenant_id: str
    context: Context

    @property
    def orders(self) -> Orders:
        return Orders(self.context)

    @property
    def rates(self) -> ShippingRates:
        return ShippingRates(self.context)

    def as_actor(self, actor: Actor, **changes: Any) -> Orders:
        return Orders(msgspec.structs.replace(self.context, actor=actor, **changes))

    async def run(self, sql: str, *args: object) -> str:
        return await self.db.execute(self.db.names.render(sql), self.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        return await self.db.fetchval(self.db.names.render(sql), self.tenant_id, *args)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.db.fetch(self.db.names.render(sql), self.tenant_id, *args)]

    async def variant(
        self, *, stock: int = 10, price: int = 1000, policy: str = "deny", name: str = "Shirt", digital: bool = False
    ) -> VariantId:
        product, variant = new_id(), VariantId(new_id())
        await self.run(
            "INSERT INTO {products} (tenant_id, id, name, slug, product_type, status, currency, is_digital, "
            "requires_age_verification, published_at) "
            "VALUES ($1, $2, $3, $4, 'accessory', 'active', 'USD', $5, FALSE, now())",
            product,
            name,
            secrets.token_hex(6),
            digital,
        )
        await self.run(
            "INSERT INTO {product_variants} (tenant_id, id, product_id, sku, title, price, currency, stock_policy) "
            "VALUES ($1, $2, $3, $4, 'Large', $5, 'USD', $6)",
            variant,
            product,
            f"SKU-{secrets.token_hex(4)}",
            price,
            policy,
        )
        await self.run(
            "INSERT INTO {stock_levels} (tenant_id, variant_id, on_hand) VALUES ($1, $2, $3)", variant, stock
        )
        return variant

    async def user(self, email: str, *, verified: bool = True) -> UserId:
        user = UserId(new_id())
        await self.run(
            "INSERT INTO {users} (tenant_id, id, email, status, email_verified, email_verified_at) "
            "VALUES ($1, $2, $3, 'active', $4, CASE WHEN $4 THEN now() END)",
            user,
            email,
            verified,
        )
        return user

    async def place(self, *lines: tuple[VariantId, int], **fields: Any) -> Order:
        """An order of (variant, units) lines; of one unit of a new variant if none are given."""
        asked: Sequence[tuple[VariantId, int]] = lines or [(await self.variant(), 1)]
        extra = fields.pop("line_fields", {})
        order = {
            "ordinal": 0,
            "id": new_id(),
            "order_number": human_code(),
            "history_id": new_id(),
            "webhook_id": new_id(),
            "lines": [{"id": new_id(), "variant_id": v, "quantity": n, **extra} for v, n in asked],
            "customer_email": "bo@buyer.example",
            "customer_name": "Bo Buyer",
            "customer_phone": "15125550123",
            "shipping_address": ADDRESS,
            "actor_kind": "customer",
            **fields,
        }
        settings = {
            "currency": "USD",
            "order_window": timedelta(days=7),
            "open_orders_max": 20,
            "compliance_required": False,
        }
        row = await self.db.fetchrow(
            self.db.names.render("SELECT verdict, answer FROM {place_orders_v2}($1, $2, $3)"),
            self.tenant_id,
            [order],
            settings,
        )
        assert row["verdict"] == "placed", row
        return await self.orders.get(order_id=OrderId(order["id"]))  # type: ignore[arg-type]

    async def put(self, order_id: OrderId, status: OrderStatus) -> None:
        """Bring an order into a state by hand, past every rule."""
        await self.run(
            "UPDATE {orders} SET status = $3, cancelled_at = CASE WHEN $4 THEN now() END "
            "WHERE tenant_id = $1 AND id = $2",
            order_id,
            status,
            status is OrderStatus.CANCELLED,
        )

    async def placed_in(self, status: OrderStatus, *lines: tuple[VariantId, int], **fields: Any) -> Order:
        order = await self.place(*lines, **fields)
        await self.put(order.id, status)
        return await self.orders.get(order_id=order.id)

    async def stock(self, variant_id: VariantId) -> tuple[int, int]:
        rows = await self.rows(
            "SELECT on_hand, reserved FROM {stock_levels} WHERE tenant_id = $1 AND variant_id = $2", variant_id
        )
        return rows[0]  # type: ignore[return-value]

    async def told(self, order_id: OrderId) -> list[str]:
        """The events in the outbox about an order, without the first."""
        rows = await self.rows(
            "SELECT event_type FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2 ORDER BY created_at, id",
            order_id,
        )
        return [row[0] for row in rows if row[0] != "order.created"]

    async def drain(self) -> None:
        """Let the jobs, which work for all tenants, end what other tests of this worker have left to them."""
        while await cancel_unpaid(self.db) or await fill_search(self.db):
            pass

    async def chain(self, order_id: OrderId) -> list[tuple[str | None, str]]:
        """The history, oldest first, as (from, to)."""
        changes = reversed(await self.orders.history(order_id=order_id))
        return [(change.from_status, change.to_status) for change in changes]

    async def method(self, code: str = "zelle") -> UUID:
        method = new_id()
        await self.run(
            "INSERT INTO {payment_methods} (tenant_id, id, code, method_type, name, instructions, payment_details, "
            "currency) VALUES ($1, $2, $3, 'zelle', 'Zelle', 'Send it', jsonb_build_object(), 'USD')",
            method,
            code,
        )
        return method

    async def pay(
        self,
        order: Order,
        amount: int,
        *,
        status: str = "completed",
        refunded: int = 0,
        method: UUID | None = None,
        **more: Any,
    ) -> UUID:
        """A payment row as payments would have written it."""
        payment = new_id()
        received = status in ("completed", "refunded", "partially_refunded")
        await self.run(
            "INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, payment_method_id, amount, currency, "
            "status, received_amount, completed_at, refunded_amount, expires_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, 'USD', $7, $8, CASE WHEN $9 THEN now() END, $10, now() + $11)",
            payment,
            human_code(10, 5),
            order.id,
            method or await self.method(secrets.token_hex(4)),
            amount,
            status,
            amount if received else None,
            received,
            refunded,
            more.get("expires_in", timedelta(days=1)),
        )
        return payment
