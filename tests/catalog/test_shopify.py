"""The import of product files: what is read, what a second import changes, what is refused and where."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from storeroom.catalog import (
    Categories,
    ImportProgress,
    ImportReport,
    OptionDraft,
    Product,
    Products,
    ProductStatus,
    ProductType,
    StockPolicy,
    UnreadableFile,
    VariantDraft,
    import_products,
)
from storeroom.catalog.shopify import ERRORS_KEPT_MAX
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.database.service import Context
from storeroom.tenants import Tenants

FIXTURES = Path(__file__).parent / "fixtures"
SHOP = FIXTURES / "shop.csv"


def usd(amount: int) -> Money:
    return Money(amount, "USD")


async def whole(products: Products) -> list[Product]:
    rows = (await products.list(storefront=False, limit=100)).items
    return [await products.get(product_id=row.id) for row in rows]


async def load(products: Products, text: str) -> ImportReport:
    return await import_products(products, io.BytesIO(text.encode()))


async def test_a_file_becomes_products_that_can_be_sold(products: Products, categories: Categories) -> None:
    report = await import_products(products, SHOP)

    assert report.ok
    assert (report.rows, report.products_created, report.products_updated) == (7, 4, 0)
    assert (report.variants_created, report.images, report.categories_created) == (6, 3, 2)

    shirt = await products.by_slug(slug="linen-shirt")
    assert (shirt.name, shirt.vendor, shirt.tags) == ("Linen Shirt", "Weavers", ["summer", "linen"])
    assert shirt.description == '<p>Soft,\nwashed "linen".</p>'
    assert shirt.active
    assert shirt.product_type is ProductType.ACCESSORY
    assert (shirt.requires_age_verification, shirt.restricted_countries, shirt.is_digital) == (False, None, False)
    assert [(o.name, o.values) for o in shirt.options] == [("Color", ["Red", "Blue"]), ("Size", ["M", "L"])]
    assert [(i.url[-8:], i.alt_text, i.position) for i in shirt.images] == [
        ("ls-1.jpg", "Front", 1),
        ("ls-2.jpg", None, 2),
        ("ls-3.jpg", None, 3),
    ]
    assert [(c.slug, c.is_primary) for c in shirt.categories] == [("shirts", True)]
    red, large, blue = shirt.variants
    assert [v.title for v in shirt.variants] == ["Red / M", "Red / L", "Blue / M"]
    assert [v.sku for v in shirt.variants] == ["LS-RED-M", "LINEN-SHIRT-RED-L", "LINEN-SHIRT-BLUE-M"]
    assert (red.price, red.compare_at_price, red.cost_price) == (usd(4_990), usd(5_990), usd(1_250))
    assert (red.weight_g, red.barcode, red.on_hand, red.stock_policy) == (210, "4006381333931", 4, StockPolicy.DENY)
    assert red.image_url == "https://img.example/ls-red.jpg"
    assert (red.on_sale, large.on_sale, large.available) == (True, False, 0)
    assert (blue.stock_policy, blue.available, blue.taxable, blue.price) == (
        StockPolicy.BACKORDER,
        None,
        False,
        usd(5_200),
    )

    card = await products.by_slug(slug="gift-card")
    assert (card.options, card.is_digital, card.categories) == ([], True, [])
    (variant,) = card.variants
    assert (variant.title, variant.sku, variant.requires_shipping) == ("Default", "GIFT-CARD", False)
    assert (variant.stock_policy, variant.on_hand, variant.available) == (StockPolicy.UNTRACKED, 9, None)

    cap = await products.by_slug(slug="wool-cap")
    assert (cap.status, cap.published_at) == (ProductStatus.DRAFT, None)
    scarf = await products.by_slug(slug="old-scarf")
    assert (scarf.status, scarf.variants[0].on_hand) == (ProductStatus.DISCONTINUED, 0)
    assert [node.name for node in await categories.tree()] == ["Caps", "Shirts"]


async def test_a_second_import_of_the_same_file_changes_nothing(products: Products, database: Database) -> None:
    await import_products(products, SHOP)
    before = await whole(products)

    report = await import_products(products, SHOP)

    assert (report.products_created, report.products_updated) == (0, 4)
    assert (report.variants_created, report.variants_updated, report.images) == (0, 6, 0)
    assert await whole(products) == before
    kinds = "SELECT kind, count(*) FROM stock_movements WHERE tenant_id = $1 GROUP BY kind"
    assert [tuple(row) for row in await database.fetch(kinds, products.tenant_id)] == [("initial", 4)]


async def test_a_later_file_brings_products_in_line_and_leaves_what_it_does_not_carry(
    products: Products, categories: Categories, database: Database
) -> None:
    await import_products(products, SHOP)
    shirt = await products.by_slug(slug="linen-shirt")
    await products.update(product_id=shirt.id, requires_age_verification=True, short_description="ours")
    await products.update_variant(variant_id=shirt.variants[0].id, low_stock_threshold=2)
    own = await categories.create(name="Own")
    await categories.assign(product_id=shirt.id, category_id=own.id, is_primary=True)

    report = await load(
        products,
        "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price,"
        "Variant Inventory Qty,Variant Compare At Price,Type,Status\n"
        "linen-shirt,Linen Shirt II,Size,M,Color,Red,LS-RED-M,45,9,,Tops,draft\n"
        "linen-shirt,,,XL,,Green,,45,1,,,\n",
    )

    assert report.ok, report.errors
    assert (report.products_updated, report.variants_created, report.variants_updated) == (1, 1, 1)
    after = await products.by_slug(slug="linen-shirt")
    assert (after.id, after.name, after.status) == (shirt.id, "Linen Shirt II", ProductStatus.DRAFT)
    assert (after.vendor, after.short_description, after.requires_age_verification) == ("Weavers", "ours", True)
    assert after.published_at == shirt.published_at
    assert [(o.name, o.values) for o in after.options] == [
        ("Size", ["M", "XL", "L"]),
        ("Color", ["Red", "Green", "Blue"]),
    ]
    red = next(v for v in after.variants if v.id == shirt.variants[0].id)
    assert (red.price, red.compare_at_price, red.on_hand, red.low_stock_threshold) == (usd(4_500), None, 9, 2)
    assert (red.title, red.weight_g) == ("M / Red", 210)
    assert len(after.variants) == 4
    assert [(c.slug, c.is_primary) for c in after.categories] == [("own", True), ("shirts", False), ("tops", False)]
    movements = await database.fetch(
        "SELECT kind, quantity, on_hand_after FROM stock_movements"
        " WHERE tenant_id = $1 AND variant_id = $2 ORDER BY id",
        products.tenant_id,
        red.id,
    )
    assert [tuple(row) for row in movements] == [("initial", 4, 4), ("import", 5, 9)]


async def test_what_cannot_be_imported_is_reported_with_its_line_and_the_rest_is_imported(products: Products) -> None:
    report = await import_products(products, FIXTURES / "faults.csv")

    assert [(e.line, e.handle, e.column) for e in report.errors] == [
        (4, "good", "Variant Price"),
        (5, "good", "Variant Inventory Qty"),
        (6, "good", "Option1 Value"),
        (7, "good", "Variant SKU"),
        (8, "good", "Variant Price"),
        (9, "good", "Image Src"),
        (10, "", "Handle"),
        (11, "nameless", "Title"),
        (12, "strange", "Status"),
        (13, "bad/handle", "Handle"),
        (14, "priceless", "Variant Price"),
        (15, "", "Status"),
    ]
    assert report.errors_count == 12
    assert not report.ok
    assert all(error.reason for error in report.errors)
    assert sorted(product.slug for product in await whole(products)) == ["good", "last"]
    good = await products.by_slug(slug="good")
    assert good.name == "Good product"
    assert [(v.title, v.sku) for v in good.variants] == [("S", "G-S")]
    assert [i.url for i in good.images] == ["https://img.example/g.jpg"]
    (last,) = (await products.by_slug(slug="last")).variants
    assert (last.on_hand, last.on_sale) == (3, False)


async def test_rows_of_a_product_that_lie_apart_belong_together(products: Products) -> None:
    text = (
        "Handle,Title,Option1 Name,Option1 Value,Variant Price,Image Src\n"
        "shirt,Shirt,Size,S,10,\n"
        "cap,Cap,Title,Default Title,5,\n"
        "shirt,,,M,10,https://img.example/m.jpg\n"
    )
    first = await load(products, text)
    assert first.ok, first.errors
    assert (first.products_created, first.products_updated, first.variants_created) == (2, 1, 3)
    before = await whole(products)
    assert sorted(v.title for v in (await products.by_slug(slug="shirt")).variants) == ["M", "S"]

    again = await load(products, text)
    assert (again.products_created, again.variants_created) == (0, 0)
    strip = [[(v.id, v.title, v.sku, v.price) for v in p.variants] for p in before]
    assert [[(v.id, v.title, v.sku, v.price) for v in p.variants] for p in await whole(products)] == strip


async def test_skus_are_made_once_and_never_collide(products: Products) -> None:
    long = "x" * 120
    text = (
        "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\n"
        "a,A,Size,B C,1,\na,,,B-C,1,\nb,B,Title,Default Title,1,A-B-C\n"
        f"{long},Long,Size,S,1,\n{long},,,M,1,\n"
    )
    assert (await load(products, text)).ok
    skus = {v.sku for p in await whole(products) for v in p.variants}
    assert len(skus) == 5
    assert None not in skus
    made = [v.sku for v in (await products.by_slug(slug="a")).variants]
    assert all(sku is not None and sku.startswith("A-B-C-") for sku in made[1:])
    assert (await load(products, text)).variants_created == 0
    assert {v.sku for p in await whole(products) for v in p.variants} == skus


async def test_variants_may_exchange_their_skus(products: Products) -> None:
    head = "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\n"
    await load(products, f"{head}a,A,Size,S,1,ONE\na,,,M,1,TWO\n")
    report = await load(products, f"{head}a,A,Size,S,1,TWO\na,,,M,1,ONE\n")
    assert report.ok, report.errors
    assert [(v.title, v.sku) for v in (await products.by_slug(slug="a")).variants] == [("S", "TWO"), ("M", "ONE")]


async def test_a_variant_that_kept_its_sku_may_change_its_options(products: Products) -> None:
    await load(products, "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\na,A,Size,S,1,ONE\n")
    before = (await products.by_slug(slug="a")).variants[0]
    report = await load(
        products, "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\na,A,Colour,Red,1,ONE\n"
    )
    assert report.ok, report.errors
    after = (await products.by_slug(slug="a")).variants
    assert [(v.id, v.options) for v in after] == [(before.id, {"Colour": "Red"})]


async def test_options_cannot_change_under_a_variant_that_the_file_lacks(products: Products) -> None:
    product = await products.create(
        name="A",
        options=[OptionDraft("Size", ["S", "M"])],
        variants=[VariantDraft(price=usd(1), options={"Size": size}) for size in ("S", "M")],
    )
    report = await load(products, "Handle,Title,Option1 Name,Option1 Value,Variant Price\na,A,Colour,Red,1\n")
    assert [(e.line, e.column) for e in report.errors] == [(2, "Option1 Value")]
    after = await products.get(product_id=product.id)
    assert (after.options, after.variants) == (product.options, product.variants)


async def test_a_product_that_gets_options_keeps_its_one_variant(products: Products) -> None:
    head = "Handle,Title,Option1 Name,Option1 Value,Variant Price\n"
    await load(products, f"{head}a,A,Title,Default Title,1\n")
    before = (await products.by_slug(slug="a")).variants[0]
    report = await load(products, f"{head}a,A,Size,S,1\na,,,M,1\n")
    assert report.ok, report.errors
    after = (await products.by_slug(slug="a")).variants
    assert [(v.title, v.id == before.id) for v in after] == [("S", True), ("M", False)]


async def test_a_sku_of_another_product_and_a_deleted_product_are_refused(products: Products) -> None:
    await products.create(name="Mine", price=usd(1), sku="MINE")
    gone = await products.create(name="Gone", price=usd(1))
    await products.delete(product_id=gone.id)
    report = await load(
        products,
        "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\n"
        "new,New,Title,Default Title,1,MINE\ngone,Gone,Title,Default Title,1,\n",
    )
    assert [(e.line, e.column) for e in report.errors] == [(2, "Variant SKU"), (3, "Handle")]
    assert (report.products_created, report.products_updated) == (0, 0)
    assert [p.slug for p in await whole(products)] == ["mine"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"Title,Variant Price\nA,1\n", 1),
        (b"Handle;Title\na;A\n", 1),
        ("Handle,Title\na,A\n".encode("utf-16"), 1),
        ("Handle,Title,Variant Price\na,A,1\nb,Caf\xe9,1\n".encode("latin-1"), 3),
        (b'Handle,Title,Variant Price\na,A,1\nb,"B,1\n', 3),
    ],
    ids=["empty", "no handle", "semicolons", "utf-16", "latin-1", "open quote"],
)
async def test_what_is_no_product_file_is_refused(products: Products, content: bytes, line: int) -> None:
    with pytest.raises(UnreadableFile) as refused:
        await import_products(products, io.BytesIO(content))
    assert refused.value.line == line
    assert await whole(products) == []


async def test_a_mark_at_the_beginning_and_other_line_ends_are_fine(products: Products) -> None:
    text = "\ufeffHandle,Title,Variant Price\r\na,Ä,1\r\n\r\nb,B,x\r\n"
    report = await load(products, text)
    assert [(e.line, e.column) for e in report.errors] == [(4, "Variant Price")]
    assert (await products.by_slug(slug="a")).name == "Ä"


async def test_prices_are_read_in_the_currency_of_the_shop(context: Context, database: Database) -> None:
    tenants = Tenants(database)
    tenant = await tenants.create(f"{context.tenant_id}_jp", name="Tokyo", currency="JPY")
    products = Products(Context(db=database, tenant_id=tenant.tenant_id, tenants=tenants.cache))
    report = await load(products, "Handle,Title,Variant Price\na,A,500\nb,B,5.50\n")
    assert [(e.line, e.column) for e in report.errors] == [(3, "Variant Price")]
    assert (await products.by_slug(slug="a")).variants[0].price == Money(500, "JPY")


async def test_errors_are_all_counted_and_the_first_kept(products: Products) -> None:
    rows = "".join(f"p{n},P{n},x\n" for n in range(ERRORS_KEPT_MAX + 5))
    report = await load(products, f"Handle,Title,Variant Price\n{rows}")
    assert (report.errors_count, len(report.errors)) == (ERRORS_KEPT_MAX + 5, ERRORS_KEPT_MAX)


async def test_progress_is_told_after_each_lot(products: Products) -> None:
    told: list[ImportProgress] = []
    remember: Callable[[ImportProgress], None] = told.append
    text = "Handle,Title,Variant Price\n" + "".join(f"p{n},P{n},1\n" for n in range(120))
    await import_products(products, io.BytesIO(text.encode()), on_progress=remember)
    assert len(told) == 3
    assert [p.rows for p in told] == sorted(p.rows for p in told)
    assert (told[-1].rows, told[-1].bytes_read, told[-1].bytes_total) == (120, len(text), len(text))


async def test_two_imports_at_once_make_each_product_once(products: Products) -> None:
    text = "Handle,Title,Variant Price,Type\n" + "".join(f"p{n},P{n},1,T{n % 3}\n" for n in range(150))
    reports = await asyncio.gather(*(load(products, text) for _ in range(3)))
    assert all(report.ok for report in reports), [report.errors[:3] for report in reports]
    assert sum(report.products_created for report in reports) == 150
    assert sum(report.variants_created for report in reports) == 150
    assert sum(report.categories_created for report in reports) == 3
