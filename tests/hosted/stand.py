"""A shop whose customers pay on a provider's page, and what a test wants to know of its tables."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from factories import make_method, make_product, place, usd
from storeroom.core.ids import PaymentId
from storeroom.core.money import Money
from storeroom.database.service import Actor, ActorKind
from storeroom.flows.model import PlacedOrder
from storeroom.hosted import MpgsTransaction, StripeSession
from storeroom.payments import Payment, PaymentMethodType, PaymentStatus
from storeroom.room import Shop

PROVIDER = Actor(kind=ActorKind.WEBHOOK, name="stripe")
CARD = "4111111111111111"
SECURITY_CODE = "739"


@dataclass
class Stand:
    """A fresh shop, seen by what acts on a provider's word."""

    shop: Shop

    @property
    def as_customer(self) -> Shop:
        return self.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="guest"))

    async def method(self, code: str = "card", **settings: Any) -> str:
        kind = settings.pop("method_type", PaymentMethodType.STRIPE)
        await make_method(
            self.shop, code, name="Card", method_type=kind, is_manual=False, payment_details={}, **settings
        )
        return code

    async def order(
        self, total: int = 10_000, *, code: str | None = None, **settings: Any
    ) -> tuple[PlacedOrder, Payment]:
        """An order of one thing, and its pending payment by a method of its own."""
        method = code or await self.method(secrets.token_hex(4), **settings)
        placed = await place(self.shop, (await make_product(self.shop, price=total), 1), payment_method=method)
        assert placed.order.payment is not None
        return placed.order, await self.shop.payments.get(payment_id=placed.order.payment.id)

    async def session(self, total: int = 10_000, **facts: Any) -> tuple[PlacedOrder, StripeSession]:
        order, payment = await self.order(total)
        saved = await self.shop.hosted_sessions.save(
            **{
                "id": f"cs_test_{secrets.token_hex(12)}",
                "resource_id": order.number,
                "amount": usd(total),
                "payment_id": payment.id,
                **facts,
            }
        )
        return order, saved

    async def transaction(self, total: int = 10_000, **facts: Any) -> tuple[PlacedOrder, MpgsTransaction]:
        order, payment = await self.order(total, method_type=PaymentMethodType.MPGS)
        made = await self.shop.mpgs_transactions.create(
            **{
                "session_id": f"SESSION{secrets.token_hex(12)}",
                "amount": usd(total),
                "success_indicator": "8b1f6a6e6b0d4c57",
                "session_version": "1f2a3b4c01",
                "order_id": order.id,
                "payment_id": payment.id,
                "order_increment_id": order.number,
                "transaction_reference": payment.reference,
                **facts,
            }
        )
        return order, made

    async def put(self, payment_id: PaymentId, status: PaymentStatus) -> None:
        """Bring a payment that got no money into a state by hand."""
        await self.run("UPDATE {payments} SET status = $3 WHERE tenant_id = $1 AND id = $2", payment_id, status)

    async def paid(self, order: PlacedOrder) -> tuple[str, int, list[tuple[str, int | None]]]:
        """The order's status, what it has received, and its payments as (status, received), oldest first."""
        found = await self.shop.orders.get(order_id=order.id)
        payments = await self.shop.payments.for_order(order_id=order.id)
        return (
            found.status.value,
            found.amount_paid.amount,
            [(each.status.value, each.received_amount and each.received_amount.amount) for each in payments],
        )

    async def run(self, sql: str, *args: object) -> str:
        db = self.shop.context.db
        return await db.execute(db.names.render(sql), self.shop.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        db = self.shop.context.db
        return await db.fetchval(db.names.render(sql), self.shop.tenant_id, *args)

    async def told(self, event: str) -> int:
        """How many events of a kind wait in the outbox."""
        return int(
            await self.one("SELECT count(*) FROM {webhook_queue} WHERE tenant_id = $1 AND event_type = $2", event)
        )

    async def audited(self, action: str) -> int:
        return int(await self.one("SELECT count(*) FROM {audit_logs} WHERE tenant_id = $1 AND action = $2", action))

    async def all_text(self) -> str:
        """Everything that any table holds of this shop, as text."""
        db = self.shop.context.db
        tables = await db.fetch(
            "SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
            "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        )
        assert len(tables) > 30
        texts = [
            row["text"]
            for table in tables
            for row in await db.fetch(
                f'SELECT to_jsonb(t)::text AS text FROM "{table["name"]}" t WHERE tenant_id = $1', self.shop.tenant_id
            )
        ]
        return "\n".join(sorted(texts))


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
