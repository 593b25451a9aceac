"""Orders through PgBouncer in transaction mode, with statement caching off."""

import asyncio

from bouncer import open_soon
from counter import Counter
from market import Market
from storeroom.flows.checkout import Checkout, CheckoutGroups
from storeroom.flows.errors import OutOfStock


async def test_a_rush_through_pgbouncer(market: Market, bouncer: tuple[str, tuple[int, ...]]) -> None:
    variant = await market.variant(stock=10)
    async with await open_soon(bouncer[0], statement_cache=False) as db:
        counter = Counter(market, Checkout(market.context.on(db), CheckoutGroups(db)))
        results = await asyncio.gather(*(counter.place(variant) for _ in range(40)), return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 10
    assert sum(isinstance(result, OutOfStock) for result in results) == 30
    assert await market.stock(variant) == (10, 10)
