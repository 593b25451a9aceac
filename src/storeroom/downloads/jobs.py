"""What the worker does about downloads."""

import logging
from functools import partial
from typing import Final

import msgspec

from storeroom.audit import record
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, TenantLookup
from storeroom.downloads import queries
from storeroom.downloads.model import NOTED_WITHIN, SENT_WITHIN, look_again_at
from storeroom.downloads.sending import note_ended, send_lines
from storeroom.identity import TokenKeys
from storeroom.orders import put_links_off
from storeroom.tenants import Faults, Tenant, Tenants

BATCH_MAX: Final = 100  # lines in one transaction
TENANTS_MAX: Final = 50  # looked at in one run
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="send_links")


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some lines of a shop."""

    lines: int  # looked at
    sent: int  # of them


async def send_links(db: Database, /, *, keys: TokenKeys, limit: int = 1_000) -> int:
    """Send the link of each digital line that is paid and whose product has a file, once; return how many it were.

    A second run, or a rival, finds nothing to do twice. What cannot be sent now is looked at again when it
    was paid, when its product got a file, or after a while that grows. Nothing is done without a secret for links. A
    shop where it fails keeps none of the others from their turn; its error is raised when all had theirs.

    Args:
        db: of the installation.
        keys: to make links with.
        limit: lines to look at.
    """
    if not keys:
        return 0
    tenants, looked, sent, faults = Tenants(db).cache, 0, 0, Faults(_log, "sending links")
    for tenant_id in await queries.tenants_with_due(db, rows=TENANTS_MAX):
        found = BATCH_MAX
        while found == BATCH_MAX and looked < limit:
            came = Looked(lines=0, sent=0)
            with faults.of(tenant_id):
                came = await db.run(
                    partial(
                        send_unsent,
                        tenants=tenants,
                        keys=keys,
                        tenant_id=TenantId(tenant_id),
                        limit=min(BATCH_MAX, limit - looked),
                    )
                )
            found = came.lines
            looked, sent = looked + came.lines, sent + came.sent
    faults.raise_first()
    return sent


async def send_unsent(
    tx: Transaction, *, tenants: TenantLookup[Tenant], keys: TokenKeys, tenant_id: TenantId, limit: int
) -> Looked:
    """Of one tenant, in the caller's transaction: what is due is sent, or put off."""
    context = Context(db=tx, tenant_id=tenant_id, tenants=tenants, actor=_ACTOR)
    due = await queries.claim_due(tx, tenant_id=tenant_id, rows=limit)
    if not due:
        return Looked(lines=0, sent=0)
    lines = await queries.lines_to_send(tx, tenant_id=tenant_id, line_ids=[line.id for line in due], within=SENT_WITHIN)
    orders = await send_lines(context, keys, lines)
    if orders:
        told = {"lines": len(lines), "orders": orders}
        await record(tx, context, action="downloads.send", resource_type="order", new_values=told)
    sent = {line.id for line in lines}
    later = {line.id: look_again_at(ordered_at=line.ordered_at, now=line.now) for line in due if line.id not in sent}
    await put_links_off(tx, tenant_id=tenant_id, until=later)
    return Looked(lines=len(due), sent=len(lines))


async def note_mails(db: Database, /, *, limit: int = 1_000) -> int:
    """Note what became of mail with links: a line counts as sent when a server took it, and not before.

    It was queued with the link; what becomes of it is known when the queue has brought it, or has given it up. Returns
    how many links it was noted of.
    """
    done = 0
    for tenant_id in await queries.tenants_with_mail(db, since=NOTED_WITHIN, rows=TENANTS_MAX):
        found = BATCH_MAX
        while found == BATCH_MAX and done < limit:
            rows = min(BATCH_MAX, limit - done)
            found = await db.run(partial(note_ended, tenant_id=TenantId(tenant_id), limit=rows))
            done += found
    return done
