"""Webhooks over HTTP, for staff: endpoints, and what is queued for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.clock import NaiveInstant
from storeroom.core.ids import EndpointId, WebhookId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission, SigningSecretMissing
from storeroom.integration.endpoints import EndpointChanges, Endpoints
from storeroom.integration.errors import (
    EndpointNotFound,
    EndpointTaken,
    InvalidWebhook,
    TooManyEndpoints,
    WebhookNotFound,
    WebhookNotRetriable,
)
from storeroom.integration.model import (
    ATTEMPTS_DEFAULT,
    ATTEMPTS_MAX,
    ENTITY_TYPE_LENGTH_MAX,
    EVENT_TYPES_MAX,
    IN_FLIGHT_DEFAULT,
    IN_FLIGHT_MAX,
    NAME_LENGTH_MAX,
    TIMEOUT_DEFAULT,
    TIMEOUT_MAX,
    URL_LENGTH_MAX,
    Attempt,
    Endpoint,
    QueueDepth,
    Webhook,
    WebhookStatus,
)
from storeroom.integration.webhooks import Webhooks
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says, without_key

_TAGS: Final = ["admin: webhooks"]
_WRITE: Final = [requires(Permission.WEBHOOKS_WRITE)]
_TIMEOUT_MAX_S: Final = int(TIMEOUT_MAX.total_seconds())

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, examples=["accounting"])]
Url = Annotated[str, Meta(min_length=8, max_length=URL_LENGTH_MAX, examples=["https://accounting.example/hooks"])]
EventTypes = Annotated[
    list[str], Meta(min_length=1, max_length=EVENT_TYPES_MAX, examples=[["order.*", "payment.completed"]])
]
Attempts = Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)]
Seconds = Annotated[int, Meta(ge=1, le=_TIMEOUT_MAX_S)]
EntityType = Annotated[str, Meta(min_length=1, max_length=ENTITY_TYPE_LENGTH_MAX, examples=["order"])]
InFlight = Annotated[int, Meta(ge=1, le=IN_FLIGHT_MAX)]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events shall go."""

    name: Name
    url: Url
    event_types: EventTypes | None = None  # null: all
    max_attempts: Attempts = ATTEMPTS_DEFAULT
    timeout_seconds: Seconds = int(TIMEOUT_DEFAULT.total_seconds())
    in_flight_max: InFlight = IN_FLIGHT_DEFAULT
    keeps_order: bool = False
    is_active: bool = True


class ChangedEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType | None = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    timeout_seconds: Seconds | UnsetType = UNSET
    in_flight_max: InFlight | UnsetType = UNSET
    keeps_order: bool | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class MadeEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, and the secret that signs what it gets: shown this once."""

    endpoint: Endpoint
    secret: str


class NewSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that signs from now on: shown this once."""

    secret: str


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message to an address of its own. It is sent as it stands, unsigned."""

    url: Url
    event_type: Annotated[str, Meta(min_length=1, max_length=100)]
    payload: Any
    headers: dict[str, str] = {}
    max_attempts: Attempts = ATTEMPTS_DEFAULT
    not_before: datetime | None = None  # null: at once
    entity_type: EntityType | None = None  # with entity_id: what it is about
    entity_id: UUID | None = None


@get("/v1/admin/webhook-endpoints", summary="Where events go", tags=_TAGS, guards=_WRITE, responses=says())
async def list_endpoints(endpoints: NamedDependency[Endpoints]) -> list[Endpoint]:
    """All of them, the oldest first."""
    return list(await endpoints.list())


@post(
    "/v1/admin/webhook-endpoints",
    summary="Add an endpoint",
    tags=_TAGS,
    guards=_WRITE,
    opt=without_key("it answers with a secret, which is kept sealed only; the same address again is refused"),
    responses=says(InvalidWebhook, EndpointTaken, TooManyEndpoints, SigningSecretMissing),
)
async def create_endpoint(data: JSONBody[NewEndpoint], endpoints: NamedDependency[Endpoints]) -> MadeEndpoint:
    """It gets what happens from now on, signed by the Standard Webhooks scheme. Made twice it is refused."""
    endpoint, secret = await endpoints.create(**msgspec.structs.asdict(data))
    return MadeEndpoint(endpoint=endpoint, secret=secret.reveal())


@get(
    "/v1/admin/webhook-endpoints/{endpoint_id:uuid}",
    summary="One endpoint",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(EndpointNotFound),
)
async def get_endpoint(endpoint_id: FromPath[UUID], endpoints: NamedDependency[Endpoints]) -> Endpoint:
    """`failures` counts deliveries in a row that failed; `paused_until` says until when it rests for that."""
    return await endpoints.get(endpoint_id=EndpointId(endpoint_id))


@patch(
    "/v1/admin/webhook-endpoints/{endpoint_id:uuid}",
    summary="Change an endpoint",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(EndpointNotFound, InvalidWebhook, EndpointTaken),
)
async def update_endpoint(
    endpoint_id: FromPath[UUID], data: JSONBody[ChangedEndpoint], endpoints: NamedDependency[Endpoints]
) -> Endpoint:
    """A pause ends, and what waits is tried."""
    changes = EndpointChanges(**msgspec.structs.asdict(data))
    return await endpoints.update(endpoint_id=EndpointId(endpoint_id), changes=changes)


@post(
    "/v1/admin/webhook-endpoints/{endpoint_id:uuid}/secret",
    status_code=200,
    summary="Change an endpoint's secret",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(EndpointNotFound, SigningSecretMissing),
)
async def change_secret(endpoint_id: FromPath[UUID], endpoints: NamedDependency[Endpoints]) -> NewSecret:
    """The one before signs beside it until it is dropped, so that no delivery is lost on the way."""
    secret = await endpoints.change_secret(endpoint_id=EndpointId(endpoint_id))
    return NewSecret(secret=secret.reveal())


@delete(
    "/v1/admin/webhook-endpoints/{endpoint_id:uuid}/previous-secret",
    status_code=204,
    summary="Sign with the newest secret alone",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(EndpointNotFound),
)
async def drop_previous_secret(endpoint_id: FromPath[UUID], endpoints: NamedDependency[Endpoints]) -> None:
    """Once the receiver has changed over."""
    await endpoints.drop_previous_secret(endpoint_id=EndpointId(endpoint_id))


@delete(
    "/v1/admin/webhook-endpoints/{endpoint_id:uuid}",
    status_code=204,
    summary="Remove an endpoint",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(EndpointNotFound),
)
async def delete_endpoint(endpoint_id: FromPath[UUID], endpoints: NamedDependency[Endpoints]) -> None:
    """What waits for it is given up, and stays to be seen."""
    await endpoints.delete(endpoint_id=EndpointId(endpoint_id))


@get(
    "/v1/admin/webhooks",
    summary="What is queued",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor, InvalidWebhook),
)
async def list_webhooks(
    *,
    webhooks: NamedDependency[Webhooks],
    status: FromQuery[WebhookStatus | None] = None,
    entity_type: FromQuery[EntityType | None] = None,
    entity_id: FromQuery[UUID | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Webhook]:
    """Newest first. `failed` are the dead letters; `webhooks` as destination is an event before it is fanned out.

    With `entity_type` and `entity_id` what was told of one order, payment or account: the newest hundred.
    """
    if entity_type is not None and entity_id is not None:
        if status is not None or cursor is not None:
            raise InvalidWebhook(field="entity_id", reason="comes with neither status nor cursor")
        told = await webhooks.of_entity(entity_type=entity_type, entity_id=entity_id)
        return Page(items=list(told), next_cursor=None)
    if entity_type is not None or entity_id is not None:
        raise InvalidWebhook(field="entity_id", reason="comes with entity_type")
    return await webhooks.list(status=status, cursor=cursor, limit=limit)


@post(
    "/v1/admin/webhooks",
    summary="Queue a message to an address of its own",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(InvalidWebhook, NaiveInstant),
)
async def enqueue_webhook(data: JSONBody[NewWebhook], webhooks: NamedDependency[Webhooks]) -> Webhook:
    """Sent at once, or not before the time given, and tried again as often as asked for."""
    return await webhooks.enqueue(**msgspec.structs.asdict(data))


@get("/v1/admin/webhooks/depths", summary="How much waits", tags=_TAGS, guards=_WRITE, responses=says())
async def webhook_depths(webhooks: NamedDependency[Webhooks]) -> list[QueueDepth]:
    """What waits, is being sent, and was given up, each with the age of the oldest."""
    return list(await webhooks.depths())


@get(
    "/v1/admin/webhooks/{webhook_id:uuid}",
    summary="One queued row",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(WebhookNotFound),
)
async def get_webhook(webhook_id: FromPath[UUID], webhooks: NamedDependency[Webhooks]) -> Webhook:
    """With what the receiver last said."""
    return await webhooks.get(webhook_id=WebhookId(webhook_id))


@get(
    "/v1/admin/webhooks/{webhook_id:uuid}/attempts",
    summary="Each attempt",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(WebhookNotFound),
)
async def webhook_attempts(webhook_id: FromPath[UUID], webhooks: NamedDependency[Webhooks]) -> list[Attempt]:
    """The first one first."""
    return list(await webhooks.attempts(webhook_id=WebhookId(webhook_id)))


@post(
    "/v1/admin/webhooks/{webhook_id:uuid}/retry",
    status_code=200,
    summary="Send it again",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(WebhookNotFound, WebhookNotRetriable),
)
async def retry_webhook(webhook_id: FromPath[UUID], webhooks: NamedDependency[Webhooks]) -> Webhook:
    """A dead letter gets all its attempts again."""
    return await webhooks.retry(webhook_id=WebhookId(webhook_id))


@delete(
    "/v1/admin/webhooks/{webhook_id:uuid}",
    status_code=204,
    summary="Remove a queued row",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(WebhookNotFound),
)
async def delete_webhook(webhook_id: FromPath[UUID], webhooks: NamedDependency[Webhooks]) -> None:
    """It is not sent any more; its attempts go with it."""
    await webhooks.delete(webhook_id=WebhookId(webhook_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_endpoints,
    create_endpoint,
    get_endpoint,
    update_endpoint,
    change_secret,
    drop_previous_secret,
    delete_endpoint,
    list_webhooks,
    enqueue_webhook,
    webhook_depths,
    get_webhook,
    webhook_attempts,
    retry_webhook,
    delete_webhook,
)
