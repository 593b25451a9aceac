# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.retention.model import CartReminder, CartReminderStatus, DueReminder, KeptCart, KeptLine, ReminderLine

async def config(db: Executor, /, *, tenant_id: str, domain_id: UUID | None) -> dict[str, Any] | None: ...
async def put_config(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    domain_id: UUID | None,
    retry_time_seconds: int,
    max_retries: int,
    bcc_emails: Sequence[str],
    is_active: bool,
) -> dict[str, Any]: ...
async def reminders_page(
    db: Executor, /, *, tenant_id: str, status: CartReminderStatus | None = None, before: UUID | None = None, rows: int
) -> list[CartReminder]: ...
async def keep_order_cart(db: Executor, /, *, tenant_id: str, id: UUID, order_id: UUID) -> None: ...
async def keep_carts(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], cart_ids: Sequence[UUID]) -> int: ...
async def idle_carts(
    db: Executor, /, *, tenant_id: str, default_s: int, within: timedelta, rows: int
) -> list[UUID]: ...
async def tenants_with_idle_carts(db: Executor, /, *, default_s: int, within: timedelta, rows: int) -> list[str]: ...
async def tenants_with_due(db: Executor, /, *, default_s: int, late: timedelta, rows: int) -> list[str]: ...
async def claim_due(
    db: Executor, /, *, tenant_id: str, default_s: int, default_retries: int, late: timedelta, rows: int
) -> list[DueReminder]: ...
async def lines_told(
    db: Executor, /, *, tenant_id: str, cart_id: UUID, default_title: str, rows: int
) -> list[ReminderLine]: ...
async def reminded(db: Executor, /, *, tenant_id: str, id: UUID) -> int: ...
async def wait_longer(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], since: Sequence[datetime]) -> None: ...
async def finish(
    db: Executor,
    /,
    *,
    tenant_id: str,
    ids: Sequence[UUID],
    status: CartReminderStatus,
    sources: Sequence[CartReminderStatus],
) -> int: ...
async def kept(db: Executor, /, *, tenant_id: str, id: UUID) -> KeptCart | None: ...
async def kept_lines(db: Executor, /, *, tenant_id: str, cart_id: UUID) -> list[KeptLine]: ...
