"""What the worker does about downloads."""

from functools import partial
from typing import Final

from storeroom.audit import record
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, TenantLookup
from storeroom.downloads import queries
from storeroom.downloads.model import SENT_WITHIN
from storeroom.downloads.sending import send_lines
from storeroom.identity import TokenKeys
from storeroom.tenants import Tenant, Tenants

BATCH_MAX: Final = 100  # lines in one transaction
TENANTS_MAX: Final = 50  # looked at in one run
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="send_links")


async def send_links(db: Database, /, *, keys: TokenKeys, limit: int = 1_000) -> int:
    """Send the link of each digital line that is paid and whose product has a file, once; return how many it were.

    A second run, or a rival, finds nothing to do twice. Nothing is done without a secret to make links with.
    """
    if not keys:
        return 0
    tenants, done = Tenants(db).cache, 0
    for tenant_id in await queries.tenants_with_unsent(db, within=SENT_WITHIN, rows=TENANTS_MAX):
        found = BATCH_MAX
        while found == BATCH_MAX and done < limit:
            found = await db.run(
                partial(
                    send_unsent,
                    tenants=tenants,
                    keys=keys,
                    tenant_id=TenantId(tenant_id),
                    limit=min(BATCH_MAX, limit - done),
                )
            )
            done += found
    return done


async def send_unsent(
    tx: Transaction, *, tenants: TenantLookup[Tenant], keys: TokenKeys, tenant_id: TenantId, limit: int
) -> int:
    """Of one tenant, in the caller's transaction."""
    context = Context(db=tx, tenant_id=tenant_id, tenants=tenants, actor=_ACTOR)
    lines = await queries.claim_unsent(tx, tenant_id=tenant_id, within=SENT_WITHIN, rows=limit)
    orders = await send_lines(context, keys, lines)
    if orders:
        told = {"lines": len(lines), "orders": orders}
        await record(tx, context, action="downloads.send", resource_type="order", new_values=told)
    return len(lines)
