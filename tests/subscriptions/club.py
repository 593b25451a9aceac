"""A product that people subscribe to, and short ways to do so."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from factories import make_product
from storeroom.core.ids import ProductId, SubscriptionId
from storeroom.database.pool import Database
from storeroom.room import Shop
from storeroom.subscriptions import BillingPeriod, Subscription, SubscriptionPayment, Subscriptions


@dataclass
class Club:
    shop: Shop
    product_id: ProductId

    @property
    def subscriptions(self) -> Subscriptions:
        return self.shop.subscriptions

    @property
    def db(self) -> Database:
        db = self.shop.context.db
        assert isinstance(db, Database)
        return db

    async def join(self, **facts: Any) -> Subscription:
        """A monthly subscription of a fresh wallet, unless it is said otherwise."""
        return await self.subscriptions.create(
            **{
                "product_id": self.product_id,
                "wallet": f"wallet-{secrets.token_hex(8)}",
                "payment_method": SubscriptionPayment.MANUAL,
                "billing_period": BillingPeriod.MONTH,
                **facts,
            }
        )

    async def age(self, subscription: Subscription, by: timedelta) -> Subscription:
        """Let time pass: its dates move back."""
        await self.db.execute(
            "UPDATE subscriptions SET anchor_at = anchor_at - $3::interval, trial_end = trial_end - $3::interval, "
            "current_period_start = current_period_start - $3::interval, "
            "current_period_end = current_period_end - $3::interval WHERE tenant_id = $1 AND id = $2",
            self.shop.tenant_id,
            subscription.id,
            by,
        )
        return await self.get(subscription)

    async def end_in(self, subscription: Subscription, by: timedelta) -> Subscription:
        """Let so much time pass that its period ends so long from now."""
        now = await self.db.fetchval("SELECT now()")
        return await self.age(subscription, subscription.current_period_end - now - by)

    async def get(self, subscription: Subscription) -> Subscription:
        return await self.subscriptions.get(subscription_id=SubscriptionId(subscription.id))

    async def events(self, subscription: Subscription) -> list[str]:
        """What the outside was told, in order."""
        rows = await self.db.fetch(
            "SELECT event_type FROM webhook_queue WHERE tenant_id = $1 AND entity_id = $2 ORDER BY id",
            self.shop.tenant_id,
            subscription.id,
        )
        return [row["event_type"].removeprefix("subscription.") for row in rows]

    async def history(self, subscription: Subscription) -> list[str]:
        entries = await self.subscriptions.history(subscription_id=subscription.id)
        return [str(entry.event) for entry in reversed(entries)]


async def open_club(shop: Shop) -> Club:
    variant = await shop.products.variant(variant_id=await make_product(shop))
    return Club(shop=shop, product_id=variant.product_id)
