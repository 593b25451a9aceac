"""What the worker does for codes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.verification import queries

BATCH_MAX: Final = 500  # rows in one transaction
OLDEST_MAX: Final = 500  # rows whose tenants are looked at in one round


async def remove_expired_codes(db: Database, *, limit: int = 5_000) -> int:
    """Remove codes whose time is over, and counts of requests that count no more; return how many it were.

    They are refused anyway: every statement that tests a code tests the time. Any number of workers may do it at once.
    """

    async def codes(tenant_id: TenantId, rows: int) -> int:
        return await queries.cleanup_expired(db, tenant_id=tenant_id, rows=rows)

    async def requests(tenant_id: TenantId, rows: int) -> int:
        return await queries.delete_old_requests(db, tenant_id=tenant_id, rows=rows)

    done = await _each(lambda: queries.tenants_with_expired(db, rows=OLDEST_MAX), codes, limit)
    return done + await _each(lambda: queries.tenants_with_old_requests(db, rows=OLDEST_MAX), requests, limit - done)


async def remove_expired_nonces(db: Database, *, limit: int = 5_000) -> int:
    """Remove nonces whose time is over, used or not; return how many it were. Until then a used one says so."""

    async def nonces(tenant_id: TenantId, rows: int) -> int:
        return await queries.delete_expired_nonces(db, tenant_id=tenant_id, rows=rows)

    return await _each(lambda: queries.tenants_with_expired_nonces(db, rows=OLDEST_MAX), nonces, limit)


async def _each(
    due: Callable[[], Awaitable[Sequence[str]]], remove: Callable[[TenantId, int], Awaitable[int]], limit: int
) -> int:
    """Batch after batch, tenant by tenant, until nothing is found or `limit` is reached."""
    done = 0
    while done < limit:
        before = done
        for tenant_id in await due():
            rows = min(BATCH_MAX, limit - done)
            if rows <= 0:
                break
            done += await remove(TenantId(tenant_id), rows)
        if done == before:
            break
    return done
