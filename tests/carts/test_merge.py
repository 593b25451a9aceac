"""A guest signs in: what was in the guest's cart is in the account's, once."""

import asyncio
from datetime import timedelta

import pytest

from market import Market
from rivals import race
from storeroom.carts import Cart, CartNotActive, CartStatus, Customisation, Visitor, VisitorNotFound
from storeroom.core.ids import UserId, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Transaction


@pytest.mark.requirement("SBB-MRG-02", "SBB-MRG-03", "SBB-MRG-04")
async def test_quantities_are_summed_and_the_rest_moves(market: Market) -> None:
    x, y, z = [await market.variant(price=price) for price in (100, 10, 1)]
    session, user = await market.session(), await market.user()
    guest, own = await market.carts.for_session(session), await market.carts.for_user(user)
    await market.carts.add(cart_id=guest.id, variant_id=x, quantity=2)
    await market.carts.add(cart_id=guest.id, variant_id=x, quantity=4, customisation=Customisation(print_name="BO"))
    await market.carts.add(cart_id=guest.id, variant_id=z, quantity=7)
    await market.carts.add(cart_id=own.id, variant_id=x, quantity=3)
    await market.carts.add(cart_id=own.id, variant_id=y, quantity=1)
    merged = await market.carts.merge(user_id=user, session_id=session)
    assert merged is not None
    assert merged.id == own.id
    lines = {(line.variant_id, line.print_name): line.quantity for line in await market.carts.lines(cart_id=own.id)}
    assert lines == {(x, None): 5, (x, "BO"): 4, (y, None): 1, (z, None): 7}
    assert merged.total == Money(917, "USD")
    old = await market.carts.get(cart_id=guest.id)
    assert (old.status, old.merged_into_cart_id, old.total) == (CartStatus.MERGED, own.id, Money(0, "USD"))
    with pytest.raises(CartNotActive):
        await market.carts.add(cart_id=guest.id, variant_id=x)
    again = await market.carts.merge(user_id=user, session_id=session)
    assert again is not None
    assert await market.contents(own.id) == {x: 9, y: 1, z: 7}
    assert await market.statuses() == ["active", "merged"]


@pytest.mark.requirement("SBB-MRG-05")
async def test_an_account_without_a_cart_takes_over_the_guests(market: Market) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest = await market.carts.for_session(session)
    await market.carts.add(cart_id=guest.id, variant_id=variant, quantity=2)
    await market.carts.reserve(cart_id=guest.id)
    taken = await market.carts.merge(user_id=user, session_id=session)
    assert taken is not None
    assert (taken.id, taken.user_id, taken.session_id, taken.status) == (guest.id, user, None, CartStatus.ACTIVE)
    assert await market.contents(guest.id) == {variant: 2}
    assert await market.stock(variant) == (10, 2)
    assert await market.carts.active(visitor=Visitor(user_id=user)) == taken
    assert await market.carts.active(visitor=Visitor(session_id=session)) is None
    assert await market.carts.merge(user_id=user, session_id=session) == taken


@pytest.mark.requirement("SBB-MRG-01")
async def test_without_a_guests_cart_nothing_changes(market: Market) -> None:
    variant, user, session = await market.variant(), await market.user(), await market.session()
    stranger = await market.guest_cart()
    await market.carts.add(cart_id=stranger.id, variant_id=variant)
    stranger = await market.carts.get(cart_id=stranger.id)
    assert await market.carts.merge(user_id=user, session_id=session) is None
    own = await market.carts.for_user(user)
    assert await market.carts.merge(user_id=user, session_id=session) == own
    assert await market.carts.get(cart_id=stranger.id) == stranger
    with pytest.raises(VisitorNotFound):
        await market.carts.merge(user_id=UserId(new_id()), session_id=session)


async def test_what_the_guest_had_reserved_is_given_back(market: Market) -> None:
    variant, session, user = await market.variant(stock=5), await market.session(), await market.user()
    guest, own = await market.carts.for_session(session), await market.carts.for_user(user)
    for cart in (guest, own):
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
        await market.carts.reserve(cart_id=cart.id)
    assert await market.stock(variant) == (5, 4)
    await market.carts.merge(user_id=user, session_id=session)
    assert await market.stock(variant) == (5, 2)
    (held,) = await market.carts.reserve(cart_id=own.id)
    assert held.quantity == 4


async def test_the_bounds_of_a_cart_hold_for_a_merge_too(market: Market) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest, own = await market.carts.for_session(session), await market.carts.for_user(user)
    for number in range(60):
        printed = Customisation(print_number=str(number))
        await market.carts.add(cart_id=own.id, variant_id=variant, customisation=printed)
        printed = Customisation(print_number=str(number + 50))
        await market.carts.add(cart_id=guest.id, variant_id=variant, customisation=printed)
    for cart in (own, guest):
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=6_000)
    # 50 of the guest's and 50 of the account's own lines are only in one of them, 11 in both: 111, and room for 100.
    await market.carts.merge(user_id=user, session_id=session)
    lines = await market.carts.lines(cart_id=own.id)
    assert len(lines) == 100
    assert {line.print_number: line.quantity for line in lines}[None] == 10_000
    assert len(await market.carts.lines(cart_id=guest.id)) == 11


async def test_an_expired_cart_is_not_merged_and_not_merged_into(market: Market) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest, own = await market.carts.for_session(session), await market.carts.for_user(user)
    for cart in (guest, own):
        await market.carts.add(cart_id=cart.id, variant_id=variant)
    expire = "UPDATE {carts} SET expires_at = now() + $3::interval WHERE tenant_id = $1 AND id = $2"
    await market.run(expire, guest.id, timedelta(0))
    merged = await market.carts.merge(user_id=user, session_id=session)
    assert merged is not None
    assert await market.contents(own.id) == {variant: 1}
    await market.run(expire, guest.id, timedelta(days=1))
    await market.run(expire, own.id, timedelta(0))
    merged = await market.carts.merge(user_id=user, session_id=session)
    assert merged is not None
    assert merged.id == guest.id
    assert (await market.carts.get(cart_id=own.id)).status is CartStatus.ABANDONED


# --- At once ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-MRG-04")
@pytest.mark.parametrize("with_own", [True, False])
async def test_the_same_merge_twice_at_once(market: Market, with_own: bool) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest = await market.carts.for_session(session)
    await market.carts.add(cart_id=guest.id, variant_id=variant, quantity=3)
    if with_own:
        own = await market.carts.for_user(user)
        await market.carts.add(cart_id=own.id, variant_id=variant, quantity=2)

    async def first(tx: Transaction) -> None:
        await market.on(tx).carts.merge(user_id=user, session_id=session)

    outcome = await race(market.db, first, lambda: market.carts.merge(user_id=user, session_id=session))
    assert isinstance(outcome, Cart)
    assert outcome == await market.carts.active(visitor=Visitor(user_id=user))
    assert await market.contents(outcome.id) == {variant: 5 if with_own else 3}
    assert await market.statuses() == (["active", "merged"] if with_own else ["active"])


@pytest.mark.requirement("STO-CART-02", "SBB-MRG-04", "SBB-MRG-03")
async def test_two_devices_sign_in_at_once(market: Market) -> None:
    x, y, user = await market.variant(), await market.variant(), await market.user()
    phone, laptop = await market.session(), await market.session()
    for session, lines in ((phone, {x: 2, y: 1}), (laptop, {x: 3})):
        cart = await market.carts.for_session(session)
        for variant, quantity in lines.items():
            await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=quantity)

    async def first(tx: Transaction) -> None:
        await market.on(tx).carts.merge(user_id=user, session_id=phone)

    outcome = await race(market.db, first, lambda: market.carts.merge(user_id=user, session_id=laptop))
    assert isinstance(outcome, Cart)
    assert await market.contents(outcome.id) == {x: 5, y: 1}
    assert await market.statuses() == ["active", "merged"]


@pytest.mark.requirement("STO-CART-02", "SBB-CART-10")
async def test_many_merges_and_a_first_cart_at_once(market: Market) -> None:
    variant, user = await market.variant(), await market.user()
    sessions = [await market.session() for _ in range(6)]
    for session in sessions:
        cart = await market.carts.for_session(session)
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
    await asyncio.gather(
        *(market.carts.merge(user_id=user, session_id=session) for session in sessions * 2),
        market.carts.for_user(user),
    )
    own = await market.carts.active(visitor=Visitor(user_id=user))
    assert own is not None
    assert await market.contents(own.id) == {variant: 12}
    assert (await market.statuses()).count("active") == 1


@pytest.mark.requirement("SBB-MRG-04")
async def test_a_merge_that_fails_midway_changes_neither_cart(market: Market) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest, own = await market.carts.for_session(session), await market.carts.for_user(user)
    for cart in (guest, own):
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
    before = [await market.carts.view(cart_id=cart.id) for cart in (guest, own)]

    class Cut:
        """The transaction, until the statement that ends the guest's cart: there the line goes dead."""

        def __init__(self, tx: Transaction) -> None:
            self.tx = tx

        def __getattr__(self, name: str) -> object:
            return getattr(self.tx, name)

        async def execute(self, sql: str, *args: object) -> str:
            if "'merged'" in sql:
                raise ConnectionError
            return await self.tx.execute(sql, *args)

    async def cut_merge() -> None:
        async with market.db.transaction() as tx:
            carts = market.on(tx).carts
            carts.db = Cut(tx)  # type: ignore[assignment]
            await type(carts).merge.__wrapped__(carts, user_id=user, session_id=session)  # type: ignore[attr-defined]

    with pytest.raises(ConnectionError):
        await cut_merge()
    assert [await market.carts.view(cart_id=cart.id) for cart in (guest, own)] == before
    assert await market.carts.merge(user_id=user, session_id=session) is not None
    assert await market.contents(own.id) == {variant: 4}
