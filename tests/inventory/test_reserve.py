"""Holding units, giving them back, passing them on to an order."""

import asyncio
from datetime import timedelta

import pytest

from market import Market
from storeroom.catalog import StockPolicy, VariantNotFound
from storeroom.core.ids import CartId, OrderId, VariantId, new_id
from storeroom.inventory import (
    InsufficientStock,
    InvalidHold,
    InvalidQuantity,
    Reservation,
    ReservationEnded,
    ReservationNotFound,
    ReservationStatus,
    ReservedCartEnded,
    ReservedCartNotFound,
)


@pytest.mark.requirement("CED-IR-01", "SBB-PROD-08")
async def test_a_reservation_reads_back_and_lowers_what_is_available(market: Market) -> None:
    variant, cart = await market.variant(stock=5), await market.guest_cart()
    made = await market.inventory.reserve(variant_id=variant, quantity=2, cart_id=cart.id)
    assert made is not None
    assert (made.variant_id, made.cart_id, made.quantity, made.status) == (
        variant,
        cart.id,
        2,
        ReservationStatus.ACTIVE,
    )
    assert made.expires_at - made.created_at == timedelta(minutes=15)  # the tenant's setting
    assert await market.inventory.active_for_cart(cart_id=cart.id) == [made]
    level = await market.inventory.level(variant_id=variant)
    assert (level.on_hand, level.reserved, level.available) == (5, 2, 3)


async def test_a_hold_is_as_long_as_asked(market: Market) -> None:
    made = await market.inventory.reserve(variant_id=await market.variant(), quantity=1, hold_for=timedelta(hours=24))
    assert made is not None
    assert made.cart_id is None
    assert made.expires_at - made.created_at == timedelta(hours=24)


@pytest.mark.parametrize(
    "hold_for", [timedelta(seconds=59), timedelta(hours=24, seconds=1), timedelta(0), timedelta(-1)]
)
async def test_a_hold_too_short_or_too_long_is_refused(market: Market, hold_for: timedelta) -> None:
    variant = await market.variant()
    with pytest.raises(InvalidHold):
        await market.inventory.reserve(variant_id=variant, quantity=1, hold_for=hold_for)
    assert await market.stock(variant) == (10, 0)


@pytest.mark.parametrize("quantity", [0, -1, 10_001])
async def test_a_quantity_out_of_range_is_refused(market: Market, quantity: int) -> None:
    variant = await market.variant(stock=20_000)
    with pytest.raises(InvalidQuantity):
        await market.inventory.reserve(variant_id=variant, quantity=quantity)
    assert await market.stock(variant) == (20_000, 0)


async def test_too_few_are_refused_with_how_many_there_are(market: Market) -> None:
    variant = await market.variant(stock=3, sku="SHIRT-L")
    with pytest.raises(InsufficientStock) as refused:
        await market.inventory.reserve(variant_id=variant, quantity=4)
    assert (refused.value.sku, refused.value.requested, refused.value.available) == ("SHIRT-L", 4, 3)
    assert await market.stock(variant) == (3, 0)
    assert await market.reservations(variant) == {}


async def test_an_unknown_variant_or_cart_is_not_found(market: Market, other: Market) -> None:
    variant = await market.variant()
    with pytest.raises(VariantNotFound):
        await market.inventory.reserve(variant_id=VariantId(new_id()), quantity=1)
    with pytest.raises(ReservedCartNotFound):
        await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=CartId(new_id()))
    with pytest.raises(VariantNotFound):
        await other.inventory.reserve(variant_id=variant, quantity=1)
    cart = await market.guest_cart()
    await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
    for call in (other.inventory.release, other.inventory.convert, other.inventory.reserve_cart):
        with pytest.raises(ReservedCartNotFound):
            await call(cart_id=cart.id)
    assert await other.inventory.active_for_cart(cart_id=cart.id) == []
    assert await market.stock(variant) == (10, 1)


async def test_a_cart_that_ended_holds_nothing_new(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    await market.run("UPDATE {carts} SET expires_at = now() WHERE tenant_id = $1")
    with pytest.raises(ReservedCartEnded) as refused:
        await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
    assert refused.value.status == "expired"
    await market.run("UPDATE {carts} SET status = 'abandoned' WHERE tenant_id = $1")
    with pytest.raises(ReservedCartEnded):
        await market.inventory.reserve_cart(cart_id=cart.id)
    assert await market.stock(variant) == (10, 0)


async def test_a_variant_without_a_stock_row_has_none(market: Market) -> None:
    variant = await market.variant(stock=None)
    assert (await market.inventory.level(variant_id=variant)).available == 0
    with pytest.raises(InsufficientStock):
        await market.inventory.reserve(variant_id=variant, quantity=1)
    await market.inventory.set_policy(variant_id=variant, policy=StockPolicy.BACKORDER)
    assert await market.inventory.reserve(variant_id=variant, quantity=1) is not None
    assert await market.stock(variant) == (0, 1)


# --- Policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PROD-08")
async def test_an_untracked_variant_never_runs_out_and_holds_nothing(market: Market) -> None:
    variant = await market.variant(stock=0, policy="untracked")
    for _ in range(3):
        assert await market.inventory.reserve(variant_id=variant, quantity=10_000) is None
    assert await market.stock(variant) == (0, 0)
    assert await market.reservations(variant) == {}


async def test_a_backorder_reaches_down_to_its_limit(market: Market) -> None:
    variant = await market.variant(stock=2, policy="backorder", backorder_limit=3)
    assert await market.inventory.reserve(variant_id=variant, quantity=4) is not None
    with pytest.raises(InsufficientStock) as refused:
        await market.inventory.reserve(variant_id=variant, quantity=2)
    assert refused.value.available == 1
    assert await market.inventory.reserve(variant_id=variant, quantity=1) is not None
    assert await market.stock(variant) == (2, 5)


async def test_a_backorder_without_limit_has_no_end(market: Market) -> None:
    variant = await market.variant(stock=0, policy="backorder")
    assert await market.inventory.reserve(variant_id=variant, quantity=10_000) is not None
    assert await market.stock(variant) == (0, 10_000)


# --- Rivals -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-024", "SBB-PROD-08")
async def test_twenty_at_once_for_five_units_leave_five_holds(market: Market) -> None:
    variant = await market.variant(stock=5)
    carts = [await market.guest_cart() for _ in range(20)]
    outcomes = await asyncio.gather(
        *(market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id) for cart in carts),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 5
    refusals = [outcome for outcome in outcomes if isinstance(outcome, InsufficientStock)]
    assert len(refusals) == 15
    assert {refusal.available for refusal in refusals} == {0}
    assert await market.stock(variant) == (5, 5)
    assert await market.reservations(variant) == {"active": 5}


# --- Expiry, lazily ---------------------------------------------------------------------------------------------------


async def test_who_finds_too_few_takes_back_what_has_expired(market: Market) -> None:
    variant = await market.variant(stock=2)
    left = await market.inventory.reserve(variant_id=variant, quantity=1)
    kept = await market.inventory.reserve(variant_id=variant, quantity=1)
    assert left is not None
    assert kept is not None
    await market.let_expire(left.id)
    assert await market.inventory.reserve(variant_id=variant, quantity=1) is not None
    assert await market.stock(variant) == (2, 2)
    assert await market.reservations(variant) == {"active": 2, "released": 1}
    with pytest.raises(InsufficientStock):
        await market.inventory.reserve(variant_id=variant, quantity=1)


async def test_a_cart_finds_the_expired_holds_of_others_and_keeps_its_own(market: Market) -> None:
    variant = await market.variant(stock=3)
    mine, theirs = await market.guest_cart(), await market.guest_cart()
    own = await market.inventory.reserve(variant_id=variant, quantity=2, cart_id=mine.id)
    foreign = await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=theirs.id)
    assert own is not None
    assert foreign is not None
    await market.let_expire(own.id)
    await market.let_expire(foreign.id)
    await market.carts.add(cart_id=mine.id, variant_id=variant, quantity=3)
    (held,) = await market.inventory.reserve_cart(cart_id=mine.id)
    assert held.quantity == 3
    assert await market.stock(variant) == (3, 3)
    assert await market.reservations(variant) == {"active": 1, "released": 2}


# --- A whole cart -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scarce_first", [True, False])
async def test_a_cart_is_held_whole_or_not_at_all(market: Market, scarce_first: bool) -> None:
    """The second line is the scarce one in the order of the ids, or the first."""
    variants = sorted([await market.variant(stock=10), await market.variant(stock=10)])
    scarce, plenty = variants if scarce_first else reversed(variants)
    await market.inventory.count(variant_id=scarce, on_hand=1)
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=plenty, quantity=2)
    await market.carts.add(cart_id=cart.id, variant_id=scarce, quantity=2)
    with pytest.raises(InsufficientStock) as refused:
        await market.inventory.reserve_cart(cart_id=cart.id)
    assert (refused.value.variant_id, refused.value.requested, refused.value.available) == (scarce, 2, 1)
    assert await market.stock(plenty) == (10, 0)
    assert await market.stock(scarce) == (1, 0)
    assert await market.inventory.active_for_cart(cart_id=cart.id) == []


async def test_a_refusal_inside_the_callers_transaction_leaves_the_cart_as_it_was(market: Market) -> None:
    variant, scarce, cart = await market.variant(), await market.variant(stock=1), await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
    before = await market.inventory.reserve_cart(cart_id=cart.id)
    await market.carts.add(cart_id=cart.id, variant_id=scarce, quantity=2)
    async with market.db.transaction() as tx:
        with pytest.raises(InsufficientStock):
            await market.on(tx).inventory.reserve_cart(cart_id=cart.id)
    assert await market.inventory.active_for_cart(cart_id=cart.id) == before
    assert await market.stock(variant) == (10, 2)


async def test_a_cart_reserved_again_holds_what_its_lines_now_say(market: Market) -> None:
    shirt, mug, cart = await market.variant(stock=5), await market.variant(stock=5), await market.guest_cart()
    file = await market.variant(stock=0, policy="untracked")
    line = await market.carts.add(cart_id=cart.id, variant_id=shirt, quantity=5)
    await market.carts.add(cart_id=cart.id, variant_id=file, quantity=1)
    assert [held.quantity for held in await market.carts.reserve(cart_id=cart.id)] == [5]
    await market.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=4)
    await market.carts.add(cart_id=cart.id, variant_id=mug, quantity=1)
    assert sorted(held.quantity for held in await market.carts.reserve(cart_id=cart.id)) == [1, 4]
    assert await market.stock(shirt) == (5, 4)
    assert await market.stock(mug) == (5, 1)
    await market.carts.remove(cart_id=cart.id, line_id=line.id)
    await market.carts.reserve(cart_id=cart.id)
    assert await market.stock(shirt) == (5, 0)
    assert await market.stock(file) == (0, 0)


async def test_two_carts_with_the_same_lines_crossed_do_not_deadlock(market: Market) -> None:
    one, two = await market.variant(stock=6), await market.variant(stock=6)
    carts = [await market.guest_cart() for _ in range(8)]
    for number, cart in enumerate(carts):
        for variant in (one, two) if number % 2 else (two, one):
            await market.carts.add(cart_id=cart.id, variant_id=variant)
    outcomes = await asyncio.gather(
        *(market.inventory.reserve_cart(cart_id=cart.id) for cart in carts), return_exceptions=True
    )
    assert sum(isinstance(outcome, list) for outcome in outcomes) == 6
    assert sum(isinstance(outcome, InsufficientStock) for outcome in outcomes) == 2
    assert await market.stock(one) == (6, 6)
    assert await market.stock(two) == (6, 6)


# --- Giving back and passing on ---------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-025")
async def test_only_what_holds_is_listed(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    made = [await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id) for _ in range(4)]
    ids = [reservation.id for reservation in made if reservation is not None]
    await market.inventory.release_one(reservation_id=ids[1])
    await market.run(
        "UPDATE {inventory_reservations} SET status = 'converted' WHERE tenant_id = $1 AND id = $2", ids[2]
    )
    await market.let_expire(ids[3])
    assert [held.id for held in await market.inventory.active_for_cart(cart_id=cart.id)] == [ids[0]]


@pytest.mark.requirement("CED-OP-026", "CED-IR-02")
async def test_a_cart_gives_its_units_back_once(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    converted = await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
    await market.inventory.convert(cart_id=cart.id, order_id=OrderId(new_id()))
    for quantity in (2, 3):
        await market.inventory.reserve(variant_id=variant, quantity=quantity, cart_id=cart.id)
    assert await market.stock(variant) == (10, 6)
    assert await market.inventory.release(cart_id=cart.id) == 2
    assert await market.stock(variant) == (10, 1)
    assert await market.inventory.release(cart_id=cart.id) == 0
    assert await market.stock(variant) == (10, 1)
    assert await market.reservations(variant) == {"converted": 1, "released": 2}
    assert converted is not None


@pytest.mark.requirement("CED-OP-027", "CED-IR-02")
async def test_converted_units_pass_to_the_order_once(market: Market) -> None:
    variant, cart, order = await market.variant(), await market.guest_cart(), OrderId(new_id())
    await market.inventory.reserve(variant_id=variant, quantity=4, cart_id=cart.id)
    assert await market.inventory.convert(cart_id=cart.id, order_id=order) == 1
    assert (await market.inventory.level(variant_id=variant)).available == 6
    assert await market.inventory.convert(cart_id=cart.id, order_id=OrderId(new_id())) == 0
    assert await market.inventory.release(cart_id=cart.id) == 0
    assert await market.stock(variant) == (10, 4)
    assert await market.rows("SELECT status, order_id FROM {inventory_reservations} WHERE tenant_id = $1") == [
        ("converted", order)
    ]


@pytest.mark.requirement("CED-OP-027")
async def test_converting_and_releasing_at_once_have_one_outcome(market: Market) -> None:
    variant = await market.variant(stock=100)
    for _ in range(10):
        cart = await market.guest_cart()
        await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
        before = (await market.stock(variant))[1]
        moved = await asyncio.gather(
            market.inventory.convert(cart_id=cart.id), market.inventory.release(cart_id=cart.id)
        )
        assert sorted(moved) == [0, 1]
        assert (await market.stock(variant))[1] == before - moved[1]


@pytest.mark.requirement("CED-IR-02")
@pytest.mark.parametrize("ended", [ReservationStatus.RELEASED, ReservationStatus.CONVERTED])
async def test_what_has_ended_ends_no_other_way(market: Market, ended: ReservationStatus) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    made = await market.inventory.reserve(variant_id=variant, quantity=1, cart_id=cart.id)
    assert made is not None
    end = market.inventory.release if ended is ReservationStatus.RELEASED else market.inventory.convert
    await end(cart_id=cart.id)
    stock = await market.stock(variant)
    with pytest.raises(ReservationEnded) as refused:
        await market.inventory.release_one(reservation_id=made.id)
    assert refused.value.status == ended
    assert await market.inventory.convert(cart_id=cart.id) == 0
    assert await market.reservations(variant) == {ended: 1}
    assert await market.stock(variant) == stock


async def test_one_reservation_is_given_back(market: Market, other: Market) -> None:
    variant = await market.variant()
    made = await market.inventory.reserve(variant_id=variant, quantity=3)
    assert made is not None
    with pytest.raises(ReservationNotFound):
        await other.inventory.release_one(reservation_id=made.id)
    assert (await market.inventory.release_one(reservation_id=made.id)).status is ReservationStatus.RELEASED
    assert await market.stock(variant) == (10, 0)


async def test_a_hold_rolls_back_with_the_callers_transaction(market: Market) -> None:
    variant = await market.variant()

    async def change_of_mind() -> None:
        async with market.db.transaction() as tx:
            await market.on(tx).inventory.reserve(variant_id=variant, quantity=3)
            raise LookupError

    with pytest.raises(LookupError):
        await change_of_mind()
    assert await market.stock(variant) == (10, 0)
    assert await market.reservations(variant) == {}
