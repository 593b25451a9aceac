"""Coupons under rivals: one code made twice, one use too many."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from factories import make_coupon
from rivals import race
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Database, Transaction
from storeroom.promotions import CouponChanges, CouponExists, CouponUsedUp, DiscountType
from storeroom.room import Shop


@pytest.mark.requirement("CED-OP-062", "SBB-DISC-07")
async def test_of_two_at_once_that_make_one_code_one_is_refused(shop: Shop, database: Database) -> None:
    made = []

    async def first(tx: Transaction) -> None:
        coupons = shop.coupons.bound(tx)
        percent = {"discount_type": DiscountType.PERCENTAGE, "percentage": Decimal(10)}
        made.append(await coupons.create(code="SAVE", name="First", **percent))

    outcome = await race(database, first, lambda: make_coupon(shop, "50 %", "save"))
    assert isinstance(outcome, CouponExists)
    assert (await shop.coupons.list_all()).items == made


@pytest.mark.requirement("CED-OP-064")
async def test_a_hundred_at_once_are_a_hundred_and_with_a_limit_of_ten_ten_succeed(shop: Shop) -> None:
    await make_coupon(shop, "10 %", "FREE")
    await make_coupon(shop, "10 %", "TEN", usage_limit=10)

    async def hundred(code: str) -> list[object]:
        return await asyncio.gather(
            *(shop.coupons.increment_usage(code=code) for _ in range(100)), return_exceptions=True
        )

    counts = {coupon.usage_count for coupon in await hundred("FREE")}  # type: ignore[attr-defined]
    assert counts == set(range(1, 101))
    outcomes = await hundred("TEN")
    assert sum(isinstance(outcome, CouponUsedUp) for outcome in outcomes) == 90
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 10
    assert ((await shop.coupons.get(code="TEN")).usage_count, (await shop.coupons.get(code="FREE")).usage_count) == (
        10,
        100,
    )


@pytest.mark.requirement("CED-OP-064")
async def test_who_waits_for_the_last_use_does_not_get_it(shop: Shop, database: Database) -> None:
    await make_coupon(shop, "10 %", "LAST", usage_limit=1)

    async def first(tx: Transaction) -> None:
        await shop.coupons.bound(tx).increment_usage(code="LAST")

    outcome = await race(database, first, lambda: shop.coupons.increment_usage(code="LAST"))
    assert isinstance(outcome, CouponUsedUp)
    assert (await shop.coupons.get(code="LAST")).usage_count == 1


async def test_control_counting_what_was_read_before_would_give_it_twice(shop: Shop, database: Database) -> None:
    """The proof of the proof: read, decide, write; the two meet and one use too many is counted."""
    coupon = await make_coupon(shop, "10 %", "LAST", usage_limit=1)
    seen = "SELECT usage_count < usage_limit FROM coupons WHERE id = $1"
    write = "UPDATE coupons SET usage_count = usage_count + 1 WHERE id = $1"

    async def first(tx: Transaction) -> None:
        assert await tx.fetchval(seen, coupon.id)
        await tx.execute(write, coupon.id)

    async def second() -> None:
        assert await database.fetchval(seen, coupon.id)
        await database.execute(write, coupon.id)

    assert await race(database, first, second) is None
    assert (await shop.coupons.get(code="LAST")).usage_count == 2


@pytest.mark.requirement("CED-OP-063")
async def test_a_use_that_is_counted_while_staff_change_the_coupon_is_not_lost(shop: Shop, database: Database) -> None:
    await make_coupon(shop, "10 %", "SAVE")

    async def first(tx: Transaction) -> None:
        await shop.coupons.bound(tx).increment_usage(code="SAVE")

    changed = await race(database, first, lambda: shop.coupons.update(code="SAVE", changes=CouponChanges(name="Other")))
    assert (changed.name, changed.usage_count) == ("Other", 1)


@pytest.mark.requirement("CED-OP-064")
async def test_a_connection_that_is_cut_before_the_commit_has_counted_nothing(shop: Shop, dsn: str) -> None:
    await make_coupon(shop, "10 %", "LAST", usage_limit=1)
    with pytest.raises(DatabaseUnavailable):
        async with shop.transaction() as tx:
            assert (await tx.coupons.increment_usage(code="LAST")).usage_count == 1
            pid = await tx.context.db.fetchval("SELECT pg_backend_pid()")
            other = await asyncpg.connect(dsn)
            await other.execute("SELECT pg_terminate_backend($1)", pid)
            await other.close()
            await tx.coupons.get(code="LAST")
    assert (await shop.coupons.get(code="LAST")).usage_count == 0
    assert (await shop.coupons.increment_usage(code="LAST")).usage_count == 1
