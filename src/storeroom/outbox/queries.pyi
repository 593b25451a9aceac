# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor

async def enqueue(
    db: Executor,
    /,
    *,
    tenant_id: str,
    webhook_id: UUID,
    destination: str,
    event_type: str,
    payload: Any,
    entity_type: str,
    entity_id: UUID,
    next_attempt_at: datetime | None,
) -> int: ...
async def enqueue_many(db: Executor, /, *, tenant_id: str, entity_type: str, rows: Any) -> int: ...
async def enqueue_missing(
    db: Executor,
    /,
    *,
    tenant_id: str,
    destination: str,
    event_type: str,
    entity_type: str,
    ids: Sequence[UUID],
    entity_ids: Sequence[UUID],
) -> int: ...
