# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

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
