"""Subscriptions: their states, and the arithmetic of their periods. Pure."""

import calendar
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.core.ids import ProductId, SubscriptionId, UserId
from storeroom.core.states import Moves, declare_moves

WALLET_LENGTH_MAX: Final = 128
OUTSIDE_ID_LENGTH_MAX: Final = 255
REFERENCE_LENGTH_MAX: Final = 255
GRACE_HOURS_MAX: Final = 2160  # 90 days
TRIAL_DAYS_MAX: Final = 730
METADATA_BYTES_MAX: Final = 10_000
YEAR_MIN: Final = 2000  # of every instant that a caller names
YEAR_MAX: Final = 2200
WAITING_MAX: Final = 12  # periods paid ahead
HISTORY_MAX: Final = 100  # the newest entries that one call shows


class SubscriptionStatus(StrEnum):
    """How a subscription stands. Access also asks for the period: see `Subscription.current_at`."""

    TRIALING = "trialing"  # nothing paid yet, and nothing due before `trial_end`
    ACTIVE = "active"  # paid until the end of the period
    PAST_DUE = "past_due"  # a payment is awaited; it expires after its grace
    UNPAID = "unpaid"  # a provider gave up collecting
    CANCELLED = "cancelled"  # ended on purpose, for good
    EXPIRED = "expired"  # ended because nobody paid; a payment brings it back

    @override
    @classmethod
    def _missing_(cls, value: object) -> "SubscriptionStatus | None":
        return cls.CANCELLED if value == "canceled" else None  # as Stripe spells it


S = SubscriptionStatus
SUBSCRIPTION_MOVES: Final[Moves[SubscriptionStatus]] = declare_moves(
    S,
    {
        S.TRIALING: frozenset({S.ACTIVE, S.PAST_DUE, S.UNPAID, S.CANCELLED, S.EXPIRED}),
        S.ACTIVE: frozenset({S.PAST_DUE, S.UNPAID, S.CANCELLED, S.EXPIRED}),
        S.PAST_DUE: frozenset({S.ACTIVE, S.UNPAID, S.CANCELLED, S.EXPIRED}),
        S.UNPAID: frozenset({S.ACTIVE, S.PAST_DUE, S.CANCELLED, S.EXPIRED}),
        S.EXPIRED: frozenset({S.ACTIVE, S.CANCELLED}),
    },
)
LIVE: Final = frozenset({S.TRIALING, S.ACTIVE, S.PAST_DUE})  # these give access inside the period


class BillingPeriod(StrEnum):
    """What a period is counted in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


INTERVAL_MAX: Final[Mapping[BillingPeriod, int]] = MappingProxyType(
    {BillingPeriod.DAY: 1095, BillingPeriod.WEEK: 156, BillingPeriod.MONTH: 36, BillingPeriod.YEAR: 3}
)
_DAYS: Final = {BillingPeriod.DAY: 1, BillingPeriod.WEEK: 7}
_MONTHS: Final = {BillingPeriod.MONTH: 1, BillingPeriod.YEAR: 12}


class SubscriptionPayment(StrEnum):
    """Who collects."""

    STRIPE = "stripe"  # Stripe, by itself; its messages tell what became of it
    X402 = "x402"  # the holder's wallet, payment by payment
    MANUAL = "manual"  # staff note what came in


class SubscriptionEvent(StrEnum):
    """What happened; told to the outside as `subscription.<event>`."""

    CREATED = "created"
    CHANGED = "changed"
    RENEWED = "renewed"
    CANCELLATION_SCHEDULED = "cancellation_scheduled"
    REACTIVATED = "reactivated"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's right to use a product until the end of a period."""

    id: SubscriptionId
    product_id: ProductId
    user_id: UserId | None
    wallet: str | None
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    payment_method: SubscriptionPayment
    billing_period: BillingPeriod
    billing_interval: int
    status: SubscriptionStatus
    anchor_at: datetime  # periods count from here
    current_period_start: datetime
    current_period_end: datetime  # from this instant on it gives no access
    trial_end: datetime | None
    grace_hours: int
    cancelled_at: datetime | None
    cancel_at_period_end: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    def current_at(self, instant: datetime) -> bool:
        """Whether it gives access then: trialing, active or past due, and inside its period."""
        return self.status in LIVE and self.current_period_start <= instant < self.current_period_end

    def next_period(self) -> "Period":
        """The one that begins when the current one ends."""
        return period_after(self.anchor_at, self.billing_period, self.billing_interval, self.current_period_end)


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a subscription, and the period as it was afterwards."""

    event: SubscriptionEvent
    from_status: SubscriptionStatus | None
    to_status: SubscriptionStatus
    period_start: datetime
    period_end: datetime
    actor_kind: str
    actor_id: UUID | None
    created_at: datetime


class SubscriptionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `subscription_config` of a product says."""

    billing_period: BillingPeriod = BillingPeriod.MONTH
    billing_interval: int = 1
    trial_days: int = 0
    grace_hours: int = 0


class Period(msgspec.Struct, frozen=True):
    """Half open: `[start, end)`."""

    start: datetime
    end: datetime


def boundary(anchor: datetime, period: BillingPeriod, interval: int, number: int) -> datetime:
    """The instant at which period `number` begins; number 0 begins at the anchor.

    Days and weeks are of 24 hours, in UTC. A month that lacks the anchor's day has its boundary on its last day, and
    the month after is counted from the anchor again: 31 January, 28 February, 31 March; 29 February likewise.
    """
    if period in _DAYS:
        return anchor + timedelta(days=number * interval * _DAYS[period])
    years, month = divmod(anchor.month - 1 + number * interval * _MONTHS[period], 12)
    year = anchor.year + years
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def period_after(anchor: datetime, period: BillingPeriod, interval: int, start: datetime) -> Period:
    """From `start` to the first boundary later than it; of a whole length where `start` is a boundary itself."""
    if start < anchor:
        return Period(start, anchor)
    longest_days = interval * (_DAYS[period] if period in _DAYS else 31 * _MONTHS[period])
    number = (start - anchor).days // longest_days  # not past the wanted one: no period is longer
    while (end := boundary(anchor, period, interval, number)) <= start:
        number += 1
    return Period(start, end)
