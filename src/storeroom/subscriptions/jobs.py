"""What the worker does about subscriptions, for all tenants."""

import logging
from typing import Final

from storeroom.audit import record
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.subscriptions import queries
from storeroom.subscriptions.service import Subscriptions
from storeroom.tenants import Faults, Tenants

TENANTS_MAX: Final = 50  # visited in one run
BATCH_MAX: Final = 100  # subscriptions of one transaction
DUE_MAX: Final = 1_000  # of one run
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="renew_due")


async def renew_due(db: Database, *, limit: int = DUE_MAX) -> int:
    """Do what the end of a period asks for, and return for how many.

    A period that is paid ahead begins. What shall end ends, also where a provider collects. What nobody paid is past
    due and, after its grace, expires; a provider's own are left to its messages. Each batch commits by itself; a row
    that a rival holds is the rival's, so any number of runs at once do the work of one. The error of a shop is raised
    when all had their turn.
    """
    tenants, done, faults = Tenants(db).cache, 0, Faults(_log, "renewing subscriptions")
    for tenant_id in await queries.tenants_with_due(db, size=TENANTS_MAX):
        found = BATCH_MAX
        while found == BATCH_MAX and done < limit:
            size = min(BATCH_MAX, limit - done)

            async def batch(tx: Transaction, tenant_id: str = tenant_id, size: int = size) -> int:
                context = Context(db=tx, tenant_id=TenantId(tenant_id), tenants=tenants, actor=_ACTOR)
                due = await queries.claim_due(tx, tenant_id=tenant_id, size=size)
                for subscription in due:
                    event = await Subscriptions(context).step(subscription=subscription)
                    await record(
                        tx,
                        context,
                        action=f"subscriptions.{event}",
                        resource_type="subscription",
                        resource_id=subscription.id,
                    )
                return len(due)

            found = 0
            with faults.of(tenant_id):
                found = await db.run(batch)
            done += found
    faults.raise_first()
    return done
