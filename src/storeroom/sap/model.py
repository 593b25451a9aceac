"""A customer as SAP has them, and an invoice that SAP was asked for."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import DomainId, OrderId, TenantId, UserId
from storeroom.database.rows import instant

__all__ = ["TenantId"]  # for the statements

ATTEMPTS_MAX: Final = 16  # over about a day; then staff look at what SAP says. An index of 0034 has it too
LEASE: Final = timedelta(minutes=2)  # longer than SAP may take to answer
BACKOFF_FIRST: Final = timedelta(seconds=30)  # after the first failure; twice as long after each
BACKOFF_MAX: Final = timedelta(hours=4)
BACKOFF_JITTER: Final = 0.2
CODE_LENGTH_MAX: Final = 50
COMPANY_LENGTH_MAX: Final = 50
NUMBER_LENGTH_MAX: Final = 100
ERROR_LENGTH_MAX: Final = 500
PAYLOAD_BYTES_MAX: Final = 64 * 1024
ENROLLED_AT_ONCE: Final = 1_000


class CustomerSync(msgspec.Struct, frozen=True, kw_only=True):
    """One customer, by mail address."""

    id: UUID
    customer_email: str
    customer_id: UserId | None
    sap_sync: bool
    sap_customer_code: str | None
    sap_synced_at: datetime | None
    company_code: str | None
    last_error: str | None
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    updated_at: datetime


class ToSync(msgspec.Struct, frozen=True, kw_only=True):
    """A customer in the hands of whoever holds the claim, with what SAP is told of them."""

    id: UUID
    customer_email: str
    customer_id: UserId | None
    full_name: str | None
    phone: str | None
    sap_customer_code: str | None
    company_code: str | None
    attempts: int  # this one counted


class InvoicedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What SAP is told of an order whose invoice is asked for."""

    id: OrderId
    order_number: str
    customer_id: UserId | None
    domain_id: DomainId | None
    company_code: str | None


class InvoiceAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One time that SAP was asked for an invoice."""

    id: UUID
    order_id: OrderId
    order_increment_id: str
    invoice_number: str | None
    company_code: str | None
    customer_id: UserId | None
    requested_by: str | None
    source: str | None
    success: bool
    status_code: int | None
    message: str | None
    payload: dict[str, Any]
    duration_ms: int | None
    domain_id: DomainId | None
    created_at: datetime


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as SAP gave it."""

    audit: InvoiceAudit
    content_type: str
    content: bytes


def map_customer_sync(row: Mapping[str, Any]) -> CustomerSync:
    """The one way from a row to a CustomerSync, whatever form a driver gives ids and instants."""
    return CustomerSync(
        id=UUID(str(row["id"])),
        customer_email=row["customer_email"],
        customer_id=_id(row["customer_id"], UserId),
        sap_sync=bool(row["sap_sync"]),
        sap_customer_code=_text(row["sap_customer_code"]),
        sap_synced_at=None if row["sap_synced_at"] is None else instant(row["sap_synced_at"]),
        company_code=_text(row["company_code"]),
        last_error=_text(row["last_error"]),
        attempts=row["attempts"] or 0,
        next_attempt_at=instant(row["next_attempt_at"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
    )


def map_invoice_audit(row: Mapping[str, Any]) -> InvoiceAudit:
    """The one way from a row to an InvoiceAudit: its payload is an object, and a blank text is None."""
    return InvoiceAudit(
        id=UUID(str(row["id"])),
        order_id=OrderId(UUID(str(row["order_id"]))),
        order_increment_id=row["order_increment_id"],
        invoice_number=_text(row["invoice_number"]),
        company_code=_text(row["company_code"]),
        customer_id=_id(row["customer_id"], UserId),
        requested_by=_text(row["requested_by"]),
        source=_text(row["source"]),
        success=bool(row["success"]),
        status_code=row["status_code"],
        message=_text(row["message"]),
        payload=_object(row["payload"]),
        duration_ms=row["duration_ms"],
        domain_id=_id(row["domain_id"], DomainId),
        created_at=instant(row["created_at"]),
    )


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts, with jitter: 30 s, 1 min, 2 min, … 4 h at most."""
    wait: timedelta = min(BACKOFF_FIRST * 2 ** min(attempts - 1, 20), BACKOFF_MAX)
    return wait * random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)  # noqa: S311  # no secret


def _id(value: Any, kind: Any) -> Any:
    return None if value is None else kind(UUID(str(value)))


def _text(value: str | None) -> str | None:
    return (value.strip() or None) if value else None


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, also where it is a text; what is none is empty."""
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}
