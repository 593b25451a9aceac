"""What a guest did becomes the account's at sign-in: whole, once, and whatever happens at the same moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from factories import make_product
from rivals import race
from storeroom.core.ids import UserId, new_id
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database, Transaction
from storeroom.identity import InvalidCredentials, Session
from storeroom.room import Shop

PASSWORD = "correct horse battery"
VIEW = {"event_name": "page.view", "event_category": "page", "session_id": "visit"}


async def customer(shop: Shop) -> tuple[UserId, str]:
    email = f"{uuid4().hex}@buyer.example"
    return (await shop.users.register(email=email, password=PASSWORD, full_name="Bo")).id, email


async def sign_in(shop: Shop, email: str, token: str | None = None) -> Any:
    return await shop.sign_in.with_password(email=email, password=PASSWORD, guest_token=token)


async def view(shop: Shop, guest: Session) -> int:
    return (await shop.events.take(batch=[VIEW], visitor=Visitor(session_id=guest.id))).kept


async def owners(shop: Shop, guest: Session) -> list[UserId | None]:
    """Whose the page views of a visitor are, the newest first."""
    page = await shop.events.of_anonymous(guest.anonymous_id, since=datetime.now(UTC) - timedelta(days=300))
    return [event.user_id for event in page.items if event.event_name == "page.view"]


async def seen(database: Database, shop: Shop, guest: Session, *, days: int, user_id: UserId | None = None) -> None:
    """An event of some days ago."""
    await database.execute(
        "INSERT INTO events (tenant_id, id, event_name, event_category, user_id, anonymous_id, session_id, created_at) "
        "VALUES ($1, $2, 'page.view', 'page', $3, $4, 'visit', now() - make_interval(days => $5))",
        shop.tenant_id, new_id(), user_id, guest.anonymous_id, days,
    )  # fmt: skip


@pytest.mark.requirement("SBB-EVT-18")
async def test_thirty_days_are_linked_and_no_more(database: Database, shop: Shop) -> None:
    ann, email = await customer(shop)
    bob, _ = await customer(shop)
    guest, token = await shop.sessions.guest()
    stranger, _ = await shop.sessions.guest()
    for days in (0, 29, 31):
        await seen(database, shop, guest, days=days)
    await seen(database, shop, guest, days=1, user_id=bob)
    await seen(database, shop, stranger, days=1)
    signed_in = await sign_in(shop, email, token)
    assert await owners(shop, guest) == [ann, bob, ann, None]
    assert await owners(shop, stranger) == [None]
    assert await shop.events.link(session_id=signed_in.session_id) == 0
    assert await owners(shop, guest) == [ann, bob, ann, None]


async def test_a_guest_who_is_nobody_yet_links_nothing(shop: Shop) -> None:
    guest, _ = await shop.sessions.guest()
    await view(shop, guest)
    assert await shop.events.link(session_id=guest.id) == 0
    assert await owners(shop, guest) == [None]


async def test_a_sign_in_that_is_undone_links_nothing(shop: Shop) -> None:
    """The cart and the events go together, or neither does."""
    ann, email = await customer(shop)
    guest, token = await shop.sessions.guest()
    await view(shop, guest)
    with pytest.raises(ZeroDivisionError):
        async with shop.transaction() as tx:
            await sign_in(tx, email, token)
            assert await owners(tx, guest) == [ann]
            raise ZeroDivisionError
    assert await owners(shop, guest) == [None]
    assert (await shop.events.list(name="user.login.success")).items == []


async def test_an_event_that_comes_during_a_sign_in_waits_and_is_the_accounts(database: Database, shop: Shop) -> None:
    ann, email = await customer(shop)
    guest, token = await shop.sessions.guest()

    async def signing_in(tx: Transaction) -> None:
        await sign_in(Shop(shop.context.on(tx), keys=shop._keys), email, token)

    assert await race(database, signing_in, lambda: view(shop, guest)) == 1
    assert await owners(shop, guest) == [ann]


async def test_a_sign_in_waits_for_the_event_that_is_being_written(database: Database, shop: Shop) -> None:
    ann, email = await customer(shop)
    guest, token = await shop.sessions.guest()

    async def viewing(tx: Transaction) -> None:
        assert await view(Shop(shop.context.on(tx)), guest) == 1

    signed_in = await race(database, viewing, lambda: sign_in(shop, email, token))
    assert signed_in.was_guest
    assert await owners(shop, guest) == [ann]


async def test_of_two_who_sign_in_as_one_guest_the_first_gets_the_events(database: Database, shop: Shop) -> None:
    ann, anns = await customer(shop)
    _, bobs = await customer(shop)
    guest, token = await shop.sessions.guest()
    await view(shop, guest)

    async def signing_in(tx: Transaction) -> None:
        await sign_in(Shop(shop.context.on(tx), keys=shop._keys), anns, token)

    second = await race(database, signing_in, lambda: sign_in(shop, bobs, token))
    assert not second.was_guest
    assert await owners(shop, guest) == [ann]


@pytest.mark.requirement("SBB-EVT-18", "SBB-MRG-01")
async def test_the_cart_and_the_events_go_together(shop: Shop) -> None:
    ann, email = await customer(shop)
    guest, token = await shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    cart = await shop.carts.create(visitor=visitor)
    await shop.carts.add(visitor=visitor, cart_id=cart.id, variant_id=await make_product(shop))
    await view(shop, guest)
    await sign_in(shop, email, token)
    assert (await shop.carts.get(cart_id=cart.id)).user_id == ann
    assert await owners(shop, guest) == [ann]


async def test_signing_in_is_an_event_and_failing_too(shop: Shop) -> None:
    ann, email = await customer(shop)
    guest, token = await shop.sessions.guest()
    with pytest.raises(InvalidCredentials):
        await shop.sign_in.with_password(email=email, password="another", guest_token=token)
    with pytest.raises(InvalidCredentials):
        await shop.sign_in.with_password(email=email, password="another")  # nobody's
    (failed,) = (await shop.events.list(name="user.login.failed")).items
    assert (failed.user_id, failed.anonymous_id) == (None, guest.anonymous_id)
    await sign_in(shop, email, token)
    (signed_in,) = (await shop.events.list(name="user.login.success")).items
    assert (signed_in.user_id, signed_in.anonymous_id) == (ann, guest.anonymous_id)
    assert signed_in.session_id == str(guest.id)
