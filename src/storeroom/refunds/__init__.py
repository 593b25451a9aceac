"""Refunds: money that goes back."""

from storeroom.refunds.errors import (
    CreditNeedsAccount,
    InvalidRefund,
    PaymentNotRefundable,
    RefundExceedsLine,
    RefundExceedsPayment,
    RefundLineNotFound,
    RefundMoveRefused,
    RefundNotFound,
)
from storeroom.refunds.model import (
    REFUND_MOVES,
    ItemToRefund,
    Refund,
    RefundedPayment,
    RefundItem,
    RefundMethod,
    RefundStatus,
)
from storeroom.refunds.service import Refunds

__all__ = [
    "REFUND_MOVES",
    "CreditNeedsAccount",
    "InvalidRefund",
    "ItemToRefund",
    "PaymentNotRefundable",
    "Refund",
    "RefundExceedsLine",
    "RefundExceedsPayment",
    "RefundItem",
    "RefundLineNotFound",
    "RefundMethod",
    "RefundMoveRefused",
    "RefundNotFound",
    "RefundStatus",
    "RefundedPayment",
    "Refunds",
]
