"""Where money counts is the shop's own list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from purse import OURS, RIVAL, Purse, open_purse
from storeroom.core.money import UnknownCurrency
from storeroom.database.pool import Database
from storeroom.doctor import Gravity, examine
from storeroom.room import Storeroom
from storeroom.wallets import (
    InvalidAccount,
    ReceivingAccountNotFound,
    ReceivingAccountTaken,
    TooManyReceivingAccounts,
)
from storeroom.wallets import accounts as module


async def test_an_account_is_kept_and_changed(purse: Purse, other: Purse) -> None:
    accounts = purse.staff.receiving_accounts
    made = await accounts.create(asset="usdt", address=" 0xABCDEF ", label=" Second  wallet ")
    assert (made.asset, made.address, made.label, made.is_active) == ("USDT", "0xabcdef", "Second wallet", True)
    assert await accounts.get(account_id=made.id) == made
    changed = await accounts.update(account_id=made.id, is_active=False)
    assert (changed.label, changed.is_active) == ("Second wallet", False)
    assert (await accounts.update(account_id=made.id, label="Old")).is_active is False
    assert [each.asset for each in await accounts.list()] == ["USDC", "USDT"]
    assert [each.asset for each in await accounts.list(active=True)] == ["USDC"]
    assert [each.address for each in await accounts.list(asset="USDT", active=False)] == ["0xabcdef"]
    for theirs in (made.id, uuid4()):
        with pytest.raises(ReceivingAccountNotFound):
            await other.staff.receiving_accounts.get(account_id=theirs)
        with pytest.raises(ReceivingAccountNotFound):
            await other.staff.receiving_accounts.update(account_id=theirs, is_active=True)


async def test_what_cannot_be_an_account_is_refused(purse: Purse, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = purse.staff.receiving_accounts
    with pytest.raises(ReceivingAccountTaken):
        await accounts.create(asset="USDC", address=OURS, label="Again")
    for facts in ({"address": ""}, {"address": "a b"}, {"address": "a" * 129}, {"label": " "}, {"label": "x" * 101}):
        with pytest.raises(InvalidAccount):
            await accounts.create(**{"asset": "USDC", "address": RIVAL, "label": "New", **facts})
    with pytest.raises(UnknownCurrency):
        await accounts.create(asset="NOPE", address=RIVAL, label="New")
    monkeypatch.setattr(module, "ACCOUNTS_MAX", 1)
    with pytest.raises(TooManyReceivingAccounts):
        await accounts.create(asset="USDC", address=RIVAL, label="New")


async def test_the_doctor_tells_of_an_address_of_two_shops(fresh_database: Callable[[], Awaitable[str]]) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        await open_purse(Storeroom(db), dsn)

        async def named() -> list[str]:
            found = {result.name: result for result in await examine(db)}["accounts_have_one_shop"]
            assert found.gravity is Gravity.NOTE
            return [finding.subject for finding in found.findings]

        assert await named() == []
        second = await open_purse(Storeroom(db), dsn)
        assert await named() == [OURS]
        (theirs,) = await second.staff.receiving_accounts.list()
        await second.staff.receiving_accounts.update(account_id=theirs.id, is_active=False)
        assert await named() == []
