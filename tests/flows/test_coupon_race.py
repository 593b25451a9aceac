"""Many buyers, few uses: a coupon is given as often as it may be, whoever meets whom."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from typing import Any

import pytest

from counter import Counter
from factories import usd
from market import Market
from rivals import race
from storeroom.carts import Visitor
from storeroom.core.ids import OrderId
from storeroom.database.pool import Database, Transaction
from storeroom.flows.cancellation import Cancellation
from storeroom.flows.checkout import Checkout, CheckoutGroups
from storeroom.flows.errors import OutOfStock
from storeroom.flows.model import Placement, PurchaseLine
from storeroom.promotions import CouponNotApplicable, CouponUsedUp


async def all_at_once(counter: Counter, purchases: list[dict[str, Any]]) -> list[Any]:
    return await asyncio.gather(*(counter.place(**facts) for facts in purchases), return_exceptions=True)


def outcomes(results: list[Any]) -> dict[str, int]:
    return Tally(type(result).__name__ for result in results)


async def given(market: Market) -> int:
    """Orders with a discount."""
    return await market.one("SELECT count(*) FROM {orders} WHERE tenant_id = $1 AND discount_amount > 0")


@pytest.mark.requirement("CED-CPN-03", "SBB-DISC-04")
@pytest.mark.parametrize(("buyers", "limit"), [(100, 10), (20, 1)])
async def test_buyers_at_once_and_exactly_as_many_get_it_as_may(counter: Counter, buyers: int, limit: int) -> None:
    market = counter.market
    await market.coupon(usage_limit=limit)
    lines = [PurchaseLine(variant_id=await market.variant(stock=1000))]
    results = await all_at_once(counter, [{"lines": lines, "coupons": ["SAVE"]}] * buyers)
    assert outcomes(results) == {"Placement": limit, "CouponUsedUp": buyers - limit}
    assert await market.uses() == (limit, limit)
    assert await given(market) == await counter.count("orders") == limit


async def test_one_that_applies_by_itself_is_given_out_and_then_left_out(counter: Counter) -> None:
    market = counter.market
    await market.coupon(usage_limit=10, auto_apply=True)
    lines = [PurchaseLine(variant_id=await market.variant(stock=1000))]
    results = await all_at_once(counter, [{"lines": lines}] * 100)
    assert outcomes(results) == {"Placement": 100}
    assert await market.uses() == (10, 10)
    assert await given(market) == 10


async def test_one_buyer_comes_ten_times_at_once_and_uses_it_once(counter: Counter) -> None:
    market = counter.market
    await market.coupon(usage_limit_per_user=1)
    ann = Visitor(user_id=await market.user())
    facts = {"lines": [PurchaseLine(variant_id=await market.variant(stock=1000))], "coupons": ["SAVE"]}
    for who in ({"visitor": ann}, {"email": "guest@example.com"}):
        results = await all_at_once(counter, [{**facts, **who}] * 10)
        assert outcomes(results) == {"Placement": 1, "CouponNotApplicable": 9}
    assert await market.uses() == (2, 2)


async def test_the_first_of_many_first_orders_is_the_first(counter: Counter) -> None:
    market = counter.market
    await market.coupon(first_order_only=True, auto_apply=True)
    ann = Visitor(user_id=await market.user())
    lines = [PurchaseLine(variant_id=await market.variant(stock=1000))]
    results = await all_at_once(counter, [{"lines": lines, "visitor": ann}] * 10)
    assert outcomes(results) == {"Placement": 10}
    assert await given(market) == 1


async def test_codes_typed_in_opposite_order_never_lock_each_other_out(counter: Counter) -> None:
    market = counter.market
    await market.coupon("ONE", percentage=1)
    await market.coupon("TWO", percentage=2)
    lines = [PurchaseLine(variant_id=await market.variant(stock=1000))]
    ways = [["ONE", "TWO"], ["TWO", "ONE"]]
    results = await all_at_once(counter, [{"lines": lines, "coupons": ways[place % 2]} for place in range(40)])
    assert outcomes(results) == {"Placement": 40}
    assert await market.uses("ONE") == await market.uses("TWO") == (40, 40)


async def test_buying_and_cancelling_at_once_leaves_the_count_right(counter: Counter) -> None:
    market = counter.market
    await market.coupon(usage_limit=30)
    facts = {"lines": [PurchaseLine(variant_id=await market.variant(stock=1000))], "coupons": ["SAVE"]}
    cancellation = Cancellation(market.context)

    async def come_and_go() -> None:
        placed = await counter.place(**facts)
        await cancellation.cancel(order_id=OrderId(placed.order.id), reason="changed my mind")

    results = await asyncio.gather(
        *(come_and_go() for _ in range(10)), *(counter.place(**facts) for _ in range(20)), return_exceptions=True
    )
    assert outcomes(results) == {"NoneType": 10, "Placement": 20}
    assert await market.uses() == (20, 20)


@pytest.mark.requirement("SBB-DISC-10")
async def test_the_last_use_is_given_once(market: Market, database: Database) -> None:
    """The second buyer waits for the first's coupon, and then reads what the first has left of it."""
    await market.coupon(usage_limit=1)
    counter = Counter(market, Checkout(market.context))
    mine, theirs = await market.variant(), await market.variant()  # nothing but the coupon keeps them apart

    async def first(tx: Transaction) -> None:
        await counter.checkout.place_in(tx, counter.purchase(mine, coupons=["SAVE"]))

    async def second() -> Placement:
        return await counter.place(theirs, coupons=["SAVE"], email="other@example.com")

    assert isinstance(await race(database, first, second), CouponUsedUp)
    assert await market.uses() == (1, 1)


async def test_a_buyers_own_limit_holds_for_two_who_meet(market: Market, database: Database) -> None:
    await market.coupon(usage_limit_per_user=1)
    counter = Counter(market, Checkout(market.context))
    mine, theirs = await market.variant(), await market.variant()

    async def first(tx: Transaction) -> None:
        await counter.checkout.place_in(tx, counter.purchase(mine, coupons=["SAVE"]))

    async def second() -> Placement:
        return await counter.place(theirs, coupons=["SAVE"])

    assert isinstance(await race(database, first, second), CouponNotApplicable)


@pytest.mark.parametrize("account", [False, True])
async def test_two_first_orders_of_one_address_with_two_coupons_are_one(
    market: Market, database: Database, account: bool
) -> None:
    """The first is a guest's, the second a guest's too or the account's whose address it is: they share no row."""
    ann = await market.user()
    await market.run("UPDATE {users} SET email_verified = TRUE WHERE tenant_id = $1 AND id = $2", ann)
    mail = await market.one("SELECT email FROM {users} WHERE tenant_id = $1 AND id = $2", ann)
    for code in ("HELLO", "WELCOME"):
        await market.coupon(code, first_order_only=True)
    counter = Counter(market, Checkout(market.context))
    mine, theirs = await market.variant(), await market.variant()
    who = {"visitor": Visitor(user_id=ann), "email": "x@example.com"} if account else {"email": mail}

    async def first(tx: Transaction) -> None:
        await counter.checkout.place_in(tx, counter.purchase(mine, coupons=["HELLO"], email=mail))

    async def second() -> Placement:
        return await counter.place(theirs, coupons=["WELCOME"], **who)

    outcome = await race(database, first, second)
    assert isinstance(outcome, CouponNotApplicable) and outcome.reason == "first_order"
    assert await given(market) == 1


async def test_a_use_that_is_given_back_meanwhile_is_there_for_who_waited(market: Market, database: Database) -> None:
    await market.coupon(usage_limit=1)
    counter = Counter(market, Checkout(market.context))
    variant = await market.variant()
    placed = await counter.place(variant, coupons=["SAVE"])

    async def first(tx: Transaction) -> None:
        await Cancellation(market.context.on(tx)).cancel(order_id=placed.order.id, reason="changed my mind")

    async def second() -> Placement:
        return await counter.place(await market.variant(), coupons=["SAVE"])

    outcome = await race(database, first, second)
    assert isinstance(outcome, Placement), outcome
    assert outcome.order.discount == usd(100)
    assert await market.uses() == (1, 1)


async def test_control_a_look_before_the_write_gives_the_last_use_twice(market: Market, database: Database) -> None:
    """The proof of the proof: what decides before it locks meets in the same way, and gives one too many."""
    await market.coupon(usage_limit=1)

    async def read_then_write(tx: Any) -> None:
        here = market.on(tx)
        if await here.one("SELECT usage_count < usage_limit FROM {coupons} WHERE tenant_id = $1"):
            await here.run("UPDATE {coupons} SET usage_count = usage_count + 1 WHERE tenant_id = $1")

    async def second() -> None:
        async with database.transaction() as tx:
            await read_then_write(tx)

    await race(database, read_then_write, second)
    assert await market.one("SELECT usage_count FROM {coupons} WHERE tenant_id = $1") == 2


async def test_a_use_is_not_lost_to_an_order_of_the_group_that_is_refused(market: Market, database: Database) -> None:
    """The first is refused, for its stock or because another was quicker; the use is had by one of those who can buy."""
    await market.coupon(usage_limit=1)
    counter = Counter(market, Checkout(market.context, CheckoutGroups(database)))
    gone, good = await market.variant(stock=0), await market.variant(stock=10)
    short, served, *rest = await asyncio.gather(
        *(counter.place(variant, coupons=["SAVE"]) for variant in (gone, good, good, good)), return_exceptions=True
    )
    assert isinstance(short, OutOfStock | CouponUsedUp)
    assert outcomes([served, *rest]) == {"Placement": 1, "CouponUsedUp": 2}
    assert await market.uses() == (1, 1)
