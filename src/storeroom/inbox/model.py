"""What other systems tell the shop: messages, who may send them, and when one is tried again."""

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from storeroom.core.ids import InboxId, OrderId, PaymentId, ShipmentId, TenantId
from storeroom.database.sealed import SealedCount
from storeroom.database.service import Context

__all__ = ["SealedCount", "TenantId"]  # for the statements

BODY_BYTES_MAX: Final = 512 * 1024  # of one message
FORGED_BYTES_MAX: Final = 8 * 1024  # of one with a wrong signature; of a longer one its length is kept
FORGED_MAX: Final = 100  # of one source that are kept in FORGED_WINDOW; the others are refused and forgotten
FORGED_WINDOW: Final = timedelta(hours=1)
FORGED_KEPT: Final = timedelta(days=1)
KEPT: Final = timedelta(days=30)  # what was processed is shown so long, and so long a repeat is known
ATTEMPTS_DEFAULT: Final = 3
ATTEMPTS_MAX: Final = 100
BACKOFF_FIRST: Final = timedelta(seconds=15)  # after the first failure; four times as long after each
BACKOFF_MAX: Final = timedelta(hours=1)
BACKOFF_JITTER: Final = 0.2
WAIT_MAX: Final = BACKOFF_MAX * (1 + BACKOFF_JITTER)  # nothing is made to wait longer
HANDLING_MAX: Final = timedelta(seconds=60)  # so long a handler may take
LEASE: Final = timedelta(minutes=2)  # longer than that, so that nobody's message is taken while it is handled
HEADERS_KEPT_MAX: Final = 40
HEADER_LENGTH_MAX: Final = 500
SIGNATURE_LENGTH_MAX: Final = 255
TYPE_LENGTH_MAX: Final = 100
EVENT_ID_LENGTH_MAX: Final = 255
ERROR_LENGTH_MAX: Final = 500
RESULT_BYTES_MAX: Final = 16 * 1024
SOURCES_MAX: Final = 50  # of one shop
CODE_LENGTH_MAX: Final = 50
SECRET_LENGTH_MIN: Final = 8
SECRET_LENGTH_MAX: Final = 500
TOLERANCE_MIN_S: Final = 30
TOLERANCE_MAX_S: Final = 86_400
MONEY_SOURCES: Final = frozenset({"epicor_propello", "stripe"})  # whose word completes payments
UNKNOWN_TYPE: Final = "unknown"  # of a message that does not say what happened

# What a message brings along that is nobody's business later.
UNKEPT_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
UNKEPT_WORDS: Final = ("token", "secret", "password", "api-key", "apikey")


class InboxStatus(StrEnum):
    """How far a message is."""

    PENDING = "pending"  # due at next_attempt_at, also after failures
    PROCESSING = "processing"  # a worker holds it under a lease
    COMPLETED = "completed"  # its handler has done what it asks for
    FAILED = "failed"  # out of attempts, or with a wrong signature: for staff to look at
    SKIPPED = "skipped"  # nobody here handles its type, or the handler had nothing to do


class Scheme(StrEnum):
    """How the messages of a source are signed."""

    STRIPE = "stripe"  # t=…,v1=…: HMAC-SHA256 in hex of the time, a dot and the body
    STANDARD_WEBHOOKS = "standard_webhooks"  # www.standardwebhooks.com
    HMAC = "hmac"  # HMAC-SHA256 of the body, in a header
    MAILGUN = "mailgun"  # inside the body: HMAC-SHA256 of a time and a token


class Encoding(StrEnum):
    """How a plain HMAC is written."""

    HEX = "hex"
    BASE64 = "base64"


class InboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the hands of its handler."""

    id: InboxId
    source: str
    webhook_type: str
    event_id: str  # the provider's
    headers: dict[str, str]  # names in lower case
    payload: dict[str, Any]
    verified_by: str | None
    attempts: int  # this one counted
    max_attempts: int
    received_at: datetime


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler did."""

    result: dict[str, Any] = {}
    order_id: OrderId | None = None
    payment_id: PaymentId | None = None
    fulfillment_id: ShipmentId | None = None
    skipped: bool = False  # nothing had to be done


# Runs in the transaction that completes the message: `context.db` is it, and what it writes there is applied once.
# An error undoes all of it, and the message is tried again until its attempts are used up.
Handler: TypeAlias = Callable[[Context, InboxMessage], Awaitable[Handled]]
Handlers: TypeAlias = Mapping[tuple[str, str], Handler]  # by source and type; type "*": the rest of that source


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message as staff see it, in full."""

    id: InboxId
    source: str
    webhook_type: str
    event_id: str | None
    status: InboxStatus
    attempts: int
    max_attempts: int
    next_attempt_at: datetime
    headers: dict[str, str]
    payload: Any
    signature: str | None
    signature_valid: bool | None
    verified_by: str | None
    processed_at: datetime | None
    error_message: str | None
    result: Any
    related_order_id: UUID | None
    related_payment_id: UUID | None
    related_fulfillment_id: UUID | None
    received_at: datetime
    created_at: datetime


class InboxSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a list, without what it said."""

    id: InboxId
    source: str
    webhook_type: str
    event_id: str | None
    status: InboxStatus
    attempts: int
    max_attempts: int
    next_attempt_at: datetime
    signature_valid: bool | None
    processed_at: datetime | None
    error_message: str | None
    related_order_id: UUID | None
    related_payment_id: UUID | None
    related_fulfillment_id: UUID | None
    received_at: datetime


class CountedStatus(StrEnum):
    """What is counted apart. What was processed is not counted: it is most of the table."""

    PENDING = "pending"
    PROCESSING = "processing"
    FAILED = "failed"  # signed, and out of attempts
    FORGED = "forged"  # failed as well, for its signature: anybody can send such


class InboxDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of a state there are, and since when the oldest waits."""

    status: CountedStatus
    rows: int
    oldest: datetime | None


class InboxBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """The same of all shops, by the database's clock."""

    status: CountedStatus
    rows: int
    age: timedelta | None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """That a message is ours to process from now on."""

    id: InboxId | None  # None: it was there before
    repeated: bool


class WebhookSource(msgspec.Struct, frozen=True, kw_only=True):
    """Who may tell the shop something. Its secret is shown once, when it is made or changed."""

    code: str
    scheme: Scheme
    signature_header: str
    encoding: Encoding
    prefix: str
    timestamp_header: str | None
    tolerance_seconds: int
    event_id_at: str | None
    event_type_at: str
    max_attempts: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class SourceKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What receiving needs of a source; the secrets are sealed. Never leaves this room."""

    code: str
    scheme: Scheme
    secret: str
    previous_secret: str | None
    signature_header: str
    encoding: Encoding
    prefix: str
    timestamp_header: str | None
    tolerance_seconds: int
    event_id_at: str | None
    event_type_at: str
    max_attempts: int
    is_active: bool


class SealedSource(msgspec.Struct, frozen=True):
    """The secrets of a source, for a rotation of keys."""

    tenant_id: str
    code: str
    secret: str
    previous_secret: str | None


STANDARD_TOLERANCE_S: Final = 300  # the library of Standard Webhooks has its own, and takes no other


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a source is, where nothing else is said."""

    scheme: Scheme = Scheme.STANDARD_WEBHOOKS
    signature_header: str = "webhook-signature"
    event_id_at: str | None = "header:webhook-id"
    event_type_at: str = "payload:type"
    tolerance_seconds: int = STANDARD_TOLERANCE_S


OF_SCHEME: Final[Mapping[Scheme, Defaults]] = MappingProxyType(
    {
        Scheme.STRIPE: Defaults(scheme=Scheme.STRIPE, signature_header="stripe-signature", event_id_at="payload:id"),
        Scheme.STANDARD_WEBHOOKS: Defaults(),
        Scheme.HMAC: Defaults(scheme=Scheme.HMAC, signature_header="x-signature", event_id_at="payload:id"),
        Scheme.MAILGUN: Defaults(
            scheme=Scheme.MAILGUN,
            signature_header="",
            event_id_at="payload:event-data.id",
            event_type_at="payload:event-data.event",
            tolerance_seconds=12 * 3600,  # it tries again for eight hours
        ),
    }
)
# Shippo gives its messages no id: the same bytes are the same event.
OF_SOURCE: Final[Mapping[str, Defaults]] = MappingProxyType(
    {
        "stripe": OF_SCHEME[Scheme.STRIPE],
        "mailgun": OF_SCHEME[Scheme.MAILGUN],
        "shippo": Defaults(
            scheme=Scheme.STRIPE,
            signature_header="shippo-auth-signature",
            event_id_at=None,
            event_type_at="payload:event",
        ),
    }
)


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts, with jitter: 15 s, 1 min, 4 min, … 1 h at most."""
    wait: timedelta = min(BACKOFF_FIRST * 4 ** min(attempts - 1, 10), BACKOFF_MAX)
    return wait * random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)  # noqa: S311  # no secret
