"""What an order is, and the states it goes through. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.contact import Address
from storeroom.core.ids import AddressId, BatchId, CartId, OrderId, OrderLineId, ProductId, SessionId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves
from storeroom.database.service import ActorKind
from storeroom.identity import AddressType
from storeroom.promotions import OrderDiscount

REASON_LENGTH_MAX: Final = 500
NOTE_LENGTH_MAX: Final = 2000
NOTES_LENGTH_MAX: Final = 20_000  # all notes of one order
HISTORY_MAX: Final = 100  # rows of one order's history that are given at a time
SEARCH_LENGTH_MAX: Final = 100
SEARCH_PART_MIN: Final = 3  # characters; fewer have no trigram, so no index would help
SEARCH_RESULTS_MAX: Final = 50
OFFSET_MAX: Final = 10_000
CARRIER_LENGTH_MAX: Final = 100
TRACKING_LENGTH_MAX: Final = 100
RATE_AMOUNT_MAX: Final = 1_000_000_000_000
RATES_MAX: Final = 200  # of one tenant
_NUMBER: Final = {"order_number": "number"}  # as the world outside calls it


class OrderStatus(StrEnum):
    """The way of an order through the house; what its money does is told by its payments."""

    PENDING_PAYMENT = "pending_payment"  # placed; units are held, nothing or not enough has arrived
    PAYMENT_RECEIVED = "payment_received"  # fully paid, or nothing to pay
    PROCESSING = "processing"  # somebody prepares it
    READY_TO_SHIP = "ready_to_ship"  # packed, waits for the carrier
    SHIPPED = "shipped"  # left the house; stock was lowered
    DELIVERED = "delivered"
    CANCELLED = (
        "cancelled"  # ended before it was shipped; what it held was given back; final, also when money goes back
    )
    REFUNDED = "refunded"  # all its money went back; final
    PARTIALLY_REFUNDED = "partially_refunded"  # some of its money went back; it may go on from here


S = OrderStatus
ORDER_MOVES: Final[Moves[OrderStatus]] = declare_moves(
    OrderStatus,
    {
        S.PENDING_PAYMENT: {S.PAYMENT_RECEIVED, S.CANCELLED},
        S.PAYMENT_RECEIVED: {S.PROCESSING, S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED},
        S.PROCESSING: {S.READY_TO_SHIP, S.SHIPPED, S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED},
        S.READY_TO_SHIP: {S.SHIPPED, S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED},
        S.SHIPPED: {S.DELIVERED, S.REFUNDED, S.PARTIALLY_REFUNDED},
        S.DELIVERED: {S.REFUNDED, S.PARTIALLY_REFUNDED},
        S.PARTIALLY_REFUNDED: {S.PROCESSING, S.READY_TO_SHIP, S.SHIPPED, S.DELIVERED, S.CANCELLED, S.REFUNDED},
    },
)


BEFORE_SHIPPING: Final = frozenset({S.PROCESSING, S.READY_TO_SHIP, S.CANCELLED})
"""Where no order goes back to once goods of it have left: the table alone would let it, after a refund of a part."""

CASH_ON_DELIVERY_MOVES: Final[Moves[OrderStatus]] = declare_moves(
    OrderStatus, {**ORDER_MOVES, S.PENDING_PAYMENT: ORDER_MOVES[S.PENDING_PAYMENT] | {S.PROCESSING}}
)
"""Of an order whose customer pays at the door: the goods leave before the money comes."""


class DeliveryStage(StrEnum):
    """Where the parcel is, as the customer is told."""

    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    SOURCING = "SOURCING"
    ARRIVED = "ARRIVED"
    DISPATCHED = "DISPATCHED"
    DELIVERED = "DELIVERED"


TRACKABLE_STAGES: Final = frozenset({DeliveryStage.DISPATCHED, DeliveryStage.DELIVERED})


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was bought, as it was called and priced when the order was placed."""

    id: OrderLineId
    order_id: OrderId
    position: int
    product_id: ProductId
    variant_id: VariantId
    product_sku: str | None
    product_name: str
    variant_title: str
    is_digital: bool
    quantity: int
    unit_price: Money  # the price at booking
    price_source: str
    subtotal_amount: Money  # quantity times unit_price
    discount_amount: Money
    tax_amount: Money
    quantity_held: int  # units counted in the variant's `reserved`; 0 where stock is not tracked
    quantity_fulfilled: int  # shipped
    quantity_cancelled: int
    quantity_returned: int
    quantity_refunded: int
    batch_id: BatchId | None  # from which it was shipped; leads to the certificate
    batch_number: str | None
    patch_enabled: bool
    patch_type: str | None
    print_name: str | None
    print_number: str | None  # text: leading zeros count
    download_link_sent: bool
    erp_line_id: str | None
    created_at: datetime


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as staff and programs see it; `CustomerOrder` is what its buyer sees."""

    id: OrderId
    order_number: str  # for people
    source: str  # where the purchase was made, and
    purchase_id: str | None  # its id there
    resource_id: str | None
    user_id: UserId | None  # None: a guest
    session_id: SessionId | None
    customer_email: str  # as they were when it was placed
    customer_name: str
    customer_phone: str | None  # E.164 digits
    status: OrderStatus
    status_updated_at: datetime
    delivery_stage: DeliveryStage
    shipping_address: Address | None  # None: nothing ships
    billing_address: Address | None
    currency: str
    subtotal_amount: Money
    discount_amount: Money
    shipping_amount: Money
    tax_amount: Money
    total_amount: Money
    amount_paid: Money  # what ever arrived, less what went back
    amount_due: Money  # total less paid; negative: the shop owes it
    discount_code: str | None
    discount_id: UUID | None
    shipping_method: str | None
    shipping_carrier: str | None
    tracking_number: str | None
    estimated_delivery: date | None
    age_verified: bool
    age_attested: bool
    compliance_required: bool
    compliance_acknowledged: bool
    compliance_version: str | None
    compliance_acknowledged_at: datetime | None
    ip_address: str | None
    source_cart_id: CartId | None
    domain: str | None
    company_code: str | None
    import_batch_id: UUID | None
    vendure_order_id: str | None
    traffic_source: str
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    customer_notes: str | None
    internal_notes: str | None
    cancellation_reason: str | None
    erp_order_id: str | None
    erp_synced_at: datetime | None
    metadata: dict[str, Any]
    payment_due_at: datetime
    created_at: datetime
    updated_at: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True, rename=_NUMBER):
    """A row of a list of orders."""

    id: OrderId
    order_number: str
    user_id: UserId | None
    customer_email: str
    customer_name: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    total_amount: Money
    amount_paid: Money
    amount_due: Money
    created_at: datetime
    payment_due_at: datetime


class HeldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a change needs to know of the order whose row it has locked."""

    id: OrderId
    order_number: str
    status: OrderStatus
    total_amount: Money
    amount_paid: Money
    now: datetime  # of the database, at the start of the transaction
    goods_left: bool  # units of it were shipped, whatever became of it since

    @property
    def moves(self) -> frozenset[OrderStatus]:
        """Where it may go from here: see ORDER_MOVES and BEFORE_SHIPPING."""
        return ORDER_MOVES[self.status] - (BEFORE_SHIPPING if self.goods_left else frozenset())


class StatusChange(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an order's history."""

    id: UUID
    order_id: OrderId
    sequence: int  # 1 for the first
    from_status: OrderStatus | None  # None for the first
    to_status: OrderStatus
    reason: str | None
    changed_by: UserId | None  # None: the system, a webhook or a guest
    changed_by_type: ActorKind
    changed_by_name: str | None
    request_id: str | None
    metadata: dict[str, Any] | None
    created_at: datetime


class SyncedState(msgspec.Struct, frozen=True, kw_only=True):
    """An order of another system under lock, as it is here."""

    id: OrderId
    order_number: str
    user_id: UserId | None
    status: OrderStatus
    now: datetime  # of the database, at the start of the transaction


class SyncedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order as another system says it; amounts in the order's currency."""

    id: OrderLineId
    position: int
    product_id: ProductId
    variant_id: VariantId
    product_sku: str | None
    product_name: str
    variant_title: str
    is_digital: bool
    quantity: int
    unit_price: int
    discount_amount: int
    tax_amount: int
    quantity_fulfilled: int
    quantity_cancelled: int
    patch_enabled: bool = False
    patch_type: str | None = None
    print_name: str | None = None
    print_number: str | None = None


class SyncedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of another system, whole."""

    source: str
    external_id: str
    number: str  # its code there
    user_id: UserId | None
    customer_email: str
    customer_name: str
    customer_phone: str | None
    status: OrderStatus
    delivery_stage: DeliveryStage
    shipping_address: Address | None
    billing_address: Address | None
    currency: str
    subtotal_amount: int  # of the lines
    discount_amount: int
    shipping_amount: int
    tax_amount: int
    total_amount: int  # subtotal - discount + shipping + tax
    paid_at_source: int
    payment_at_source: str | None  # how the way to pay is called there
    shipping_method: str | None
    shipping_carrier: str | None
    tracking_number: str | None
    discount_code: str | None
    customer_notes: str | None
    metadata: dict[str, Any]
    placed_at: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None
    lines: list[SyncedLine]  # one at least; their ids count where they are written anew


class CustomerOrder(msgspec.Struct, frozen=True, kw_only=True, rename=_NUMBER):
    """An order as its buyer sees it. A field that staff keep for themselves is not here, so it cannot slip out."""

    id: OrderId
    order_number: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    created_at: datetime
    payment_due_at: datetime | None  # None once it is paid or closed
    email: str
    name: str
    phone: str | None
    shipping_address: Address | None
    billing_address: Address | None
    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money
    paid: Money
    due: Money
    shipping_method: str | None
    shipping_carrier: str | None
    tracking_number: str | None
    estimated_delivery: date | None
    customer_notes: str | None
    discounts: list[OrderDiscount]  # what each coupon took, in the order in which it did
    lines: "list[CustomerOrderLine]"


class CustomerOrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of it."""

    product_id: ProductId
    variant_id: VariantId
    sku: str | None
    name: str
    variant: str
    quantity: int
    unit_price: Money
    subtotal: Money
    discount: Money  # its part of the order's
    shipped: int
    cancelled: int
    batch_number: str | None
    patch_type: str | None
    print_name: str | None
    print_number: str | None


class OrderTracking(msgspec.Struct, frozen=True, kw_only=True, rename=_NUMBER):
    """What whoever knows an order's number and phone may know of it; always the same fields."""

    order_number: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    created_at: datetime
    estimated_delivery: date | None
    shipping_carrier: str | None  # these two only once it was dispatched
    tracking_number: str | None


class OrdersFound(msgspec.Struct, frozen=True, kw_only=True):
    """A page by number, and how many orders there are in all."""

    items: list[OrderSummary]
    total: int


class RefundDue(msgspec.Struct, frozen=True, kw_only=True, rename=_NUMBER):
    """An order that holds money which is not the shop's."""

    id: OrderId
    order_number: str
    customer_email: str
    customer_name: str
    status: OrderStatus
    total_amount: Money
    amount_paid: Money
    refund_amount: Money  # all that was paid where the order is cancelled, else what is beyond the total


class CampaignRevenue(msgspec.Struct, frozen=True, kw_only=True):
    """What the orders of one campaign came to."""

    utm_campaign: str | None  # None: orders of no campaign
    orders: int
    total_amount: Money
    amount_paid: Money


class StockShort(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of which fewer units are on hand than an order needs."""

    variant_id: VariantId
    sku: str | None
    needed: int
    on_hand: int


class ShippingRate(msgspec.Struct, frozen=True, kw_only=True):
    """What shipping by one method costs."""

    id: UUID
    code: str  # what a checkout names
    name: str
    amount: Money
    countries: list[str] | None  # ISO 3166-1; None: everywhere
    free_from_amount: Money | None  # a subtotal of this or more ships free
    is_active: bool
    position: int


class StatusLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A state's name for people."""

    status: OrderStatus
    label: str
    description: str


class CustomerOrderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `customer_orders_summary`."""

    id: OrderId
    customer_id: UserId | None
    vendure_order_id: str | None
    order_code: str
    order_date: datetime
    status: OrderStatus
    delivery_stage: DeliveryStage
    payment_method: str | None
    total_with_tax: Money
    is_paid: bool
    batch_id: UUID | None
    tracking_number: str | None


class CustomerOrderItem(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `customer_order_items`."""

    id: OrderLineId
    order_summary_id: OrderId
    product_name: str
    variant_name: str
    quantity: int
    unit_price_with_tax: Money
    patch_enabled: bool
    patch_type: str | None
    print_name: str | None
    print_number: str | None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `customers`: an account and what it has bought so far."""

    id: UserId
    vendure_customer_id: str | None
    email: str
    first_name: str | None
    last_name: str | None
    full_name: str | None
    phone_number: str | None
    phone_verified: bool
    total_orders: int  # all that were not cancelled
    total_spent: Money  # what they came to, less what went back
    last_order_date: datetime | None
    marketing_consent: bool
    marketing_consent_at: datetime | None
    is_active: bool
    custom_fields: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    last_synced_at: datetime | None  # with the shop it comes from; None: it is ours alone


class CustomerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `customer_addresses`."""

    id: AddressId
    customer_id: UserId
    vendure_address_id: str | None
    address_type: AddressType
    is_default: bool
    full_name: str
    company: str | None
    street_line_1: str
    street_line_2: str | None
    city: str
    province: str
    postal_code: str
    country_code: str
    phone_number: str | None
    created_at: datetime
    updated_at: datetime


def asked_for(status: OrderStatus, amount_due: Money) -> Money:
    """What its buyer still has to pay: nothing of an order that has ended or was refunded, be it in part.

    Less than nothing, where more came than it was.
    """
    ended = status in {S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED}
    return Money(min(amount_due.amount, 0), amount_due.currency) if ended else amount_due


def customer_view(order: Order, lines: list[OrderLine], discounts: Sequence[OrderDiscount]) -> CustomerOrder:
    """The part of an order that its buyer sees."""
    return CustomerOrder(
        id=order.id,
        order_number=order.order_number,
        status=order.status,
        delivery_stage=order.delivery_stage,
        created_at=order.created_at,
        payment_due_at=order.payment_due_at if order.status is S.PENDING_PAYMENT else None,
        email=order.customer_email,
        name=order.customer_name,
        phone=order.customer_phone,
        shipping_address=order.shipping_address,
        billing_address=order.billing_address,
        subtotal=order.subtotal_amount,
        discount=order.discount_amount,
        shipping=order.shipping_amount,
        tax=order.tax_amount,
        total=order.total_amount,
        paid=order.amount_paid,
        due=asked_for(order.status, order.amount_due),
        shipping_method=order.shipping_method,
        shipping_carrier=order.shipping_carrier,
        tracking_number=order.tracking_number,
        estimated_delivery=order.estimated_delivery,
        customer_notes=order.customer_notes,
        discounts=list(discounts),
        lines=[
            CustomerOrderLine(
                product_id=line.product_id,
                variant_id=line.variant_id,
                sku=line.product_sku,
                name=line.product_name,
                variant=line.variant_title,
                quantity=line.quantity,
                unit_price=line.unit_price,
                subtotal=line.subtotal_amount,
                discount=line.discount_amount,
                shipped=line.quantity_fulfilled,
                cancelled=line.quantity_cancelled,
                batch_number=line.batch_number,
                patch_type=line.patch_type,
                print_name=line.print_name,
                print_number=line.print_number,
            )
            for line in lines
        ],
    )
