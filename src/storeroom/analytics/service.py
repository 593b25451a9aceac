"""Taking down what happens in a shop, and giving it to an account when its visitor signs in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.analytics import queries
from storeroom.analytics.errors import EventUserNotFound, InvalidEvent, InvalidEventBatch, InvalidPeriod, NoEventKept
from storeroom.analytics.model import (
    ANONYMOUS_LENGTH_MAX,
    EARLIEST,
    EVENTS_MAX,
    LATEST,
    LINKED_WITHIN,
    LISTED_BY_DEFAULT,
    PERIOD_MAX,
    USER_AGENT_LENGTH_MAX,
    Event,
    EventCategory,
    EventDraft,
    Place,
    Taken,
    client_of,
    sift,
)
from storeroom.core.clock import NaiveInstant
from storeroom.core.ids import OrderId, SessionId, UserId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.visitor import Visitor
from storeroom.database.executor import Executor
from storeroom.database.service import ActorKind, Context, Service, operation, transactional

PLACE_TIMEOUT_S: Final = 0.2  # an event does not wait longer to learn where it came from
CLOCK_SLACK: Final = timedelta(minutes=1)  # between the database's clock and ours
PlaceLookup = Callable[[str], Awaitable[Place | None]]
Listener = Callable[[Context, Visitor, Sequence[EventDraft]], Awaitable[None]]  # in the transaction of the events

_log: Final = logging.getLogger(__name__)


class Events(Service):
    """The events of one tenant."""

    def __init__(
        self, context: Context, places: PlaceLookup | None = None, listeners: Mapping[str, Listener] | None = None
    ) -> None:
        """Take down events.

        Args:
            context: who asks, for which tenant.
            places: where an address is; without it, and where it fails, events have no country.
            listeners: by the name of the events that each hears when visitors tell them.
        """
        super().__init__(context)
        self._places, self._listeners = places, listeners or {}

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._places, self._listeners)

    # --- Writing ------------------------------------------------------------------------------------------------------

    @operation
    async def take(self, *, batch: Sequence[Any], visitor: Visitor) -> Taken:
        """Keep what a visitor's client tells, in one statement; what cannot be kept is named by its index.

        Whether the visitor has signed in meanwhile is read in the same statement, under a lock, so no event is left
        behind by a sign-in at the same moment.

        Args:
            batch: 1 to EVENTS_MAX events, each with the fields of `EventDraft`.
            visitor: of this shop. Of one whose session is unknown nothing is kept.

        Raises:
            InvalidEventBatch: too few or too many.
            NoEventKept: each of them is wrong; it says of each why.
        """
        _bounded(batch)
        good, refused = sift(batch)
        if not good:
            raise NoEventKept(refused=refused)
        # One statement is a transaction by itself; a key that is settled with the rows, or whoever listens, needs one
        # around both.
        origin = await self._origin()
        if (heard := self._heard(good)) or self.context.claim is not None:
            return Taken(kept=await self._keep_and_tell(good, visitor, origin, heard), refused=refused)
        return Taken(kept=await self._keep(good, visitor, origin), refused=refused)

    def _heard(self, good: Sequence[bytes]) -> dict[str, list[EventDraft]]:
        """What somebody listens to, by its name."""
        heard: dict[str, list[EventDraft]] = {}
        for name in self._listeners:
            said = b'"event_name":"%b"' % name.encode()
            for text in good:
                if said in text and (event := msgspec.json.decode(text, type=EventDraft)).event_name == name:
                    heard.setdefault(name, []).append(event)
        return heard

    async def _keep(self, good: Sequence[bytes], visitor: Visitor, origin: Mapping[str, Any]) -> int:
        if visitor.session_id is None:
            return await queries.insert_events(
                self.db,
                tenant_id=self.tenant_id,
                user_id=visitor.user_id,
                anonymous_id=None,
                visitor_id=None,
                events=_rows_of(good),
                **origin,
            )
        return await queries.insert_events_of_visitor(
            self.db, tenant_id=self.tenant_id, visitor_id=visitor.session_id, events=_rows_of(good), **origin
        )

    @transactional
    async def _keep_and_tell(
        self, good: Sequence[bytes], visitor: Visitor, origin: Mapping[str, Any], heard: Mapping[str, list[EventDraft]]
    ) -> int:
        kept = await self._keep(good, visitor, origin)
        if kept:
            for name, events in heard.items():
                await self._listeners[name](self.context, visitor, events)
        return kept

    @operation
    async def record(
        self, *, events: Sequence[EventDraft], user_id: UserId | None = None, anonymous_id: str | None = None
    ) -> int:
        """Keep what a program knows of somebody; return how many it were.

        Args:
            events: 1 to EVENTS_MAX.
            user_id: the account; with none, an anonymous_id is needed.
            anonymous_id: the visitor, 1 to ANONYMOUS_LENGTH_MAX characters.

        Raises:
            InvalidEventBatch, InvalidEvent, EventUserNotFound: nothing was written.
        """
        _bounded(events)
        texts = [event.encoded() for event in events]
        if user_id is None and anonymous_id is None:
            raise InvalidEvent(field="anonymous_id", reason="say which account or which visitor it was")
        if anonymous_id is not None and not (
            1 <= len(anonymous_id) <= ANONYMOUS_LENGTH_MAX and "\x00" not in anonymous_id
        ):
            raise InvalidEvent(field="anonymous_id", reason=f"1 to {ANONYMOUS_LENGTH_MAX} characters")
        if user_id is not None and not await queries.known_user(self.db, tenant_id=self.tenant_id, user_id=user_id):
            raise EventUserNotFound(user_id=user_id)
        return await queries.insert_events(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            anonymous_id=anonymous_id,
            visitor_id=None,
            events=_rows_of(texts),
            **await self._origin(),
        )

    @transactional
    async def link(self, *, session_id: SessionId) -> int:
        """Give the account of a session what its visitor did before signing in; return how many events it were.

        Those of the last LINKED_WITHIN that belong to nobody. Doing it again changes nothing. A sign-in calls it after
        it has merged the carts: see `insert_events`.
        """
        return await queries.link_events(self.db, tenant_id=self.tenant_id, visitor_id=session_id, within=LINKED_WITHIN)

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def list(
        self,
        *,
        name: str | None = None,
        category: EventCategory | None = None,
        visit: str | None = None,
        user_id: UserId | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Event]:
        """Events of a period, the newest first, with all that is asked for.

        Args:
            name: the whole name.
            category: its first word.
            visit: the client's session_id.
            user_id: the account.
            since: LISTED_BY_DEFAULT ago if None. The period is half open.
            until: now if None; at most PERIOD_MAX later.
            cursor: of the page before. Give the same period with it.
            limit: rows on the page.

        Raises:
            InvalidPeriod, InvalidCursor, InvalidPageSize.
        """
        return await self._page(
            queries.events_listed,
            {"name": name, "category": category, "visit": visit, "user_id": user_id},
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )

    @operation
    async def last(self, *, user_id: UserId, name: str, limit: int | None = None) -> Sequence[Event]:
        """The last events of one name that an account has, the newest first, however long ago.

        Raises:
            InvalidPageSize: see `core.pages`.
        """
        return await queries.last_of_user(
            self.db, tenant_id=self.tenant_id, user_id=user_id, name=name, rows=page_size(limit)
        )

    @operation
    async def of_anonymous(
        self,
        anonymous_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Event]:
        """What one visitor did, before and after signing in; otherwise as `list`."""
        return await self._page(
            queries.events_of_anonymous,
            {"anonymous_id": anonymous_id},
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )

    @operation
    async def of_order(
        self,
        order_id: OrderId,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Event]:
        """What happened around one order; otherwise as `list`."""
        return await self._page(
            queries.events_of_order, {"order_id": order_id}, since=since, until=until, cursor=cursor, limit=limit
        )

    @operation
    async def of_campaign(
        self,
        *,
        utm_source: str,
        utm_campaign: str,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Event]:
        """What those did who came by a campaign; otherwise as `list`."""
        return await self._page(
            queries.events_of_campaign,
            {"utm_source": utm_source, "utm_campaign": utm_campaign},
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _page(
        self,
        statement: Callable[..., Awaitable[Sequence[Event]]],
        asked: Mapping[str, object],
        *,
        since: datetime | None,
        until: datetime | None,
        cursor: str | None,
        limit: int | None,
    ) -> Page[Event]:
        size = page_size(limit)
        until = until or self.context.clock.now() + CLOCK_SLACK
        for field, instant in (("since", since), ("until", until)):
            if instant is not None and instant.tzinfo is None:
                raise NaiveInstant(field=field)
        if not EARLIEST <= until < LATEST:
            raise InvalidPeriod(days_max=PERIOD_MAX.days)
        since = since or until - LISTED_BY_DEFAULT
        if not since < until or until - since > PERIOD_MAX:
            raise InvalidPeriod(days_max=PERIOD_MAX.days)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await statement(
            self.db,
            tenant_id=self.tenant_id,
            since=since,
            until=until,
            before_at=before_at,
            before_id=before_id,
            rows=size + 1,
            **asked,
        )
        return page_of(rows, size, lambda event: (event.created_at, event.id))

    async def _origin(self) -> dict[str, Any]:
        return _origin_of(self.context, await self._place())

    async def _place(self) -> Place | None:
        if self._places is None or self.context.ip is None:
            return None
        try:
            async with asyncio.timeout(PLACE_TIMEOUT_S):
                return await self._places(self.context.ip)
        except Exception as error:  # noqa: BLE001  # somebody else's code, and no event is lost for it
            _log.warning("the place of an address is not known: %r", error)
            return None


_NOWHERE: Final[Mapping[str, None]] = MappingProxyType(
    dict.fromkeys(("ip", "user_agent", "device_type", "browser", "os", "country_code", "region", "city"))
)


async def note(
    tx: Executor,
    context: Context,
    *,
    event_name: str,
    user_id: UserId | None = None,
    session_id: SessionId | None = None,
    **about: Any,
) -> None:
    """Take down something that a service has just done, in its transaction: with it, or not at all.

    Where neither an account nor a visitor is known there is nobody whose event it were, and nothing is written. Where
    staff or a job did it, the address and the browser are theirs and not the customer's, so they are left out.

    Args:
        tx: the transaction of the change.
        context: of the service.
        event_name: `{category}.{action}[.{detail}]`.
        user_id: the account.
        session_id: of the visitor; it stands for the visit too.
        about: `cart_id`, `order_id`, `payment_id`, `product_id`, `properties`.
    """
    if user_id is None and session_id is None:
        return
    event = EventDraft(
        event_name=event_name,
        event_category=EventCategory(event_name.partition(".")[0]),
        session_id=str(session_id or context.request_id or "server"),
        **about,
    )
    await queries.insert_events(
        tx,
        tenant_id=context.tenant_id,
        user_id=user_id,
        anonymous_id=None,
        visitor_id=session_id,
        events=_rows_of([event.encoded()]),
        **(_origin_of(context, None) if context.actor.kind is ActorKind.CUSTOMER else _NOWHERE),
    )


def browser_of(context: Context) -> Mapping[str, str | None]:
    """User-Agent, device, browser and system of the customer who calls; of staff and of jobs nothing."""
    origin = _origin_of(context, None) if context.actor.kind is ActorKind.CUSTOMER else _NOWHERE
    return {name: origin[name] for name in ("user_agent", "device_type", "browser", "os")}


def _bounded(events: Sequence[object]) -> None:
    if not 1 <= len(events) <= EVENTS_MAX:
        raise InvalidEventBatch(events=len(events), events_max=EVENTS_MAX)


def _rows_of(events: Sequence[bytes]) -> msgspec.Raw:
    """One array of them all, each with an id of its own."""
    return msgspec.Raw(
        b"[" + b",".join([b'{"id":"%b",%b' % (str(new_id()).encode(), event[1:]) for event in events]) + b"]"
    )


def _origin_of(context: Context, place: Place | None) -> dict[str, Any]:
    """What all events of one call share."""
    user_agent = (context.user_agent or "")[:USER_AGENT_LENGTH_MAX].replace("\x00", "") or None
    client, place = client_of(user_agent), place or Place()
    return {
        "ip": context.ip,
        "user_agent": user_agent,
        "device_type": client.device_type,
        "browser": client.browser,
        "os": client.os,
        "country_code": place.country_code,
        "region": place.region,
        "city": place.city,
    }
