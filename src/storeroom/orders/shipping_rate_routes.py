"""Shipping rates over HTTP: read by everybody, set by staff."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.money import CurrencyMismatch, Money
from storeroom.orders.errors import InvalidShippingRate, ShippingRateNotFound, ShippingRateTaken
from storeroom.orders.model import ShippingRate
from storeroom.orders.shipping_rates import CODE_LENGTH_MAX, COUNTRIES_MAX, POSITION_MAX, ShippingRates
from storeroom.web import IDEMPOTENT, requires, says

_TAGS: Final = ["admin: orders"]
_READ: Final = [requires("orders.read")]
_SETTINGS: Final = [requires("settings.write")]


class RateDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shipping rate as it shall be."""

    code: Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
    name: Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
    amount: Money
    countries: (
        Annotated[list[Annotated[str, Meta(min_length=2, max_length=2)]], Meta(min_length=1, max_length=COUNTRIES_MAX)]
        | None
    ) = None  # None: everywhere
    free_from: Money | None = None  # a subtotal of this or more ships free
    active: bool = True
    position: Annotated[int, Meta(ge=0, le=POSITION_MAX)] = 0


@get("/v1/shipping-rates", summary="What shipping costs, and whereto", tags=["orders"], responses=says())
async def list_shipping_rates(shipping_rates: NamedDependency[ShippingRates]) -> list[ShippingRate]:
    """In the order in which a checkout tries them; the first that reaches the address is taken."""
    return await shipping_rates.list(active=True)


@get("/v1/admin/shipping-rates", summary="All shipping rates", tags=_TAGS, guards=_READ, responses=says())
async def list_all_shipping_rates(shipping_rates: NamedDependency[ShippingRates]) -> list[ShippingRate]:
    """Those that are switched off as well."""
    return await shipping_rates.list()


@post(
    "/v1/admin/shipping-rates",
    summary="Add a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    opt=IDEMPOTENT,
    responses=says(InvalidShippingRate, ShippingRateTaken, CurrencyMismatch),
)
async def create_shipping_rate(
    data: JSONBody[RateDraft], shipping_rates: NamedDependency[ShippingRates]
) -> ShippingRate:
    """In the shop's currency."""
    return await shipping_rates.create(**msgspec.structs.asdict(data))


@put(
    "/v1/admin/shipping-rates/{rate_id:uuid}",
    summary="Replace a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(InvalidShippingRate, ShippingRateNotFound, ShippingRateTaken, CurrencyMismatch),
)
async def update_shipping_rate(
    rate_id: FromPath[UUID], data: JSONBody[RateDraft], shipping_rates: NamedDependency[ShippingRates]
) -> ShippingRate:
    """All of it: what is left out gets its default. Orders placed keep what they paid."""
    return await shipping_rates.update(rate_id=rate_id, **msgspec.structs.asdict(data))


@delete(
    "/v1/admin/shipping-rates/{rate_id:uuid}",
    summary="Remove a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(ShippingRateNotFound),
)
async def delete_shipping_rate(rate_id: FromPath[UUID], shipping_rates: NamedDependency[ShippingRates]) -> None:
    """Orders placed keep what they paid."""
    await shipping_rates.delete(rate_id=rate_id)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_shipping_rates,
    list_all_shipping_rates,
    create_shipping_rate,
    update_shipping_rate,
    delete_shipping_rate,
)
