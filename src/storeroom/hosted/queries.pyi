# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.hosted.model import StripeSessionStatus

async def insert_session(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: str,
    resource_id: str,
    amount: int,
    currency: str,
    customer_email: str | None,
    metadata: Any,
    gateway_id: str | None,
    payment_id: UUID | None,
    url: str | None,
    payment_intent: str | None,
    expires_at: datetime | None,
) -> int: ...
async def session(db: Executor, /, *, tenant_id: str, id: str) -> dict[str, Any] | None: ...
async def session_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> dict[str, Any] | None: ...
async def session_of_intent(db: Executor, /, *, tenant_id: str, payment_intent: str) -> dict[str, Any] | None: ...
async def lock_session(db: Executor, /, *, tenant_id: str, id: str) -> dict[str, Any] | None: ...
async def complete_session(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: str,
    sources: Sequence[StripeSessionStatus],
    received_amount: int | None,
    received_currency: str | None,
    payment_intent: str | None,
    settled_payment_id: UUID | None,
    remark: str | None,
) -> int: ...
async def keep_arrival(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: str,
    received_amount: int,
    received_currency: str,
    payment_intent: str | None,
    settled_payment_id: UUID | None,
    remark: str | None,
) -> int: ...
async def expire_session(
    db: Executor, /, *, tenant_id: str, id: str, sources: Sequence[StripeSessionStatus], remark: str | None
) -> int: ...
async def sessions_newest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    resource_id: str | None = None,
    status: StripeSessionStatus | None = None,
    before_at: datetime | None,
    before_id: str | None = None,
    rows: int,
) -> list[dict[str, Any]]: ...
async def tenants_with_open_sessions(
    db: Executor, /, *, older_than: timedelta, poll_every: timedelta, size: int
) -> list[str]: ...
async def claim_open_sessions(
    db: Executor, /, *, tenant_id: str, older_than: timedelta, poll_every: timedelta, size: int
) -> list[str]: ...
async def insert_transaction(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    legacy_id: int | None,
    order_id: UUID | None,
    payment_id: UUID | None,
    order_ref_id: str | None,
    order_increment_id: str | None,
    transaction_reference: str | None,
    gateway_id: str | None,
    merchant_id: str | None,
    session_id: str,
    session_version: str | None,
    success_indicator: str | None,
    amount: int,
    currency: str,
    retry_of: UUID | None,
    return_url: str | None,
    expires_at: datetime | None,
    domain_id: UUID | None,
) -> int: ...
async def transaction(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def transaction_of_session(db: Executor, /, *, tenant_id: str, session_id: str) -> dict[str, Any] | None: ...
async def transaction_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> dict[str, Any] | None: ...
async def lock_transaction(db: Executor, /, *, tenant_id: str, session_id: str) -> dict[str, Any] | None: ...
async def indicator_of(db: Executor, /, *, tenant_id: str, session_id: str) -> str | None: ...
async def update_transaction(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    payment_status: str,
    order_status: str | None,
    gateway_code: str | None,
    gateway_transaction_id: str | None,
    acquirer_code: str | None,
    authorization_code: str | None,
    card_brand: str | None,
    card_last4: str | None,
    three_ds_status: str | None,
    transaction_receipt: str | None,
    failure_reason: str | None,
    raw_response: Any,
) -> int: ...
async def keep_indicator(db: Executor, /, *, tenant_id: str, id: UUID, result_indicator: str) -> int: ...
async def mark_captured(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    received_amount: int,
    received_currency: str,
    settled_payment_id: UUID | None,
) -> int: ...
async def transactions_newest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    session_id: str | None = None,
    order_id: UUID | None = None,
    transaction_reference: str | None = None,
    result_indicator: str | None = None,
    status: str | None = None,
    before: UUID | None = None,
    rows: int,
) -> list[dict[str, Any]]: ...
async def transactions_counted(
    db: Executor,
    /,
    *,
    tenant_id: str,
    session_id: str | None = None,
    order_id: UUID | None = None,
    transaction_reference: str | None = None,
    result_indicator: str | None = None,
    status: str | None = None,
) -> int: ...
async def tenants_with_open_transactions(
    db: Executor, /, *, older_than: timedelta, poll_every: timedelta, size: int
) -> list[str]: ...
async def claim_open_transactions(
    db: Executor, /, *, tenant_id: str, status: str, older_than: timedelta, poll_every: timedelta, size: int
) -> list[UUID]: ...
