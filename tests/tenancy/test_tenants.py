"""Shops are made, changed, stopped and found by their hosts; and one never touches another's rows."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from estate import Estate, build, fingerprint
from test_foreign_tenant import READS, TRIES

from factories import make_product, open_shop
from storeroom.core.contact import InvalidAddress
from storeroom.core.money import UnknownCurrency
from storeroom.database.pool import Database
from storeroom.database.service import TENANT_CACHE_S, TenantSuspended, TenantUnknown
from storeroom.room import Storeroom
from storeroom.tenants import HostTaken, HostUnknown, InvalidTenant, TenantExists, TenantStatus
from storeroom.tenants import service as tenants_service
from storeroom.tenants.model import HOSTS_MAX

Fresh = Callable[..., Awaitable[str]]


def fresh_id() -> str:
    return f"t_{secrets.token_hex(6)}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of what processes keep in mind for a few seconds: `clock.now += 1` lets one pass."""
    from storeroom.database import service

    hand = SimpleNamespace(now=1000.0)
    hand.monotonic = lambda: hand.now
    for module in (service, tenants_service):
        monkeypatch.setattr(module, "time", hand)
    return hand


# --- Making and changing ----------------------------------------------------------------------------------------------


async def test_a_shop_is_made_as_it_is_asked_for(room: Storeroom) -> None:
    tenant_id = fresh_id()
    made = await room.tenants.create(
        tenant_id,
        name="Laden",
        currency="EUR",
        time_zone="Europe/Berlin",
        country_code="de",
        order_window=timedelta(days=3),
        reservation_hold=timedelta(minutes=5),
        cart_lifetime=timedelta(days=9),
        cart_idle=timedelta(days=2),
        open_orders_max=7,
        compliance_required=True,
        lookup_code_required=True,
        staff_second_factor_required=True,
    )
    assert made == await room.tenants.get(tenant_id)
    assert (made.name, made.currency, made.time_zone, made.country_code) == ("Laden", "EUR", "Europe/Berlin", "DE")
    assert (made.order_window, made.reservation_hold) == (timedelta(days=3), timedelta(minutes=5))
    assert (made.cart_lifetime, made.cart_idle) == (timedelta(days=9), timedelta(days=2))
    assert (made.open_orders_max, made.compliance_required, made.status) == (7, True, TenantStatus.ACTIVE)
    assert (made.lookup_code_required, made.staff_second_factor_required) == (True, True)
    with pytest.raises(TenantExists):
        await room.tenants.create(tenant_id, name="Again", currency="USD")
    assert await room.tenants.get(tenant_id) == made


async def test_settings_change_and_count_at_once(room: Storeroom) -> None:
    shop = await open_shop(room)
    before = await room.tenants.get(shop.tenant_id)
    await shop.context.settings()
    changed = await room.tenants.update(shop.tenant_id, name="New", open_orders_max=1, order_window=timedelta(hours=1))
    assert (changed.name, changed.open_orders_max, changed.order_window) == ("New", 1, timedelta(hours=1))
    assert (changed.currency, changed.cart_idle) == (before.currency, before.cart_idle)
    assert (changed.created_at, changed.updated_at > before.updated_at) == (before.created_at, True)
    assert await shop.context.settings() == changed


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "../etc/passwd"}, "time_zone"),
    ({"order_window": timedelta(0)}, "order_window"),
    ({"order_window": timedelta(days=-1)}, "order_window"),
    ({"reservation_hold": timedelta(days=400)}, "reservation_hold"),
    ({"cart_lifetime": timedelta(seconds=59)}, "cart_lifetime"),
    ({"cart_idle": timedelta(days=367)}, "cart_idle"),
    ({"open_orders_max": 0}, "open_orders_max"),
    ({"open_orders_max": 1001}, "open_orders_max"),
]


@pytest.mark.parametrize(("settings", "field"), BAD)
async def test_a_setting_out_of_bounds_is_refused(room: Storeroom, settings: dict[str, Any], field: str) -> None:
    tenant_id = fresh_id()
    with pytest.raises(InvalidTenant) as caught:
        await room.tenants.create(tenant_id, **{"name": "A", "currency": "USD", **settings})
    assert caught.value.field == field
    with pytest.raises(TenantUnknown):
        await room.tenants.get(tenant_id)
    shop = await open_shop(room)
    before = await room.tenants.get(shop.tenant_id)
    with pytest.raises(InvalidTenant):
        await room.tenants.update(shop.tenant_id, **settings)
    assert await room.tenants.get(shop.tenant_id) == before


@pytest.mark.parametrize("tenant_id", ["", "a b", "ä", "x" * 65, "a/b", "a'b", "a\n"])
async def test_an_id_is_plain(room: Storeroom, tenant_id: str) -> None:
    with pytest.raises(InvalidTenant):
        await room.tenants.create(tenant_id, name="A", currency="USD")


async def test_what_is_unknown_is_refused(room: Storeroom) -> None:
    shop = await open_shop(room)
    with pytest.raises(UnknownCurrency):
        await room.tenants.create(fresh_id(), name="A", currency="XYZ")
    with pytest.raises(InvalidAddress):
        await room.tenants.create(fresh_id(), name="A", currency="USD", country_code="Germany")
    for name, value in (("currency", "EUR"), ("status", "suspended"), ("colour", "red")):
        with pytest.raises(InvalidTenant) as caught:
            await room.tenants.update(shop.tenant_id, **{name: value})
        assert caught.value.field == name
    for call in (
        room.tenants.get("nobody"),
        room.tenants.update("nobody", name="A"),
        room.tenants.suspend("nobody"),
        room.tenants.resume("nobody"),
        room.tenants.add_host("nobody", "a.example"),
        room.tenant("nobody").products.list(),
        make_product(room.tenant("nobody")),
    ):
        with pytest.raises(TenantUnknown):
            await call


async def test_shops_are_listed_page_by_page(room: Storeroom) -> None:
    made = {(await open_shop(room)).tenant_id for _ in range(5)}
    seen: list[str] = []
    cursor = None
    while True:
        page = await room.tenants.list(cursor=cursor, limit=3)
        assert len(page.items) <= 3
        seen += [tenant.tenant_id for tenant in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert made <= set(seen)


# --- Suspended --------------------------------------------------------------------------------------------------------


async def test_a_suspended_shop_reads_and_does_nothing(room: Storeroom) -> None:
    """Every operation, with its own ids; resumed it works again."""
    estate = await build(room)
    shop, db = estate.shop, room.db
    await room.tenants.suspend(shop.tenant_id)
    before = await fingerprint(db, shop.tenant_id)
    for name, tries in TRIES.items():
        for _, attempt in tries:
            with pytest.raises(TenantSuspended):
                await attempt(shop, estate, estate)
                raise AssertionError(name)
    for read in READS.values():
        with pytest.raises(TenantSuspended):
            await read(shop)
    with pytest.raises(TenantSuspended):
        async with shop.transaction():
            raise AssertionError
    assert await fingerprint(db, shop.tenant_id) == before
    assert (await room.tenants.get(shop.tenant_id)).status is TenantStatus.SUSPENDED
    await room.tenants.resume(shop.tenant_id)
    assert (await shop.orders.get(order_id=estate.order.order.id)).order_number == estate.order.order.number


async def test_another_process_hears_of_it_within_seconds(room: Storeroom, clock: SimpleNamespace) -> None:
    shop = await open_shop(room)
    elsewhere = Storeroom(room.db).tenant(shop.tenant_id)
    await elsewhere.products.list()
    await room.tenants.suspend(shop.tenant_id)
    clock.now += TENANT_CACHE_S - 0.1
    await elsewhere.products.list()  # still in its mind
    clock.now += 0.2
    with pytest.raises(TenantSuspended):
        await elsewhere.products.list()
    await room.tenants.resume(shop.tenant_id)
    clock.now += TENANT_CACHE_S
    await elsewhere.products.list()


# --- Hosts ------------------------------------------------------------------------------------------------------------


async def test_a_host_leads_to_its_shop(room: Storeroom) -> None:
    shop, other = await open_shop(room), await open_shop(room)
    host = f"{secrets.token_hex(6)}.example"
    await room.tenants.add_host(shop.tenant_id, f" {host.upper()}. ")
    await room.tenants.add_host(shop.tenant_id, host)
    assert await room.tenants.hosts(shop.tenant_id) == [host]
    for spelling in (host, host.upper(), f"{host}:8000", f"{host}.", f"{host}.:443"):
        assert await room.tenants.at_host(spelling) == shop.tenant_id
    with pytest.raises(HostTaken):
        await room.tenants.add_host(other.tenant_id, host)
    await room.tenants.remove_host(other.tenant_id, host)  # not its to remove
    assert await room.tenants.at_host(host) == shop.tenant_id
    await room.tenants.remove_host(shop.tenant_id, f"{host.upper()}.")
    assert await room.tenants.hosts(shop.tenant_id) == []
    with pytest.raises(HostUnknown):
        await room.tenants.at_host(host)


async def test_a_host_that_moves_is_followed_within_seconds(room: Storeroom, clock: SimpleNamespace) -> None:
    shop, other = await open_shop(room), await open_shop(room)
    elsewhere = Storeroom(room.db).tenants
    host = f"{secrets.token_hex(6)}.example"
    await room.tenants.add_host(shop.tenant_id, host)
    assert await elsewhere.at_host(host) == shop.tenant_id
    await room.tenants.remove_host(shop.tenant_id, host)
    await room.tenants.add_host(other.tenant_id, host)
    assert await room.tenants.at_host(host) == other.tenant_id
    clock.now += TENANT_CACHE_S
    assert await elsewhere.at_host(host) == other.tenant_id


@pytest.mark.parametrize("host", ["", ".", "-a.example", "a b.example", "a/b", "ä.example", "a" * 254, "a\x00b"])
async def test_what_is_no_host_name_is_refused(room: Storeroom, host: str) -> None:
    shop = await open_shop(room)
    with pytest.raises(InvalidTenant) as caught:
        await room.tenants.add_host(shop.tenant_id, host)
    assert caught.value.field == "host"
    assert await room.tenants.hosts(shop.tenant_id) == []


async def test_a_shop_has_so_many_hosts(room: Storeroom) -> None:
    shop, mark = await open_shop(room), secrets.token_hex(6)
    for number in range(HOSTS_MAX):
        await room.tenants.add_host(shop.tenant_id, f"h{number}.{mark}.example")
    with pytest.raises(InvalidTenant):
        await room.tenants.add_host(shop.tenant_id, f"more.{mark}.example")
    assert len(await room.tenants.hosts(shop.tenant_id)) == HOSTS_MAX


@pytest.mark.requirement("CED-TEN-01", "STO-GEN-02")
async def test_a_single_shop_never_thinks_of_tenants(fresh_database: Fresh) -> None:
    """An unknown host is `default` while that is the only shop, and what it writes is under default alone."""
    async with await Database.open(await fresh_database()) as db:
        room = Storeroom(db)
        with pytest.raises(HostUnknown):  # nothing is there yet
            await room.tenants.at_host("localhost")
        await room.tenants.create("default", name="The shop", currency="USD")
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "[::1]", "whatever.example"):
            assert await room.tenants.at_host(host) == "default"
        await make_product(room.tenant())
        await room.tenants.create("second", name="Another", currency="USD")
        await room.tenants.add_host("second", "second.example")
        assert (await fingerprint(db, "default"))["products"][0] == 1
        written = {table for table, (rows, _) in (await fingerprint(db, "second")).items() if rows}
        assert written == {"tenants", "audit_logs", "audit_unsealed"}  # that it was made, and nothing else
        assert await db.fetch("SELECT DISTINCT tenant_id FROM product_variants") == [("default",)]
        assert await room.tenants.at_host("second.example") == "second"
        with pytest.raises(HostUnknown):
            await room.tenants.at_host("whatever.example")

        for refused, constraint in (
            (
                """INSERT INTO product_variants (tenant_id, id, product_id, title, price, currency)
                VALUES ('default', gen_random_uuid(), gen_random_uuid(), 'Orphan', 1, 'USD')""",
                "product_variants_product_fkey",
            ),
            (
                "INSERT INTO stock_levels (tenant_id, variant_id) SELECT 'second', id FROM product_variants",
                "stock_levels_variant_fkey",
            ),
            ("UPDATE stock_levels SET on_hand = -1", "stock_levels_on_hand_positive"),
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
                await db.execute(refused)
            assert caught.value.constraint_name == constraint
        with pytest.raises(asyncpg.DataError):
            await db.execute("UPDATE products SET status = 'nonsense'")


async def test_the_only_shop_is_not_found_at_unknown_hosts_under_another_name(fresh_database: Fresh) -> None:
    async with await Database.open(await fresh_database()) as db:
        room = Storeroom(db)
        await room.tenants.create("acme", name="Acme", currency="USD")
        with pytest.raises(HostUnknown):
            await room.tenants.at_host("localhost")


# --- Whoever comes to the database directly ---------------------------------------------------------------------------


async def test_a_tenants_own_login_reaches_no_other(dsn: str, ours: Estate, theirs: Estate) -> None:
    """Of every table: rows of another tenant are neither seen, nor changed, nor made."""
    mine, foreign = ours.shop.tenant_id, theirs.shop.tenant_id
    db: Database = ours.shop.context.db  # type: ignore[assignment]
    filled = {table: rows for table, (rows, _) in (await fingerprint(db, foreign)).items() if rows}
    before = await fingerprint(db, foreign)
    assert len(filled) >= 20
    async with await Database.open(dsn, role="storeroom_tenant", max_size=1) as direct:
        for table in filled:
            assert await direct.fetchval(f"SELECT count(*) FROM {table}") == 0, "nobody said which tenant"
        async with direct.transaction() as tx:
            await tx.execute("SELECT set_config('storeroom.tenant_id', $1, TRUE)", mine)
            for table in filled:
                seen = await tx.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
                assert [row[0] for row in seen] == [mine], table
                for change in (f"UPDATE {table} SET tenant_id = $1", f"DELETE FROM {table}"):
                    try:
                        async with tx.transaction() as inner:
                            where = f"{change} WHERE tenant_id = ${2 if '$1' in change else 1}"
                            args = [mine, foreign] if "$1" in change else [foreign]
                            assert (await inner.execute(where, *args)).split()[-1] == "0", table
                    except asyncpg.InsufficientPrivilegeError:
                        pass  # history, or what only reads
            for statement in (
                "INSERT INTO product_categories (tenant_id, id, name, slug) VALUES ($1, gen_random_uuid(), 'x', 'x')",
                "UPDATE products SET tenant_id = $1",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                    async with tx.transaction() as inner:
                        await inner.execute(statement, foreign)
            view = await tx.fetch("SELECT DISTINCT tenant_id FROM customer_orders_summary")
            assert [row[0] for row in view] == [mine]
    assert await fingerprint(db, foreign) == before
