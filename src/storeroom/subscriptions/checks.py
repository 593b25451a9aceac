"""What is asked of the fields of a subscription before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from storeroom.core.clock import utc
from storeroom.subscriptions.errors import (
    InvalidSubscription,
    SubscriptionNotFound,
)
from storeroom.subscriptions.model import (
    GRACE_HOURS_MAX,
    INTERVAL_MAX,
    METADATA_BYTES_MAX,
    OUTSIDE_ID_LENGTH_MAX,
    WALLET_LENGTH_MAX,
    YEAR_MAX,
    YEAR_MIN,
    Period,
    Subscription,
    SubscriptionPayment,
    SubscriptionStatus,
    period_after,
)
from storeroom.wallets import normal_code

_LENGTHS: Final = {
    "wallet": WALLET_LENGTH_MAX,
    "stripe_customer_id": OUTSIDE_ID_LENGTH_MAX,
    "stripe_subscription_id": OUTSIDE_ID_LENGTH_MAX,
}


def found(row: Subscription | None, name: object) -> Subscription:
    """What was looked for. Raises SubscriptionNotFound."""
    if row is None:
        raise SubscriptionNotFound(subscription=str(name))
    return row


def checked_status(given: SubscriptionStatus | str) -> SubscriptionStatus:
    """One of ours, however it is given. Raises InvalidSubscription."""
    try:
        return SubscriptionStatus(given)
    except ValueError:
        raise InvalidSubscription(field="status", reason=f"one of {', '.join(SubscriptionStatus)}") from None


def checked_instant(field: str, given: datetime) -> datetime:
    """In UTC, within the years we count periods in. Raises InvalidSubscription."""
    if given.tzinfo is None:
        raise InvalidSubscription(field=field, reason="an instant with its offset from UTC")
    if not YEAR_MIN <= given.year <= YEAR_MAX:
        raise InvalidSubscription(field=field, reason=f"from {YEAR_MIN} to {YEAR_MAX}")
    return utc(given)


def first_period(facts: Mapping[str, Any], start: datetime, period_end: datetime | None) -> tuple[Period, datetime]:
    """The first period, and from where the next ones count: the end of a trial, where there is one."""
    trial_end: datetime | None = facts["trial_end"]
    anchor = start if trial_end is None or trial_end <= start else trial_end
    if period_end is None:
        return period_after(anchor, facts["billing_period"], facts["billing_interval"], start), anchor
    end = checked_instant("period_end", period_end)
    if end <= start:
        raise InvalidSubscription(field="period_end", reason="after its start")
    return Period(start, end), anchor


def checked_facts(**facts: Any) -> dict[str, Any]:
    """The fields of a row, in the form in which they are kept. Raises InvalidSubscription."""
    if facts["wallet"] is not None:
        facts["wallet"] = normal_code(facts["wallet"])
    for field, longest in _LENGTHS.items():
        if facts[field] is not None and (not 1 <= len(facts[field]) <= longest or not facts[field].isprintable()):
            raise InvalidSubscription(field=field, reason=f"1 to {longest} printable characters")
    if all(facts[field] is None for field in ("user_id", "wallet", "stripe_customer_id")):
        raise InvalidSubscription(field="user_id", reason="an account, a wallet or a Stripe customer is given")
    if facts["stripe_subscription_id"] is not None and facts["payment_method"] is not SubscriptionPayment.STRIPE:
        raise InvalidSubscription(field="stripe_subscription_id", reason="only where Stripe collects")
    longest = INTERVAL_MAX[facts["billing_period"]]
    if not 1 <= facts["billing_interval"] <= longest:
        raise InvalidSubscription(field="billing_interval", reason=f"1 to {longest}")
    if not 0 <= facts["grace_hours"] <= GRACE_HOURS_MAX:
        raise InvalidSubscription(field="grace_hours", reason=f"0 to {GRACE_HOURS_MAX}")
    if facts["trial_end"] is not None:
        facts["trial_end"] = checked_instant("trial_end", facts["trial_end"])
    encoded = msgspec.json.encode(facts["metadata"])
    if len(encoded) > METADATA_BYTES_MAX or b"\\u0000" in encoded:
        raise InvalidSubscription(field="metadata", reason=f"at most {METADATA_BYTES_MAX} bytes as JSON, without NUL")
    return facts
