"""The shops of one installation."""

from storeroom.tenants.errors import HostTaken, HostUnknown, InvalidTenant, TenantExists
from storeroom.tenants.faults import Faults
from storeroom.tenants.model import DURATION_MAX, NAME_LENGTH_MAX, OPEN_ORDERS_MAX, Tenant, TenantStatus
from storeroom.tenants.service import DEFAULT_TENANT, SETTINGS, Tenants, changed_settings, settings_of, tenant_row

__all__ = [
    "DEFAULT_TENANT",
    "DURATION_MAX",
    "NAME_LENGTH_MAX",
    "OPEN_ORDERS_MAX",
    "SETTINGS",
    "Faults",
    "HostTaken",
    "HostUnknown",
    "InvalidTenant",
    "Tenant",
    "TenantExists",
    "TenantStatus",
    "Tenants",
    "changed_settings",
    "settings_of",
    "tenant_row",
]
