"""Store credit over HTTP: staff grant and withdraw it, customers see what they have."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import OrderId, UserId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor
from storeroom.credit.errors import CreditShort, CreditTooLarge, InvalidCredit
from storeroom.credit.model import NOTE_LENGTH_MAX, CreditEntry, CreditReason, CreditStatement
from storeroom.credit.service import StoreCredit
from storeroom.identity import Permission, UserNotFound
from storeroom.web import (
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    CursorParameter,
    LimitParameter,
    Principal,
    SignInRequired,
    requires,
    requires_account,
    says,
)

_TAGS: Final = ["admin: credit"]


class CreditChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So much, and why."""

    amount: Money
    note: Annotated[str, Meta(max_length=NOTE_LENGTH_MAX)] | None = None


class OwnCreditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, as its owner sees it."""

    amount: Money
    reason: CreditReason
    order_id: OrderId | None
    created_at: datetime


class OwnCredit(msgspec.Struct, frozen=True, kw_only=True):
    """What one has, and a page of what led to it, newest first."""

    balance: Money
    items: list[OwnCreditEntry]
    next_cursor: str | None


@get(
    "/v1/admin/users/{user_id:uuid}/credit",
    summary="Store credit of an account",
    tags=_TAGS,
    guards=[requires(Permission.PAYMENTS_READ)],
    responses=says(InvalidCursor),
)
async def credit_of(
    user_id: FromPath[UUID],
    store_credit: NamedDependency[StoreCredit],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> CreditStatement:
    """The balance, and what changed it, newest first. An account that never had any has nothing."""
    return await store_credit.statement(user_id=UserId(user_id), cursor=cursor, limit=limit)


@post(
    "/v1/admin/users/{user_id:uuid}/credit/grants",
    summary="Give an account store credit",
    tags=_TAGS,
    guards=[requires(Permission.REFUNDS_WRITE)],
    opt=IDEMPOTENT,
    responses=says(UserNotFound, InvalidCredit, CurrencyMismatch, CreditTooLarge),
)
async def grant_credit(
    user_id: FromPath[UUID], data: JSONBody[CreditChange], store_credit: NamedDependency[StoreCredit]
) -> CreditEntry:
    """In the shop's currency."""
    return await store_credit.grant(user_id=UserId(user_id), amount=data.amount, note=data.note)


@post(
    "/v1/admin/users/{user_id:uuid}/credit/withdrawals",
    summary="Take store credit back",
    tags=_TAGS,
    guards=[requires(Permission.REFUNDS_WRITE)],
    opt=IDEMPOTENT,
    responses=says(UserNotFound, InvalidCredit, CurrencyMismatch, CreditShort),
)
async def withdraw_credit(
    user_id: FromPath[UUID], data: JSONBody[CreditChange], store_credit: NamedDependency[StoreCredit]
) -> CreditEntry:
    """Never more than there is."""
    return await store_credit.withdraw(user_id=UserId(user_id), amount=data.amount, note=data.note)


@get(
    "/v1/account/credit",
    summary="Store credit",
    tags=["account"],
    guards=[requires_account],
    responses=says(InvalidCursor),
)
async def own_credit(
    principal: NamedDependency[Principal],
    store_credit: NamedDependency[StoreCredit],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> OwnCredit:
    """What can be spent at checkout, and what changed it, newest first."""
    if principal.user_id is None:
        raise SignInRequired
    found = await store_credit.statement(user_id=principal.user_id, cursor=cursor, limit=limit)
    items = [
        OwnCreditEntry(amount=entry.amount, reason=entry.reason, order_id=entry.order_id, created_at=entry.created_at)
        for entry in found.items
    ]
    return OwnCredit(balance=found.balance, items=items, next_cursor=found.next_cursor)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (credit_of, grant_credit, withdraw_credit, own_credit)
