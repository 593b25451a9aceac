"""The shops of one installation."""

from storeroom.tenants.errors import HostTaken, HostUnknown, InvalidTenant, TenantExists
from storeroom.tenants.model import Tenant, TenantStatus
from storeroom.tenants.service import DEFAULT_TENANT, Tenants, settings_of

__all__ = [
    "DEFAULT_TENANT",
    "HostTaken",
    "HostUnknown",
    "InvalidTenant",
    "Tenant",
    "TenantExists",
    "TenantStatus",
    "Tenants",
    "settings_of",
]
