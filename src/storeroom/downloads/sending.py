"""Making links and queueing the mail with them, in the transaction that marks their lines; noting what came of it."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from storeroom import notices
from storeroom.configuration import SERVICE_URL, Configuration
from storeroom.core.ids import OrderId, TenantId, new_id
from storeroom.database.executor import Executor
from storeroom.database.service import Context
from storeroom.downloads import queries
from storeroom.downloads.links import PATH, token_of
from storeroom.downloads.model import DAYS, NOTED_WITHIN, TIMES, LineToSend, LinkMail
from storeroom.identity import TokenKeys
from storeroom.notices import Channel, Notice
from storeroom.orders import mark_links_queued, mark_links_sent


async def send_lines(context: Context, keys: TokenKeys, lines: Sequence[LineToSend]) -> int:
    """Queue one mail for each of their orders; return how many it were. `context.db` is the transaction that holds it.

    The mail's row, the links and the marks are committed together: a worker that dies before that has sent nothing, and
    one that dies after it has nothing more to do. The mail itself is sent at least once, under the row's own id; the
    lines count as sent when it was taken (`note_ended`).
    """
    orders: dict[OrderId, list[LineToSend]] = {}
    for line in lines:
        orders.setdefault(line.order_id, []).append(line)
    if not orders:
        return 0
    settings = Configuration(context, keys)
    days, times = await settings.value(DAYS), await settings.value(TIMES)
    service = await settings.value(SERVICE_URL)
    for order_id, bought in orders.items():
        await _send(context, keys, order_id, bought, service, days=days, times=times)
    return len(orders)


async def _send(
    context: Context,
    keys: TokenKeys,
    order_id: OrderId,
    lines: Sequence[LineToSend],
    service: str | None,
    *,
    days: int,
    times: int,
) -> None:
    first, tenant_id, notice_id = lines[0], context.tenant_id, new_id()
    made = await queries.put_links(
        context.db,
        tenant_id=tenant_id,
        line_ids=[line.id for line in lines],
        order_id=order_id,
        notice_id=notice_id,
        downloads_max=times,
        lifetime=timedelta(days=days),
    )
    await mark_links_queued(context.db, tenant_id=tenant_id, line_ids=[line.id for line in lines])
    if service is None and first.domain_known:  # it was bought there, so this service answers there
        service = f"https://{first.domain}"
    generations = {link.order_item_id: link.generation for link in made}
    downloads = [
        {"name": line.product_name}
        | (
            {}
            if service is None
            else {
                "link": service
                + PATH
                + token_of(keys, tenant_id=tenant_id, order_item_id=line.id, generation=generations[line.id])
            }
        )
        for line in lines
    ]
    notice = Notice(
        tenant_id=tenant_id,
        kind="download_ready",
        channel=Channel.MAIL,
        to=first.email,
        facts={
            "order_number": first.order_number,
            "name": first.name,
            "downloads": downloads,
            "with_links": service is not None,
            "expires_at": msgspec.to_builtins(made[0].expires_at),
            "downloads_max": times,
        },
        language=first.locale,
    )
    await notices.queue(
        context.db, keys=keys, notice=notice, entity_type="order", entity_id=order_id, notice_id=notice_id
    )


async def note_ended(tx: Executor, *, tenant_id: TenantId, limit: int) -> int:
    """Note of one shop, in the caller's transaction, what became of mail with links; return of how many links."""
    ended = await queries.ended_mails(tx, tenant_id=tenant_id, since=NOTED_WITHIN, rows=limit)
    if not ended:
        return 0
    noted = await queries.note_mails(
        tx,
        tenant_id=tenant_id,
        line_ids=[each.order_item_id for each in ended],
        notice_ids=[each.notice_id for each in ended],
        mails=[each.mail for each in ended],
    )
    sent = [each.order_item_id for each in ended if each.mail is not LinkMail.FAILED and each.order_item_id in noted]
    await mark_links_sent(tx, tenant_id=tenant_id, line_ids=sent)
    return len(ended)
