"""Conversions over HTTP: providers and what waits for staff, consent for visitors."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.conversions.errors import (
    ConversionNotFound,
    InvalidProvider,
    InvalidSignal,
    ProviderNotFound,
    ProviderTaken,
    SessionNeeded,
    TooManyProviders,
)
from storeroom.conversions.model import (
    ACCOUNT_LENGTH_MAX,
    CODE_LENGTH_MAX,
    FBC_LENGTH_MAX,
    FBP_LENGTH_MAX,
    GA_CLIENT_LENGTH_MAX,
    GA_SESSION_LENGTH_MAX,
    NAME_LENGTH_MAX,
    SECRET_LENGTH_MAX,
    Conversion,
    ConversionId,
    ConversionStatus,
    Provider,
    ProviderId,
    ProviderKind,
    Waiting,
)
from storeroom.conversions.service import Conversions, ProviderChanges
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission, SigningSecretMissing
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, Arrival, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: conversions"]
_WRITE: Final = [requires(Permission.CONVERSIONS_WRITE)]

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, examples=["our pixel"])]
Account = Annotated[str, Meta(min_length=1, max_length=ACCOUNT_LENGTH_MAX, examples=["1234567890123456"])]
SecretText = Annotated[str, Meta(min_length=1, max_length=SECRET_LENGTH_MAX)]
Code = Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX, examples=["TEST12345"])]


class NewProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom the shop shall tell."""

    kind: ProviderKind
    name: Name
    account_id: Account  # the pixel's id, or the measurement id
    secret: SecretText  # the access token, or the API secret; never shown again
    test_event_code: Code | None = None  # of Meta's test tool: while it is set, all that is sent counts as a test
    is_active: bool = True


class ChangedProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: Name | UnsetType = UNSET
    secret: SecretText | UnsetType = UNSET
    test_event_code: Code | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class Retried(msgspec.Struct, frozen=True):
    """How many events are due now."""

    events: int


class NewSignals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the visitor said, and what the browser is known by. Without consent the rest is not kept."""

    consents: bool
    fbp: Annotated[str, Meta(min_length=1, max_length=FBP_LENGTH_MAX)] | None = None  # the cookie _fbp
    fbc: Annotated[str, Meta(min_length=1, max_length=FBC_LENGTH_MAX)] | None = None  # the cookie _fbc
    ga_client_id: Annotated[str, Meta(min_length=1, max_length=GA_CLIENT_LENGTH_MAX)] | None = None
    ga_session_id: Annotated[str, Meta(min_length=1, max_length=GA_SESSION_LENGTH_MAX)] | None = None


class KeptSignals(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept. `token` is there where a guest session was made for it; it is also sent as a cookie."""

    consents: bool
    fbp: str | None
    fbc: str | None
    ga_client_id: str | None
    ga_session_id: str | None
    token: str | None


@put(
    "/v1/conversion-consent",
    summary="Say whether the shop may tell its providers of this visit",
    tags=["events"],
    responses=says(InvalidSignal, SessionNeeded),
)
async def set_consent(
    data: JSONBody[NewSignals], arrival: NamedDependency[Arrival], conversions: NamedDependency[Conversions]
) -> KeptSignals:
    """Ask the visitor first, and again when they change their mind. Who refuses is forgotten, with what waits."""
    kept = await conversions.set_signals(visitor=arrival.visitor, **msgspec.structs.asdict(data))
    return KeptSignals(**msgspec.structs.asdict(kept), token=arrival.token)


@get("/v1/admin/conversion-providers", summary="Whom the shop tells", tags=_TAGS, guards=_WRITE, responses=says())
async def list_conversion_providers(conversions: NamedDependency[Conversions]) -> list[Provider]:
    """All of them, the oldest first, each with how its last calls went."""
    return list(await conversions.providers())


@post(
    "/v1/admin/conversion-providers",
    summary="Add a provider",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(InvalidProvider, ProviderTaken, TooManyProviders, SigningSecretMissing),
)
async def create_conversion_provider(
    data: JSONBody[NewProvider], conversions: NamedDependency[Conversions]
) -> Provider:
    """It is told what happens from now on."""
    return await conversions.create_provider(**msgspec.structs.asdict(data))


@get(
    "/v1/admin/conversion-providers/{provider_id:uuid}",
    summary="One provider",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ProviderNotFound),
)
async def get_conversion_provider(provider_id: FromPath[UUID], conversions: NamedDependency[Conversions]) -> Provider:
    """`failures` counts calls in a row that failed; `paused_until` says until when it rests for that."""
    return await conversions.provider(provider_id=ProviderId(provider_id))


@patch(
    "/v1/admin/conversion-providers/{provider_id:uuid}",
    summary="Change a provider",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ProviderNotFound, InvalidProvider, SigningSecretMissing),
)
async def update_conversion_provider(
    provider_id: FromPath[UUID], data: JSONBody[ChangedProvider], conversions: NamedDependency[Conversions]
) -> Provider:
    """A pause ends, and what waits is tried."""
    changes = ProviderChanges(**msgspec.structs.asdict(data))
    return await conversions.update_provider(provider_id=ProviderId(provider_id), changes=changes)


@delete(
    "/v1/admin/conversion-providers/{provider_id:uuid}",
    summary="Remove a provider",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ProviderNotFound),
)
async def delete_conversion_provider(provider_id: FromPath[UUID], conversions: NamedDependency[Conversions]) -> None:
    """What waits for it alone is dropped."""
    await conversions.delete_provider(provider_id=ProviderId(provider_id))


@post(
    "/v1/admin/conversion-providers/{provider_id:uuid}/test",
    summary="Send a test event",
    tags=_TAGS,
    guards=_WRITE,
    status_code=202,
    responses=says(ProviderNotFound, InvalidProvider),
)
async def test_conversion_provider(provider_id: FromPath[UUID], conversions: NamedDependency[Conversions]) -> Provider:
    """By the way that all events go: look at `last_sent_at` and `last_error` a moment later."""
    return await conversions.test_provider(provider_id=ProviderId(provider_id))


@get(
    "/v1/admin/conversions",
    summary="Events that wait, the latest first",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor),
)
async def list_conversions(
    conversions: NamedDependency[Conversions],
    status: FromQuery[ConversionStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Conversion]:
    """Each with who has it and why others have not. What everybody has is gone from here."""
    return await conversions.list(status=status, cursor=cursor, limit=limit)


@get(
    "/v1/admin/conversions/waiting",
    summary="How many events wait",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(),
)
async def count_conversions(conversions: NamedDependency[Conversions]) -> list[Waiting]:
    """By state, with the oldest of each."""
    return list(await conversions.waiting())


@post(
    "/v1/admin/conversion-providers/{provider_id:uuid}/retry",
    summary="Try now",
    tags=_TAGS,
    guards=_WRITE,
    status_code=200,
    responses=says(ProviderNotFound),
)
async def retry_conversions(provider_id: FromPath[UUID], conversions: NamedDependency[Conversions]) -> Retried:
    """The provider's rest ends, and all that waits is due."""
    return Retried(await conversions.retry(provider_id=ProviderId(provider_id)))


@delete(
    "/v1/admin/conversions/{conversion_id:uuid}",
    summary="Drop an event",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ConversionNotFound),
)
async def drop_conversion(conversion_id: FromPath[UUID], conversions: NamedDependency[Conversions]) -> None:
    """Nobody is told of it any more."""
    await conversions.drop(conversion_id=ConversionId(conversion_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    set_consent,
    list_conversion_providers,
    create_conversion_provider,
    get_conversion_provider,
    update_conversion_provider,
    delete_conversion_provider,
    test_conversion_provider,
    list_conversions,
    count_conversions,
    retry_conversions,
    drop_conversion,
)
