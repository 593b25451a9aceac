"""Subscriptions as they stand: one, those of a holder or a product, and who has access."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from storeroom.core.clock import utc
from storeroom.core.ids import ProductId, SubscriptionId, UserId
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation
from storeroom.subscriptions import queries
from storeroom.subscriptions.checks import checked_instant, checked_status, found
from storeroom.subscriptions.errors import (
    InvalidSubscription,
    SubscriptionNotFound,
)
from storeroom.subscriptions.model import (
    HISTORY_MAX,
    HistoryEntry,
    Subscription,
    SubscriptionStatus,
)
from storeroom.wallets import normal_code

_BEFORE_ALL: Final = (datetime(1, 1, 1, tzinfo=UTC), SubscriptionId(UUID(int=0)))


class SubscriptionReading(Service):
    """What is asked of the subscriptions of one shop."""

    @operation
    async def get(self, *, subscription_id: SubscriptionId) -> Subscription:
        """One subscription, in whatever state. Raises SubscriptionNotFound."""
        return found(await queries.subscription(self.db, tenant_id=self.tenant_id, id=subscription_id), subscription_id)

    @operation
    async def by_wallet(self, *, wallet: str, product_id: ProductId) -> Subscription | None:
        """The one that gives a wallet access to a product now; of several the one that lasts longest."""
        if not wallet.isprintable():  # nobody has such a one, and PostgreSQL holds no NUL
            return None
        return await queries.subscription_of_wallet(
            self.db, tenant_id=self.tenant_id, wallet=normal_code(wallet), product_id=product_id
        )

    @operation
    async def by_stripe_subscription_id(self, *, stripe_subscription_id: str) -> Subscription:
        """By Stripe's id. Raises SubscriptionNotFound."""
        if not stripe_subscription_id.isprintable():
            raise SubscriptionNotFound(subscription=repr(stripe_subscription_id))
        row = await queries.subscription_by_stripe_id(
            self.db, tenant_id=self.tenant_id, stripe_subscription_id=stripe_subscription_id
        )
        return found(row, stripe_subscription_id)

    @operation
    async def by_stripe_customer_id(
        self, *, stripe_customer_id: str, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """All of a Stripe customer, in whatever state, newest first; none where Stripe's customer is unknown."""
        size, before = page_size(limit), _before(cursor)
        if not stripe_customer_id.isprintable():
            return Page([], None)
        rows = await queries.subscriptions_of_stripe_customer(
            self.db,
            tenant_id=self.tenant_id,
            stripe_customer_id=stripe_customer_id,
            before=before,
            size=size + 1,
        )
        return page_of(rows, size, _key)

    @operation
    async def list_by_product(
        self, *, product_id: ProductId, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """All of a product, in whatever state, newest first."""
        size, before = page_size(limit), _before(cursor)
        rows = await queries.subscriptions_of_product(
            self.db, tenant_id=self.tenant_id, product_id=product_id, before=before, size=size + 1
        )
        return page_of(rows, size, _key)

    @operation
    async def list_by_user(
        self, *, user_id: UserId, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """All of an account, in whatever state, newest first."""
        size, before = page_size(limit), _before(cursor)
        rows = await queries.subscriptions_of_user(
            self.db, tenant_id=self.tenant_id, user_id=user_id, before=before, size=size + 1
        )
        return page_of(rows, size, _key)

    @operation
    async def list_by_status(
        self, *, status: SubscriptionStatus | str, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """All of a state, whatever their period, newest first."""
        size, before = page_size(limit), _before(cursor)
        rows = await queries.subscriptions_of_status(
            self.db, tenant_id=self.tenant_id, status=checked_status(status), before=before, size=size + 1
        )
        return page_of(rows, size, _key)

    @operation
    async def list_active(
        self, *, product_id: ProductId | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """Those that give access now, newest first: trialing, active or past due, and inside their period."""
        size, before = page_size(limit), _before(cursor)
        rows = await queries.subscriptions_live(
            self.db, tenant_id=self.tenant_id, product_id=product_id, before=before, size=size + 1
        )
        return page_of(rows, size, _key)

    @operation
    async def list_expiring(
        self, *, before: datetime, cursor: str | None = None, limit: int | None = None
    ) -> Page[Subscription]:
        """Trialing, active and past due ones whose period ends earlier than `before`, the first to end first.

        Half open: one that ends at `before` itself is not among them; it still gives access until then.
        """
        size = page_size(limit)
        after = decode_cursor(cursor, (datetime, SubscriptionId)) if cursor else _BEFORE_ALL
        rows = await queries.subscriptions_expiring(
            self.db,
            tenant_id=self.tenant_id,
            until=checked_instant("before", before),
            after_end=utc(after[0]),
            after_id=after[1],
            size=size + 1,
        )
        return page_of(rows, size, lambda each: (each.current_period_end, each.id))

    @operation
    async def has_access(
        self, *, product_id: ProductId, wallet: str | None = None, user_id: UserId | None = None
    ) -> bool:
        """Whether a wallet or an account may use a product now, by the database's clock.

        Raises:
            InvalidSubscription: neither is given.
        """
        if wallet is None and user_id is None:
            raise InvalidSubscription(field="wallet", reason="a wallet or an account is given")
        if wallet is not None and await self.by_wallet(wallet=wallet, product_id=product_id) is not None:
            return True
        if user_id is None:
            return False
        row = await queries.subscription_of_user(
            self.db, tenant_id=self.tenant_id, user_id=user_id, product_id=product_id
        )
        return row is not None

    @operation
    async def history(self, *, subscription_id: SubscriptionId) -> list[HistoryEntry]:
        """What became of it, the newest first, HISTORY_MAX entries at most. Raises SubscriptionNotFound."""
        await self.get(subscription_id=subscription_id)
        return await queries.history(
            self.db, tenant_id=self.tenant_id, subscription_id=subscription_id, size=HISTORY_MAX
        )


def _key(each: Subscription) -> tuple[object, ...]:
    return (each.id,)


def _before(cursor: str | None) -> SubscriptionId | None:
    return decode_cursor(cursor, (SubscriptionId,))[0] if cursor else None
