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
    AutomaticCoupons,
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
from storeroom.promotions.service import CouponChanges, Coupons

__all__ = [
    "CODE_LENGTH_MAX",
    "COUPONS_MAX",
    "AutomaticCoupons",
    "Buying",
    "Coupon",
    "CouponChanges",
    "CouponExists",
    "CouponNotApplicable",
    "CouponNotFound",
    "CouponPayment",
    "CouponPlace",
    "CouponRefusal",
    "CouponScope",
    "CouponUsedUp",
    "Coupons",
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
