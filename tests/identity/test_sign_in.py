"""Signing in joins two lives: the guest's session and cart become the account's, whatever two browsers do at once."""

import asyncio

import pytest
from house import PASSWORD, House

from market import Market
from rivals import race
from storeroom.core.ids import VariantId
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Transaction
from storeroom.identity import InvalidCredentials, SignedIn, TokenRefused


@pytest.fixture
async def market(house: House) -> Market:
    """The same shop's shelves."""
    return Market(house.db, house.shop.context)


async def guest_with(house: House, variant_id: VariantId, quantity: int) -> tuple[Visitor, str]:
    session, token = await house.shop.sessions.guest()
    visitor = Visitor(session_id=session.id)
    cart = await house.shop.carts.create(visitor=visitor)
    await house.shop.carts.add(visitor=visitor, cart_id=cart.id, variant_id=variant_id, quantity=quantity)
    return visitor, token


async def sign_in(house: House, token: str | None = None) -> SignedIn:
    return await house.shop.sign_in.with_password(email="ann@example.com", password=PASSWORD, guest_token=token)


@pytest.mark.requirement("STO-SES-01")
async def test_the_guests_session_and_cart_become_the_accounts(house: House, market: Market) -> None:
    user = await house.customer()
    shirt = await market.variant()
    visitor, token = await guest_with(house, shirt, 2)
    before = await house.one("SELECT anonymous_id FROM {auth_sessions} WHERE tenant_id = $1")
    signed_in = await sign_in(house, token)
    assert signed_in.was_guest
    assert signed_in.session_id == visitor.session_id
    (row,) = await house.rows("SELECT user_id, anonymous_id FROM {auth_sessions} WHERE tenant_id = $1")
    assert row == (user.id, before)
    assert await house.shop.sessions.visitor(token) is None
    (cart,) = await house.rows("SELECT id, user_id, session_id, status FROM {carts} WHERE tenant_id = $1")
    assert cart[1:] == (user.id, None, "active")
    assert await market.contents(cart[0]) == {shirt: 2}


async def test_an_account_that_has_a_cart_gets_the_sum(house: House, market: Market) -> None:
    await house.customer()
    shirt = await market.variant()
    for quantity in (1, 2):
        _, token = await guest_with(house, shirt, quantity)
        await sign_in(house, token)
    assert await market.statuses() == ["active", "merged"]
    active = await house.one("SELECT id FROM {carts} WHERE tenant_id = $1 AND status = 'active'")
    assert await market.contents(active) == {shirt: 3}


async def test_of_two_sign_ins_with_one_guest_the_first_takes_the_cart(house: House, market: Market) -> None:
    await house.customer()
    shirt = await market.variant()
    _, token = await guest_with(house, shirt, 2)
    proof = await house.shop.sessions.prove(email="ann@example.com", password=PASSWORD)

    async def first(tx: Transaction) -> None:
        await house.shop.sign_in.bound(tx)._join(proof, token, None)

    outcome = await race(house.db, first, lambda: sign_in(house, token))
    assert isinstance(outcome, SignedIn)
    assert not outcome.was_guest
    assert await house.count("auth_sessions") == 2
    assert await market.statuses() == ["active"]
    active = await house.one("SELECT id FROM {carts} WHERE tenant_id = $1")
    assert await market.contents(active) == {shirt: 2}


async def test_many_browsers_signing_in_at_once_lose_nothing(house: House, market: Market) -> None:
    await house.customer()
    shirt = await market.variant(stock=100)
    tokens = [(await guest_with(house, shirt, 1))[1] for _ in range(4)]
    await asyncio.gather(*(sign_in(house, token) for token in tokens + tokens))
    assert await market.statuses() == ["active", "merged", "merged", "merged"]
    active = await house.one("SELECT id FROM {carts} WHERE tenant_id = $1 AND status = 'active'")
    assert await market.contents(active) == {shirt: 4}


async def test_a_wrong_password_leaves_the_guest_a_guest(house: House, market: Market) -> None:
    await house.customer()
    visitor, token = await guest_with(house, await market.variant(), 2)
    with pytest.raises(InvalidCredentials):
        await house.shop.sign_in.with_password(email="ann@example.com", password="not this one", guest_token=token)
    assert await house.shop.sessions.visitor(token) == visitor


async def test_a_cart_that_cannot_be_merged_leaves_everything_as_it_was(
    house: House, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await house.customer()
    visitor, token = await guest_with(house, await market.variant(), 2)

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storeroom.carts.Carts.merge", broken)
    with pytest.raises(ZeroDivisionError):
        await sign_in(house, token)
    assert await house.shop.sessions.visitor(token) == visitor
    assert await house.rows("SELECT user_id FROM {auth_sessions} WHERE tenant_id = $1") == [(None,)]
    assert await house.one("SELECT count(*) FROM {auth_sessions} WHERE tenant_id = $1 AND user_id = $2", user.id) == 0


async def test_a_token_that_is_no_guests_any_more_is_no_error(house: House, other: House) -> None:
    await house.customer()
    first = await sign_in(house)
    _, foreign = await other.shop.sessions.guest()
    for token in ("nonsense", "\ud800", foreign, first.refresh_token):
        signed_in = await sign_in(house, token)
        assert not signed_in.was_guest
        assert signed_in.session_id != first.session_id
    assert await other.shop.sessions.visitor(foreign)
    await house.shop.sessions.sign_out(first.refresh_token)
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(first.access_token)
