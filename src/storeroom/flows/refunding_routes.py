"""Giving money back over HTTP."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from storeroom.core.ids import RefundId
from storeroom.flows.refunding import Refunding
from storeroom.identity import Permission
from storeroom.refunds import (
    CreditNeedsAccount,
    InvalidRefund,
    Refund,
    RefundExceedsPayment,
    RefundMethod,
    RefundMoveRefused,
    RefundNotFound,
)
from storeroom.web import IDEMPOTENT, requires, says


class CompletedRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the money went back."""

    method: RefundMethod
    details: dict[str, Any] = {}


@post(
    "/v1/admin/refunds/{refund_id:uuid}/complete",
    status_code=200,
    summary="Say that the money went back; payment, order, lines and stock follow",
    tags=["admin: refunds"],
    guards=[requires(Permission.REFUNDS_WRITE)],
    opt=IDEMPOTENT,
    responses=says(RefundNotFound, InvalidRefund, RefundMoveRefused, RefundExceedsPayment, CreditNeedsAccount),
)
async def complete_refund(
    refund_id: FromPath[UUID], data: JSONBody[CompletedRefund], refunding: NamedDependency[Refunding]
) -> Refund:
    """Store credit fills the buyer's balance; every other way is recorded, and no provider is asked."""
    return await refunding.complete(refund_id=RefundId(refund_id), method=data.method, details=data.details)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (complete_refund,)
