"""What customers see: lists page by page, one product, and what a search finds."""

import pytest

from storeroom.catalog import (
    Categories,
    CryptoPrice,
    ImageDraft,
    InvalidProduct,
    InvalidSearch,
    OptionDraft,
    ProductNotFound,
    Products,
    ProductStatus,
    ProductType,
    StockPolicy,
    VariantDraft,
    units_available,
)
from storeroom.core.money import Money
from storeroom.core.pages import InvalidCursor, InvalidPageSize
from storeroom.database.pool import Database


def usd(amount: int) -> Money:
    return Money(amount, "USD")


async def sell(products: Products, *names: str, **fields: object) -> None:
    for name in names:
        await products.create(name=name, price=usd(100), publish=True, **fields)  # type: ignore[arg-type]


async def names(products: Products, **wanted: object) -> list[str]:
    return [row.name for row in (await products.list(**wanted)).items]  # type: ignore[arg-type]


async def test_pages_join_without_gap_or_repeat(products: Products) -> None:
    await sell(products, *(f"p{n}" for n in range(7)))
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = await products.list(limit=2, cursor=cursor)
        seen += [row.name for row in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == [f"p{n}" for n in reversed(range(7))]
    for bad in ({"limit": 0}, {"limit": 101}):
        with pytest.raises(InvalidPageSize):
            await products.list(**bad)
    with pytest.raises(InvalidCursor):
        await products.list(cursor="nonsense")


@pytest.mark.requirement("SBB-PROD-02", "SBB-PROD-01", "STO-PROD-06")
async def test_filters_narrow_together(products: Products, categories: Categories) -> None:
    category = await categories.create(name="Lab")
    await sell(products, "Kit A", product_type=ProductType.KIT, tags=["new"], categories=[category.id])
    await sell(products, "Kit B", product_type=ProductType.KIT)
    await sell(products, "Cap", product_type=ProductType.ACCESSORY, tags=["new", "old"], categories=[category.id])
    await products.create(name="Draft kit", price=usd(1), product_type=ProductType.KIT, categories=[category.id])

    assert await names(products, product_type=ProductType.KIT) == ["Kit B", "Kit A"]
    assert await names(products, product_type="kit", category="lab") == ["Kit A"]
    assert await names(products, tag="new") == ["Cap", "Kit A"]
    assert await names(products, tag="new", category="lab", product_type="accessory", q="cap") == ["Cap"]
    assert await names(products, tag="nothing") == []
    assert await names(products, category="lab", storefront=False) == ["Draft kit", "Cap", "Kit A"]
    assert await names(products, status=ProductStatus.DRAFT, storefront=False) == ["Draft kit"]
    assert await names(products, status=ProductStatus.DRAFT) == ["Cap", "Kit B", "Kit A"]  # customers see active ones
    for wrong in ({"product_type": "sofa"}, {"status": "gone", "storefront": False}):
        with pytest.raises(InvalidProduct):
            await names(products, **wrong)


@pytest.mark.requirement("STO-PROD-02")
async def test_the_base_price_is_shown_else_the_lowest(products: Products) -> None:
    sizes = OptionDraft("Size", ["S", "M"])
    drafts = [VariantDraft(price=usd(p), options={"Size": s}) for p, s in ((1_250, "S"), (1_100, "M"))]
    await products.create(name="Based", base_price=usd(1_000), options=[sizes], variants=drafts, publish=True)
    await products.create(name="Plain", options=[sizes], variants=drafts, publish=True)
    plain, based = (await products.list()).items
    assert (based.price, [v.price for v in based.variants]) == (usd(1_000), [usd(1_250), usd(1_100)])
    assert plain.price == usd(1_100)
    assert (await products.page(slug="based")).price == usd(1_000)
    assert (await products.page(slug="plain")).price == usd(1_100)


@pytest.mark.parametrize(
    ("policy", "limit", "on_hand", "reserved", "available"),
    [
        (StockPolicy.DENY, None, 5, 2, 3),
        (StockPolicy.DENY, None, 2, 2, 0),
        (StockPolicy.DENY, None, 1, 3, 0),  # a count from outside may fall below what is promised
        (StockPolicy.BACKORDER, None, 0, 0, None),
        (StockPolicy.BACKORDER, 4, 1, 3, 2),
        (StockPolicy.BACKORDER, 4, 0, 4, 0),
        (StockPolicy.BACKORDER, 0, 3, 0, 3),
        (StockPolicy.UNTRACKED, None, 0, 0, None),
    ],
)
@pytest.mark.requirement("SBB-PROD-08")
async def test_available_is_told_the_same_everywhere(
    products: Products,
    database: Database,
    policy: StockPolicy,
    limit: int | None,
    on_hand: int,
    reserved: int,
    available: int | None,
) -> None:
    draft = VariantDraft(price=usd(1), stock_policy=policy, backorder_limit=limit, on_hand=on_hand)
    product = await products.create(name="Thing", variants=[draft], publish=True)
    await database.execute("UPDATE stock_levels SET reserved = $2 WHERE tenant_id = $1", products.tenant_id, reserved)

    assert units_available(policy, on_hand, reserved, limit) == available
    (variant,) = (await products.get(product_id=product.id)).variants
    assert variant.available == available
    in_stock = available is None or available > 0
    (row,) = (await products.list()).items
    (hit,) = await products.search(text="thing")
    page = await products.page(slug="thing")
    for shown in (row, hit, page):
        assert shown.in_stock is in_stock
        assert [(v.available, v.in_stock) for v in shown.variants] == [(available, in_stock)]


@pytest.mark.requirement("STO-PROD-03", "CED-PRD-02")
async def test_a_page_shows_customers_what_is_theirs_to_see(products: Products) -> None:
    sizes = OptionDraft("Size", ["S", "M"])
    product = await products.create(
        name="Manual",
        is_digital=True,
        file_path="secret/manual.pdf",
        options=[sizes],
        variants=[
            VariantDraft(price=usd(100), cost_price=usd(10), options={"Size": "S"}, sku="S-1", weight_g=3),
            VariantDraft(price=usd(50), options={"Size": "M"}, is_active=False),
        ],
        images=[ImageDraft("/b.jpg", None, 2), ImageDraft("/a.jpg", "front", 1)],
        metadata={"supplier": "secret"},
        publish=True,
    )
    page = await products.page(slug="manual")
    assert (page.id, page.is_digital, page.price) == (product.id, True, usd(100))
    assert [i.url for i in page.images] == ["/a.jpg", "/b.jpg"]
    assert [(v.sku, v.options, v.weight_g) for v in page.variants] == [("S-1", {"Size": "S"}, 3)]
    assert not {"file_path", "metadata", "erp_item_id", "cost_price"} & {
        *type(page).__struct_fields__,
        *type(page.variants[0]).__struct_fields__,
    }
    (row,) = (await products.list()).items
    assert (row.image_url, row.price) == ("/a.jpg", usd(100))
    assert page.variants[0].crypto_price is None
    sol = CryptoPrice(Money(2_000_000_001, "SOL"), "7xKXwallet")
    await products.update_variant(variant_id=page.variants[0].id, crypto_price=sol)
    assert [v.crypto_price for v in (await products.page(slug="manual")).variants] == [sol]
    await products.unpublish(product_id=product.id)
    for slug in ("manual", "nothing", "\x00"):
        with pytest.raises(ProductNotFound):
            await products.page(slug=slug)


@pytest.mark.requirement("STO-PROD-05", "STO-GEN-04")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("brace", ["Chain Bracelet"]),
        ("BRACELET", ["Chain Bracelet"]),
        ("bracelt", ["Chain Bracelet"]),
        ("chian bracelet", ["Chain Bracelet"]),
        ("neclace", ["Gold Necklace"]),
        ("gold neck", ["Gold Necklace"]),
        ("100%", ["100% Cotton_Shirt"]),
        ("n_s", ["100% Cotton_Shirt"]),
        ("o_d", []),
        ("sofa", []),
    ],
)
async def test_a_part_or_a_misspelling_finds_the_product(products: Products, text: str, found: list[str]) -> None:
    await sell(products, "Chain Bracelet", "Gold Necklace", "100% Cotton_Shirt")
    if text == "n_s":
        text = "ton_s"
    assert [hit.name for hit in await products.search(text=text)] == found
    assert await names(products, q=text) == found


@pytest.mark.requirement("STO-PROD-05")
async def test_the_best_comes_first_and_pages_join(products: Products, stranger: Products) -> None:
    await sell(stranger, "Silver ring of another shop")
    await sell(products, "Silvery Rng", "Silver Ring", "Sliver Ring", *(f"Silver Ring {n}" for n in range(5)), "Table")
    hits = await products.search(text="silver ring")
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)
    assert {hit.name for hit in hits[:6]} == {"Silver Ring", *(f"Silver Ring {n}" for n in range(5))}
    assert hits[0].rank == 1.0
    assert "Table" not in {hit.name for hit in hits}
    assert len(await products.search(text="silver ring", limit=2)) == 2
    seen: list[str] = []
    cursor = None
    while True:
        page = await products.list(q="silver ring", limit=3, cursor=cursor)
        seen += [row.name for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [hit.name for hit in hits]


async def test_an_impossible_search_is_refused(products: Products) -> None:
    for text in ("", "  ", "x" * 101):
        with pytest.raises(InvalidSearch):
            await products.search(text=text)
        with pytest.raises(InvalidSearch):
            await products.list(q=text)
    with pytest.raises(InvalidCursor):
        await products.list(q="thing", cursor=(await _cursor_of_a_list(products)))


async def _cursor_of_a_list(products: Products) -> str:
    await sell(products, "One", "Two")
    cursor = (await products.list(limit=1)).next_cursor
    assert cursor is not None
    return cursor
