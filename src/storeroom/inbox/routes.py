"""The inbox over HTTP, for staff: what came, what became of it, and who may tell the shop something."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.ids import InboxId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission, SigningSecretMissing
from storeroom.inbox.errors import (
    InvalidSource,
    MessageNotFound,
    MessageNotReplayable,
    SourceNotFound,
    SourceTaken,
    TooManySources,
)
from storeroom.inbox.model import (
    ATTEMPTS_DEFAULT,
    ATTEMPTS_MAX,
    CODE_LENGTH_MAX,
    MONEY_SOURCES,
    SECRET_LENGTH_MAX,
    SECRET_LENGTH_MIN,
    TOLERANCE_MAX_S,
    TOLERANCE_MIN_S,
    TYPE_LENGTH_MAX,
    Encoding,
    InboxDepth,
    InboxEntry,
    InboxStatus,
    InboxSummary,
    Scheme,
    WebhookSource,
)
from storeroom.inbox.service import Inbox
from storeroom.inbox.sources import PATH_LENGTH_MAX, PREFIX_LENGTH_MAX, SourceChanges, WebhookSources
from storeroom.web import (
    PAGE_SIZE_DEFAULT,
    CursorParameter,
    LimitParameter,
    PermissionMissing,
    Principal,
    requires,
    says,
    without_key,
)

_TAGS: Final = ["admin: inbox"]
_WRITE: Final = [requires(Permission.WEBHOOKS_WRITE)]

Code = Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX, pattern="^[a-z][a-z0-9_]*$", examples=["shippo"])]
Given = Annotated[str, Meta(min_length=SECRET_LENGTH_MIN, max_length=SECRET_LENGTH_MAX)]
Header = Annotated[str, Meta(min_length=1, max_length=100, examples=["x-signature"])]
Prefix = Annotated[str, Meta(max_length=PREFIX_LENGTH_MAX, examples=["sha256="])]
Place = Annotated[str, Meta(min_length=8, max_length=PATH_LENGTH_MAX, examples=["payload:event.id"])]
Tolerance = Annotated[int, Meta(ge=TOLERANCE_MIN_S, le=TOLERANCE_MAX_S)]
Attempts = Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)]
Source = Annotated[str, Meta(max_length=CODE_LENGTH_MAX)]
Type = Annotated[str, Meta(max_length=TYPE_LENGTH_MAX)]


class NewSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who shall be heard. What is left out is as the source, or its scheme, has it."""

    code: Code
    scheme: Scheme | None = None
    secret: Given | None = None  # null: one is made
    signature_header: Header | None = None
    encoding: Encoding = Encoding.HEX
    prefix: Prefix = ""
    timestamp_header: Header | None = None
    tolerance_seconds: Tolerance | None = None
    event_id_at: Place | UnsetType | None = UNSET  # null: the same bytes are the same event
    event_type_at: Place | None = None
    max_attempts: Attempts = ATTEMPTS_DEFAULT
    is_active: bool = True


class ChangedSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    signature_header: Header | UnsetType = UNSET
    encoding: Encoding | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET
    timestamp_header: Header | UnsetType | None = UNSET
    tolerance_seconds: Tolerance | UnsetType = UNSET
    event_id_at: Place | UnsetType | None = UNSET
    event_type_at: Place | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class AnotherSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new secret, as the provider shows it."""

    secret: Given | None = None  # null: one is made


class MadeSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source, and the secret that its messages are signed with: shown this once."""

    source: WebhookSource
    secret: str


class SourceSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that is good from now on: shown this once."""

    secret: str


@get("/v1/admin/inbox", summary="What came", tags=_TAGS, guards=_WRITE, responses=says(InvalidCursor, InvalidSource))
async def list_messages(
    *,
    inbox: NamedDependency[Inbox],
    status: FromQuery[InboxStatus | None] = None,
    source: FromQuery[Source | None] = None,
    webhook_type: FromQuery[Type | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[InboxSummary]:
    """Newest first, without what they said. A type is asked for together with its source."""
    return await inbox.list(status=status, source=source, webhook_type=webhook_type, cursor=cursor, limit=limit)


@get("/v1/admin/inbox/depths", summary="How much waits", tags=_TAGS, guards=_WRITE, responses=says())
async def inbox_depths(inbox: NamedDependency[Inbox]) -> list[InboxDepth]:
    """What waits, is being handled, and failed, each with the age of the oldest."""
    return list(await inbox.depths())


@get(
    "/v1/admin/inbox/{message_id:uuid}",
    summary="One message",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(MessageNotFound),
)
async def get_message(message_id: FromPath[UUID], inbox: NamedDependency[Inbox]) -> InboxEntry:
    """With all it said, and what came of it."""
    return await inbox.get(message_id=InboxId(message_id))


@post(
    "/v1/admin/inbox/{message_id:uuid}/replay",
    status_code=200,
    summary="Process a message again",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(MessageNotFound, MessageNotReplayable),
)
async def replay_message(message_id: FromPath[UUID], inbox: NamedDependency[Inbox]) -> InboxEntry:
    """One that failed or was skipped, or waits for its next try, with all its attempts.

    Never one that its source has not signed.
    """
    return await inbox.replay(message_id=InboxId(message_id))


@get("/v1/admin/webhook-sources", summary="Who is heard", tags=_TAGS, guards=_WRITE, responses=says())
async def list_sources(webhook_sources: NamedDependency[WebhookSources]) -> list[WebhookSource]:
    """All of them, by code."""
    return list(await webhook_sources.list())


@post(
    "/v1/admin/webhook-sources",
    summary="Add a source",
    tags=_TAGS,
    guards=_WRITE,
    opt=without_key("it answers with a secret, which is kept sealed only; the same code again is refused"),
    responses=says(InvalidSource, SourceTaken, TooManySources, SigningSecretMissing),
)
async def create_source(
    data: JSONBody[NewSource], principal: NamedDependency[Principal], webhook_sources: NamedDependency[WebhookSources]
) -> MadeSource:
    """Its messages are taken at `/v1/webhooks/{tenant}/{code}`. Made twice it is refused."""
    _check_money(data.code, principal)
    source, secret = await webhook_sources.create(**msgspec.structs.asdict(data))
    return MadeSource(source=source, secret=secret.reveal())


@get(
    "/v1/admin/webhook-sources/{source:str}",
    summary="One source",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SourceNotFound),
)
async def get_source(source: FromPath[str], webhook_sources: NamedDependency[WebhookSources]) -> WebhookSource:
    """Without its secret."""
    return await webhook_sources.get(code=source)


@patch(
    "/v1/admin/webhook-sources/{source:str}",
    summary="Change a source",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SourceNotFound, InvalidSource),
)
async def update_source(
    source: FromPath[str],
    data: JSONBody[ChangedSource],
    principal: NamedDependency[Principal],
    webhook_sources: NamedDependency[WebhookSources],
) -> WebhookSource:
    """For what comes from now on."""
    _check_money(source, principal)
    return await webhook_sources.update(code=source, changes=SourceChanges(**msgspec.structs.asdict(data)))


@post(
    "/v1/admin/webhook-sources/{source:str}/secret",
    status_code=200,
    summary="Change a source's secret",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SourceNotFound, InvalidSource, SigningSecretMissing),
)
async def rotate_source(
    source: FromPath[str],
    principal: NamedDependency[Principal],
    webhook_sources: NamedDependency[WebhookSources],
    data: JSONBody[AnotherSecret | None] = None,
) -> SourceSecret:
    """The one before is good as well until it is dropped, so that no message is refused meanwhile."""
    _check_money(source, principal)
    secret = await webhook_sources.rotate(code=source, secret=data.secret if data else None)
    return SourceSecret(secret=secret.reveal())


@delete(
    "/v1/admin/webhook-sources/{source:str}/previous-secret",
    status_code=204,
    summary="Take the newest secret alone",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SourceNotFound),
)
async def drop_previous_secret(
    source: FromPath[str], principal: NamedDependency[Principal], webhook_sources: NamedDependency[WebhookSources]
) -> None:
    """Once the source has changed over."""
    _check_money(source, principal)
    await webhook_sources.drop_previous_secret(code=source)


@delete(
    "/v1/admin/webhook-sources/{source:str}",
    status_code=204,
    summary="Remove a source",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(SourceNotFound),
)
async def delete_source(
    source: FromPath[str], principal: NamedDependency[Principal], webhook_sources: NamedDependency[WebhookSources]
) -> None:
    """It is heard no more; what came is processed, and stays to be seen."""
    _check_money(source, principal)
    await webhook_sources.delete(code=source)


def _check_money(source: str, principal: Principal) -> None:
    """Whose secret completes payments is for those to say who may verify them."""
    if source in MONEY_SOURCES and not principal.may(Permission.PAYMENTS_VERIFY):
        raise PermissionMissing(permission=Permission.PAYMENTS_VERIFY)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_messages,
    inbox_depths,
    get_message,
    replay_message,
    list_sources,
    create_source,
    get_source,
    update_source,
    rotate_source,
    drop_previous_secret,
    delete_source,
)
