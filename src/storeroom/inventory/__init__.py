"""Stock: how much there is, who holds some of it, and why it changed."""

from storeroom.inventory.errors import (
    InsufficientStock,
    InvalidHold,
    InvalidPolicy,
    InvalidQuantity,
    ReasonRequired,
    ReservationEnded,
    ReservationNotFound,
    ReservedCartEnded,
    ReservedCartNotFound,
    StockOutOfRange,
)
from storeroom.inventory.model import (
    HOLD_MAX,
    HOLD_MIN,
    QUANTITY_MAX,
    RESERVATION_MOVES,
    UNITS_MAX,
    MovementKind,
    Reservation,
    ReservationStatus,
    StockLevel,
    StockMovement,
)
from storeroom.inventory.service import Inventory, release_carts

__all__ = [
    "HOLD_MAX",
    "HOLD_MIN",
    "QUANTITY_MAX",
    "RESERVATION_MOVES",
    "UNITS_MAX",
    "InsufficientStock",
    "InvalidHold",
    "InvalidPolicy",
    "InvalidQuantity",
    "Inventory",
    "MovementKind",
    "ReasonRequired",
    "Reservation",
    "ReservationEnded",
    "ReservationNotFound",
    "ReservationStatus",
    "ReservedCartEnded",
    "ReservedCartNotFound",
    "StockLevel",
    "StockMovement",
    "StockOutOfRange",
    "release_carts",
]
