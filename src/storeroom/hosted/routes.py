"""Sessions and transactions over HTTP, for staff to read. Opening, confirming and asking are flows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import DomainId, OrderId, PaymentId
from storeroom.core.money import Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.hosted.errors import HostedSessionNotFound, TransactionNotFound
from storeroom.hosted.model import (
    RESOURCE_LENGTH_MAX,
    SESSION_ID_LENGTH_MAX,
    MpgsStatus,
    StripeSessionStatus,
)
from storeroom.hosted.service import HostedSessions
from storeroom.hosted.transactions import MpgsTransactions
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: hosted payments"]
_READ: Final = [requires("payments.read")]

Resource = Annotated[str, Meta(min_length=1, max_length=RESOURCE_LENGTH_MAX)]
Session = Annotated[str, Meta(min_length=1, max_length=SESSION_ID_LENGTH_MAX)]

V = TypeVar("V", bound=msgspec.Struct)


class HostedSessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout session of Stripe. Its page is not shown: whoever opens it could pay, or see whose it is."""

    id: str
    resource_id: str
    status: StripeSessionStatus
    amount: Money
    customer_email: str | None
    metadata: dict[str, Any]
    gateway_id: str | None
    payment_id: PaymentId | None
    payment_intent: str | None
    received: Money | None
    settled_payment_id: PaymentId | None
    remark: str | None
    expires_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class MpgsTransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of Mastercard's gateway."""

    id: UUID
    legacy_id: int | None
    order_id: OrderId | None
    payment_id: PaymentId | None
    order_ref_id: str | None
    order_increment_id: str | None
    transaction_reference: str | None
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
    expires_at: datetime | None
    paid_at: datetime | None
    domain_id: DomainId | None
    created_at: datetime
    updated_at: datetime


class MpgsTransactionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of transactions, and how many there are on all pages."""

    items: list[MpgsTransactionView]
    next_cursor: str | None
    total: int


def as_view(view: type[V], found: object) -> V:
    """The fields that go out."""
    return view(**{name: getattr(found, name) for name in view.__struct_fields__})


@get(
    "/v1/admin/hosted-sessions",
    summary="Checkout sessions of Stripe",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_sessions(
    hosted_sessions: NamedDependency[HostedSessions],
    resource_id: FromQuery[Resource | None] = None,
    status: FromQuery[StripeSessionStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[HostedSessionView]:
    """Newest first; `remark` says where what arrived is not simply what was asked."""
    page = await hosted_sessions.list(resource_id=resource_id, status=status, cursor=cursor, limit=limit)
    return Page([as_view(HostedSessionView, each) for each in page.items], page.next_cursor)


@get(
    "/v1/admin/hosted-sessions/{session:str}",
    summary="A checkout session of Stripe",
    tags=_TAGS,
    guards=_READ,
    responses=says(HostedSessionNotFound),
)
async def get_session(session: FromPath[str], hosted_sessions: NamedDependency[HostedSessions]) -> HostedSessionView:
    """By Stripe's id."""
    return as_view(HostedSessionView, await hosted_sessions.get(session_id=session))


@get(
    "/v1/admin/mpgs-transactions",
    summary="Transactions of Mastercard's gateway",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_transactions(
    mpgs_transactions: NamedDependency[MpgsTransactions],
    *,
    session_id: FromQuery[Session | None] = None,
    order_id: FromQuery[UUID | None] = None,
    transaction_reference: FromQuery[Session | None] = None,
    result_indicator: FromQuery[Session | None] = None,
    status: FromQuery[MpgsStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> MpgsTransactionList:
    """Newest first; each condition narrows the list and the total."""
    found = await mpgs_transactions.list(
        session_id=session_id,
        order_id=OrderId(order_id) if order_id is not None else None,
        transaction_reference=transaction_reference,
        result_indicator=result_indicator,
        status=status,
        cursor=cursor,
        limit=limit,
    )
    return MpgsTransactionList(
        items=[as_view(MpgsTransactionView, each) for each in found.items],
        next_cursor=found.next_cursor,
        total=found.total,
    )


@get(
    "/v1/admin/mpgs-transactions/{transaction_id:uuid}",
    summary="A transaction of Mastercard's gateway",
    tags=_TAGS,
    guards=_READ,
    responses=says(TransactionNotFound),
)
async def get_transaction(
    transaction_id: FromPath[UUID], mpgs_transactions: NamedDependency[MpgsTransactions]
) -> MpgsTransactionView:
    """One transaction, with the gateway's last answer."""
    return as_view(MpgsTransactionView, await mpgs_transactions.get(transaction_id=transaction_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_sessions,
    get_session,
    list_transactions,
    get_transaction,
)
