"""Old payments leave the ledger; their signatures stay refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from factories import open_shop
from purse import OURS, Purse, transaction
from rivals import race
from storeroom.core.clock import FixedClock
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import SYSTEM
from storeroom.doctor import Gravity, examine
from storeroom.room import Shop, Storeroom
from storeroom.settings import Settings
from storeroom.wallets import Archival, InvalidTransaction, NewTransaction
from storeroom.worker import SCHEDULE, Worker, schedule

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


async def aged(purse: Purse, *days: int) -> list[str]:
    """Payments so many days old."""
    made = []
    for age in days:
        facts = transaction()
        assert (await purse.shop.transactions.record(**facts)).first
        await purse.date_back("payment_transactions", "created_at", age * DAY, "signature", facts["signature"])
        made.append(facts["signature"])
    return made


@pytest.mark.requirement("CED-OP-033", "CED-OP-030", "CED-TX-02")
async def test_only_older_ones_leave_and_stay_refused(purse: Purse) -> None:
    young, old, older = await aged(purse, 89, 91, 400)
    before = await purse.shop.transactions.get(signature=old)
    assert await purse.shop.transactions.archive_older_than(before=datetime.now(UTC) - 90 * DAY) == 2
    assert await purse.count("payment_transactions") == 1
    assert await purse.count("payment_transactions_archive") == 2
    for known in (young, old, older):
        assert await purse.shop.transactions.has_been_processed(signature=known)
        assert not (await purse.record(signature=known)).first
    told = await purse.shop.transactions.record_many([NewTransaction(**transaction(signature=old))])
    assert told.replayed == [old]
    after = await purse.shop.transactions.get(signature=old)
    assert (after.archived, after.amount, after.wallet, after.account, after.created_at) == (
        True,
        before.amount,
        before.wallet,
        before.account,
        before.created_at,
    )
    assert await purse.shop.transactions.archive_older_than(before=datetime.now(UTC) - 90 * DAY) == 0


async def test_the_instant_itself_is_kept_and_a_batch_is_bounded(purse: Purse) -> None:
    (edge,) = await aged(purse, 91)
    at = (await purse.shop.transactions.get(signature=edge)).created_at
    assert await purse.shop.transactions.archive_older_than(before=at) == 0
    assert await purse.shop.transactions.archive_older_than(before=at + timedelta(microseconds=1)) == 1
    oldest, *_ = await aged(purse, 100, 99, 98, 97, 96)
    before = datetime.now(UTC) - 90 * DAY
    assert [await purse.shop.transactions.archive_older_than(before=before, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert (await purse.shop.transactions.get(signature=oldest)).archived
    for limit in (0, 10_001):
        with pytest.raises(InvalidTransaction):
            await purse.shop.transactions.archive_older_than(before=before, limit=limit)


@pytest.mark.requirement("CED-ARC-04", "CED-TX-02")
async def test_a_replay_that_races_with_the_archival_is_refused(purse: Purse, database: Database) -> None:
    """Before, while and after its row leaves the ledger; and nobody waits, nor does a new payment."""
    (old,) = await aged(purse, 91)
    async with database.transaction() as tx:
        moved = await purse.shop.transactions.bound(tx).archive_older_than(before=datetime.now(UTC) - 90 * DAY)
        assert moved == 1
        async with asyncio.timeout(60):
            told = await asyncio.gather(*(purse.record(signature=old) for _ in range(4)), purse.record())
    assert [each.first for each in told] == [False] * 4 + [True]
    assert not (await purse.record(signature=old)).first
    assert (
        await purse.one("SELECT count(*) FROM payment_transactions WHERE tenant_id = $1 AND signature = $2", old) == 0
    )


async def test_control_a_look_into_the_archive_honours_it_twice(purse: Purse, database: Database) -> None:
    """The proof of the proof: without payment_signatures, one statement that looks first has looked too early."""
    (old,) = await aged(purse, 91)

    async def archive(tx: Transaction) -> None:
        await purse.shop.transactions.bound(tx).archive_older_than(before=datetime.now(UTC) - 90 * DAY)

    async def look_then_record() -> str | None:
        return await database.fetchval(
            "INSERT INTO payment_transactions (tenant_id, signature, resource_id, wallet, amount, amount_asset) "
            "SELECT $1, $2, 'r', 'w', 1, 'USDC' WHERE NOT EXISTS (SELECT FROM payment_transactions_archive "
            "WHERE tenant_id = $1 AND signature = $2) ON CONFLICT DO NOTHING RETURNING signature",
            purse.shop.tenant_id,
            old,
        )

    assert await race(database, archive, look_then_record) == old
    found = {result.name: result for result in await examine(database)}["signatures_are_kept_once"]
    ours = [finding.subject for finding in found.findings if finding.tenant_id == purse.shop.tenant_id]
    assert (found.gravity, ours) == (Gravity.BROKEN, [old])
    await purse.one("DELETE FROM payment_transactions WHERE tenant_id = $1 AND signature = $2", old)


async def test_two_archivals_at_once_share_the_work(purse: Purse, database: Database) -> None:
    await aged(purse, 95, 94, 93, 92, 91)
    before = datetime.now(UTC) - 90 * DAY
    async with database.transaction() as tx:
        assert await purse.shop.transactions.bound(tx).archive_older_than(before=before, limit=3) == 3
        async with asyncio.timeout(60):
            assert await purse.shop.transactions.archive_older_than(before=before, limit=3) == 2
    assert await purse.count("payment_transactions_archive") == 5


async def test_another_tenants_payments_stay(purse: Purse, other: Purse) -> None:
    (theirs,) = await aged(other, 91)
    assert await purse.shop.transactions.archive_older_than(before=datetime.now(UTC) - 90 * DAY) == 0
    assert not (await other.shop.transactions.get(signature=theirs)).archived


# --- The job ----------------------------------------------------------------------------------------------------------

Fresh = Callable[..., Awaitable[str]]


async def a_shop_with(db: Database, dsn: str, *days: int) -> Shop:
    shop = await open_shop(Storeroom(db))
    await shop.receiving_accounts.create(asset="USDC", address=OURS, label="Main")
    await aged(Purse(shop.acting(actor=SYSTEM), shop, dsn), *days)
    return shop


async def left(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM payment_transactions"))


@pytest.mark.requirement("CED-ARC-02", "CED-ARC-03", "CED-ARC-04")
async def test_it_runs_once_an_interval_and_takes_what_is_older(fresh_database: Fresh) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        shop = await a_shop_with(db, dsn, 80, 91)
        await a_shop_with(db, dsn, 89, 91, 95)
        clock = FixedClock(datetime.now(UTC))
        settings = Settings(archival_enabled=True)
        runs = [
            Archival(retention=settings.archival_retention, interval=settings.archival_interval, clock=clock)
            for _ in range(2)
        ]
        assert sum(await asyncio.gather(*(run(db, limit=100) for run in runs))) == 3
        assert await left(db) == 2
        await aged(Purse(shop.acting(actor=SYSTEM), shop, dsn), 200)
        clock.move(timedelta(hours=23, minutes=59))
        assert [await run(db, limit=100) for run in runs] == [0, 0]
        clock.move(timedelta(minutes=1))
        assert sum(await asyncio.gather(*(run(db, limit=100) for run in runs))) == 2  # the one of 89 days is 90 old now
        assert await left(db) == 1


@pytest.mark.requirement("CED-ARC-03")
async def test_of_two_processes_one_begins_the_run(fresh_database: Fresh) -> None:
    """The second waits for the row of the first, finds it moved on, and does nothing."""
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        shop = await a_shop_with(db, dsn, 91, 92, 93)
        clock = FixedClock(datetime.now(UTC))
        second = Archival(retention=90 * DAY, interval=DAY, clock=clock)

        async def first(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO archival_runs (tenant_id, started_at) VALUES ($1, $2)", shop.tenant_id, clock.now()
            )

        assert await race(db, first, lambda: second(db, limit=10)) == 0
        assert await left(db) == 3
        await db.execute("UPDATE archival_runs SET started_at = started_at - interval '1 day'")  # the control
        assert await second(db, limit=10) == 3


@pytest.mark.requirement("CED-ARC-04")
async def test_a_run_goes_on_batch_after_batch(fresh_database: Fresh) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        await a_shop_with(db, dsn, *range(91, 98))
        run = Archival(retention=90 * DAY, interval=DAY, clock=FixedClock(datetime.now(UTC)))
        assert [await run(db, limit=3) for _ in range(4)] == [3, 3, 1, 0]


@pytest.mark.requirement("CED-ARC-01")
async def test_it_is_asked_for(fresh_database: Fresh) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        await a_shop_with(db, dsn, 91)
        assert schedule(Settings()) == SCHEDULE
        await Worker(db, schedule=schedule(Settings())).run_once()
        assert await left(db) == 1
        enabled = Settings.from_environment({"CEDROS_STORAGE_ARCHIVAL_ENABLED": "true"})
        outcomes = {each.job: each for each in await Worker(db, schedule=schedule(enabled)).run_once()}
        assert (outcomes["wallets.archive_payments"].rows, outcomes["wallets.archive_payments"].error) == (1, None)
        assert await left(db) == 0


async def test_a_payment_is_honoured_once_whatever_the_isolation(purse: Purse) -> None:
    (old,) = await aged(purse, 91)
    connection = await asyncpg.connect(purse.dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT 1")  # its snapshot is older than the archival
            await connection.fetchval("SELECT count(*) FROM payment_transactions")
            assert await purse.shop.transactions.archive_older_than(before=datetime.now(UTC) - 90 * DAY) == 1
            claimed: Any = await connection.fetchval(
                "INSERT INTO payment_signatures (tenant_id, signature) VALUES ($1, $2) ON CONFLICT DO NOTHING "
                "RETURNING signature",
                purse.shop.tenant_id,
                old,
            )
        assert claimed is None
    finally:
        await connection.close()
