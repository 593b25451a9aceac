"""An offer is saved, read, paid by one wallet before its time is over, and forgotten."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from purse import LARGE, RIVAL, WALLET, Purse, open_purse, usdc
from rivals import race
from storeroom.core.ids import VariantId
from storeroom.core.money import Money
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.room import Storeroom
from storeroom.wallets import (
    QUOTES_READ_MAX,
    InvalidQuote,
    NewQuote,
    NotForCustomers,
    QuoteExpired,
    QuoteItem,
    QuoteNotFound,
    QuoteOutcome,
    QuotePaid,
    QuotePaidByAnother,
    remove_lapsed_quotes,
)

VARIANT = VariantId(uuid4())
SOON = timedelta(minutes=5)


def item(**facts: Any) -> QuoteItem:
    return QuoteItem(**{"variant_id": VARIANT, "quantity": 1, "unit_price": usdc(1_000_000), **facts})


def new_quote(quote_id: str, **facts: Any) -> NewQuote:
    return NewQuote(**{"id": quote_id, "items": [item()], "total": usdc(1_000_000), **facts})


async def lapse(purse: Purse, quote_id: str, by: timedelta = timedelta(days=1)) -> None:
    """Date it back, so that its time was over long ago."""
    await purse.date_back("cart_quotes", "expires_at", timedelta(minutes=15) + by, "id", quote_id)


@pytest.mark.requirement("CED-CQ-01", "CED-OP-001", "CED-OP-002")
async def test_it_reads_back_equal(purse: Purse, other: Purse) -> None:
    items = [item(unit_price=usdc(LARGE)), item(variant_id=None, sku="B-2", quantity=3)]
    metadata = {"coupons": [{"code": "SOMMER", "amount": 5}], "memo": None, "deep": {"er": [1, 2.5, True]}}
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    cart_id: Any = uuid4()
    saved = await purse.shop.cart_quotes.save(
        id="cart_1", items=items, total=usdc(LARGE), expires_at=expires_at, cart_id=cart_id, metadata=metadata
    )
    found = await purse.shop.cart_quotes.get(quote_id="cart_1")
    assert found == saved
    assert (found.items, found.total, found.metadata, found.cart_id) == (items, usdc(LARGE), metadata, cart_id)
    assert (found.expires_at, found.expired, found.wallet_paid_by, found.paid_at) == (expires_at, False, None, None)
    with pytest.raises(QuoteNotFound):
        await other.shop.cart_quotes.get(quote_id="cart_1")
    with pytest.raises(QuoteNotFound):
        await purse.shop.cart_quotes.get(quote_id="cart_2")


@pytest.mark.requirement("CED-OP-001")
async def test_the_same_id_again_replaces_it(purse: Purse, other: Purse) -> None:
    await purse.shop.cart_quotes.save(id="cart_1", items=[item()], total=usdc(1_000_000))
    await other.shop.cart_quotes.save(id="cart_1", items=[item()], total=usdc(1_000_000))
    again = await purse.shop.cart_quotes.save(
        id="cart_1", items=[item(quantity=2)], total=usdc(1_500_000), metadata={"a": 1}
    )
    assert await purse.shop.cart_quotes.get(quote_id="cart_1") == again
    assert (again.total, again.items[0].quantity, again.metadata) == (usdc(1_500_000), 2, {"a": 1})
    assert await purse.count("cart_quotes") == 1
    assert (await other.shop.cart_quotes.get(quote_id="cart_1")).total == usdc(1_000_000)


@pytest.mark.requirement("CED-OP-003", "CED-OP-004", "CED-CQ-02")
async def test_each_outcome_is_told_apart(purse: Purse, other: Purse) -> None:
    quotes = purse.shop.cart_quotes
    await quotes.save(id="q", items=[item()], total=usdc(1_000_000))
    assert not await quotes.has_access(quote_id="q", wallet=WALLET)
    assert await quotes.mark_paid(quote_id="q", wallet=WALLET) is QuoteOutcome.PAID_NOW
    assert await quotes.mark_paid(quote_id="q", wallet=WALLET) is QuoteOutcome.ALREADY_PAID
    assert await quotes.mark_paid(quote_id="q", wallet=RIVAL) is QuoteOutcome.PAID_BY_ANOTHER
    assert await quotes.mark_paid(quote_id="none", wallet=WALLET) is QuoteOutcome.UNKNOWN
    assert await other.shop.cart_quotes.mark_paid(quote_id="q", wallet=WALLET) is QuoteOutcome.UNKNOWN
    assert await quotes.has_access(quote_id="q", wallet=WALLET)
    for wallet, quote_id in ((RIVAL, "q"), (WALLET, "none")):
        assert not await quotes.has_access(quote_id=quote_id, wallet=wallet)
    assert not await other.shop.cart_quotes.has_access(quote_id="q", wallet=WALLET)
    found = await quotes.get(quote_id="q")
    assert found.wallet_paid_by == WALLET and found.paid_at is not None


async def test_paying_says_the_same_in_errors(purse: Purse) -> None:
    quotes = purse.shop.cart_quotes
    await quotes.save_many(quotes=[new_quote("q"), new_quote("over")])
    await lapse(purse, "over")
    assert await quotes.pay(quote_id="q", wallet=WALLET) is QuoteOutcome.PAID_NOW
    assert await quotes.pay(quote_id="q", wallet=WALLET) is QuoteOutcome.ALREADY_PAID
    for quote_id, refusal in (("q", QuotePaidByAnother), ("over", QuoteExpired), ("none", QuoteNotFound)):
        with pytest.raises(refusal):
            await quotes.pay(quote_id=quote_id, wallet=RIVAL)


@pytest.mark.requirement("CED-OP-002", "CED-OP-003", "CED-CQ-02")
async def test_at_the_edge_of_its_time(purse: Purse) -> None:
    quotes = purse.shop.cart_quotes
    for quote_id, back in (("over", timedelta(minutes=15)), ("open", timedelta(minutes=15) - SOON)):
        await quotes.save(id=quote_id, items=[item()], total=usdc(1_000_000))
        await purse.date_back("cart_quotes", "expires_at", back, "id", quote_id)
    assert (await quotes.get(quote_id="over")).expired
    assert not (await quotes.get(quote_id="open")).expired
    assert await quotes.mark_paid(quote_id="over", wallet=WALLET) is QuoteOutcome.EXPIRED
    assert (await quotes.get(quote_id="over")).wallet_paid_by is None
    assert await quotes.mark_paid(quote_id="open", wallet=WALLET) is QuoteOutcome.PAID_NOW
    await lapse(purse, "open")
    assert await quotes.mark_paid(quote_id="open", wallet=WALLET) is QuoteOutcome.ALREADY_PAID
    assert await quotes.has_access(quote_id="open", wallet=WALLET)


@pytest.mark.requirement("CED-GEN-02")
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_a_quote_expires_at_its_instant_wherever_the_session_is(purse: Purse, zone: str) -> None:
    async with purse.shop.transaction() as tx:
        await tx.context.db.execute(f"SET LOCAL timezone = '{zone}'")
        quotes = tx.cart_quotes
        for quote_id, left in (("soon", SOON), ("over", -SOON)):
            expires_at = datetime.now(UTC) + left
            saved = await quotes.save(id=quote_id, items=[item()], total=usdc(1_000_000), expires_at=expires_at)
            assert (saved.expires_at, saved.expired) == (expires_at, left < timedelta())
        late = new_quote("many", expires_at=datetime.now(UTC) - SOON)
        assert await quotes.save_many(quotes=[late, new_quote("default")]) == 2
        found = await quotes.get_many(quote_ids=["soon", "over", "many", "default"])
        assert [each.expired for each in found] == [False, True, True, False]
        assert await quotes.mark_paid(quote_id="over", wallet=WALLET) is QuoteOutcome.EXPIRED
        assert await quotes.mark_paid(quote_id="soon", wallet=WALLET) is QuoteOutcome.PAID_NOW
        assert await quotes.mark_paid(quote_id="default", wallet=WALLET) is QuoteOutcome.PAID_NOW


@pytest.mark.requirement("CED-OP-001", "CED-CQ-02")
async def test_a_paid_one_is_not_saved_over(purse: Purse) -> None:
    await purse.shop.cart_quotes.save(id="q", items=[item()], total=usdc(1_000_000))
    await purse.shop.cart_quotes.mark_paid(quote_id="q", wallet=WALLET)
    before = await purse.shop.cart_quotes.get(quote_id="q")
    with pytest.raises(QuotePaid) as refused:
        await purse.shop.cart_quotes.save(id="q", items=[item(quantity=9)], total=usdc(1))
    assert refused.value.quote_ids == ["q"]
    assert await purse.shop.cart_quotes.get(quote_id="q") == before


# --- Rivals -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-003", "CED-CQ-02")
async def test_of_two_wallets_one_pays(purse: Purse, database: Database) -> None:
    quotes = purse.shop.cart_quotes
    await quotes.save(id="q", items=[item()], total=usdc(1_000_000))

    async def first(tx: Transaction) -> None:
        assert await quotes.bound(tx).mark_paid(quote_id="q", wallet=WALLET) is QuoteOutcome.PAID_NOW

    second = await race(database, first, lambda: quotes.mark_paid(quote_id="q", wallet=RIVAL))
    assert second is QuoteOutcome.PAID_BY_ANOTHER
    assert (await quotes.get(quote_id="q")).wallet_paid_by == WALLET


async def test_control_a_look_before_the_write_lets_both_pay(purse: Purse, database: Database) -> None:
    await purse.shop.cart_quotes.save(id="q", items=[item()], total=usdc(1_000_000))

    async def look_then_pay(tx: Any, wallet: str) -> str:
        where = "WHERE tenant_id = $1 AND id = 'q'"
        if await tx.fetchval(f"SELECT wallet_paid_by FROM cart_quotes {where}", purse.shop.tenant_id) is not None:
            return "paid_by_another"
        await tx.execute(
            f"UPDATE cart_quotes SET wallet_paid_by = $2, paid_at = now() {where}", purse.shop.tenant_id, wallet
        )
        return "paid_now"

    async def second() -> str:
        return await look_then_pay(database, RIVAL)

    assert await race(database, lambda tx: look_then_pay(tx, WALLET), second) == "paid_now"
    assert (await purse.shop.cart_quotes.get(quote_id="q")).wallet_paid_by == RIVAL


async def test_of_twenty_wallets_one_pays(purse: Purse) -> None:
    await purse.shop.cart_quotes.save(id="q", items=[item()], total=usdc(1_000_000))
    told = await asyncio.gather(
        *(purse.shop.cart_quotes.mark_paid(quote_id="q", wallet=f"wallet{number}") for number in range(20))
    )
    assert sorted(told) == [QuoteOutcome.PAID_BY_ANOTHER] * 19 + [QuoteOutcome.PAID_NOW]


async def test_who_saves_while_another_pays_is_refused(purse: Purse, database: Database) -> None:
    quotes = purse.shop.cart_quotes
    await quotes.save(id="q", items=[item()], total=usdc(1_000_000))

    async def pay(tx: Transaction) -> None:
        await quotes.bound(tx).mark_paid(quote_id="q", wallet=WALLET)

    async def save() -> object:
        return await quotes.save(id="q", items=[item()], total=usdc(1))

    assert isinstance(await race(database, pay, save), QuotePaid)
    assert (await quotes.get(quote_id="q")).total == usdc(1_000_000)


# --- Batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-005")
async def test_a_batch_is_saved_whole_or_not_at_all(purse: Purse) -> None:
    quotes = purse.shop.cart_quotes
    batch = [new_quote(f"q{number}") for number in range(10)]
    with pytest.raises(InvalidQuote):
        await quotes.save_many(quotes=[*batch[:9], new_quote("q9", items=[item(quantity=0)])])
    assert await purse.count("cart_quotes") == 0
    assert await quotes.save_many(quotes=batch) == 10
    await quotes.mark_paid(quote_id="q4", wallet=WALLET)
    changed = [new_quote(f"q{number}", total=usdc(7)) for number in range(10)]
    async with purse.shop.transaction() as tx:
        with pytest.raises(QuotePaid) as refused:
            await tx.cart_quotes.save_many(quotes=changed)
    assert refused.value.quote_ids == ["q4"]
    assert {each.total.amount for each in await quotes.get_many(quote_ids=[q.id for q in batch])} == {1_000_000}
    with pytest.raises(InvalidQuote, match="twice"):
        await quotes.save_many(quotes=[new_quote("same"), new_quote("same")])


@pytest.mark.requirement("CED-OP-006")
async def test_many_are_read_in_one_query(purse: Purse, other: Purse, monkeypatch: pytest.MonkeyPatch) -> None:
    await purse.shop.cart_quotes.save_many(quotes=[new_quote("a"), new_quote("b")])
    await other.shop.cart_quotes.save_many(quotes=[new_quote("c")])
    asked: list[str] = []
    plain = Database.fetch

    async def counted(self: Database, sql: str, *args: Any) -> Any:
        asked.append(sql)
        return await plain(self, sql, *args)

    monkeypatch.setattr(Database, "fetch", counted)
    found = await purse.shop.cart_quotes.get_many(quote_ids=["b", "none", "a", "c", "b"])
    assert [each.id for each in found] == ["b", "a"]
    assert len(asked) == 1
    with pytest.raises(InvalidQuote):
        await purse.shop.cart_quotes.get_many(quote_ids=["q"] * (QUOTES_READ_MAX + 1))


# --- Bounds and rights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "with space"}, "id"),
        ({"items": []}, "items"),
        ({"items": [item()] * 101}, "items"),
        ({"items": [item(quantity=10_001)]}, "items[0].quantity"),
        ({"items": [item(), item(unit_price=Money(1, "SOL"))]}, "items[1].unit_price"),
        ({"items": [item(unit_price=usdc(-1))]}, "items[0].unit_price"),
        ({"items": [item(sku="both")]}, "items[0]"),
        ({"items": [item(variant_id=None)]}, "items[0]"),
        ({"total": usdc(0)}, "total"),
        ({"total": usdc(1_000_001)}, "total"),
        ({"items": [item(quantity=10_000, unit_price=usdc(2**62))], "total": usdc(1)}, "total"),
        ({"metadata": {"text": "x" * 10_240}}, "metadata"),
        ({"expires_at": datetime.now(UTC) + timedelta(days=31)}, "expires_at"),
        ({"expires_at": datetime.now()}, "expires_at"),  # noqa: DTZ005 - which is what is refused
    ],
)
async def test_what_is_out_of_bounds_is_refused(purse: Purse, facts: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidQuote) as refused:
        await purse.shop.cart_quotes.save(**{"id": "q", "items": [item()], "total": usdc(1_000_000), **facts})
    assert refused.value.field == field
    assert await purse.count("cart_quotes") == 0


async def test_the_bounds_themselves_are_fine(purse: Purse) -> None:
    metadata = {"text": "x" * (10_240 - len('{"text":""}'))}
    items = [item(quantity=10_000)] * 100
    saved = await purse.shop.cart_quotes.save(id="q", items=items, total=usdc(1), metadata=metadata)
    assert (len(saved.items), saved.metadata) == (100, metadata)


async def test_a_customer_makes_no_price_and_pays_nothing_by_word(purse: Purse) -> None:
    customer = purse.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER)).cart_quotes
    with pytest.raises(NotForCustomers):
        await customer.save(id="q", items=[item()], total=usdc(1))
    with pytest.raises(NotForCustomers):
        await customer.save_many(quotes=[new_quote("q")])
    with pytest.raises(NotForCustomers):
        await customer.mark_paid(quote_id="q", wallet=WALLET)
    with pytest.raises(InvalidQuote):
        await purse.shop.cart_quotes.mark_paid(quote_id="q", wallet="a b")


# --- Lists and the cleanup --------------------------------------------------------------------------------------------


async def test_lists_are_whole(purse: Purse) -> None:
    await purse.shop.cart_quotes.save_many(quotes=[new_quote(f"q{number}") for number in range(5)])
    for number in (1, 3):
        await lapse(purse, f"q{number}", timedelta(days=number))
    for lapsed, expected in ((False, {"q0", "q1", "q2", "q3", "q4"}), (True, {"q1", "q3"})):
        found, cursor = [], None
        while True:
            page = await purse.shop.cart_quotes.list(lapsed=lapsed, cursor=cursor, limit=1)
            found += [each.id for each in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert (len(found), set(found)) == (len(expected), expected)
    assert found == ["q3", "q1"]  # the one that lapsed first


async def test_the_cleanup_removes_what_lapsed_unpaid(fresh_database: Any) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        purse, other = [await open_purse(Storeroom(db), dsn) for _ in range(2)]
        for each in (purse, other):
            await each.shop.cart_quotes.save_many(
                quotes=[new_quote(quote_id) for quote_id in ("open", "late", "just", "old1", "old2", "paid")]
            )
            await each.shop.cart_quotes.mark_paid(quote_id="paid", wallet=WALLET)
            for quote_id in ("old1", "old2", "paid"):
                await lapse(each, quote_id, timedelta(days=1, seconds=1))
            await lapse(each, "just", timedelta(days=1) - SOON)
            await lapse(each, "late", timedelta())
        assert sum(await asyncio.gather(*(remove_lapsed_quotes(db, limit=100) for _ in range(2)))) == 4
        for each in (purse, other):
            left = await each.shop.cart_quotes.get_many(quote_ids=["open", "late", "just", "old1", "old2", "paid"])
            assert [quote.id for quote in left] == ["open", "late", "just", "paid"]
            assert left[1].expired
        assert await remove_lapsed_quotes(db, limit=100) == 0
