"""Store credit: a balance of an account, and every change of it."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, PaymentId, RefundId, UserId
from storeroom.core.money import Money
from storeroom.database.service import ActorKind
from storeroom.payments import STORE_CREDIT_CODE

__all__ = ["CREDIT_METHOD", "ActorKind", "CreditEntry", "CreditReason", "CreditStatement"]

CREDIT_METHOD: Final = STORE_CREDIT_CODE  # by which it is spent: a row of payment_methods, made with the first grant
NOTE_LENGTH_MAX: Final = 500


class CreditReason(StrEnum):
    """Why a balance changed."""

    GRANTED = "granted"  # by staff
    REFUNDED = "refunded"  # money that came some other way went back as credit
    SPENT = "spent"  # at checkout
    GIVEN_BACK = "given_back"  # what an order was paid with, when the order was cancelled or refunded
    WITHDRAWN = "withdrawn"  # by staff


class CreditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a balance. The sum of all is the balance."""

    id: UUID
    amount: Money  # below zero where it was taken
    reason: CreditReason
    order_id: OrderId | None
    payment_id: PaymentId | None
    refund_id: RefundId | None
    actor_kind: ActorKind
    actor_id: UserId | None
    note: str | None  # of staff, for staff
    created_at: datetime


class CreditStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A balance with a page of what led to it, newest first."""

    balance: Money
    items: list[CreditEntry]
    next_cursor: str | None
