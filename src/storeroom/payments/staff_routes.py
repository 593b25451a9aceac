"""Payments over HTTP, for staff: looking at them, and saying what became of the money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import OrderId, PaymentId, UserId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import Page
from storeroom.orders import OrderNotFound
from storeroom.payments import errors
from storeroom.payments.model import (
    NOTES_LENGTH_MAX,
    AttemptAction,
    AttemptActor,
    AttemptStatus,
    PaymentStatus,
    ReviewItem,
)
from storeroom.payments.proofs import KINDS
from storeroom.payments.service import Payments
from storeroom.payments.views import READ, Code, Notes, PaymentView, Reference, as_view
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What staff saw."""

    received: Money | None = None  # None: what was asked
    notes: Notes | None = None


class Rejection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is refused; the customer reads it."""

    reason: Annotated[str, Meta(min_length=1, max_length=NOTES_LENGTH_MAX)]


class ReceivedMoney(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that came unasked or late."""

    method: Code
    amount: Money
    reference: Reference | None = None
    notes: Notes | None = None


class PaymentList(msgspec.Struct, frozen=True, kw_only=True):
    """All payments of an order, oldest first."""

    items: list[PaymentView]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log of a payment."""

    attempt_number: int
    action: AttemptAction
    status: AttemptStatus
    success: bool
    performed_by: UserId | None
    performed_by_type: AttemptActor
    failure_reason: str | None
    request_data: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a payment, from the first attempt on."""

    items: list[AttemptView]


VERIFY: Final = [requires("payments.verify")]
ADMIN: Final = ["admin: payments"]


@get("/v1/admin/payments", summary="Payments", tags=ADMIN, guards=READ, responses=says())
async def list_payments(
    payments: NamedDependency[Payments],
    status: FromQuery[PaymentStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[PaymentView]:
    """Newest first."""
    page = await payments.list(status=status, cursor=cursor, limit=limit)
    return Page([as_view(PaymentView, payment) for payment in page.items], page.next_cursor)


@get("/v1/admin/payments/review", summary="Payments to verify", tags=ADMIN, guards=READ, responses=says())
async def payments_to_review(
    payments: NamedDependency[Payments], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[ReviewItem]:
    """What awaits verification, oldest first, with the customer's proof and what is due."""
    return await payments.pending_review(cursor=cursor, limit=limit)


@get(
    "/v1/admin/payments/{payment_id:uuid}",
    summary="A payment",
    tags=ADMIN,
    guards=READ,
    responses=says(errors.PaymentNotFound),
)
async def get_payment(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentView:
    """One payment."""
    return as_view(PaymentView, await payments.get(payment_id=PaymentId(payment_id)))


@get(
    "/v1/admin/payments/{payment_id:uuid}/attempts",
    summary="The log of a payment",
    tags=ADMIN,
    guards=READ,
    responses=says(errors.PaymentNotFound),
)
async def payment_attempts(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> AttemptList:
    """Who tried what, from the first attempt on."""
    attempts = await payments.attempts(payment_id=PaymentId(payment_id))
    return AttemptList(items=[as_view(AttemptView, attempt) for attempt in attempts])


@dataclass
class ProofFileOperation(Operation):
    """Says in the API's description which files may come."""

    def __post_init__(self) -> None:
        file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        found = OpenAPIResponse(description="The file", content=dict.fromkeys(KINDS, file))
        self.responses = {**(self.responses or {}), "200": found}


@get(
    "/v1/admin/payments/{payment_id:uuid}/proof",
    summary="The file of a payment",
    tags=ADMIN,
    guards=READ,
    operation_class=ProofFileOperation,
    responses=says(errors.PaymentNotFound, errors.ProofNotFound, errors.FilesUnavailable),
)
async def payment_proof(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> Stream:
    """What the customer sent. It comes from a stranger, so the browser is told to run nothing of it."""
    proof = await payments.open_proof(payment_id=PaymentId(payment_id))
    return Stream(
        proof.chunks,
        media_type=proof.content_type,
        headers={
            "Content-Length": str(proof.size),
            "Content-Disposition": "inline",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


@post(
    "/v1/admin/payments/{payment_id:uuid}/verify",
    summary="The money arrived",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    opt=IDEMPOTENT,
    responses=says(
        errors.PaymentNotFound, errors.PaymentMoveRefused, errors.InvalidPayment, errors.StaffRequired, CurrencyMismatch
    ),
)
async def verify_payment(
    payment_id: FromPath[UUID], data: JSONBody[Verification], payments: NamedDependency[Payments]
) -> PaymentView:
    """Completes the payment and credits the order; the amount may differ from what was asked."""
    verified = await payments.verify(payment_id=PaymentId(payment_id), received=data.received, notes=data.notes)
    return as_view(PaymentView, verified)


@post(
    "/v1/admin/payments/{payment_id:uuid}/reject",
    summary="The money did not arrive",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    opt=IDEMPOTENT,
    responses=says(errors.PaymentNotFound, errors.PaymentMoveRefused, errors.InvalidPayment, errors.StaffRequired),
)
async def reject_payment(
    payment_id: FromPath[UUID], data: JSONBody[Rejection], payments: NamedDependency[Payments]
) -> PaymentView:
    """The customer is told the reason and may send another proof."""
    return as_view(PaymentView, await payments.reject(payment_id=PaymentId(payment_id), reason=data.reason))


@post(
    "/v1/admin/payments/{payment_id:uuid}/cancel",
    summary="Withdraw a payment",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    responses=says(errors.PaymentNotFound, errors.PaymentMoveRefused),
)
async def cancel_payment(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentView:
    """Before any money came."""
    return as_view(PaymentView, await payments.cancel(payment_id=PaymentId(payment_id)))


@get(
    "/v1/admin/orders/{order_id:uuid}/payments",
    summary="The payments of an order",
    tags=ADMIN,
    guards=READ,
    responses=says(OrderNotFound),
)
async def order_payments(order_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentList:
    """Oldest first."""
    found = await payments.for_order(order_id=OrderId(order_id))
    return PaymentList(items=[as_view(PaymentView, payment) for payment in found])


@post(
    "/v1/admin/orders/{order_id:uuid}/payments",
    summary="Record money that came unasked",
    tags=ADMIN,
    guards=VERIFY,
    opt=IDEMPOTENT,
    responses=says(
        OrderNotFound,
        errors.PaymentMethodNotFound,
        errors.InvalidPayment,
        errors.StaffRequired,
        CurrencyMismatch,
    ),
)
async def record_received(
    order_id: FromPath[UUID], data: JSONBody[ReceivedMoney], payments: NamedDependency[Payments]
) -> PaymentView:
    """Late, in another amount, or for an order that was cancelled: then it is due back."""
    recorded = await payments.record_received(order_id=OrderId(order_id), **msgspec.structs.asdict(data))
    return as_view(PaymentView, recorded)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_payments,
    payments_to_review,
    get_payment,
    payment_attempts,
    payment_proof,
    verify_payment,
    reject_payment,
    cancel_payment,
    order_payments,
    record_received,
)
