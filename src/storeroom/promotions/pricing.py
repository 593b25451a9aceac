"""What coupons take off a purchase: arithmetic on smallest units, without I/O and without a clock.

First the catalogue coupons, each line of a listed product for itself; then the checkout coupons, on what the lines come
to. In each place the percentages go first, one after the other on what is left, which is rounded half up to the unit
each time; then the fixed amounts, down to nothing at most. What the checkout coupons took is spread over the lines by
what is left of each. `place_orders_v2` does the same sums in the database, and a test holds the two together.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from storeroom.core.ids import CouponId
from storeroom.core.money import Money
from storeroom.promotions.model import (
    PERCENTAGE_DECIMALS,
    Coupon,
    CouponPayment,
    CouponPlace,
    CouponRefusal,
    DiscountType,
)

_WHOLE: Final = 100 * 10**PERCENTAGE_DECIMALS  # a hundred percent


class Line(msgspec.Struct, frozen=True):
    """One line of a purchase, as far as a coupon looks at it."""

    product_id: UUID
    amount: int  # unit price times quantity, before any discount


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What one coupon took; never nothing."""

    coupon_id: CouponId
    code: str
    applies_at: CouponPlace
    auto_apply: bool
    amount: int


class Discounting(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase after its coupons."""

    currency: str
    subtotal: int  # of the lines before any discount
    discount: int  # the sum of `lines` and the sum of `taken`
    lines: list[int]  # the discount of each line
    taken: list[Taken]  # in the order in which they took

    @property
    def total(self) -> int:
        """What is left to pay for the lines."""
        return self.subtotal - self.discount


class Buying(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a coupon applies, beside the coupon."""

    at: datetime
    currency: str
    subtotal: int
    product_ids: frozenset[UUID]
    user_id: UUID | None = None
    ways: frozenset[CouponPayment] = frozenset()  # what the chosen method counts as; empty while none is chosen
    orders_before: int = 0  # of this buyer, cancelled ones left out
    uses_before: int = 0  # of this coupon by this buyer, those given back left out


def refusal(coupon: Coupon, buying: Buying) -> CouponRefusal | None:
    """Why an active coupon does not apply, or None; the first reason of the enum's order.

    Whether it is used up is not asked: that is counted under the lock of its row.
    """
    if buying.at < coupon.starts_at:
        return CouponRefusal.NOT_STARTED
    if coupon.expires_at is not None and buying.at >= coupon.expires_at:
        return CouponRefusal.EXPIRED
    if coupon.currency is not None and coupon.currency != buying.currency:
        return CouponRefusal.CURRENCY
    if coupon.user_ids is not None and buying.user_id not in coupon.user_ids:
        return CouponRefusal.USER
    if coupon.payment_method is not None and coupon.payment_method not in buying.ways:
        return CouponRefusal.PAYMENT_METHOD
    if coupon.product_ids is not None and buying.product_ids.isdisjoint(coupon.product_ids):
        return CouponRefusal.PRODUCTS
    if coupon.minimum_order_amount is not None and buying.subtotal < coupon.minimum_order_amount.amount:
        return CouponRefusal.MINIMUM
    if coupon.first_order_only and buying.orders_before:
        return CouponRefusal.FIRST_ORDER
    if coupon.usage_limit_per_user is not None and buying.uses_before >= coupon.usage_limit_per_user:
        return CouponRefusal.USED_BEFORE
    return None


def stacked(automatic: Iterable[Coupon], typed: Iterable[Coupon]) -> list[Coupon]:
    """The order in which coupons take: those that apply by themselves by position and code, then the typed as typed.

    A code counts once, at its first place.
    """
    first = sorted(automatic, key=lambda coupon: (coupon.position, coupon.code))
    by_code: dict[str, Coupon] = {}
    for coupon in (*first, *typed):
        by_code.setdefault(coupon.code, coupon)
    return list(by_code.values())


def discounted(*, lines: Sequence[Line], coupons: Sequence[Coupon], currency: str, at: datetime) -> Discounting:
    """Take the coupons off the lines, in the order of `stacked`.

    One that is not active, used up, outside its window, in another currency or below its minimum takes nothing, and
    what takes nothing is not used. The conditions on buyer and payment are the caller's: `refusal`.

    Args:
        lines: amounts are not negative.
        coupons: each once.
        currency: of the lines.
        at: the instant of the purchase.
    """
    left = [line.amount for line in lines]
    subtotal = sum(left)
    applying = [coupon for coupon in coupons if _applies(coupon, subtotal, currency, at)]
    taken: list[Taken] = []

    for coupon in _in_turn(applying, CouponPlace.CATALOG):
        parts = [
            _part(coupon, amount) if coupon.covers(line.product_id) else 0
            for line, amount in zip(lines, left, strict=True)
        ]
        most = coupon.maximum_discount_amount
        if most is not None and sum(parts) > most.amount:
            parts = _shares(most.amount, parts)
        left = [amount - part for amount, part in zip(left, parts, strict=True)]
        taken += _took(coupon, sum(parts))

    after_catalog = whole = sum(left)
    for coupon in _in_turn(applying, CouponPlace.CHECKOUT):
        part = _part(coupon, whole)
        if coupon.maximum_discount_amount is not None:
            part = min(part, coupon.maximum_discount_amount.amount)
        whole -= part
        taken += _took(coupon, part)
    if whole < after_catalog:
        left = [amount - share for amount, share in zip(left, _shares(after_catalog - whole, left), strict=True)]

    return Discounting(
        currency=currency,
        subtotal=subtotal,
        discount=subtotal - whole,
        lines=[line.amount - amount for line, amount in zip(lines, left, strict=True)],
        taken=taken,
    )


def less(amount: int, percentage: Decimal) -> int:
    """What is left of an amount after a percentage, rounded half up to the unit: 33.3 percent leave 667 of 1000."""
    kept = amount * (_WHOLE - int(percentage.scaleb(PERCENTAGE_DECIMALS)))
    return (2 * kept + _WHOLE) // (2 * _WHOLE)


def _applies(coupon: Coupon, subtotal: int, currency: str, at: datetime) -> bool:
    return (
        coupon.is_active
        and not coupon.used_up
        and coupon.starts_at <= at
        and (coupon.expires_at is None or at < coupon.expires_at)
        and coupon.currency in (None, currency)
        and (coupon.minimum_order_amount is None or subtotal >= coupon.minimum_order_amount.amount)
    )


def _in_turn(coupons: Iterable[Coupon], place: CouponPlace) -> list[Coupon]:
    """The coupons of one place, percentages first; sorting is stable."""
    here = [coupon for coupon in coupons if coupon.applies_at is place]
    return sorted(here, key=lambda coupon: coupon.discount_type is DiscountType.FIXED)


def _part(coupon: Coupon, amount: int) -> int:
    if coupon.percentage is not None:
        return amount - less(amount, coupon.percentage)
    return 0 if coupon.amount is None else min(amount, coupon.amount.amount)


def _shares(amount: int, weights: Sequence[int]) -> list[int]:
    return [share.amount for share in Money(amount, "UNITS").allocate(weights)]


def _took(coupon: Coupon, amount: int) -> list[Taken]:
    if not amount:
        return []
    place, auto = coupon.applies_at, coupon.auto_apply
    return [Taken(coupon_id=coupon.id, code=coupon.code, applies_at=place, auto_apply=auto, amount=amount)]
