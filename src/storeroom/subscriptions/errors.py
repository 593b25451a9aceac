"""What subscriptions refuse."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound


class SubscriptionNotFound(NotFound):
    """No such subscription, or none that this caller may know of."""

    code = "subscriptions.not_found"

    def __init__(self, *, subscription: str) -> None:
        super().__init__(f"no subscription {subscription}")
        self.subscription = subscription


class SubscriptionTaken(Conflict):
    """Another subscription of the shop has this Stripe id."""

    code = "subscriptions.taken"

    def __init__(self, *, stripe_subscription_id: str) -> None:
        super().__init__(f"a subscription has the Stripe id {stripe_subscription_id} already")
        self.stripe_subscription_id = stripe_subscription_id


class InvalidSubscription(Invalid):
    """A field is out of its bounds; nothing was written."""

    code = "subscriptions.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class NotOfferedBySubscription(Conflict):
    """The product says nothing of subscriptions, and the call did not either."""

    code = "subscriptions.not_offered"

    def __init__(self, *, product_id: UUID) -> None:
        super().__init__(f"product {product_id} has no subscription_config, so the call has to name a billing period")
        self.product_id = product_id


class SubscriptionMoveRefused(Conflict):
    """The subscription is in a state from which it cannot go there; nothing was written."""

    code = "subscriptions.move_refused"

    def __init__(self, *, subscription_id: UUID, from_status: str, to_status: str, allowed: Sequence[str]) -> None:
        super().__init__(f"subscription {subscription_id} is {from_status} and cannot become {to_status}")
        self.subscription_id, self.from_status, self.to_status = subscription_id, from_status, to_status
        self.allowed = list(allowed)


class SubscriptionEnded(Conflict):
    """It was cancelled for good, or its period is over; whoever wants it again begins another."""

    code = "subscriptions.ended"

    def __init__(self, *, subscription_id: UUID, status: str) -> None:
        super().__init__(f"subscription {subscription_id} has ended ({status})")
        self.subscription_id, self.status = subscription_id, status


class PeriodGoesBack(Conflict):
    """The new period ends no later than the current one and is none that the subscription has had."""

    code = "subscriptions.period_goes_back"

    def __init__(self, *, subscription_id: UUID, current_period_end: datetime) -> None:
        super().__init__(f"subscription {subscription_id} runs until {current_period_end.isoformat()} already")
        self.subscription_id, self.current_period_end = subscription_id, current_period_end


class SubscriptionPaymentUnknown(NotFound):
    """No money of the holder's for the product came under this reference, or too little, or it went back."""

    code = "subscriptions.payment_unknown"

    def __init__(self, *, payment_reference: str) -> None:
        super().__init__(f"no payment {payment_reference} that pays a period of this subscription")
        self.payment_reference = payment_reference


class SubscriptionPaymentUsed(Conflict):
    """The payment has paid a period of another subscription."""

    code = "subscriptions.payment_used"

    def __init__(self, *, payment_reference: str) -> None:
        super().__init__(f"payment {payment_reference} counts for another subscription")
        self.payment_reference = payment_reference


class PaidFarAhead(Conflict):
    """As many periods are paid ahead as may wait."""

    code = "subscriptions.paid_far_ahead"

    def __init__(self, *, subscription_id: UUID, waiting_max: int) -> None:
        super().__init__(f"subscription {subscription_id} has {waiting_max} periods paid ahead")
        self.subscription_id, self.waiting_max = subscription_id, waiting_max


class CollectedElsewhere(Conflict):
    """A provider collects for it: it is cancelled there, so that no money is taken afterwards."""

    code = "subscriptions.collected_elsewhere"

    def __init__(self, *, subscription_id: UUID, provider: str) -> None:
        super().__init__(f"subscription {subscription_id} is collected by {provider}, and has to be changed there")
        self.subscription_id, self.provider = subscription_id, provider
