# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import TenantId
from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedCount
from storeroom.inbox.model import (
    InboxBacklog,
    InboxDepth,
    InboxEntry,
    InboxMessage,
    InboxStatus,
    InboxSummary,
    SealedSource,
    SourceKeys,
    WebhookSource,
)

async def store(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    source: str,
    webhook_type: str,
    event_id: str,
    max_attempts: int,
    headers: Any,
    payload: Any,
    signature: str | None,
    verified_by: str,
) -> int: ...
async def store_forged(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    source: str,
    webhook_type: str,
    headers: Any,
    payload: Any,
    signature: str | None,
    error: str,
) -> int: ...
async def tenants_with_due(db: Executor, /, *, wait_max: timedelta, size: int) -> list[TenantId]: ...
async def claim(
    db: Executor, /, *, tenant_id: str, claim: UUID, lease: timedelta, wait_max: timedelta
) -> InboxMessage | None: ...
async def hold(db: Executor, /, *, tenant_id: str, message_id: UUID, claim: UUID) -> bool | None: ...
async def complete(
    db: Executor,
    /,
    *,
    tenant_id: str,
    message_id: UUID,
    claim: UUID,
    status: InboxStatus,
    result: Any,
    order_id: UUID | None,
    payment_id: UUID | None,
    fulfillment_id: UUID | None,
) -> int: ...
async def give_back(
    db: Executor, /, *, tenant_id: str, message_id: UUID, claim: UUID, error: str, again_in: timedelta
) -> InboxStatus | None: ...
async def tenants_with_lost(db: Executor, /, *, size: int) -> list[TenantId]: ...
async def return_lost(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
async def entry(db: Executor, /, *, tenant_id: str, message_id: UUID) -> InboxEntry | None: ...
async def entries(
    db: Executor,
    /,
    *,
    tenant_id: str,
    status: InboxStatus | None = None,
    source: str | None = None,
    webhook_type: str | None = None,
    before_at: datetime | None = None,
    before_id: UUID | None,
    size: int,
) -> list[InboxSummary]: ...
async def replay(db: Executor, /, *, tenant_id: str, message_id: UUID) -> int: ...
async def depths(db: Executor, /, *, tenant_id: str) -> list[InboxDepth]: ...
async def depths_of_all(db: Executor, /) -> list[InboxBacklog]: ...
async def tenants_with_old(db: Executor, /, *, before: datetime, after: str, size: int) -> list[TenantId]: ...
async def purge(db: Executor, /, *, tenant_id: str, before: datetime, size: int) -> int: ...
async def purge_forged(db: Executor, /, *, tenant_id: str, before: datetime, size: int) -> int: ...
async def insert_source(
    db: Executor,
    /,
    *,
    tenant_id: str,
    code: str,
    scheme: str,
    secret: str,
    signature_header: str,
    encoding: str,
    prefix: str,
    timestamp_header: str | None,
    tolerance_seconds: int,
    event_id_at: str | None,
    event_type_at: str,
    max_attempts: int,
    is_active: bool,
) -> int: ...
async def source(db: Executor, /, *, tenant_id: str, code: str) -> WebhookSource | None: ...
async def lock_source(db: Executor, /, *, tenant_id: str, code: str) -> WebhookSource | None: ...
async def sources(db: Executor, /, *, tenant_id: str, size: int) -> list[WebhookSource]: ...
async def source_keys(db: Executor, /, *, tenant_id: str, code: str) -> SourceKeys | None: ...
async def update_source(
    db: Executor,
    /,
    *,
    tenant_id: str,
    code: str,
    signature_header: str,
    encoding: str,
    prefix: str,
    timestamp_header: str | None,
    tolerance_seconds: int,
    event_id_at: str | None,
    event_type_at: str,
    max_attempts: int,
    is_active: bool,
) -> int: ...
async def change_secret(db: Executor, /, *, tenant_id: str, code: str, secret: str) -> int: ...
async def drop_previous_secret(db: Executor, /, *, tenant_id: str, code: str) -> int: ...
async def delete_source(db: Executor, /, *, tenant_id: str, code: str) -> int: ...
async def sealed_sources(db: Executor, /, *, after_tenant: str, after_code: str, size: int) -> list[SealedSource]: ...
async def reseal_source(
    db: Executor,
    /,
    *,
    tenant_id: str,
    code: str,
    known: str,
    known_previous: str | None,
    secret: str,
    previous_secret: str | None,
) -> int: ...
async def source_seals(db: Executor, /) -> list[SealedCount]: ...
