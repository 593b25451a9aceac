"""Rooms that share a pool: each is closed by itself, and the pool by whoever opened it."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest

from factories import make_coupon, make_product, open_shop
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.errors import DatabaseClosed
from storeroom.database.pool import Database
from storeroom.room import Shop, Storeroom

Fresh = Callable[..., Awaitable[str]]


async def refused(shop: Shop) -> None:
    """Every kind of call on a closed handle: reading, writing, a transaction, listening."""
    for call in (
        shop.products.list(),
        shop.coupons.get(code="SAVE"),
        shop.coupons.list(),
        shop.coupons.increment_usage(code="SAVE"),
        make_product(shop),
        make_coupon(shop, "10 %"),
        shop.context.db.listen("nothing", print),  # type: ignore[attr-defined]
    ):
        with pytest.raises(DatabaseClosed):
            await call
    with pytest.raises(DatabaseClosed):
        async with shop.transaction():
            raise AssertionError


@pytest.mark.requirement("CED-OP-057", "CED-OP-066")
async def test_closing_one_of_two_that_share_a_pool_leaves_the_other_usable(dsn: str) -> None:
    async with await Database.open(dsn) as database:  # in that of all tests connections come and go
        await _close_one_of_two(database)


async def _close_one_of_two(database: Database) -> None:
    goods, discounts = Storeroom(database.share()), Storeroom(database.share())
    shop = await open_shop(goods)
    beside = discounts.tenant(shop.tenant_id)
    await make_product(shop)
    await make_coupon(beside, "10 %", "SAVE")
    assert len((await beside.products.list(storefront=False)).items) == 1
    size = database.size

    await goods.close()
    await goods.close()  # again is harmless
    await refused(shop)
    assert (await beside.coupons.increment_usage(code="SAVE")).usage_count == 1
    assert len((await beside.products.list(storefront=False)).items) == 1

    await discounts.close()
    await discounts.close()
    await refused(beside)
    assert (database.closed, database.size) == (False, size)
    assert await database.fetchval("SELECT usage_count FROM coupons WHERE tenant_id = $1", shop.tenant_id) == 1


@pytest.mark.requirement("CED-OP-066")
async def test_what_runs_when_a_sharing_room_is_closed_may_finish(database: Database) -> None:
    room = Storeroom(database.share())
    shop = await open_shop(room)
    async with shop.transaction() as tx:
        await make_coupon(tx, "10 %", "SAVE")
        await room.close()
    assert await database.fetchval("SELECT count(*) FROM coupons WHERE tenant_id = $1", shop.tenant_id) == 1
    await refused(shop)


@pytest.mark.requirement("CED-OP-057", "CED-OP-066")
async def test_a_room_with_a_pool_of_its_own_frees_it(fresh_database: Fresh, postgres: EmbeddedPostgres) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn) as room:
        shop = await open_shop(room)
        beside = Storeroom(room.db.share()).tenant(shop.tenant_id)
        await asyncio.gather(*(shop.coupons.list() for _ in range(5)))
        await room.close()
        await room.close()
        admin = await asyncpg.connect(postgres.dsn("postgres"))
        held = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
        async with asyncio.timeout(60):  # the server notices the end of a connection a moment later
            while await admin.fetchval(held, urlsplit(dsn).path.lstrip("/")):
                await asyncio.sleep(0.01)
        await admin.close()
        await refused(shop)
        with pytest.raises(DatabaseClosed):  # who shared it has no pool any more
            await beside.coupons.list()
