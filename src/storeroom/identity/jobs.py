"""What the worker does for sessions and one-time tokens."""

from functools import partial
from typing import Final

from storeroom.core.ids import TenantId
from storeroom.database.executor import Executor
from storeroom.database.pool import Database
from storeroom.identity import queries
from storeroom.identity.model import ENDED_SESSIONS_KEPT

BATCH_MAX: Final = 500  # sessions in one transaction
TENANTS_MAX: Final = 50  # looked at in one round


async def expire_sessions(db: Database, *, limit: int = 5_000) -> int:
    """Mark sessions whose time is over, at most `limit`; return how many it were.

    They are refused anyway: every statement that tests a token tests the time. Any number of workers may do it at once.
    """
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_overdue(db, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            done += await queries.expire_sessions(db, tenant_id=tenant_id, rows=batch)
        if done == before:
            break
    return done


async def remove_sessions(db: Database, *, limit: int = 5_000) -> int:
    """Remove sessions that ended ENDED_SESSIONS_KEPT ago, at most `limit`; return how many it were.

    A guest's carts go along. Where one of them became an order, the session stays and forgets its address and browser.
    """
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_ended(db, kept=ENDED_SESSIONS_KEPT, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            done += await db.run(partial(_remove, tenant_id=TenantId(tenant_id), limit=batch))
        if done == before:
            break
    return done


async def remove_account_tokens(db: Database, *, limit: int = 5_000) -> int:
    """Remove one-time tokens whose time is over, at most `limit`; return how many it were. They are refused anyway."""
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_old_tokens(db, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            done += await queries.delete_old_tokens(db, tenant_id=tenant_id, rows=batch)
        if done == before:
            break
    return done


async def _remove(tx: Executor, *, tenant_id: TenantId, limit: int) -> int:
    ids = await queries.lock_ended(tx, tenant_id=tenant_id, kept=ENDED_SESSIONS_KEPT, rows=limit)
    removed = await queries.delete_sessions(tx, tenant_id=tenant_id, ids=ids)
    return removed + await queries.strip_sessions(tx, tenant_id=tenant_id, ids=ids)
