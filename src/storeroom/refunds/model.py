"""Refunds: money that goes back of one payment, and the units it is for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from storeroom.core.ids import DisputeId, OrderId, OrderLineId, PaymentId, RefundId, UserId, human_code
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves
from storeroom.payments import PaymentMethodType, PaymentStatus

REASON_LENGTH_MAX: Final = 100
REASON_DETAILS_LENGTH_MAX: Final = 2_000
DETAILS_BYTES_MAX: Final = 10_240
REFUND_ITEMS_MAX: Final = 500  # lines of one refund
REFUNDS_LISTED_MAX: Final = 1_000  # of one order
REFERENCES_DRAWN_MAX: Final = 5  # a reference that exists already is drawn again
REFERENCE_CODE_LENGTH: Final = 10


QUOTE_LIFETIME: Final = timedelta(minutes=15)
QUOTE_LIFETIME_MAX: Final = timedelta(days=30)
QUOTE_KEPT: Final = timedelta(days=1)  # so long an expired one can still be looked at
QUOTES_BATCH_MAX: Final = 100
QUOTE_ID_LENGTH_MAX: Final = 255
WALLET_LENGTH_MAX: Final = 128
TOKEN_LENGTH_MAX: Final = 50
SIGNATURE_LENGTH_MAX: Final = 255
METADATA_BYTES_MAX: Final = 10_240
PROVIDER_LENGTH_MAX: Final = 50
PROVIDER_DISPUTE_LENGTH_MAX: Final = 255
DISPUTE_REASON_LENGTH_MAX: Final = 255
DISPUTES_LISTED_MAX: Final = 100  # of one payment


class RefundStatus(StrEnum):
    """Where a refund stands. Only a completed one changes a sum."""

    PENDING = "pending"  # promised
    COMPLETED = "completed"  # the money is with the customer again
    FAILED = "failed"  # it will not go back this way; another refund may be asked for


S = RefundStatus
REFUND_MOVES: Final[Moves[RefundStatus]] = declare_moves(RefundStatus, {S.PENDING: {S.COMPLETED, S.FAILED}})


class RefundMethod(StrEnum):
    """How the money goes back."""

    ORIGINAL_METHOD = "original_method"
    STORE_CREDIT = "store_credit"
    CHECK = "check"
    BANK_TRANSFER = "bank_transfer"
    OTHER = "other"
    CHARGEBACK = "chargeback"  # taken by the bank: a lost dispute, and nothing that staff choose


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one payment that goes back, or went."""

    id: RefundId
    reference: str  # `REF-7KQP2-MXW4D`
    payment_id: PaymentId
    order_id: OrderId
    amount: Money
    status: RefundStatus
    reason: str
    reason_details: str | None
    requested_by: UserId | None
    processed_by: UserId | None  # who completed it, or said that it failed; None while pending, and for the system
    processed_at: datetime | None
    refund_method: RefundMethod | None  # known once completed
    refund_details: dict[str, Any]  # the number of the check, the account of the transfer
    failure_reason: str | None
    erp_refund_id: str | None
    erp_synced_at: datetime | None
    created_at: datetime
    updated_at: datetime


class RefundItem(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one line that a refund is for."""

    order_item_id: OrderLineId
    quantity: int
    restock: bool


class ItemToRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of one line, as they are asked for."""

    order_item_id: OrderLineId
    quantity: int
    restock: bool = False  # shipped units come back to the shelf, unshipped ones are set free


class RefundedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund must know of its payment."""

    id: PaymentId
    reference: str
    order_id: OrderId
    user_id: UserId | None  # as on the order
    status: PaymentStatus
    method_type: PaymentMethodType
    received_amount: Money | None
    refunded_amount: Money
    promised_amount: Money  # of pending refunds

    @property
    def left(self) -> Money:
        """What neither went back nor is promised."""
        came = self.received_amount or Money(0, self.refunded_amount.currency)
        return came - self.refunded_amount - self.promised_amount


class LineToRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that may still be refunded."""

    id: OrderLineId
    left: int


class RefundQuoteStatus(StrEnum):
    """What was decided."""

    PENDING = "pending"
    APPROVED = "approved"  # somebody will send it
    DENIED = "denied"
    PROCESSED = "processed"  # it was sent, once


Q = RefundQuoteStatus
REFUND_QUOTE_MOVES: Final[Moves[RefundQuoteStatus]] = declare_moves(
    RefundQuoteStatus, {Q.PENDING: {Q.APPROVED, Q.DENIED, Q.PROCESSED}, Q.APPROVED: {Q.PROCESSED}}
)


class RefundQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A refund of a purchase that was made in another system: so much, in a token, to a wallet."""

    id: str
    original_purchase_id: str  # the signature of the payment, where it was one
    recipient_wallet: str
    amount: Money  # of the smallest unit of its asset
    token: str
    token_mint: str | None
    token_decimals: int
    status: RefundQuoteStatus
    expired: bool  # pending, and its time is over
    processed_by: str | None
    processed_at: datetime | None
    signature: str | None  # of the transaction that sent it
    reason: str | None
    metadata: dict[str, Any]
    created_at: datetime
    expires_at: datetime


class RefundQuoteDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refund quote as it is asked for."""

    id: str
    original_purchase_id: str
    recipient_wallet: str
    amount: Money
    token: str | None = None  # None: the asset
    token_mint: str | None = None
    token_decimals: int | None = None  # None: those of the asset
    reason: str | None = None
    metadata: dict[str, Any] = {}
    expires_in: timedelta = QUOTE_LIFETIME


class OriginalPurchase(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid, where we know it."""

    amount: Money
    payment_ids: list[PaymentId]  # that hold it; none: it belongs to no order


class DisputeStatus(StrEnum):
    """How a dispute stands."""

    OPEN = "open"
    WON = "won"  # the money stays
    LOST = "lost"  # the money is gone


D = DisputeStatus
DISPUTE_MOVES: Final[Moves[DisputeStatus]] = declare_moves(DisputeStatus, {D.OPEN: {D.WON, D.LOST}})


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer told their bank of a payment."""

    id: DisputeId
    provider: str
    provider_dispute_id: str
    payment_id: PaymentId
    amount: Money
    reason: str
    status: DisputeStatus
    refund_id: RefundId | None  # by which a lost one took what was left of the payment
    opened_at: datetime
    closed_at: datetime | None
    created_at: datetime
    updated_at: datetime


def new_reference() -> str:
    """A reference for a refund: readable, unguessable in sequence, at most 30 characters."""
    return f"REF-{human_code(REFERENCE_CODE_LENGTH, REFERENCE_CODE_LENGTH // 2)}"


def details_fit(details: Mapping[str, Any]) -> bool:
    """Whether the details are JSON that a row may keep."""
    try:
        encoded = msgspec.json.encode(dict(details))
    except TypeError:
        return False
    return len(encoded) <= DETAILS_BYTES_MAX and rb"\u0000" not in encoded
