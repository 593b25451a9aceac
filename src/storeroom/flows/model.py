"""What a checkout is asked for, and what it answers."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.contact import Address
from storeroom.core.ids import CartId, OrderId, PaymentId, ProductId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.database.service import ActorKind
from storeroom.orders import OrderStatus
from storeroom.promotions import CODE_LENGTH_MAX, COUPONS_MAX

LINES_MAX: Final = 100
QUANTITY_MAX: Final = 10_000
METADATA_BYTES_MAX: Final = 10_240
GROUP_SIZE_MAX: Final = 32  # orders in one call of the function
FLIGHTS_MAX: Final = 2  # groups of one tenant on their way at a time
PLACE_ATTEMPTS_MAX: Final = 5  # a number or reference that exists already is drawn again
KEY_LENGTH_MAX: Final = 255
IDEMPOTENCY_TTL: Final = timedelta(hours=24)

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Short = Annotated[str, Meta(min_length=1, max_length=100)]
CouponCode = Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX)]


class Blanked(msgspec.Struct, frozen=True):
    """What stands in the place of an erased person's mail address, and how many orders stay."""

    address: str
    orders: int


class PurchaseLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to buy, named by its variant or its sku."""

    variant_id: VariantId | None = None
    sku: Short | None = None
    quantity: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)] = 1
    unit_price: Money | None = None  # what the buyer saw; another price today refuses the order
    patch_type: Short | None = None
    print_name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    print_number: Annotated[str, Meta(min_length=1, max_length=10)] | None = None


class Compliance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the buyer agreed to, where the shop or a product demands it."""

    acknowledged: bool
    version: Annotated[str, Meta(min_length=1, max_length=20)]  # of the text that was shown
    acknowledged_at: datetime | None = None  # None: now


class Attribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the buyer came from. A cart's own, captured when it was made, goes before it."""

    utm_source: Short | None = None
    utm_medium: Short | None = None
    utm_campaign: Short | None = None
    referrer_url: Annotated[str, Meta(max_length=2000)] | None = None


class Purchase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkout: of a cart, or straight from lines."""

    cart_id: CartId | None = None
    lines: Annotated[list[PurchaseLine], Meta(max_length=LINES_MAX)] | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    name: Name
    phone: Annotated[str, Meta(min_length=3, max_length=40)] | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None  # None: the shipping address
    shipping_method: Short | None = None  # a rate's code; None: the first that reaches the address
    payment_method: Short | None = None  # a method's code; None: the payment is started later
    coupons: Annotated[list[CouponCode], Meta(max_length=COUPONS_MAX)] = []  # as typed; the cart's own is one as well
    use_store_credit: Money | bool = False  # of the account's credit; an amount: no more than that
    age_attested: bool = False  # a guest says to be of age; an account must be verified
    compliance: Compliance | None = None
    attribution: Attribution | None = None
    notes: Annotated[str, Meta(max_length=2000)] | None = None
    source: Annotated[str, Meta(min_length=1, max_length=50)] = "storefront"
    purchase_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None  # one order for each of a source
    resource_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    metadata: dict[str, Any] = {}


class PaymentAsked(msgspec.Struct, frozen=True, kw_only=True):
    """How the buyer is to pay."""

    id: PaymentId
    reference: str
    method: str
    name: str
    amount: Money
    instructions: str
    details: dict[str, Any]
    expires_at: datetime | None  # None: paid at the door, which takes as long as it takes


class PlacedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it was placed."""

    id: OrderId
    number: str
    status: OrderStatus
    email: str
    subtotal: Money
    discount: Money
    discount_code: str | None  # the first one typed
    shipping: Money
    shipping_method: str | None
    total: Money
    paid: Money  # with store credit
    created_at: datetime
    payment_due_at: datetime  # unpaid by then, it is cancelled
    payment: PaymentAsked | None


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The order, and whether this call made it."""

    order: PlacedOrder
    new: bool  # False: the cart, the purchase id or the idempotency key had its order already
    replayed: bool = False  # the stored answer to this very request, byte for byte


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What place_orders_v2 says of one order of its group."""

    ordinal: int
    verdict: str
    answer: Any


class AskedLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line as place_orders_v2 reads it."""

    id: UUID
    variant_id: VariantId | None = None
    sku: str | None = None
    quantity: int
    unit_price: int | None = None
    patch_enabled: bool = False
    patch_type: str | None = None
    print_name: str | None = None
    print_number: str | None = None


class AskedOrder(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One order as place_orders_v2 reads it: the row type checkout_order_v2. Codes that clash are drawn again."""

    ordinal: int = -1  # set when its group is sent; never the default then, which would be left out
    id: UUID
    order_number: str
    history_id: UUID
    webhook_id: UUID
    payment_id: UUID | UnsetType = UNSET
    payment_reference: str | UnsetType = UNSET
    payment_method: str | None = None
    idempotency_scope: str | None = None
    idempotency_key: str | None = None
    request_fingerprint: str | None = None
    idempotency_ttl: timedelta | None = None
    source: str
    purchase_id: str | None = None
    resource_id: str | None = None
    cart_id: UUID | None = None
    lines: list[AskedLine] | None = None
    coupons: list[str] = []
    credit_limit: int | None = None
    credit_payment_id: UUID | None = None
    credit_reference: str | None = None
    credit_entry_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    any_cart: bool = False
    customer_email: str
    customer_name: str
    customer_phone: str | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    shipping_method: str | None = None
    age_attested: bool = False
    compliance_acknowledged: bool = False
    compliance_version: str | None = None
    compliance_acknowledged_at: datetime | None = None
    ip_address: str | None = None
    domain: str | None = None
    traffic_source: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    customer_notes: str | None = None
    metadata: dict[str, Any] = {}
    actor_kind: ActorKind
    actor_id: UUID | None = None
    actor_name: str | None = None
    request_id: str | None = None
    event_ids: list[UUID] | None = None
    user_agent: str | None = None
    device_type: str | None = None
    browser: str | None = None
    os: str | None = None


class CheckoutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What place_orders_v2 must know of the tenant."""

    currency: str
    order_window: timedelta
    open_orders_max: int
    compliance_required: bool


class PaymentVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What record_verified_payment_v1 says."""

    verdict: str
    answer: Any


class HostedPayment(msgspec.Struct, frozen=True):
    """What a provider is told of a payment, and through which gateway."""

    order_id: OrderId
    order_number: str
    customer_email: str
    gateway_id: str | None


class HostedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a payment is made."""

    provider: str  # stripe or mpgs
    session_id: str
    url: str | None  # where to send the buyer; None: load the script, and let it open the session's page
    script_url: str | None
    expires_at: datetime | None


class EventTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a provider's message."""

    id: str
    type: str
    # completed, processing, expired, refunded, disputed, ignored; unmatched: of no payment here; undecided: a refund
    # while one of another amount is pending; mismatch: more went back than was left
    outcome: str
    payment_id: PaymentId | None = None  # which it was about


class NamedVariant(msgspec.Struct, frozen=True):
    """A variant that another system names by its sku, or its product by the id of the ERP."""

    sku: str | None
    variant_id: VariantId
    product_id: ProductId
    product_name: str
    title: str
    is_digital: bool


class NamedPayment(msgspec.Struct, frozen=True):
    """A payment that the ERP names."""

    id: PaymentId
    order_id: OrderId
    reference: str
    amount: Money


class NamedCustomer(msgspec.Struct, frozen=True):
    """An account that the ERP names."""

    id: UserId
