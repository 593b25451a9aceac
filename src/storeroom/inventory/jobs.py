"""What the worker does for stock."""

from functools import partial
from typing import Final

from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.inventory import queries
from storeroom.inventory.service import release_expired

BATCH_MAX: Final = 200  # reservations in one transaction: their stock rows are locked for so long
TENANTS_MAX: Final = 50  # looked at in one round


async def expire_reservations(db: Database, *, limit: int = 1_000) -> int:
    """Give back the units of expired reservations, at most `limit` of them; return how many it were.

    Any number of workers may do it at once: each reservation is given back by one of them.
    """
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_expired(db, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            done += await db.run(partial(release_expired, tenant_id=TenantId(tenant_id), limit=batch))
        if done == before:
            break
    return done
