"""Batches: nothing is shipped unverified or expired, nothing twice, and the product shows the newest good one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import pytest

from rivals import race
from storeroom.catalog import (
    Allocation,
    Batch,
    Batches,
    BatchesShort,
    BatchExpired,
    BatchNotFound,
    BatchNumberTaken,
    InvalidBatch,
    Product,
    ProductNotFound,
    Products,
)
from storeroom.catalog.jobs import deactivate_expired_batches
from storeroom.core.clock import FixedClock
from storeroom.core.ids import BatchId, ProductId, UserId, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.tenants import Tenants

TODAY = datetime.now(UTC).date()
NOON = datetime.combine(TODAY, time(12), UTC)


def day(n: int) -> date:
    return TODAY + timedelta(days=n)


@pytest.fixture
def batches(at: Callable[[FixedClock], Context]) -> Batches:
    """By a clock that stands: the day is that of the tests, also when another begins while they run."""
    return Batches(at(FixedClock(NOON)))


@pytest.fixture
async def product(products: Products) -> Product:
    return await products.create(name="BPC-157", price=Money(4_999, "USD"), publish=True)


async def make(
    batches: Batches, product: Product, number: str, *, made: int = -10, expires: int = 100, units: int = 10
) -> Batch:
    return await batches.create(
        product_id=product.id,
        batch_number=number,
        quantity_produced=units,
        coa_file_url=f"https://files.example/{number}.pdf",
        manufactured_at=day(made),
        expires_at=day(expires),
    )


async def verified(batches: Batches, product: Product, number: str, **days: int) -> Batch:
    return await batches.verify(batch_id=(await make(batches, product, number, **days)).id)


@pytest.mark.requirement("SBB-BAT-01", "SBB-BAT-04")
async def test_a_batch_is_made_verified_and_shipped_from(
    context: Context, product: Product, database: Database
) -> None:
    user_id = UserId(new_id())
    await database.execute(
        "INSERT INTO users (tenant_id, id, email) VALUES ($1, $2, 'qa@example.com')", context.tenant_id, user_id
    )
    batches = Batches(msgspec.structs.replace(context, actor=Actor(kind=ActorKind.ADMIN, user_id=user_id)))
    batch = await make(batches, product, "B-1")
    assert (batch.batch_number, batch.quantity_produced, batch.quantity_remaining) == ("B-1", 10, 10)
    assert (batch.coa_verified, batch.coa_verified_by, batch.coa_verified_at) == (False, None, None)
    assert (batch.manufactured_at, batch.expires_at, batch.is_active) == (day(-10), day(100), True)
    with pytest.raises(BatchesShort) as refused:
        await batches.allocate(product_id=product.id, quantity=1)
    assert (refused.value.requested, refused.value.available) == (1, 0)

    checked = await batches.verify(batch_id=batch.id)
    assert (checked.coa_verified, checked.coa_verified_by) == (True, user_id)
    assert checked.coa_verified_at is not None
    again = await Batches(context).verify(batch_id=batch.id)
    assert (again.coa_verified_by, again.coa_verified_at) == (user_id, checked.coa_verified_at)

    taken = await batches.allocate(product_id=product.id, quantity=4)
    assert taken == [Allocation(batch_id=batch.id, batch_number="B-1", quantity=4)]
    assert (await batches.get(batch_id=batch.id)).quantity_remaining == 6


@pytest.mark.requirement("SBB-BAT-04", "SBB-BAT-05")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coa_file_url", ""),
        ("coa_file_url", None),
        ("coa_file_url", "javascript:alert(1)"),
        ("batch_number", " "),
        ("batch_number", "x" * 51),
        ("quantity_produced", 0),
        ("quantity_produced", 2_000_000_000),
        ("manufactured_at", None),
        ("expires_at", None),
        ("expires_at", day(-10)),
    ],
)
async def test_an_impossible_batch_is_refused_by_name(
    batches: Batches, product: Product, field: str, value: object
) -> None:
    fields = {
        "product_id": product.id,
        "batch_number": "B",
        "quantity_produced": 1,
        "coa_file_url": "/b.pdf",
        "manufactured_at": day(-10),
        "expires_at": day(10),
        field: value,
    }
    with pytest.raises(InvalidBatch) as refused:
        await batches.create(**fields)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert await batches.list(product_id=product.id) == []


@pytest.mark.requirement("SBB-BAT-02")
async def test_a_number_is_given_once_a_product(
    batches: Batches, product: Product, products: Products, database: Database
) -> None:
    other = await products.create(name="Other", price=Money(1, "USD"))
    outcome = await race(
        database,
        lambda tx: make(batches.bound(tx), product, "B-1"),
        lambda: make(batches, product, "B-1"),
    )
    assert isinstance(outcome, BatchNumberTaken)
    assert len(await batches.list(product_id=product.id)) == 1
    assert (await make(batches, other, "B-1")).batch_number == "B-1"


@pytest.mark.requirement("SBB-PROD-13")
async def test_the_product_shows_its_newest_verified_batch(
    batches: Batches, product: Product, products: Products
) -> None:
    async def shown() -> tuple[str | None, str | None]:
        found = await products.page(slug=product.slug)
        return found.current_batch_number, found.current_coa_url

    old = await make(batches, product, "OLD", made=-50)
    new = await make(batches, product, "NEW", made=-5)
    assert await shown() == (None, None)
    await batches.verify(batch_id=old.id)
    assert await shown() == ("OLD", "https://files.example/OLD.pdf")
    await batches.deactivate(batch_id=new.id)
    await batches.verify(batch_id=new.id)
    assert await shown() == ("OLD", "https://files.example/OLD.pdf")
    await batches.activate(batch_id=new.id)
    assert await shown() == ("NEW", "https://files.example/NEW.pdf")
    unverified = await make(batches, product, "NEWEST", made=-1)
    await batches.deactivate(batch_id=unverified.id)
    await batches.activate(batch_id=unverified.id)
    older = await verified(batches, product, "OLDER", made=-90)
    assert await shown() == ("NEW", "https://files.example/NEW.pdf")
    for batch in (new, old, older):
        await batches.deactivate(batch_id=batch.id)
    assert await shown() == (None, None)


@pytest.mark.requirement("SBB-BAT-05", "SBB-BAT-03")
async def test_the_batch_that_expires_first_is_used_up_first(batches: Batches, product: Product) -> None:
    late = await verified(batches, product, "LATE", expires=90, units=5)
    soon = await verified(batches, product, "SOON", expires=0, units=3)
    middle = await verified(batches, product, "MIDDLE", expires=10, units=2)
    await make(batches, product, "UNVERIFIED", expires=1)
    off = await verified(batches, product, "OFF", expires=1)
    await batches.deactivate(batch_id=off.id)
    await verified(batches, product, "EXPIRED", made=-40, expires=-1)

    taken = await batches.allocate(product_id=product.id, quantity=6)

    assert [(a.batch_id, a.quantity) for a in taken] == [(soon.id, 3), (middle.id, 2), (late.id, 1)]
    with pytest.raises(BatchesShort) as refused:
        await batches.allocate(product_id=product.id, quantity=5)
    assert refused.value.available == 4
    left = {b.batch_number: b.quantity_remaining for b in await batches.list(product_id=product.id)}
    assert left == {"LATE": 4, "SOON": 0, "MIDDLE": 0, "UNVERIFIED": 10, "OFF": 10, "EXPIRED": 10}


async def test_a_product_without_batches_needs_none(batches: Batches, product: Product) -> None:
    assert await batches.allocate(product_id=product.id, quantity=3) == []
    with pytest.raises(InvalidBatch):
        await batches.allocate(product_id=product.id, quantity=0)


@pytest.mark.requirement("SBB-BAT-03")
async def test_two_shipments_do_not_take_the_same_units(batches: Batches, product: Product, database: Database) -> None:
    batch = await verified(batches, product, "B", units=10)
    outcome = await race(
        database,
        lambda tx: batches.bound(tx).allocate(product_id=product.id, quantity=7),
        lambda: batches.allocate(product_id=product.id, quantity=7),
    )
    assert isinstance(outcome, BatchesShort)
    assert outcome.available == 3
    assert (await batches.get(batch_id=batch.id)).quantity_remaining == 3


async def test_control_a_read_before_the_update_ships_units_twice(
    batches: Batches, product: Product, database: Database
) -> None:
    batch = await verified(batches, product, "B", units=10)
    read = "SELECT quantity_remaining FROM product_batches WHERE tenant_id = $1 AND id = $2"
    write = "UPDATE product_batches SET quantity_remaining = $3 WHERE tenant_id = $1 AND id = $2"
    async with database.transaction() as one:
        async with database.transaction() as two:
            seen = [await tx.fetchval(read, batches.tenant_id, batch.id) for tx in (one, two)]
            await two.execute(write, batches.tenant_id, batch.id, seen[1] - 7)
        await one.execute(write, batches.tenant_id, batch.id, seen[0] - 7)
    assert (await batches.get(batch_id=batch.id)).quantity_remaining == 3  # 14 units went out of ten


@pytest.mark.requirement("SBB-BAT-03")
async def test_many_shipments_end_at_produced_less_shipped(batches: Batches, product: Product) -> None:
    for number, units in (("A", 7), ("B", 8)):
        await verified(batches, product, number, units=units)
    outcomes = await asyncio.gather(
        *(batches.allocate(product_id=product.id, quantity=2) for _ in range(12)), return_exceptions=True
    )
    shipped = sum(a.quantity for outcome in outcomes if isinstance(outcome, list) for a in outcome)
    refused = [outcome for outcome in outcomes if not isinstance(outcome, list)]
    assert shipped == 14
    assert all(isinstance(outcome, BatchesShort) for outcome in refused)
    assert len(refused) == 5
    assert sum(b.quantity_remaining for b in await batches.list(product_id=product.id)) == 1


@pytest.mark.requirement("SBB-BAT-05")
async def test_days_are_those_of_the_shop(
    at: Callable[[FixedClock], Context], product: Product, database: Database, context: Context
) -> None:
    """At 8 in the evening of Honolulu it is tomorrow in UTC: the batch of today may still be shipped."""
    evening = datetime(TODAY.year, TODAY.month, TODAY.day, 6, tzinfo=UTC)
    batches = Batches(at(FixedClock(evening)))
    batch = await verified(batches, product, "B", expires=-1)
    with pytest.raises(BatchesShort):
        await batches.allocate(product_id=product.id, quantity=1)
    with pytest.raises(BatchExpired):
        await batches.activate(batch_id=batch.id)
    await database.execute("UPDATE tenants SET time_zone = 'Pacific/Honolulu' WHERE tenant_id = $1", context.tenant_id)
    fresh = msgspec.structs.replace(at(FixedClock(evening)), tenants=Tenants(database).cache)
    assert len(await Batches(fresh).allocate(product_id=product.id, quantity=1)) == 1


async def test_batches_near_their_expiry_are_listed(batches: Batches, product: Product) -> None:
    for number, expires in (("FAR", 60), ("NEAR", 20), ("NEXT", 5)):
        await make(batches, product, number, expires=expires)
    near = await batches.near_expiry(within=timedelta(days=30))
    assert [b.batch_number for b in near] == ["NEXT", "NEAR"]
    assert [b.batch_number for b in await batches.list(product_id=product.id, limit=1)] == ["FAR"]
    for call in (batches.near_expiry(within=timedelta(days=-1)), batches.list(product_id=product.id, limit=501)):
        with pytest.raises(InvalidBatch):
            await call


@pytest.mark.requirement("SBB-BAT-08", "SBB-PROD-13")
async def test_the_job_switches_off_what_has_expired(
    batches: Batches, product: Product, products: Products, database: Database
) -> None:
    good = await verified(batches, product, "GOOD", made=-60, expires=30)
    expired = await verified(batches, product, "EXPIRED", made=-40, expires=3)
    assert (await products.get(product_id=product.id)).current_batch_number == "EXPIRED"
    await database.execute(
        "UPDATE product_batches SET expires_at = $3 WHERE tenant_id = $1 AND id = $2",
        batches.tenant_id,
        expired.id,
        day(-2),
    )

    assert await deactivate_expired_batches(database) >= 1  # other tests' batches are as real

    assert not (await batches.get(batch_id=expired.id)).is_active
    assert (await batches.get(batch_id=good.id)).is_active
    assert (await products.get(product_id=product.id)).current_batch_number == "GOOD"
    before = await batches.list(product_id=product.id)
    assert await deactivate_expired_batches(database) == 0
    assert await batches.list(product_id=product.id) == before


async def test_what_is_not_there_or_not_ours_is_not_found(
    batches: Batches, product: Product, stranger: Products
) -> None:
    batch = await make(batches, product, "B")
    theirs = Batches(stranger.context)
    for service, batch_id in ((batches, BatchId(new_id())), (theirs, batch.id)):
        for call in (service.get, service.verify, service.activate, service.deactivate):
            with pytest.raises(BatchNotFound):
                await call(batch_id=batch_id)
    assert await theirs.list(product_id=product.id) == []
    assert await theirs.allocate(product_id=product.id, quantity=1) == []
    for service, product_id in ((batches, ProductId(new_id())), (theirs, product.id)):
        with pytest.raises(ProductNotFound):
            await service.create(
                product_id=product_id,
                batch_number="X",
                quantity_produced=1,
                coa_file_url="/x.pdf",
                manufactured_at=day(-1),
                expires_at=day(1),
            )
    assert (await batches.get(batch_id=batch.id)) == batch
