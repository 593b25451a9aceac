# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import PaymentId
from storeroom.database.executor import Executor
from storeroom.refunds.model import (
    Dispute,
    DisputeStatus,
    LineToRefund,
    OriginalPurchase,
    Refund,
    RefundedPayment,
    RefundItem,
    RefundMethod,
    RefundQuote,
    RefundQuoteStatus,
    RefundStatus,
)

async def order_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> UUID | None: ...
async def order_of_refund(db: Executor, /, *, tenant_id: str, refund_id: UUID) -> UUID | None: ...
async def lock_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> UUID | None: ...
async def payment_to_refund(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> RefundedPayment | None: ...
async def lines_to_refund(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[LineToRefund]: ...
async def insert_refund(
    db: Executor,
    /,
    *,
    tenant_id: str,
    refund_id: UUID,
    reference: str,
    payment_id: UUID,
    order_id: UUID,
    amount: int,
    currency: str,
    reason: str,
    reason_details: str | None,
    requested_by: UUID | None,
) -> Refund | None: ...
async def insert_items(
    db: Executor,
    /,
    *,
    tenant_id: str,
    refund_id: UUID,
    order_item_ids: Sequence[UUID],
    quantities: Sequence[int],
    restocks: Sequence[bool],
) -> None: ...
async def complete_refund(
    db: Executor, /, *, tenant_id: str, refund_id: UUID, method: RefundMethod, details: Any, processed_by: UUID | None
) -> Refund | None: ...
async def fail_refund(
    db: Executor, /, *, tenant_id: str, refund_id: UUID, failure_reason: str, processed_by: UUID | None
) -> Refund | None: ...
async def refund(db: Executor, /, *, tenant_id: str, refund_id: UUID) -> Refund | None: ...
async def items_of_refund(db: Executor, /, *, tenant_id: str, refund_id: UUID) -> list[RefundItem]: ...
async def refunds_of_order(db: Executor, /, *, tenant_id: str, order_id: UUID, size: int) -> list[Refund]: ...
async def refunds_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID, size: int) -> list[Refund]: ...
async def refunds_page(
    db: Executor, /, *, tenant_id: str, status: RefundStatus | None = None, before: UUID | None = None, size: int
) -> list[Refund]: ...
async def return_units(
    db: Executor,
    /,
    *,
    tenant_id: str,
    refund_id: UUID,
    movement_ids: Sequence[UUID],
    actor_kind: str,
    actor_id: UUID | None,
) -> int: ...
async def credit_payments(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[PaymentId]: ...
async def lock_purchase(db: Executor, /, *, key: str) -> bool: ...
async def original_purchase(db: Executor, /, *, tenant_id: str, purchase_id: str) -> OriginalPurchase | None: ...
async def purchases_of_orders(db: Executor, /, *, tenant_id: str, purchase_id: str) -> list[OriginalPurchase]: ...
async def quoted(db: Executor, /, *, tenant_id: str, purchase_id: str, except_id: str) -> int: ...
async def quoted_as(
    db: Executor, /, *, tenant_id: str, purchase_id: str, except_id: str, statuses: Sequence[RefundQuoteStatus]
) -> int: ...
async def save_quote(
    db: Executor,
    /,
    *,
    tenant_id: str,
    quote_id: str,
    purchase_id: str,
    recipient_wallet: str,
    amount: int,
    asset: str,
    token: str,
    token_mint: str | None,
    token_decimals: int,
    reason: str | None,
    metadata: Any,
    open_for: timedelta,
) -> RefundQuote | None: ...
async def quote(db: Executor, /, *, tenant_id: str, quote_id: str) -> RefundQuote | None: ...
async def newest_quote(db: Executor, /, *, tenant_id: str, purchase_id: str) -> RefundQuote | None: ...
async def open_quotes(
    db: Executor, /, *, tenant_id: str, after_at: datetime | None = None, after_id: str | None, size: int
) -> list[RefundQuote]: ...
async def decide_quote(
    db: Executor, /, *, tenant_id: str, quote_id: str, status: RefundQuoteStatus, sources: Sequence[RefundQuoteStatus]
) -> RefundQuote | None: ...
async def process_quote(
    db: Executor,
    /,
    *,
    tenant_id: str,
    quote_id: str,
    sources: Sequence[RefundQuoteStatus],
    processed_by: str,
    signature: str,
) -> RefundQuote | None: ...
async def delete_quote(db: Executor, /, *, tenant_id: str, quote_id: str) -> int: ...
async def tenants_with_expired_quotes(db: Executor, /, *, kept_for: timedelta, rows: int) -> list[str]: ...
async def delete_expired_quotes(db: Executor, /, *, tenant_id: str, kept_for: timedelta, rows: int) -> int: ...
async def insert_dispute(
    db: Executor,
    /,
    *,
    tenant_id: str,
    dispute_id: UUID,
    provider: str,
    provider_dispute_id: str,
    payment_id: UUID,
    amount: int,
    currency: str,
    reason: str,
    opened_at: datetime,
) -> Dispute | None: ...
async def dispute(db: Executor, /, *, tenant_id: str, dispute_id: UUID) -> Dispute | None: ...
async def dispute_of_provider(
    db: Executor, /, *, tenant_id: str, provider: str, provider_dispute_id: str
) -> Dispute | None: ...
async def disputes_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID, size: int) -> list[Dispute]: ...
async def disputes_page(
    db: Executor, /, *, tenant_id: str, status: DisputeStatus | None = None, before: UUID | None = None, size: int
) -> list[Dispute]: ...
async def close_dispute(
    db: Executor, /, *, tenant_id: str, dispute_id: UUID, status: DisputeStatus
) -> Dispute | None: ...
async def charge_dispute(db: Executor, /, *, tenant_id: str, dispute_id: UUID, refund_id: UUID) -> Dispute | None: ...
async def mark_synced(db: Executor, /, *, tenant_id: str, id: UUID, erp_id: str) -> int: ...
async def reset_synced(db: Executor, /, *, tenant_id: str, id: UUID) -> int: ...
async def reset_some_synced(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
