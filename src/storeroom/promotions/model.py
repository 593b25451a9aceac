"""Coupons: what takes something off a price, for whom, and how often."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.core.ids import CouponId, OrderId, ProductId, UserId
from storeroom.core.money import Money

CODE_LENGTH_MAX: Final = 50
NAME_LENGTH_MAX: Final = 100
PRODUCTS_MAX: Final = 1_000  # of one coupon
USERS_MAX: Final = 1_000  # of one coupon
METADATA_BYTES_MAX: Final = 10_240
PERCENTAGE_DECIMALS: Final = 6
AUTOMATIC_MAX: Final = 100  # coupons of a shop that apply by themselves at one time
COUPONS_MAX: Final = 10  # codes a customer may type for one order
POSITION_MAX: Final = 1_000_000
USES_MAX: Final = 2**31 - 1


class DiscountType(StrEnum):
    """How much a coupon takes."""

    PERCENTAGE = "percentage"  # of what is left when its turn comes
    FIXED = "fixed"  # an amount, after all percentages

    @classmethod
    @override
    def _missing_(cls, value: object) -> "DiscountType | None":
        return cls.FIXED if value == "fixed_amount" else None  # as one of the documents spells it


class CouponScope(StrEnum):
    """What a coupon is for."""

    ALL = "all"
    SPECIFIC = "specific"  # the products it lists


class CouponPlace(StrEnum):
    """Where in a purchase a coupon takes its part."""

    CATALOG = "catalog"  # off each line of a listed product; a price list may show it
    CHECKOUT = "checkout"  # off what the lines come to after that


class CouponPayment(StrEnum):
    """The ways to pay a coupon can ask for."""

    STRIPE = "stripe"  # by card
    X402 = "x402"  # from a wallet
    MANUAL = "manual"  # whatever staff verify


class CouponRefusal(StrEnum):
    """Why a coupon that exists does not apply to this purchase."""

    NOT_STARTED = "not_started"
    EXPIRED = "expired"
    CURRENCY = "currency"  # its amounts are in another one
    USER = "user"  # it is for listed accounts, and the buyer is none of them
    PAYMENT_METHOD = "payment_method"  # it is for another way to pay, or none was chosen yet
    PRODUCTS = "products"  # nothing of what it is for is bought
    MINIMUM = "minimum"  # the purchase is too small
    FIRST_ORDER = "first_order"  # the buyer ordered before
    USED_BEFORE = "used_before"  # this buyer has had all the uses one buyer gets


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """What takes something off a price."""

    id: CouponId
    code: str  # upper case; typed in any
    name: str
    discount_type: DiscountType
    percentage: Decimal | None  # more than 0, 100 at most
    amount: Money | None  # of a fixed one
    currency: str | None  # of its amounts; where it is set, the coupon is for purchases in it
    scope: CouponScope
    product_ids: list[ProductId] | None  # None: all
    user_ids: list[UserId] | None  # None: everybody
    payment_method: CouponPayment | None  # None: however it is paid
    auto_apply: bool  # without being typed
    applies_at: CouponPlace
    minimum_order_amount: Money | None  # of the lines before any discount; itself enough
    maximum_discount_amount: Money | None  # this coupon takes no more, from one order
    usage_limit: int | None  # None: no limit
    usage_count: int
    usage_limit_per_user: int | None  # a guest is known by the e-mail
    first_order_only: bool
    position: int  # among those that apply by themselves: the lowest first
    starts_at: datetime
    expires_at: datetime | None  # from this instant on it does not apply
    is_active: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @property
    def used_up(self) -> bool:
        """Whether nobody can use it any more. Only the count under the row's lock decides."""
        return self.usage_limit is not None and self.usage_count >= self.usage_limit

    def covers(self, product_id: UUID) -> bool:
        """Whether it is for this product."""
        return self.product_ids is None or product_id in self.product_ids


class AutomaticCoupons(msgspec.Struct, frozen=True, kw_only=True):
    """What applies without being typed, by product; in the order in which it takes its part."""

    by_product: dict[ProductId, list[Coupon]]  # of the products that a coupon lists
    everywhere: list[Coupon]  # for all the others

    def of(self, product_id: ProductId) -> list[Coupon]:
        """What applies to one product."""
        return self.by_product.get(product_id, self.everywhere)


class UsesBefore(msgspec.Struct, frozen=True):
    """How often one buyer had a coupon."""

    coupon_id: CouponId
    uses: int


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a coupon."""

    id: UUID
    coupon_id: CouponId
    code: str
    order_id: OrderId
    order_number: str
    user_id: UserId | None
    customer_email: str
    amount: Money  # what it took off the order
    created_at: datetime
    released_at: datetime | None  # when the use was given back


class OrderDiscount(msgspec.Struct, frozen=True, kw_only=True):
    """What one coupon took off one order."""

    code: str
    applies_at: CouponPlace
    auto_apply: bool
    amount: Money


def normal_code(text: str) -> str:
    """A code as it is stored, from the code as somebody typed it. Letters that no code has stay as they are."""
    code = text.strip()
    return code.upper() if code.isascii() else code


def ways_of(*, method_type: str, is_manual: bool) -> frozenset[CouponPayment]:
    """What a payment method counts as; a card that staff verify counts twice."""
    ways = {CouponPayment.MANUAL} if is_manual else set[CouponPayment]()
    if method_type in ("card", "stripe"):
        ways.add(CouponPayment.STRIPE)
    elif method_type == "wallet":
        ways.add(CouponPayment.X402)
    return frozenset(ways)
