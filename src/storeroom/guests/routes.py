"""Attempts of guests over HTTP, for staff who may read the audit trail."""

from collections.abc import Sequence
from typing import Annotated, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler

from storeroom.core.pages import InvalidCursor
from storeroom.guests.model import EMAIL_LENGTH_MAX, AttemptsFound
from storeroom.guests.service import GuestAttempts
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, requires, says

READ: Final = "audit.read"

EmailPart = Annotated[
    str | None,
    QueryParameter(description="A part of the mail address.", min_length=1, max_length=EMAIL_LENGTH_MAX),
]
RowsParameter = Annotated[int, QueryParameter(description="Rows on a page; 100 are given at most.", ge=1, le=1000)]


@get(
    "/v1/admin/guest-attempts",
    summary="What guests tried to prove",
    tags=["admin"],
    guards=[requires(READ)],
    responses=says(InvalidCursor),
)
async def list_guest_attempts(
    guest_attempts: NamedDependency[GuestAttempts],
    email: EmailPart = None,
    success: FromQuery[bool | None] = None,
    cursor: CursorParameter = None,
    limit: RowsParameter = PAGE_SIZE_DEFAULT,
) -> AttemptsFound:
    """Newest first: order lookups and codes by phone, the wrong ones with the reason; `total` is that of all pages."""
    return await guest_attempts.list(email=email, success=success, cursor=cursor, limit=limit)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (list_guest_attempts,)
