"""What the worker does for the ERP beside sending: it looks for what was never sent."""

import logging
from typing import Final
from uuid import UUID

from storeroom import outbox
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.erp import queries
from storeroom.erp.boundary import DESTINATION, OUTBOUND, SWEPT, Outbound
from storeroom.erp.model import BACKLOG_MAX
from storeroom.tenants import Faults

TENANTS_MAX: Final = 200  # looked after in one run
_log: Final = logging.getLogger(__name__)


async def queue_unsynced(db: Database, *, limit: int) -> int:
    """Queue what the ERP of a shop has not got, or is to get once more, where nothing of it waits; return how many.

    So a shop that connects an ERP later gets everything, and what no event brought comes as well. By this no shop has
    more than BACKLOG_MAX rows waiting. The error of a shop is raised when all had their turn.
    """
    done, faults = 0, Faults(_log, "queueing for the ERP")
    for tenant_id in await queries.tenants_connected(db, code=DESTINATION, size=TENANTS_MAX):
        if done >= limit:
            break
        with faults.of(tenant_id):
            done += await _sweep(db, tenant_id, limit - done)
    faults.raise_first()
    return done


async def _sweep(db: Database, tenant_id: TenantId, limit: int) -> int:
    waiting = await queries.waiting(db, tenant_id=tenant_id, destination=DESTINATION, size=BACKLOG_MAX)
    size, done = min(limit, BACKLOG_MAX - waiting), 0
    for outbound in OUTBOUND.values():
        for select in (outbound.unsynced, outbound.to_resync):
            if done < size:
                async with db.transaction() as tx:
                    ids = await select(tx, tenant_id=tenant_id, destination=DESTINATION, size=size - done)
                    done += await _queue(tx, tenant_id, outbound, ids)
    await queries.mark_swept(db, tenant_id=tenant_id, code=DESTINATION)
    return done


async def _queue(tx: Transaction, tenant_id: TenantId, outbound: Outbound, ids: list[UUID]) -> int:
    return await outbox.enqueue_missing(
        tx,
        tenant_id=tenant_id,
        destination=DESTINATION,
        event_type=SWEPT,
        entity_type=outbound.entity.value,
        entity_ids=ids,
    )
