"""The audit trail over HTTP, for staff who may read it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.audit.errors import InvalidAuditQuery
from storeroom.audit.model import ACTION_LENGTH_MAX, RESOURCE_LENGTH_MAX, ActorKind, Entry
from storeroom.audit.service import Audit
from storeroom.core.clock import NaiveInstant
from storeroom.core.ids import UserId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

READ: Final = "audit.read"
Action = Annotated[str, Meta(min_length=1, max_length=ACTION_LENGTH_MAX, examples=["orders.ship"])]
ResourceType = Annotated[str, Meta(min_length=1, max_length=RESOURCE_LENGTH_MAX, examples=["order"])]


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One action, done or refused."""

    id: UUID
    actor_kind: ActorKind
    user_id: UUID | None
    user_email: str | None
    user_role: str | None
    action: str
    resource_type: str
    resource_id: UUID | None
    old_values: dict[str, Any] | None
    new_values: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    request_id: str | None
    success: bool
    error_message: str | None
    created_at: datetime


@get(
    "/v1/admin/audit",
    summary="Who did what",
    tags=["admin"],
    guards=[requires(READ)],
    responses=says(InvalidAuditQuery, InvalidCursor, NaiveInstant),
)
async def list_audit(  # noqa: PLR0917  # by name, as the framework calls it
    audit: NamedDependency[Audit],
    user_id: FromQuery[UUID | None] = None,
    resource_type: FromQuery[ResourceType | None] = None,
    resource_id: FromQuery[UUID | None] = None,
    action: FromQuery[Action | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[EntryView]:
    """Newest first; refused actions too. `resource_type` and `resource_id` are asked for together.

    Values hold no secrets; what says something of a person stands there as a fingerprint.
    """
    page = await audit.list(
        user_id=UserId(user_id) if user_id is not None else None,
        resource_type=resource_type,
        resource_id=resource_id,
        action=action,
        since=since,
        until=until,
        cursor=cursor,
        limit=limit,
    )
    return Page([_entry(entry) for entry in page.items], page.next_cursor)


def _entry(entry: Entry) -> EntryView:
    return EntryView(**msgspec.structs.asdict(entry))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (list_audit,)
