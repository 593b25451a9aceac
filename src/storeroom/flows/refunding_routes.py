"""Giving money back over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody
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
from storeroom.verification import (
    NONCE_ID_LENGTH_MAX,
    NonceExpired,
    NonceForOtherPurpose,
    NonceNotFound,
    NonceRequired,
    NonceUsed,
)
from storeroom.web import IDEMPOTENT, requires, says

NONCE_REFUSALS: Final = (NonceRequired, NonceNotFound, NonceForOtherPurpose, NonceUsed, NonceExpired)
NonceParameter = Annotated[
    str,
    HeaderParameter(
        name="Storeroom-Nonce",
        description="Of POST /v1/admin/nonces; needed where the shop's setting refunds.nonce_required is on.",
        max_length=NONCE_ID_LENGTH_MAX,
    ),
]


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
    responses=says(
        RefundNotFound, InvalidRefund, RefundMoveRefused, RefundExceedsPayment, CreditNeedsAccount, *NONCE_REFUSALS
    ),
)
async def complete_refund(
    refund_id: FromPath[UUID],
    data: JSONBody[CompletedRefund],
    refunding: NamedDependency[Refunding],
    nonce: NonceParameter = "",
) -> Refund:
    """Store credit fills the buyer's balance; every other way is recorded, and no provider is asked."""
    return await refunding.complete(
        refund_id=RefundId(refund_id), method=data.method, details=data.details, nonce_token=nonce
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (complete_refund,)
