"""A tenant: one shop, with the settings that bind everything it does."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

NAME_LENGTH_MAX: Final = 200
HOSTS_MAX: Final = 100  # of one tenant
OPEN_ORDERS_MAX: Final = 1000
DURATION_MAX: Final = timedelta(days=366)


class TenantStatus(StrEnum):
    """Whether a shop works."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # nothing can be read or done in its name until it is resumed


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """One shop."""

    tenant_id: str
    name: str
    status: TenantStatus
    currency: str  # ISO 4217, of its prices and orders
    time_zone: str  # IANA
    country_code: str  # ISO 3166-1; national phone numbers are read as of this country
    order_window: timedelta  # an order unpaid this long is cancelled
    reservation_hold: timedelta  # units set aside for a cart
    cart_lifetime: timedelta
    cart_idle: timedelta  # an active cart untouched this long counts as abandoned
    open_orders_max: int  # unpaid orders that one visitor may hold
    compliance_required: bool  # every order needs an acknowledgement, not only those of regulated products
    lookup_code_required: bool  # who looks up an order says a code that was sent to its phone
    staff_second_factor_required: bool  # staff sign in with a second factor, and those without one set it up then
    created_at: datetime
    updated_at: datetime
