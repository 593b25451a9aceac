"""Events over HTTP: told by browsers and apps, read by staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.analytics.errors import InvalidEvent, InvalidPeriod, NoEventKept
from storeroom.analytics.model import (
    ANONYMOUS_LENGTH_MAX,
    EVENTS_MAX,
    NAME_LENGTH_MAX,
    PERIOD_MAX,
    UTM_LENGTH_MAX,
    VISIT_LENGTH_MAX,
    Event,
    EventCategory,
    EventDraft,
    Refusal,
)
from storeroom.analytics.service import Events
from storeroom.core.ids import OrderId, UserId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, Arrival, CursorParameter, LimitParameter, requires, says

ANALYTICS_READ: Final = "analytics.read"


class EventsKept(msgspec.Struct, frozen=True, kw_only=True):
    """How many were kept, and which were not."""

    kept: int
    refused: list[Refusal]
    token: str | None = None  # of the guest who was made for them, where the request named nobody


@post(
    "/v1/events",
    summary="Tell what happened, one event or a batch",
    tags=["events"],
    opt=IDEMPOTENT,
    responses={
        **says(NoEventKept),
        207: ResponseSpec(EventsKept, description="Some were kept; the others are named by their index."),
    },
)
async def take_events(
    data: JSONBody[EventDraft | Annotated[list[Any], Meta(min_length=1, max_length=EVENTS_MAX)]],
    arrival: NamedDependency[Arrival],
    events: NamedDependency[Events],
) -> Response[EventsKept]:
    """Each is kept or refused by itself: 201 where all were kept, 207 where some were, 422 where none was.

    Who it was comes from the token; a request without one is a new guest's.
    """
    if isinstance(data, EventDraft):
        data = [msgspec.to_builtins(data)]
    taken = await events.take(batch=data, visitor=arrival.visitor)
    answer = EventsKept(kept=taken.kept, refused=taken.refused, token=arrival.token)
    return Response(answer, status_code=207 if taken.refused else 201)


def _text(description: str, length_max: int) -> QueryParameter:
    return QueryParameter(description=description, min_length=1, max_length=length_max)


@get(
    "/v1/admin/events",
    summary="Read events, the newest first",
    tags=["admin"],
    guards=[requires(ANALYTICS_READ)],
    responses=says(InvalidCursor, InvalidEvent, InvalidPeriod),
)
async def list_events(
    *,
    events: NamedDependency[Events],
    name: Annotated[str | None, _text("The whole name.", NAME_LENGTH_MAX)] = None,
    category: FromQuery[EventCategory | None] = None,
    session_id: Annotated[str | None, _text("Of the visit.", VISIT_LENGTH_MAX)] = None,
    user_id: FromQuery[UUID | None] = None,
    anonymous_id: Annotated[str | None, _text("The visitor; asked for alone.", ANONYMOUS_LENGTH_MAX)] = None,
    order_id: Annotated[UUID | None, QueryParameter(description="Asked for alone.")] = None,
    utm_source: Annotated[str | None, _text("With utm_campaign, and nothing else.", UTM_LENGTH_MAX)] = None,
    utm_campaign: Annotated[str | None, _text("With utm_source, and nothing else.", UTM_LENGTH_MAX)] = None,
    since: Annotated[datetime | None, QueryParameter(description="30 days before `until` unless given.")] = None,
    until: Annotated[
        datetime | None, QueryParameter(description=f"Now unless given; at most {PERIOD_MAX.days} days after `since`.")
    ] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Event]:
    """Of a period. By name, category, visit and account together; or by one visitor, one order or one campaign."""
    named = any(each is not None for each in (name, category, session_id, user_id))
    campaign = utm_source is not None or utm_campaign is not None
    if named + (anonymous_id is not None) + (order_id is not None) + campaign > 1:
        raise InvalidEvent(field="anonymous_id", reason="a visitor, an order or a campaign is asked for alone")
    if anonymous_id is not None:
        return await events.of_anonymous(anonymous_id, since=since, until=until, cursor=cursor, limit=limit)
    if order_id is not None:
        return await events.of_order(OrderId(order_id), since=since, until=until, cursor=cursor, limit=limit)
    if campaign:
        if utm_source is None or utm_campaign is None:
            raise InvalidEvent(field="utm_source", reason="a campaign is named by utm_source and utm_campaign")
        return await events.of_campaign(
            utm_source=utm_source, utm_campaign=utm_campaign, since=since, until=until, cursor=cursor, limit=limit
        )
    return await events.list(
        name=name,
        category=category,
        visit=session_id,
        user_id=UserId(user_id) if user_id is not None else None,
        since=since,
        until=until,
        cursor=cursor,
        limit=limit,
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (take_events, list_events)
