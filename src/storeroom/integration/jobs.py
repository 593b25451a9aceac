"""What the worker does about the queue beside sending, for all tenants."""

from datetime import UTC, datetime
from typing import Final

from storeroom.database.pool import Database
from storeroom.integration import queries
from storeroom.integration.model import KEPT

TENANTS_MAX: Final = 200  # looked at in one run


async def return_lost(db: Database, *, limit: int) -> int:
    """Make due again what a worker held when it died, or give it up after its last attempt; return how many.

    Also what waits for a time that was the present before the clock of the database was set back.
    """
    done = 0
    for tenant_id in await queries.tenants_with_lost_leases(db, size=TENANTS_MAX):
        if done < limit:
            done += await queries.return_lost(db, tenant_id=tenant_id, size=limit - done)
    for tenant_id in await queries.tenants_set_back(db, size=TENANTS_MAX):
        if done < limit:
            done += await queries.catch_up(db, tenant_id=tenant_id, size=limit - done)
    return done


async def purge(db: Database, *, limit: int) -> int:
    """Remove what arrived KEPT ago, with its attempts; return how many. Dead letters stay."""
    done, before = 0, datetime.now(UTC) - KEPT
    for tenant_id in await queries.tenants_with_old(db, before=before, size=TENANTS_MAX):
        if done < limit:
            done += await queries.purge(db, tenant_id=tenant_id, before=before, size=limit - done)
    return done
