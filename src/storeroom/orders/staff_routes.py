"""Orders over HTTP, for staff: looking for them, and saying how far they have come."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.catalog import BatchesShort
from storeroom.core.ids import OrderId, OrderLineId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.orders.errors import InvalidOrderInput, NotesFull, NotOnHand, OrderMoveRefused, OrderNotFound
from storeroom.orders.model import (
    CARRIER_LENGTH_MAX,
    NOTE_LENGTH_MAX,
    OFFSET_MAX,
    REASON_LENGTH_MAX,
    SEARCH_LENGTH_MAX,
    TRACKING_LENGTH_MAX,
    CampaignRevenue,
    CustomerOrder,
    Order,
    OrderLine,
    OrdersFound,
    OrderStatus,
    OrderSummary,
    RefundDue,
    StatusChange,
    customer_view,
)
from storeroom.orders.service import Orders
from storeroom.promotions import Coupons, OrderDiscount
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

Reason = Annotated[str, Meta(max_length=REASON_LENGTH_MAX)]
Carrier = Annotated[str, Meta(max_length=CARRIER_LENGTH_MAX)]
TrackingNumber = Annotated[str, Meta(max_length=TRACKING_LENGTH_MAX)]
StatusParameter = Annotated[OrderStatus | None, QueryParameter(description="Only orders of this status.")]
SearchParameter = Annotated[
    str | None,
    QueryParameter(description="Number, mail address or phone, or a part.", min_length=1, max_length=SEARCH_LENGTH_MAX),
]

_TAGS: Final = ["admin: orders"]
_READ: Final = [requires("orders.read")]
_WRITE: Final = [requires("orders.write")]


# --- What is sent and what comes back ---------------------------------------------------------------------------------


class StaffLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far a line has come."""

    order_item_id: OrderLineId  # by which a refund names it
    line: int
    held: int
    shipped: int
    cancelled: int
    returned: int
    refunded: int
    batch_id: UUID | None


class StaffOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as staff see it: what the buyer sees, and the rest."""

    order: CustomerOrder
    progress: list[StaffLine]
    user_id: UUID | None
    source: str
    purchase_id: str | None
    domain: str | None
    traffic_source: str
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    age_verified: bool
    age_attested: bool
    compliance_required: bool
    compliance_acknowledged: bool
    compliance_version: str | None
    compliance_acknowledged_at: datetime | None
    ip_address: str | None
    internal_notes: str | None
    cancellation_reason: str | None
    metadata: dict[str, Any]
    payment_due_at: datetime
    status_updated_at: datetime
    updated_at: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None


class MoveTarget(StrEnum):
    """Where staff may send an order by name; it is cancelled and shipped by calls of their own."""

    PAYMENT_RECEIVED = "payment_received"
    PROCESSING = "processing"
    READY_TO_SHIP = "ready_to_ship"
    DELIVERED = "delivered"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"


class MoveOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another state, and why."""

    to: MoveTarget
    reason: Reason | None = None


class ShipOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of the parcel."""

    carrier: Carrier | None = None
    tracking_number: TrackingNumber | None = None
    estimated_delivery: date | None = None
    reason: Reason | None = None


class TrackOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became known of it later; what is left out stays."""

    carrier: Carrier | None = None
    tracking_number: TrackingNumber | None = None
    estimated_delivery: date | None = None


class DeliverOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That it arrived, and how we know."""

    reason: Reason | None = None


class AddNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note of staff for staff."""

    note: Annotated[str, Meta(min_length=1, max_length=NOTE_LENGTH_MAX)]


def staff_view(order: Order, lines: list[OrderLine], discounts: Sequence[OrderDiscount]) -> StaffOrder:
    """All that staff see of an order."""
    plain = {name: getattr(order, name) for name in StaffOrder.__struct_fields__ if name not in {"order", "progress"}}
    progress = [
        StaffLine(
            order_item_id=line.id,
            line=line.position,
            held=line.quantity_held,
            shipped=line.quantity_fulfilled,
            cancelled=line.quantity_cancelled,
            returned=line.quantity_returned,
            refunded=line.quantity_refunded,
            batch_id=line.batch_id,
        )
        for line in lines
    ]
    return StaffOrder(order=customer_view(order, lines, discounts), progress=progress, **plain)


async def _shown(orders: Orders, order: Order) -> StaffOrder:
    lines = await orders.items(order_id=order.id)
    return staff_view(order, lines, await Coupons(orders.context).discounts_of(order_id=order.id))


# --- Looking ----------------------------------------------------------------------------------------------------------


@get(
    "/v1/admin/orders",
    summary="Recent orders, newest first; with `q` those that it names, best match first",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor, InvalidOrderInput),
)
async def list_orders(
    orders: NamedDependency[Orders],
    status: StatusParameter = None,
    q: SearchParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[OrderSummary]:
    """A whole number, mail address or phone names its orders exactly; else beginnings, then parts, are looked for."""
    if q is None:
        return await orders.list(status=status, cursor=cursor, limit=limit)
    if status is None:
        return Page(await orders.search(text=q, limit=limit))
    return Page((await orders.list_filtered(status=status, search=q, limit=limit)).items)


@get(
    "/v1/admin/orders/pages",
    summary="Orders by page number, with their total",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidOrderInput),
)
async def list_orders_by_page(  # noqa: PLR0917  # by name, as the framework calls it
    orders: NamedDependency[Orders],
    status: StatusParameter = None,
    q: SearchParameter = None,
    created_before: FromQuery[datetime | None] = None,
    created_after: FromQuery[datetime | None] = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
    offset: Annotated[int, QueryParameter(description="Rows to skip.", ge=0, le=OFFSET_MAX)] = 0,
) -> OrdersFound:
    """Newest first. `q` is a part of number, mail address, name, phone or purchase id. `cursor` lists go further."""
    return await orders.list_filtered(
        status=status,
        search=q,
        created_before=created_before,
        created_after=created_after,
        limit=limit,
        offset=offset,
    )


@get(
    "/v1/admin/orders/awaiting-payment",
    summary="Unpaid orders, oldest first",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_orders_awaiting_payment(
    orders: NamedDependency[Orders], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[OrderSummary]:
    """For those who chase them."""
    return await orders.awaiting_payment(cursor=cursor, limit=limit)


@get(
    "/v1/admin/orders/needing-refund",
    summary="Orders that hold money which is due back",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_orders_needing_refund(
    orders: NamedDependency[Orders], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[RefundDue]:
    """Paid beyond their total, or paid and then cancelled."""
    return await orders.needing_refund(cursor=cursor, limit=limit)


@get(
    "/v1/admin/orders/changes",
    summary="Changes of status of all orders, newest first",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_order_changes(
    orders: NamedDependency[Orders], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[StatusChange]:
    """Who brought which order where, and why."""
    return await orders.changes(cursor=cursor, limit=limit)


@get(
    "/v1/admin/orders/revenue",
    summary="What the orders of each campaign came to",
    tags=_TAGS,
    guards=_READ,
    responses=says(),
)
async def revenue_by_campaign(
    orders: NamedDependency[Orders], since: FromQuery[datetime], until: FromQuery[datetime]
) -> list[CampaignRevenue]:
    """Orders placed from `since` on and before `until`; cancelled and refunded ones do not count."""
    return await orders.revenue_by_campaign(since=since, until=until)


@get(
    "/v1/admin/orders/{order_id:uuid}",
    summary="One order, with all that is known of it",
    tags=_TAGS,
    guards=_READ,
    responses=says(OrderNotFound),
)
async def get_order(order_id: FromPath[UUID], orders: NamedDependency[Orders]) -> StaffOrder:
    """What its buyer sees, how far each line has come, and what staff keep to themselves."""
    return await _shown(orders, await orders.get(order_id=OrderId(order_id)))


@get(
    "/v1/admin/orders/{order_id:uuid}/history",
    summary="The changes of its status, newest first",
    tags=_TAGS,
    guards=_READ,
    responses=says(OrderNotFound),
)
async def get_order_history(
    order_id: FromPath[UUID], orders: NamedDependency[Orders], limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> list[StatusChange]:
    """With who did it and why."""
    return await orders.history(order_id=OrderId(order_id), limit=limit)


# --- Changes ----------------------------------------------------------------------------------------------------------


@post(
    "/v1/admin/orders/{order_id:uuid}/move",
    status_code=200,
    summary="Bring an order into another state",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, OrderMoveRefused, InvalidOrderInput),
)
async def move_order(
    order_id: FromPath[UUID], data: JSONBody[MoveOrder], orders: NamedDependency[Orders]
) -> StaffOrder:
    """Refused where the present state does not lead there; `allowed` says which ones it leads to."""
    return await _shown(
        orders, await orders.move(order_id=OrderId(order_id), to=OrderStatus(data.to.value), reason=data.reason)
    )


@post(
    "/v1/admin/orders/{order_id:uuid}/ship",
    status_code=200,
    summary="Send the whole order on its way; its units leave the stock",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, OrderMoveRefused, NotOnHand, BatchesShort, InvalidOrderInput),
)
async def ship_order(
    order_id: FromPath[UUID], data: JSONBody[ShipOrder], orders: NamedDependency[Orders]
) -> StaffOrder:
    """Refused, with nothing written, where units are not on hand or no verified batch has them."""
    shipped = await orders.ship(
        order_id=OrderId(order_id),
        carrier=data.carrier,
        tracking_number=data.tracking_number,
        estimated_delivery=data.estimated_delivery,
        reason=data.reason,
    )
    return await _shown(orders, shipped)


@put(
    "/v1/admin/orders/{order_id:uuid}/tracking",
    summary="Change what is known of the parcel",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(OrderNotFound, InvalidOrderInput),
)
async def track_order(
    order_id: FromPath[UUID], data: JSONBody[TrackOrder], orders: NamedDependency[Orders]
) -> StaffOrder:
    """Whatever the state of the order; what is left out stays."""
    changed = await orders.set_tracking(
        order_id=OrderId(order_id),
        carrier=data.carrier,
        tracking_number=data.tracking_number,
        estimated_delivery=data.estimated_delivery,
    )
    return await _shown(orders, changed)


@post(
    "/v1/admin/orders/{order_id:uuid}/deliver",
    status_code=200,
    summary="Say that the parcel arrived",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, OrderMoveRefused, InvalidOrderInput),
)
async def deliver_order(
    order_id: FromPath[UUID], data: JSONBody[DeliverOrder], orders: NamedDependency[Orders]
) -> StaffOrder:
    """The customer is told so from now on."""
    return await _shown(orders, await orders.deliver(order_id=OrderId(order_id), reason=data.reason))


@post(
    "/v1/admin/orders/{order_id:uuid}/notes",
    summary="Add an internal note",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, NotesFull, InvalidOrderInput),
)
async def add_order_note(
    order_id: FromPath[UUID], data: JSONBody[AddNote], orders: NamedDependency[Orders]
) -> StaffOrder:
    """Kept with its time and author; customers never see it."""
    return await _shown(orders, await orders.add_note(order_id=OrderId(order_id), note=data.note))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_orders,
    list_orders_by_page,
    list_orders_awaiting_payment,
    list_orders_needing_refund,
    list_order_changes,
    revenue_by_campaign,
    get_order,
    get_order_history,
    move_order,
    ship_order,
    track_order,
    deliver_order,
    add_order_note,
)
