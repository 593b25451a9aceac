"""What stock refuses."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound
from storeroom.inventory.model import HOLD_MAX, HOLD_MIN, QUANTITY_MAX, REASON_LENGTH_MAX, UNITS_MAX


class ReservationNotFound(NotFound):
    """The shop has no such reservation."""

    code = "inventory.reservation_not_found"

    def __init__(self, *, reservation_id: UUID) -> None:
        super().__init__(f"no reservation {reservation_id}")
        self.reservation_id = reservation_id


class ReservedCartNotFound(NotFound):
    """There is no such cart to hold units for."""

    code = "inventory.cart_not_found"

    def __init__(self, *, cart_id: UUID) -> None:
        super().__init__(f"no cart {cart_id}")
        self.cart_id = cart_id


class ReservedCartEnded(Conflict):
    """The cart was merged, converted, abandoned or has expired: it holds no units any more."""

    code = "inventory.cart_ended"

    def __init__(self, *, cart_id: UUID, status: str) -> None:
        super().__init__(f"the cart {cart_id} is {status}")
        self.cart_id, self.status = cart_id, status


class ReservationEnded(Conflict):
    """The reservation was given back or turned into an order before; nothing was changed."""

    code = "inventory.reservation_ended"

    def __init__(self, *, reservation_id: UUID, status: str) -> None:
        super().__init__(f"the reservation {reservation_id} is {status}")
        self.reservation_id, self.status = reservation_id, status


class InsufficientStock(Conflict):
    """Fewer units may be promised than the call asked for; `available` is how many may."""

    code, transient = "inventory.insufficient_stock", True

    def __init__(self, *, variant_id: UUID, sku: str | None, requested: int, available: int) -> None:
        super().__init__(f"{requested} of {sku or variant_id} requested, {available} available")
        self.variant_id, self.sku, self.requested, self.available = variant_id, sku, requested, available


class StockOutOfRange(Conflict):
    """After this change there would be fewer than no units on the shelf, or absurdly many."""

    code = "inventory.stock_out_of_range"

    def __init__(self, *, sku: str | None, on_hand: int, by: int) -> None:
        super().__init__(f"{on_hand} on hand, a change by {by:+d} leaves the range 0 to {UNITS_MAX}")
        self.sku, self.on_hand, self.by = sku, on_hand, by


class InvalidQuantity(Invalid):
    """Not a number of units."""

    code = "inventory.invalid_quantity"

    def __init__(self, *, quantity: int, least: int = 1, most: int = QUANTITY_MAX, field: str = "quantity") -> None:
        super().__init__(f"{least} to {most} units, not {quantity}", field=field)
        self.quantity, self.least, self.most = quantity, least, most


class InvalidHold(Invalid):
    """Units are not held for so long, or so short."""

    code = "inventory.invalid_hold"

    def __init__(self, *, field: str = "hold_for") -> None:
        super().__init__(f"units are held for {HOLD_MIN} to {HOLD_MAX}", field=field)


class ReasonRequired(Invalid):
    """A change of stock by hand says why."""

    code = "inventory.reason_required"

    def __init__(self, *, field: str = "reason") -> None:
        super().__init__(f"say why, in 1 to {REASON_LENGTH_MAX} characters", field=field)


class InvalidPolicy(Invalid):
    """These two settings do not go together."""

    code = "inventory.invalid_policy"

    def __init__(self, *, reason: str, field: str = "backorder_limit") -> None:
        super().__init__(reason, field=field)
        self.reason = reason
