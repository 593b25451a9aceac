# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor

async def insert_attempt(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    email: str | None,
    phone: str | None,
    order_reference: str | None,
    verification_method: str,
    success: bool,
    message: str | None,
    failure_code: str | None,
    metadata: Any,
    ip_address: str | None,
    user_agent: str | None,
    host: str | None,
) -> dict[str, Any]: ...
async def blocked_for_s(
    db: Executor,
    /,
    *,
    tenant_id: str,
    email: str | None,
    phone: str | None,
    order_reference: str | None,
    verification_method: str,
    window: timedelta,
    failures_max: int,
) -> int | None: ...
async def attempts_newest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    email_part: str | None = None,
    success: bool | None = None,
    before_at: datetime | None,
    before_id: UUID | None = None,
    rows: int,
) -> list[dict[str, Any]]: ...
async def attempts_counted(
    db: Executor, /, *, tenant_id: str, email_part: str | None = None, success: bool | None = None
) -> int: ...
