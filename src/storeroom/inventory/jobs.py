"""What the worker does for stock."""

import logging
from functools import partial
from typing import Final

from storeroom.audit import record
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, TenantLookup
from storeroom.inventory import queries
from storeroom.inventory.service import release_expired
from storeroom.tenants import Faults, Tenant, Tenants

BATCH_MAX: Final = 200  # reservations in one transaction: their stock rows are locked for so long
TENANTS_MAX: Final = 50  # looked at in one round
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="expire_reservations")


async def expire_reservations(db: Database, *, limit: int = 1_000) -> int:
    """Give back the units of expired reservations, at most `limit` of them; return how many it were.

    Any number of workers may do it at once: each reservation is given back by one of them. The trail of a shop has one
    entry a batch, with their number: the movements of the stock tell of each. The error of a shop is raised when all
    had their turn.
    """
    tenants, done, faults = Tenants(db).cache, 0, Faults(_log, "giving back reservations")
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_expired(db, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            with faults.of(tenant_id):
                done += await db.run(partial(_release, tenants=tenants, tenant_id=TenantId(tenant_id), limit=batch))
        if done == before:
            break
    faults.raise_first()
    return done


async def _release(tx: Transaction, *, tenants: TenantLookup[Tenant], tenant_id: TenantId, limit: int) -> int:
    released = await release_expired(tx, tenant_id=tenant_id, limit=limit)
    if released:
        context = Context(db=tx, tenant_id=tenant_id, tenants=tenants, actor=_ACTOR)
        told = {"reservations": released}
        await record(tx, context, action="inventory.expire_reservations", resource_type="reservation", new_values=told)
    return released
