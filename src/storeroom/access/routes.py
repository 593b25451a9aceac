"""Keys and origins over HTTP, for staff.

Making a key takes no Idempotency-Key: the answer, which shows the key, would be kept.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.access.errors import (
    ApiKeyNotFound,
    InvalidApiKey,
    InvalidOrigin,
    PeopleOnly,
    PermissionNotYours,
    TooManyApiKeys,
)
from storeroom.access.model import CALLS_PER_MINUTE_MAX, NAME_LENGTH_MAX, ORIGIN_LENGTH_MAX, ORIGINS_MAX, ApiKey
from storeroom.access.service import ApiKeys, Origins
from storeroom.core.ids import ApiKeyId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says, without_key

_TAGS: Final = ["admin: access"]
_KEYS: Final = [requires(Permission.KEYS_WRITE)]
_SETTINGS: Final = [requires(Permission.SETTINGS_WRITE)]

Origin = Annotated[str, Meta(min_length=8, max_length=ORIGIN_LENGTH_MAX, examples=["https://shop.example"])]


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the key is for and may do."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, examples=["warehouse"])]
    permissions: Annotated[list[Permission], Meta(min_length=1, max_length=len(Permission))]
    calls_per_minute: Annotated[int, Meta(ge=1, le=CALLS_PER_MINUTE_MAX)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class ShownApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key, with the text that is shown this once: send it as `Authorization: Bearer sk_…`."""

    api_key: ApiKey
    key: str


class OriginList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All origins whose pages may read the answers."""

    origins: Annotated[list[Origin], Meta(max_length=ORIGINS_MAX)]


@get("/v1/admin/api-keys", summary="Keys of programs", tags=_TAGS, guards=_KEYS, responses=says(InvalidCursor))
async def list_api_keys(
    api_keys: NamedDependency[ApiKeys], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[ApiKey]:
    """Newest first, the revoked ones too; with when each was last used, to the minute."""
    return await api_keys.list(cursor=cursor, limit=limit)


@post(
    "/v1/admin/api-keys",
    summary="Make a key for a program",
    tags=_TAGS,
    guards=_KEYS,
    opt=without_key("it answers with a key, which is kept nowhere; one that was made twice is revoked once"),
    responses=says(InvalidApiKey, PermissionNotYours, PeopleOnly, TooManyApiKeys),
)
async def create_api_key(data: JSONBody[NewApiKey], api_keys: NamedDependency[ApiKeys]) -> ShownApiKey:
    """With permissions that one has oneself. A key changes no accounts and makes no keys."""
    key, text = await api_keys.create(
        name=data.name,
        permissions=data.permissions,
        calls_per_minute=data.calls_per_minute,
        expires_at=data.expires_at,
    )
    return ShownApiKey(api_key=key, key=text)


@get("/v1/admin/api-keys/{key_id:uuid}", summary="One key", tags=_TAGS, guards=_KEYS, responses=says(ApiKeyNotFound))
async def get_api_key(key_id: FromPath[UUID], api_keys: NamedDependency[ApiKeys]) -> ApiKey:
    """Its text was shown when it was made, and is kept nowhere."""
    return await api_keys.get(key_id=ApiKeyId(key_id))


@delete(
    "/v1/admin/api-keys/{key_id:uuid}",
    status_code=200,
    summary="Revoke a key",
    tags=_TAGS,
    guards=_KEYS,
    responses=says(ApiKeyNotFound, PeopleOnly),
)
async def revoke_api_key(key_id: FromPath[UUID], api_keys: NamedDependency[ApiKeys]) -> ApiKey:
    """It opens nothing from the next call on. Again is no error."""
    return await api_keys.revoke(key_id=ApiKeyId(key_id))


@get("/v1/admin/origins", summary="Web origins that may call", tags=_TAGS, guards=_SETTINGS, responses=says())
async def list_origins(origins: NamedDependency[Origins]) -> OriginList:
    """Pages of the shop's own host need not be named."""
    return OriginList(origins=list(await origins.list()))


@put(
    "/v1/admin/origins",
    summary="Say which web origins may call",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(InvalidOrigin),
)
async def replace_origins(data: JSONBody[OriginList], origins: NamedDependency[Origins]) -> OriginList:
    """These and no others, within seconds. An origin is scheme, host and port; there is no `*`."""
    return OriginList(origins=list(await origins.replace(origins=data.origins)))


route_handlers: Sequence[ControllerRouterHandler] = (
    list_api_keys,
    create_api_key,
    get_api_key,
    revoke_api_key,
    list_origins,
    replace_origins,
)
