"""Carts over HTTP: of whoever holds the guest's token or is signed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.carts.errors import (
    CartAddressNotFound,
    CartFull,
    CartLineNotFound,
    CartNotActive,
    CartNotFound,
    InvalidCustomisation,
    InvalidLine,
    InvalidLineQuantity,
    LineTooLarge,
    NotForSale,
    ShippingUnavailable,
)
from storeroom.carts.model import (
    CUSTOMISATION_LENGTHS,
    REFERRER_LENGTH_MAX,
    UTM_LENGTH_MAX,
    Attribution,
    Cart,
    CartLine,
    CartStatus,
    CartView,
    Customisation,
    PriceChange,
)
from storeroom.carts.service import Carts
from storeroom.catalog import VariantNotFound
from storeroom.core.ids import AddressId, CartId, CartItemId, VariantId
from storeroom.core.money import Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.core.visitor import Visitor
from storeroom.inventory import QUANTITY_MAX, InsufficientStock
from storeroom.promotions import CODE_LENGTH_MAX, CouponNotApplicable, CouponNotFound, CouponUsedUp
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, Arrival, Call, CursorParameter, LimitParameter, requires, says

SKU_LENGTH_MAX: Final = 100
METHOD_LENGTH_MAX: Final = 100
Utm = Annotated[str, Meta(max_length=UTM_LENGTH_MAX)]


class NewCart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the visitor came from. Counts only where a cart is made."""

    utm_source: Utm | None = None
    utm_medium: Utm | None = None
    utm_campaign: Utm | None = None
    referrer_url: Annotated[str, Meta(max_length=REFERRER_LENGTH_MAX)] | None = None


class NewItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to put into the cart: one of `sku` and `variant_id`, and how many."""

    sku: Annotated[str, Meta(min_length=1, max_length=SKU_LENGTH_MAX, examples=["TEE-S"])] | None = None
    variant_id: UUID | None = None
    quantity: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)] = 1
    patch_type: Annotated[str, Meta(min_length=1, max_length=CUSTOMISATION_LENGTHS["patch_type"])] | None = None
    print_name: Annotated[str, Meta(min_length=1, max_length=CUSTOMISATION_LENGTHS["print_name"])] | None = None
    print_number: Annotated[str, Meta(min_length=1, max_length=CUSTOMISATION_LENGTHS["print_number"])] | None = None


class ItemChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many units the line has from now on; 0 removes it."""

    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]


class ShippingChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the goods go, for accounts, and how. What is left out is not chosen any more."""

    address_id: UUID | None = None
    method: Annotated[str, Meta(min_length=1, max_length=METHOD_LENGTH_MAX, examples=["standard"])] | None = None


class CouponChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A coupon's code, in any case."""

    code: Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX, examples=["SUMMER10"])]


class CartItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a cart."""

    id: UUID
    product_id: UUID
    variant_id: UUID
    sku: str | None
    product_name: str
    variant_title: str
    quantity: int
    unit_price: Money  # at the time of adding
    total: Money
    current_price: Money | None  # today's
    price_difference: Money | None  # today's less the line's
    available_for_sale: bool
    patch_type: str | None
    print_name: str | None
    print_number: str | None


class CartBody(msgspec.Struct, frozen=True, kw_only=True):
    """A cart with its lines. `total` is what it comes to today, with the coupons that apply now."""

    id: UUID
    status: CartStatus
    currency: str
    items: list[CartItem]
    subtotal: Money
    discount: Money
    discount_code: str | None  # the coupon that was applied
    coupon_problem: str | None  # why it takes nothing now: the code of the error that checkout would give
    shipping: Money
    tax: Money
    total: Money
    shipping_address_id: UUID | None
    shipping_method: str | None
    order_id: UUID | None  # what it became
    created_at: datetime
    expires_at: datetime


class MadeCart(msgspec.Struct, frozen=True, kw_only=True):
    """The visitor's cart. `token` is there where a guest session was made for it; it is also sent as a cookie."""

    id: UUID
    token: str | None
    token_expires_at: datetime | None
    cart: CartBody


class PriceChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """What repricing did to one line."""

    item_id: UUID
    sku: str | None
    before: Money
    after: Money


class Repriced(msgspec.Struct, frozen=True):
    """The lines that changed, and the cart as it is now."""

    changes: list[PriceChangeView]
    cart: CartBody


class HeldUnits(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one variant that nobody else can buy until `expires_at`."""

    id: UUID
    variant_id: UUID
    quantity: int
    expires_at: datetime


class HeldCart(msgspec.Struct, frozen=True):
    """What the cart holds now."""

    reservations: list[HeldUnits]


class AbandonedCart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart that nobody came back to."""

    id: UUID
    user_id: UUID | None
    total: Money
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    created_at: datetime
    abandoned_at: datetime


@post(
    "/v1/carts",
    summary="The visitor's cart, made if there is none",
    tags=["carts"],
    opt=IDEMPOTENT,
    responses=says(),
)
async def make_cart(
    arrival: NamedDependency[Arrival],
    call: NamedDependency[Call],
    carts: NamedDependency[Carts],
    data: JSONBody[NewCart | None] = None,
) -> MadeCart:
    """Without a token a guest session is made; keep its token, it is the only key to the cart."""
    asked = data or NewCart()
    cart = await carts.create(
        visitor=arrival.visitor,
        attribution=Attribution(
            utm_source=asked.utm_source,
            utm_medium=asked.utm_medium,
            utm_campaign=asked.utm_campaign,
            referrer_url=asked.referrer_url,
        ),
        domain=call.domain,
    )
    body = _body(await carts.view(cart_id=cart.id))
    return MadeCart(id=cart.id, token=arrival.token, token_expires_at=arrival.expires_at, cart=body)


@get("/v1/carts/{cart_id:uuid}", summary="A cart with its lines", tags=["carts"], responses=says(CartNotFound))
async def get_cart(
    cart_id: FromPath[UUID], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> CartBody:
    """Each line with the price of the time of adding and today's."""
    return _body(await carts.view(cart_id=CartId(cart_id), visitor=visitor))


@post(
    "/v1/carts/{cart_id:uuid}/items",
    summary="Add to the cart",
    tags=["carts"],
    opt=IDEMPOTENT,
    responses=says(
        CartNotFound,
        CartNotActive,
        VariantNotFound,
        NotForSale,
        LineTooLarge,
        CartFull,
        InvalidLine,
        InvalidLineQuantity,
        InvalidCustomisation,
    ),
)
async def add_item(
    cart_id: FromPath[UUID], data: JSONBody[NewItem], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> CartBody:
    """What is there already, in the same customisation, becomes more."""
    await carts.add(
        cart_id=CartId(cart_id),
        variant_id=VariantId(data.variant_id) if data.variant_id is not None else None,
        sku=data.sku,
        quantity=data.quantity,
        customisation=Customisation(
            patch_type=data.patch_type, print_name=data.print_name, print_number=data.print_number
        ),
        visitor=visitor,
    )
    return _body(await carts.view(cart_id=CartId(cart_id)))


@patch(
    "/v1/carts/{cart_id:uuid}/items/{item_id:uuid}",
    summary="Change how many",
    tags=["carts"],
    responses=says(CartNotFound, CartNotActive, CartLineNotFound, InvalidLineQuantity),
)
async def change_item(
    cart_id: FromPath[UUID],
    item_id: FromPath[UUID],
    data: JSONBody[ItemChange],
    visitor: NamedDependency[Visitor],
    carts: NamedDependency[Carts],
) -> CartBody:
    """0 removes the line."""
    await carts.set_quantity(
        cart_id=CartId(cart_id), line_id=CartItemId(item_id), quantity=data.quantity, visitor=visitor
    )
    return _body(await carts.view(cart_id=CartId(cart_id)))


@delete(
    "/v1/carts/{cart_id:uuid}/items/{item_id:uuid}",
    summary="Take a line out",
    tags=["carts"],
    status_code=200,
    responses=says(CartNotFound, CartNotActive, CartLineNotFound),
)
async def remove_item(
    cart_id: FromPath[UUID], item_id: FromPath[UUID], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> CartBody:
    """Gives the cart without it."""
    await carts.remove(cart_id=CartId(cart_id), line_id=CartItemId(item_id), visitor=visitor)
    return _body(await carts.view(cart_id=CartId(cart_id)))


@post(
    "/v1/carts/{cart_id:uuid}/reprice",
    summary="Take today's prices",
    tags=["carts"],
    status_code=200,
    responses=says(CartNotFound, CartNotActive),
)
async def reprice_cart(
    cart_id: FromPath[UUID], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> Repriced:
    """Says what changed. Checkout refuses a line whose price is not today's."""
    changes = await carts.reprice(cart_id=CartId(cart_id), visitor=visitor)
    return Repriced([_change(change) for change in changes], _body(await carts.view(cart_id=CartId(cart_id))))


@put(
    "/v1/carts/{cart_id:uuid}/shipping",
    summary="Choose where the goods go and how",
    tags=["carts"],
    responses=says(CartNotFound, CartNotActive, CartAddressNotFound, ShippingUnavailable),
)
async def set_cart_shipping(
    cart_id: FromPath[UUID],
    data: JSONBody[ShippingChoice],
    visitor: NamedDependency[Visitor],
    carts: NamedDependency[Carts],
) -> CartBody:
    """The cart's shipping is then what that costs."""
    await carts.set_shipping(
        cart_id=CartId(cart_id),
        address_id=AddressId(data.address_id) if data.address_id is not None else None,
        method=data.method,
        visitor=visitor,
    )
    return _body(await carts.view(cart_id=CartId(cart_id)))


@post(
    "/v1/carts/{cart_id:uuid}/coupon",
    summary="Apply a coupon",
    tags=["carts"],
    status_code=200,
    responses=says(CartNotFound, CartNotActive, CouponNotFound, CouponUsedUp, CouponNotApplicable),
)
async def apply_cart_coupon(
    cart_id: FromPath[UUID],
    data: JSONBody[CouponChoice],
    visitor: NamedDependency[Visitor],
    carts: NamedDependency[Carts],
) -> CartBody:
    """In the place of the one that is there. Checkout counts the use, and refuses if the coupon does not apply then."""
    await carts.apply_coupon(cart_id=CartId(cart_id), code=data.code, visitor=visitor)
    return _body(await carts.view(cart_id=CartId(cart_id)))


@delete(
    "/v1/carts/{cart_id:uuid}/coupon",
    summary="Take the coupon off",
    tags=["carts"],
    status_code=200,
    responses=says(CartNotFound, CartNotActive),
)
async def remove_cart_coupon(
    cart_id: FromPath[UUID], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> CartBody:
    """Those that apply by themselves stay."""
    await carts.remove_coupon(cart_id=CartId(cart_id), visitor=visitor)
    return _body(await carts.view(cart_id=CartId(cart_id)))


@post(
    "/v1/carts/{cart_id:uuid}/reserve",
    summary="Hold what is in the cart for a while",
    tags=["carts"],
    status_code=200,
    responses=says(CartNotFound, CartNotActive, InsufficientStock),
)
async def reserve_cart(
    cart_id: FromPath[UUID], visitor: NamedDependency[Visitor], carts: NamedDependency[Carts]
) -> HeldCart:
    """All lines or none; again to follow a change of the lines, or to gain time."""
    held = await carts.reserve(cart_id=CartId(cart_id), visitor=visitor)
    return HeldCart(
        [
            HeldUnits(id=each.id, variant_id=each.variant_id, quantity=each.quantity, expires_at=each.expires_at)
            for each in held
        ]
    )


@get(
    "/v1/admin/carts/abandoned",
    summary="Carts that nobody came back to",
    tags=["admin"],
    guards=[requires("orders.read")],
    responses=says(InvalidCursor),
)
async def list_abandoned(
    carts: NamedDependency[Carts], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[AbandonedCart]:
    """The latest first."""
    page = await carts.abandoned(cursor=cursor, limit=limit)
    return Page([_abandoned(cart) for cart in page.items], page.next_cursor)


def _body(view: CartView) -> CartBody:
    cart = view.cart
    return CartBody(
        id=cart.id,
        status=cart.status,
        currency=cart.currency,
        items=[_item(line) for line in view.lines],
        subtotal=cart.subtotal,
        discount=cart.discount,
        discount_code=cart.discount_code,
        coupon_problem=view.coupon_problem,
        shipping=cart.shipping,
        tax=cart.tax,
        total=cart.total,
        shipping_address_id=cart.shipping_address_id,
        shipping_method=cart.shipping_method,
        order_id=cart.converted_to_order_id,
        created_at=cart.created_at,
        expires_at=cart.expires_at,
    )


def _item(line: CartLine) -> CartItem:
    return CartItem(
        id=line.id,
        product_id=line.product_id,
        variant_id=line.variant_id,
        sku=line.sku,
        product_name=line.product_name,
        variant_title=line.variant_title,
        quantity=line.quantity,
        unit_price=line.unit_price,
        total=line.total,
        current_price=line.current_price,
        price_difference=line.difference,
        available_for_sale=line.sellable,
        patch_type=line.patch_type,
        print_name=line.print_name,
        print_number=line.print_number,
    )


def _change(change: PriceChange) -> PriceChangeView:
    return PriceChangeView(item_id=change.line_id, sku=change.sku, before=change.before, after=change.after)


def _abandoned(cart: Cart) -> AbandonedCart:
    return AbandonedCart(
        id=cart.id,
        user_id=cart.user_id,
        total=cart.total,
        utm_source=cart.utm_source,
        utm_medium=cart.utm_medium,
        utm_campaign=cart.utm_campaign,
        created_at=cart.created_at,
        abandoned_at=cart.updated_at,
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    make_cart,
    get_cart,
    add_item,
    change_item,
    remove_item,
    reprice_cart,
    set_cart_shipping,
    apply_cart_coupon,
    remove_cart_coupon,
    reserve_cart,
    list_abandoned,
)
