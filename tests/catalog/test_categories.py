"""The tree of categories stays a tree, also when two move its branches at once, and a product has one primary place."""

import asyncio
from collections.abc import Sequence

import pytest

from rivals import race
from storeroom.catalog import (
    Categories,
    Category,
    CategoryCycle,
    CategoryNode,
    CategoryNotFound,
    CategorySlugTaken,
    InvalidCategory,
    Product,
    ProductNotFound,
    Products,
)
from storeroom.core.ids import CategoryId, ProductId, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database, Transaction


def shape(nodes: Sequence[CategoryNode]) -> dict[str, object]:
    return {node.name: shape(node.children) for node in nodes}


async def sell(products: Products, name: str = "Shirt") -> Product:
    return await products.create(name=name, price=Money(1, "USD"), publish=True)


@pytest.mark.requirement("SBB-CAT-01", "STO-CAT-01", "STO-CAT-02")
async def test_three_levels_are_read_in_sort_order(categories: Categories) -> None:
    shop = {}
    for name, parent, order in (
        ("Clothes", None, 2),
        ("Shirts", "Clothes", 1),
        ("Hats", "Clothes", 0),
        ("Silk", "Shirts", 5),
        ("Linen", "Shirts", 4),
        ("Books", None, 1),
        ("Art", "Books", 0),
        ("Ads", "Books", 0),
    ):
        parent_id = shop[parent].id if parent else None
        shop[name] = await categories.create(name=name, parent_id=parent_id, sort_order=order, description=name)

    tree = await categories.tree()

    assert shape(tree) == {
        "Books": {"Ads": {}, "Art": {}},
        "Clothes": {"Hats": {}, "Shirts": {"Linen": {}, "Silk": {}}},
    }
    assert [node.name for node in tree] == ["Books", "Clothes"]
    assert [node.name for node in tree[0].children] == ["Ads", "Art"]
    assert [node.name for node in tree[1].children[1].children] == ["Linen", "Silk"]
    silk = shop["Silk"]
    assert [c.name for c in await categories.path(category_id=silk.id)] == ["Clothes", "Shirts", "Silk"]
    assert await categories.get(category_id=silk.id) == silk == await categories.by_slug(slug="silk")
    assert (silk.slug, silk.description, silk.sort_order, silk.is_active) == ("silk", "Silk", 5, True)
    assert silk.parent_id == shop["Shirts"].id


@pytest.mark.requirement("STO-CAT-02")
async def test_a_category_never_becomes_its_own_ancestor(categories: Categories) -> None:
    a, b, c = await branch(categories, "a", "b", "c")
    for parent in (a, b, c):
        with pytest.raises(CategoryCycle):
            await categories.move(category_id=a.id, parent_id=parent.id)
    assert shape(await categories.tree()) == {"a": {"b": {"c": {}}}}

    await categories.move(category_id=c.id, parent_id=None)
    await categories.move(category_id=a.id, parent_id=c.id)
    assert shape(await categories.tree()) == {"c": {"a": {"b": {}}}}


async def branch(categories: Categories, *names: str) -> list[Category]:
    made: list[Category] = []
    for name in names:
        made.append(await categories.create(name=name, parent_id=made[-1].id if made else None))
    return made


@pytest.mark.requirement("STO-CAT-02")
async def test_two_moves_at_once_close_no_circle(categories: Categories, database: Database) -> None:
    """Each of the two alone is fine; the second sees what the first did, since it waits for it."""
    a, b = [await categories.create(name=name) for name in ("a", "b")]
    outcome = await race(
        database,
        lambda tx: categories.bound(tx).move(category_id=a.id, parent_id=b.id),
        lambda: categories.move(category_id=b.id, parent_id=a.id),
    )
    assert isinstance(outcome, CategoryCycle)
    assert shape(await categories.tree()) == {"b": {"a": {}}}


async def test_control_two_moves_without_the_lock_do_close_a_circle(categories: Categories, database: Database) -> None:
    a, b = [await categories.create(name=name) for name in ("a", "b")]
    move = "UPDATE product_categories SET parent_id = $3 WHERE tenant_id = $1 AND id = $2"
    free = "SELECT parent_id IS NULL FROM product_categories WHERE tenant_id = $1 AND id = $2"
    async with database.transaction() as one, database.transaction() as two:
        for tx, moved, parent in ((one, a, b), (two, b, a)):
            assert await tx.fetchval(free, categories.tenant_id, parent.id)
            await tx.execute(move, categories.tenant_id, moved.id, parent.id)
    assert shape(await categories.tree()) == {}


async def test_the_tree_has_a_depth(categories: Categories) -> None:
    deep = await branch(categories, *(f"c{n}" for n in range(16)))
    with pytest.raises(InvalidCategory, match="16 deep"):
        await categories.create(name="one more", parent_id=deep[-1].id)
    pair = await branch(categories, "x", "y")
    with pytest.raises(InvalidCategory, match="16 deep"):
        await categories.move(category_id=pair[0].id, parent_id=deep[14].id)
    await categories.move(category_id=pair[0].id, parent_id=deep[13].id)
    assert len(await categories.path(category_id=pair[1].id)) == 16


@pytest.mark.requirement("SBB-CAT-02", "STO-CAT-03")
async def test_a_slug_is_given_once(categories: Categories, database: Database) -> None:
    outcome = await race(
        database,
        lambda tx: categories.bound(tx).create(name="First", slug="same"),
        lambda: categories.create(name="Second", slug="Same"),
    )
    assert isinstance(outcome, CategorySlugTaken)
    assert [node.name for node in await categories.tree()] == ["First"]
    other = await categories.create(name="Other")
    with pytest.raises(CategorySlugTaken):
        await categories.update(category_id=other.id, slug="same")


@pytest.mark.requirement("STO-CAT-03", "STO-CAT-01")
async def test_an_inactive_category_is_hidden_with_what_is_below_it(categories: Categories, products: Products) -> None:
    _, b, c = await branch(categories, "a", "b", "c")
    product = await sell(products)
    await categories.assign(product_id=product.id, category_id=c.id)
    await categories.deactivate(category_id=b.id)

    assert shape(await categories.tree()) == {"a": {}}
    assert shape(await categories.tree(active_only=False)) == {"a": {"b": {"c": {}}}}
    assert (await products.list(category="a")).items == []
    with pytest.raises(CategoryNotFound):
        await products.list(category="b")
    assert len((await products.list(category="b", storefront=False)).items) == 1
    assert [ref.slug for ref in (await products.page(slug="shirt")).categories] == ["c"]

    await categories.activate(category_id=b.id)
    assert len((await products.list(category="a")).items) == 1
    await categories.deactivate(category_id=c.id)
    assert (await products.page(slug="shirt")).categories == []


async def test_a_category_is_changed_field_by_field(categories: Categories) -> None:
    made = await categories.create(name="Old", description="text", sort_order=3)
    changed = await categories.update(category_id=made.id, name="New", description=None)
    assert (changed.name, changed.slug, changed.description, changed.sort_order) == ("New", "old", None, 3)
    assert changed.updated_at > made.updated_at
    for field, value in (("name", ""), ("slug", "a b"), ("sort_order", 2**31), ("nonsense", 1), ("name", "x" * 101)):
        with pytest.raises(InvalidCategory):
            await categories.update(category_id=made.id, **{field: value})  # type: ignore[arg-type]
    assert await categories.get(category_id=made.id) == changed


async def test_what_is_not_there_or_not_ours_is_not_found(
    categories: Categories, products: Products, stranger: Products
) -> None:
    ours = await categories.create(name="Ours")
    product = await sell(products)
    nobody = CategoryId(new_id())
    theirs = Categories(stranger.context)
    for call in (
        categories.get(category_id=nobody),
        categories.by_slug(slug="nothing"),
        categories.path(category_id=nobody),
        categories.update(category_id=nobody, name="X"),
        categories.move(category_id=nobody, parent_id=None),
        categories.move(category_id=nobody, parent_id=ours.id),
        categories.move(category_id=ours.id, parent_id=nobody),
        categories.create(name="X", parent_id=nobody),
        categories.assign(product_id=product.id, category_id=nobody),
        categories.set_primary(product_id=product.id, category_id=ours.id),
        products.list(category="nothing"),
        theirs.get(category_id=ours.id),
        theirs.path(category_id=ours.id),
        theirs.update(category_id=ours.id, name="X"),
        theirs.move(category_id=ours.id, parent_id=None),
        theirs.create(name="X", parent_id=ours.id),
    ):
        with pytest.raises(CategoryNotFound):
            await call
    for call in (
        categories.assign(product_id=ProductId(new_id()), category_id=ours.id),
        theirs.assign(product_id=product.id, category_id=ours.id),
    ):
        with pytest.raises(ProductNotFound):
            await call


@pytest.mark.requirement("SBB-CAT-03", "STO-PROD-06")
async def test_a_product_is_found_through_each_of_its_categories(
    categories: Categories, products: Products, database: Database
) -> None:
    a, b = [await categories.create(name=name) for name in ("a", "b")]
    below = await categories.create(name="below", parent_id=b.id)
    product = await sell(products)
    for category in (a, below, a):
        await categories.assign(product_id=product.id, category_id=category.id)

    for slug in ("a", "b", "below"):
        assert [found.id for found in (await products.list(category=slug)).items] == [product.id]
    rows = "SELECT count(*) FROM product_category_assignments WHERE tenant_id = $1"
    assert await database.fetchval(rows, products.tenant_id) == 2
    await categories.unassign(product_id=product.id, category_id=below.id)
    await categories.unassign(product_id=product.id, category_id=below.id)
    assert (await products.list(category="b")).items == []
    await database.execute("DELETE FROM product_categories WHERE tenant_id = $1 AND slug = 'a'", products.tenant_id)
    assert await database.fetchval(rows, products.tenant_id) == 0


@pytest.mark.requirement("SBB-CAT-04")
async def test_one_category_of_a_product_is_primary(categories: Categories, products: Products) -> None:
    shelves = [await categories.create(name=name) for name in "abc"]
    product = await sell(products)

    async def primary() -> list[str]:
        return [c.name for c in (await products.get(product_id=product.id)).categories if c.is_primary]

    for category in shelves:
        await categories.assign(product_id=product.id, category_id=category.id)
    assert await primary() == ["a"]
    await categories.set_primary(product_id=product.id, category_id=shelves[1].id)
    assert await primary() == ["b"]
    await categories.assign(product_id=product.id, category_id=shelves[2].id, is_primary=True)
    assert await primary() == ["c"]
    await categories.unassign(product_id=product.id, category_id=shelves[2].id)
    assert await primary() == ["a"]


@pytest.mark.requirement("SBB-CAT-04")
async def test_two_at_once_make_one_primary(categories: Categories, products: Products, database: Database) -> None:
    a, b, c = [await categories.create(name=name) for name in "abc"]
    product = await sell(products)
    for category in (a, b, c):
        await categories.assign(product_id=product.id, category_id=category.id)

    async def first(tx: Transaction) -> None:
        await categories.bound(tx).set_primary(product_id=product.id, category_id=b.id)

    outcome = await race(database, first, lambda: categories.set_primary(product_id=product.id, category_id=c.id))

    assert outcome is None
    assert [ref.name for ref in (await products.get(product_id=product.id)).categories if ref.is_primary] == ["c"]
    await asyncio.gather(
        *(categories.set_primary(product_id=product.id, category_id=one.id) for one in (a, b, c, a, b, c))
    )
    assert sum(ref.is_primary for ref in (await products.get(product_id=product.id)).categories) == 1
