# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.sources.model import SourceRecord, WaitingRecord

async def open_record(db: Executor, /, *, tenant_id: str, source: str, kind: str, external_id: str) -> int: ...
async def lock_record(
    db: Executor, /, *, tenant_id: str, source: str, kind: str, external_id: str
) -> SourceRecord | None: ...
async def record(
    db: Executor, /, *, tenant_id: str, source: str, kind: str, external_id: str
) -> SourceRecord | None: ...
async def keep_record(
    db: Executor,
    /,
    *,
    tenant_id: str,
    source: str,
    kind: str,
    external_id: str,
    parent_id: str | None,
    local_id: UUID | None,
    fields: Any,
    waits_for: str | None,
    changed_at: datetime | None,
) -> int: ...
async def keep_synced(
    db: Executor,
    /,
    *,
    tenant_id: str,
    source: str,
    kind: str,
    external_id: str,
    parent_id: str | None,
    local_id: UUID | None,
    fields: Any,
    waits_for: str | None,
    changed_at: datetime | None,
) -> int: ...
async def lock_children(
    db: Executor, /, *, tenant_id: str, source: str, parent_id: str, kind: str, rows: int
) -> list[SourceRecord]: ...
async def waiting_children(
    db: Executor, /, *, tenant_id: str, source: str, parent_id: str, rows: int
) -> list[SourceRecord]: ...
async def waiting(
    db: Executor, /, *, tenant_id: str, source: str, after_kind: str | None = None, after_id: str | None, rows: int
) -> list[SourceRecord]: ...
async def touch_record(db: Executor, /, *, tenant_id: str, source: str, kind: str, external_id: str) -> int: ...
async def records_to_try(db: Executor, /, *, source: str, every: timedelta, rows: int) -> list[WaitingRecord]: ...
