"""Many buyers, few units: what was promised holds whoever meets whom."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from counter import Counter
from market import Market
from rivals import race
from storeroom.carts import Visitor
from storeroom.core.ids import VariantId
from storeroom.database.pool import Database, Transaction
from storeroom.flows import checkout as module
from storeroom.flows.checkout import Checkout, CheckoutGroups
from storeroom.flows.errors import OutOfStock, TooManyOpenOrders
from storeroom.flows.model import Placement, PurchaseLine

BUYERS = 64
UNITS = 10


async def all_at_once(counter: Counter, purchases: list[dict[str, Any]]) -> list[Placement | BaseException]:
    return await asyncio.gather(*(counter.place(**facts) for facts in purchases), return_exceptions=True)


def outcomes(results: list[Any]) -> dict[str, int]:
    return Tally(type(result).__name__ for result in results)


@pytest.mark.requirement("STO-VAR-06", "SBB-PROD-08")
async def test_64_buyers_want_the_last_10_units(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant(stock=UNITS)
    results = await all_at_once(counter, [{"lines": [PurchaseLine(variant_id=variant)]}] * BUYERS)
    assert outcomes(results) == {"Placement": UNITS, "OutOfStock": BUYERS - UNITS}
    assert await market.stock(variant) == (UNITS, UNITS)
    assert await counter.count("orders") == UNITS
    assert all(result.lines[0].available == 0 for result in results if isinstance(result, OutOfStock))


@pytest.mark.parametrize("scarce_first", [True, False])
async def test_64_buyers_of_two_lines_one_of_them_scarce(counter: Counter, scarce_first: bool) -> None:
    market = counter.market
    plenty, scarce = await market.variant(stock=1000), await market.variant(stock=UNITS)
    pair = (scarce, plenty) if scarce_first else (plenty, scarce)
    lines = [PurchaseLine(variant_id=variant) for variant in pair]
    results = await all_at_once(counter, [{"lines": lines}] * BUYERS)
    assert outcomes(results) == {"Placement": UNITS, "OutOfStock": BUYERS - UNITS}
    assert await market.stock(scarce) == (UNITS, UNITS)
    assert await market.stock(plenty) == (1000, UNITS)
    assert {line.line for result in results if isinstance(result, OutOfStock) for line in result.lines} == {
        1 if scarce_first else 2
    }


async def test_buyers_of_the_same_lines_in_opposite_order_never_lock_each_other_out(counter: Counter) -> None:
    market = counter.market
    one, two = await market.variant(stock=1000), await market.variant(stock=1000)
    ways = [[PurchaseLine(variant_id=a), PurchaseLine(variant_id=b)] for a, b in ((one, two), (two, one))]
    results = await all_at_once(counter, [{"lines": ways[place % 2]} for place in range(BUYERS)])
    assert outcomes(results) == {"Placement": BUYERS}
    assert await market.stock(one) == await market.stock(two) == (1000, BUYERS)


async def test_the_last_unit_is_promised_once(market: Market, database: Database) -> None:
    """The second buyer waits for the first's stock row, and then reads what the first has left of it."""
    counter = Counter(market, Checkout(market.context))
    variant = await market.variant(stock=1)

    async def first(tx: Transaction) -> None:
        await counter.checkout.place_in(tx, counter.purchase(variant))

    async def second() -> Any:
        return await counter.place(variant)

    outcome = await race(database, first, second)
    assert isinstance(outcome, OutOfStock)
    assert outcome.lines[0].available == 0
    assert await market.stock(variant) == (1, 1)


async def test_control_a_check_before_the_write_sells_the_unit_twice(market: Market, database: Database) -> None:
    """The proof of the proof: what decides before it locks meets in the same way, and oversells."""
    variant = await market.variant(stock=1)

    async def read_then_write(tx: Any) -> None:
        if await free(tx, market, variant) >= 1:
            await tx.execute(
                market.db.names.render(
                    "UPDATE {stock_levels} SET reserved = reserved + 1 WHERE tenant_id = $1 AND variant_id = $2"
                ),
                market.tenant_id,
                variant,
            )

    async def second() -> None:
        async with database.transaction() as tx:
            await read_then_write(tx)

    await race(database, read_then_write, second)
    assert await market.stock(variant) == (1, 2)


async def free(db: Any, market: Market, variant: VariantId) -> int:
    return await db.fetchval(
        market.db.names.render(
            "SELECT on_hand - reserved FROM {stock_levels} WHERE tenant_id = $1 AND variant_id = $2"
        ),
        market.tenant_id,
        variant,
    )


async def test_one_request_sent_20_times_at_once_is_one_order(counter: Counter) -> None:
    variant = await counter.market.variant(stock=100)
    results = await all_at_once(
        counter, [{"lines": [PurchaseLine(variant_id=variant)], "idempotency_key": "again"}] * 20
    )
    assert outcomes(results) == {"Placement": 20}
    answers = {msgspec.json.encode(result.order) for result in results if isinstance(result, Placement)}
    assert len(answers) == 1
    assert sum(result.new for result in results if isinstance(result, Placement)) == 1
    assert await counter.market.stock(variant) == (100, 1)


@pytest.mark.requirement("SBB-ORD-13", "SBB-CART-07")
async def test_one_cart_checked_out_20_times_at_once_is_one_order(counter: Counter) -> None:
    market = counter.market
    variant, cart = await market.variant(stock=100), await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
    results = await all_at_once(counter, [{"cart_id": cart.id}] * 20)
    assert outcomes(results) == {"Placement": 20}
    assert len({result.order.id for result in results if isinstance(result, Placement)}) == 1
    assert await counter.count("orders") == 1
    assert await market.stock(variant) == (100, 2)


@pytest.mark.requirement("CED-OP-014", "CED-ORD-02")
async def test_one_purchase_stored_20_times_at_once_is_one_order(counter: Counter) -> None:
    variant = await counter.market.variant(stock=100)
    lines = [PurchaseLine(variant_id=variant)]
    results = await all_at_once(counter, [{"lines": lines, "source": "stripe", "purchase_id": "cs_1"}] * 20)
    assert outcomes(results) == {"Placement": 20}
    assert sum(result.new for result in results if isinstance(result, Placement)) == 1
    assert await counter.market.stock(variant) == (100, 1)


async def test_a_visitors_bound_holds_when_all_come_at_once(counter: Counter) -> None:
    market = counter.market
    await market.run("UPDATE {tenants} SET open_orders_max = 3 WHERE tenant_id = $1")
    variant = await market.variant(stock=100)
    facts = {"lines": [PurchaseLine(variant_id=variant)], "visitor": Visitor(user_id=await market.user())}
    results = await all_at_once(counter, [facts] * 20)
    assert outcomes(results) == {"Placement": 3, "TooManyOpenOrders": 17}
    assert all(result.maximum == 3 for result in results if isinstance(result, TooManyOpenOrders))


@pytest.mark.requirement("SBB-ORD-03")
async def test_hundreds_of_orders_have_numbers_of_their_own(counter: Counter) -> None:
    variant = await counter.market.variant(stock=1000)
    results = await all_at_once(counter, [{"lines": [PurchaseLine(variant_id=variant)]}] * 300)
    numbers = {result.order.number for result in results if isinstance(result, Placement)}
    assert len(numbers) == 300
    assert all(len(number) <= 20 for number in numbers)


@pytest.mark.requirement("SBB-ORD-18")
async def test_a_number_that_is_taken_is_drawn_again(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = await counter.market.variant()
    codes = iter(["AAAA-AAAA", "AAAA-AAAA", "BBBB-BBBB"])
    monkeypatch.setattr(module, "human_code", lambda *_: next(codes))
    first, second = await counter.place(variant), await counter.place(variant)
    assert (first.order.number, second.order.number) == ("AAAA-AAAA", "BBBB-BBBB")
    assert await counter.market.stock(variant) == (10, 2)
    with pytest.raises(asyncpg.UniqueViolationError, match="orders_number_unique"):
        await counter.market.run("UPDATE {orders} SET order_number = 'AAAA-AAAA' WHERE tenant_id = $1")


async def test_one_bad_order_of_a_group_harms_no_other(market: Market, database: Database) -> None:
    """All of these fly in one group; three are refused, each for its own reason."""
    groups = CheckoutGroups(database)
    counter = Counter(market, Checkout(market.context, groups))
    good, gone = await market.variant(stock=100), await market.variant(stock=0)
    results = await asyncio.gather(
        counter.place(good),
        counter.place(gone),
        counter.place(good, payment_method="none"),
        counter.place(good, shipping_address=None),
        *(counter.place(good) for _ in range(20)),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results[:4]] == [
        "Placement",
        "OutOfStock",
        "PaymentMethodRefused",
        "AddressRequired",
    ]
    assert outcomes(results[4:]) == {"Placement": 20}
    assert await market.stock(good) == (100, 21)


async def test_what_no_row_can_hold_is_refused_to_its_sender_alone(market: Market, database: Database) -> None:
    """They fly in one group, whose call fails as a whole; so a stranger's NUL would cost everybody their order."""
    counter = Counter(market, Checkout(market.context, CheckoutGroups(database)))
    variant = await market.variant(stock=100)
    strange = (
        {"notes": "a\x00b"},
        {"metadata": {"\x00": 1}},
        {"notes": "\ud800"},
    )
    results = await asyncio.gather(
        *(counter.place(variant, **facts) for facts in strange),
        *(counter.place(variant) for _ in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(result, asyncpg.DataError | ValueError) for result in results[: len(strange)]), results
    assert outcomes(results[len(strange) :]) == {"Placement": 20}
    assert await market.stock(variant) == (100, 20)
    with pytest.raises(asyncpg.DataError):
        await counter.place(variant, notes="\x00")


async def test_a_caller_who_leaves_before_the_group_flies_orders_nothing(market: Market, database: Database) -> None:
    groups = CheckoutGroups(database)
    counter = Counter(market, Checkout(market.context, groups))
    variant = await market.variant(stock=100)
    tasks = [asyncio.create_task(counter.place(variant)) for _ in range(50)]
    tasks[17].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes(results) == {"Placement": 49, "CancelledError": 1}
    assert await market.stock(variant) == (100, 49)
    assert not groups._queues
    assert not groups._flying


async def test_a_database_that_refuses_is_told_to_everyone_of_the_group(market: Market, database: Database) -> None:
    class Broken:
        """An executor whose server is gone."""

        names = database.names

        async def fetch(self, *_: object) -> list[Any]:
            raise ConnectionResetError("gone")

    counter = Counter(market, Checkout(market.context, CheckoutGroups(Broken())))  # type: ignore[arg-type]
    variant = await market.variant()
    results = await asyncio.gather(*(counter.place(variant) for _ in range(5)), return_exceptions=True)
    assert outcomes(results) == {"ConnectionResetError": 5}


async def test_what_one_tenant_sells_does_not_wait_for_another(market: Market, database: Database) -> None:
    """A held stock row of one tenant stops its own group only."""
    groups = CheckoutGroups(database)
    other = await Market.open(database)
    here, there = Counter(market, Checkout(market.context, groups)), Counter(other, Checkout(other.context, groups))
    mine, theirs = await market.variant(), await other.variant()
    async with database.transaction() as tx:
        await tx.execute(
            database.names.render("SELECT 1 FROM {stock_levels} WHERE tenant_id = $1 AND variant_id = $2 FOR UPDATE"),
            market.tenant_id,
            mine,
        )
        waiting = asyncio.create_task(here.place(mine))
        placement = await there.place(theirs)
        assert isinstance(placement.order.id, UUID)
        assert not waiting.done()
    assert (await waiting).new
