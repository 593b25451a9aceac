"""What the worker does about the inbox beside processing, for all tenants."""

from datetime import UTC, datetime
from typing import Final

from storeroom.database.pool import Database
from storeroom.inbox import queries
from storeroom.inbox.model import FORGED_KEPT, KEPT

TENANTS_MAX: Final = 200  # asked for at once


async def return_lost(db: Database, *, limit: int) -> int:
    """Make due again what a worker held when it died, or fail it after its last attempt; return how many."""
    done = 0
    for tenant_id in await queries.tenants_with_lost(db, size=TENANTS_MAX):
        if done < limit:
            done += await queries.return_lost(db, tenant_id=tenant_id, size=limit - done)
    return done


async def purge(db: Database, *, limit: int) -> int:
    """Remove what was processed and came KEPT ago, and what was forged FORGED_KEPT ago; return how many.

    What failed stays.
    """
    done, after, now = 0, "", datetime.now(UTC)
    while done < limit:
        tenants = await queries.tenants_with_old(db, before=now - FORGED_KEPT, after=after, size=TENANTS_MAX)
        for tenant_id in tenants:
            if done < limit:
                done += await queries.purge_forged(db, tenant_id=tenant_id, before=now - FORGED_KEPT, size=limit - done)
            if done < limit:
                done += await queries.purge(db, tenant_id=tenant_id, before=now - KEPT, size=limit - done)
        if len(tenants) < TENANTS_MAX:
            break
        after = tenants[-1]
    return done
