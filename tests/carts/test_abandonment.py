"""The job that ends carts which nobody comes back to."""

import asyncio
from datetime import timedelta

import pytest

from market import Market
from rivals import race
from storeroom.carts import CartStatus
from storeroom.carts.jobs import abandon_carts, abandon_idle
from storeroom.core.ids import CartId
from storeroom.database.pool import Database, Transaction

BACK = (
    "UPDATE {carts} SET updated_at = now() - $3::interval, expires_at = now() + $4::interval "
    "WHERE tenant_id = $1 AND id = $2"
)
LIVES = timedelta(days=20)


async def sweep(market: Market) -> int:
    return await market.db.run(lambda tx: abandon_idle(tx, tenant_id=market.tenant_id, limit=100))


@pytest.mark.requirement("SBB-CART-13")
async def test_idle_and_expired_carts_are_abandoned_and_free_their_units(market: Market) -> None:
    variant = await market.variant(stock=10)
    idle, fresh, expired, almost = [await market.guest_cart() for _ in range(4)]
    for cart in (idle, fresh, expired, almost):
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
        await market.carts.reserve(cart_id=cart.id)
    await market.run(BACK, idle.id, timedelta(days=7, seconds=1), LIVES)
    await market.run(BACK, almost.id, timedelta(days=6, hours=23), LIVES)
    await market.run(BACK, expired.id, timedelta(0), timedelta(0))
    assert await market.stock(variant) == (10, 8)
    assert await sweep(market) == 2
    for cart, status in (
        (idle, CartStatus.ABANDONED),
        (fresh, CartStatus.ACTIVE),
        (expired, CartStatus.ABANDONED),
        (almost, CartStatus.ACTIVE),
    ):
        assert (await market.carts.get(cart_id=cart.id)).status is status
    assert await market.stock(variant) == (10, 4)
    assert await sweep(market) == 0
    assert await market.contents(idle.id) == {variant: 2}  # what was in it stays to be seen


async def test_the_tenants_patience_counts(market: Market) -> None:
    cart = await market.guest_cart()
    await market.run(BACK, cart.id, timedelta(minutes=2), LIVES)
    assert await sweep(market) == 0
    await market.run("UPDATE {tenants} SET cart_idle = INTERVAL '1 minute' WHERE tenant_id = $1")
    assert await sweep(market) == 1


@pytest.mark.requirement("SBB-CART-13")
async def test_a_cart_that_is_touched_at_the_moment_is_not_lost(market: Market) -> None:
    """Somebody holds it: it is passed over. Somebody has just put something in: it is looked at again, and lives."""
    variant, cart = await market.variant(), await market.guest_cart()
    await market.run(BACK, cart.id, timedelta(days=8), LIVES)
    async with market.db.transaction() as tx:
        await market.on(tx).carts.add(cart_id=cart.id, variant_id=variant)
        assert await sweep(market) == 0
    assert await sweep(market) == 0
    assert (await market.carts.get(cart_id=cart.id)).status is CartStatus.ACTIVE
    assert await market.contents(cart.id) == {variant: 1}


async def test_who_comes_while_a_cart_is_abandoned_gets_a_new_one(market: Market) -> None:
    session = await market.session()
    cart = await market.carts.for_session(session)
    await market.run(BACK, cart.id, timedelta(0), timedelta(0))

    async def first(tx: Transaction) -> None:
        assert await abandon_idle(tx, tenant_id=market.tenant_id, limit=10) == 1

    fresh = await race(market.db, first, lambda: market.carts.for_session(session))
    assert fresh.id != cart.id
    assert await market.statuses() == ["abandoned", "active"]


async def test_abandoned_carts_are_listed_the_latest_first(market: Market, other: Market) -> None:
    carts = [await market.guest_cart() for _ in range(5)]
    for days, cart in enumerate(carts):
        await market.run(BACK, cart.id, timedelta(days=8 + days), LIVES)
    await other.guest_cart()
    for cart in carts:  # one by one, so that each has an instant of its own
        await market.run("UPDATE {carts} SET status = 'abandoned' WHERE tenant_id = $1 AND id = $2", cart.id)
    found: list[CartId] = []
    cursor = None
    while True:
        page = await market.carts.abandoned(cursor=cursor, limit=2)
        found += [cart.id for cart in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [cart.id for cart in carts]
    assert (await other.carts.abandoned()).items == []


@pytest.mark.requirement("SBB-CART-13")
async def test_the_worker_does_it_for_every_tenant_and_each_cart_once(fresh_database) -> None:
    async with await Database.open(await fresh_database()) as db:
        markets = [await Market.open(db) for _ in range(3)]
        for market in markets:
            variant = await market.variant(stock=10)
            for days in (1, 8, 9):
                cart = await market.guest_cart()
                await market.carts.add(cart_id=cart.id, variant_id=variant)
                await market.carts.reserve(cart_id=cart.id)
                await market.run(BACK, cart.id, timedelta(days=days), LIVES)
        assert await abandon_carts(db, limit=1) == 1
        counts = await asyncio.gather(abandon_carts(db), abandon_carts(db))
        assert sum(counts) == 5
        for market in markets:
            assert await market.statuses() == ["abandoned", "abandoned", "active"]
            (left,) = await market.rows("SELECT sum(reserved)::int FROM {stock_levels} WHERE tenant_id = $1")
            assert left == (1,)
        assert await abandon_carts(db) == 0
