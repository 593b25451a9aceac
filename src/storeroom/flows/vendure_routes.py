"""What a Vendure shop has told and is not here yet, for staff."""

from collections.abc import Sequence
from typing import Final

from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from storeroom.core.pages import InvalidCursor, Page
from storeroom.flows.vendure import Unsynced, Vendure
from storeroom.identity import Permission
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says


@get(
    "/v1/admin/vendure/unsynced",
    summary="What is not here as Vendure says it",
    tags=["admin: inbox"],
    guards=[requires(Permission.WEBHOOKS_WRITE)],
    responses=says(InvalidCursor),
)
async def list_unsynced(
    vendure: NamedDependency[Vendure],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Unsynced]:
    """Each with what it waits for. The worker tries all of it again, and whatever it waits for does when it comes."""
    return await vendure.unsynced(cursor=cursor, limit=limit)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (list_unsynced,)
