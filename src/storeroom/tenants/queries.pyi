# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import timedelta

from storeroom.database.executor import Executor
from storeroom.tenants.model import Tenant, TenantStatus

async def tenant(db: Executor, /, *, tenant_id: str) -> Tenant | None: ...
async def lock_tenant(db: Executor, /, *, tenant_id: str) -> Tenant | None: ...
async def tenants_after(db: Executor, /, *, after: str, size: int) -> list[Tenant]: ...
async def insert_tenant(
    db: Executor,
    /,
    *,
    tenant_id: str,
    name: str,
    currency: str,
    time_zone: str,
    country_code: str,
    order_window: timedelta,
    reservation_hold: timedelta,
    cart_lifetime: timedelta,
    cart_idle: timedelta,
    open_orders_max: int,
    compliance_required: bool,
    lookup_code_required: bool,
    staff_second_factor_required: bool,
) -> int: ...
async def update_tenant(
    db: Executor,
    /,
    *,
    tenant_id: str,
    name: str,
    time_zone: str,
    country_code: str,
    order_window: timedelta,
    reservation_hold: timedelta,
    cart_lifetime: timedelta,
    cart_idle: timedelta,
    open_orders_max: int,
    compliance_required: bool,
    lookup_code_required: bool,
    staff_second_factor_required: bool,
) -> Tenant | None: ...
async def set_status(db: Executor, /, *, tenant_id: str, status: TenantStatus) -> Tenant | None: ...
async def insert_host(db: Executor, /, *, host: str, tenant_id: str) -> int: ...
async def tenant_of_host(db: Executor, /, *, host: str) -> str | None: ...
async def hosts_of(db: Executor, /, *, tenant_id: str) -> list[str]: ...
async def delete_host(db: Executor, /, *, host: str, tenant_id: str) -> int: ...
