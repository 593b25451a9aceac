# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from storeroom.audit.model import Entry, Hashed, Link, Unsealed
from storeroom.database.executor import Executor

async def address(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def batch(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def category(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def order(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def payment_method(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def product(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def shipping_rate(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def user(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def variant(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def profile(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def stock(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def lock_order_of(db: Executor, /, *, tenant_id: str, payment_id: UUID) -> UUID | None: ...
async def payment(db: Executor, /, *, tenant_id: str, id: UUID) -> dict[str, Any] | None: ...
async def record(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    actor_kind: str,
    user_id: UUID | None,
    user_email: str | None,
    user_role: str | None,
    action: str,
    resource_type: str,
    resource_id: UUID | None,
    old_values: Any,
    new_values: Any,
    ip_address: str | None,
    user_agent: str | None,
    request_id: str | None,
    error_message: str | None,
) -> int: ...
async def entries(
    db: Executor,
    /,
    *,
    tenant_id: str,
    user_id: UUID | None = None,
    resource_type: str | None,
    resource_id: UUID | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before_at: datetime | None,
    before_id: UUID | None = None,
    size: int,
) -> list[Entry]: ...
async def tenants_with_unsealed(db: Executor, /, *, size: int) -> list[str]: ...
async def alone(db: Executor, /, *, key: str) -> bool: ...
async def last_seal(db: Executor, /, *, tenant_id: str) -> Link | None: ...
async def take_unsealed(db: Executor, /, *, tenant_id: str, size: int) -> list[Unsealed]: ...
async def row_hashes(
    db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], first_at: datetime, last_at: datetime
) -> list[Hashed]: ...
async def seal(
    db: Executor,
    /,
    *,
    tenant_id: str,
    number: int,
    previous_hash: bytes,
    audit_ids: Sequence[UUID],
    rows_created_at: Sequence[datetime],
    row_hashes: Sequence[bytes],
    hash: bytes,
) -> int: ...
