"""A link to a download counts as sent when the mail with it was taken, and only then."""

from __future__ import annotations

import pytest
from postbox import Postbox
from sending import Office

from factories import make_method, make_product, place
from storeroom.core.ids import OrderId
from storeroom.database.service import Actor, ActorKind
from storeroom.downloads import Download, Downloads
from storeroom.downloads.jobs import note_mails, send_links
from storeroom.downloads.model import LinkMail

BUYER = "bo@buyer.example"


async def bought(office: Office) -> OrderId:
    """A book that is paid, and whose link is queued; nothing else is."""
    await make_method(office.shop)
    await office.shop.configuration.set(key="general.service_url", value="https://api.example")
    book = await make_product(office.shop, is_digital=True, stock=10)
    await office.run("UPDATE {products} SET file_path = tenant_id || '/goods/book.pdf'")
    placed = await place(office.shop, (book, 1), payment_method="zelle")
    assert placed.order.payment is not None
    staff = office.shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="staff"))
    await staff.payments.verify(payment_id=placed.order.payment.id)
    await office.run("DELETE FROM {webhook_queue}")
    assert await send_links(office.room.db, keys=office.room.token_keys) == 1
    return placed.order.id


async def line(office: Office, order_id: OrderId) -> tuple[bool, LinkMail | None]:
    """What is noted of its only line, having looked."""
    await note_mails(office.room.db)
    (item,) = await office.shop.orders.items(order_id=order_id)
    (found,) = await downloads(office).of_order(order_id=order_id)
    assert isinstance(found, Download) and found.sent == item.download_link_sent
    return found.sent, found.mail


def downloads(office: Office) -> Downloads:
    return Downloads(office.shop.context, office.room.token_keys)


@pytest.mark.requirement("STO-OI-03")
async def test_a_line_counts_as_sent_when_the_server_took_its_mail(office: Office, postbox: Postbox) -> None:
    order_id = await bought(office)
    assert await line(office, order_id) == (False, LinkMail.QUEUED)
    await office.by_mail(postbox).work()
    assert await line(office, order_id) == (True, LinkMail.MAILED)
    assert await note_mails(office.room.db) == 0
    assert await send_links(office.room.db, keys=office.room.token_keys) == 0
    assert len(postbox.letters) == 1


async def test_a_mail_that_is_refused_leaves_its_line_unsent_until_staff_send_it_again(
    office: Office, postbox: Postbox
) -> None:
    order_id = await bought(office)
    postbox.refused[BUYER] = "550 5.1.1 nobody here"
    await office.by_mail(postbox).work()
    assert await line(office, order_id) == (False, LinkMail.FAILED)
    assert await send_links(office.room.db, keys=office.room.token_keys) == 0  # not by itself, or it would never end
    postbox.refused.clear()
    (row,) = await office.rows()
    await office.shop.webhooks.retry(webhook_id=row.id)  # the dead letter, as it is
    await office.by_mail(postbox).again()
    assert await line(office, order_id) == (True, LinkMail.MAILED)
    (sent,) = await downloads(office).send(order_id=order_id)  # or a new link
    assert (sent.sent, sent.mail) == (False, LinkMail.QUEUED)
    postbox.refused[BUYER] = "550 5.1.1 nobody here"
    await office.by_mail(postbox).again()
    assert await line(office, order_id) == (False, LinkMail.FAILED)


async def test_a_server_that_is_away_has_sent_nothing(office: Office, postbox: Postbox) -> None:
    order_id = await bought(office)
    postbox.answers.append("451 4.3.0 later")
    await office.by_mail(postbox).work()
    assert await line(office, order_id) == (False, LinkMail.QUEUED)
    await office.by_mail(postbox).again()
    assert await line(office, order_id) == (True, LinkMail.MAILED)


async def test_without_a_server_the_folder_is_where_it_goes_and_staff_see_that(office: Office) -> None:
    order_id = await bought(office)
    await office.work()
    assert [file["kind"] for file in office.files()] == ["download_ready"]
    assert await line(office, order_id) == (True, LinkMail.WRITTEN)


async def test_a_mail_that_staff_take_out_of_the_queue_is_not_sent(office: Office) -> None:
    order_id = await bought(office)
    (row,) = await office.rows()
    await office.shop.webhooks.delete(webhook_id=row.id)
    assert await line(office, order_id) == (False, LinkMail.FAILED)
