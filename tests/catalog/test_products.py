"""Products: made whole or not at all, changed field by field, moved along their states, deleted but kept."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from desk import Desk
from rivals import race
from storeroom.catalog import (
    PRODUCT_MOVES,
    CategoryNotFound,
    CryptoPrice,
    ImageDraft,
    ImageNotFound,
    InvalidOptions,
    InvalidProduct,
    InvalidVariant,
    OptionDraft,
    OptionValueInUse,
    ProductDeleted,
    ProductExists,
    ProductMoveRefused,
    ProductNotFound,
    Products,
    ProductStatus,
    ProductType,
    SkuTaken,
    SlugTaken,
    StockPolicy,
    StripePriceTaken,
    VariantDraft,
    VariantExists,
    VariantNotFound,
)
from storeroom.core.clock import FixedClock
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import ProductId, VariantId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.database.pool import Database
from storeroom.database.service import Context


def usd(amount: int) -> Money:
    return Money(amount, "USD")


COLORS = OptionDraft("Color", ["Red", "Blue", "Green"])
SIZES = OptionDraft("Size", ["S", "M"])


def shirt(color: str, size: str, price: int = 1_000, **fields: object) -> VariantDraft:
    return VariantDraft(price=usd(price), options={"Color": color, "Size": size}, **fields)  # type: ignore[arg-type]


@pytest.mark.requirement("SBB-PROD-03", "SBB-PROD-12", "STO-PROD-01")
async def test_a_product_of_the_mandatory_fields_has_the_defaults_of_the_documents(products: Products) -> None:
    product = await products.create(name="  BPC-157   5 mg ", price=usd(4_999))

    assert (product.name, product.slug, product.status) == ("BPC-157 5 mg", "bpc-157-5-mg", ProductStatus.DRAFT)
    assert product.product_type is ProductType.PEPTIDE
    assert (product.requires_age_verification, product.requires_kyc) == (True, False)
    assert product.restricted_countries == ["CA", "AU", "GB"]
    assert product.restricted_states is None
    assert (product.is_digital, product.file_path, product.tags, product.metadata) == (False, None, [], {})
    assert (product.base_price, product.published_at, product.deleted_at) == (None, None, None)
    assert (product.current_batch_number, product.current_coa_url) == (None, None)
    assert (product.erp_item_id, product.erp_synced_at) == (None, None)
    (variant,) = product.variants
    assert (variant.title, variant.options, variant.sku, variant.price) == ("Default", {}, None, usd(4_999))
    assert (variant.compare_at_price, variant.cost_price, variant.weight_g) == (None, None, None)
    assert (variant.stock_policy, variant.low_stock_threshold) == (StockPolicy.DENY, 10)
    assert (variant.on_hand, variant.reserved, variant.available) == (0, 0, 0)
    assert variant.is_active


@pytest.mark.requirement("SBB-PROD-03", "STO-PROD-01", "CED-PRD-01", "CED-OP-051", "CED-OP-054")
async def test_a_product_with_every_field_reads_back_equal(products: Products, stranger: Products) -> None:
    product_id = ProductId(new_id())
    made = await products.create(
        product_id=product_id,
        name="Field manual",
        slug="Field-Manual",
        product_type=ProductType.BUNDLE,
        short_description="short",
        description="long",
        vendor="Press",
        tags=["books", " pdf ", "books"],
        base_price=usd(1_000),
        is_digital=True,
        file_path="downloads/manual.pdf",
        requires_age_verification=False,
        requires_kyc=True,
        restricted_states=["ca", "uk-eng"],
        restricted_countries=["uk", "de", "GB"],
        external_id="prod_1",
        memo_template="{product} {order_number}!",
        subscription_config={"period": "month", "every": 1},
        brand_id="brand",
        company_code="1140",
        legacy_id=77,
        metadata={"a": [1, {"b": None}]},
        variants=[
            VariantDraft(
                price=usd(1_250),
                sku="MAN-1",
                barcode="4006381333931",
                compare_at_price=usd(1_500),
                cost_price=usd(400),
                crypto_price=CryptoPrice(Money(12_500_000, "USDC"), "wallet"),
                stripe_price_id="price_1",
                stock_policy=StockPolicy.BACKORDER,
                backorder_limit=5,
                low_stock_threshold=3,
                weight_g=28,
                requires_shipping=False,
                taxable=False,
                image_url="https://example.com/v.jpg",
                metadata={"k": "v"},
                on_hand=7,
            )
        ],
        images=[ImageDraft("https://example.com/1.jpg", "front"), ImageDraft("/files/2.jpg")],
        publish=True,
    )

    assert made.id == product_id
    assert (made.slug, made.tags, made.base_price) == ("field-manual", ["books", "pdf"], usd(1_000))
    assert (made.product_type, made.vendor, made.company_code) == (ProductType.BUNDLE, "Press", "1140")
    assert (made.short_description, made.description, made.brand_id) == ("short", "long", "brand")
    assert (made.is_digital, made.file_path) == (True, "downloads/manual.pdf")
    assert (made.requires_age_verification, made.requires_kyc) == (False, True)
    assert (made.restricted_states, made.restricted_countries) == (["CA", "GB-ENG"], ["GB", "DE"])
    assert (made.external_id, made.legacy_id, made.metadata) == ("prod_1", 77, {"a": [1, {"b": None}]})
    assert made.subscription_config == {"period": "month", "every": 1}
    assert made.active
    assert made.published_at is not None
    assert [(i.url, i.alt_text) for i in made.images] == [
        ("https://example.com/1.jpg", "front"),
        ("/files/2.jpg", None),
    ]
    (variant,) = made.variants
    assert (variant.sku, variant.barcode, variant.price) == ("MAN-1", "4006381333931", usd(1_250))
    assert (variant.compare_at_price, variant.cost_price) == (usd(1_500), usd(400))
    assert variant.crypto_price == CryptoPrice(Money(12_500_000, "USDC"), "wallet")
    assert (variant.stripe_price_id, variant.stock_policy) == ("price_1", StockPolicy.BACKORDER)
    assert (variant.backorder_limit, variant.low_stock_threshold, variant.weight_g) == (5, 3, 28)
    assert (variant.requires_shipping, variant.taxable, variant.image_url) == (
        False,
        False,
        "https://example.com/v.jpg",
    )
    assert (variant.on_hand, variant.available, variant.metadata) == (7, 12, {"k": "v"})
    assert await products.get(product_id=product_id) == made
    for nobodys in (products.get(product_id=ProductId(new_id())), stranger.get(product_id=product_id)):
        with pytest.raises(ProductNotFound):
            await nobodys


@pytest.mark.requirement("CED-OP-052", "CED-OP-054")
async def test_a_product_is_found_by_the_ids_of_others(products: Products, stranger: Products) -> None:
    variant = VariantDraft(price=usd(1), stripe_price_id="price_9")
    made = await products.create(name="One", external_id="ext", variants=[variant])
    await products.create(name="Two", price=usd(2))

    assert await products.by_external_id(external_id="ext") == made
    assert await products.by_stripe_price_id(stripe_price_id="price_9") == made
    assert await products.by_slug(slug="one") == made
    for nobodys in (
        products.by_stripe_price_id(stripe_price_id="price_8"),
        products.by_external_id(external_id="\x00"),
        products.by_slug(slug="three"),
        stranger.by_stripe_price_id(stripe_price_id="price_9"),
        stranger.by_external_id(external_id="ext"),
        stranger.by_slug(slug="one"),
    ):
        with pytest.raises(ProductNotFound):
            await nobodys
    for again, error in (
        ({"product_id": made.id}, ProductExists),
        ({"external_id": "ext"}, ProductExists),
        ({"slug": "one"}, SlugTaken),
    ):
        with pytest.raises(error):
            await products.create(name="Three", price=usd(3), **again)
    with pytest.raises(StripePriceTaken):
        await products.create(name="Three", variants=[variant])
    assert await products.by_slug(slug="one") == made
    with pytest.raises(ProductNotFound):
        await products.by_slug(slug="three")


BAD_PRODUCTS = [
    ("name", {"name": " "}),
    ("name", {"name": "x" * 256}),
    ("name", {"name": "a\x00b"}),
    ("slug", {"slug": "a/b"}),
    ("slug", {"slug": ""}),
    ("slug", {"slug": ".."}),
    ("slug", {"name": "!!!"}),
    ("price", {"price": None}),
    ("price", {"price": usd(-1)}),
    ("price", {"price": usd(1_000_000_000_001)}),
    ("sku", {"sku": "x" * 101}),
    ("on_hand", {"on_hand": -1}),
    ("product_type", {"product_type": "furniture"}),
    ("stock_policy", {"stock_policy": "sometimes"}),
    ("base_price", {"base_price": usd(-1)}),
    ("tags", {"tags": [f"t{n}" for n in range(251)]}),
    ("tags", {"tags": "not a list"}),
    ("restricted_countries", {"restricted_countries": ["Canada"]}),
    ("restricted_countries", {"restricted_countries": ["XX"]}),
    ("restricted_states", {"restricted_states": ["California"]}),
    ("memo_template", {"memo_template": "{password}"}),
    ("metadata", {"metadata": {"k": "x" * 70_000}}),
    ("metadata", {"metadata": {"k": "a\x00b"}}),
    ("legacy_id", {"legacy_id": 2**63}),
    ("images.url", {"images": [ImageDraft("javascript:alert(1)")]}),
    ("images", {"images": [ImageDraft(f"/{n}.jpg") for n in range(251)]}),
    ("variants", {"variants": [shirt("Red", "S")] * 251, "price": None}),
    ("price", {"variants": [shirt("Red", "S")], "options": [COLORS, SIZES]}),
    ("variants", {"options": [COLORS]}),
]


@pytest.mark.requirement("SBB-PROD-01", "SBB-PROD-02", "SBB-PROD-05")
@pytest.mark.parametrize(("field", "fields"), BAD_PRODUCTS, ids=[f"{f}-{n}" for n, (f, _) in enumerate(BAD_PRODUCTS)])
async def test_what_cannot_be_is_refused_by_name(products: Products, field: str, fields: dict[str, object]) -> None:
    with pytest.raises((InvalidProduct, InvalidVariant)) as refused:
        await products.create(**{"name": "Thing", "price": usd(1), **fields})  # type: ignore[arg-type]

    assert refused.value.field == field
    assert (await products.list(storefront=False)).items == []


async def test_prices_are_in_the_currency_of_the_shop(products: Products) -> None:
    for fields in ({"price": Money(1, "EUR")}, {"price": usd(1), "base_price": Money(1, "EUR")}):
        with pytest.raises(CurrencyMismatch):
            await products.create(name="Thing", **fields)


@pytest.mark.requirement("SBB-PROD-05")
async def test_the_database_itself_refuses_a_price_below_zero_and_takes_a_free_item(
    products: Products, database: Database
) -> None:
    product = await products.create(name="Sticker", price=usd(0))
    assert product.variants[0].price == usd(0)
    with pytest.raises(asyncpg.CheckViolationError, match="products_price_positive"):
        await database.execute(
            "UPDATE product_variants SET price = -1 WHERE tenant_id = $1 AND id = $2",
            products.tenant_id,
            product.variants[0].id,
        )


@pytest.mark.requirement("CED-PRD-02")
async def test_a_crypto_price_is_whole_and_its_token_known(products: Products, database: Database) -> None:
    for crypto in (
        CryptoPrice(Money(1, "XXQ"), "w"),
        CryptoPrice(Money(1, "USDC"), " "),
        CryptoPrice(Money(-1, "SOL"), "w"),
    ):
        with pytest.raises(InvalidVariant, match="crypto_price"):
            await products.create(name="Thing", variants=[VariantDraft(price=usd(1), crypto_price=crypto)])
    product = await products.create(name="Thing", price=usd(1), memo_template="Pay {product} {order_number} {sku}")
    assert product.memo(order_number="7KQP") == "Pay Thing 7KQP "
    with pytest.raises(asyncpg.CheckViolationError, match="crypto_whole"):
        await database.execute(
            "UPDATE product_variants SET crypto_amount = 5 WHERE tenant_id = $1 AND product_id = $2",
            products.tenant_id,
            product.id,
        )


@pytest.mark.requirement("CED-OP-055")
async def test_update_changes_what_is_given_and_leaves_the_rest(products: Products) -> None:
    made = await products.create(name="Old", price=usd(5), tags=["a"], restricted_states=["NY"], vendor="V")

    changed = await products.update(product_id=made.id, name="New", tags=["b"], restricted_countries=None, vendor=None)

    assert (changed.name, changed.slug, changed.tags, changed.vendor) == ("New", "old", ["b"], None)
    assert (changed.restricted_states, changed.restricted_countries) == (["NY"], None)
    assert changed.updated_at > made.updated_at
    assert (changed.created_at, changed.status, changed.variants) == (made.created_at, made.status, made.variants)
    with pytest.raises(ProductNotFound):
        await products.update(product_id=ProductId(new_id()), name="X")
    with pytest.raises(InvalidProduct) as refused:
        await products.update(product_id=made.id, name="Newer", nonsense=1)  # type: ignore[call-arg]
    assert "nonsense" in str(refused.value)
    other = await products.create(name="Other", price=usd(5))
    with pytest.raises(SlugTaken):
        await products.update(product_id=made.id, slug=other.slug)
    assert await products.get(product_id=made.id) == changed
    assert len((await products.list(storefront=False)).items) == 2


@pytest.mark.requirement("SBB-PROD-15", "CED-OP-053", "CED-OP-056", "STO-PROD-06")
async def test_a_deleted_product_vanishes_from_lists_and_stays_for_old_orders(
    products: Products, stranger: Products
) -> None:
    kept = await products.create(name="Kept", price=usd(5), publish=True)
    gone = await products.create(name="Gone", price=usd(5), publish=True)
    await products.create(name="Draft", price=usd(5))
    await stranger.create(name="Theirs", price=usd(5), publish=True)

    await products.delete(product_id=gone.id)
    await products.delete(product_id=gone.id)

    assert [p.id for p in (await products.list()).items] == [kept.id]
    assert [p.name for p in (await products.list(storefront=False)).items] == ["Draft", "Kept"]
    with pytest.raises(ProductNotFound):
        await products.page(slug="gone")
    assert await products.search(text="gone") == []
    still = await products.get(product_id=gone.id)
    assert (still.active, still.status, still.name) == (False, ProductStatus.DISCONTINUED, "Gone")
    assert still.deleted_at is not None
    assert still.variants == gone.variants
    with pytest.raises(ProductMoveRefused):
        await products.publish(product_id=gone.id)
    with pytest.raises(ProductDeleted):
        await products.update(product_id=gone.id, name="Back")
    with pytest.raises(ProductNotFound):
        await products.delete(product_id=ProductId(new_id()))
    with pytest.raises(ProductNotFound):
        await stranger.delete(product_id=kept.id)


MOVES = {
    ProductStatus.ACTIVE: "publish",
    ProductStatus.DRAFT: "unpublish",
    ProductStatus.DISCONTINUED: "discontinue",
    ProductStatus.OUT_OF_STOCK: "set_out_of_stock",
}
ROADS = {
    ProductStatus.DRAFT: [],
    ProductStatus.ACTIVE: ["publish"],
    ProductStatus.DISCONTINUED: ["discontinue"],
    ProductStatus.OUT_OF_STOCK: ["publish", "set_out_of_stock"],
}


@pytest.mark.requirement("SBB-PROD-01", "SBB-PROD-15")
@pytest.mark.parametrize(("start", "to"), list(itertools.product(ProductStatus, repeat=2)))
async def test_every_status_against_every_other(products: Products, start: ProductStatus, to: ProductStatus) -> None:
    product = await products.create(name="Thing", price=usd(1))
    for step in ROADS[start]:
        product = await getattr(products, step)(product_id=product.id)
    assert product.status is start

    if to in PRODUCT_MOVES[start]:
        assert (await getattr(products, MOVES[to])(product_id=product.id)).status is to
    else:
        with pytest.raises(ProductMoveRefused) as refused:
            await getattr(products, MOVES[to])(product_id=product.id)
        assert (refused.value.current, refused.value.wanted) == (start, to)
        assert await products.get(product_id=product.id) == product


async def test_the_database_knows_the_same_states(database: Database) -> None:
    for kind, members in (
        ("product_status", ProductStatus),
        ("product_type", ProductType),
        ("stock_policy", StockPolicy),
    ):
        labels = await database.fetchval(f"SELECT enum_range(NULL::{kind})::TEXT[]")
        assert labels == [str(member) for member in members]


@pytest.mark.requirement("SBB-PROD-15")
async def test_the_first_publication_stays(context: Context) -> None:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    products = Products(msgspec.structs.replace(context, clock=clock))
    product = await products.create(name="Thing", price=usd(1))
    first = (await products.publish(product_id=product.id)).published_at
    await products.unpublish(product_id=product.id)
    clock.move(timedelta(days=3))
    again = await products.publish(product_id=product.id)
    assert first == again.published_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.requirement("SBB-PROD-07", "STO-PROD-04", "SBB-PROD-06", "STO-VAR-05")
@pytest.mark.parametrize(
    ("one", "two", "error"),
    [({"slug": "same"}, {"slug": "same"}, SlugTaken), ({"sku": "S-1"}, {"sku": "S-1"}, SkuTaken)],
)
async def test_two_at_once_leave_one(
    products: Products, database: Database, one: dict[str, str], two: dict[str, str], error: type[StoreroomError]
) -> None:
    outcome = await race(
        database,
        lambda tx: products.bound(tx).create(name="First", price=usd(1), **one),
        lambda: products.create(name="Second", price=usd(1), **two),
    )
    assert isinstance(outcome, error)
    assert [p.name for p in (await products.list(storefront=False)).items] == ["First"]
    stray = "SELECT count(*) FROM stock_levels WHERE tenant_id = $1"
    assert await database.fetchval(stray, products.tenant_id) == 1


@pytest.mark.requirement("STO-VAR-05")
async def test_many_variants_may_have_no_sku(products: Products) -> None:
    for name in ("One", "Two", "Three"):
        await products.create(name=name, price=usd(1))
    assert len((await products.list(storefront=False)).items) == 3


@pytest.mark.requirement("STO-VAR-01", "STO-VAR-06", "SBB-PROD-08")
async def test_a_variant_is_born_with_its_stock_and_the_movement_that_explains_it(
    products: Products, database: Database
) -> None:
    product = await products.create(
        name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M", 1_250, on_hand=3)]
    )
    (variant,) = product.variants
    assert (variant.title, variant.price, variant.on_hand) == ("Red / M", usd(1_250), 3)
    added = await products.add_variant(product_id=product.id, variant=shirt("Red", "S"))
    assert (added.on_hand, added.position) == (0, 2)
    movements = await database.fetch(
        "SELECT variant_id, kind, quantity, on_hand_after, actor_kind FROM stock_movements WHERE tenant_id = $1",
        products.tenant_id,
    )
    assert [tuple(row) for row in movements] == [(variant.id, "initial", 3, 3, "system")]
    assert await database.fetchval("SELECT count(*) FROM stock_levels WHERE tenant_id = $1", products.tenant_id) == 2


@pytest.mark.requirement("STO-VAR-01")
async def test_removing_a_product_row_takes_its_parts_with_it(products: Products, database: Database) -> None:
    product = await products.create(
        name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M", on_hand=3)], images=[ImageDraft("/1.jpg")]
    )
    await database.execute("DELETE FROM products WHERE tenant_id = $1 AND id = $2", products.tenant_id, product.id)
    for table in ("product_variants", "product_options", "product_images", "stock_levels"):
        assert await database.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", products.tenant_id) == 0


@pytest.mark.requirement("STO-VAR-01", "SBB-PROD-15", "CED-OP-056")
async def test_an_order_keeps_what_it_sold(context: Context, database: Database) -> None:
    """The row cannot be removed under an order; deleted by staff, the order still resolves it and its line shows it."""
    products = Products(context)
    product = await products.create(
        name="Shirt", price=usd(500), sku="S", on_hand=1, publish=True, requires_age_verification=False
    )
    desk = Desk(database, context.tenant_id, context)
    order = await desk.place((product.variants[0].id, 1))
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="order_items_variant_fkey"):
        await database.execute("DELETE FROM products WHERE tenant_id = $1 AND id = $2", context.tenant_id, product.id)

    await products.delete(product_id=product.id)

    (line,) = await desk.orders.items(order_id=order.id)
    assert line.product_name == "Shirt"
    assert (await products.get(product_id=line.product_id)).variants[0].id == line.variant_id
    assert (await products.list()).items == []


@pytest.mark.requirement("STO-OPT-01", "STO-OPT-02", "STO-VAR-02", "STO-VAR-03")
async def test_options_and_values_keep_their_order_and_make_the_titles(products: Products) -> None:
    product = await products.create(
        name="Shirt",
        options=[COLORS, SIZES],
        variants=[VariantDraft(price=usd(1), options={"Size": "M", "Color": "Red"}), shirt("Blue", "S")],
    )
    assert [(o.name, o.values) for o in product.options] == [
        ("Color", ["Red", "Blue", "Green"]),
        ("Size", ["S", "M"]),
    ]
    assert [v.title for v in product.variants] == ["Red / M", "Blue / S"]
    assert product.variants[0].options == {"Color": "Red", "Size": "M"}

    turned = await products.set_options(
        product_id=product.id, options=[OptionDraft("Size", ["M", "S", "XL"]), OptionDraft("Color", ["Blue", "Red"])]
    )
    assert [(o.name, o.values) for o in turned.options] == [("Size", ["M", "S", "XL"]), ("Color", ["Blue", "Red"])]
    assert [v.title for v in turned.variants] == ["M / Red", "S / Blue"]
    assert {o.name: o.id for o in turned.options} == {o.name: o.id for o in product.options}


@pytest.mark.requirement("STO-OPT-02")
@pytest.mark.parametrize("options", [[OptionDraft("Color", ["Blue"]), SIZES], [SIZES], []])
async def test_a_value_that_a_variant_has_cannot_go(products: Products, options: list[OptionDraft]) -> None:
    product = await products.create(name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M")])
    await products.deactivate_variant(variant_id=product.variants[0].id)  # it may be sold again
    before = await products.get(product_id=product.id)
    with pytest.raises(OptionValueInUse) as refused:
        await products.set_options(product_id=product.id, options=options)
    assert (refused.value.option, refused.value.value) == ("Color", "Red")
    assert await products.get(product_id=product.id) == before


async def test_a_product_without_options_can_get_some(products: Products) -> None:
    product = await products.create(name="Shirt", price=usd(1), sku="S")
    grown = await products.set_options(product_id=product.id, options=[COLORS, SIZES])
    assert [(v.id, v.title, v.sku) for v in grown.variants] == [(product.variants[0].id, "Red / S", "S")]


@pytest.mark.parametrize(
    "options",
    [
        [OptionDraft("Color", [])],
        [OptionDraft("Color", ["Red", "Red"])],
        [OptionDraft("Color", ["Red"]), OptionDraft("Color", ["Blue"])],
        [OptionDraft(" ", ["Red"])],
        [OptionDraft("x" * 51, ["Red"])],
        [OptionDraft("Color", [str(n) for n in range(201)])],
        [OptionDraft(f"O{n}", ["Red"]) for n in range(11)],
    ],
)
async def test_impossible_options_are_refused(products: Products, options: list[OptionDraft]) -> None:
    product = await products.create(name="Shirt", price=usd(1))
    with pytest.raises(InvalidOptions):
        await products.set_options(product_id=product.id, options=options)


@pytest.mark.requirement("STO-VAR-03")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"Color": "Red"}, InvalidVariant),
        ({"Color": "Black", "Size": "M"}, InvalidVariant),
        ({"Color": "Red", "Size": "M", "Material": "Wool"}, InvalidVariant),
        ({}, InvalidVariant),
        ({"Size": "M", "Color": "Red"}, VariantExists),
    ],
)
async def test_a_variant_chooses_what_the_product_offers_and_nobody_else_has(
    products: Products, options: dict[str, str], error: type[StoreroomError]
) -> None:
    product = await products.create(
        name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M"), shirt("Red", "S")]
    )
    with pytest.raises(error):
        await products.add_variant(product_id=product.id, variant=VariantDraft(price=usd(1), options=options))
    with pytest.raises(error):
        await products.update_variant(variant_id=product.variants[1].id, options=options)
    assert await products.get(product_id=product.id) == product


@pytest.mark.requirement("STO-VAR-03")
async def test_the_same_choice_twice_at_once_is_made_once(products: Products, database: Database) -> None:
    product = await products.create(name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M")])
    outcome = await race(
        database,
        lambda tx: products.bound(tx).add_variant(product_id=product.id, variant=shirt("Blue", "M")),
        lambda: products.add_variant(product_id=product.id, variant=shirt("Blue", "M")),
    )
    assert isinstance(outcome, VariantExists)
    assert outcome.title == "Blue / M"
    assert len((await products.get(product_id=product.id)).variants) == 2


async def test_a_value_cannot_go_while_a_rival_adds_a_variant_of_it(products: Products, database: Database) -> None:
    product = await products.create(name="Shirt", options=[COLORS, SIZES], variants=[shirt("Red", "M")])
    outcome = await race(
        database,
        lambda tx: products.bound(tx).add_variant(product_id=product.id, variant=shirt("Blue", "M")),
        lambda: products.set_options(product_id=product.id, options=[OptionDraft("Color", ["Red"]), SIZES]),
    )
    assert isinstance(outcome, OptionValueInUse)


async def test_a_variant_is_changed_field_by_field(products: Products, stranger: Products) -> None:
    product = await products.create(name="Shirt", price=usd(1_000), sku="A", on_hand=4)
    (variant,) = product.variants
    changed = await products.update_variant(variant_id=variant.id, price=usd(900), sku="B", weight_g=200)
    assert (changed.price, changed.sku, changed.weight_g, changed.on_hand) == (usd(900), "B", 200, 4)
    assert changed.updated_at > variant.updated_at
    assert await products.variant_by_sku(sku="B") == await products.variant(variant_id=variant.id) == changed
    off = await products.deactivate_variant(variant_id=variant.id)
    assert not off.is_active
    assert (await products.activate_variant(variant_id=variant.id)).is_active
    for nobodys in (
        products.variant_by_sku(sku="A"),
        products.variant(variant_id=VariantId(new_id())),
        stranger.variant(variant_id=variant.id),
        stranger.variant_by_sku(sku="B"),
        stranger.update_variant(variant_id=variant.id, price=usd(1)),
    ):
        with pytest.raises(VariantNotFound):
            await nobodys
    for fields in ({"price": usd(-1)}, {"backorder_limit": 3}, {"weight_g": -1}, {"price": None}, {"nonsense": 1}):
        with pytest.raises(InvalidVariant):
            await products.update_variant(variant_id=variant.id, **fields)
    assert (await products.variant(variant_id=variant.id)).price == usd(900)


@pytest.mark.requirement("SBB-PROD-04", "STO-VAR-04")
@pytest.mark.parametrize(("compare_at", "shown"), [(1_001, True), (1_000, False), (999, False), (None, False)])
async def test_a_sale_is_shown_only_above_the_price(products: Products, compare_at: int | None, shown: bool) -> None:
    was = None if compare_at is None else usd(compare_at)
    draft = VariantDraft(price=usd(1_000), compare_at_price=was, cost_price=usd(377))
    product = await products.create(name="Shirt", variants=[draft], publish=True)
    assert product.variants[0].on_sale is shown
    assert product.variants[0].margin == usd(623)
    expected = was if shown else None
    assert (await products.page(slug="shirt")).variants[0].compare_at_price == expected
    assert (await products.list()).items[0].variants[0].compare_at_price == expected


@pytest.mark.parametrize("quantity", [1, 250])
async def test_a_product_has_at_most_so_many_variants(products: Products, quantity: int) -> None:
    values = OptionDraft("N", [str(n) for n in range(200)])
    more = OptionDraft("M", ["a", "b"])
    pairs = [(n, m) for m in more.values for n in values.values][:quantity]
    drafts = [VariantDraft(price=usd(1), options={"N": n, "M": m}) for n, m in pairs]
    product = await products.create(name="Many", options=[values, more], variants=drafts)
    assert len(product.variants) == quantity
    extra = VariantDraft(price=usd(1), options={"N": "199", "M": "b"})
    if quantity < 250:
        await products.add_variant(product_id=product.id, variant=extra)
    else:
        with pytest.raises(InvalidVariant, match="at most 250"):
            await products.add_variant(product_id=product.id, variant=extra)


async def test_images_are_shown_in_order_and_once(products: Products, stranger: Products) -> None:
    product = await products.create(name="Shirt", price=usd(1), images=[ImageDraft("/1.jpg"), ImageDraft("/2.jpg")])
    third = await products.add_image(product_id=product.id, image=ImageDraft("/3.jpg"))
    again = await products.add_image(product_id=product.id, image=ImageDraft("/1.jpg", "now first", 0))
    shown = (await products.get(product_id=product.id)).images
    assert [(i.url, i.alt_text) for i in shown] == [("/1.jpg", "now first"), ("/2.jpg", None), ("/3.jpg", None)]
    assert again.id == product.images[0].id
    await products.remove_image(product_id=product.id, image_id=third.id)
    assert len((await products.get(product_id=product.id)).images) == 2
    with pytest.raises(ImageNotFound):
        await products.remove_image(product_id=product.id, image_id=third.id)
    with pytest.raises(ProductNotFound):
        await stranger.add_image(product_id=product.id, image=ImageDraft("/3.jpg"))


async def test_create_is_all_or_nothing(products: Products, database: Database) -> None:
    await products.create(name="Taken", price=usd(1), sku="S")
    with pytest.raises(SkuTaken):
        await products.create(name="New", price=usd(1), sku="S", images=[ImageDraft("/1.jpg")])
    with pytest.raises(CategoryNotFound):
        await products.create(name="New", price=usd(1), categories=[new_id()])  # type: ignore[list-item]
    for table in ("products", "product_variants", "stock_levels"):
        assert await database.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", products.tenant_id) == 1


async def test_two_changes_of_one_product_do_not_undo_each_other(products: Products) -> None:
    product = await products.create(name="Shirt", price=usd(1))
    await asyncio.gather(
        products.update(product_id=product.id, vendor="V"), products.update(product_id=product.id, tags=["t"])
    )
    changed = await products.get(product_id=product.id)
    assert (changed.vendor, changed.tags) == ("V", ["t"])
