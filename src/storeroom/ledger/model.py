"""What the ledger says of an order, and of a shop in one currency."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, UserId
from storeroom.core.money import Money
from storeroom.orders import OrderStatus

ENTRIES_MAX: Final = 2_000  # of one order
CURRENCIES_MAX: Final = 100  # of one shop


class EntryKind(StrEnum):
    """What moved money."""

    PAYMENT = "payment"
    REFUND = "refund"


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moved."""

    kind: EntryKind
    id: UUID  # of the payment or the refund
    reference: str
    amount: Money  # below zero where it went back
    at: datetime


class OrderLedger(msgspec.Struct, frozen=True, kw_only=True):
    """The money of one order."""

    order_id: OrderId
    order_number: str
    user_id: UserId | None
    status: OrderStatus
    total: Money
    came_in: Money
    went_back: Money
    kept: Money  # what came in less what went back
    promised: Money  # refunds that are pending
    due: Money  # still asked for; nothing where the order ended
    due_back: Money  # the buyer's again: paid beyond the total, or for an order that was cancelled


class ShopLedger(msgspec.Struct, frozen=True, kw_only=True):
    """The money of all orders of a shop in one currency."""

    currency: str
    orders: int
    total: Money
    came_in: Money
    went_back: Money
    kept: Money
    promised: Money
    due: Money
    due_back: Money
