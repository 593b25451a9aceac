"""Counting, adjusting, policies, the lists, and what the worker gives back."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from market import Market
from storeroom.catalog import StockPolicy, VariantNotFound
from storeroom.core.ids import UserId, VariantId, new_id
from storeroom.core.pages import InvalidCursor
from storeroom.core.states import sources
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.inventory import (
    RESERVATION_MOVES,
    InvalidPolicy,
    InvalidQuantity,
    MovementKind,
    ReasonRequired,
    ReservationStatus,
    StockOutOfRange,
)
from storeroom.inventory.jobs import expire_reservations


async def test_an_adjustment_says_who_and_why(market: Market) -> None:
    variant, ann = await market.variant(stock=None), UserId(new_id())
    staff = market.acting(Actor(kind=ActorKind.ADMIN, user_id=ann, name="ann@shop.example"))
    await staff.inventory.count(variant_id=variant, on_hand=7, kind=MovementKind.INITIAL)
    await staff.inventory.adjust(variant_id=variant, by=-2, reason="  broken in transit ")
    last = (await market.inventory.movements(variant_id=variant)).items[0]
    assert (last.kind, last.quantity, last.on_hand_after, last.reason) == (
        MovementKind.ADJUSTMENT,
        -2,
        5,
        "broken in transit",
    )
    assert (last.actor_kind, last.actor_id) == ("admin", ann)
    assert await market.stock(variant) == (5, 0)


async def test_the_movements_sum_to_what_is_on_hand(market: Market) -> None:
    variant = await market.variant(stock=None)
    for on_hand in (4, 9, 9, 2):
        await market.inventory.count(variant_id=variant, on_hand=on_hand, reason="stocktaking")
    await asyncio.gather(*(market.inventory.adjust(variant_id=variant, by=by, reason="found") for by in (1, 2, 3, -2)))
    found, cursor = [], None
    while True:
        page = await market.inventory.movements(variant_id=variant, cursor=cursor, limit=3)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(found) == len({movement.id for movement in found}) == 8
    assert sum(movement.quantity for movement in found) == 6
    assert found[0].on_hand_after == 6
    assert await market.stock(variant) == (6, 0)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x00b"])
async def test_an_adjustment_without_a_reason_is_refused(market: Market, reason: str) -> None:
    variant = await market.variant()
    with pytest.raises(ReasonRequired):
        await market.inventory.adjust(variant_id=variant, by=1, reason=reason)
    assert await market.stock(variant) == (10, 0)


async def test_no_change_leaves_less_than_nothing(market: Market) -> None:
    variant = await market.variant(stock=3)
    with pytest.raises(StockOutOfRange) as refused:
        await market.inventory.adjust(variant_id=variant, by=-4, reason="gone")
    assert (refused.value.on_hand, refused.value.by) == (3, -4)
    with pytest.raises(StockOutOfRange):
        await market.inventory.adjust(variant_id=variant, by=1_000_000_000, reason="found")
    for by in (0, 1_000_000_001):
        with pytest.raises(InvalidQuantity):
            await market.inventory.adjust(variant_id=variant, by=by, reason="found")
    for on_hand in (-1, 1_000_000_001):
        with pytest.raises(InvalidQuantity):
            await market.inventory.count(variant_id=variant, on_hand=on_hand)
    assert await market.stock(variant) == (3, 0)
    assert (await market.inventory.movements(variant_id=variant)).items == []


async def test_the_table_itself_refuses_negative_stock(market: Market) -> None:
    variant = await market.variant(stock=1)
    for column in ("on_hand", "reserved"):
        with pytest.raises(asyncpg.CheckViolationError):
            await market.run(
                f"UPDATE {{stock_levels}} SET {column} = -1 WHERE tenant_id = $1 AND variant_id = $2", variant
            )


async def test_another_tenants_variant_does_not_exist(market: Market, other: Market) -> None:
    variant = await market.variant()
    calls = [
        other.inventory.level(variant_id=variant),
        other.inventory.adjust(variant_id=variant, by=1, reason="found"),
        other.inventory.count(variant_id=variant, on_hand=1),
        other.inventory.movements(variant_id=variant),
        other.inventory.set_policy(variant_id=variant, policy=StockPolicy.UNTRACKED),
    ]
    for call in calls:
        with pytest.raises(VariantNotFound):
            await call
    assert (await other.inventory.levels()).items == []
    assert (await market.inventory.level(variant_id=variant)).stock_policy is StockPolicy.DENY
    assert await market.stock(variant) == (10, 0)


async def test_a_policy_is_chosen(market: Market) -> None:
    variant = await market.variant()
    level = await market.inventory.set_policy(variant_id=variant, policy=StockPolicy.BACKORDER, backorder_limit=5)
    assert (level.stock_policy, level.backorder_limit) == (StockPolicy.BACKORDER, 5)
    with pytest.raises(InvalidPolicy):
        await market.inventory.set_policy(variant_id=variant, policy=StockPolicy.DENY, backorder_limit=5)
    with pytest.raises(InvalidPolicy):
        await market.inventory.set_policy(variant_id=variant, policy=StockPolicy.BACKORDER, backorder_limit=-1)
    level = await market.inventory.set_policy(variant_id=variant, policy=StockPolicy.DENY)
    assert (level.stock_policy, level.backorder_limit) == (StockPolicy.DENY, None)


@pytest.mark.requirement("CED-IR-02")
async def test_the_moves_are_those_of_the_document_and_the_database(market: Market) -> None:
    assert sources(RESERVATION_MOVES, ReservationStatus.RELEASED) == [ReservationStatus.ACTIVE]
    assert sources(RESERVATION_MOVES, ReservationStatus.CONVERTED) == [ReservationStatus.ACTIVE]
    assert sources(RESERVATION_MOVES, ReservationStatus.ACTIVE) == []
    for enum, name in (
        (ReservationStatus, "reservation_status"),
        (MovementKind, "movement_kind"),
        (StockPolicy, "stock_policy"),
    ):
        labels = await market.db.fetchval(f"SELECT enum_range(NULL::{market.db.names.resolve(name)})::text[]")
        assert labels == [member.value for member in enum]


# --- Lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PROD-09")
async def test_low_stock_is_at_or_below_the_threshold(market: Market) -> None:
    at, above = await market.variant(stock=10), await market.variant(stock=11)
    held = await market.variant(stock=11)
    await market.inventory.reserve(variant_id=held, quantity=1)
    bare = await market.variant(stock=None)
    await market.variant(stock=0, policy="untracked")
    own = await market.variant(stock=3, threshold=2)
    inactive = await market.variant(stock=0)
    await market.run("UPDATE {product_variants} SET is_active = FALSE WHERE tenant_id = $1 AND id = $2", inactive)
    found = [level.variant_id for level in (await market.inventory.low_stock()).items]
    assert found == sorted([at, held, bare])
    assert above not in found
    assert own not in found
    default = await market.one(
        "SELECT low_stock_threshold FROM {product_variants} WHERE tenant_id = $1 AND id = $2", at
    )
    assert default == 10


async def test_a_count_below_what_is_promised_is_listed_as_oversold(market: Market) -> None:
    variant, fine = await market.variant(stock=5), await market.variant(stock=5)
    await market.inventory.reserve(variant_id=variant, quantity=4)
    await market.inventory.reserve(variant_id=fine, quantity=5)
    owed = await market.variant(stock=0, policy="backorder", backorder_limit=4)
    await market.inventory.reserve(variant_id=owed, quantity=4)
    assert (await market.inventory.oversold()).items == []
    await market.inventory.count(variant_id=variant, on_hand=3, reason="stocktaking")
    (level,) = (await market.inventory.oversold()).items
    assert (level.variant_id, level.available) == (variant, -1)
    await market.inventory.set_policy(variant_id=owed, policy=StockPolicy.BACKORDER, backorder_limit=3)
    assert {level.variant_id for level in (await market.inventory.oversold()).items} == {variant, owed}


async def test_lists_are_read_page_by_page(market: Market) -> None:
    variants = sorted([await market.variant(stock=1) for _ in range(5)])
    for read in (market.inventory.levels, market.inventory.low_stock):
        first = await read(limit=2)
        second = await read(limit=2, cursor=first.next_cursor)
        third = await read(limit=2, cursor=second.next_cursor)
        found = [level.variant_id for page in (first, second, third) for level in page.items]
        assert found == variants
        assert third.next_cursor is None
        with pytest.raises(InvalidCursor):
            await read(cursor="nonsense")
    some = await market.inventory.levels(variant_ids=[variants[3], variants[1], VariantId(new_id())])
    assert [level.variant_id for level in some.items] == [variants[1], variants[3]]


# --- The worker -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-028")
async def test_at_its_very_instant_a_reservation_is_given_back(market: Market) -> None:
    """Inside one transaction the database's clock stands still, so the instant can be hit."""
    variant = await market.variant()
    made = [await market.inventory.reserve(variant_id=variant, quantity=n) for n in (1, 2)]
    async with market.db.transaction() as tx:
        here = market.on(tx)
        for reservation, later in zip(made, (timedelta(0), timedelta(microseconds=1)), strict=True):
            assert reservation is not None
            await here.run(
                "UPDATE {inventory_reservations} SET expires_at = now() + $3 WHERE tenant_id = $1 AND id = $2",
                reservation.id,
                later,
            )
        assert await here.inventory.expire() == 1
        assert await here.reservations(variant) == {"active": 1, "released": 1}
        assert await here.stock(variant) == (10, 2)


@pytest.mark.requirement("CED-OP-028")
async def test_the_worker_gives_back_what_expired_in_every_tenant(fresh_database) -> None:
    async with await Database.open(await fresh_database()) as db:
        markets = [await Market.open(db) for _ in range(3)]
        variants = [await market.variant(stock=10) for market in markets]
        for market, variant in zip(markets, variants, strict=True):
            for _ in range(3):
                made = await market.inventory.reserve(variant_id=variant, quantity=1)
                assert made is not None
                await market.let_expire(made.id)
            await market.inventory.reserve(variant_id=variant, quantity=2)  # lives
        assert await expire_reservations(db, limit=2) == 2
        counts = await asyncio.gather(expire_reservations(db), expire_reservations(db))
        assert sum(counts) == 7
        for market, variant in zip(markets, variants, strict=True):
            assert await market.stock(variant) == (10, 2)
            assert await market.reservations(variant) == {"active": 1, "released": 3}
        assert await expire_reservations(db) == 0
