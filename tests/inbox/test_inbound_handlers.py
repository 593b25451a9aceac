"""What Shippo, Mailgun and Stripe tell changes orders, consents and payments, once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from reception import Desk
from senders import mailgun, parcel, timed

from factories import make_method, make_product, place
from storeroom.core.ids import InboxId, OrderId, UserId
from storeroom.database.service import SYSTEM
from storeroom.flows.inbound import HANDLERS
from storeroom.identity import ConsentKind, ProfileChanges
from storeroom.inbox import InboxEntry, InboxStatus
from storeroom.orders import OrderStatus


@pytest.fixture
async def told(desk: Desk) -> Desk:
    """With the handlers of the house, and the sources that they are for."""
    desk.handlers.update(HANDLERS)
    for code in ("shippo", "mailgun"):
        await desk.source(code)
    return desk


async def sent(desk: Desk, number: str) -> OrderId:
    """An order on its way, in a parcel of this number."""
    await make_method(desk.shop)
    placed = await place(desk.shop, (await make_product(desk.shop), 1), payment_method="zelle")
    order, payment = placed.order, placed.order.payment
    assert payment is not None
    await desk.shop.payments.verify(payment_id=payment.id)
    await desk.shop.orders.move(order_id=order.id, to=OrderStatus.PROCESSING)
    await desk.shop.orders.ship(order_id=order.id, carrier="USPS", tracking_number=number)
    return order.id


async def says(desk: Desk, number: str, status: str) -> InboxEntry:
    body = parcel(number, status)
    message = await desk.take(body, timed(body, header="Shippo-Auth-Signature"), source="shippo")
    return await handled(desk, message)


async def handled(desk: Desk, message: InboxId) -> InboxEntry:
    await desk.process()
    return await desk.entry(message)


async def test_a_parcel_that_arrived_delivers_its_order(told: Desk) -> None:
    order_id = await sent(told, "9400100000000000000000")
    on_its_way = await says(told, "9400100000000000000000", "TRANSIT")
    assert (on_its_way.status, on_its_way.related_order_id) == (InboxStatus.COMPLETED, order_id)
    assert on_its_way.result == {
        "tracking_number": "9400100000000000000000",
        "carrier": "usps",
        "carrier_status": "TRANSIT",
        "delivered": False,
    }
    assert (await told.shop.orders.get(order_id=order_id)).status is OrderStatus.SHIPPED
    arrived = await says(told, "9400100000000000000000", "DELIVERED")
    assert (arrived.status, arrived.related_order_id, arrived.result["delivered"]) == ("completed", order_id, True)
    assert (await told.shop.orders.get(order_id=order_id)).status is OrderStatus.DELIVERED
    (last, *_) = await told.shop.orders.history(order_id=order_id)
    assert (last.to_status, last.reason) == (OrderStatus.DELIVERED, "usps: DELIVERED")
    body = parcel("9400100000000000000000", "DELIVERED") + b"\n"  # told again, in other bytes
    again = await handled(told, await told.take(body, timed(body, header="Shippo-Auth-Signature"), source="shippo"))
    assert (again.status, again.result["delivered"]) == (InboxStatus.COMPLETED, False)


async def test_a_parcel_of_nobody_can_be_replayed_once_its_number_is_known(told: Desk) -> None:
    early = await says(told, "1Z9", "DELIVERED")
    assert (early.status, early.result["reason"]) == (InboxStatus.SKIPPED, "no order has this tracking number")
    order_id = await sent(told, "1Z9")
    await told.shop.inbox.replay(message_id=early.id)
    assert (await handled(told, early.id)).related_order_id == order_id
    assert (await told.shop.orders.get(order_id=order_id)).status is OrderStatus.DELIVERED


@pytest.mark.parametrize("about", [None, {}, {"tracking_number": 1}, {"tracking_number": "1Z", "tracking_status": "x"}])
async def test_a_parcel_without_a_number_or_status_is_skipped(told: Desk, about: Any) -> None:

    body = json.dumps({"event": "track_updated", "data": about}).encode()
    message = await told.take(body, timed(body, header="Shippo-Auth-Signature"), source="shippo")
    assert (await handled(told, message)).status is InboxStatus.SKIPPED


async def consenting(desk: Desk, email: str) -> UserId:
    users = desk.shop.acting(actor=SYSTEM).users
    user = await users.register(email=email, full_name="Bo", password="a long password")
    await users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=True))
    return user.id


async def test_mail_that_fails_for_good_or_is_called_spam_ends_the_consent(told: Desk) -> None:
    users = told.shop.acting(actor=SYSTEM).users
    for event, facts, ends in (
        ("failed", {"severity": "temporary"}, False),
        ("failed", {"severity": "permanent"}, True),
        ("complained", {}, True),
    ):
        email = f"{event}-{ends}@buyer.example"
        user_id = await consenting(told, email)
        done = await handled(told, await told.take(mailgun(event, email.upper(), **facts), {}, source="mailgun"))
        assert done.status is (InboxStatus.COMPLETED if ends else InboxStatus.SKIPPED)
        assert (await users.profile(user_id=user_id)).marketing_consent is not ends
        if ends:
            assert done.result == {"user_id": str(user_id), "consent_withdrawn": True}
            newest = (await users.consents(user_id=user_id))[0]
            assert (newest.kind, newest.given) == (ConsentKind.MARKETING, False)
    stranger = await handled(told, await told.take(mailgun("complained", "no@body.example"), {}, source="mailgun"))
    assert (stranger.status, stranger.result) == (InboxStatus.SKIPPED, {"reason": "no account has this address"})
    opened = await handled(told, await told.take(mailgun("opened", "no@body.example"), {}, source="mailgun"))
    assert opened.result == {"reason": "nobody handles this type"}
