"""What the worker does about carts that are kept: notice them, and remind their owners when it is time."""

import logging
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from storeroom import notices
from storeroom.audit import record
from storeroom.catalog import DEFAULT_TITLE
from storeroom.configuration import STOREFRONT_URL, Configuration
from storeroom.core.ids import CartId, TenantId
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.identity import TokenKeys
from storeroom.notices import Channel, Notice
from storeroom.retention import queries
from storeroom.retention.links import PATH, STOP_PATH, link, link_token
from storeroom.retention.model import (
    LATE_MAX,
    LINES_TOLD_MAX,
    NOTED_WITHIN,
    RETRIES_DEFAULT,
    RETRY_TIME_DEFAULT_S,
    CartReminderKind,
    CartReminderStatus,
    DueReminder,
    verdict,
)
from storeroom.retention.service import finish, keep_carts
from storeroom.tenants import Faults, Tenants

BATCH_MAX: Final = 50  # carts in one transaction
TENANTS_MAX: Final = 50  # looked at in one round
_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="remind")
_NOTICE: Final = {CartReminderKind.PAYMENT_FAILED: "cart_retry", CartReminderKind.ABANDONED: "abandoned_cart"}


async def note_idle(db: Database, *, limit: int = 1_000) -> int:
    """Keep the carts that accounts have left; return how many. Those of failed payments are kept when these fail."""
    done, faults = 0, Faults(_log, "keeping carts")
    for tenant_id in await queries.tenants_with_idle_carts(
        db, default_s=RETRY_TIME_DEFAULT_S, within=NOTED_WITHIN, rows=TENANTS_MAX
    ):
        if done < limit:
            with faults.of(tenant_id):
                done += await db.run(partial(_note, tenant_id=TenantId(tenant_id), limit=min(BATCH_MAX, limit - done)))
    faults.raise_first()
    return done


async def _note(tx: Transaction, *, tenant_id: TenantId, limit: int) -> int:
    found = await queries.idle_carts(
        tx, tenant_id=tenant_id, default_s=RETRY_TIME_DEFAULT_S, within=NOTED_WITHIN, rows=limit
    )
    return await keep_carts(tx, tenant_id=tenant_id, cart_ids=[CartId(id_) for id_ in found])


async def remind(db: Database, /, *, keys: TokenKeys, limit: int = 500) -> int:
    """Queue a mail for each kept cart whose time has come, and end those that need none; return how many it were.

    The mail's row and the count of reminders are one transaction, under the lock of the kept cart: two runs, at once or
    one after the other, queue it once. Nothing is done without a secret to seal with. A shop where it fails keeps none
    of the others from their turn; its error is raised when all had theirs.
    """
    if not keys:
        return 0
    tenants, done, faults = Tenants(db).cache, 0, Faults(_log, "reminding")
    with_due = await queries.tenants_with_due(db, default_s=RETRY_TIME_DEFAULT_S, late=LATE_MAX, rows=TENANTS_MAX)
    for tenant_id in with_due:
        found = BATCH_MAX
        while found == BATCH_MAX and done < limit:
            found = 0
            context = Context(db=db, tenant_id=TenantId(tenant_id), tenants=tenants, actor=_ACTOR)
            with faults.of(tenant_id):
                found = await db.run(
                    partial(remind_due, context=context, keys=keys, limit=min(BATCH_MAX, limit - done)),
                )
            done += found
    faults.raise_first()
    return done


async def remind_due(tx: Executor, *, context: Context, keys: TokenKeys, limit: int) -> int:
    """Of one tenant, in the caller's transaction."""
    tenant_id = context.tenant_id
    claimed = await queries.claim_due(
        tx,
        tenant_id=tenant_id,
        default_s=RETRY_TIME_DEFAULT_S,
        default_retries=RETRIES_DEFAULT,
        late=LATE_MAX,
        rows=limit,
    )
    ended: dict[CartReminderStatus, list[UUID]] = {}
    waiting: dict[UUID, datetime] = {}
    reminded = 0
    for due in claimed:
        if (status := verdict(due)) is not None:
            ended.setdefault(status, []).append(due.id)
        elif due.money_coming or (due.touched and due.order_id is None):
            waiting[due.id] = due.touched_at if due.order_id is None else due.now
        elif due.reminds and due.email is not None:
            await _queue(tx, context, keys, due, due.email)
            await queries.reminded(tx, tenant_id=tenant_id, id=due.id)
            if due.reminders + 1 >= due.max_retries:
                ended.setdefault(CartReminderStatus.EXHAUSTED, []).append(due.id)
            reminded += 1
    for status, ids in ended.items():
        await finish(tx, tenant_id=tenant_id, ids=ids, status=status)
    if waiting:
        await queries.wait_longer(tx, tenant_id=tenant_id, ids=list(waiting), since=list(waiting.values()))
    if reminded:
        told = {"carts": reminded}
        await record(tx, context, action="retention.remind", resource_type="cart", new_values=told)
    return len(claimed)


async def _queue(tx: Executor, context: Context, keys: TokenKeys, due: DueReminder, email: str) -> None:
    lines = await queries.lines_told(
        tx, tenant_id=context.tenant_id, cart_id=due.cart_id, default_title=DEFAULT_TITLE, rows=LINES_TOLD_MAX
    )
    facts = {
        "name": due.name,
        "order_number": due.order_number,
        "total": msgspec.to_builtins(due.cart_total),
        "lines": msgspec.to_builtins(lines),
        **await _links(tx, context, keys, due),
    }
    notice = Notice(
        tenant_id=context.tenant_id,
        kind=_NOTICE[due.kind],
        channel=Channel.MAIL,
        to=email,
        facts={name: fact for name, fact in facts.items() if fact is not None},
        language=due.locale,
        bcc=tuple(due.bcc_emails),
    )
    # Of an order, or of an account: by these the sender knows that it was closed meanwhile, and sends nothing.
    about, about_id = ("order", due.order_id) if due.order_id is not None else ("user", due.user_id)
    await notices.queue(tx, keys=keys, notice=notice, entity_type=about, entity_id=about_id or due.cart_id)


async def _links(tx: Executor, context: Context, keys: TokenKeys, due: DueReminder) -> dict[str, str]:
    """To the storefront, where the shop has said where that is, or the cart was filled at a domain of the shop.

    The host of a request alone is nobody's word: whoever sends it writes what he likes.
    """
    site = await Configuration(context.on(tx), keys).value(STOREFRONT_URL)
    if due.domain_known and due.domain is not None:
        site = f"https://{due.domain}"
    if site is None:
        return {}
    token = link_token(keys, tenant_id=context.tenant_id, reminder_id=due.id, now=context.clock.now())
    return {"link": link(site, PATH, token), "stop_link": link(site, STOP_PATH, token)}
