"""A payment counts once, and only for the shop at whose account it arrived."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from factories import open_shop
from purse import LARGE, WALLET, Purse, new_transaction, signature, transaction, usdc
from rivals import race
from storeroom.core.money import Money, UnknownCurrency
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.room import Storeroom
from storeroom.wallets import (
    BATCH_MAX,
    InvalidTransaction,
    NotForCustomers,
    NotOurAccount,
    Recorded,
    TransactionNotFound,
    Transactions,
)


@pytest.mark.requirement("CED-TX-01", "CED-OP-029", "CED-OP-030", "CED-OP-031")
async def test_it_reads_back_exactly(purse: Purse) -> None:
    facts = transaction(amount=usdc(LARGE), metadata={"memo": {"lines": [1, "zwei", None]}})
    assert not await purse.shop.transactions.has_been_processed(signature=facts["signature"])
    assert await purse.shop.transactions.record(**facts) == Recorded(first=True)
    assert await purse.shop.transactions.has_been_processed(signature=facts["signature"])
    found = await purse.shop.transactions.get(signature=facts["signature"])
    assert {name: getattr(found, name) for name in facts} == facts
    assert (found.amount.amount, found.archived, found.payment_id) == (9_007_199_254_740_993, False, None)
    assert found.created_at.utcoffset() is not None


@pytest.mark.requirement("CED-TX-02", "CED-OP-029")
async def test_fifty_at_once_record_it_once(purse: Purse) -> None:
    facts = transaction()
    told = await asyncio.gather(*(purse.shop.transactions.record(**facts) for _ in range(50)))
    assert sum(each.first for each in told) == 1
    assert await purse.count("payment_transactions") == await purse.count("payment_signatures") == 1


@pytest.mark.requirement("CED-TX-02")
async def test_the_second_waits_for_the_first_and_hears_of_the_replay(purse: Purse, database: Database) -> None:
    facts = transaction()

    async def first(tx: Transaction) -> None:
        assert (await purse.shop.transactions.bound(tx).record(**facts)).first

    assert await race(database, first, lambda: purse.shop.transactions.record(**facts)) == Recorded(first=False)


async def test_a_signature_that_was_taken_back_is_free(purse: Purse) -> None:
    facts = transaction()
    with pytest.raises(ZeroDivisionError):
        async with purse.shop.transaction() as tx:
            assert (await tx.transactions.record(**facts)).first
            raise ZeroDivisionError
    assert not await purse.shop.transactions.has_been_processed(signature=facts["signature"])
    assert (await purse.shop.transactions.record(**facts)).first


async def test_recording_is_one_round_trip(purse: Purse, monkeypatch: pytest.MonkeyPatch) -> None:
    await purse.record()  # the tenant is known from here on
    asked: list[str] = []

    def counting(name: str) -> None:
        plain = getattr(Database, name)

        async def counted(self: Database, sql: str, *args: Any) -> Any:
            if "pg_notify" not in sql:  # of what another test did a moment before, for the workers
                asked.append(sql)
            return await plain(self, sql, *args)

        monkeypatch.setattr(Database, name, counted)

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        counting(name)
    monkeypatch.setattr(Database, "transaction", lambda self: asked.append("BEGIN"))
    assert (await purse.record()).first
    assert (await purse.shop.transactions.record_many([new_transaction() for _ in range(3)])).first
    assert len(asked) == 2


@pytest.mark.parametrize("one", ["0xAB12cd", "0Xab12CD", " 0xab12cd "])
async def test_hexadecimal_is_one_signature_in_any_case(purse: Purse, one: str) -> None:
    assert (await purse.record(signature="0xab12cd")).first
    assert not (await purse.record(signature=one)).first
    assert await purse.shop.transactions.has_been_processed(signature=one)
    assert (await purse.record(signature="AbC")).first  # base58 tells the cases apart
    assert (await purse.record(signature="aBC")).first


# --- Whose money it is ------------------------------------------------------------------------------------------------


async def test_money_that_arrived_elsewhere_does_not_count(purse: Purse) -> None:
    facts = transaction(account="somebody-elses")
    with pytest.raises(NotOurAccount) as refused:
        await purse.shop.transactions.record(**facts)
    assert (refused.value.account, refused.value.asset) == ("somebody-elses", "USDC")
    assert not await purse.shop.transactions.has_been_processed(signature=facts["signature"])
    assert await purse.count("payment_transactions") == 0


async def test_an_account_counts_for_its_asset_its_tenant_and_while_it_is_active(purse: Purse, room: Storeroom) -> None:
    with pytest.raises(NotOurAccount):
        await purse.record(amount=Money(1, "SOL"))
    stranger = (await open_shop(room)).acting(actor=SYSTEM)
    with pytest.raises(NotOurAccount):
        await stranger.transactions.record(**transaction())
    (account,) = await purse.staff.receiving_accounts.list()
    await purse.staff.receiving_accounts.update(account_id=account.id, is_active=False)
    facts = transaction()
    with pytest.raises(NotOurAccount):
        await purse.shop.transactions.record(**facts)
    await purse.staff.receiving_accounts.update(account_id=account.id, is_active=True)
    assert (await purse.shop.transactions.record(**facts)).first


async def test_a_token_says_where_it_arrived_and_a_banks_money_need_not(purse: Purse) -> None:
    with pytest.raises(InvalidTransaction, match="account"):
        await purse.record(account=None)
    assert (await purse.record(signature="stripe:cs_1", amount=Money(1000, "USD"), account=None)).first
    assert not (await purse.record(signature="stripe:cs_1", amount=Money(1000, "USD"), account=None)).first
    assert (await purse.shop.transactions.get(signature="stripe:cs_1")).account is None


@pytest.mark.requirement("CED-OP-031")
async def test_each_tenant_has_its_own_signatures(purse: Purse, other: Purse) -> None:
    facts = transaction()
    assert (await purse.shop.transactions.record(**facts)).first
    with pytest.raises(TransactionNotFound):
        await other.shop.transactions.get(signature=facts["signature"])
    assert not await other.shop.transactions.has_been_processed(signature=facts["signature"])
    assert (await other.shop.transactions.record(**facts)).first
    with pytest.raises(TransactionNotFound):
        await purse.shop.transactions.get(signature=signature())


# --- Batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-032")
async def test_a_batch_with_a_known_signature_records_nothing(purse: Purse) -> None:
    known = new_transaction()
    assert (await purse.shop.transactions.record_many([known])).first
    batch = [new_transaction() for _ in range(10)]
    told = await purse.shop.transactions.record_many([*batch[:5], known, *batch[5:]])
    assert (told.first, told.replayed) == (False, [known.signature])
    assert await purse.count("payment_transactions") == await purse.count("payment_signatures") == 1
    assert (await purse.shop.transactions.record_many(batch)).first
    assert await purse.count("payment_transactions") == 11


async def test_a_refused_batch_leaves_its_callers_transaction_alive(purse: Purse) -> None:
    known, fresh, alone = new_transaction(), new_transaction(), transaction()
    await purse.shop.transactions.record_many([known])
    async with purse.shop.transaction() as tx:
        assert not (await tx.transactions.record_many([fresh, known])).first
        assert (await tx.transactions.record(**alone)).first
    assert not await purse.shop.transactions.has_been_processed(signature=fresh.signature)
    assert await purse.shop.transactions.has_been_processed(signature=alone["signature"])


async def test_a_batch_with_one_foreign_account_records_nothing(purse: Purse) -> None:
    with pytest.raises(NotOurAccount):
        await purse.shop.transactions.record_many([new_transaction(), new_transaction(account="elsewhere")])
    assert await purse.count("payment_signatures") == 0


async def test_batches_that_share_signatures_meet_without_a_deadlock(purse: Purse) -> None:
    batch = [new_transaction() for _ in range(30)]
    told = await asyncio.gather(
        *(purse.shop.transactions.record_many(batch if turn % 2 else batch[::-1]) for turn in range(10))
    )
    assert sum(each.first for each in told) == 1
    assert await purse.count("payment_transactions") == 30


@pytest.mark.parametrize("size", [0, BATCH_MAX + 1])
async def test_a_batch_is_bounded(purse: Purse, size: int) -> None:
    with pytest.raises(InvalidTransaction):
        await purse.shop.transactions.record_many([new_transaction()] * size)


async def test_a_batch_does_not_name_a_signature_twice(purse: Purse) -> None:
    with pytest.raises(InvalidTransaction, match="twice"):
        await purse.shop.transactions.record_many(
            [new_transaction(signature="0xAA"), new_transaction(signature="0xaa")]
        )


# --- Bounds and rights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"signature": ""}, InvalidTransaction),
        ({"signature": "a b"}, InvalidTransaction),
        ({"signature": "s" * 256}, InvalidTransaction),
        ({"wallet": "w" * 129}, InvalidTransaction),
        ({"resource_id": ""}, InvalidTransaction),
        ({"resource_id": "a\x00"}, InvalidTransaction),
        ({"amount": usdc(0)}, InvalidTransaction),
        ({"amount": Money(1, "NOPE")}, UnknownCurrency),
        ({"metadata": {"text": "x" * 10_240}}, InvalidTransaction),
    ],
)
async def test_what_is_out_of_bounds_is_refused(purse: Purse, facts: dict[str, Any], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        await purse.record(**facts)
    assert await purse.count("payment_signatures") == 0


async def test_a_customer_does_not_say_that_it_arrived(purse: Purse) -> None:
    customer = purse.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER))
    with pytest.raises(NotForCustomers):
        await customer.transactions.record(**transaction())
    with pytest.raises(NotForCustomers):
        await customer.transactions.record_many([new_transaction()])


async def test_what_staff_record_is_in_the_audit_trail(purse: Purse) -> None:
    facts = transaction()
    assert (await purse.staff.transactions.record(**facts)).first
    assert (await purse.staff.transactions.record_many([new_transaction()])).first
    entries = (await purse.staff.audit.list(limit=2)).items
    assert [entry.action for entry in entries] == ["transactions.record_many", "transactions.record"]
    await purse.record()  # what the program records is its own record
    assert (await purse.staff.audit.list(limit=2)).items == entries


@pytest.mark.parametrize("table", ["payment_signatures", "payment_transactions", "payment_transactions_archive"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET signature = 'other'"])
async def test_the_service_cannot_make_a_signature_free(
    purse: Purse, database: Database, table: str, change: str
) -> None:
    await purse.record()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(f"{change.format(table)} WHERE tenant_id = $1", purse.shop.tenant_id)


async def test_lists_are_newest_first_and_whole(purse: Purse) -> None:
    for number in range(7):
        await purse.record(resource_id=f"p{number % 2}", wallet=WALLET if number < 4 else "other")
    everything = await every(purse.shop.transactions, limit=3)
    assert len(everything) == len(set(everything)) == 7
    assert len(await every(purse.shop.transactions, limit=2, wallet=WALLET)) == 4
    assert len(await every(purse.shop.transactions, limit=2, resource_id="p0")) == 4
    assert len(await every(purse.shop.transactions, limit=2, resource_id="p0", wallet=WALLET)) == 2


async def every(transactions: Transactions, **facts: Any) -> list[str]:
    """The signatures of all pages."""
    found, cursor = [], None
    while True:
        page = await transactions.list(cursor=cursor, **facts)
        found += [row.signature for row in page.items]
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor
