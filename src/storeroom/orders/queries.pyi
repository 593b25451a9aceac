# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import OrderId
from storeroom.database.executor import Executor
from storeroom.orders.model import (
    CampaignRevenue,
    Customer,
    CustomerAddress,
    CustomerOrderItem,
    CustomerOrderSummary,
    DeliveryStage,
    HeldOrder,
    Order,
    OrderLine,
    OrderStatus,
    OrderSummary,
    OrderTracking,
    RefundDue,
    ShippingRate,
    StatusChange,
    StatusLabel,
    StockShort,
    SyncedLine,
    SyncedState,
)

async def order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> Order | None: ...
async def order_id_of_number(db: Executor, /, *, tenant_id: str, order_number: str) -> OrderId | None: ...
async def order_id_of_purchase(db: Executor, /, *, tenant_id: str, source: str, purchase_id: str) -> OrderId | None: ...
async def lines(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[OrderLine]: ...
async def tracking(db: Executor, /, *, tenant_id: str, order_number: str, phone: str) -> OrderTracking | None: ...
async def orders_page(
    db: Executor,
    /,
    *,
    tenant_id: str,
    status: OrderStatus | None = None,
    user_id: UUID | None = None,
    before: UUID | None = None,
    size: int,
) -> list[OrderSummary]: ...
async def orders_awaiting_payment(
    db: Executor, /, *, tenant_id: str, after_at: datetime | None = None, after_id: UUID | None = None, size: int
) -> list[OrderSummary]: ...
async def orders_filtered(
    db: Executor,
    /,
    *,
    tenant_id: str,
    status: OrderStatus | None = None,
    pattern: str | None = None,
    created_before: datetime | None = None,
    created_after: datetime | None = None,
    size: int,
    skip: int,
) -> list[OrderSummary]: ...
async def orders_counted(
    db: Executor,
    /,
    *,
    tenant_id: str,
    status: OrderStatus | None = None,
    pattern: str | None = None,
    created_before: datetime | None = None,
    created_after: datetime | None = None,
) -> int: ...
async def orders_exactly(
    db: Executor, /, *, tenant_id: str, order_number: str, email: str, phone: str | None, size: int
) -> list[OrderSummary]: ...
async def orders_beginning(
    db: Executor, /, *, tenant_id: str, number_from: str, number_to: str, email_from: str, email_to: str, size: int
) -> list[OrderSummary]: ...
async def orders_containing(db: Executor, /, *, tenant_id: str, pattern: str, size: int) -> list[OrderSummary]: ...
async def orders_needing_refund(
    db: Executor, /, *, tenant_id: str, before: UUID | None = None, size: int
) -> list[RefundDue]: ...
async def revenue_by_campaign(
    db: Executor, /, *, tenant_id: str, since: datetime, until: datetime
) -> list[CampaignRevenue]: ...
async def history(db: Executor, /, *, tenant_id: str, order_id: UUID, size: int) -> list[StatusChange]: ...
async def changes_page(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: UUID | None = None, size: int
) -> list[StatusChange]: ...
async def entry_exists(db: Executor, /, *, tenant_id: str, entry_id: UUID) -> bool: ...
async def customer_summaries(
    db: Executor, /, *, tenant_id: str, customer_id: UUID, before: UUID | None = None, size: int
) -> list[CustomerOrderSummary]: ...
async def customer_summary_items(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[CustomerOrderItem]: ...
async def customer(db: Executor, /, *, tenant_id: str, customer_id: UUID) -> Customer | None: ...
async def customer_by_email(db: Executor, /, *, tenant_id: str, email: str) -> Customer | None: ...
async def customer_by_phone(db: Executor, /, *, tenant_id: str, phone: str) -> Customer | None: ...
async def customer_by_vendure_id(db: Executor, /, *, tenant_id: str, vendure_customer_id: str) -> Customer | None: ...
async def customers_page(
    db: Executor, /, *, tenant_id: str, before: UUID | None = None, size: int
) -> list[Customer]: ...
async def active_customers_page(
    db: Executor, /, *, tenant_id: str, before: UUID | None = None, size: int
) -> list[Customer]: ...
async def customers_of(db: Executor, /, *, tenant_id: str, customer_ids: Sequence[UUID]) -> list[Customer]: ...
async def customers_consenting(
    db: Executor, /, *, tenant_id: str, after: UUID | None = None, size: int
) -> list[Customer]: ...
async def customer_addresses(
    db: Executor, /, *, tenant_id: str, customer_id: UUID, size: int
) -> list[CustomerAddress]: ...
async def status_labels(db: Executor, /, *, tenant_id: str) -> list[StatusLabel]: ...
async def hold_order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> HeldOrder | None: ...
async def move_order(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    from_status: OrderStatus,
    to_status: OrderStatus,
    sources: Sequence[OrderStatus],
    delivery_stage: DeliveryStage | None,
    paid_at: datetime | None,
    shipped_at: datetime | None,
    delivered_at: datetime | None,
    cancelled_at: datetime | None,
    cancellation_reason: str | None,
    history_id: UUID,
    reason: str | None,
    changed_by: UUID | None,
    changed_by_type: str,
    changed_by_name: str | None,
    request_id: str | None,
    metadata: Any,
) -> int: ...
async def release_units(db: Executor, /, *, tenant_id: str, order_id: UUID) -> int: ...
async def ship_units(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    movement_ids: Sequence[UUID],
    actor_kind: str,
    actor_id: UUID | None,
) -> list[StockShort]: ...
async def set_line_batch(
    db: Executor, /, *, tenant_id: str, line_id: UUID, batch_id: UUID, batch_number: str
) -> int: ...
async def set_links_queued(db: Executor, /, *, tenant_id: str, line_ids: Sequence[UUID]) -> int: ...
async def set_links_sent(db: Executor, /, *, tenant_id: str, line_ids: Sequence[UUID]) -> int: ...
async def put_links_off(
    db: Executor, /, *, tenant_id: str, line_ids: Sequence[UUID], until: Sequence[datetime]
) -> int: ...
async def leave_links(db: Executor, /, *, tenant_id: str, line_ids: Sequence[UUID]) -> int: ...
async def make_links_due(db: Executor, /, *, tenant_id: str, order_id: UUID) -> int: ...
async def make_links_of_product_due(
    db: Executor, /, *, tenant_id: str, product_id: UUID, since: timedelta, rows: int
) -> int: ...
async def order_of_parcel(db: Executor, /, *, tenant_id: str, tracking_number: str) -> OrderId | None: ...
async def set_tracking(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    carrier: str | None,
    tracking_number: str | None,
    estimated_delivery: date | None,
) -> int: ...
async def append_note(db: Executor, /, *, tenant_id: str, order_id: UUID, note: str, length_max: int) -> int: ...
async def recompute_paid(db: Executor, /, *, tenant_id: str, order_id: UUID) -> int: ...
async def recount_buyer(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[bool]: ...
async def recount_buyer_refunded(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[bool]: ...
async def recount_customer(db: Executor, /, *, tenant_id: str, customer_id: UUID) -> bool: ...
async def claim_guest_orders(db: Executor, /, *, tenant_id: str, user_id: UUID) -> int: ...
async def tenants_with_unpaid(db: Executor, /, *, size: int) -> list[str]: ...
async def claim_unpaid(db: Executor, /, *, tenant_id: str, size: int) -> list[OrderId]: ...
async def money_on_its_way(db: Executor, /, *, tenant_id: str, order_id: UUID) -> bool: ...
async def pays_on_delivery(db: Executor, /, *, tenant_id: str, order_id: UUID) -> bool: ...
async def tenants_to_index(db: Executor, /, *, size: int) -> list[str]: ...
async def fill_documents(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
async def shipping_rates(
    db: Executor, /, *, tenant_id: str, is_active: bool | None = None, size: int
) -> list[ShippingRate]: ...
async def shipping_rate(db: Executor, /, *, tenant_id: str, rate_id: UUID) -> ShippingRate | None: ...
async def insert_shipping_rate(
    db: Executor,
    /,
    *,
    tenant_id: str,
    rate_id: UUID,
    code: str,
    name: str,
    amount: int,
    currency: str,
    countries: Sequence[str] | None,
    free_from_amount: int | None,
    is_active: bool,
    position: int,
) -> ShippingRate: ...
async def update_shipping_rate(
    db: Executor,
    /,
    *,
    tenant_id: str,
    rate_id: UUID,
    code: str,
    name: str,
    amount: int,
    currency: str,
    countries: Sequence[str] | None,
    free_from_amount: int | None,
    is_active: bool,
    position: int,
) -> ShippingRate | None: ...
async def delete_shipping_rate(db: Executor, /, *, tenant_id: str, rate_id: UUID) -> int: ...
async def synced_order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> SyncedState | None: ...
async def insert_synced(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    order_number: str,
    source: str,
    vendure_order_id: str,
    user_id: UUID | None,
    customer_email: str,
    customer_name: str,
    customer_phone: str | None,
    status: OrderStatus,
    delivery_stage: DeliveryStage,
    shipping_address: Any,
    billing_address: Any,
    currency: str,
    subtotal_amount: int,
    discount_amount: int,
    shipping_amount: int,
    tax_amount: int,
    total_amount: int,
    paid_at_source: int,
    payment_at_source: str | None,
    shipping_method: str | None,
    shipping_carrier: str | None,
    tracking_number: str | None,
    discount_code: str | None,
    customer_notes: str | None,
    metadata: Any,
    payment_due_at: datetime,
    placed_at: datetime,
    paid_at: datetime | None,
    shipped_at: datetime | None,
    delivered_at: datetime | None,
    cancelled_at: datetime | None,
) -> None: ...
async def update_synced(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    user_id: UUID | None,
    customer_email: str,
    customer_name: str,
    customer_phone: str | None,
    status: OrderStatus,
    status_updated_at: datetime | None,
    delivery_stage: DeliveryStage,
    shipping_address: Any,
    billing_address: Any,
    currency: str,
    subtotal_amount: int,
    discount_amount: int,
    shipping_amount: int,
    tax_amount: int,
    total_amount: int,
    paid_at_source: int,
    payment_at_source: str | None,
    shipping_method: str | None,
    shipping_carrier: str | None,
    tracking_number: str | None,
    discount_code: str | None,
    customer_notes: str | None,
    metadata: Any,
    placed_at: datetime,
    paid_at: datetime | None,
    shipped_at: datetime | None,
    delivered_at: datetime | None,
    cancelled_at: datetime | None,
) -> int: ...
async def synced_lines(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[SyncedLine]: ...
async def refunds_forbid_lines(
    db: Executor, /, *, tenant_id: str, order_id: UUID, line_ids: Sequence[UUID], quantities: Sequence[int]
) -> bool: ...
async def delete_synced_lines(db: Executor, /, *, tenant_id: str, order_id: UUID, line_ids: Sequence[UUID]) -> int: ...
async def put_synced_lines(
    db: Executor, /, *, tenant_id: str, order_id: UUID, currency: str, placed_at: datetime, lines: Any
) -> None: ...
async def open_search(db: Executor, /, *, tenant_id: str, order_id: UUID) -> None: ...
async def add_history(
    db: Executor,
    /,
    *,
    tenant_id: str,
    history_id: UUID,
    order_id: UUID,
    from_status: OrderStatus | None,
    to_status: OrderStatus,
    reason: str | None,
    changed_by: UUID | None,
    changed_by_type: str,
    changed_by_name: str | None,
    request_id: str | None,
) -> None: ...
async def mark_synced(db: Executor, /, *, tenant_id: str, id: UUID, erp_id: str) -> int: ...
async def reset_synced(db: Executor, /, *, tenant_id: str, id: UUID) -> int: ...
async def reset_some_synced(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
async def mark_lines_synced(
    db: Executor, /, *, tenant_id: str, order_id: UUID, line_ids: Sequence[UUID], erp_ids: Sequence[str]
) -> int: ...
