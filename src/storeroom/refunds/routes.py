"""Refunds over HTTP, for staff: asked for, said to have failed, looked at. Completing one is a route of `flows`."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import OrderId, PaymentId, RefundId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.payments import PaymentNotFound
from storeroom.refunds.errors import (
    InvalidRefund,
    PaymentNotRefundable,
    RefundExceedsLine,
    RefundExceedsPayment,
    RefundLineNotFound,
    RefundMoveRefused,
    RefundNotFound,
)
from storeroom.refunds.model import (
    REASON_DETAILS_LENGTH_MAX,
    REASON_LENGTH_MAX,
    REFUND_ITEMS_MAX,
    ItemToRefund,
    Refund,
    RefundItem,
    RefundStatus,
)
from storeroom.refunds.service import Refunds
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: refunds"]
_READ: Final = [requires(Permission.PAYMENTS_READ)]
_WRITE: Final = [requires(Permission.REFUNDS_WRITE)]

StatusParameter = Annotated[RefundStatus | None, QueryParameter(description="Only those.")]


class NewRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to go back."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX, examples=["damaged"])]
    amount: Money | None = None  # None: all that is left
    reason_details: Annotated[str, Meta(max_length=REASON_DETAILS_LENGTH_MAX)] | None = None
    items: Annotated[list[ItemToRefund], Meta(max_length=REFUND_ITEMS_MAX)] = []


class FailedRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the money does not go back this way."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_DETAILS_LENGTH_MAX)]


class RefundWithItems(msgspec.Struct, frozen=True, kw_only=True):
    """A refund and the units that it is for."""

    refund: Refund
    items: list[RefundItem]


@post(
    "/v1/admin/payments/{payment_id:uuid}/refunds",
    summary="Promise that money of a payment goes back",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        PaymentNotFound,
        PaymentNotRefundable,
        InvalidRefund,
        CurrencyMismatch,
        RefundExceedsPayment,
        RefundLineNotFound,
        RefundExceedsLine,
    ),
)
async def request_refund(
    payment_id: FromPath[UUID], data: JSONBody[NewRefund], refunds: NamedDependency[Refunds]
) -> Refund:
    """It is pending until it is completed; what is pending counts against what the payment brought."""
    return await refunds.request(
        payment_id=PaymentId(payment_id),
        amount=data.amount,
        reason=data.reason,
        reason_details=data.reason_details,
        items=data.items,
    )


@post(
    "/v1/admin/refunds/{refund_id:uuid}/fail",
    status_code=200,
    summary="Say that the money does not go back this way",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(RefundNotFound, InvalidRefund, RefundMoveRefused),
)
async def fail_refund(
    refund_id: FromPath[UUID], data: JSONBody[FailedRefund], refunds: NamedDependency[Refunds]
) -> Refund:
    """What was promised is free for another refund."""
    return await refunds.fail(refund_id=RefundId(refund_id), reason=data.reason)


@get(
    "/v1/admin/refunds",
    summary="Refunds, newest first",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_refunds(
    refunds: NamedDependency[Refunds],
    status: StatusParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Refund]:
    """Of one status, or all of them."""
    return await refunds.list(status=status, cursor=cursor, limit=limit)


@get(
    "/v1/admin/refunds/{refund_id:uuid}", summary="One refund", tags=_TAGS, guards=_READ, responses=says(RefundNotFound)
)
async def get_refund(refund_id: FromPath[UUID], refunds: NamedDependency[Refunds]) -> RefundWithItems:
    """With the units that it is for."""
    refund = await refunds.get(refund_id=RefundId(refund_id))
    return RefundWithItems(refund=refund, items=await refunds.items(refund_id=refund.id))


@get("/v1/admin/orders/{order_id:uuid}/refunds", summary="Refunds of an order", tags=_TAGS, guards=_READ)
async def refunds_of_order(order_id: FromPath[UUID], refunds: NamedDependency[Refunds]) -> Sequence[Refund]:
    """Oldest first."""
    return await refunds.for_order(order_id=OrderId(order_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    request_refund,
    fail_refund,
    list_refunds,
    get_refund,
    refunds_of_order,
)
