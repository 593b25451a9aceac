"""Reading the trail."""

from datetime import datetime
from uuid import UUID

from storeroom.audit import queries
from storeroom.audit.errors import InvalidAuditQuery
from storeroom.audit.model import ACTION_LENGTH_MAX, RESOURCE_LENGTH_MAX, Entry
from storeroom.core.clock import utc
from storeroom.core.ids import UserId
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation


class Audit(Service):
    """Who did what in one tenant."""

    @operation
    async def list(
        self,
        *,
        user_id: UserId | None = None,
        resource_type: str | None = None,
        resource_id: UUID | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Entry]:
        """Entries that all given filters let through, newest first.

        Args:
            user_id: who acted.
            resource_type: what kind of thing was acted upon; only with its id.
            resource_id: which one.
            action: as in `orders.ship`.
            since: from this instant on.
            until: before this instant.
            cursor: of the page before.
            limit: 1 to PAGE_SIZE_MAX.

        Raises:
            InvalidAuditQuery: a filter is too long, or a type stands without an id or an id without a type.
            NaiveInstant: an instant without a zone.
        """
        if (resource_id is None) != (resource_type is None):
            raise InvalidAuditQuery(field="resource_id", reason="resource_type and resource_id are asked for together")
        for field, text, most in (
            ("action", action, ACTION_LENGTH_MAX),
            ("resource_type", resource_type, RESOURCE_LENGTH_MAX),
        ):
            if text is not None and (not 1 <= len(text) <= most or "\x00" in text):
                raise InvalidAuditQuery(field=field, reason=f"1 to {most} characters")
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor is not None else (None, None)
        rows = await queries.entries(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            resource_type=resource_type,
            resource_id=resource_id,
            action=action,
            since=utc(since, field="since") if since is not None else None,
            until=utc(until, field="until") if until is not None else None,
            before_at=before_at,
            before_id=before_id,
            size=size + 1,
        )
        return page_of(rows, size, lambda entry: (entry.created_at, entry.id))
