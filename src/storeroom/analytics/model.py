"""What happened in a shop: events as clients send them, as the table keeps them, and which names they may have."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from storeroom.analytics.errors import InvalidEvent
from storeroom.core.ids import CartId, EventId, OrderId, PaymentId, ProductId, UserId

EVENTS_MAX: Final = 1_000  # of one batch
NAME_LENGTH_MAX: Final = 100
VISIT_LENGTH_MAX: Final = 100
ANONYMOUS_LENGTH_MAX: Final = 100
URL_LENGTH_MAX: Final = 2_000
TITLE_LENGTH_MAX: Final = 255
UTM_LENGTH_MAX: Final = 200
PROPERTIES_BYTES_MAX: Final = 8_192  # as JSON
PROPERTIES_DEPTH_MAX: Final = 16
USER_AGENT_LENGTH_MAX: Final = 500
LINKED_WITHIN: Final = timedelta(days=30)  # what a guest did so long ago becomes the account's at sign-in
LISTED_BY_DEFAULT: Final = timedelta(days=30)
PERIOD_MAX: Final = timedelta(days=366)
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # of a client's clock; what is further off is broken, not late
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
NAME: Final = r"^[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*){1,2}\Z"


class EventCategory(StrEnum):
    """The first word of an event's name."""

    PAGE = "page"
    USER = "user"
    CART = "cart"
    CHECKOUT = "checkout"
    ORDER = "order"
    SYSTEM = "system"
    PRODUCT = "product"
    PAYMENT = "payment"


class DeviceType(StrEnum):
    """What somebody holds in the hand."""

    DESKTOP = "desktop"
    MOBILE = "mobile"
    TABLET = "tablet"


Url = Annotated[str, Meta(max_length=URL_LENGTH_MAX)]
Utm = Annotated[str, Meta(max_length=UTM_LENGTH_MAX)]
Short = Annotated[str, Meta(max_length=50)]


class EventDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event as a client tells it. Who it was and when it came the server knows itself."""

    event_name: Annotated[str, Meta(pattern=NAME, max_length=NAME_LENGTH_MAX, examples=["page.view"])]
    event_category: EventCategory  # the first word of the name
    session_id: Annotated[str, Meta(min_length=1, max_length=VISIT_LENGTH_MAX)]  # of the visit, as the client counts
    page_url: Url | None = None
    page_title: Annotated[str, Meta(max_length=TITLE_LENGTH_MAX)] | None = None
    referrer_url: Url | None = None
    utm_source: Utm | None = None
    utm_medium: Utm | None = None
    utm_campaign: Utm | None = None
    utm_term: Utm | None = None
    utm_content: Utm | None = None
    product_id: UUID | None = None
    cart_id: UUID | None = None
    order_id: UUID | None = None
    payment_id: UUID | None = None
    properties: dict[str, Any] = {}  # msgspec makes one for each
    device_type: DeviceType | None = None  # None: as the User-Agent says
    browser: Short | None = None
    os: Short | None = None
    screen_resolution: Annotated[str, Meta(max_length=20)] | None = None
    client_timestamp: Annotated[datetime, Meta(tz=True)] | None = None  # when it happened, by the client's clock

    def encoded(self) -> bytes:
        """The event as JSON, tested for what the types cannot say. It is looked into only where its bytes are suspect.

        Raises:
            InvalidEvent: the first thing that is wrong.
        """
        if self.event_name.partition(".")[0] != self.event_category:
            raise InvalidEvent(field="event_category", reason="the name begins with another category")
        at = self.client_timestamp
        if at is not None and not EARLIEST <= at < LATEST:
            raise InvalidEvent(field="client_timestamp", reason="this clock is off by many years")
        text = msgspec.json.encode(self)
        if text.count(b"{") + text.count(b"[") > PROPERTIES_DEPTH_MAX or b"\\u0000" in text:
            self._look_closely()
        if len(text) > PROPERTIES_BYTES_MAX and len(msgspec.json.encode(self.properties)) > PROPERTIES_BYTES_MAX:
            raise InvalidEvent(field="properties", reason=f"more than {PROPERTIES_BYTES_MAX} bytes of JSON")
        return text

    def _look_closely(self) -> None:
        if not _storable(self.properties, PROPERTIES_DEPTH_MAX):
            raise InvalidEvent(
                field="properties", reason=f"nested deeper than {PROPERTIES_DEPTH_MAX}, or with a character NUL"
            )
        for field in _TEXTS:
            text = getattr(self, field)
            if text is not None and "\x00" in text:
                raise InvalidEvent(field=field, reason="no text holds the character NUL")


_TEXTS: Final = (
    "session_id",
    "page_url",
    "page_title",
    "referrer_url",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "browser",
    "os",
    "screen_resolution",
)


def _storable(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, dict):
        return depth > 0 and all("\x00" not in key and _storable(each, depth - 1) for key, each in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_storable(each, depth - 1) for each in value)
    return True


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why one event of a batch was not kept."""

    index: int  # its place in the batch, from 0
    reason: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    kept: int
    refused: list[Refusal]


def sift(batch: Sequence[Any]) -> tuple[list[bytes], list[Refusal]]:
    """The events of a batch that can be kept, as JSON in their order, and why the others cannot."""
    good: list[bytes] = []
    refused: list[Refusal] = []
    for index, draft in enumerate(_drafts(batch)):
        if isinstance(draft, EventDraft):
            try:
                good.append(draft.encoded())
            except InvalidEvent as error:
                refused.append(Refusal(index=index, reason=str(error)))
        else:
            refused.append(Refusal(index=index, reason=draft))
    return good, refused


def _drafts(batch: Sequence[Any]) -> Iterator[EventDraft | str]:
    try:
        yield from msgspec.convert(batch, list[EventDraft])
    except msgspec.ValidationError:  # some are wrong: one by one, then
        for each in batch:
            try:
                yield msgspec.convert(each, EventDraft)
            except msgspec.ValidationError as error:
                yield str(error)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is kept."""

    id: EventId
    event_name: str
    event_category: EventCategory
    user_id: UserId | None
    anonymous_id: str | None
    session_id: str
    page_url: str | None
    page_title: str | None
    referrer_url: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None
    product_id: ProductId | None
    cart_id: CartId | None
    order_id: OrderId | None
    payment_id: PaymentId | None
    properties: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    device_type: DeviceType | None
    browser: str | None
    os: str | None
    screen_resolution: str | None
    country_code: str | None
    region: str | None
    city: str | None
    client_timestamp: datetime | None
    created_at: datetime  # when the server received it


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an address of the network is, as far as that is known."""

    country_code: str | None = None  # ISO 3166-1, two letters
    region: str | None = None
    city: str | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What a User-Agent gives away."""

    device_type: DeviceType | None = None
    browser: str | None = None
    os: str | None = None


# In this order: each later one also says the names of those before it.
_BROWSERS: Final = (
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/")),
    ("Opera", re.compile(r"\b(?:OPR|Opera)/")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|Chromium)/")),
    ("Safari", re.compile(r"\bVersion/[\d.]+.*\bSafari/")),
)
_SYSTEMS: Final = (
    ("iOS", re.compile(r"\b(?:iPhone|iPad|iPod)\b")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\bMac OS X\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Linux", re.compile(r"\bLinux\b")),
)
_TABLET: Final = re.compile(r"\b(?:iPad|Tablet|Kindle)\b|\bAndroid\b(?!.*\bMobile\b)")
_MOBILE: Final = re.compile(r"\b(?:iPhone|iPod|Mobile)\b")


@lru_cache(maxsize=4_096)  # browsers are few, and their names bounded
def client_of(user_agent: str | None) -> Client:
    """Device, browser and system, roughly: families without versions. Nothing of it is proof of anything."""
    if not user_agent:
        return Client()
    system = next((name for name, pattern in _SYSTEMS if pattern.search(user_agent)), None)
    device = None
    if _TABLET.search(user_agent):
        device = DeviceType.TABLET
    elif _MOBILE.search(user_agent):
        device = DeviceType.MOBILE
    elif system is not None:
        device = DeviceType.DESKTOP
    browser = next((name for name, pattern in _BROWSERS if pattern.search(user_agent)), None)
    return Client(device_type=device, browser=browser, os=system)
