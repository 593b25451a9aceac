"""Everybody at once: buying, holding, signing in, the cleaners. Locks have one order, so nobody deadlocks."""

import asyncio
import random
from collections import Counter as Tally

import pytest

from counter import Counter
from market import Market
from storeroom.carts import CartNotActive, CartNotFound, CartStatus, Visitor
from storeroom.carts.jobs import abandon_idle
from storeroom.core.ids import CartId, SessionId, UserId, VariantId
from storeroom.flows.checkout import Checkout, CheckoutGroups
from storeroom.flows.errors import CartClosed, CartUnknown, OutOfStock
from storeroom.inventory import InsufficientStock, ReservedCartEnded

EXPECTED = (CartNotActive, CartNotFound, CartClosed, CartUnknown, InsufficientStock, ReservedCartEnded, OutOfStock)


@pytest.mark.requirement("SBB-PRIN-02", "SBB-MRG-04", "SBB-CART-13")
@pytest.mark.parametrize("grouped", [True, False])
async def test_a_crowd_loses_no_unit_and_nobody_deadlocks(
    market: Market, deadlocks: list[BaseException], grouped: bool
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    counter = Counter(market, Checkout(market.context, CheckoutGroups(market.db) if grouped else None))
    variants = [await market.variant(stock=60) for _ in range(4)]
    users = [await market.user() for _ in range(6)]
    guests: list[tuple[SessionId, CartId, UserId]] = []
    added = Tally[VariantId]()
    for number in range(18):
        session = await market.session()
        cart = await market.carts.for_session(session)
        for variant in dice.sample(variants, 3):
            quantity = dice.randint(1, 3)
            added[variant] += quantity
            await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=quantity)
        guests.append((session, cart.id, users[number % 6]))
        if number % 2:
            await market.inventory.reserve_cart(cart_id=cart.id)
    await market.run(
        "UPDATE {inventory_reservations} SET expires_at = now() "
        "WHERE tenant_id = $1 AND get_byte(uuid_send(id), 15) < 128"
    )

    async def sweep() -> int:
        return await market.db.run(lambda tx: abandon_idle(tx, tenant_id=market.tenant_id, limit=100))

    moves = []
    for session, cart_id, user in guests:
        moves += [
            lambda c=cart_id, s=session: counter.place(cart_id=c, visitor=Visitor(session_id=s)),
            lambda u=user, s=session: market.carts.merge(user_id=u, session_id=s),
            lambda c=cart_id: market.inventory.reserve_cart(cart_id=c),
            lambda c=cart_id: market.inventory.release(cart_id=c),
            market.inventory.expire,
            sweep,
        ]
    dice.shuffle(moves)
    outcomes = await asyncio.gather(*(move() for move in moves), return_exceptions=True)
    surprises = [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, EXPECTED)]
    assert surprises == []
    assert deadlocks == []

    # Every unit that was put into a cart is in exactly one cart that lives, or in exactly one order.
    found = Tally[VariantId]()
    for _, cart_id, _ in guests:
        cart = await market.carts.get(cart_id=cart_id)
        if cart.status is CartStatus.ACTIVE:
            found.update(await market.contents(cart_id))
        elif cart.status is CartStatus.MERGED:
            assert await market.contents(cart_id) == {}
    ordered = await market.rows(
        "SELECT variant_id, sum(quantity)::int FROM {order_items} WHERE tenant_id = $1 GROUP BY 1"
    )
    for variant_id, quantity in ordered:
        found[variant_id] += quantity
    assert found == added
    # What is reserved is what carts hold and orders own.
    held = Tally[VariantId](dict(ordered))
    for variant_id, quantity in await market.rows(
        "SELECT variant_id, sum(quantity)::int FROM {inventory_reservations} "
        "WHERE tenant_id = $1 AND status = 'active' GROUP BY 1"
    ):
        held[variant_id] += quantity
    for variant in variants:
        assert await market.stock(variant) == (60, held[variant])
        assert held[variant] <= 60
