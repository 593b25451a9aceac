"""The configuration over HTTP, for staff. What is sealed comes in and never goes out."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.configuration.errors import ConfigNotFound, InvalidConfig, TooManyConfigs
from storeroom.configuration.model import VALUE_LENGTH_MAX, Config
from storeroom.configuration.service import Configuration
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: configuration"]
_WRITE: Final = [requires(Permission.SETTINGS_WRITE)]

Value = Annotated[str, Meta(max_length=VALUE_LENGTH_MAX, examples=["help@shop.example"])]
Group = Annotated[str, Meta(min_length=1, max_length=50, examples=["marketing"])]


class NewValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key shall mean."""

    value: Value
    group: Group | None = None  # None: the one it has, or what the key begins with
    is_encrypted: bool | None = None  # None: as it is, or as its name sounds


@get(
    "/v1/admin/configuration",
    summary="What is set",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor),
)
async def list_configuration(
    configuration: NamedDependency[Configuration],
    group: FromQuery[Group | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Config]:
    """By key, of one group where one is named. Of a secret they say only that it is set."""
    return await configuration.list(group=group, cursor=cursor, limit=limit)


@get(
    "/v1/admin/configuration/{key:str}",
    summary="One key",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ConfigNotFound),
)
async def get_configuration(key: FromPath[str], configuration: NamedDependency[Configuration]) -> Config:
    """Set by staff, said by the environment, or a default."""
    return await configuration.entry(key=key)


@put(
    "/v1/admin/configuration/{key:str}",
    summary="Set a key",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidConfig, TooManyConfigs),
)
async def set_configuration(
    key: FromPath[str], data: JSONBody[NewValue], configuration: NamedDependency[Configuration]
) -> Config:
    """Whatever it was. What the environment says of a key comes before it still."""
    return await configuration.set(key=key, **msgspec.structs.asdict(data))


@delete(
    "/v1/admin/configuration/{key:str}",
    status_code=204,
    summary="Forget a key",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ConfigNotFound),
)
async def delete_configuration(key: FromPath[str], configuration: NamedDependency[Configuration]) -> None:
    """Its default is what it means again."""
    await configuration.delete(key=key)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_configuration,
    get_configuration,
    set_configuration,
    delete_configuration,
)
