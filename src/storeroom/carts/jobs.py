"""What the worker does for carts."""

from functools import partial
from typing import Final
from uuid import UUID

from storeroom.audit import record
from storeroom.carts import queries
from storeroom.carts.model import CART_MOVES, CartStatus
from storeroom.core.ids import CartId, TenantId
from storeroom.core.states import sources
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, TenantLookup
from storeroom.inventory import release_carts
from storeroom.retention import keep_carts
from storeroom.tenants import Tenant, Tenants

BATCH_MAX: Final = 100  # carts in one transaction
TENANTS_MAX: Final = 50  # looked at in one round
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="abandon_carts")
_ABANDONABLE: Final = sources(CART_MOVES, CartStatus.ABANDONED)


async def abandon_carts(db: Database, *, limit: int = 1_000) -> int:
    """Mark carts that are idle or past their time as abandoned, and free what they hold; return how many it were.

    The trail of a shop has one entry a batch, with their number.
    """
    tenants, done = Tenants(db).cache, 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_idle(db, rows=TENANTS_MAX):
            batch = min(BATCH_MAX, limit - done)
            if batch <= 0:
                break
            done += await db.run(partial(_abandon, tenants=tenants, tenant_id=TenantId(tenant_id), limit=batch))
        if done == before:
            break
    return done


async def _abandon(tx: Transaction, *, tenants: TenantLookup[Tenant], tenant_id: TenantId, limit: int) -> int:
    abandoned = await abandon_idle(tx, tenant_id=tenant_id, limit=limit)
    if abandoned:
        context = Context(db=tx, tenant_id=tenant_id, tenants=tenants, actor=_ACTOR)
        await record(tx, context, action="carts.abandon", resource_type="cart", new_values={"carts": abandoned})
    return abandoned


async def abandon_idle(tx: Executor, *, tenant_id: TenantId, limit: int) -> int:
    """Of one tenant, in the caller's transaction. A cart that somebody touches at the moment is left alone.

    One whose owner may be written to is kept: see `retention`.
    """
    due = await queries.idle(tx, tenant_id=tenant_id, rows=limit)
    ids: list[UUID] = await queries.lock_idle(tx, tenant_id=tenant_id, ids=due) if due else []
    if not ids:
        return 0
    await release_carts(tx, tenant_id=tenant_id, cart_ids=[CartId(id_) for id_ in ids])
    # Before they are marked, which moves `updated_at`: a reminder's time counts from the owner's last touch.
    await keep_carts(tx, tenant_id=tenant_id, cart_ids=[CartId(id_) for id_ in ids])
    return await queries.mark_abandoned(tx, tenant_id=tenant_id, ids=ids, sources=_ABANDONABLE)
