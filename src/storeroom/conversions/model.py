"""Conversions: what happened, whom a shop tells of it, and what waits to be told."""

import random
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, NewType, TypeVar
from uuid import UUID

import msgspec

from storeroom.configuration import Setting, choice, declare
from storeroom.core.contact import Address
from storeroom.core.ids import OrderId, SessionId, TenantId, UserId
from storeroom.core.money import Money
from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount", "TenantId"]

ProviderId = NewType("ProviderId", UUID)
ConversionId = NewType("ConversionId", UUID)
T = TypeVar("T")

PROVIDERS_MAX: Final = 20  # of one shop
NAME_LENGTH_MAX: Final = 100
ACCOUNT_LENGTH_MAX: Final = 50
SECRET_LENGTH_MAX: Final = 1_000
CODE_LENGTH_MAX: Final = 50
FBP_LENGTH_MAX: Final = 200
FBC_LENGTH_MAX: Final = 500
GA_CLIENT_LENGTH_MAX: Final = 100
GA_SESSION_LENGTH_MAX: Final = 50
ERROR_LENGTH_MAX: Final = 500
ITEMS_MAX: Final = 100  # of one event; an order may have more lines
AGE_MAX: Final = timedelta(days=7)  # of what is queued: no provider takes older ones
RETRIES_MAX: Final = 48  # over about AGE_MAX
BACKOFF_FIRST: Final = timedelta(seconds=10)  # after the first failure; twice as long after each
BACKOFF_MAX: Final = timedelta(hours=4)
BACKOFF_JITTER: Final = 0.2
PAUSE_FIRST: Final = timedelta(seconds=10)  # of a provider that failed; twice as long after each further failure
PAUSE_MAX: Final = timedelta(minutes=15)
RETRIED_AT_ONCE_MAX: Final = 10_000
KEPT_S: Final = 10.0  # how old our knowledge may be of what a shop tells


class ProviderKind(StrEnum):
    """Whose interface a provider speaks."""

    META = "meta"  # the Conversions API
    GA4 = "ga4"  # the Measurement Protocol of Google Analytics


class ConversionStatus(StrEnum):
    """How far a queued event is. One that everybody has is gone."""

    PENDING = "pending"  # not refused by anybody yet
    FAILED = "failed"  # somebody did not take it; tried again


class Occasion(StrEnum):
    """What happened, as Meta calls it."""

    ADD_TO_CART = "AddToCart"
    INITIATE_CHECKOUT = "InitiateCheckout"
    PURCHASE = "Purchase"
    TEST = "StoreroomTest"  # staff want to see whether it arrives


PLACED: Final = "placed"
PAID: Final = "paid"
WITHHOLD: Final = "withhold"
SEND: Final = "send"


def _web_address(value: str) -> str:
    text = value.strip()
    if not text.startswith(("https://", "http://")) or len(text) > 500 or not text.isprintable() or " " in text:
        raise ValueError("a web address, such as https://shop.example/")
    return text


GROUP: Final = "conversions"
PURCHASE_ON: Final[Setting[str]] = declare(
    Setting(
        key="conversions.purchase_on",
        default=PLACED,
        parse=choice(PLACED, PAID),
        group=GROUP,
        says="whether an order is told as a purchase when it is placed, or when it is paid",
    )
)
WITHOUT_CONSENT: Final[Setting[str]] = declare(
    Setting(
        key="conversions.without_consent",
        default=WITHHOLD,
        parse=choice(WITHHOLD, SEND),
        group=GROUP,
        says="what is done about visitors who were not asked; of one who refused nothing is told, whatever stands here",
    )
)
SOURCE_URL: Final[Setting[str | None]] = declare(
    Setting(
        key="conversions.source_url",
        default=None,
        parse=_web_address,
        group=GROUP,
        says="the site that events are said to come from, such as https://shop.example/; else `general.storefront_url`",
    )
)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop tells, as far as it tells anything."""

    purchase_on: str
    without_consent: str
    source_url: str | None


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a shop tells. The secret is set, never read."""

    id: ProviderId
    kind: ProviderKind
    name: str
    account_id: str  # the pixel's id, or the measurement id
    test_event_code: str | None  # while it is set, all that is sent counts as a test
    is_active: bool
    failures: int  # calls in a row that failed
    paused_until: datetime | None
    last_error: str | None
    last_sent_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ProviderKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What a call needs; the secret is sealed. Never leaves this room."""

    id: ProviderId
    kind: ProviderKind
    account_id: str
    secret: str
    test_event_code: str | None
    failures: int
    rests: timedelta | None  # so much longer


class SealedProvider(msgspec.Struct, frozen=True):
    """What a rotation of keys needs of a row."""

    tenant_id: str
    id: ProviderId
    secret: str


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits."""

    id: ConversionId
    event_name: str
    payload: Any  # by kind of provider, as it is sent
    status: ConversionStatus
    providers_sent: list[str]  # ids of those who have it
    retry_count: int
    next_attempt_at: datetime
    last_error: str | None
    created_at: datetime


class ClaimedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the hands of the worker that holds the claim. The payload is text: it is sent as it was queued."""

    id: ConversionId
    payload: str
    providers_sent: list[str]
    retry_count: int
    on_trial: bool  # its worker was lost: it is alone in its claim, and the count says already that this failed
    created_at: datetime
    seen_at: datetime  # by the database's clock as well

    @property
    def age(self) -> timedelta:
        """When it was claimed."""
        return self.seen_at - self.created_at


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of a state wait, and since when the oldest does."""

    status: ConversionStatus
    rows: int
    oldest: datetime | None


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """All that waits, of all shops."""

    rows: int  # counted no further than 100,000
    age: timedelta | None  # of the oldest


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What a visitor said, and what the browser knows them by."""

    consents: bool
    fbp: str | None = None
    fbc: str | None = None
    ga_client_id: str | None = None
    ga_session_id: str | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the shop knows of a visitor's browser and account."""

    consents: bool | None  # None: not asked
    withdrew: bool  # took back the consent to marketing
    anonymous_id: str | None
    user_agent: str | None
    ip: str | None
    fbp: str | None
    fbc: str | None
    ga_client_id: str | None
    ga_session_id: str | None
    email: str | None
    phone: str | None
    full_name: str | None


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """An order, for whoever is told of it."""

    id: OrderId
    order_number: str
    user_id: UserId | None
    session_id: SessionId | None
    customer_email: str
    customer_name: str
    customer_phone: str | None
    shipping_address: Address | None
    ip: str | None
    total_amount: Money
    shipping_amount: Money
    tax_amount: Money
    discount_code: str | None
    created_at: datetime
    paid_at: datetime | None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one variant."""

    id: str  # the SKU, or the variant's id where it has none
    name: str
    variant: str
    quantity: int
    price: Money  # of one unit


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of an order beside what is in it."""

    number: str
    shipping: Money
    tax: Money
    coupon: str | None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whom it is about. What may be told of it only hashed is hashed by the shapes."""

    user_id: UserId | None = None
    email: str | None = None
    phone: str | None = None  # E.164 digits
    name: str | None = None
    address: Address | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, before it is put into anybody's words."""

    occasion: Occasion
    id: str  # by which a provider drops what the browser's own tag has told it already
    at: datetime
    value: Money
    items: list[Item]
    person: Person
    known: Known
    source_url: str | None
    order: Order | None = None


class Ask(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request to a provider, and the events that it brings."""

    rows: list[T]
    url: str
    body: bytes


def backoff(retries: int) -> timedelta:
    """How long to wait after so many failures, with jitter: 10 s, 20 s, 40 s, … 4 h at most."""
    wait: timedelta = min(BACKOFF_FIRST * 2 ** min(retries - 1, 20), BACKOFF_MAX)
    return wait * random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)  # noqa: S311  # no secret


def pause(failures: int) -> timedelta:
    """How long a provider rests after so many failures in a row: 10 s, 20 s, … 15 minutes at most."""
    rest: timedelta = min(PAUSE_FIRST * 2 ** min(failures - 1, 20), PAUSE_MAX)
    return rest
