"""An attempt of somebody without an account to prove something."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import DomainId
from storeroom.database.rows import instant

FAILURES_MAX: Final = 5  # of one mail address, phone or order by one method, in FAILURE_WINDOW
FAILURE_WINDOW: Final = timedelta(minutes=15)
PAGE_MAX: Final = 100
EMAIL_LENGTH_MAX: Final = 255
REFERENCE_LENGTH_MAX: Final = 100
MESSAGE_LENGTH_MAX: Final = 500
USER_AGENT_LENGTH_MAX: Final = 500


class GuestMethod(StrEnum):
    """By what somebody tried to prove who they are."""

    ORDER_LOOKUP = "order_lookup"  # the number and the phone of an order
    PHONE_CODE = "phone_code"  # a code that was sent to a phone


class GuestAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, right or wrong."""

    id: UUID
    email: str | None
    phone: str | None
    order_reference: str | None
    verification_method: str
    success: bool
    message: str | None
    failure_code: str | None
    metadata: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    domain_id: DomainId | None
    created_at: datetime


class AttemptsFound(msgspec.Struct, frozen=True, kw_only=True):
    """A page of attempts, and how many there are on all pages."""

    items: list[GuestAttempt]
    next_cursor: str | None
    total: int


def map_guest_attempt(row: Mapping[str, Any]) -> GuestAttempt:
    """The one way from a row to an attempt, whatever form a driver gives ids, instants and JSON."""
    domain_id = row["domain_id"]
    return GuestAttempt(
        id=UUID(str(row["id"])),
        email=row["email"],
        phone=row["phone"],
        order_reference=row["order_reference"],
        verification_method=row["verification_method"],
        success=bool(row["success"]),
        message=row["message"],
        failure_code=row["failure_code"],
        metadata=_object(row["metadata"]),
        ip_address=str(row["ip_address"]) if row["ip_address"] is not None else None,
        user_agent=row["user_agent"],
        domain_id=DomainId(UUID(str(domain_id))) if domain_id is not None else None,
        created_at=instant(row["created_at"]),
    )


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, also where it is a text; what is none is empty."""
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}
