"""What leaves the shop: queued rows, the endpoints they go to, and when one is tried again."""

import random
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import EndpointId, TenantId, WebhookId
from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount"]

ATTEMPTS_DEFAULT: Final = 16  # over about a day
ATTEMPTS_MAX: Final = 100
BACKOFF_FIRST: Final = timedelta(seconds=10)  # after the first failure; twice as long after each
BACKOFF_MAX: Final = timedelta(hours=4)
BACKOFF_JITTER: Final = 0.2
LEASE: Final = timedelta(minutes=2)  # longer than TIMEOUT_MAX, so that nobody's row is taken while it is being sent
TIMEOUT_DEFAULT: Final = timedelta(seconds=15)
TIMEOUT_MAX: Final = timedelta(seconds=60)
IN_FLIGHT_DEFAULT: Final = 8
IN_FLIGHT_MAX: Final = 64
PAUSE_AFTER: Final = 5  # deliveries in a row that failed
PAUSE_FIRST: Final = timedelta(seconds=15)  # twice as long after each further failure
PAUSE_MAX: Final = timedelta(minutes=15)
KEPT: Final = timedelta(days=7)  # what arrived is shown so long
URL_LENGTH_MAX: Final = 2000
NAME_LENGTH_MAX: Final = 100
EVENT_TYPES_MAX: Final = 100
PAYLOAD_BYTES_MAX: Final = 256 * 1024
ENTITY_TYPE_LENGTH_MAX: Final = 50
HEADERS_MAX: Final = 20
HEADER_LENGTH_MAX: Final = 1000
CONNECTION_HEADERS: Final = frozenset({  # what HTTP says of the connection is no message's to say
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
})  # fmt: skip
ERROR_LENGTH_MAX: Final = 500
BODY_KEPT_MAX: Final = 2000  # characters of an answer that are kept
LISTED_MAX: Final = 100
ENDPOINTS_MAX: Final = 50  # of one shop
CARRY_MAX: Final = timedelta(seconds=90)  # for a carrier to bring one row; shorter than LEASE
DIRECT: Final = "url:"  # destination of a row that brings its own address: one for each host
OF_ENDPOINT: Final = "endpoint:"  # destination of a row that goes to an endpoint; its id follows


class WebhookStatus(StrEnum):
    """How far a queued row is."""

    PENDING = "pending"  # due at next_attempt_at, also after failures
    PROCESSING = "processing"  # a worker holds it under a lease
    SUCCESS = "success"  # the receiver took it
    FAILED = "failed"  # out of attempts: the dead letter, for staff to look at


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One queued row."""

    id: WebhookId
    event_id: UUID | None  # of the event that was fanned out to endpoints
    endpoint_id: EndpointId | None
    destination: str
    url: str | None
    event_type: str
    payload: Any
    headers: dict[str, str]
    status: WebhookStatus
    attempts: int
    max_attempts: int
    last_error: str | None
    last_attempt_at: datetime | None
    next_attempt_at: datetime
    response_status: int | None
    response_body: str | None
    entity_type: str | None
    entity_id: UUID | None
    created_at: datetime
    completed_at: datetime | None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A row in the hands of the worker that holds `claim`."""

    id: WebhookId
    event_id: UUID | None
    endpoint_id: EndpointId | None
    url: str | None  # None in the hands of the dispatcher, which asks the endpoint
    event_type: str
    payload: Any
    headers: dict[str, str]
    attempts: int  # this one counted
    max_attempts: int
    entity_type: str | None
    entity_id: UUID | None
    created_at: datetime

    @property
    def delivery_id(self) -> UUID:
        """What the receiver drops repeats by: the same for every attempt."""
        return self.event_id or self.id


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try and what came of it."""

    attempt: int
    duration_ms: int
    response_status: int | None
    response_body: str | None
    error: str | None
    created_at: datetime


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending one row."""

    duration_ms: int
    error: str | None = None  # None: taken
    final: bool = False  # trying again cannot help: given up at once, and nothing against the destination
    ours: bool = False  # our own database was away: nothing against the destination either
    response_status: int | None = None
    response_body: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.error is None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where events go. Its secret is shown once, when it is made or changed."""

    id: EndpointId
    name: str
    url: str
    event_types: list[str] | None
    max_attempts: int
    timeout_seconds: int
    in_flight_max: int
    keeps_order: bool
    is_active: bool
    failures: int
    paused_until: datetime | None
    created_at: datetime
    updated_at: datetime


class SealedEndpoint(msgspec.Struct, frozen=True):
    """The secrets of an endpoint, for a rotation of keys."""

    tenant_id: str
    id: EndpointId
    secret: str
    previous_secret: str | None


class EndpointKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery needs of its endpoint; the secrets are sealed. Never leaves this room."""

    id: EndpointId
    url: str
    secret: str
    previous_secret: str | None
    timeout_seconds: int
    in_flight_max: int
    keeps_order: bool
    is_active: bool
    failures: int
    paused_for: timedelta | None  # what is left of a pause; less than nothing where it is over


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere with rows that are due."""

    tenant_id: TenantId
    destination: str
    endpoint_id: EndpointId | None
    failures: int  # in a row


class OpenDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere with rows of one shop that may be sent now."""

    destination: str
    url: str | None  # of its endpoint
    keeps_order: bool


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the hands of the caller, until `until`; the claim is what finishes them."""

    claim: UUID
    until: datetime
    webhooks: list[Claimed]


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of a state there are, and since when the oldest waits."""

    status: WebhookStatus
    rows: int
    oldest: datetime | None


class QueueAge(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of a state there are in all shops, and how long the oldest waits, is under way or was given up."""

    status: WebhookStatus
    rows: int
    oldest_seconds: float | None


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts, with jitter: 10 s, 20 s, 40 s, … 4 h at most."""
    wait: timedelta = min(BACKOFF_FIRST * 2 ** min(attempts - 1, 20), BACKOFF_MAX)
    return wait * random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)  # noqa: S311  # no secret


def pause(failures: int) -> timedelta | None:
    """How long an endpoint rests after so many failures in a row; None: it goes on."""
    if failures < PAUSE_AFTER:
        return None
    rest: timedelta = min(PAUSE_FIRST * 2 ** min(failures - PAUSE_AFTER, 20), PAUSE_MAX)
    return rest
