"""A shop's settings over HTTP, for its staff."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import get, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.contact import InvalidAddress
from storeroom.identity import Permission
from storeroom.shops.service import ShopSettings
from storeroom.tenants import DURATION_MAX, NAME_LENGTH_MAX, OPEN_ORDERS_MAX, InvalidTenant, Tenant, TenantStatus
from storeroom.web import requires, says

_TAGS: Final = ["admin: settings"]
_WRITE: Final = [requires(Permission.SETTINGS_WRITE)]
_DURATIONS: Final = ("order_window", "reservation_hold", "cart_lifetime", "cart_idle")  # on the wire in seconds, `…_s`

Seconds = Annotated[int, Meta(ge=60, le=int(DURATION_MAX.total_seconds()))]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, examples=["Europe/Zurich"])]
Country = Annotated[str, Meta(min_length=2, max_length=2, examples=["CH"])]
OpenOrders = Annotated[int, Meta(ge=1, le=OPEN_ORDERS_MAX)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What binds everything that the shop does. Currency and status are the operator's."""

    name: str
    status: TenantStatus
    currency: str
    time_zone: str
    country_code: str
    order_window_s: int
    reservation_hold_s: int
    cart_lifetime_s: int
    cart_idle_s: int
    open_orders_max: int
    compliance_required: bool
    lookup_code_required: bool
    staff_second_factor_required: bool
    updated_at: datetime


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: Name | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET
    country_code: Country | UnsetType = UNSET
    order_window_s: Seconds | UnsetType = UNSET
    reservation_hold_s: Seconds | UnsetType = UNSET
    cart_lifetime_s: Seconds | UnsetType = UNSET
    cart_idle_s: Seconds | UnsetType = UNSET
    open_orders_max: OpenOrders | UnsetType = UNSET
    compliance_required: bool | UnsetType = UNSET
    lookup_code_required: bool | UnsetType = UNSET
    staff_second_factor_required: bool | UnsetType = UNSET


def _shown(tenant: Tenant) -> Settings:
    fields: dict[str, Any] = {
        name: getattr(tenant, name) for name in Settings.__struct_fields__ if not name.endswith("_s")
    }
    seconds: dict[str, Any] = {f"{name}_s": int(getattr(tenant, name).total_seconds()) for name in _DURATIONS}
    return Settings(**fields, **seconds)


def _changes(data: SettingsChange) -> dict[str, Any]:
    given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    for name in _DURATIONS:
        if (seconds := given.pop(f"{name}_s", None)) is not None:
            given[name] = timedelta(seconds=seconds)
    return given


@get("/v1/admin/settings", summary="The shop's settings", tags=_TAGS, guards=_WRITE, responses=says())
async def get_settings(shop_settings: NamedDependency[ShopSettings]) -> Settings:
    """As they are now."""
    return _shown(await shop_settings.get())


@patch(
    "/v1/admin/settings",
    summary="Change the shop's settings",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidTenant, InvalidAddress),
)
async def change_settings(data: JSONBody[SettingsChange], shop_settings: NamedDependency[ShopSettings]) -> Settings:
    """All servers go by them within seconds. A window that becomes shorter counts for orders placed from then on."""
    return _shown(await shop_settings.update(**_changes(data)))


route_handlers: Sequence[ControllerRouterHandler] = (get_settings, change_settings)
