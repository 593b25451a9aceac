# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.payments.model import (
    AttemptAction,
    AttemptActor,
    AttemptStatus,
    CustomerPayment,
    OrderFacts,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    PaymentMethodType,
    PaymentStatus,
    ProofFile,
    ReviewItem,
)

async def insert_method(
    db: Executor,
    /,
    *,
    tenant_id: str,
    method_id: UUID,
    code: str,
    method_type: PaymentMethodType,
    name: str,
    is_active: bool,
    is_manual: bool,
    instructions: str,
    payment_details: Any,
    min_amount: int,
    max_amount: int | None,
    currency: str,
    confirmation_window_hours: int,
    sort_order: int,
    icon_url: str | None,
    gateway_id: str | None,
) -> PaymentMethod | None: ...
async def update_method(
    db: Executor,
    /,
    *,
    tenant_id: str,
    method_id: UUID,
    method_type: PaymentMethodType,
    name: str,
    is_active: bool,
    is_manual: bool,
    instructions: str,
    payment_details: Any,
    min_amount: int,
    max_amount: int | None,
    confirmation_window_hours: int,
    sort_order: int,
    icon_url: str | None,
    gateway_id: str | None,
) -> PaymentMethod | None: ...
async def delete_method(db: Executor, /, *, tenant_id: str, method_id: UUID) -> int: ...
async def method(db: Executor, /, *, tenant_id: str, method_id: UUID) -> PaymentMethod | None: ...
async def method_to_change(db: Executor, /, *, tenant_id: str, method_id: UUID) -> PaymentMethod | None: ...
async def method_by_code(db: Executor, /, *, tenant_id: str, code: str) -> PaymentMethod | None: ...
async def methods(db: Executor, /, *, tenant_id: str, size: int) -> list[PaymentMethod]: ...
async def active_methods(db: Executor, /, *, tenant_id: str, size: int) -> list[PaymentMethod]: ...
async def gateway_is_active(db: Executor, /, *, tenant_id: str, gateway_id: str) -> bool | None: ...
async def methods_in_order(db: Executor, /, *, tenant_id: str, size: int) -> list[UUID]: ...
async def place_methods(
    db: Executor, /, *, tenant_id: str, method_ids: Sequence[UUID], places: Sequence[int]
) -> int: ...
async def order_to_pay(db: Executor, /, *, tenant_id: str, order_id: UUID) -> OrderFacts | None: ...
async def order_to_pay_by_number(db: Executor, /, *, tenant_id: str, order_number: str) -> OrderFacts | None: ...
async def order_of_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> OrderFacts | None: ...
async def order_facts(db: Executor, /, *, tenant_id: str, order_id: UUID) -> OrderFacts | None: ...
async def ways_asked_for(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[str]: ...
async def open_payments(db: Executor, /, *, tenant_id: str, order_id: UUID) -> int: ...
async def insert_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_id: UUID,
    reference: str,
    order_id: UUID,
    user_id: UUID | None,
    payment_method_id: UUID,
    amount: int,
    currency: str,
    ip_address: str | None,
    open_for: timedelta | None,
) -> Payment | None: ...
async def insert_received(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_id: UUID,
    reference: str,
    order_id: UUID,
    user_id: UUID | None,
    payment_method_id: UUID,
    amount: int,
    currency: str,
    ip_address: str | None,
    customer_reference: str | None,
    verified_by: UUID | None,
    notes: str | None,
    meant_for_id: UUID | None,
) -> Payment | None: ...
async def payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> Payment | None: ...
async def payment_by_reference(db: Executor, /, *, tenant_id: str, reference: str) -> Payment | None: ...
async def customer_payment(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> CustomerPayment | None: ...
async def payment_to_submit(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> Payment | None: ...
async def payments_of_order(db: Executor, /, *, tenant_id: str, order_id: UUID, size: int) -> list[Payment]: ...
async def payments_listed(
    db: Executor, /, *, tenant_id: str, status: PaymentStatus | None = None, before: UUID | None = None, size: int
) -> list[Payment]: ...
async def payments_to_review(
    db: Executor, /, *, tenant_id: str, after: UUID | None = None, size: int
) -> list[ReviewItem]: ...
async def proof_of(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> ProofFile | None: ...
async def submit_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_id: UUID,
    sources: Sequence[PaymentStatus],
    customer_reference: str | None,
    proof_file_path: str | None,
    proof_content_type: str | None,
    notes: str | None,
) -> Payment | None: ...
async def verify_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_id: UUID,
    sources: Sequence[PaymentStatus],
    received_amount: int,
    verified_by: UUID | None,
    notes: str | None,
) -> Payment | None: ...
async def complete_payment(
    db: Executor, /, *, tenant_id: str, payment_id: UUID, sources: Sequence[PaymentStatus]
) -> Payment | None: ...
async def settle_payment(
    db: Executor,
    /,
    *,
    tenant_id: str,
    payment_id: UUID,
    sources: Sequence[PaymentStatus],
    received_amount: int,
    customer_reference: str | None,
) -> Payment | None: ...
async def fail_payment(
    db: Executor, /, *, tenant_id: str, payment_id: UUID, sources: Sequence[PaymentStatus]
) -> Payment | None: ...
async def move_payment(
    db: Executor, /, *, tenant_id: str, payment_id: UUID, status: PaymentStatus, sources: Sequence[PaymentStatus]
) -> Payment | None: ...
async def cancel_unclaimed(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[Payment]: ...
async def follow_refunds(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> Payment | None: ...
async def add_attempt(
    db: Executor,
    /,
    *,
    tenant_id: str,
    attempt_id: UUID,
    payment_id: UUID,
    status: AttemptStatus,
    action: AttemptAction,
    performed_by: UUID | None,
    performed_by_type: AttemptActor,
    success: bool,
    failure_reason: str | None,
    request_data: Any,
    ip_address: str | None,
    user_agent: str | None,
) -> int: ...
async def attempts_of(db: Executor, /, *, tenant_id: str, payment_id: UUID, size: int) -> list[PaymentAttempt]: ...
async def recent_attempts(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: UUID | None, size: int
) -> list[PaymentAttempt]: ...
async def tenants_with_overdue(db: Executor, /, *, size: int) -> list[str]: ...
async def expire_overdue(db: Executor, /, *, tenant_id: str, size: int) -> list[Payment]: ...
async def add_expiry_attempts(
    db: Executor, /, *, tenant_id: str, attempt_ids: Sequence[UUID], payment_ids: Sequence[UUID]
) -> int: ...
async def mark_synced(db: Executor, /, *, tenant_id: str, id: UUID, erp_id: str) -> int: ...
async def reset_synced(db: Executor, /, *, tenant_id: str, id: UUID) -> int: ...
async def reset_some_synced(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
