"""Opening, closing and looking at the clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from factories import make_method, make_product, open_shop, place
from storeroom.core.visitor import Visitor
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.errors import DatabaseClosed, DatabaseRefused
from storeroom.database.migrations import NotMigrated, require_migrated
from storeroom.database.pool import Database
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.inventory.jobs import expire_reservations
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus, expire_payments
from storeroom.room import Storeroom

Fresh = Callable[..., Awaitable[str]]


@asynccontextmanager
async def administering(postgres: EmbeddedPostgres) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        yield connection
    finally:
        await connection.close()


def name_of(dsn: str) -> str:
    return urlsplit(dsn).path.lstrip("/")


@pytest.mark.requirement("CED-OP-050")
async def test_a_closed_room_holds_no_connection(fresh_database: Fresh, postgres: EmbeddedPostgres) -> None:
    dsn = await fresh_database()

    async def connections() -> int:
        async with administering(postgres) as admin:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
            return int(await admin.fetchval(count, name_of(dsn)))

    async with Storeroom.open(dsn) as room:
        shop = await open_shop(room)
        await asyncio.gather(*(shop.products.list() for _ in range(20)))
        assert await connections() >= 2
        await room.close()
        async with asyncio.timeout(60):  # the server notices the end of a connection a moment later
            while await connections():
                await asyncio.sleep(0.01)
        await room.close()
        for call in (shop.products.list(), make_product(shop), shop.orders.list()):
            with pytest.raises(DatabaseClosed):
                await call
        with pytest.raises(DatabaseClosed):
            async with shop.transaction():
                raise AssertionError


class Noted:
    """An executor that writes down what it is asked."""

    def __init__(self, db: Database) -> None:
        self.db, self.names, self.asked = db, db.names, list[str]()

    async def fetch(self, sql: str, /, *args: object) -> list[asyncpg.Record]:
        self.asked.append(sql)
        return await self.db.fetch(sql, *args)

    async def fetchrow(self, sql: str, /, *args: object) -> asyncpg.Record | None:
        self.asked.append(sql)
        return await self.db.fetchrow(sql, *args)

    async def fetchval(self, sql: str, /, *args: object) -> object:
        self.asked.append(sql)
        return await self.db.fetchval(sql, *args)

    async def execute(self, sql: str, /, *args: object) -> str:
        self.asked.append(sql)
        return await self.db.execute(sql, *args)


@pytest.mark.requirement("RED-GEN-02", "RED-GEN-03")
async def test_opening_makes_nothing_and_says_what_is_missing(fresh_database: Fresh) -> None:
    empty = await fresh_database(empty=True)
    for _ in range(2):
        with pytest.raises(NotMigrated, match="0001 tenants"):
            async with Storeroom.open(empty):
                raise AssertionError
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    await connection.close()


@pytest.mark.requirement("RED-GEN-02")
async def test_the_schema_is_looked_at_once_and_never_made(dsn: str) -> None:
    """Also by two at once. The work itself does not look: whatever table it needs is there since the migration."""
    async with await Database.open(dsn, max_size=1) as database:  # the one connection has prepared what is prepared
        await _look_once(database)


async def _look_once(database: Database) -> None:
    noted = [Noted(database), Noted(database)]
    await asyncio.gather(*(require_migrated(each) for each in noted))
    for each in noted:
        assert 1 <= len(each.asked) <= 4
        assert all(sql.lstrip().upper().startswith("SELECT") for sql in each.asked)
    statements = "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'schema_migrations|^\\s*(CREATE|ALTER)'"
    room = Storeroom(database)
    shop = await open_shop(room)
    await place(shop, (await make_product(shop), 1))
    assert await database.fetchval(statements) <= 2  # of the look above


@pytest.mark.requirement("RED-GEN-03")
async def test_any_table_can_be_the_first(fresh_database: Fresh) -> None:
    """A price in a new database refers to a product that refers to its tenant: nobody has to prepare them."""
    async with Storeroom.open(await fresh_database()) as room:
        await room.tenants.create("default", name="The shop", currency="USD")
        variant_id = await make_product(room.tenant(), price=700)
        assert (await room.tenant().products.variant(variant_id=variant_id)).price.amount == 700


@pytest.mark.requirement("RED-GEN-10")
async def test_a_failure_to_look_is_not_remembered(fresh_database: Fresh, postgres: EmbeddedPostgres) -> None:
    dsn = await fresh_database()
    name = name_of(dsn)
    async with administering(postgres) as admin:
        await admin.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
        for _ in range(2):
            with pytest.raises(DatabaseRefused):
                async with Storeroom.open(dsn):
                    raise AssertionError
        await admin.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
    async with Storeroom.open(dsn) as room:
        assert (await room.tenants.list()).items == []


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
async def test_time_is_up_at_its_instant_whatever_zone_the_database_is_in(
    fresh_database: Fresh, postgres: EmbeddedPostgres, zone: str
) -> None:
    """14 hours ahead of UTC and 11 behind: nothing ends early or late, and instants come back as they are."""
    dsn = await fresh_database()
    async with administering(postgres) as admin:
        await admin.execute(f"ALTER DATABASE {name_of(dsn)} SET timezone TO '{zone}'")
    async with Storeroom.open(dsn) as room:
        db = room.db
        assert await db.fetchval("SELECT current_setting('timezone')") == zone
        shop = await open_shop(room)
        await make_method(shop)
        variant_id = await make_product(shop)
        session, token = await shop.sessions.guest()
        visitor = Visitor(session_id=session.id)
        cart = await shop.carts.create(visitor=visitor)
        await shop.carts.add(cart_id=cart.id, variant_id=variant_id)
        (held,) = await shop.carts.reserve(cart_id=cart.id, hold_for=timedelta(minutes=5))
        placed = await place(shop, (variant_id, 1), payment_method="zelle")
        asked = placed.order.payment
        assert asked is not None

        now = datetime.now(UTC)
        for instant, ahead in (
            (held.created_at, timedelta(0)),
            (held.expires_at, timedelta(minutes=5)),
            (placed.order.created_at, timedelta(0)),
            (placed.order.payment_due_at, timedelta(days=7)),
            (asked.expires_at, timedelta(hours=48)),
            (cart.expires_at, timedelta(days=30)),
        ):
            assert instant is not None
            assert instant.utcoffset() is not None
            assert abs(instant - now - ahead) < timedelta(minutes=1)

        async def jobs() -> tuple[int, int, int]:
            return await expire_reservations(db), await expire_payments(db), await cancel_unpaid(db)

        assert await jobs() == (0, 0, 0)
        await db.execute("UPDATE inventory_reservations SET expires_at = now() + INTERVAL '1 minute'")
        await db.execute("UPDATE payments SET expires_at = now() + INTERVAL '1 minute'")
        await db.execute("UPDATE orders SET payment_due_at = now() + INTERVAL '1 minute'")
        assert await jobs() == (0, 0, 0)
        assert await shop.sessions.visitor(token) == visitor
        await db.execute("UPDATE inventory_reservations SET expires_at = now() - INTERVAL '1 second'")
        await db.execute("UPDATE payments SET expires_at = now() - INTERVAL '1 second'")
        await db.execute("UPDATE orders SET payment_due_at = now() - INTERVAL '1 second'")
        await db.execute("UPDATE auth_sessions SET expires_at = now() - INTERVAL '1 second'")
        assert await jobs() == (1, 1, 1)
        assert await shop.sessions.visitor(token) is None
        assert (await shop.payments.get(payment_id=asked.id)).status is PaymentStatus.EXPIRED
        assert (await shop.orders.get(order_id=placed.order.id)).status is OrderStatus.CANCELLED
