"""Coupons: what takes something off a price, and what it comes to: the face of the slice."""

from storeroom.promotions.errors import (
    CouponExists,
    CouponNotApplicable,
    CouponNotFound,
    CouponUsedUp,
    InvalidCoupon,
)
from storeroom.promotions.model import (
    CODE_LENGTH_MAX,
    COUPONS_MAX,
    Coupon,
    CouponPayment,
    CouponPlace,
    CouponRefusal,
    CouponScope,
    DiscountType,
    OrderDiscount,
    Redemption,
    normal_code,
    ways_of,
)
from storeroom.promotions.pricing import Buying, Discounting, Line, Taken, discounted, refusal, stacked

__all__ = [
    "CODE_LENGTH_MAX",
    "COUPONS_MAX",
    "Buying",
    "Coupon",
    "CouponExists",
    "CouponNotApplicable",
    "CouponNotFound",
    "CouponPayment",
    "CouponPlace",
    "CouponRefusal",
    "CouponScope",
    "CouponUsedUp",
    "DiscountType",
    "Discounting",
    "InvalidCoupon",
    "Line",
    "OrderDiscount",
    "Redemption",
    "Taken",
    "discounted",
    "normal_code",
    "refusal",
    "stacked",
    "ways_of",
]
