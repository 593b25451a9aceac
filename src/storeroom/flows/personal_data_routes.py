"""What a shop holds about a person, over HTTP: for themselves, and for the staff who answer for it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import UserId
from storeroom.flows.erasure import Erased, Erasures
from storeroom.flows.personal_data import Held, PersonalData
from storeroom.identity import REASON_LENGTH_MAX, InvalidPerson, RoleForbidden, UserNotFound
from storeroom.web import Limiter, Principal, RateLimited, SignInRequired, requires, requires_account, says

EXPORTS_BY_ACCOUNT: Final = 5  # in WINDOW
WINDOW: Final = timedelta(minutes=15)


@get(
    "/v1/account/export",
    summary="All that the shop holds about me",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, RateLimited),
)
async def export_own_data(
    account: NamedDependency[Principal],
    personal_data: NamedDependency[PersonalData],
    limiter: NamedDependency[Limiter],
) -> Held:
    """Rows as they are stored, by kind, without hashes and secrets."""
    if account.user_id is None:
        raise SignInRequired
    await limiter.by("export", str(account.user_id), times=EXPORTS_BY_ACCOUNT, window=WINDOW)
    return await personal_data.export(user_id=account.user_id)


@get(
    "/v1/admin/users/{user_id:uuid}/export",
    summary="All that the shop holds about a person",
    tags=["admin: accounts"],
    guards=[requires("users.read", "orders.read", "payments.read", "analytics.read")],
    responses=says(UserNotFound),
)
async def export_data_of_user(user_id: FromPath[UUID], personal_data: NamedDependency[PersonalData]) -> Held:
    """For an answer to whoever asks by letter. It holds what each permission opens, and leaves an audit entry."""
    return await personal_data.export(user_id=UserId(user_id))


class Erasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it stays in the audit trail, so it says nothing of who it was."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX, examples=["asked by letter"])]


@post(
    "/v1/admin/users/{user_id:uuid}/erase",
    status_code=200,
    summary="Erase a person",
    tags=["admin: accounts"],
    guards=[requires("users.write")],
    responses=says(UserNotFound, RoleForbidden, InvalidPerson),
)
async def erase_user(user_id: FromPath[UUID], data: JSONBody[Erasure], erasures: NamedDependency[Erasures]) -> Erased:
    """Cannot be taken back. The account is closed; its orders stay with what they were bought with."""
    return await erasures.erase(user_id=UserId(user_id), reason=data.reason)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (export_own_data, export_data_of_user, erase_user)
