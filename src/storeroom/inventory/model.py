"""Stock of variants, the reservations that hold units of it for a time, and the movements that explain it."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storeroom.catalog import StockPolicy, units_available
from storeroom.core.ids import CartId, OrderId, ProductId, ReservationId, UserId, VariantId
from storeroom.core.states import Moves, declare_moves

QUANTITY_MAX: Final = 10_000  # units in one reservation or one line
UNITS_MAX: Final = 1_000_000_000  # of one variant on the shelf
REASON_LENGTH_MAX: Final = 500
HOLD_MIN: Final = timedelta(minutes=1)
HOLD_MAX: Final = timedelta(hours=24)


class ReservationStatus(StrEnum):
    """Where held units are."""

    ACTIVE = "active"  # set aside while a buyer decides; free for the next who asks once `expires_at` has come
    RELEASED = "released"  # given back: by hand, with a cart that ended, or because the time was up
    CONVERTED = "converted"  # an order owns the units; they stay in `reserved` until it ships or is cancelled


RESERVATION_MOVES: Final[Moves[ReservationStatus]] = declare_moves(
    ReservationStatus,
    {ReservationStatus.ACTIVE: [ReservationStatus.RELEASED, ReservationStatus.CONVERTED]},
)


class MovementKind(StrEnum):
    """Why the number on the shelf changed."""

    INITIAL = "initial"  # the first count of a new variant
    ADJUSTMENT = "adjustment"  # found, broken, given away; always with a reason
    COUNT = "count"  # somebody counted, and that is how many there are
    IMPORT = "import"  # a file or another system said so
    SHIPMENT = "shipment"
    RETURN = "return"


class StockLevel(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one variant there is, and how it is sold."""

    variant_id: VariantId
    product_id: ProductId
    sku: str | None
    stock_policy: StockPolicy
    backorder_limit: int | None  # units below zero; None: no bound. Counts for policy backorder only
    low_stock_threshold: int
    on_hand: int
    reserved: int  # units of active reservations and of placed orders not yet shipped
    available: int  # on hand less reserved; negative where more was promised than is there


class LockedLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A stock row under lock, with what decides whether units may be taken from it."""

    variant_id: VariantId
    sku: str | None
    stock_policy: StockPolicy
    backorder_limit: int | None
    on_hand: int
    reserved: int

    def promisable(self, own: int = 0) -> int | None:
        """Units that may still be promised, at least 0; None where there is no bound.

        Args:
            own: units in `reserved` that whoever asks holds already.
        """
        return units_available(self.stock_policy, self.on_hand, self.reserved - own, self.backorder_limit)


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one variant, set aside until a known instant. Only its status and its order ever change."""

    id: ReservationId
    variant_id: VariantId
    cart_id: CartId | None
    quantity: int
    status: ReservationStatus
    expires_at: datetime  # from this instant on the units are free again
    order_id: OrderId | None
    created_at: datetime


class Held(msgspec.Struct, frozen=True):
    """An active reservation, as far as giving it back needs."""

    id: ReservationId
    variant_id: VariantId
    quantity: int


class Demand(msgspec.Struct, frozen=True):
    """Units of one tracked variant in all lines of a cart."""

    variant_id: VariantId
    quantity: int


class StockMovement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what is on the shelf; the movements of a variant sum to its `on_hand`."""

    id: UUID
    variant_id: VariantId
    kind: MovementKind
    quantity: int  # signed: units added
    on_hand_after: int
    reason: str | None
    order_id: OrderId | None
    actor_kind: str
    actor_id: UserId | None
    created_at: datetime
