# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor

async def domain(db: Executor, /, *, tenant_id: str, domain_id: UUID) -> dict[str, Any] | None: ...
async def active_domain(db: Executor, /, *, tenant_id: str, host: str) -> dict[str, Any] | None: ...
async def domains_after(db: Executor, /, *, tenant_id: str, after: str, rows: int) -> list[dict[str, Any]]: ...
async def insert_domain(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    legacy_id: int | None,
    domain_name: str,
    display_name: str | None,
    company_code: str | None,
    country_code: str | None,
    currency: str | None,
    is_active: bool,
) -> int: ...
async def lock_domain(db: Executor, /, *, tenant_id: str, domain_id: UUID) -> dict[str, Any] | None: ...
async def update_domain(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    legacy_id: int | None,
    domain_name: str,
    display_name: str | None,
    company_code: str | None,
    country_code: str | None,
    currency: str | None,
    is_active: bool,
) -> int: ...
async def remove_domain(db: Executor, /, *, tenant_id: str, domain_id: UUID) -> bool: ...
