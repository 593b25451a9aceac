"""What coupons refuse. The coupon's code is the fact `coupon`: `code` is the error's own."""

from storeroom.core.errors import Conflict, Invalid, NotFound
from storeroom.promotions.model import CouponRefusal


class CouponNotFound(NotFound):
    """No coupon has this code, or it is not active."""

    code = "promotions.coupon_not_found"

    def __init__(self, *, coupon: str) -> None:
        super().__init__(f"no coupon {coupon[:60]!r}")
        self.coupon = coupon[:60]


class CouponExists(Conflict):
    """Another coupon has the code, perhaps one that is no longer active."""

    code = "promotions.coupon_exists"

    def __init__(self, *, coupon: str) -> None:
        super().__init__(f"there is a coupon {coupon!r}")
        self.coupon = coupon


class CouponUsedUp(Conflict):
    """The coupon was used as often as it may be."""

    code = "promotions.coupon_used_up"

    def __init__(self, *, coupon: str) -> None:
        super().__init__(f"the coupon {coupon!r} is used up")
        self.coupon = coupon


class CouponNotApplicable(Conflict):
    """The coupon exists and is not for this purchase; `reason` says why."""

    code = "promotions.coupon_not_applicable"

    def __init__(self, *, coupon: str, reason: CouponRefusal) -> None:
        super().__init__(f"the coupon {coupon!r} does not apply here: {reason.value}")
        self.coupon, self.reason = coupon, reason


class InvalidCoupon(Invalid):
    """The coupon cannot be right."""

    code = "promotions.invalid_coupon"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
