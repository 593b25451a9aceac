# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.subscriptions.model import (
    BillingPeriod,
    HistoryEntry,
    Subscription,
    SubscriptionEvent,
    SubscriptionPayment,
    SubscriptionStatus,
)

async def insert_subscription(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    product_id: UUID,
    user_id: UUID | None,
    wallet: str | None,
    stripe_customer_id: str | None,
    stripe_subscription_id: str | None,
    payment_method: SubscriptionPayment,
    billing_period: BillingPeriod,
    billing_interval: int,
    status: SubscriptionStatus,
    anchor_at: datetime,
    period_start: datetime,
    period_end: datetime,
    trial_end: datetime | None,
    grace_hours: int,
    cancelled_at: datetime | None,
    cancel_at_period_end: bool,
    metadata: Any,
) -> Subscription: ...
async def product_offer(db: Executor, /, *, tenant_id: str, product_id: UUID) -> dict[str, Any] | None: ...
async def held_before_by_wallet(db: Executor, /, *, tenant_id: str, wallet: str, product_id: UUID) -> bool: ...
async def held_before_by_user(db: Executor, /, *, tenant_id: str, user_id: UUID, product_id: UUID) -> bool: ...
async def held_before_by_stripe_customer(
    db: Executor, /, *, tenant_id: str, stripe_customer_id: str, product_id: UUID
) -> bool: ...
async def lock_holder(db: Executor, /, *, key: str) -> bool: ...
async def instant(db: Executor, /) -> datetime: ...
async def subscription(db: Executor, /, *, tenant_id: str, id: UUID) -> Subscription | None: ...
async def lock_subscription(db: Executor, /, *, tenant_id: str, id: UUID) -> Subscription | None: ...
async def subscription_by_stripe_id(
    db: Executor, /, *, tenant_id: str, stripe_subscription_id: str
) -> Subscription | None: ...
async def subscription_of_wallet(
    db: Executor, /, *, tenant_id: str, wallet: str, product_id: UUID
) -> Subscription | None: ...
async def subscription_of_user(
    db: Executor, /, *, tenant_id: str, user_id: UUID, product_id: UUID
) -> Subscription | None: ...
async def subscriptions_of_stripe_customer(
    db: Executor, /, *, tenant_id: str, stripe_customer_id: str, before: UUID | None = None, size: int
) -> list[Subscription]: ...
async def subscriptions_of_product(
    db: Executor, /, *, tenant_id: str, product_id: UUID, before: UUID | None = None, size: int
) -> list[Subscription]: ...
async def subscriptions_of_user(
    db: Executor, /, *, tenant_id: str, user_id: UUID, before: UUID | None = None, size: int
) -> list[Subscription]: ...
async def subscriptions_live(
    db: Executor, /, *, tenant_id: str, product_id: UUID | None = None, before: UUID | None = None, size: int
) -> list[Subscription]: ...
async def subscriptions_of_status(
    db: Executor, /, *, tenant_id: str, status: SubscriptionStatus, before: UUID | None = None, size: int
) -> list[Subscription]: ...
async def subscriptions_expiring(
    db: Executor, /, *, tenant_id: str, until: datetime, after_end: datetime, after_id: UUID, size: int
) -> list[Subscription]: ...
async def update_subscription(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID | None,
    wallet: str | None,
    stripe_customer_id: str | None,
    stripe_subscription_id: str | None,
    payment_method: SubscriptionPayment,
    billing_period: BillingPeriod,
    billing_interval: int,
    anchor_at: datetime,
    trial_end: datetime | None,
    grace_hours: int,
    metadata: Any,
) -> Subscription: ...
async def set_status(
    db: Executor, /, *, tenant_id: str, id: UUID, status: SubscriptionStatus, sources: Sequence[SubscriptionStatus]
) -> Subscription | None: ...
async def end_subscription(db: Executor, /, *, tenant_id: str, id: UUID) -> Subscription | None: ...
async def set_period(
    db: Executor, /, *, tenant_id: str, id: UUID, period_start: datetime, period_end: datetime, anchor_at: datetime
) -> Subscription: ...
async def set_ending(db: Executor, /, *, tenant_id: str, id: UUID, ending: bool) -> Subscription: ...
async def renewed_to(
    db: Executor, /, *, tenant_id: str, subscription_id: UUID, period_start: datetime, period_end: datetime
) -> bool: ...
async def payment_holders(db: Executor, /, *, tenant_id: str, names: Sequence[str]) -> list[UUID]: ...
async def order_of_payment(db: Executor, /, *, tenant_id: str, name: str) -> UUID | None: ...
async def payment_names(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[str]: ...
async def order_pays(
    db: Executor, /, *, tenant_id: str, order_id: UUID, product_id: UUID, user_id: UUID | None, wallet: str | None
) -> bool: ...
async def wallet_pays(
    db: Executor, /, *, tenant_id: str, signature: str, wallet: str, resources: Sequence[str], product_id: UUID
) -> bool: ...
async def take_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_reference: str,
    subscription_id: UUID,
    period_start: datetime | None,
    period_end: datetime | None,
) -> UUID | None: ...
async def waiting_payments(db: Executor, /, *, tenant_id: str, subscription_id: UUID) -> int: ...
async def use_payment(
    db: Executor, /, *, tenant_id: str, subscription_id: UUID, period_start: datetime, period_end: datetime
) -> str | None: ...
async def add_history(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    subscription_id: UUID,
    event: SubscriptionEvent,
    from_status: SubscriptionStatus | None,
    to_status: SubscriptionStatus,
    period_start: datetime,
    period_end: datetime,
    actor_kind: str,
    actor_id: UUID | None,
) -> int: ...
async def history(db: Executor, /, *, tenant_id: str, subscription_id: UUID, size: int) -> list[HistoryEntry]: ...
async def tenants_with_due(db: Executor, /, *, size: int) -> list[str]: ...
async def claim_due(db: Executor, /, *, tenant_id: str, size: int) -> list[Subscription]: ...
