"""A till: the payments of a fresh tenant, seen by its staff, with orders to be paid."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, PaymentId, SessionId, TenantId, UserId, human_code, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.orders import Order, Orders
from storeroom.payments import (
    Payment,
    PaymentMethod,
    PaymentMethods,
    PaymentMethodType,
    Payments,
    PaymentStatus,
    ProofStore,
    new_reference,
)
from storeroom.tenants import Tenants

ZELLE = {"email": "pay@shop.example", "recipient_name": "The Shop"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
ADDRESS = {
    "recipient_name": "Bo Buyer",
    "street_line_1": "1 Main St",
    "city": "Austin",
    "state_province": "TX",
    "postal_code": "78701",
    "country_code": "US",
}


def usd(amount: int) -> Money:
    return Money(amount, "USD")


@dataclass
class Till:
    """What a test does with payments, and what it wants to know of the tables behind them."""

    db: Database
    tenant_id: str
    context: Context
    files: ProofStore

    @property
    def payments(self) -> Payments:
        return Payments(self.context, files=self.files)

    @property
    def methods(self) -> PaymentMethods:
        return PaymentMethods(self.context)

    @property
    def orders(self) -> Orders:
        return Orders(self.context)

    def acting(self, kind: ActorKind, user_id: UserId | None = None, **changes: Any) -> Payments:
        actor = Actor(kind=kind, user_id=user_id, name=kind.value)
        return Payments(msgspec.structs.replace(self.context, actor=actor, **changes), files=self.files)

    async def run(self, sql: str, *args: object) -> str:
        return await self.db.execute(self.db.names.render(sql), self.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        return await self.db.fetchval(self.db.names.render(sql), self.tenant_id, *args)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.db.fetch(self.db.names.render(sql), self.tenant_id, *args)]

    async def method(self, code: str = "zelle", **settings: Any) -> PaymentMethod:
        given: dict[str, Any] = {
            "method_type": PaymentMethodType.ZELLE,
            "name": "Zelle",
            "instructions": "Send it to us",
            "payment_details": ZELLE,
        }
        return await self.methods.create(code=code, **(given | settings))

    async def user(self) -> UserId:
        user = UserId(new_id())
        await self.run(
            "INSERT INTO {users} (tenant_id, id, email, status) VALUES ($1, $2, $3, 'active')",
            user,
            f"{secrets.token_hex(6)}@buyer.example",
        )
        return user

    async def session(self) -> SessionId:
        return SessionId(new_id())

    async def order(self, total: int = 10_000, *, method: str | None = None, **fields: Any) -> Order:
        """An order of one thing that costs `total`, placed as the checkout places it."""
        product, variant, order = new_id(), new_id(), OrderId(new_id())
        await self.run(
            "INSERT INTO {products} (tenant_id, id, name, slug, product_type, status, published_at, currency, "
            "requires_age_verification) VALUES ($1, $2, 'Shirt', $3, 'accessory', 'active', now(), 'USD', FALSE)",
            product,
            secrets.token_hex(6),
        )
        await self.run(
            "INSERT INTO {product_variants} (tenant_id, id, product_id, sku, title, price, currency, stock_policy) "
            "VALUES ($1, $2, $3, $4, 'Large', $5, 'USD', 'untracked')",
            variant,
            product,
            secrets.token_hex(6),
            total,
        )
        paying = {"payment_method": method, "payment_id": new_id(), "payment_reference": new_reference()}
        asked = {
            "ordinal": 0,
            "id": order,
            "order_number": human_code(),
            "history_id": new_id(),
            "webhook_id": new_id(),
            "lines": [{"id": new_id(), "variant_id": variant, "quantity": 1}],
            "customer_email": "bo@buyer.example",
            "customer_name": "Bo Buyer",
            "customer_phone": "15125550123",
            "shipping_address": ADDRESS,
            "actor_kind": "customer",
            **(paying if method else {}),
            **fields,
        }
        settings = {
            "currency": "USD",
            "order_window": timedelta(days=7),
            "open_orders_max": 50,
            "compliance_required": False,
        }
        row = await self.db.fetchrow(
            self.db.names.render("SELECT verdict, answer FROM {place_orders_v2}($1, $2, $3)"),
            self.tenant_id,
            [asked],
            settings,
        )
        assert row is not None
        assert row["verdict"] == "placed", row
        return await self.orders.get(order_id=order)

    async def pending(self, total: int = 10_000, *, code: str | None = None, **settings: Any) -> Payment:
        """A payment that was just started, by a method of its own, for an order of its own."""
        method = await self.method(code or secrets.token_hex(4), **settings)
        order = await self.order(total)
        return await self.payments.start(order_id=order.id, method=method.code)

    async def put(self, payment_id: PaymentId, status: PaymentStatus) -> None:
        """Bring a payment into a state by hand, past every rule."""
        paid = status in (PaymentStatus.COMPLETED, PaymentStatus.REFUNDED, PaymentStatus.PARTIALLY_REFUNDED)
        await self.run(
            "UPDATE {payments} SET status = $3, received_amount = CASE WHEN $4 THEN amount END, "
            "completed_at = CASE WHEN $4 THEN now() END WHERE tenant_id = $1 AND id = $2",
            payment_id,
            status,
            paid,
        )

    async def age(self, payment_id: PaymentId, window_over_since: timedelta) -> None:
        """Date a payment so that its window ended so long ago; a negative time is still to come."""
        await self.run(
            "UPDATE {payments} SET expires_at = now() - $3::interval WHERE tenant_id = $1 AND id = $2",
            payment_id,
            window_over_since,
        )

    async def log(self, payment_id: PaymentId) -> list[tuple[int, str, str, str]]:
        """The attempts of a payment as (number, action, status, by whom)."""
        return [
            (a.attempt_number, a.action.value, a.status.value, a.performed_by_type.value)
            for a in await self.payments.attempts(payment_id=payment_id)
        ]

    async def told(self, entity_id: UUID) -> list[str]:
        """The events in the outbox about a payment or an order."""
        rows = await self.rows(
            "SELECT event_type FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2 ORDER BY created_at, id",
            entity_id,
        )
        return [row[0] for row in rows]

    async def row(self, payment_id: PaymentId) -> dict[str, Any]:
        """Every column of a payment, to see that nothing changed."""
        found = await self.db.fetchrow(
            self.db.names.render("SELECT to_jsonb(p) AS row FROM {payments} p WHERE tenant_id = $1 AND id = $2"),
            self.tenant_id,
            payment_id,
        )
        assert found is not None
        row: dict[str, Any] = found["row"]
        return row


async def open_till(database: Database, folder: Path) -> Till:
    tenants = Tenants(database)
    tenant_id = f"t_{secrets.token_hex(6)}"
    await tenants.create(tenant_id, name="A shop", currency="USD")
    context = Context(db=database, tenant_id=TenantId(tenant_id), tenants=tenants.cache, request_id="request-1")
    made = Till(database, tenant_id, context, ProofStore.at(str(folder)))
    admin = Actor(kind=ActorKind.ADMIN, user_id=await made.user(), name="ann@shop.example")
    made.context = msgspec.structs.replace(context, actor=admin, ip="203.0.113.9", user_agent="a browser")
    return made
