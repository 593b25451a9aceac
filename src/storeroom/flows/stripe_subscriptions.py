"""What Stripe tells of subscriptions that it collects, in any order: a paid invoice is a period, a change a state."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from storeroom.database.service import Service, transactional
from storeroom.flows import queries
from storeroom.gateways import GatewayKind
from storeroom.hosted import Event
from storeroom.subscriptions import (
    InvalidSubscription,
    Period,
    PeriodGoesBack,
    Subscription,
    SubscriptionEnded,
    SubscriptionMoveRefused,
    SubscriptionNotFound,
    Subscriptions,
    SubscriptionStatus,
)

TOPIC: Final = "customer.subscription"
PAID: Final = "invoice.paid"
CHANGES: Final = (f"{TOPIC}.created", f"{TOPIC}.updated")
ENDED: Final = f"{TOPIC}.deleted"
_CLOCKS: Final = timedelta(hours=1)  # so far our clock may be from Stripe's
_SECOND: Final = timedelta(seconds=1)  # Stripe counts in whole ones
_STATES: Final = {  # `incomplete` and `paused` are none of ours: nothing is due, and nothing was paid
    "trialing": SubscriptionStatus.TRIALING,
    "active": SubscriptionStatus.ACTIVE,
    "past_due": SubscriptionStatus.PAST_DUE,
    "unpaid": SubscriptionStatus.UNPAID,
    "incomplete_expired": SubscriptionStatus.EXPIRED,
}


def stripe_subscription_of(event: Event) -> str | None:
    """Stripe's id of the subscription that a message is about; None: it is about none that we follow."""
    if event.type in (*CHANGES, ENDED):
        return _text(event.object.get("id"))
    if event.type != PAID:
        return None
    details = _at(event.object, "parent", "subscription_details", "subscription")  # since the version of March 2025
    return _text(details if details is not None else event.object.get("subscription"))


class StripeSubscriptions(Service):
    """The subscriptions of one shop that Stripe collects."""

    @transactional
    async def follow(self, *, event: Event) -> str:
        """Do what a message says of a subscription, and say what it was. Told twice, or late, it does no harm.

        A paid invoice gives the period of its lines. A change gives the state, and whether it ends with its period,
        unless a later one was handled before. What was cancelled stays so. Raises nothing for what does not fit:

        Returns:
            `renewed`, `followed`, `cancelled`; `ignored` where nothing changes; `unmatched` where we have no such
            subscription, which may be created yet.
        """
        name = stripe_subscription_of(event)
        if name is None:
            return "ignored"
        subscriptions = Subscriptions(self.context.on(self.db))
        try:
            known = await subscriptions.hold_by_stripe_id(stripe_subscription_id=name)
        except SubscriptionNotFound:
            return "unmatched"
        if event.type == PAID:
            return await self._paid(subscriptions, known, event)
        if event.type == ENDED or event.object.get("status") == "canceled":
            await subscriptions.delete(subscription_id=known.id)
            return "cancelled"
        if await queries.stripe_told_later(
            self.db,
            tenant_id=self.tenant_id,
            source=GatewayKind.STRIPE.value,
            types=CHANGES,
            stripe_id=name,
            created=int(event.created.timestamp()),
            since=event.created - _CLOCKS,
        ):
            return "ignored"
        return await self._changed(subscriptions, known, event.object)

    async def _paid(self, subscriptions: Subscriptions, known: Subscription, event: Event) -> str:
        period = max(_periods(event.object), key=lambda each: each.end, default=None)
        if period is None:
            return "ignored"
        in_trial = known.status is SubscriptionStatus.TRIALING and period.start < known.current_period_end - _SECOND
        if in_trial:  # the invoice of nothing that a trial begins with
            return "ignored"
        try:
            after = await subscriptions.extend_period(
                subscription_id=known.id, period_start=period.start, period_end=period.end
            )
        except (PeriodGoesBack, SubscriptionEnded, InvalidSubscription):
            return "ignored"
        return "ignored" if after == known else "renewed"

    async def _changed(self, subscriptions: Subscriptions, known: Subscription, said: Mapping[str, Any]) -> str:
        after, status, ending = known, _STATES.get(str(said.get("status"))), said.get("cancel_at_period_end")
        try:
            if status is not None:
                after = await subscriptions.update_status(subscription_id=known.id, status=status)
            if ending is True:
                after = await subscriptions.cancel_at_period_end(subscription_id=known.id)
            elif ending is False and known.cancel_at_period_end:
                after = await subscriptions.reactivate(subscription_id=known.id)
        except (SubscriptionMoveRefused, SubscriptionEnded):  # refused before it writes: what came before stays
            pass
        return "ignored" if after == known else "followed"


def _periods(invoice: Mapping[str, Any]) -> Iterator[Period]:
    """Of the lines that charge for a period of the subscription; what a change of plan costs in between is none."""
    lines = _at(invoice, "lines", "data")
    for line in lines if isinstance(lines, list) else ():
        if not isinstance(line, Mapping):
            continue
        details = _at(line, "parent", "subscription_item_details")
        of_subscription = isinstance(details, Mapping) if "parent" in line else line.get("type") == "subscription"
        proration = details.get("proration") if isinstance(details, Mapping) else line.get("proration")
        start, end = _instant(_at(line, "period", "start")), _instant(_at(line, "period", "end"))
        if of_subscription and not proration and start is not None and end is not None:
            yield Period(start, end)


def _at(said: object, *names: str) -> object:
    for name in names:
        said = said.get(name) if isinstance(said, Mapping) else None
    return said


def _text(said: object) -> str | None:
    """An id, given alone or within what it names."""
    said = said.get("id") if isinstance(said, Mapping) else said
    return said if isinstance(said, str) and 0 < len(said) <= 255 and said.isprintable() else None


def _instant(seconds: object) -> datetime | None:
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
