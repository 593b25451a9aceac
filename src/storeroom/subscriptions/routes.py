"""Subscriptions over HTTP: seen and ended by their holders, kept by staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.catalog import ProductNotFound
from storeroom.core.ids import ProductId, SubscriptionId, UserId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission, UserNotFound
from storeroom.subscriptions.errors import (
    CollectedElsewhere,
    InvalidSubscription,
    NotOfferedBySubscription,
    PaidFarAhead,
    PeriodGoesBack,
    SubscriptionEnded,
    SubscriptionMoveRefused,
    SubscriptionNotFound,
    SubscriptionPaymentUnknown,
    SubscriptionPaymentUsed,
    SubscriptionTaken,
)
from storeroom.subscriptions.model import (
    GRACE_HOURS_MAX,
    OUTSIDE_ID_LENGTH_MAX,
    REFERENCE_LENGTH_MAX,
    WALLET_LENGTH_MAX,
    BillingPeriod,
    HistoryEntry,
    Subscription,
    SubscriptionPayment,
    SubscriptionStatus,
)
from storeroom.subscriptions.service import SubscriptionChanges, Subscriptions
from storeroom.web import (
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    CursorParameter,
    LimitParameter,
    Principal,
    SignInRequired,
    requires,
    requires_account,
    says,
)

Wallet = Annotated[str, Meta(min_length=1, max_length=WALLET_LENGTH_MAX)]
OutsideId = Annotated[str, Meta(min_length=1, max_length=OUTSIDE_ID_LENGTH_MAX)]
Interval = Annotated[int, Meta(ge=1, le=1095)]
GraceHours = Annotated[int, Meta(ge=0, le=GRACE_HOURS_MAX)]
WalletParameter = Annotated[
    str | None, QueryParameter(description="The holder's wallet.", min_length=1, max_length=WALLET_LENGTH_MAX)
]
StripeCustomerParameter = Annotated[
    str | None, QueryParameter(description="All of a Stripe customer.", min_length=1, max_length=OUTSIDE_ID_LENGTH_MAX)
]
BeforeParameter = Annotated[
    datetime | None, QueryParameter(description="Live ones whose period ends earlier than this, first to end first.")
]


# --- What is sent and what comes back ---------------------------------------------------------------------------------


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out is taken from the product's `subscription_config`."""

    product_id: UUID
    payment_method: SubscriptionPayment
    user_id: UUID | None = None
    wallet: Wallet | None = None
    stripe_customer_id: OutsideId | None = None
    stripe_subscription_id: OutsideId | None = None
    billing_period: BillingPeriod | None = None
    billing_interval: Interval | None = None
    starts_at: datetime | None = None
    period_end: datetime | None = None
    trial_end: datetime | None = None
    grace_hours: GraceHours | None = None
    status: SubscriptionStatus | None = None
    cancel_at_period_end: bool = False
    payment_reference: Annotated[str, Meta(min_length=1, max_length=REFERENCE_LENGTH_MAX)] | None = None
    metadata: dict[str, Any] | None = None


class ChangedSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; null takes away."""

    user_id: UUID | UnsetType | None = UNSET
    wallet: Wallet | UnsetType | None = UNSET
    stripe_customer_id: OutsideId | UnsetType | None = UNSET
    stripe_subscription_id: OutsideId | UnsetType | None = UNSET
    payment_method: SubscriptionPayment | UnsetType = UNSET
    billing_period: BillingPeriod | UnsetType = UNSET
    billing_interval: Interval | UnsetType = UNSET
    anchor_at: datetime | UnsetType = UNSET
    trial_end: datetime | UnsetType | None = UNSET
    grace_hours: GraceHours | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class SubscriptionMove(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another state."""

    status: SubscriptionStatus


class NewPeriod(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A period as a provider has counted it."""

    period_start: datetime
    period_end: datetime


class PeriodPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payment that pays one more period."""

    payment_reference: Annotated[str, Meta(min_length=1, max_length=REFERENCE_LENGTH_MAX)]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a product may be used now."""

    access: bool


class OwnSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as its holder sees it."""

    id: UUID
    product_id: UUID
    status: SubscriptionStatus
    payment_method: SubscriptionPayment
    billing_period: BillingPeriod
    billing_interval: int
    current_period_start: datetime
    current_period_end: datetime
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancelled_at: datetime | None
    created_at: datetime


def own_view(subscription: Subscription) -> OwnSubscription:
    """What its holder sees."""
    return OwnSubscription(**{name: getattr(subscription, name) for name in OwnSubscription.__struct_fields__})


# --- Holders ----------------------------------------------------------------------------------------------------------


@get(
    "/v1/account/subscriptions",
    summary="The account's subscriptions, newest first",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, InvalidCursor),
)
async def list_account_subscriptions(
    account: NamedDependency[Principal],
    subscriptions: NamedDependency[Subscriptions],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[OwnSubscription]:
    """Those that have ended too."""
    page = await subscriptions.list_by_user(user_id=_user(account), cursor=cursor, limit=limit)
    return Page([own_view(each) for each in page.items], page.next_cursor)


@post(
    "/v1/account/subscriptions/{subscription_id:uuid}/cancel",
    status_code=200,
    summary="Let a subscription end with its period",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, SubscriptionNotFound, SubscriptionEnded, CollectedElsewhere),
)
async def cancel_account_subscription(
    subscription_id: FromPath[UUID],
    account: NamedDependency[Principal],
    subscriptions: NamedDependency[Subscriptions],
) -> OwnSubscription:
    """It may be used until then. One that a provider collects is cancelled with the provider."""
    changed = await subscriptions.cancel_at_period_end(
        subscription_id=SubscriptionId(subscription_id), user_id=_user(account)
    )
    return own_view(changed)


@post(
    "/v1/account/subscriptions/{subscription_id:uuid}/reactivate",
    status_code=200,
    summary="Take a cancellation back",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, SubscriptionNotFound, SubscriptionEnded, CollectedElsewhere),
)
async def reactivate_account_subscription(
    subscription_id: FromPath[UUID],
    account: NamedDependency[Principal],
    subscriptions: NamedDependency[Subscriptions],
) -> OwnSubscription:
    """While its period runs."""
    changed = await subscriptions.reactivate(subscription_id=SubscriptionId(subscription_id), user_id=_user(account))
    return own_view(changed)


def _user(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


# --- Staff ------------------------------------------------------------------------------------------------------------

_TAGS: Final = ["admin: subscriptions"]
_WRITE: Final = [requires(Permission.SUBSCRIPTIONS_WRITE)]


@get(
    "/v1/admin/subscriptions",
    summary="Subscriptions",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor, InvalidSubscription),
)
async def list_subscriptions(
    subscriptions: NamedDependency[Subscriptions],
    *,
    product_id: FromQuery[UUID | None] = None,
    user_id: FromQuery[UUID | None] = None,
    stripe_customer_id: StripeCustomerParameter = None,
    status: FromQuery[SubscriptionStatus | None] = None,
    active: FromQuery[bool] = False,
    expiring_before: BeforeParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Subscription]:
    """By one of the filters; `active` goes with `product_id`. Without any, those that give access now."""
    filters = {
        "product_id": product_id,
        "user_id": user_id,
        "stripe_customer_id": stripe_customer_id,
        "status": status,
        "expiring_before": expiring_before,
    }
    given = [name for name, value in filters.items() if value is not None]
    if len(given) > 1 or (active and given not in ([], ["product_id"])):
        raise InvalidSubscription(field=given[-1], reason="one filter at a time; `active` goes with `product_id`")
    if product_id is not None and not active:
        return await subscriptions.list_by_product(product_id=ProductId(product_id), cursor=cursor, limit=limit)
    if user_id is not None:
        return await subscriptions.list_by_user(user_id=UserId(user_id), cursor=cursor, limit=limit)
    if stripe_customer_id is not None:
        customer = stripe_customer_id
        return await subscriptions.by_stripe_customer_id(stripe_customer_id=customer, cursor=cursor, limit=limit)
    if status is not None:
        return await subscriptions.list_by_status(status=status, cursor=cursor, limit=limit)
    if expiring_before is not None:
        return await subscriptions.list_expiring(before=expiring_before, cursor=cursor, limit=limit)
    product = None if product_id is None else ProductId(product_id)
    return await subscriptions.list_active(product_id=product, cursor=cursor, limit=limit)


@post(
    "/v1/admin/subscriptions",
    summary="Begin a subscription",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        InvalidSubscription,
        NotOfferedBySubscription,
        ProductNotFound,
        UserNotFound,
        SubscriptionTaken,
        SubscriptionPaymentUnknown,
        SubscriptionPaymentUsed,
    ),
)
async def create_subscription(
    data: JSONBody[NewSubscription], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """For whom it was paid, or whose trial begins."""
    return await subscriptions.create(**msgspec.structs.asdict(data))


@get(
    "/v1/admin/subscriptions/access",
    summary="Whether a wallet or an account may use a product now",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidSubscription),
)
async def subscription_access(
    subscriptions: NamedDependency[Subscriptions],
    product_id: FromQuery[UUID],
    wallet: WalletParameter = None,
    user_id: FromQuery[UUID | None] = None,
) -> Access:
    """Trialing, active and past due subscriptions give access, inside their period."""
    access = await subscriptions.has_access(
        product_id=ProductId(product_id), wallet=wallet, user_id=None if user_id is None else UserId(user_id)
    )
    return Access(access=access)


@get(
    "/v1/admin/subscriptions/by-wallet",
    summary="The subscription that gives a wallet access to a product now",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound),
)
async def subscription_by_wallet(
    subscriptions: NamedDependency[Subscriptions],
    product_id: FromQuery[UUID],
    wallet: Annotated[str, QueryParameter(min_length=1, max_length=WALLET_LENGTH_MAX)],
) -> Subscription:
    """Of several the one that lasts longest."""
    found = await subscriptions.by_wallet(wallet=wallet, product_id=ProductId(product_id))
    if found is None:
        raise SubscriptionNotFound(subscription=f"of this wallet for product {product_id}")
    return found


@get(
    "/v1/admin/subscriptions/by-stripe-id/{stripe_subscription_id:str}",
    summary="A subscription by Stripe's id",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound),
)
async def subscription_by_stripe_id(
    stripe_subscription_id: FromPath[str], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """In whatever state."""
    return await subscriptions.by_stripe_subscription_id(stripe_subscription_id=stripe_subscription_id)


@get(
    "/v1/admin/subscriptions/{subscription_id:uuid}",
    summary="A subscription",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound),
)
async def get_subscription(
    subscription_id: FromPath[UUID], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """In whatever state."""
    return await subscriptions.get(subscription_id=SubscriptionId(subscription_id))


@patch(
    "/v1/admin/subscriptions/{subscription_id:uuid}",
    summary="Change a subscription",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound, InvalidSubscription, UserNotFound, SubscriptionTaken),
)
async def update_subscription(
    subscription_id: FromPath[UUID], data: JSONBody[ChangedSubscription], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """What is left out stays. State and period have routes of their own."""
    changes = SubscriptionChanges(**msgspec.structs.asdict(data))
    return await subscriptions.update(subscription_id=SubscriptionId(subscription_id), changes=changes)


@delete(
    "/v1/admin/subscriptions/{subscription_id:uuid}",
    status_code=200,
    summary="Cancel a subscription at once and for good",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound),
)
async def delete_subscription(
    subscription_id: FromPath[UUID], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """The row stays, as cancelled."""
    return await subscriptions.delete(subscription_id=SubscriptionId(subscription_id))


@post(
    "/v1/admin/subscriptions/{subscription_id:uuid}/status",
    status_code=200,
    summary="Change a subscription's state",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound, SubscriptionMoveRefused),
)
async def move_subscription(
    subscription_id: FromPath[UUID], data: JSONBody[SubscriptionMove], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """The state alone."""
    return await subscriptions.update_status(subscription_id=SubscriptionId(subscription_id), status=data.status)


@post(
    "/v1/admin/subscriptions/{subscription_id:uuid}/period",
    status_code=200,
    summary="Give a subscription another period",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound, SubscriptionEnded, InvalidSubscription, PeriodGoesBack),
)
async def extend_subscription(
    subscription_id: FromPath[UUID], data: JSONBody[NewPeriod], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """One that it has or has had changes nothing."""
    return await subscriptions.extend_period(
        subscription_id=SubscriptionId(subscription_id), period_start=data.period_start, period_end=data.period_end
    )


@post(
    "/v1/admin/subscriptions/{subscription_id:uuid}/payments",
    status_code=200,
    summary="Let a payment pay one more period",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(
        SubscriptionNotFound,
        SubscriptionEnded,
        CollectedElsewhere,
        InvalidSubscription,
        SubscriptionPaymentUnknown,
        SubscriptionPaymentUsed,
        PaidFarAhead,
    ),
)
async def renew_subscription(
    subscription_id: FromPath[UUID], data: JSONBody[PeriodPayment], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """The same payment again changes nothing. While a period runs, the payment waits for the next."""
    return await subscriptions.renew(
        subscription_id=SubscriptionId(subscription_id), payment_reference=data.payment_reference
    )


@post(
    "/v1/admin/subscriptions/{subscription_id:uuid}/cancel",
    status_code=200,
    summary="Let a subscription end with its period",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound, SubscriptionEnded),
)
async def cancel_subscription(
    subscription_id: FromPath[UUID], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """Access lasts until then."""
    return await subscriptions.cancel_at_period_end(subscription_id=SubscriptionId(subscription_id))


@post(
    "/v1/admin/subscriptions/{subscription_id:uuid}/reactivate",
    status_code=200,
    summary="Take a cancellation back",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound, SubscriptionEnded),
)
async def reactivate_subscription(
    subscription_id: FromPath[UUID], subscriptions: NamedDependency[Subscriptions]
) -> Subscription:
    """While its period runs."""
    return await subscriptions.reactivate(subscription_id=SubscriptionId(subscription_id))


@get(
    "/v1/admin/subscriptions/{subscription_id:uuid}/history",
    summary="What became of a subscription",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SubscriptionNotFound),
)
async def subscription_history(
    subscription_id: FromPath[UUID], subscriptions: NamedDependency[Subscriptions]
) -> list[HistoryEntry]:
    """The newest first."""
    return await subscriptions.history(subscription_id=SubscriptionId(subscription_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_account_subscriptions,
    cancel_account_subscription,
    reactivate_account_subscription,
    list_subscriptions,
    create_subscription,
    subscription_access,
    subscription_by_wallet,
    subscription_by_stripe_id,
    get_subscription,
    update_subscription,
    delete_subscription,
    move_subscription,
    extend_subscription,
    renew_subscription,
    cancel_subscription,
    reactivate_subscription,
    subscription_history,
)
