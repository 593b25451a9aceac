"""What customers are told of their orders and payments: once each, in time, and nobody else."""

import asyncio
import secrets
from typing import Any

import pytest
from postbox import Postbox
from sending import Office

from factories import STAFF, make_coupon, make_method, make_product, place
from storeroom.core.visitor import Visitor
from storeroom.flows.model import Placement
from storeroom.identity import ProfileChanges
from storeroom.orders import OrderStatus
from storeroom.refunds import RefundMethod

BO = "bo@buyer.example"


async def bought(office: Office, **facts: Any) -> Placement:
    """Two shirts at 10.00 by Zelle, to be paid."""
    if not await office.shop.payment_methods.list():
        await make_method(office.shop)
    variant_id = await make_product(office.shop, name="Shirt <blue>", slug=f"shirt-{secrets.token_hex(4)}")
    return await place(office.shop, (variant_id, 2), payment_method="zelle", **facts)


async def mails(office: Office, postbox: Postbox) -> list[str]:
    """The subjects that came, in any order."""
    await office.by_mail(postbox).again()
    return sorted(str(letter.mail["Subject"]) for letter in postbox.letters)


async def test_an_order_is_confirmed_with_all_it_takes_to_pay(office: Office, postbox: Postbox) -> None:
    placed = await bought(office)
    (payment,) = await office.shop.payments.for_order(order_id=placed.order.id)
    assert await mails(office, postbox) == [f"Your order {placed.order.number}"]
    (letter,) = postbox.letters
    assert letter.receivers == [BO]
    text, html = letter.part("plain"), letter.part("html")
    for said in (
        placed.order.number,
        "2 x Shirt <blue>",
        "$20.00",
        payment.reference,
        "Send it to us",
        "pay@shop.example",
    ):
        assert said in text
    assert "By Zelle" in text and "until" in text and "Recipient name: The Shop" in text
    assert "Shirt &lt;blue&gt;" in html and "<blue>" not in html
    assert await mails(office, postbox) == [f"Your order {placed.order.number}"], "once"


async def test_what_was_paid_already_asks_for_nothing(office: Office, postbox: Postbox) -> None:
    await make_coupon(office.shop, "100 %", "ALL")
    variant_id = await make_product(office.shop)
    await place(office.shop, (variant_id, 1), coupons=["ALL"])
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    assert "It is paid." in letter.part("plain") and "To be paid" not in letter.part("plain")


async def test_a_payment_is_judged_and_the_customer_hears_of_it(office: Office, postbox: Postbox) -> None:
    placed = await bought(office)
    (payment,) = await office.shop.payments.for_order(order_id=placed.order.id)
    staff = office.shop.acting(actor=STAFF)
    await staff.payments.reject(payment_id=payment.id, reason="Nothing came with this number.")
    number = placed.order.number
    rejected, verified = (f"Your payment for order {number} {what}" for what in ("was not found", "has arrived"))
    assert await mails(office, postbox) == [f"Your order {number}", rejected]
    told = next(each.part("plain") for each in postbox.letters if "not found" in each.mail["Subject"])
    assert "Nothing came with this number." in told and "a better proof" in told
    await office.shop.payments.submit_proof(reference=payment.reference, customer_reference="Z1")
    await staff.payments.verify(payment_id=payment.id)
    assert await mails(office, postbox) == [f"Your order {number}", verified, rejected]
    told = next(each.part("plain") for each in postbox.letters if "arrived" in each.mail["Subject"])
    assert "$20.00" in told and "The order is paid." in told


async def test_money_for_an_order_that_was_cancelled_promises_nothing(office: Office, postbox: Postbox) -> None:
    placed = await bought(office)
    staff = office.shop.acting(actor=STAFF)
    await staff.cancellation.cancel(order_id=placed.order.id, reason="sold out")
    order = await office.shop.orders.get(order_id=placed.order.id)
    await staff.payments.record_received(order_id=order.id, method="zelle", amount=order.total_amount)
    number = placed.order.number
    assert await mails(office, postbox) == [
        f"Your order {number} was cancelled",
        f"Your payment for order {number} has arrived",
    ]
    told = next(each.part("plain") for each in postbox.letters if "arrived" in each.mail["Subject"])
    assert "was cancelled: what you paid is returned" in told and "is paid" not in told


async def test_what_is_paid_at_the_door_is_asked_for(office: Office, postbox: Postbox) -> None:
    placed = await bought(office)
    await office.run("UPDATE {orders} SET status = 'processing' WHERE id = $1", placed.order.id)
    await office.by_mail(postbox).again()
    (letter,) = postbox.letters
    text = letter.part("plain")
    assert "To be paid: $20.00" in text and "until" not in text and "It is paid." not in text


async def test_shipped_cancelled_and_refunded(office: Office, postbox: Postbox) -> None:
    sent, ended = await bought(office), await bought(office)
    staff = office.shop.acting(actor=STAFF)
    (payment,) = await office.shop.payments.for_order(order_id=sent.order.id)
    await staff.payments.verify(payment_id=payment.id)
    await staff.orders.move(order_id=sent.order.id, to=OrderStatus.PROCESSING, reason="")
    await staff.orders.ship(order_id=sent.order.id, carrier="UPS", tracking_number="1Z9")
    await staff.cancellation.cancel(order_id=ended.order.id, reason="sold out")
    refund = await staff.refunds.request(payment_id=payment.id, amount=payment.amount, reason="too small")
    await staff.refunding.complete(refund_id=refund.id, method=RefundMethod.ORIGINAL_METHOD)
    await office.by_mail(postbox).again()
    told = {str(each.mail["Subject"]): each.part("plain") for each in postbox.letters}
    assert "1Z9" in told[f"Your order {sent.order.number} is on its way"]
    cancelled = told[f"Your order {ended.order.number} was cancelled"]
    assert "sold out" in cancelled and "returned" not in cancelled, "nothing was paid"
    assert "$20.00" in told[f"A refund for order {sent.order.number}"]


async def test_a_shop_turns_off_what_it_does_not_want(office: Office, postbox: Postbox) -> None:
    await office.set("notices.order_placed", "off")
    await bought(office)
    await office.by_mail(postbox).again()
    assert postbox.letters == []
    (heard,) = await office.rows("notices")
    assert heard.response_body == "not sent: the shop does not want it"


async def test_who_closed_their_account_is_not_written_to(office: Office, postbox: Postbox) -> None:
    users = office.shop.users
    user = await users.register(email=BO, password="correct horse battery", full_name="Bo")
    await bought(office, visitor=Visitor(user_id=user.id))
    await users.delete(user_id=user.id)
    await office.by_mail(postbox).again()
    assert postbox.letters == []


async def test_in_the_language_that_a_person_chose_or_else_the_shops(office: Office, postbox: Postbox) -> None:
    templates = office.shop.notice_templates
    for language, subject in (("de", "Bestellung {{ order_number }}: {{ total }}"), ("fr", "Commande")):
        await templates.create(
            kind="order_placed",
            channel="mail",
            language=language,
            subject=subject,
            body="{{ due }}",  # type: ignore[arg-type]
        )
    await office.set("notices.language", "de-AT")
    users = office.shop.users
    user = await users.register(email=BO, password="correct horse battery", full_name="Bo")
    guest, known = (
        await bought(office, email="guest@buyer.example"),
        await bought(office, visitor=Visitor(user_id=user.id)),
    )
    await users.update_profile(user_id=user.id, changes=ProfileChanges(locale="fr-CA"))
    await office.by_mail(postbox).again()
    found = {letter.receivers[0]: str(letter.mail["Subject"]) for letter in postbox.letters}
    assert found == {"guest@buyer.example": f"Bestellung {guest.order.number}: 20,00 $", BO: "Commande"}
    assert known


async def test_an_event_that_is_brought_twice_is_told_once(office: Office, postbox: Postbox) -> None:
    """As when a worker dies after it queued the mail and before it said so; two at once as well."""
    await bought(office)
    await office.work()
    await office.run("DELETE FROM {webhook_queue} WHERE destination = 'mail'")
    again = "UPDATE {webhook_queue} SET status = 'pending', completed_at = NULL WHERE destination = 'notices'"
    for _ in range(2):
        await office.run(again)
        await asyncio.gather(office.by_mail(postbox).again(), office.by_mail(postbox).work())
    assert len(postbox.letters) == 1
    assert len(await office.rows()) == 1


@pytest.mark.parametrize(("mode", "files"), [("development", 1), ("production", 0)])
async def test_without_a_server_orders_are_told_in_development_alone(office: Office, mode: str, files: int) -> None:
    """A file for each order would fill a disk, with what is nobody's business."""
    from storeroom.settings import Mode

    await bought(office)
    office.settings["mode"] = Mode(mode)
    await office.work()
    assert len(office.files()) == files
