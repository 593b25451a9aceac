"""A shop whose orders are paid, and what a test of refunds wants to know of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from factories import make_method, make_product, place, usd
from storeroom.core.ids import OrderId, PaymentId, UserId, VariantId, new_id
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.credit import CREDIT_METHOD
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.doctor import Gravity, examine
from storeroom.identity import User, UserRole
from storeroom.orders import Order
from storeroom.payments import Payment, new_reference
from storeroom.room import Shop


@dataclass
class Desk:
    """The shop in its administrator's name."""

    shop: Shop
    admin: User

    @property
    def db(self) -> Database:
        db = self.shop.context.db
        assert isinstance(db, Database)
        return db

    async def one(self, sql: str, *args: object) -> Any:
        return await self.db.fetchval(self.db.names.render(sql), self.shop.tenant_id, *args)

    async def run(self, sql: str, *args: object) -> str:
        return await self.db.execute(self.db.names.render(sql), self.shop.tenant_id, *args)

    async def row(self, table: str, id_: UUID) -> dict[str, Any]:
        found: dict[str, Any] = await self.one(
            f"SELECT to_jsonb(r) FROM {{{table}}} r WHERE tenant_id = $1 AND id = $2", id_
        )
        return found

    async def buyer(self) -> User:
        return await self.shop.acting(actor=SYSTEM).users.create(
            email=f"{secrets.token_hex(6)}@buyer.example", role=UserRole.CUSTOMER
        )

    async def paid(
        self,
        *lines: tuple[VariantId, int],
        received: Money | None = None,
        buyer: User | None = None,
    ) -> tuple[Order, Payment]:
        """An order of these lines, 10,000 in all where none are given, and its verified payment."""
        asked = lines or [(await make_product(self.shop, price=10_000), 1)]
        placed = await place(
            self.shop, *asked, payment_method="zelle", visitor=Visitor(user_id=buyer.id) if buyer else None
        )
        assert placed.order.payment is not None
        payment = await self.shop.payments.verify(payment_id=placed.order.payment.id, received=received)
        return await self.order(placed.order.id), payment

    async def with_credit(self, order: Order, user_id: UserId, amount: int) -> PaymentId:
        """Pay a part of an order from its buyer's credit, as the checkout writes it."""
        method = await self.shop.payment_methods.get_by_code(code=CREDIT_METHOD)
        payment_id = PaymentId(new_id())
        await self.run(
            "INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, "
            "currency, received_amount, status, completed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'USD', $7, 'completed', now())",
            payment_id,
            new_reference(),
            order.id,
            user_id,
            method.id,
            amount,
        )
        await self.run(
            "UPDATE {store_credits} SET balance = balance - $3 WHERE tenant_id = $1 AND user_id = $2", user_id, amount
        )
        await self.run(
            "INSERT INTO {store_credit_entries} (tenant_id, id, user_id, currency, amount, reason, order_id, payment_id, "
            "actor_kind) VALUES ($1, $2, $3, 'USD', -$4::bigint, 'spent', $5, $6, 'customer')",
            new_id(),
            user_id,
            amount,
            order.id,
            payment_id,
        )
        await self.run(
            "INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id) "
            "VALUES ($1, $2, 'webhooks', 'payment.completed', jsonb_build_object(), 'payment', $3)",
            new_id(),
            payment_id,
        )
        await self.shop.orders.recompute_paid(order_id=order.id)
        return payment_id

    async def order(self, order_id: OrderId) -> Order:
        return await self.shop.orders.get(order_id=order_id)

    async def payment(self, payment_id: PaymentId) -> Payment:
        return await self.shop.payments.get(payment_id=payment_id)

    async def stock(self, variant_id: VariantId) -> tuple[int, int]:
        level = await self.shop.inventory.level(variant_id=variant_id)
        return level.on_hand, level.reserved

    async def told(self, entity_id: UUID) -> list[str]:
        rows = await self.db.fetch(
            self.db.names.render(
                "SELECT event_type FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2 ORDER BY created_at, id"
            ),
            self.shop.tenant_id,
            entity_id,
        )
        return [row["event_type"] for row in rows]

    async def faults(self) -> list[str]:
        """What the doctor finds wrong with this shop."""
        return [
            f"{result.name}: {finding.subject} {finding.detail}"
            for result in await examine(self.db)
            if result.gravity is Gravity.BROKEN
            for finding in result.findings
            if finding.tenant_id == self.shop.tenant_id
        ]


async def open_desk(shop: Shop) -> Desk:
    admin = await shop.acting(actor=SYSTEM).users.create(
        email=f"{secrets.token_hex(6)}@shop.example", role=UserRole.SUPER_ADMIN
    )
    await make_method(shop)
    return Desk(shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=admin.id, name=admin.email)), admin)


__all__ = ["Desk", "open_desk", "usd"]
