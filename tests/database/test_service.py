"""The base of every service: one transaction, the tenant checked, the claim settled with the rows."""

import uuid
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from storeroom.core.ids import TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import (
    SYSTEM,
    Actor,
    ActorKind,
    Context,
    Service,
    TenantCache,
    TenantSuspended,
    TenantUnknown,
    operation,
    transactional,
)


class Tenant(msgspec.Struct, frozen=True):
    tenant_id: str
    status: str = "active"
    currency: str = "USD"
    time_zone: str = "UTC"
    order_window: timedelta = timedelta(days=7)


class Book:
    """The tenants there are, and how often it was asked."""

    def __init__(self, *tenants: Tenant) -> None:
        self.tenants = {TenantId(tenant.tenant_id): tenant for tenant in tenants}
        self.asked = 0

    async def load(self, tenant_id: TenantId) -> Tenant | None:
        self.asked += 1
        return self.tenants.get(tenant_id)


class Notes(Service):
    """Counters of seeds: any table of the schema would do."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.counted = Counted(context)

    @transactional
    async def add(self, *, name: str, then_fail: bool = False) -> int:
        """The id of the transaction that wrote it."""
        assert isinstance(self.db, Transaction)
        await self.db.execute(
            self.db.names.render(
                "INSERT INTO {seeds_planted} (tenant_id, name, checksum, sequence) VALUES ($1, $2, '', 1)"
            ),
            self.tenant_id,
            name,
        )
        if then_fail:
            raise ZeroDivisionError
        return int(await self.db.fetchval("SELECT pg_current_xact_id()::TEXT::BIGINT"))

    @transactional
    async def add_both(self, first: str, second: str) -> tuple[int, int, int]:
        own = int(await self.db.fetchval("SELECT pg_current_xact_id()::TEXT::BIGINT"))
        one = await self.add(name=first)
        await self.counted.seen_inside()
        return own, one, await self.add(name=second)

    @transactional
    async def add_after_losing_once(self, *, name: str) -> None:
        Notes.tries += 1
        await self.add(name=name)
        if Notes.tries == 1:
            await self.db.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")

    tries = 0

    @operation
    async def names(self) -> list[str]:
        rows = await self.db.fetch(
            self.db.names.render("SELECT name FROM {seeds_planted} WHERE tenant_id = $1 ORDER BY name"), self.tenant_id
        )
        return [row["name"] for row in rows]


class Counted(Service):
    @operation
    async def seen_inside(self) -> None:
        assert isinstance(self.db, Transaction)


class Claim:
    def __init__(self, *, fails: bool = False) -> None:
        self.settled: list[int] = []
        self.fails = fails

    async def settle(self, tx: Transaction) -> None:
        self.settled.append(int(await tx.fetchval("SELECT pg_current_xact_id()::TEXT::BIGINT")))
        if self.fails:
            raise ConnectionAbortedError


@pytest.fixture
async def book() -> Book:
    return Book(Tenant(f"t{uuid.uuid4().hex[:12]}"))


@pytest.fixture
async def context(database: Database, book: Book) -> Context:
    return Context(db=database, tenant_id=next(iter(book.tenants)), tenants=TenantCache(book.load, keep_s=600))


async def test_an_operation_commits_by_itself_or_not_at_all(context: Context) -> None:
    notes = Notes(context)
    await notes.add(name="a")
    with pytest.raises(ZeroDivisionError):
        await notes.add(name="b", then_fail=True)
    assert await notes.names() == ["a"]
    assert notes.db is context.db


async def test_inside_a_transaction_it_takes_part_in_it(context: Context, database: Database) -> None:
    notes = Notes(context)
    own, one, two = await notes.add_both("a", "b")
    assert own == one == two
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            assert await notes.bound(tx).add(name="c") == await notes.bound(tx).add(name="d")
            raise ZeroDivisionError
    assert await notes.names() == ["a", "b"]


async def test_it_runs_again_after_losing_to_a_rival(context: Context) -> None:
    Notes.tries = 0
    await Notes(context).add_after_losing_once(name="a")
    assert Notes.tries == 2
    assert await Notes(context).names() == ["a"]


async def test_an_unknown_tenant_can_do_nothing(context: Context, database: Database) -> None:
    notes = Notes(Context(db=database, tenant_id=TenantId("nobody"), tenants=context.tenants))
    for call in (notes.add(name="a"), notes.names()):
        with pytest.raises(TenantUnknown) as caught:
            await call
        assert caught.value.code == "tenants.unknown"
    assert await database.fetchval("SELECT count(*) FROM seeds_planted WHERE tenant_id = 'nobody'") == 0


async def test_a_suspended_tenant_can_do_nothing(context: Context, book: Book) -> None:
    notes = Notes(context)
    await notes.add(name="a")
    book.tenants[context.tenant_id] = Tenant(context.tenant_id, status="suspended")
    assert isinstance(context.tenants, TenantCache)
    context.tenants.forget(context.tenant_id)
    for call in (notes.add(name="b"), notes.names()):
        with pytest.raises(TenantSuspended):
            await call
    book.tenants[context.tenant_id] = Tenant(context.tenant_id)
    context.tenants.forget(context.tenant_id)
    assert await notes.names() == ["a"]


async def test_a_tenant_is_looked_up_once_for_a_while(context: Context, book: Book, database: Database) -> None:
    notes = Notes(context)
    for n in range(5):
        await notes.add(name=str(n))
    await notes.names()
    assert book.asked == 1
    forgetful = TenantCache(book.load, keep_s=0)
    for _ in range(3):
        await Notes(Context(db=database, tenant_id=context.tenant_id, tenants=forgetful)).names()
    assert book.asked == 4


async def test_the_claim_is_settled_with_the_rows(context: Context) -> None:
    claim = Claim()
    notes = Notes(msgspec.structs.replace(context, claim=claim))
    own, _, _ = await notes.add_both("a", "b")
    assert claim.settled == [own]  # once, by the outermost, in its transaction
    await notes.names()
    assert claim.settled == [own]
    broken = Notes(msgspec.structs.replace(context, claim=Claim(fails=True)))
    with pytest.raises(ConnectionAbortedError):
        await broken.add(name="c")
    assert await notes.names() == ["a", "b"]


async def test_a_constraint_reaches_the_caller_and_nothing_is_written(context: Context) -> None:
    notes = Notes(context)
    with pytest.raises(asyncpg.UniqueViolationError):
        await notes.add_both("a", "a")
    assert await notes.names() == []


def test_who_asks_is_said_once() -> None:
    assert Actor(kind=ActorKind.SYSTEM, name="system") == SYSTEM
    assert [kind.value for kind in ActorKind] == ["system", "admin", "customer", "webhook"]
