# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import TenantId
from storeroom.database.executor import Executor
from storeroom.sap.model import InvoicedOrder, ToSync

async def customer_sync(db: Executor, /, *, tenant_id: str, sync_id: UUID) -> dict[str, Any] | None: ...
async def customer_sync_of(db: Executor, /, *, tenant_id: str, customer_email: str) -> dict[str, Any] | None: ...
async def lock_customer_sync(db: Executor, /, *, tenant_id: str, customer_email: str) -> dict[str, Any] | None: ...
async def account_of(db: Executor, /, *, tenant_id: str, customer_email: str) -> UUID | None: ...
async def follow_address(db: Executor, /, *, tenant_id: str, customer_id: UUID) -> int: ...
async def forget_former_address(db: Executor, /, *, tenant_id: str, customer_id: UUID, customer_email: str) -> int: ...
async def put_customer_sync(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    customer_email: str,
    customer_id: UUID | None,
    sap_sync: bool,
    sap_customer_code: str | None,
    company_code: str | None,
) -> UUID: ...
async def enrol_account(db: Executor, /, *, tenant_id: str, id: UUID, customer_id: UUID) -> int: ...
async def accounts_to_enrol(db: Executor, /, *, tenant_id: str, after_id: UUID, size: int) -> list[UUID]: ...
async def enrol_accounts(
    db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], customer_ids: Sequence[UUID], company_code: str | None
) -> int: ...
async def customers_waiting(
    db: Executor, /, *, tenant_id: str, after_at: datetime | None = None, after_id: UUID | None, size: int
) -> list[dict[str, Any]]: ...
async def tenants_with_waiting(db: Executor, /, *, size: int) -> list[TenantId]: ...
async def claim_customers(
    db: Executor, /, *, tenant_id: str, claim: UUID, lease: timedelta, size: int
) -> list[ToSync]: ...
async def customer_synced(
    db: Executor, /, *, tenant_id: str, sync_id: UUID, claim: UUID, sap_customer_code: str
) -> int: ...
async def customer_failed(
    db: Executor, /, *, tenant_id: str, sync_id: UUID, claim: UUID, error: str, again_in: timedelta
) -> int: ...
async def retry_customer(db: Executor, /, *, tenant_id: str, sync_id: UUID) -> int: ...
async def invoiced_order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> InvoicedOrder | None: ...
async def insert_invoice_audit(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    order_id: UUID,
    order_increment_id: str,
    invoice_number: str | None,
    company_code: str | None,
    customer_id: UUID | None,
    requested_by: str,
    source: str,
    success: bool,
    status_code: int | None,
    message: str | None,
    payload: Any,
    duration_ms: int,
    domain_id: UUID | None,
) -> dict[str, Any]: ...
async def invoice_audits_newest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID | None = None,
    invoice_number: str | None = None,
    company_code: str | None = None,
    success: bool | None = None,
    before_at: datetime | None = None,
    before_id: UUID | None,
    size: int,
) -> list[dict[str, Any]]: ...
