"""Carts of guests and accounts: what somebody is about to buy, at which prices."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from storeroom.carts.errors import InvalidCustomisation
from storeroom.core.ids import AddressId, CartId, CartItemId, OrderId, ProductId, SessionId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves
from storeroom.promotions import Line

LINES_MAX: Final = 100
UTM_LENGTH_MAX: Final = 200
REFERRER_LENGTH_MAX: Final = 2_000
DOMAIN_LENGTH_MAX: Final = 253
CUSTOMISATION_LENGTHS: Final = {"patch_type": 50, "print_name": 50, "print_number": 10}


class CartStatus(StrEnum):
    """What became of a cart. Only an active one that has not expired can be changed or bought."""

    ACTIVE = "active"
    MERGED = "merged"  # its lines are in `merged_into_cart_id`
    CONVERTED = "converted"  # bought: `converted_to_order_id`
    ABANDONED = "abandoned"  # untouched for the tenant's time, or past `expires_at`


CART_MOVES: Final[Moves[CartStatus]] = declare_moves(
    CartStatus,
    {CartStatus.ACTIVE: [CartStatus.MERGED, CartStatus.CONVERTED, CartStatus.ABANDONED]},
)


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Where the visitor came from. Taken down when the cart is made, never again; what is too long is cut."""

    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    referrer_url: str | None = None


class Customisation(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to the goods for this buyer. Another customisation of a variant is another line."""

    patch_type: str | None = None
    print_name: str | None = None
    print_number: str | None = None

    def __post_init__(self) -> None:
        for field, most in CUSTOMISATION_LENGTHS.items():
            text = getattr(self, field)
            if text is not None and not (1 <= len(text) <= most and text.isprintable() and text == text.strip()):
                raise InvalidCustomisation(field=field, length_max=most)


PLAIN: Final = Customisation()


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart and what it comes to. `total` is subtotal less discount plus shipping and tax."""

    id: CartId
    user_id: UserId | None
    session_id: SessionId | None  # of a guest's cart, which goes with the session
    status: CartStatus
    expired: bool  # past `expires_at`, by the database's clock
    currency: str
    subtotal: Money
    discount: Money  # by coupons: the one that was typed, and those that apply by themselves
    shipping: Money  # 0 until an address or a method is chosen
    tax: Money
    total: Money
    discount_code: str | None
    shipping_address_id: AddressId | None
    shipping_method: str | None
    converted_to_order_id: OrderId | None
    converted_at: datetime | None
    merged_into_cart_id: CartId | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    referrer_url: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


class CartLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one variant in one customisation."""

    id: CartItemId
    product_id: ProductId
    variant_id: VariantId
    sku: str | None
    product_name: str
    variant_title: str
    quantity: int
    unit_price: Money  # at the time of adding, or of the last `reprice`
    total: Money
    current_price: Money | None  # today's; None where it is no longer sold in the cart's currency
    sellable: bool  # product and variant are still offered
    patch_type: str | None
    print_name: str | None
    print_number: str | None
    created_at: datetime

    @property
    def difference(self) -> Money | None:
        """Today's price of a unit less the one on the line."""
        return None if self.current_price is None else self.current_price - self.unit_price


class CartView(msgspec.Struct, frozen=True):
    """A cart with its lines, read together."""

    cart: Cart
    lines: list[CartLine]
    coupon_problem: str | None = None  # why the code takes nothing now: the code of the error


class PriceChange(msgspec.Struct, frozen=True, kw_only=True):
    """What repricing did to one line."""

    line_id: CartItemId
    variant_id: VariantId
    sku: str | None
    before: Money
    after: Money


class LockedCart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart's row under lock, as it is now."""

    id: CartId
    user_id: UserId | None
    session_id: SessionId | None
    status: CartStatus
    expired: bool
    currency: str
    discount_code: str | None

    @property
    def live(self) -> bool:
        """Whether it may be changed."""
        return self.status is CartStatus.ACTIVE and not self.expired


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as somebody puts it into a cart."""

    product_id: ProductId
    variant_id: VariantId
    sku: str | None
    price: int
    currency: str
    sellable: bool


class Place(msgspec.Struct, frozen=True):
    """How full a cart is, and how much of one line it has already."""

    lines: int
    quantity: int


class Discountable(msgspec.Struct, frozen=True, kw_only=True):
    """A cart as coupons look at it."""

    currency: str
    user_id: UserId | None
    discount_code: str | None
    lines: list[Line]  # as at checkout in the order of their ids
    automatic: bool  # the shop has coupons that apply by themselves


class Discounted(msgspec.Struct, frozen=True):
    """What coupons take off a cart now, and why the typed one takes nothing."""

    amount: int
    problem: str | None = None
