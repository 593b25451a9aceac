"""Payments: money that was asked for, or arrived; how it may be paid; and every attempt at it."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, PaymentId, PaymentMethodId, SessionId, UserId, human_code
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves, sources
from storeroom.orders import OrderStatus

REFERENCE_CODE_LENGTH: Final = 10
REFERENCES_DRAWN_MAX: Final = 5  # a reference that exists already is drawn again
METHODS_MAX: Final = 100  # of one tenant
METHOD_NAME_LENGTH_MAX: Final = 100
INSTRUCTIONS_LENGTH_MAX: Final = 10_000
DETAILS_BYTES_MAX: Final = 10_240
ICON_URL_LENGTH_MAX: Final = 2_000
WINDOW_HOURS_DEFAULT: Final = 48
WINDOW_HOURS_MAX: Final = 8_760  # a year
OPEN_PAYMENTS_MAX: Final = 20  # of one order, waiting for money or for staff
PAYMENTS_LISTED_MAX: Final = 1_000  # of one order
ATTEMPTS_MAX: Final = 100  # of one payment; staff may always judge, customers may not try for ever
CUSTOMER_REFERENCE_LENGTH_MAX: Final = 100
NOTES_LENGTH_MAX: Final = 2_000
STORE_CREDIT_CODE: Final = "store-credit"
PROOF_BYTES_MAX: Final = 10 * 1024 * 1024


class PaymentStatus(StrEnum):
    """Where a payment stands. It follows the money; the order's status follows the business."""

    PENDING = "pending"  # asked for; nobody says that it was paid
    AWAITING_VERIFICATION = "awaiting_verification"  # the customer says so; staff look whether the money is there
    PROCESSING = "processing"  # a provider is at it
    COMPLETED = "completed"  # the money arrived
    FAILED = "failed"  # rejected; a better proof may follow
    CANCELLED = "cancelled"  # withdrawn before any money came
    REFUNDED = "refunded"  # all of it was given back
    PARTIALLY_REFUNDED = "partially_refunded"
    EXPIRED = "expired"  # the window passed; another payment may be started


class PaymentMethodType(StrEnum):
    """What a customer pays with."""

    ZELLE = "zelle"
    CASHAPP = "cashapp"
    VENMO = "venmo"
    WIRE_TRANSFER = "wire_transfer"
    CHECK = "check"
    CRYPTO = "crypto"
    ERP_PROPELLO = "erp_propello"
    MANUAL_OTHER = "manual_other"
    CARD = "card"
    WALLET = "wallet"
    COD = "cod"  # cash on delivery: unpaid until staff record that the courier brought the money
    PAYHERE = "payhere"
    SSLCOMMERZ = "sslcommerz"
    AMARPAY = "amarpay"
    MPGS = "mpgs"
    STRIPE = "stripe"
    STORE_CREDIT = "store_credit"  # what the shop owes the account


class AttemptStatus(StrEnum):
    """How far an attempt came."""

    INITIATED = "initiated"  # a file is on its way to the store
    SUBMITTED = "submitted"
    VERIFIED = "verified"
    FAILED = "failed"


class AttemptAction(StrEnum):
    """What was attempted."""

    CUSTOMER_SUBMIT = "customer_submit"
    ADMIN_VERIFY = "admin_verify"
    ADMIN_REJECT = "admin_reject"
    AUTO_EXPIRE = "auto_expire"


class AttemptActor(StrEnum):
    """Who attempted it."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    SYSTEM = "system"


S = PaymentStatus
PAYMENT_MOVES: Final[Moves[S]] = declare_moves(
    PaymentStatus,
    {
        S.PENDING: {S.AWAITING_VERIFICATION, S.PROCESSING, S.COMPLETED, S.FAILED, S.CANCELLED, S.EXPIRED},
        S.AWAITING_VERIFICATION: {S.COMPLETED, S.FAILED, S.CANCELLED},
        S.PROCESSING: {S.COMPLETED, S.FAILED},
        S.FAILED: {S.AWAITING_VERIFICATION},
        S.COMPLETED: {S.PARTIALLY_REFUNDED, S.REFUNDED},
        S.PARTIALLY_REFUNDED: {S.REFUNDED},
    },
)

# Two ways lead to `completed`: staff judge what no provider is busy with, a provider what no customer claimed by hand.
VERIFIABLE: Final = [state for state in sources(PAYMENT_MOVES, S.COMPLETED) if state is not S.PROCESSING]
COMPLETABLE: Final = [state for state in sources(PAYMENT_MOVES, S.COMPLETED) if state is not S.AWAITING_VERIFICATION]

# What the details of a method must say, so that a customer can pay at all: of each group at least one.
DETAILS_REQUIRED: Final[Mapping[PaymentMethodType, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        PaymentMethodType.ZELLE: (("recipient_name",), ("email", "phone")),
        PaymentMethodType.CASHAPP: (("cashtag",),),
        PaymentMethodType.VENMO: (("handle",),),
        PaymentMethodType.WIRE_TRANSFER: (("bank_name",), ("account_number", "iban")),
        PaymentMethodType.CHECK: (("payable_to",),),
        PaymentMethodType.CRYPTO: (("address",), ("token",)),
    }
)


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to pay, as staff configured it and customers see it."""

    id: PaymentMethodId
    code: str  # what a checkout names
    method_type: PaymentMethodType
    name: str
    is_active: bool
    is_manual: bool  # staff verify each payment; otherwise a provider's word completes it
    instructions: str
    payment_details: dict[str, Any]  # where to send the money; meant to be read
    min_amount: Money  # of one payment, both bounds included
    max_amount: Money | None
    confirmation_window_hours: int  # from start to expiry
    sort_order: int
    icon_url: str | None
    gateway_id: str | None  # the provider behind it: while that is inactive, this is not offered
    created_at: datetime
    updated_at: datetime

    def takes(self, amount: Money) -> bool:
        """Whether a payment of this amount may be started."""
        return (
            self.is_active
            and amount.currency == self.min_amount.currency
            and amount >= self.min_amount
            and (self.max_amount is None or amount <= self.max_amount)
        )


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Money for one order: asked for, claimed, arrived."""

    id: PaymentId
    reference: str  # `PAY-7KQP2-MXW4D`: what customer and staff call it
    order_id: OrderId
    user_id: UserId | None  # as on the order
    payment_method_id: PaymentMethodId
    amount: Money  # what was asked
    received_amount: Money | None  # what arrived; may be more or less
    refunded_amount: Money
    status: PaymentStatus
    customer_reference: str | None  # the customer's transaction id
    proof_content_type: str | None  # set where there is a file
    customer_notes: str | None
    verified_by: UserId | None
    verified_at: datetime | None
    verification_notes: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None  # from this instant on it can no longer be claimed; None: money that came unasked
    completed_at: datetime | None
    failed_at: datetime | None  # of the last rejection
    meant_for_id: PaymentId | None  # the payment of the order that had ended when this money, which was for it, came


class CustomerPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as its customer sees it: how to pay, and how it stands."""

    reference: str
    order_number: str
    status: PaymentStatus
    amount: Money
    received_amount: Money | None
    method: str  # its code
    method_name: str
    instructions: str
    payment_details: dict[str, Any]
    customer_reference: str | None
    proof_content_type: str | None
    rejection: str | None  # why staff refused the last proof, if they ever did
    created_at: datetime
    expires_at: datetime | None
    completed_at: datetime | None


class PaymentAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log of a payment."""

    id: UUID
    attempt_number: int  # from 1, without gaps
    status: AttemptStatus
    action: AttemptAction
    performed_by: UserId | None
    performed_by_type: AttemptActor
    success: bool
    failure_reason: str | None
    request_data: dict[str, Any] | None
    response_data: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that waits for staff, with what they need to decide."""

    id: PaymentId
    reference: str
    order_id: OrderId
    order_number: str
    customer_name: str
    method: str  # its name
    amount: Money
    order_total: Money
    order_due: Money
    customer_reference: str | None
    proof_content_type: str | None
    customer_notes: str | None
    created_at: datetime
    updated_at: datetime  # when the proof came


class OrderFacts(msgspec.Struct, frozen=True):
    """What a payment must know of its order."""

    id: OrderId
    number: str
    status: OrderStatus
    user_id: UserId | None
    session_id: SessionId | None
    phone: str | None
    due: Money


class ProofFile(msgspec.Struct, frozen=True):
    """Where the store keeps a proof, and what it is."""

    path: str
    content_type: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A proof, opened: read `chunks` once."""

    content_type: str
    size: int  # bytes
    chunks: AsyncIterator[bytes]


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody who is not staff shows that an order is theirs: one of the three.

    Whose order it is not gets the same answer as for an order that does not exist.
    """

    user_id: UserId | None = None
    session_id: SessionId | None = None  # of a guest; an account's orders need the account
    number: str | None = None  # the order's number together with
    phone: str | None = None  # the phone it was placed with

    def owns(self, order: OrderFacts) -> bool:
        """Whether one of the three fits. The phone is compared as E.164 digits."""
        if order.user_id is not None and self.user_id == order.user_id:
            return True
        if order.user_id is None and order.session_id is not None and self.session_id == order.session_id:
            return True
        return self.phone is not None and self.phone == order.phone and self.number == order.number


def new_reference() -> str:
    """A reference for a payment: readable, unguessable in sequence, at most 30 characters."""
    return f"PAY-{human_code(REFERENCE_CODE_LENGTH, REFERENCE_CODE_LENGTH // 2)}"


def window(method: PaymentMethod) -> timedelta | None:
    """So long a payment by this method waits for its money; None: until the goods are at the door."""
    if method.method_type is PaymentMethodType.COD:
        return None
    return timedelta(hours=method.confirmation_window_hours)


def missing_details(method_type: PaymentMethodType, details: Mapping[str, object]) -> str | None:
    """What a customer would miss in the details, such as `email or phone`; None where nothing is."""
    for group in DETAILS_REQUIRED.get(method_type, ()):
        if not any(isinstance(text := details.get(key), str) and text.strip() for key in group):
            return " or ".join(group)
    return None
