"""What the worker does for orders, over all tenants, in bounded steps that another worker may take at the same time."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from storeroom.audit import record
from storeroom.core.ids import OrderId, TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.orders import queries
from storeroom.orders.service import Orders
from storeroom.tenants import Faults, Tenants

TENANTS_MAX: Final = 50  # visited in one run
CANCEL_LIMIT: Final = 500
CANCEL_BATCH: Final = 50  # orders of one transaction
FILL_LIMIT: Final = 10_000
FILL_BATCH: Final = 1_000  # rows of one statement
Also: TypeAlias = Callable[[Context, OrderId], Awaitable[object]]
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="cancel_unpaid")


async def cancel_overdue(db: Database, *, limit: int = CANCEL_LIMIT, also: Also) -> int:
    """Cancel orders whose time to pay is over and for which no money is on its way; their units are free again.

    Each batch commits by itself. A second run, or a rival, finds nothing to do twice. The error of a shop is raised
    when all had their turn. The job is `flows.cancellation.cancel_unpaid`, which knows what else hangs on an order.

    Args:
        db: the whole installation.
        limit: orders of one run.
        also: done with each cancelled order in its transaction, for what orders know nothing of.

    Returns:
        How many were cancelled.
    """
    tenants, done, faults = Tenants(db).cache, 0, Faults(_log, "cancelling unpaid orders")
    for tenant_id in await queries.tenants_with_unpaid(db, size=TENANTS_MAX):
        while done < limit:
            size = min(CANCEL_BATCH, limit - done)

            async def batch(tx: Transaction, tenant_id: str = tenant_id, size: int = size) -> int:
                context = Context(db=tx, tenant_id=TenantId(tenant_id), tenants=tenants, actor=_ACTOR)
                orders, cancelled = Orders(context), 0
                for order_id in await queries.claim_unpaid(tx, tenant_id=tenant_id, size=size):
                    if await orders.cancel_if_unpaid(order_id=order_id):
                        cancelled += 1
                        await record(
                            tx, context, action="orders.cancel_unpaid", resource_type="order", resource_id=order_id
                        )
                        await also(context, order_id)
                return cancelled

            cancelled = 0
            with faults.of(tenant_id):
                cancelled = await db.run(batch)
            done += cancelled
            if cancelled < size:
                break
    faults.raise_first()
    return done


async def fill_search(db: Database, *, limit: int = FILL_LIMIT) -> int:
    """Write down, for orders placed since the last run, what staff may search by part.

    Returns:
        How many rows were filled.
    """
    done = 0
    for tenant_id in await queries.tenants_to_index(db, size=TENANTS_MAX):
        while done < limit:
            filled = await queries.fill_documents(db, tenant_id=tenant_id, size=min(FILL_BATCH, limit - done))
            done += filled
            if filled < FILL_BATCH:
                break
    return done
