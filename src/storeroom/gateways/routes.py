"""Gateways over HTTP, for staff. What is secret comes in and never goes out."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.gateways.errors import (
    GatewayIncomplete,
    GatewayInUse,
    GatewayNotFound,
    GatewayTaken,
    InvalidGateway,
    TooManyGateways,
)
from storeroom.gateways.model import FIELDS_MAX, GATEWAYS_MAX, NAME_LENGTH_MAX, Gateway, GatewayKind
from storeroom.gateways.service import Gateways
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, requires, says

_TAGS: Final = ["admin: gateways"]
_WRITE: Final = [requires(Permission.GATEWAYS_WRITE)]

Slug = Annotated[str, Meta(min_length=1, max_length=50, examples=["sslcommerz"])]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX, examples=["SSLCommerz"])]
Config = Annotated[
    dict[str, Any], Meta(max_length=FIELDS_MAX, examples=[{"store_id": "shop0live", "store_passwd": {"set": True}}])
]
Position = Annotated[int, Meta(ge=-1000, le=1000)]


class NewGateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's account of the shop."""

    id: Slug
    name: Name
    kind: GatewayKind | None = None  # None: as the id says
    config: Config = {}
    is_test_mode: bool = True
    position: Position | None = None  # None: as the last


class ChangedGateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; of `config` too: null takes a field away."""

    name: Name | None = None
    config: Config | None = None
    is_test_mode: bool | None = None
    position: Position | None = None


class GatewayOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateways to show first, in this order."""

    gateway_ids: Annotated[list[Slug], Meta(max_length=GATEWAYS_MAX)]


class GatewayList(msgspec.Struct, frozen=True, kw_only=True):
    """All gateways, in the order they are shown."""

    items: Sequence[Gateway]


@get("/v1/admin/gateways", summary="Gateways", tags=_TAGS, guards=_WRITE, responses=says())
async def list_gateways(gateways: NamedDependency[Gateways]) -> GatewayList:
    """Active or not. Of a secret they say only that it is set."""
    return GatewayList(items=await gateways.list())


@post(
    "/v1/admin/gateways",
    summary="Add a gateway",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(InvalidGateway, GatewayTaken, TooManyGateways),
)
async def create_gateway(data: JSONBody[NewGateway], gateways: NamedDependency[Gateways]) -> Gateway:
    """In test mode unless it is said otherwise, and inactive."""
    return await gateways.create(**msgspec.structs.asdict(data))


@put(
    "/v1/admin/gateways/order",
    summary="Show them in another order",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound, InvalidGateway),
)
async def reorder_gateways(data: JSONBody[GatewayOrder], gateways: NamedDependency[Gateways]) -> GatewayList:
    """Those that are not named follow as they did."""
    return GatewayList(items=await gateways.reorder(gateway_ids=data.gateway_ids))


@get(
    "/v1/admin/gateways/{gateway_id:str}",
    summary="A gateway",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound),
)
async def get_gateway(gateway_id: FromPath[str], gateways: NamedDependency[Gateways]) -> Gateway:
    """Active or not."""
    return await gateways.get(gateway_id=gateway_id)


@patch(
    "/v1/admin/gateways/{gateway_id:str}",
    summary="Change a gateway",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound, InvalidGateway, GatewayIncomplete),
)
async def update_gateway(
    gateway_id: FromPath[str], data: JSONBody[ChangedGateway], gateways: NamedDependency[Gateways]
) -> Gateway:
    """A secret that comes back as it was shown, `{"set": true}`, stays what it is."""
    return await gateways.update(gateway_id=gateway_id, **msgspec.structs.asdict(data))


@post(
    "/v1/admin/gateways/{gateway_id:str}/activate",
    summary="Offer what is behind a gateway",
    status_code=200,
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound, GatewayIncomplete),
)
async def activate_gateway(gateway_id: FromPath[str], gateways: NamedDependency[Gateways]) -> Gateway:
    """It must know all that its provider asks for."""
    return await gateways.activate(gateway_id=gateway_id)


@post(
    "/v1/admin/gateways/{gateway_id:str}/deactivate",
    summary="Offer it no longer",
    status_code=200,
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound),
)
async def deactivate_gateway(gateway_id: FromPath[str], gateways: NamedDependency[Gateways]) -> Gateway:
    """Payments that are under way go on."""
    return await gateways.deactivate(gateway_id=gateway_id)


@delete(
    "/v1/admin/gateways/{gateway_id:str}",
    status_code=204,
    summary="Remove a gateway",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(GatewayNotFound, GatewayInUse),
)
async def delete_gateway(gateway_id: FromPath[str], gateways: NamedDependency[Gateways]) -> None:
    """One that nothing refers to."""
    await gateways.delete(gateway_id=gateway_id)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_gateways,
    create_gateway,
    reorder_gateways,
    get_gateway,
    update_gateway,
    activate_gateway,
    deactivate_gateway,
    delete_gateway,
)
