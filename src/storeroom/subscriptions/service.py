"""Subscriptions: begun, paid for period by period, ended at once or at the end of what is paid.

Whatever changes one holds its row's lock; history and outbox row are written in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from storeroom import outbox
from storeroom.audit import audited
from storeroom.catalog import ProductNotFound
from storeroom.core.ids import ProductId, SubscriptionId, UserId, new_id
from storeroom.core.states import sources
from storeroom.database.errors import violations
from storeroom.database.service import transactional
from storeroom.identity import UserNotFound
from storeroom.subscriptions import queries
from storeroom.subscriptions.checks import checked_facts, checked_instant, checked_status, first_period, found
from storeroom.subscriptions.errors import (
    CollectedElsewhere,
    InvalidSubscription,
    NotOfferedBySubscription,
    PeriodGoesBack,
    SubscriptionEnded,
    SubscriptionMoveRefused,
    SubscriptionNotFound,
    SubscriptionTaken,
)
from storeroom.subscriptions.model import (
    LIVE,
    SUBSCRIPTION_MOVES,
    TRIAL_DAYS_MAX,
    BillingPeriod,
    Period,
    Subscription,
    SubscriptionConfig,
    SubscriptionEvent,
    SubscriptionPayment,
    SubscriptionStatus,
    period_after,
)
from storeroom.subscriptions.paying import Payer, SubscriptionPaying
from storeroom.wallets import normal_code

Status = SubscriptionStatus
Event = SubscriptionEvent
T = TypeVar("T")
# What a change of state is called; any other is a mere change.
_EVENTS: Final = {
    Status.ACTIVE: Event.REACTIVATED,
    Status.PAST_DUE: Event.PAST_DUE,
    Status.UNPAID: Event.UNPAID,
    Status.CANCELLED: Event.CANCELLED,
    Status.EXPIRED: Event.EXPIRED,
}


class SubscriptionChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays, what may be null is taken away by null."""

    user_id: UserId | UnsetType | None = UNSET
    wallet: str | UnsetType | None = UNSET
    stripe_customer_id: str | UnsetType | None = UNSET
    stripe_subscription_id: str | UnsetType | None = UNSET
    payment_method: SubscriptionPayment | UnsetType = UNSET
    billing_period: BillingPeriod | UnsetType = UNSET
    billing_interval: int | UnsetType = UNSET
    anchor_at: datetime | UnsetType = UNSET
    trial_end: datetime | UnsetType | None = UNSET
    grace_hours: int | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class Subscriptions(SubscriptionPaying):
    """The subscriptions of one shop."""

    @audited("subscriptions.create", "subscription")
    @transactional
    async def create(
        self,
        *,
        product_id: ProductId,
        payment_method: SubscriptionPayment,
        user_id: UserId | None = None,
        wallet: str | None = None,
        stripe_customer_id: str | None = None,
        stripe_subscription_id: str | None = None,
        billing_period: BillingPeriod | None = None,
        billing_interval: int | None = None,
        starts_at: datetime | None = None,
        period_end: datetime | None = None,
        trial_end: datetime | None = None,
        grace_hours: int | None = None,
        status: SubscriptionStatus | str | None = None,
        cancel_at_period_end: bool = False,
        payment_reference: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Subscription:
        """Begin a subscription.

        Whoever calls vouches for the first period: it was paid, or a trial precedes it. Without a trial it is active
        until the end of its first period; with one it is trialing until `trial_end`, from where its periods count.
        A payment that paid it is named here, so that it pays nothing else.

        Args:
            product_id: what is subscribed to. Its `subscription_config` gives what is left out here.
            payment_method: who collects.
            user_id: the holder's account; at least one of account, wallet and Stripe customer is given.
            wallet: the holder's wallet, 1 to WALLET_LENGTH_MAX characters; a hexadecimal one is the same in any case.
            stripe_customer_id: as Stripe calls the holder.
            stripe_subscription_id: as Stripe calls it; a shop has it once.
            billing_period: day, week, month or year.
            billing_interval: so many of them make a period, see INTERVAL_MAX.
            starts_at: of the first period; now, by the database's clock, where it is left out.
            period_end: of the first period, where a provider has counted it.
            trial_end: after `starts_at`. Left out, the product's days of trial count, once for each holder.
            grace_hours: 0 to GRACE_HOURS_MAX.
            status: as a provider tells it, also spelled `canceled`; left out, trialing or active.
            cancel_at_period_end: it ends with its period.
            payment_reference: what paid the first period, as for `renew`; with a trial it waits for the period after.
            metadata: anything, 10 kB as JSON.

        Raises:
            InvalidSubscription: a field is out of bounds.
            NotOfferedBySubscription: neither the call nor the product names a billing period.
            ProductNotFound, UserNotFound: the shop has none of that id.
            SubscriptionTaken: another one has the Stripe id.
            SubscriptionPaymentUnknown, SubscriptionPaymentUsed: as `renew`.
        """
        offer = await self._offer(product_id)
        if billing_period is None:
            if offer is None:
                raise NotOfferedBySubscription(product_id=product_id)
            billing_period, billing_interval = offer.billing_period, billing_interval or offer.billing_interval
        start = await queries.instant(self.db) if starts_at is None else checked_instant("starts_at", starts_at)
        if trial_end is None and period_end is None and offer is not None and offer.trial_days and status is None:
            held = await self._held_before(product_id, wallet, user_id, stripe_customer_id)
            trial_end = None if held else start + timedelta(days=offer.trial_days)
        if grace_hours is None:
            grace_hours = 0 if offer is None else offer.grace_hours
        facts = checked_facts(
            user_id=user_id,
            wallet=wallet,
            stripe_customer_id=stripe_customer_id,
            stripe_subscription_id=stripe_subscription_id,
            payment_method=payment_method,
            billing_period=billing_period,
            billing_interval=1 if billing_interval is None else billing_interval,
            trial_end=trial_end,
            grace_hours=grace_hours,
            metadata=dict(metadata or {}),
        )
        period, anchor = first_period(facts, start, period_end)
        if status is None:
            status = Status.TRIALING if anchor > start else Status.ACTIVE
        made_status = checked_status(status)
        if payment_reference is not None and payment_method is SubscriptionPayment.STRIPE:
            raise InvalidSubscription(field="payment_reference", reason="not where Stripe collects")
        with self._meanings(facts, product_id):
            made = await queries.insert_subscription(
                self.db,
                tenant_id=self.tenant_id,
                id=new_id(),
                product_id=product_id,
                status=made_status,
                anchor_at=anchor,
                period_start=period.start,
                period_end=period.end,
                cancelled_at=await queries.instant(self.db) if made_status is Status.CANCELLED else None,
                cancel_at_period_end=cancel_at_period_end,
                **facts,
            )
        if payment_reference is not None:
            money, payer = await self._money(payment_reference, product_id), _payer(made)
            await self._counted(money, payer)  # for another one: this one is new
            await self._verify(money, payer)
            await self._take(money, payer, None if made_status is Status.TRIALING else period)
        await self._happened(Event.CREATED, made, None)
        return made

    @transactional
    async def hold_by_stripe_id(self, *, stripe_subscription_id: str) -> Subscription:
        """One by Stripe's id, locked for the transaction of who follows Stripe. Raises SubscriptionNotFound."""
        known = await self.by_stripe_subscription_id(stripe_subscription_id=stripe_subscription_id)
        return await self._locked(known.id)

    @audited("subscriptions.update", "subscription", "subscription_id")
    @transactional
    async def update(self, *, subscription_id: SubscriptionId, changes: SubscriptionChanges) -> Subscription:
        """Change some fields. State and period have operations of their own.

        Raises:
            SubscriptionNotFound, InvalidSubscription, UserNotFound, SubscriptionTaken: nothing was changed.
        """
        known = await self._locked(subscription_id)
        facts = {
            name: getattr(known, name) if to is UNSET else to for name, to in msgspec.structs.asdict(changes).items()
        }
        anchor = checked_instant("anchor_at", facts.pop("anchor_at"))
        facts = checked_facts(**facts)
        with self._meanings(facts, known.product_id):
            changed = await queries.update_subscription(
                self.db, tenant_id=self.tenant_id, id=subscription_id, anchor_at=anchor, **facts
            )
        await self._happened(Event.CHANGED, changed, known.status)
        return changed

    @audited("subscriptions.delete", "subscription", "subscription_id")
    @transactional
    async def delete(self, *, subscription_id: SubscriptionId) -> Subscription:
        """Cancel at once and for good; the row stays. Again changes nothing. Raises SubscriptionNotFound."""
        known = await self._locked(subscription_id)
        ended = await queries.end_subscription(self.db, tenant_id=self.tenant_id, id=subscription_id)
        if ended is None:
            return known
        await self._happened(Event.CANCELLED, ended, known.status)
        return ended

    @audited("subscriptions.update_status", "subscription", "subscription_id")
    @transactional
    async def update_status(self, *, subscription_id: SubscriptionId, status: SubscriptionStatus | str) -> Subscription:
        """Change the state and nothing else, as a provider tells it. The state it has already changes nothing.

        Args:
            subscription_id: which.
            status: also spelled `canceled`.

        Raises:
            SubscriptionNotFound, InvalidSubscription: no such subscription, no such state.
            SubscriptionMoveRefused: SUBSCRIPTION_MOVES does not lead there.
        """
        to = checked_status(status)
        known = await self._locked(subscription_id)
        if known.status is to:
            return known
        moved = await queries.set_status(
            self.db,
            tenant_id=self.tenant_id,
            id=subscription_id,
            status=to,
            sources=sources(SUBSCRIPTION_MOVES, to),
        )
        if moved is None:
            raise SubscriptionMoveRefused(
                subscription_id=subscription_id,
                from_status=known.status,
                to_status=to,
                allowed=sorted(SUBSCRIPTION_MOVES[known.status]),
            )
        await self._happened(_EVENTS.get(to, Event.CHANGED), moved, known.status)
        return moved

    @audited("subscriptions.extend_period", "subscription", "subscription_id")
    @transactional
    async def extend_period(
        self, *, subscription_id: SubscriptionId, period_start: datetime, period_end: datetime
    ) -> Subscription:
        """Give it another period, as a provider has counted and collected it; what was late is active again.

        A period that it has or has had changes nothing, so a renewal told twice, or late, does no harm.

        Raises:
            SubscriptionNotFound, SubscriptionEnded: there is none to extend.
            InvalidSubscription: the end is not after the start.
            PeriodGoesBack: it would end no later than it does.
        """
        start, end = checked_instant("period_start", period_start), checked_instant("period_end", period_end)
        if end <= start:
            raise InvalidSubscription(field="period_end", reason="after its start")
        known = await self._locked(subscription_id)
        if await queries.renewed_to(
            self.db,
            tenant_id=self.tenant_id,
            subscription_id=subscription_id,
            period_start=start,
            period_end=end,
        ):
            return known
        if known.status is Status.CANCELLED:
            raise SubscriptionEnded(subscription_id=subscription_id, status=known.status)
        if end < known.current_period_end or (end == known.current_period_end and start != known.current_period_start):
            raise PeriodGoesBack(subscription_id=subscription_id, current_period_end=known.current_period_end)
        if end == known.current_period_end and known.status is Status.ACTIVE:
            return known
        return await self._extended(known, Period(start, end))

    @audited("subscriptions.renew", "subscription", "subscription_id")
    @transactional
    async def renew(self, *, subscription_id: SubscriptionId, payment_reference: str) -> Subscription:
        """Let a payment pay one more period. The same payment again changes nothing.

        While the period runs the payment waits and pays the next one: see `jobs.renew_due`. One that is past due,
        unpaid or expired gets a period from now on, and counts from now on.

        Args:
            subscription_id: one that no provider renews.
            payment_reference: the signature of the wallet's transaction, for the product or the subscription, of at
                least a price of the product in that asset; or any name of a payment of the holder's order of the
                product, which is paid. An order pays one period of a product, whatever its payments are called. Where
                staff note what came in (`manual`), whatever they call it.

        Raises:
            SubscriptionNotFound, SubscriptionEnded: there is none to pay for.
            CollectedElsewhere: a provider collects; its messages come to `extend_period`.
            SubscriptionPaymentUnknown: no such money came under this reference, too little of it, or it went back.
            SubscriptionPaymentUsed: it paid for another subscription.
            PaidFarAhead: WAITING_MAX payments wait already.
        """
        known = await self._locked(subscription_id)
        money, payer = await self._money(payment_reference, known.product_id), _payer(known)
        if await self._counted(money, payer):
            return known
        if known.payment_method is SubscriptionPayment.STRIPE:
            raise CollectedElsewhere(subscription_id=subscription_id, provider=known.payment_method)
        if known.status is Status.CANCELLED:
            raise SubscriptionEnded(subscription_id=subscription_id, status=known.status)
        await self._verify(money, payer)
        now = await queries.instant(self.db)
        on_time = known.status in (Status.ACTIVE, Status.TRIALING)
        waits = on_time and now < known.current_period_end
        if on_time:
            anchor, period = known.anchor_at, known.next_period()
        else:
            anchor, period = now, period_after(now, known.billing_period, known.billing_interval, now)
        await self._take(money, payer, None if waits else period)
        return known if waits else await self._extended(known, period, anchor=anchor)

    @audited("subscriptions.cancel_at_period_end", "subscription", "subscription_id")
    @transactional
    async def cancel_at_period_end(
        self, *, subscription_id: SubscriptionId, user_id: UserId | None = None
    ) -> Subscription:
        """Let it end with what is paid; access lasts until then. Again changes nothing.

        Args:
            subscription_id: which.
            user_id: only where it is this account's. An account cannot end what a provider collects: it would pay on.

        Raises:
            SubscriptionNotFound, SubscriptionEnded: there is none to end.
            CollectedElsewhere: it has to be ended with the provider.
        """
        known = await self._own(subscription_id, user_id)
        if known.status not in LIVE:
            raise SubscriptionEnded(subscription_id=subscription_id, status=known.status)
        if known.cancel_at_period_end:
            return known
        return await self._ending(known, Event.CANCELLATION_SCHEDULED, ending=True)

    @audited("subscriptions.reactivate", "subscription", "subscription_id")
    @transactional
    async def reactivate(self, *, subscription_id: SubscriptionId, user_id: UserId | None = None) -> Subscription:
        """Take back a cancellation at the end of the period, while it runs. Again changes nothing.

        Raises:
            SubscriptionNotFound: there is none, or it is not this account's.
            SubscriptionEnded: its period is over.
            CollectedElsewhere: as `cancel_at_period_end`.
        """
        known = await self._own(subscription_id, user_id)
        if not known.current_at(await queries.instant(self.db)):
            raise SubscriptionEnded(subscription_id=subscription_id, status=known.status)
        if not known.cancel_at_period_end:
            return known
        return await self._ending(known, Event.REACTIVATED, ending=False)

    @transactional
    async def step(self, *, subscription: Subscription) -> SubscriptionEvent:
        """Do what the end of its period asks for. Only the job calls this, and holds the row's lock.

        A waiting payment pays the next period. Without one it ends, where it was cancelled; else it is past due, and
        expires when its grace is over too.
        """
        period = subscription.next_period()
        used = await queries.use_payment(
            self.db,
            tenant_id=self.tenant_id,
            subscription_id=subscription.id,
            period_start=period.start,
            period_end=period.end,
        )
        if used is not None:
            await self._extended(subscription, period)
            return Event.RENEWED
        if subscription.cancel_at_period_end:
            ended = await queries.end_subscription(self.db, tenant_id=self.tenant_id, id=subscription.id)
            return await self._stepped(Event.CANCELLED, ended, subscription)
        now = await queries.instant(self.db)
        over = subscription.current_period_end + timedelta(hours=subscription.grace_hours) <= now
        to = Status.EXPIRED if over else Status.PAST_DUE
        moved = await queries.set_status(
            self.db,
            tenant_id=self.tenant_id,
            id=subscription.id,
            status=to,
            sources=sources(SUBSCRIPTION_MOVES, to),
        )
        return await self._stepped(_EVENTS[to], moved, subscription)

    # --- Inside ---------------------------------------------------------------------------------------------------

    async def _stepped(self, event: SubscriptionEvent, after: Subscription | None, known: Subscription) -> Event:
        await self._happened(event, found(after, known.id), known.status)
        return event

    async def _locked(self, subscription_id: SubscriptionId) -> Subscription:
        row = await queries.lock_subscription(self.db, tenant_id=self.tenant_id, id=subscription_id)
        return found(row, subscription_id)

    async def _own(self, subscription_id: SubscriptionId, user_id: UserId | None) -> Subscription:
        known = await self._locked(subscription_id)
        if user_id is not None:
            if known.user_id != user_id:
                raise SubscriptionNotFound(subscription=str(subscription_id))
            if known.payment_method is SubscriptionPayment.STRIPE:
                raise CollectedElsewhere(subscription_id=subscription_id, provider=known.payment_method)
        return known

    async def _ending(self, known: Subscription, event: SubscriptionEvent, *, ending: bool) -> Subscription:
        changed = await queries.set_ending(self.db, tenant_id=self.tenant_id, id=known.id, ending=ending)
        await self._happened(event, changed, known.status)
        return changed

    async def _extended(self, known: Subscription, period: Period, *, anchor: datetime | None = None) -> Subscription:
        if anchor is None:
            expected = period_after(known.anchor_at, known.billing_period, known.billing_interval, period.start)
            anchor = known.anchor_at if expected.end == period.end else period.start
        extended = await queries.set_period(
            self.db,
            tenant_id=self.tenant_id,
            id=known.id,
            period_start=period.start,
            period_end=period.end,
            anchor_at=anchor,
        )
        await self._happened(Event.RENEWED, extended, known.status)
        return extended

    async def _offer(self, product_id: ProductId) -> SubscriptionConfig | None:
        said = await queries.product_offer(self.db, tenant_id=self.tenant_id, product_id=product_id)
        if said is None:
            raise ProductNotFound(product=str(product_id))
        if not said:
            return None
        try:
            offer = msgspec.convert(said, SubscriptionConfig)
        except msgspec.ValidationError as error:
            raise InvalidSubscription(field="subscription_config", reason=str(error)) from error
        if not 0 <= offer.trial_days <= TRIAL_DAYS_MAX:
            raise InvalidSubscription(field="subscription_config", reason=f"0 to {TRIAL_DAYS_MAX} days of trial")
        return offer

    async def _held_before(
        self, product_id: ProductId, wallet: str | None, user_id: UserId | None, stripe_customer_id: str | None
    ) -> bool:
        """Whether the holder ever had one of the product, by any name; a rival of the same name waits for us."""
        tenant = self.tenant_id
        wallet = None if wallet is None else normal_code(wallet)
        names = {"wallet": wallet, "user": user_id, "stripe": stripe_customer_id}
        for kind, name in sorted(names.items()):
            if name is not None:
                key = "\x1f".join(("subscriptions", tenant, str(product_id), kind, str(name)))
                await queries.lock_holder(self.db, key=key)
        if wallet is not None and await queries.held_before_by_wallet(
            self.db, tenant_id=tenant, wallet=wallet, product_id=product_id
        ):
            return True
        if stripe_customer_id is not None and await queries.held_before_by_stripe_customer(
            self.db, tenant_id=tenant, stripe_customer_id=stripe_customer_id, product_id=product_id
        ):
            return True
        return user_id is not None and await queries.held_before_by_user(
            self.db, tenant_id=tenant, user_id=user_id, product_id=product_id
        )

    def _meanings(self, facts: Mapping[str, Any], product_id: ProductId) -> Any:
        return violations(
            {
                "subscriptions_stripe_unique": lambda: SubscriptionTaken(
                    stripe_subscription_id=str(facts["stripe_subscription_id"])
                ),
                "subscriptions_user_fkey": lambda: UserNotFound(user_id=facts["user_id"]),
                "subscriptions_product_fkey": lambda: ProductNotFound(product=str(product_id)),
            },
            self.db.names,
        )

    async def _happened(self, event: SubscriptionEvent, after: Subscription, before: SubscriptionStatus | None) -> None:
        await queries.add_history(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            subscription_id=after.id,
            event=event,
            from_status=before,
            to_status=after.status,
            period_start=after.current_period_start,
            period_end=after.current_period_end,
            actor_kind=self.context.actor.kind,
            actor_id=self.context.actor.user_id,
        )
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=f"subscription.{event}",
            payload={
                "id": after.id,
                "product_id": after.product_id,
                "user_id": after.user_id,
                "wallet": after.wallet,
                "stripe_subscription_id": after.stripe_subscription_id,
                "status": after.status,
                "previous_status": before,
                "current_period_start": after.current_period_start,
                "current_period_end": after.current_period_end,
                "cancel_at_period_end": after.cancel_at_period_end,
            },
            entity_type="subscription",
            entity_id=after.id,
        )


def _payer(known: Subscription) -> Payer:
    return Payer(
        subscription_id=known.id,
        product_id=known.product_id,
        payment_method=known.payment_method,
        user_id=known.user_id,
        wallet=known.wallet,
    )
