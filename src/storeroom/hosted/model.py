"""Sessions on a provider's page, and transactions of Mastercard's gateway (MPGS)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import DomainId, OrderId, PaymentId
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves
from storeroom.database.rows import instant
from storeroom.payments import PaymentStatus

SESSION_ID_LENGTH_MAX: Final = 255
RESOURCE_LENGTH_MAX: Final = 255
URL_LENGTH_MAX: Final = 2_000
METADATA_BYTES_MAX: Final = 10_240
RAW_BYTES_MAX: Final = 64 * 1024  # of a provider's answer that is kept; a longer one is not
TEXT_LENGTH_MAX: Final = 500  # of one word of a provider
INDICATOR_LENGTH_MAX: Final = 255
MPGS_LIFETIME: Final = timedelta(hours=1)  # so long a buyer may take; Mastercard ends its sessions by itself
POLL_AFTER: Final = timedelta(minutes=2)  # Mastercard's gateway: the buyer's return comes sooner, as a rule
POLL_STRIPE_AFTER: Final = timedelta(minutes=15)  # once, for a shop whose webhook does not reach us; then at expiry
POLL_EVERY: Final = timedelta(minutes=5)


class StripeSessionStatus(StrEnum):
    """Where a checkout session of Stripe stands."""

    PENDING = "pending"  # the buyer may pay, or a slow payment is on its way
    COMPLETED = "completed"  # paid
    EXPIRED = "expired"  # nobody paid in time, or the slow payment failed


STRIPE_SESSION_MOVES: Final[Moves[StripeSessionStatus]] = declare_moves(
    StripeSessionStatus,
    {StripeSessionStatus.PENDING: {StripeSessionStatus.COMPLETED, StripeSessionStatus.EXPIRED}},
)


class MpgsStatus(StrEnum):
    """Where a transaction of Mastercard's gateway stands."""

    INITIATED = "initiated"  # the buyer has the page
    PENDING = "pending"  # the gateway is at it
    AUTHORIZED = "authorized"  # set aside on the card, not taken yet
    CAPTURED = "captured"  # the money came
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # nobody paid in time
    REFUNDED = "refunded"  # the money came, and all of it went back


M = MpgsStatus
MPGS_MOVES: Final[Moves[M]] = declare_moves(
    MpgsStatus,
    {
        # What was paid may have gone back before anybody asked.
        M.INITIATED: {M.PENDING, M.AUTHORIZED, M.CAPTURED, M.FAILED, M.CANCELLED, M.EXPIRED, M.REFUNDED},
        M.PENDING: {M.AUTHORIZED, M.CAPTURED, M.FAILED, M.CANCELLED, M.EXPIRED, M.REFUNDED},
        M.AUTHORIZED: {M.CAPTURED, M.FAILED, M.CANCELLED, M.EXPIRED, M.REFUNDED},
        M.CAPTURED: {M.REFUNDED},
        # What was given up may turn out to be paid: the gateway has the last word about money.
        M.FAILED: {M.CAPTURED, M.REFUNDED},
        M.CANCELLED: {M.CAPTURED, M.REFUNDED},
        M.EXPIRED: {M.CAPTURED, M.REFUNDED},
    },
)
MPGS_OPEN: Final = frozenset({M.INITIATED, M.PENDING, M.AUTHORIZED})
MPGS_FELL_THROUGH: Final = frozenset({M.FAILED, M.CANCELLED, M.EXPIRED})

# The status of the payment that a transaction leads to.
PAYMENT_STATUS: Final[Mapping[M, PaymentStatus]] = MappingProxyType(
    {
        M.INITIATED: PaymentStatus.PENDING,
        M.PENDING: PaymentStatus.PROCESSING,
        M.AUTHORIZED: PaymentStatus.PROCESSING,
        M.CAPTURED: PaymentStatus.COMPLETED,
        M.FAILED: PaymentStatus.FAILED,
        M.CANCELLED: PaymentStatus.CANCELLED,
        M.EXPIRED: PaymentStatus.EXPIRED,
        M.REFUNDED: PaymentStatus.REFUNDED,
    }
)


class StripeSession(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout session: what was asked on Stripe's page, and what arrived."""

    id: str  # Stripe's
    resource_id: str  # what is paid for: an order's number, a product's id
    status: StripeSessionStatus
    amount: Money
    customer_email: str | None
    metadata: dict[str, Any]
    gateway_id: str | None
    payment_id: PaymentId | None
    url: str | None
    payment_intent: str | None
    received: Money | None
    settled_payment_id: PaymentId | None  # the payment that holds what arrived
    remark: str | None  # why what arrived is not simply what was asked
    expires_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class MpgsTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of Mastercard's gateway. What the buyer's return must bring is not among the fields."""

    id: UUID
    legacy_id: int | None
    order_id: OrderId | None
    payment_id: PaymentId | None
    order_ref_id: str | None  # the order, as the gateway knows it
    order_increment_id: str | None  # the order's number
    transaction_reference: str | None  # the payment's reference
    gateway_id: str | None
    merchant_id: str | None
    session_id: str
    session_version: str | None
    result_indicator: str | None
    amount: Money
    received: Money | None
    settled_payment_id: PaymentId | None
    payment_status: MpgsStatus
    order_status: str | None
    gateway_code: str | None
    gateway_transaction_id: str | None
    acquirer_code: str | None
    authorization_code: str | None
    card_brand: str | None
    card_last4: str | None
    three_ds_status: str | None
    transaction_receipt: str | None
    failure_reason: str | None
    retry_of: UUID | None
    raw_response: dict[str, Any] | None
    return_url: str | None
    expires_at: datetime | None
    paid_at: datetime | None
    domain_id: DomainId | None
    created_at: datetime
    updated_at: datetime


class MpgsFound(msgspec.Struct, frozen=True, kw_only=True):
    """A page of transactions, and how many there are on all pages."""

    items: list[MpgsTransaction]
    next_cursor: str | None
    total: int


class MpgsResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says of a transaction."""

    status: MpgsStatus
    received: Money | None = None
    refunded: Money | None = None  # all that has gone back so far
    order_status: str | None = None
    gateway_code: str | None = None
    gateway_transaction_id: str | None = None
    acquirer_code: str | None = None
    authorization_code: str | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    three_ds_status: str | None = None
    transaction_receipt: str | None = None
    failure_reason: str | None = None
    raw: dict[str, Any] | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is to be asked about: a session, or a transaction."""

    tenant_id: str
    session_id: str | None = None
    transaction_id: UUID | None = None


_TEXTS: Final = (
    *("order_ref_id", "order_increment_id", "transaction_reference", "gateway_id", "merchant_id", "session_version"),
    *("result_indicator", "order_status", "gateway_code", "gateway_transaction_id", "acquirer_code"),
    *("authorization_code", "card_brand", "card_last4", "three_ds_status", "transaction_receipt", "failure_reason"),
    "return_url",
)


def map_stripe_session(row: Mapping[str, Any]) -> StripeSession:
    """The one way from a row to a session, whatever form a driver gives ids and instants."""
    facts: dict[str, Any] = {
        **{name: _text(row[name]) for name in ("customer_email", "gateway_id", "url", "payment_intent", "remark")},
        **{name: _id(row[name]) for name in ("payment_id", "settled_payment_id")},
        **{name: _at(row[name]) for name in ("expires_at", "completed_at")},
    }
    return StripeSession(
        id=row["id"],
        resource_id=row["resource_id"],
        status=StripeSessionStatus(row["status"]),
        amount=Money(int(row["amount"]), row["currency"]),
        metadata=_object(row["metadata"]) or {},
        received=_received(row),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
        **facts,
    )


def map_mpgs_transaction(row: Mapping[str, Any]) -> MpgsTransaction:
    """The one way from a row to a transaction: blank text is None, instants are in UTC."""
    facts: dict[str, Any] = {
        **{name: _text(row[name]) for name in _TEXTS},
        **{name: _id(row[name]) for name in ("order_id", "payment_id", "settled_payment_id", "retry_of", "domain_id")},
        **{name: _at(row[name]) for name in ("expires_at", "paid_at")},
    }
    return MpgsTransaction(
        id=UUID(str(row["id"])),
        legacy_id=row["legacy_id"],
        session_id=row["session_id"],
        amount=Money(int(row["amount"]), row["currency"]),
        received=_received(row),
        payment_status=MpgsStatus(row["payment_status"]),
        raw_response=_object(row["raw_response"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
        **facts,
    )


def _text(value: str | None) -> str | None:
    return (value or "").strip() or None


def _id(value: object) -> Any:
    return UUID(str(value)) if value is not None else None


def _at(value: datetime | str | None) -> datetime | None:
    return instant(value) if value else None


def _received(row: Mapping[str, Any]) -> Money | None:
    return Money(int(row["received_amount"]), row["received_currency"]) if row["received_amount"] is not None else None


def _object(value: Any) -> dict[str, Any] | None:
    """A JSON object, also where it is a text; what is none is None."""
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return None
    return dict(value) if isinstance(value, Mapping) else None
