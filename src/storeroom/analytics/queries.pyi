# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.analytics.model import Event
from storeroom.database.executor import Executor

async def insert_events_of_visitor(
    db: Executor,
    /,
    *,
    tenant_id: str,
    visitor_id: UUID,
    events: Any,
    ip: str | None,
    user_agent: str | None,
    device_type: str | None,
    browser: str | None,
    os: str | None,
    country_code: str | None,
    region: str | None,
    city: str | None,
) -> int: ...
async def insert_events(
    db: Executor,
    /,
    *,
    tenant_id: str,
    user_id: UUID | None,
    anonymous_id: str | None,
    visitor_id: UUID | None,
    events: Any,
    ip: str | None,
    user_agent: str | None,
    device_type: str | None,
    browser: str | None,
    os: str | None,
    country_code: str | None,
    region: str | None,
    city: str | None,
) -> int: ...
async def known_user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> bool: ...
async def link_events(db: Executor, /, *, tenant_id: str, visitor_id: UUID, within: timedelta) -> int: ...
async def events_listed(
    db: Executor,
    /,
    *,
    tenant_id: str,
    name: str | None = None,
    category: str | None = None,
    visit: str | None = None,
    user_id: UUID | None = None,
    since: datetime,
    until: datetime,
    before_at: datetime | None = None,
    before_id: UUID | None,
    rows: int,
) -> list[Event]: ...
async def events_of_anonymous(
    db: Executor,
    /,
    *,
    tenant_id: str,
    anonymous_id: str,
    since: datetime,
    until: datetime,
    before_at: datetime | None = None,
    before_id: UUID | None,
    rows: int,
) -> list[Event]: ...
async def events_of_order(
    db: Executor,
    /,
    *,
    tenant_id: str,
    order_id: UUID,
    since: datetime,
    until: datetime,
    before_at: datetime | None = None,
    before_id: UUID | None,
    rows: int,
) -> list[Event]: ...
async def events_of_campaign(
    db: Executor,
    /,
    *,
    tenant_id: str,
    utm_source: str,
    utm_campaign: str,
    since: datetime,
    until: datetime,
    before_at: datetime | None = None,
    before_id: UUID | None,
    rows: int,
) -> list[Event]: ...
async def last_of_user(db: Executor, /, *, tenant_id: str, user_id: UUID, name: str, rows: int) -> list[Event]: ...
async def retire_months(db: Executor, /, *, before: date, drop: bool, rows: int) -> int: ...
