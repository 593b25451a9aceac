"""Reminders over HTTP, for staff: how the domains remind, and which carts are kept."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import DomainId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.domains import DomainNotFound
from storeroom.identity import Permission
from storeroom.retention.errors import InvalidRetainCart
from storeroom.retention.model import (
    BCC_MAX,
    RETRIES_DEFAULT,
    RETRIES_MAX,
    RETRY_TIME_DEFAULT_S,
    RETRY_TIME_MAX_S,
    CartReminder,
    CartReminderStatus,
    RetainCartConfig,
    RetainCartRules,
)
from storeroom.retention.service import CartReminders
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: cart reminders"]
_WRITE: Final = [requires(Permission.DOMAINS_WRITE)]
_READ: Final = [requires(Permission.ORDERS_READ)]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it: what is left out is as where nothing was ever said."""

    retry_time_seconds: Annotated[int, Meta(ge=0, le=RETRY_TIME_MAX_S)] = RETRY_TIME_DEFAULT_S
    max_retries: Annotated[int, Meta(ge=0, le=RETRIES_MAX)] = RETRIES_DEFAULT
    bcc_emails: Annotated[
        list[Annotated[str, Meta(min_length=3, max_length=255, examples=["sales@shop.example"])]],
        Meta(max_length=BCC_MAX),
    ] = []  # msgspec gives each its own
    is_active: bool = True


@get("/v1/admin/cart-reminders", summary="Kept carts", tags=_TAGS, guards=_READ, responses=says(InvalidCursor))
async def list_reminders(
    cart_reminders: NamedDependency[CartReminders],
    status: FromQuery[CartReminderStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[CartReminder]:
    """Whose payment failed, or who left a cart: waiting for the time, reminded, or why not any more. Newest first."""
    return await cart_reminders.list(status=status, cursor=cursor, limit=limit)


@get(
    "/v1/admin/cart-reminders/rules",
    summary="How carts of no known site are reminded of",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(),
)
async def get_rules(cart_reminders: NamedDependency[CartReminders]) -> RetainCartRules:
    """What holds, said or not."""
    return await cart_reminders.rules(domain_id=None)


@put(
    "/v1/admin/cart-reminders/rules",
    summary="Say how carts of no known site are reminded of",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidRetainCart),
)
async def put_rules(data: JSONBody[Rules], cart_reminders: NamedDependency[CartReminders]) -> RetainCartConfig:
    """Counts at once, for carts that wait as well."""
    return await cart_reminders.upsert(domain_id=None, **msgspec.structs.asdict(data))


@get(
    "/v1/admin/domains/{domain_id:uuid}/cart-reminders",
    summary="How carts of a site are reminded of",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(DomainNotFound),
)
async def get_domain_rules(
    domain_id: FromPath[UUID], cart_reminders: NamedDependency[CartReminders]
) -> RetainCartRules:
    """What holds, said or not."""
    return await cart_reminders.rules(domain_id=DomainId(domain_id))


@put(
    "/v1/admin/domains/{domain_id:uuid}/cart-reminders",
    summary="Say how carts of a site are reminded of",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(DomainNotFound, InvalidRetainCart),
)
async def put_domain_rules(
    domain_id: FromPath[UUID], data: JSONBody[Rules], cart_reminders: NamedDependency[CartReminders]
) -> RetainCartConfig:
    """Counts at once, for carts that wait as well."""
    return await cart_reminders.upsert(domain_id=DomainId(domain_id), **msgspec.structs.asdict(data))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_reminders,
    get_rules,
    put_rules,
    get_domain_rules,
    put_domain_rules,
)
