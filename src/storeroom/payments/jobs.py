"""What the worker does about payments, for all tenants."""

import logging
from typing import Final

from storeroom.audit import record
from storeroom.core.ids import TenantId, new_id
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.payments import queries
from storeroom.payments.steps import tell
from storeroom.tenants import Faults, Tenants

TENANTS_MAX: Final = 50  # looked at in one run
BATCH_MAX: Final = 100  # payments in one transaction
EXPIRED_MAX: Final = 1_000  # payments in one run
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="expire_payments")


async def expire_payments(db: Database, *, limit: int = EXPIRED_MAX) -> int:
    """Expire what is pending past its window, at most `limit` payments; return how many.

    Each gets one attempt `auto_expire`. The order stays as it is, and another payment can be started. What awaits
    verification never expires. Any number of runs at once do the work of one. The error of a shop is raised when all
    had their turn.
    """
    expired, faults = 0, Faults(_log, "expiring payments")
    for tenant_id in await queries.tenants_with_overdue(db, size=TENANTS_MAX):
        found = BATCH_MAX
        while found == BATCH_MAX and expired < limit:
            found = 0
            with faults.of(tenant_id):
                found = await _expire(db, tenant_id, min(BATCH_MAX, limit - expired))
            expired += found
    faults.raise_first()
    return expired


async def _expire(db: Database, tenant_id: str, size: int) -> int:
    context = Context(db=db, tenant_id=TenantId(tenant_id), tenants=Tenants(db).cache, actor=_ACTOR)

    async def batch(tx: Transaction) -> int:
        payments = await queries.expire_overdue(tx, tenant_id=tenant_id, size=size)
        if payments:
            await queries.add_expiry_attempts(
                tx,
                tenant_id=tenant_id,
                attempt_ids=[new_id() for _ in payments],
                payment_ids=[payment.id for payment in payments],
            )
        for payment in payments:
            await tell(tx, tenant_id, "payment.expired", payment)
            await record(tx, context, action="payments.expire", resource_type="payment", resource_id=payment.id)
        return len(payments)

    return await db.run(batch)
