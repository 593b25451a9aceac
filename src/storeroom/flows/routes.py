"""POST /v1/checkout: the one route that crosses slices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import Address
from storeroom.core.ids import CartId, OrderId
from storeroom.core.money import Money
from storeroom.flows import (
    cancellation_routes,
    cart_return_routes,
    dispute_routes,
    errors,
    hosted_routes,
    inbound_routes,
    personal_data_routes,
    provider_routes,
    refund_quote_routes,
    refunding_routes,
    sign_in_routes,
    vendure_routes,
    wallet_payment_routes,
)
from storeroom.flows.checkout import Checkout
from storeroom.flows.model import (
    KEY_LENGTH_MAX,
    LINES_MAX,
    Attribution,
    Compliance,
    CouponCode,
    Name,
    PaymentAsked,
    Placement,
    Purchase,
    PurchaseLine,
    Short,
)
from storeroom.orders import OrderStatus
from storeroom.promotions import COUPONS_MAX, CouponNotApplicable, CouponNotFound, CouponUsedUp
from storeroom.web import Call, IdempotencyKeyReused, InvalidIdempotencyKey, Principal, checked_key, says, scope_of

PATH: Final = "/v1/checkout"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cart or lines, who buys, where it goes, how it is paid.

    The purchase ids of other systems are not among it: whoever sends a known one is told of its order, so they are for
    callers whom the shop trusts, through the Python API.
    """

    cart_id: CartId | None = None
    lines: Annotated[list[PurchaseLine], Meta(max_length=LINES_MAX)] | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254, examples=["ada@example.com"])]
    name: Name
    phone: Annotated[str, Meta(min_length=3, max_length=40, examples=["+1 512 555 0123"])] | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    shipping_method: Short | None = None
    payment_method: Short | None = None
    coupon: CouponCode | None = None  # a single one; the same as `coupons` with it alone
    coupons: Annotated[list[CouponCode], Meta(max_length=COUPONS_MAX)] = []
    use_store_credit: Money | bool = False  # true, or an amount that is not to be passed
    age_attested: bool = False
    compliance: Compliance | None = None
    attribution: Attribution | None = None
    notes: Annotated[str, Meta(max_length=2000)] | None = None


class OrderPlaced(msgspec.Struct, frozen=True, kw_only=True):
    """The order that was placed."""

    id: OrderId
    number: str
    status: OrderStatus
    email: str
    subtotal: Money
    discount: Money
    discount_code: str | None
    shipping: Money
    shipping_method: str | None
    total: Money
    paid: Money
    created_at: datetime
    payment_due_at: datetime


class CheckoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The order, and how to pay it where a payment method was named."""

    order: OrderPlaced
    payment: PaymentAsked | None


@post(
    PATH,
    summary="Place an order",
    tags=["checkout"],
    responses={
        **says(
            errors.AddressRequired,
            errors.AgeRequired,
            errors.BuyerNotActive,
            errors.CartClosed,
            errors.CartUnknown,
            errors.ComplianceRequired,
            errors.CurrencyNotSold,
            errors.InvalidPurchase,
            errors.KycRequired,
            errors.LineUnavailable,
            errors.NothingToBuy,
            errors.OutOfStock,
            errors.PaymentMethodRefused,
            errors.PriceChanged,
            errors.Restricted,
            errors.ShippingUnavailable,
            errors.TooManyOpenOrders,
            CouponNotApplicable,
            CouponNotFound,
            CouponUsedUp,
            IdempotencyKeyReused,
            InvalidIdempotencyKey,
        ),
        200: ResponseSpec(CheckoutAnswer, description="The cart has become this order before", generate_examples=False),
    },
)
async def place_order(
    data: JSONBody[NewOrder],
    call: NamedDependency[Call],
    principal: NamedDependency[Principal],
    checkout: NamedDependency[Checkout],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            min_length=1,
            max_length=KEY_LENGTH_MAX,
            description="The same key with the same body gets the same order, for 24 hours.",
        ),
    ] = None,
) -> Response[CheckoutAnswer]:
    """All of the order or nothing: if a line is short, nothing is placed, and the answer says how many are left.

    A cart must be the caller's own. Lines need no token. Stock, order and payment request are committed together with
    the key, so a request may be sent again until it is answered.
    """
    key = None if idempotency_key is None else checked_key(idempotency_key, principal, unguessable=False)
    asked = msgspec.structs.asdict(data)
    one = asked.pop("coupon")
    if one is not None:
        asked["coupons"] = [one, *asked["coupons"]]
    placement = await checkout.place(
        Purchase(**asked),
        visitor=principal.visitor,
        idempotency_key=key,
        idempotency_scope=scope_of(call, principal, "POST", PATH),
        domain=call.domain,
    )
    return Response(
        _answer(placement),
        status_code=201 if placement.new or placement.replayed else 200,
        headers={"Idempotency-Replay": "true"} if placement.replayed else None,
    )


route_handlers: Sequence[ControllerRouterHandler] = (
    place_order,
    *cancellation_routes.route_handlers,
    *cart_return_routes.route_handlers,
    *refunding_routes.route_handlers,
    *refund_quote_routes.route_handlers,
    *dispute_routes.route_handlers,
    *hosted_routes.route_handlers,
    *inbound_routes.route_handlers,
    *sign_in_routes.route_handlers,
    *vendure_routes.route_handlers,
    *wallet_payment_routes.route_handlers,
    *provider_routes.route_handlers,
    *personal_data_routes.route_handlers,
)


def _answer(placement: Placement) -> CheckoutAnswer:
    order = placement.order
    return CheckoutAnswer(
        order=OrderPlaced(**{name: getattr(order, name) for name in OrderPlaced.__struct_fields__}),
        payment=order.payment,
    )
