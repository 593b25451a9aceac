"""What the worker clears away for the web."""

from datetime import timedelta
from typing import Final

from storeroom.core.clock import Clock, SystemClock
from storeroom.database.pool import Database
from storeroom.web import queries

BATCH_SIZE: Final = 1000
COUNTERS_KEPT: Final = timedelta(days=2)  # longer than any window


async def delete_expired_keys(db: Database, *, limit: int = BATCH_SIZE) -> int:
    """Delete idempotency keys past their time, at most `limit`; return how many."""
    deleted = 0
    for tenant_id in await queries.tenants_with_expired_keys(db, size=limit):
        deleted += await queries.delete_expired_keys(db, tenant_id=tenant_id, size=limit - deleted)
        if deleted >= limit:
            break
    return deleted


async def delete_old_counters(db: Database, *, limit: int = BATCH_SIZE, clock: Clock | None = None) -> int:
    """Delete the counters of windows long past, at most `limit`; return how many."""
    before = (clock or SystemClock()).now() - COUNTERS_KEPT
    deleted = 0
    for tenant_id in await queries.tenants_with_old_counters(db, before=before, size=limit):
        deleted += await queries.delete_old_counters(db, tenant_id=tenant_id, before=before, size=limit - deleted)
        if deleted >= limit:
            break
    return deleted
