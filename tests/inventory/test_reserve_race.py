"""Two who meet at one stock row: seen to wait for each other, with a control that shows what the guard prevents."""

import pytest

from market import Market
from rivals import race
from storeroom.database.pool import Transaction
from storeroom.inventory import InsufficientStock


@pytest.mark.requirement("STO-VAR-06")
async def test_the_last_unit_is_held_once(market: Market) -> None:
    variant = await market.variant(stock=1)

    async def first(tx: Transaction) -> None:
        assert await market.on(tx).inventory.reserve(variant_id=variant, quantity=1) is not None

    outcome = await race(market.db, first, lambda: market.inventory.reserve(variant_id=variant, quantity=1))
    assert isinstance(outcome, InsufficientStock)
    assert outcome.available == 0
    assert await market.stock(variant) == (1, 1)


async def test_control_the_race_oversells_when_the_check_is_a_read(market: Market) -> None:
    """The proof of the proof: look first and write then, and the unit is promised twice."""
    variant = await market.variant(stock=1)

    async def read_then_write(here: Market) -> bool:
        on_hand, reserved = await here.stock(variant)
        if on_hand - reserved < 1:
            return False
        await here.run(
            "UPDATE {stock_levels} SET reserved = reserved + 1 WHERE tenant_id = $1 AND variant_id = $2", variant
        )
        return True

    outcome = await race(market.db, lambda tx: read_then_write(market.on(tx)), lambda: read_then_write(market))
    assert outcome is True
    assert await market.stock(variant) == (1, 2)


async def test_who_waits_for_a_release_gets_the_unit(market: Market) -> None:
    variant, cart = await market.variant(stock=1), await market.guest_cart()
    await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)

    async def first(tx: Transaction) -> None:
        assert await market.on(tx).inventory.release(cart_id=cart.id) == 1

    outcome = await race(market.db, first, lambda: market.inventory.reserve(variant_id=variant, quantity=1))
    assert outcome.quantity == 1
    assert await market.stock(variant) == (1, 1)


@pytest.mark.requirement("CED-OP-027")
async def test_converting_waits_for_the_cleaner_and_finds_nothing(market: Market) -> None:
    variant, cart = await market.variant(stock=1), await market.guest_cart()
    made = await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
    assert made is not None
    await market.let_expire(made.id)

    async def first(tx: Transaction) -> None:
        assert await market.on(tx).inventory.expire() == 1

    assert await race(market.db, first, lambda: market.inventory.convert(cart_id=cart.id)) == 0
    assert await market.stock(variant) == (1, 0)
    assert await market.reservations(variant) == {"released": 1}


@pytest.mark.requirement("CED-OP-028")
async def test_two_cleaners_give_each_unit_back_once(market: Market) -> None:
    variant = await market.variant(stock=5)
    for _ in range(3):
        made = await market.inventory.reserve(variant_id=variant, quantity=1)
        assert made is not None
        await market.let_expire(made.id)

    async def first(tx: Transaction) -> None:
        assert await market.on(tx).inventory.expire() == 3

    assert await race(market.db, first, market.inventory.expire) == 0
    assert await market.stock(variant) == (5, 0)
    assert await market.reservations(variant) == {"released": 3}
