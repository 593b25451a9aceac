"""Orders over HTTP: followed by their buyers, worked on by staff."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.catalog import BatchesShort
from storeroom.core.contact import PHONE_LENGTH_MAX, InvalidPhone
from storeroom.core.ids import OrderId, UserId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.guests import TooManyAttempts
from storeroom.orders import customer_routes
from storeroom.orders.errors import (
    InvalidOrderInput,
    InvalidShippingRate,
    NotesFull,
    NotOnHand,
    OrderMoveRefused,
    OrderNotFound,
    ShippingRateNotFound,
    ShippingRateTaken,
)
from storeroom.orders.model import (
    CARRIER_LENGTH_MAX,
    NOTE_LENGTH_MAX,
    OFFSET_MAX,
    REASON_LENGTH_MAX,
    SEARCH_LENGTH_MAX,
    TRACKING_LENGTH_MAX,
    CampaignRevenue,
    CustomerOrder,
    DeliveryStage,
    Order,
    OrderLine,
    OrdersFound,
    OrderStatus,
    OrderSummary,
    OrderTracking,
    RefundDue,
    ShippingRate,
    StatusChange,
    StatusLabel,
    customer_view,
)
from storeroom.orders.service import Orders
from storeroom.orders.shipping_rates import CODE_LENGTH_MAX, COUNTRIES_MAX, POSITION_MAX, ShippingRates
from storeroom.promotions import Coupons, OrderDiscount
from storeroom.verification import PhoneProofRequired
from storeroom.web import (
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    Call,
    CursorParameter,
    Limiter,
    LimitParameter,
    Principal,
    RateLimited,
    SignInRequired,
    requires,
    requires_account,
    says,
)

LOOKUPS_BY_ADDRESS: Final = 20  # in LOOKUP_WINDOW; numbers are long, phones of a person are not secret
LOOKUPS_BY_NUMBER: Final = 10
LOOKUP_WINDOW: Final = timedelta(minutes=15)

Reason = Annotated[str, Meta(max_length=REASON_LENGTH_MAX)]
Carrier = Annotated[str, Meta(max_length=CARRIER_LENGTH_MAX)]
TrackingNumber = Annotated[str, Meta(max_length=TRACKING_LENGTH_MAX)]
NumberParameter = FromPath[str]
StatusParameter = Annotated[OrderStatus | None, QueryParameter(description="Only orders of this status.")]
SearchParameter = Annotated[
    str | None,
    QueryParameter(description="Number, mail address or phone, or a part.", min_length=1, max_length=SEARCH_LENGTH_MAX),
]


# --- What is sent and what comes back ---------------------------------------------------------------------------------


class OrderLookup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a buyer without an account knows of an order. In a body, so that no log keeps the phone."""

    number: Annotated[str, Meta(min_length=1, max_length=50)]
    phone: Annotated[str, Meta(min_length=3, max_length=PHONE_LENGTH_MAX)]
    phone_session_id: UUID | None = None  # of /v1/auth/otp/verify, where the shop asks for a code


class AccountOrder(msgspec.Struct, frozen=True, kw_only=True, rename={"order_number": "number"}):
    """A row of an account's own list."""

    order_number: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    total: Money
    due: Money
    created_at: datetime


class StaffLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far a line has come."""

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


class RateDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shipping rate as it shall be."""

    code: Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
    name: Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
    amount: Money
    countries: (
        Annotated[list[Annotated[str, Meta(min_length=2, max_length=2)]], Meta(min_length=1, max_length=COUNTRIES_MAX)]
        | None
    ) = None  # None: everywhere
    free_from: Money | None = None  # a subtotal of this or more ships free
    active: bool = True
    position: Annotated[int, Meta(ge=0, le=POSITION_MAX)] = 0


def staff_view(order: Order, lines: list[OrderLine], discounts: Sequence[OrderDiscount]) -> StaffOrder:
    """All that staff see of an order."""
    plain = {name: getattr(order, name) for name in StaffOrder.__struct_fields__ if name not in {"order", "progress"}}
    progress = [
        StaffLine(
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


# --- Buyers -----------------------------------------------------------------------------------------------------------


@post(
    "/v1/orders/lookup",
    status_code=200,
    summary="Where is my order? With its number and the phone it was placed with",
    tags=["orders"],
    responses=says(OrderNotFound, InvalidPhone, InvalidOrderInput, PhoneProofRequired, TooManyAttempts, RateLimited),
)
async def look_up_order(
    data: JSONBody[OrderLookup],
    orders: NamedDependency[Orders],
    limiter: NamedDependency[Limiter],
    call: NamedDependency[Call],
) -> OrderTracking:
    """Carrier and tracking number are told from the dispatch on. A wrong phone looks like a wrong number.

    Some shops also ask for a code by phone: see `/v1/auth/otp/request`.
    """
    await limiter.by_address("order_lookup", times=LOOKUPS_BY_ADDRESS, window=LOOKUP_WINDOW)
    await limiter.by("order_lookup_number", data.number.strip().upper(), times=LOOKUPS_BY_NUMBER, window=LOOKUP_WINDOW)
    return await orders.lookup(
        number=data.number, phone=data.phone, phone_session_id=data.phone_session_id, host=call.domain
    )


@get(
    "/v1/account/orders",
    summary="The account's orders, newest first",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, InvalidCursor),
)
async def list_account_orders(
    account: NamedDependency[Principal],
    orders: NamedDependency[Orders],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[AccountOrder]:
    """Only the orders of the account that asks."""
    page = await orders.list_for_user(user_id=_user(account), cursor=cursor, limit=limit)
    rows = [
        AccountOrder(
            order_number=row.order_number,
            status=row.status,
            delivery_stage=row.delivery_stage,
            total=row.total_amount,
            due=row.amount_due,
            created_at=row.created_at,
        )
        for row in page.items
    ]
    return Page(rows, page.next_cursor)


@get(
    "/v1/account/orders/{number:str}",
    summary="One of the account's orders",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, OrderNotFound, InvalidOrderInput),
)
async def get_account_order(
    number: FromPath[str], account: NamedDependency[Principal], orders: NamedDependency[Orders]
) -> CustomerOrder:
    """With its lines. Another account's order is not found."""
    return await orders.for_customer(user_id=_user(account), number=number)


def _user(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


@get("/v1/order-statuses", summary="What each status of an order is called", tags=["orders"], responses=says())
async def list_order_statuses(orders: NamedDependency[Orders]) -> list[StatusLabel]:
    """Every status, in the order of an order's life, with its name for people."""
    return await orders.status_labels()


@get("/v1/shipping-rates", summary="What shipping costs, and whereto", tags=["orders"], responses=says())
async def list_shipping_rates(shipping_rates: NamedDependency[ShippingRates]) -> list[ShippingRate]:
    """In the order in which a checkout tries them; the first that reaches the address is taken."""
    return await shipping_rates.list(active=True)


# --- Staff ------------------------------------------------------------------------------------------------------------

_TAGS: Final = ["admin: orders"]
_READ: Final = [requires("orders.read")]
_WRITE: Final = [requires("orders.write")]
_SETTINGS: Final = [requires("settings.write")]


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


@get("/v1/admin/shipping-rates", summary="All shipping rates", tags=_TAGS, guards=_READ, responses=says())
async def list_all_shipping_rates(shipping_rates: NamedDependency[ShippingRates]) -> list[ShippingRate]:
    """Those that are switched off as well."""
    return await shipping_rates.list()


@post(
    "/v1/admin/shipping-rates",
    summary="Add a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    opt=IDEMPOTENT,
    responses=says(InvalidShippingRate, ShippingRateTaken, CurrencyMismatch),
)
async def create_shipping_rate(
    data: JSONBody[RateDraft], shipping_rates: NamedDependency[ShippingRates]
) -> ShippingRate:
    """In the shop's currency."""
    return await shipping_rates.create(**msgspec.structs.asdict(data))


@put(
    "/v1/admin/shipping-rates/{rate_id:uuid}",
    summary="Replace a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(InvalidShippingRate, ShippingRateNotFound, ShippingRateTaken, CurrencyMismatch),
)
async def update_shipping_rate(
    rate_id: FromPath[UUID], data: JSONBody[RateDraft], shipping_rates: NamedDependency[ShippingRates]
) -> ShippingRate:
    """All of it: what is left out gets its default. Orders placed keep what they paid."""
    return await shipping_rates.update(rate_id=rate_id, **msgspec.structs.asdict(data))


@delete(
    "/v1/admin/shipping-rates/{rate_id:uuid}",
    summary="Remove a shipping rate",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(ShippingRateNotFound),
)
async def delete_shipping_rate(rate_id: FromPath[UUID], shipping_rates: NamedDependency[ShippingRates]) -> None:
    """Orders placed keep what they paid."""
    await shipping_rates.delete(rate_id=rate_id)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    *customer_routes.route_handlers,
    look_up_order,
    list_account_orders,
    get_account_order,
    list_order_statuses,
    list_shipping_rates,
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
    list_all_shipping_rates,
    create_shipping_rate,
    update_shipping_rate,
    delete_shipping_rate,
)
