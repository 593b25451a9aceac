"""Checkout's plans: made once for a connection, and still right when the tables have grown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from counter import Counter
from market import Market
from storeroom.database.pool import Database
from storeroom.flows.checkout import Checkout

ORDERS = 20


async def scans(one: Database, dsn: str) -> int:
    """How often the growing tables of a checkout were read whole."""
    await one.execute("SELECT pg_stat_force_next_flush()")
    await one.execute("SELECT 1")
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(
            "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN "
            "('orders', 'order_items', 'order_status_history', 'order_search', 'payments', 'stock_levels', 'webhook_queue')"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("guarded", [True, False], ids=["as it is", "control: without the setting"])
async def test_a_plan_made_while_a_table_was_small_reads_no_table_whole(
    fresh_database: Callable[..., Awaitable[str]], guarded: bool
) -> None:
    """A shop's first statistics say that its tables are tiny. Reading a tiny table whole is cheapest, and a plan is kept."""
    dsn = await fresh_database()
    owner = await asyncpg.connect(dsn)
    async with await Database.open(dsn, max_size=1) as one:
        market = await Market.open(one)
        counter = Counter(market, Checkout(market.context))
        await counter.method()
        shirt = await market.variant(stock=1000)
        await counter.place(shirt, payment_method="zelle")
        await owner.execute("ANALYZE")  # every plan so far is forgotten
        if not guarded:
            await owner.execute("ALTER FUNCTION place_orders_v2 RESET enable_seqscan")
        await counter.place(shirt, payment_method="zelle")

        before = await scans(one, dsn)
        for _ in range(ORDERS):
            await counter.place(shirt, payment_method="zelle")
        assert (await scans(one, dsn) == before) is guarded
    await owner.close()
