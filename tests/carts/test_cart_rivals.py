"""Many hands in carts at once."""

import asyncio
import random

import pytest

from market import Market
from rivals import race
from storeroom.carts import CartNotActive, Visitor
from storeroom.core.errors import StoreroomError
from storeroom.core.money import Money
from storeroom.database.pool import Transaction

HANDS = 16  # at a time; the pool has 8 connections


@pytest.mark.requirement("SBB-CI-04", "SBB-CART-04")
async def test_many_adds_of_one_thing_make_one_line(market: Market) -> None:
    variant, cart = await market.variant(price=700), await market.guest_cart()
    await asyncio.gather(*(market.carts.add(cart_id=cart.id, variant_id=variant, quantity=n) for n in range(1, 13)))
    (line,) = await market.carts.lines(cart_id=cart.id)
    assert line.quantity == 78
    assert (await market.carts.get(cart_id=cart.id)).total == Money(78 * 700, "USD")


@pytest.mark.requirement("SBB-CI-04")
async def test_two_adds_meet_and_both_count(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()

    async def first(tx: Transaction) -> None:
        await market.on(tx).carts.add(cart_id=cart.id, variant_id=variant, quantity=2)

    line = await race(market.db, first, lambda: market.carts.add(cart_id=cart.id, variant_id=variant, quantity=3))
    assert line.quantity == 5
    assert await market.contents(cart.id) == {variant: 5}


async def test_control_totals_go_wrong_without_the_carts_lock(market: Market) -> None:
    """The proof of the proof: a second line added past the lock is missing in the totals of whoever counts first."""
    one, two, cart = await market.variant(price=100), await market.variant(price=100), await market.guest_cart()

    async def unlocked_add(here: Market, variant: object) -> None:
        await here.run(
            "INSERT INTO {cart_items} (tenant_id, id, cart_id, product_id, variant_id, quantity, unit_price) "
            "VALUES ($1, gen_random_uuid(), $2, $3, $4, 1, 100)",
            cart.id,
            market.products[variant],  # type: ignore[index]
            variant,
        )
        total = await here.one(
            "SELECT sum(quantity * unit_price)::bigint FROM {cart_items} WHERE tenant_id = $1 AND cart_id = $2", cart.id
        )
        await here.run("UPDATE {carts} SET subtotal_amount = $3 WHERE tenant_id = $1 AND id = $2", cart.id, total)

    await race(market.db, lambda tx: unlocked_add(market.on(tx), one), lambda: unlocked_add(market, two))
    assert await market.contents(cart.id) == {one: 1, two: 1}
    assert (await market.carts.get(cart_id=cart.id)).total == Money(100, "USD")


async def test_an_add_that_meets_the_end_of_the_cart_is_refused(market: Market) -> None:
    variant, session = await market.variant(), await market.session()
    cart = await market.carts.for_session(session)
    own = await market.user_cart()
    assert own.user_id is not None

    async def first(tx: Transaction) -> None:
        await market.on(tx).carts.merge(user_id=own.user_id, session_id=session)  # type: ignore[arg-type]

    outcome = await race(market.db, first, lambda: market.carts.add(cart_id=cart.id, variant_id=variant))
    assert isinstance(outcome, CartNotActive)
    assert outcome.status == "merged"
    assert await market.contents(cart.id) == {}


@pytest.mark.requirement("SBB-PRIN-02", "SBB-CART-04")
async def test_a_burst_of_writes_loses_nothing_and_nobody_deadlocks(
    market: Market, deadlocks: list[BaseException]
) -> None:
    """600 writes to 40 carts by 16 hands: adds, changes and holds in random order, crossed over the same 6 variants."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    variants = [await market.variant(stock=100_000, price=10 + n) for n in range(6)]
    carts = [await market.guest_cart() for _ in range(40)]
    hands = asyncio.Semaphore(HANDS)
    added: dict[object, dict[object, int]] = {cart.id: {} for cart in carts}

    async def write(choice: float, cart_id: object, variant: object, quantity: int) -> None:
        async with hands:
            if choice < 0.8:
                await market.carts.add(cart_id=cart_id, variant_id=variant, quantity=quantity)  # type: ignore[arg-type]
            else:
                await market.inventory.reserve_cart(cart_id=cart_id)  # type: ignore[arg-type]

    writes = []
    for _ in range(600):
        choice, cart, variant, quantity = dice.random(), dice.choice(carts), dice.choice(variants), dice.randint(1, 3)
        if choice < 0.8:
            lines = added[cart.id]
            lines[variant] = lines.get(variant, 0) + quantity
        writes.append(write(choice, cart.id, variant, quantity))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is not None] == []
    prices = {variant: 10 + n for n, variant in enumerate(variants)}
    for cart in carts:
        assert await market.contents(cart.id) == added[cart.id]
        total = sum(prices[variant] * quantity for variant, quantity in added[cart.id].items())  # type: ignore[index]
        assert (await market.carts.get(cart_id=cart.id)).total == Money(total, "USD")
        await market.carts.reserve(cart_id=cart.id)
    for variant in variants:
        held = sum(lines.get(variant, 0) for lines in added.values())
        assert await market.stock(variant) == (100_000, held)
    assert deadlocks == []


async def test_holding_merging_and_making_at_once_end_in_one_cart(market: Market) -> None:
    """Whoever signs in while another tab buys and a third looks: no error but a typed one, and every unit once."""
    variant = await market.variant(stock=1000)
    for _ in range(6):
        user, session = await market.user(), await market.session()
        guest = await market.carts.for_session(session)
        await market.carts.add(cart_id=guest.id, variant_id=variant, quantity=2)
        visitor = Visitor(user_id=user)
        outcomes = await asyncio.gather(
            market.carts.merge(user_id=user, session_id=session),
            market.carts.create(visitor=visitor),
            market.carts.reserve(cart_id=guest.id),
            market.carts.create(visitor=visitor),
            market.carts.merge(user_id=user, session_id=session),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(failure, StoreroomError) and not failure.transient for failure in failures), failures
        cart = await market.carts.active(visitor=visitor)
        assert cart is not None
        assert await market.contents(cart.id) == {variant: 2}
        held = await market.inventory.active_for_cart(cart_id=cart.id)
        assert sum(each.quantity for each in held) in (0, 2)
        await market.inventory.release(cart_id=cart.id)
        assert await market.stock(variant) == (1000, 0)
