"""What the worker runs for the catalogue."""

from itertools import groupby
from typing import Final

from storeroom.audit import record
from storeroom.catalog import queries
from storeroom.catalog.batches import show_newest_batch
from storeroom.catalog.model import DueBatch
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.tenants import Tenants

BATCHES_PER_RUN_MAX: Final = 1_000
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="deactivate_expired_batches")


async def deactivate_expired_batches(db: Database, *, limit: int = BATCHES_PER_RUN_MAX) -> int:
    """Switch off the batches whose last day is over in their shop's time zone; return how many.

    One transaction a product, under the product's row as every change of its batches. What shows an expired batch
    shows the newest good one instead, or none.
    """
    due = await queries.due_batches(db, limit=min(max(limit, 1), BATCHES_PER_RUN_MAX))
    switched = 0
    for _, group in groupby(sorted(due, key=_product), key=_product):
        batches = list(group)

        async def switch(tx: Transaction, batches: list[DueBatch] = batches) -> int:
            first = batches[0]
            await queries.lock_product(tx, tenant_id=first.tenant_id, product_id=first.product_id)
            ids = [batch.id for batch in batches]
            done = await queries.switch_batches(tx, tenant_id=first.tenant_id, batch_ids=ids, is_active=False)
            await show_newest_batch(tx, first.tenant_id, first.product_id, first.today)
            context = Context(db=tx, tenant_id=TenantId(first.tenant_id), tenants=Tenants(db).cache, actor=_ACTOR)
            for batch_id in done:
                await record(
                    tx, context, action="catalog.deactivate_expired_batch", resource_type="batch", resource_id=batch_id
                )
            return len(done)

        switched += await db.run(switch)
    return switched


def _product(batch: DueBatch) -> tuple[str, str]:
    return batch.tenant_id, str(batch.product_id)
