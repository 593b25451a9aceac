"""What a service does is an event at its moment, in its transaction, and nobody's where nobody is known."""

from __future__ import annotations

from uuid import uuid4

import pytest

from factories import make_method, make_product, place, purchase
from storeroom.analytics import Event
from storeroom.carts import CartLineNotFound
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.flows.model import Compliance
from storeroom.identity import InvalidCredentials
from storeroom.payments import Payer
from storeroom.room import Shop


async def named(shop: Shop, name: str) -> list[Event]:
    return list((await shop.events.list(name=name)).items)


async def names(shop: Shop) -> list[str]:
    """From the first to the last."""
    return [event.event_name for event in (await shop.events.list(limit=100)).items][::-1]


async def test_a_guests_cart_tells_what_becomes_of_it(shop: Shop) -> None:
    guest, _ = await shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    buying = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="guest"), ip="203.0.113.9").carts
    cart = await buying.create(visitor=visitor)
    variant_id = await make_product(shop)
    line = await buying.add(visitor=visitor, cart_id=cart.id, variant_id=variant_id, quantity=2)
    await buying.set_quantity(visitor=visitor, cart_id=cart.id, line_id=line.id, quantity=3)
    await buying.remove(visitor=visitor, cart_id=cart.id, line_id=line.id)
    with pytest.raises(CartLineNotFound):
        await buying.remove(visitor=visitor, cart_id=cart.id, line_id=line.id)  # refused, and no event
    assert await names(shop) == ["cart.add", "cart.update_quantity", "cart.remove"]
    (added,) = await named(shop, "cart.add")
    assert (added.anonymous_id, added.user_id, added.session_id) == (guest.anonymous_id, None, str(guest.id))
    assert (added.cart_id, added.ip_address) == (cart.id, "203.0.113.9")
    assert added.properties == {"variant_id": str(variant_id), "quantity": 2}


async def test_an_event_goes_with_its_transaction(shop: Shop) -> None:
    guest, _ = await shop.sessions.guest()
    cart = await shop.carts.create(visitor=Visitor(session_id=guest.id))
    variant_id = await make_product(shop)
    with pytest.raises(ZeroDivisionError):
        async with shop.transaction() as tx:
            await tx.carts.add(cart_id=cart.id, variant_id=variant_id)
            assert await names(tx) == ["cart.add"]
            raise ZeroDivisionError
    assert await names(shop) == []


async def test_signing_up_is_an_event_and_being_made_by_staff_is_none(shop: Shop) -> None:
    email = f"{uuid4().hex}@buyer.example"
    user = await shop.users.register(email=email, password="correct horse battery", full_name="Bo")
    await shop.acting(actor=SYSTEM).users.create(email=f"{uuid4().hex}@buyer.example")
    assert [event.user_id for event in await named(shop, "user.signup.completed")] == [user.id]


async def test_a_payment_tells_how_it_goes(shop: Shop) -> None:
    email = f"{uuid4().hex}@buyer.example"
    user = await shop.users.register(email=email, password="correct horse battery", full_name="Bo")
    await make_method(shop)
    order = (await place(shop, (await make_product(shop), 1), visitor=Visitor(user_id=user.id))).order
    customer = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=user.id), ip="203.0.113.9").payments
    payment = await customer.start(order_id=order.id, method="zelle", payer=Payer(user_id=user.id))
    await customer.submit_proof(reference=payment.reference, customer_reference="Z-1", payer=Payer(user_id=user.id))
    staff = shop.acting(ip="198.51.100.7").payments
    await staff.verify(payment_id=payment.id, received=payment.amount)
    found = {event.event_name: event for event in (await shop.events.of_order(order.id)).items}
    paid = ["payment.initiated", "payment.proof_uploaded", "payment.completed"]
    assert [*found][::-1] == ["order.created", "checkout.completed", *paid]
    assert {(found[name].payment_id, found[name].user_id) for name in paid} == {(payment.id, user.id)}
    assert found["payment.initiated"].ip_address == "203.0.113.9"
    assert found["payment.completed"].ip_address is None  # that was where staff sat


async def test_where_nobody_is_known_there_is_no_event(shop: Shop) -> None:
    await make_method(shop)
    order = (await place(shop, (await make_product(shop), 1))).order
    await shop.payments.start(order_id=order.id, method="zelle")
    assert await names(shop) == []


def told(visit: str, *names: str) -> list[dict[str, object]]:
    """What a browser tells."""
    return [{"event_name": name, "event_category": name.partition(".")[0], "session_id": visit} for name in names]


@pytest.mark.requirement("SBB-EVT-15")
async def test_a_way_through_the_shop_leaves_every_named_event_at_its_moment(shop: Shop) -> None:
    """What only a browser sees it tells itself; everything else the services say when they do it."""
    variant_id = await make_product(shop)
    await make_method(shop)
    email, password = f"{uuid4().hex}@buyer.example", "correct horse battery"
    guest, token = await shop.sessions.guest()
    visitor, visit = Visitor(session_id=guest.id), str(guest.id)
    seen: list[str] = []

    async def came(*expected: str) -> None:
        """These and no others since the last time."""
        found = await names(shop)
        assert found[len(seen) :] == [*expected]
        seen[:] = found

    browsing = ["page.view", "page.scroll.50", "page.scroll.100", "product.view", "product.quick_view"]
    await shop.events.take(batch=told(visit, *browsing, "user.signup.started"), visitor=visitor)
    await came(*browsing, "user.signup.started")
    user = await shop.users.register(email=email, password=password, full_name="Bo")
    await came("user.signup.completed")
    with pytest.raises(InvalidCredentials):
        await shop.sign_in.with_password(email=email, password="wrong horse battery", guest_token=token)
    await came("user.login.failed")
    await shop.sign_in.with_password(email=email, password=password, guest_token=token)
    await came("user.login.success")

    buyer = Visitor(user_id=user.id)
    cart = await shop.carts.create(visitor=buyer)
    line = await shop.carts.add(cart_id=cart.id, variant_id=variant_id, visitor=buyer)
    await shop.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=2, visitor=buyer)
    await shop.carts.remove(cart_id=cart.id, line_id=line.id, visitor=buyer)
    await came("cart.add", "cart.update_quantity", "cart.remove")
    await shop.carts.add(cart_id=cart.id, variant_id=variant_id, visitor=buyer)
    await came("cart.add")

    steps = ["checkout.started", "checkout.step.shipping", "checkout.step.payment"]
    await shop.events.take(batch=told(visit, *steps), visitor=buyer)
    await came(*steps)
    placed = await shop.checkout.place(
        purchase(cart_id=cart.id, payment_method="zelle", compliance=Compliance(acknowledged=True, version="2026-01")),
        visitor=buyer,
    )
    await came("order.created", "checkout.completed", "checkout.compliance.acknowledged", "payment.initiated")
    assert placed.order.payment is not None
    await shop.payments.submit_proof(reference=placed.order.payment.reference, customer_reference="Z-1")
    await came("payment.proof_uploaded")
    await shop.payments.verify(payment_id=placed.order.payment.id)
    await came("payment.completed")
    assert {event.user_id for event in (await shop.events.of_order(placed.order.id)).items} == {user.id}
