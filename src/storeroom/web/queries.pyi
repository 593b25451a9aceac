# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.web.model import KnownKey

async def claim_key(
    db: Executor,
    /,
    *,
    tenant_id: str,
    scope: str,
    key: str,
    request_fingerprint: str,
    claim: UUID,
    lease: timedelta,
    ttl: timedelta,
) -> UUID | None: ...
async def known_key(db: Executor, /, *, tenant_id: str, scope: str, key: str) -> KnownKey | None: ...
async def settle_key(db: Executor, /, *, tenant_id: str, scope: str, key: str, claim: UUID) -> int: ...
async def answer_key(db: Executor, /, *, tenant_id: str, scope: str, key: str, claim: UUID, response: Any) -> int: ...
async def release_key(db: Executor, /, *, tenant_id: str, scope: str, key: str, claim: UUID) -> int: ...
async def save_key(
    db: Executor,
    /,
    *,
    tenant_id: str,
    scope: str,
    key: str,
    request_fingerprint: str,
    claim: UUID,
    response: Any,
    ttl: timedelta,
) -> UUID | None: ...
async def delete_key(db: Executor, /, *, tenant_id: str, scope: str, key: str) -> int: ...
async def tenants_with_expired_keys(db: Executor, /, *, size: int) -> list[str]: ...
async def delete_expired_keys(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
async def count_hits(db: Executor, /, *, tenant_id: str, bucket: str, window_at: datetime, hits: int) -> int: ...
async def tenants_with_old_counters(db: Executor, /, *, before: datetime, size: int) -> list[str]: ...
async def delete_old_counters(db: Executor, /, *, tenant_id: str, before: datetime, size: int) -> int: ...
