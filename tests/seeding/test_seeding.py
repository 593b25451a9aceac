"""Seeds by environment: in order, once, again after a change, and never made-up data in production."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from storeroom.carts import Visitor
from storeroom.core.ids import PaymentMethodId, UserId
from storeroom.core.money import Money
from storeroom.database.service import Actor, ActorKind
from storeroom.doctor import examine
from storeroom.flows.model import Purchase, PurchaseLine
from storeroom.identity import InvalidCredentials, UserRole, UserStatus
from storeroom.orders import OrderStatus
from storeroom.promotions import CouponNotApplicable, Line
from storeroom.room import Storeroom
from storeroom.seeding import (
    TABLES,
    Environment,
    EnvironmentRefused,
    Planted,
    SeedClash,
    SeedFileInvalid,
    SeedFilesMissing,
    SeedSecretMissing,
    UnknownEnvironment,
    environment_of,
    plant,
    plant_file,
    seed_id,
    seeds_folder,
)

SECRET = "a secret of the tests, long enough for signing"
ADMIN = {"STOREROOM_ADMIN_EMAIL": "Boss@Example.com", "STOREROOM_ADMIN_PASSWORD": "a long password"}
COUNTED = (
    "payment_methods",
    "product_categories",
    "products",
    "product_options",
    "product_variants",
    "stock_levels",
    "stock_movements",
    "product_category_assignments",
    "product_batches",
    "users",
    "user_profiles",
    "user_addresses",
    "coupons",
    "shipping_rates",
    "order_status_labels",
    "orders",
    "payments",
    "seeds_planted",
)


@pytest.fixture
async def room(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Storeroom]:
    """An empty, migrated database of the test's own: seeds make the shop too."""
    async with Storeroom.open(await fresh_database(), secret=SECRET) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the seeds, to be altered."""
    return Path(shutil.copytree(seeds_folder(), tmp_path / "seeds"))


async def fetch(room: Storeroom, sql: str, *args: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await room.db.fetch(room.db.names.render(sql), *args)]


async def contents(room: Storeroom) -> dict[str, list[str]]:
    """What every table that seeds fill holds, without its instants."""
    rows = "SELECT to_jsonb(t) - 'updated_at' - 'created_at' FROM {%s} t WHERE tenant_id = 'default' ORDER BY 1"
    return {table: [str(row[0]) for row in await fetch(room, rows % table)] for table in COUNTED}


def alter(file: Path, before: str, after: str) -> None:
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


def files_of(planted: list[Planted]) -> set[str]:
    return {section.file for section in planted}


@pytest.mark.requirement("SBB-SEED-01", "SBB-SEED-06")
async def test_tables_are_planted_in_the_order_that_they_need_and_it_is_recorded(room: Storeroom) -> None:
    """010_test_users comes before 011_test_products by number, and after it in planting: products come first."""
    planted = await plant(room, Environment.DEVELOPMENT)

    assert [p.sequence for p in planted] == list(range(1, len(planted) + 1))
    order = list(dict.fromkeys(p.table for p in planted))
    assert order == [table for table in TABLES if table in order]
    assert order[:9] == [
        "payment_methods",
        "payment_gateways",
        "product_categories",
        "products",
        "product_batches",
        "users",
        "user_profiles",
        "user_addresses",
        "discounts",
    ]
    recorded = await fetch(room, "SELECT name FROM {seeds_planted} WHERE tenant_id = 'default' ORDER BY sequence")
    assert [row[0] for row in recorded] == [f"{p.file}:{p.table}" for p in planted]
    assert {
        "development/010_test_users.toml",
        "development/011_test_products.toml",
        "development/012_test_orders.toml",
    } <= files_of(planted)


@pytest.mark.requirement("SBB-SEED-02")
async def test_planting_again_changes_nothing(room: Storeroom) -> None:
    await plant(room, Environment.DEVELOPMENT)
    before = await contents(room)
    assert all(before.values())

    unchanged = await plant(room, Environment.DEVELOPMENT)
    assert all(section.unchanged for section in unchanged)
    assert await contents(room) == before

    forced = await plant(room, Environment.DEVELOPMENT, again=True)
    assert not any(section.unchanged for section in forced)
    assert await contents(room) == before


@pytest.mark.requirement("SBB-SEED-02")
async def test_an_altered_seed_changes_its_row_and_doubles_nothing(room: Storeroom, folder: Path) -> None:
    await plant(room, Environment.DEVELOPMENT, folder=folder)
    before = await contents(room)
    shop = room.tenant()
    zelle = await shop.payment_methods.get_by_code(code="zelle")
    alter(folder / "base" / "001_payment_methods.toml", 'email = "payments@example.com"', 'email = "till@example.com"')
    alter(folder / "base" / "001_payment_methods.toml", 'name = "Zelle"', 'name = "Zelle transfer"')
    alter(folder / "development" / "011_test_products.toml", "Stoneware Mug", "Stoneware Cup")
    alter(folder / "development" / "011_test_products.toml", 'price = "54.00"', 'price = "57.50"')

    await plant(room, Environment.DEVELOPMENT, folder=folder)

    after = await contents(room)
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in before.items()}
    changed = await shop.payment_methods.get_by_code(code="zelle")
    assert (changed.id, changed.name, changed.payment_details["email"]) == (
        zelle.id,
        "Zelle transfer",
        "till@example.com",
    )
    assert changed.updated_at > zelle.updated_at
    assert (await shop.products.by_slug(slug="stoneware-mug")).name == "Stoneware Cup"
    assert (await shop.products.variant_by_sku(sku="KETTLE-1L")).price == Money(5750, "USD")


async def test_what_the_shop_changed_stays_where_its_file_is_as_it_was(room: Storeroom, folder: Path) -> None:
    """An operator's own address for payments is not overwritten by each deployment."""
    await plant(room, Environment.BASE, folder=folder)
    methods = room.tenant().payment_methods
    zelle = await methods.get_by_code(code="zelle")
    mine = {"email": "me@shop.example", "recipient_name": "Me"}
    await methods.update(method_id=zelle.id, payment_details=mine)
    alter(folder / "base" / "002_product_categories.toml", 'name = "Kits"', 'name = "Sets"')

    planted = await plant(room, Environment.BASE, folder=folder)

    assert {p.table for p in planted if not p.unchanged} == {"product_categories"}
    assert (await methods.get_by_code(code="zelle")).payment_details == mine


@pytest.mark.requirement("SBB-SEED-03")
async def test_zelle_can_be_chosen_and_keeps_its_id(room: Storeroom) -> None:
    await plant(room, Environment.BASE)
    methods = room.tenant().payment_methods
    (zelle,) = [m for m in await methods.offered(total=Money(5000, "USD")) if m.code == "zelle"]

    assert zelle.id == PaymentMethodId(seed_id("default", "payment_methods", "pm_zelle_001"))
    assert (zelle.method_type, zelle.name) == ("zelle", "Zelle")
    assert zelle.instructions
    assert "@" in zelle.payment_details["email"]
    await plant(room, Environment.BASE, again=True)
    assert (await methods.get_by_code(code="zelle")).id == zelle.id
    assert seed_id("other", "payment_methods", "pm_zelle_001") != zelle.id


@pytest.mark.requirement("SBB-SEED-04", "SBB-SEED-07")
async def test_staging_gets_base_and_staging_in_the_order_of_numbers(room: Storeroom) -> None:
    planted = await plant(room, Environment.STAGING)

    assert sorted(files_of(planted)) == [
        "base/001_payment_methods.toml",
        "base/002_product_categories.toml",
        "base/003_order_statuses.toml",
        "staging/010_staging_users.toml",
    ]
    assert (await room.tenant().users.by_email(email="staging-admin@example.com")).role is UserRole.ADMIN
    assert await fetch(room, "SELECT 1 FROM {products} WHERE tenant_id = 'default'") == []
    with pytest.raises(UnknownEnvironment) as refused:
        environment_of("prod")
    assert refused.value.known == ["base", "development", "staging", "production"]


@pytest.mark.requirement("SBB-SEED-04")
async def test_files_of_one_table_go_by_their_numbers(room: Storeroom, folder: Path) -> None:
    """The later file may build on the earlier one; two files of one number are nobody's order."""
    later = folder / "base" / "020_more_categories.toml"
    later.write_text(
        '[[product_categories]]\nkey = "cat_child"\nname = "Child"\nslug = "child"\nparent = "cat_kits"\n', "utf-8"
    )
    planted = await plant(room, Environment.BASE, folder=folder)
    sections = [p.file for p in planted if p.table == "product_categories"]
    assert sections == ["base/002_product_categories.toml", "base/020_more_categories.toml"]

    later.rename(folder / "base" / "002_more_categories.toml")
    with pytest.raises(SeedFileInvalid, match="same number"):
        await plant(room, Environment.BASE, folder=folder)
    (folder / "base" / "002_more_categories.toml").rename(folder / "base" / "more.toml")
    with pytest.raises(SeedFileInvalid, match="010_test_users"):
        await plant(room, Environment.BASE, folder=folder)


@pytest.mark.requirement("SBB-SEED-05")
@pytest.mark.parametrize("environment", list(Environment))
async def test_every_environment_has_methods_categories_and_all_order_statuses(
    room: Storeroom, environment: Environment
) -> None:
    await plant(room, environment, variables=ADMIN)
    shop = room.tenant()
    assert {m.code for m in await shop.payment_methods.list()} >= {"zelle", "wire", "cod"}
    assert {c.slug for c in await shop.categories.tree()} >= {"peptides", "kits", "accessories", "bundles"}
    labels = await fetch(
        room, "SELECT status, label, description FROM {order_status_labels} WHERE tenant_id = 'default'"
    )
    assert {row[0] for row in labels} == {status.value for status in OrderStatus}
    assert all(row[1] and row[2] for row in labels)
    statuses = {label.status: label.label for label in await shop.orders.status_labels()}
    assert statuses[OrderStatus.PENDING_PAYMENT] == "Waiting for payment"


@pytest.mark.requirement("SBB-SEED-06")
async def test_gateways_wait_for_who_has_an_account_there(room: Storeroom) -> None:
    await plant(room, Environment.DEVELOPMENT)
    gateways = room.tenant().gateways
    listed = await gateways.list()
    assert [(each.id, each.kind, each.is_active, each.is_test_mode) for each in listed] == [
        (name, name, False, True) for name in ("sslcommerz", "amarpay", "cod")
    ]
    await gateways.activate(gateway_id="cod")
    await gateways.update(gateway_id="amarpay", config={"store_id": "ours"})
    await plant(room, Environment.DEVELOPMENT, again=True)
    assert [each.id for each in await gateways.offered()] == ["cod"]
    assert (await gateways.get(gateway_id="amarpay")).config == {"store_id": "ours"}


async def test_the_development_shop_is_real_and_sound(room: Storeroom) -> None:
    """Its orders were placed and moved as real ones: the doctor finds nothing, and the shop sells."""
    await plant(room, Environment.DEVELOPMENT)
    shop = room.tenant()

    broken = [result for result in await examine(room.db) if result.broken]
    assert broken == []
    counts = dict(
        await fetch(room, "SELECT status::text, count(*) FROM {orders} WHERE tenant_id = 'default' GROUP BY 1")
    )
    assert counts == {"delivered": 1, "shipped": 1, "processing": 1, "pending_payment": 3, "cancelled": 1}
    review = await shop.acting(actor=Actor(kind=ActorKind.ADMIN)).payments.pending_review()
    assert len(review.items) == 1
    mug = await shop.products.variant_by_sku(sku="MUG-OAT")
    assert (mug.on_hand, mug.reserved) == (28, 0)  # thirty, and two were delivered
    kettle = await shop.products.variant_by_sku(sku="KETTLE-1L")
    assert (kettle.on_hand, kettle.reserved) == (14, 1)  # ordered, not shipped
    peptide = await shop.products.by_slug(slug="bpc-157-reference-standard")
    assert peptide.current_batch_number == "BPC-2604-B"  # the newest verified one

    plain = Purchase(
        lines=[PurchaseLine(sku="BEANIE")],
        email="new@example.com",
        name="New Buyer",
        shipping_address=(await shop.addresses.list(user_id=UserId(seed_id("default", "users", "usr_ben"))))[0].address,
        payment_method="zelle",
    )
    placement = await shop.checkout.place(plain, visitor=Visitor())
    assert placement.order.total == Money(3540, "USD")  # with standard shipping


@pytest.mark.requirement("SBB-SEED-01")
async def test_discounts_are_planted_after_what_they_name_and_keep_their_uses(room: Storeroom, folder: Path) -> None:
    await plant(room, Environment.DEVELOPMENT, folder=folder)
    shop = room.tenant()
    (kept,) = (await shop.coupons.all_auto_apply()).by_product
    assert kept == seed_id("default", "products", "prd_liqueur")
    lines = [Line(kept, 10_000), Line(seed_id("default", "products", "prd_tee"), 5_000)]
    done = await shop.coupons.preview(lines=lines, currency="USD", codes=["welcome10", "fiveoff"])
    assert [(each.code, each.amount) for each in done.taken] == [
        ("COLDBREW15", 1500),
        ("WELCOME10", 1350),
        ("FIVEOFF", 500),
    ]
    with pytest.raises(CouponNotApplicable):
        await shop.coupons.preview(lines=lines, currency="USD", codes=["SPRING25"])

    await shop.coupons.increment_usage(code="FIVEOFF")
    await shop.coupons.delete(code="WELCOME10")
    alter(folder / "development" / "013_test_discounts.toml", 'amount = "5.00"', 'amount = "6.00"')
    await plant(room, Environment.DEVELOPMENT, folder=folder)
    changed = await shop.coupons.get(code="FIVEOFF")
    assert (changed.amount, changed.usage_count) == (Money(600, "USD"), 1)
    assert not (await shop.coupons.get(code="WELCOME10")).is_active


async def test_test_users_have_a_password_only_where_one_is_configured(room: Storeroom) -> None:
    shop = room.tenant()
    await plant(room, Environment.DEVELOPMENT)
    for guess in ("STOREROOM_SEED_PASSWORD", "password12", "ada@example.com"):
        with pytest.raises(InvalidCredentials):
            await shop.sessions.sign_in(email="ada@example.com", password=guess)

    other = room.tenant("second")
    await plant(
        room, Environment.DEVELOPMENT, tenant_id="second", variables={"STOREROOM_SEED_PASSWORD": "for all of them"}
    )
    assert (await other.sessions.sign_in(email="ada@example.com", password="for all of them")).user.full_name
    assert (await other.users.by_email(email="egon@example.com")).status is UserStatus.SUSPENDED


@pytest.mark.requirement("SBB-SEED-08")
async def test_production_gets_one_administrator_and_no_test_data(room: Storeroom) -> None:
    await plant(room, Environment.PRODUCTION, variables=ADMIN)
    shop = room.tenant()

    users = await fetch(room, "SELECT email, role FROM {users} WHERE tenant_id = 'default'")
    assert users == [("boss@example.com", "super_admin")]
    for table in ("products", "orders", "user_addresses", "shipping_rates"):
        assert await fetch(room, f"SELECT 1 FROM {{{table}}} WHERE tenant_id = 'default'") == []
    signed_in = await shop.sessions.sign_in(email="boss@example.com", password="a long password")
    assert signed_in.user.role is UserRole.SUPER_ADMIN

    await plant(
        room, Environment.PRODUCTION, variables=ADMIN | {"STOREROOM_ADMIN_PASSWORD": "another password"}, again=True
    )
    await shop.sessions.sign_in(email="boss@example.com", password="a long password")  # still


@pytest.mark.requirement("SBB-SEED-08")
@pytest.mark.parametrize("missing", sorted(ADMIN))
async def test_production_without_its_secret_plants_nothing(room: Storeroom, missing: str) -> None:
    given = {name: value for name, value in ADMIN.items() if name != missing}
    with pytest.raises(SeedSecretMissing) as refused:
        await plant(room, Environment.PRODUCTION, variables=given)
    assert refused.value.variable == missing
    assert not any((await contents(room)).values())


async def test_a_secret_that_is_too_short_is_refused(room: Storeroom) -> None:
    with pytest.raises(SeedFileInvalid, match=r"production/001_admin_user.toml: users: .*10"):
        await plant(room, Environment.PRODUCTION, variables=ADMIN | {"STOREROOM_ADMIN_PASSWORD": "short"})
    assert not any((await contents(room)).values())


@pytest.mark.requirement("SBB-SEED-06", "SBB-SEED-07")
@pytest.mark.parametrize("made_up", [Environment.DEVELOPMENT, Environment.STAGING])
async def test_made_up_data_and_production_keep_apart(room: Storeroom, made_up: Environment) -> None:
    await plant(room, Environment.PRODUCTION, variables=ADMIN)
    before = await contents(room)
    with pytest.raises(EnvironmentRefused):
        await plant(room, made_up)
    assert await contents(room) == before

    await plant(room, made_up, tenant_id="try")
    with pytest.raises(EnvironmentRefused):
        await plant(room, Environment.PRODUCTION, tenant_id="try", variables=ADMIN)


@pytest.mark.requirement("SBB-SEED-09")
async def test_the_example_file_goes_into_a_seeded_database_twice(room: Storeroom) -> None:
    await plant(room, Environment.DEVELOPMENT)
    example = seeds_folder() / "example" / "data.toml"
    first = await plant_file(room, example)
    assert [p.table for p in first] == ["products", "users", "user_profiles", "user_addresses", "orders"]
    before = await contents(room)

    await plant_file(room, example)
    assert all(p.unchanged is False for p in await plant_file(room, example, again=True))

    assert await contents(room) == before
    assert (await room.tenant().orders.by_purchase(source="seed", purchase_id="ord_example")).total_amount is not None
    assert [result.name for result in await examine(room.db) if result.broken] == []


CATEGORY = '[[product_categories]]\nkey = "a"\nname = "A"\nslug = "a"\n'
PRODUCT = '[[products]]\nkey = "a"\nname = "A"\nslug = "a"\n'
BATCH = """
[[product_batches]]
key = "a"
product = "nothing"
batch_number = "1"
quantity_produced = 1
coa_file_url = "https://example.com/1"
manufactured_at = 2026-01-01
expires_at = 2027-01-01
"""
ORDER = """
[[orders]]
key = "a"
email = "a@example.com"
name = "A"
payment_method = "zelle"
lines = [{ sku = "NONE" }]
"""
BAD_FILES = {
    "no such table": ('[[coupons]]\nkey = "a"\n', "coupons"),
    "no TOML": ("[[products", "Expected"),
    "an unknown field": (CATEGORY + 'colour = "red"\n', "colour"),
    "a key twice": (CATEGORY + CATEGORY, "twice"),
    "a parent that is nowhere": (CATEGORY + 'parent = "b"\n', "product_categories"),
    "a wrong option": (
        PRODUCT + 'variants = [{ sku = "A", price = "1.00", options = { Size = "S" } }]\n',
        "options other than",
    ),
    "half a cent": (PRODUCT + 'variants = [{ sku = "A", price = "1.005" }]\n', "products: .*decimals"),
    "a batch of nothing": (BATCH, "products"),
    "a status that is none": ('[[order_statuses]]\nstatus = "lost"\nlabel = "Lost"\ndescription = "x"\n', "lost"),
    "an order that cannot be": (ORDER, "checkout."),
}


@pytest.mark.parametrize(("text", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_wrong_file_is_refused_whole(room: Storeroom, tmp_path: Path, text: str, says: str) -> None:
    await plant(room, Environment.BASE)
    before = await contents(room)
    file = tmp_path / "mine.toml"
    file.write_text('[[product_categories]]\nkey = "good"\nname = "Good"\nslug = "good"\n\n' + text, "utf-8")
    with pytest.raises(SeedFileInvalid, match=says):
        await plant_file(room, file)
    assert await contents(room) == before


async def test_a_row_of_the_shops_own_is_not_doubled(room: Storeroom, folder: Path) -> None:
    await plant(room, Environment.BASE)
    await room.tenant().products.create(name="A mug", slug="stoneware-mug", price=Money(100, "USD"))
    with pytest.raises(SeedClash, match="products_slug_unique"):
        await plant(room, Environment.DEVELOPMENT)
    with pytest.raises(SeedFilesMissing):
        await plant(room, Environment.BASE, folder=folder / "nowhere")
