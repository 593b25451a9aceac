"""Disputes over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import DisputeId, PaymentId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.flows.refunding import DisputeOutcomes
from storeroom.identity import Permission
from storeroom.payments import PaymentNotFound
from storeroom.refunds import (
    Dispute,
    DisputeClosed,
    DisputeNotFound,
    DisputeStatus,
    DisputeTaken,
    InvalidDispute,
    PaymentNotRefundable,
)
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: disputes"]
_READ: Final = [requires(Permission.PAYMENTS_READ)]
_WRITE: Final = [requires(Permission.REFUNDS_WRITE)]

StatusParameter = Annotated[DisputeStatus | None, QueryParameter(description="Only those.")]


class NewDispute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider told of."""

    provider: Annotated[str, Meta(min_length=1, max_length=50, examples=["stripe"])]
    provider_dispute_id: Annotated[str, Meta(min_length=1, max_length=255, examples=["dp_1"])]
    amount: Money
    reason: Annotated[str, Meta(min_length=1, max_length=255, examples=["product_not_received"])]
    opened_at: Annotated[datetime, Meta(tz=True)] | None = None


@post(
    "/v1/admin/payments/{payment_id:uuid}/disputes",
    summary="Record that a payment is disputed",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(PaymentNotFound, PaymentNotRefundable, InvalidDispute, CurrencyMismatch, DisputeTaken),
)
async def open_dispute(
    payment_id: FromPath[UUID], data: JSONBody[NewDispute], disputes: NamedDependency[DisputeOutcomes]
) -> Dispute:
    """Told of again it is the same dispute. The money stays in the sums until it is lost."""
    return await disputes.open(payment_id=PaymentId(payment_id), **msgspec.structs.asdict(data))


@get("/v1/admin/disputes", summary="Disputes, newest first", tags=_TAGS, guards=_READ, responses=says(InvalidCursor))
async def list_disputes(
    disputes: NamedDependency[DisputeOutcomes],
    status: StatusParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Dispute]:
    """Of one status, or all of them."""
    return await disputes.list(status=status, cursor=cursor, limit=limit)


@get(
    "/v1/admin/disputes/{dispute_id:uuid}",
    summary="One dispute",
    tags=_TAGS,
    guards=_READ,
    responses=says(DisputeNotFound),
)
async def get_dispute(dispute_id: FromPath[UUID], disputes: NamedDependency[DisputeOutcomes]) -> Dispute:
    """With the refund by which a lost one took its money."""
    return await disputes.get(dispute_id=DisputeId(dispute_id))


@post(
    "/v1/admin/disputes/{dispute_id:uuid}/won",
    status_code=200,
    summary="The bank decided for the shop",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(DisputeNotFound, DisputeClosed),
)
async def win_dispute(dispute_id: FromPath[UUID], disputes: NamedDependency[DisputeOutcomes]) -> Dispute:
    """The money stays."""
    return await disputes.won(dispute_id=DisputeId(dispute_id))


@post(
    "/v1/admin/disputes/{dispute_id:uuid}/lost",
    status_code=200,
    summary="The bank decided for the buyer",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(DisputeNotFound, DisputeClosed),
)
async def lose_dispute(dispute_id: FromPath[UUID], disputes: NamedDependency[DisputeOutcomes]) -> Dispute:
    """What is left of the payment is gone: a refund of the method `chargeback` says so, and the order follows."""
    return await disputes.lost(dispute_id=DisputeId(dispute_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    open_dispute,
    list_disputes,
    get_dispute,
    win_dispute,
    lose_dispute,
)
