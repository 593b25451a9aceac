"""The tree of categories, and which products stand where."""

from typing import Any, TypedDict, Unpack

from storeroom.audit import audited
from storeroom.catalog import queries
from storeroom.catalog.drafts import CategoryDraft, category_row, checked
from storeroom.catalog.errors import (
    CategoryCycle,
    CategoryNotFound,
    CategorySlugTaken,
    InvalidCategory,
    ProductNotFound,
)
from storeroom.catalog.model import (
    CATEGORIES_MAX,
    CATEGORY_DEPTH_MAX,
    Category,
    CategoryLink,
    CategoryNode,
    category_tree,
)
from storeroom.core.ids import CategoryId, ProductId, new_id
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional


class CategoryFields(TypedDict, total=False):
    """What of a category can be given or changed beside its name and slug; its place is changed by `move`."""

    description: str | None
    sort_order: int
    is_active: bool


class Categories(Service):
    """The categories of a shop."""

    @audited("catalog.create_category", "category")
    @transactional
    async def create(
        self,
        *,
        name: str,
        slug: str | None = None,
        parent_id: CategoryId | None = None,
        **fields: Unpack[CategoryFields],
    ) -> Category:
        """Make a category, at the root or below another.

        Raises:
            InvalidCategory: `field` says which part; also when there are CATEGORIES_MAX, or it would stand too deep.
            CategorySlugTaken: another category has the slug.
            CategoryNotFound: no such parent.
        """
        links = await queries.lock_categories(self.db, tenant_id=self.tenant_id)
        if len(links) >= CATEGORIES_MAX:
            raise InvalidCategory(field="name", reason=f"a shop has at most {CATEGORIES_MAX} categories")
        category_id = CategoryId(new_id())
        if parent_id is not None:
            _check_place([*links, CategoryLink(category_id, None)], category_id, parent_id)
        draft = checked(CategoryDraft, {"name": name, "slug": slug, **fields}, InvalidCategory)
        row = category_row(draft)
        with violations({"product_categories_slug_unique": lambda: CategorySlugTaken(slug=row["slug"])}):
            return await queries.add_category(
                self.db, tenant_id=self.tenant_id, category_id=category_id, parent_id=parent_id, **row
            )

    @audited("catalog.update_category", "category", "category_id")
    @transactional
    async def update(
        self,
        *,
        category_id: CategoryId,
        name: str | None = None,
        slug: str | None = None,
        **fields: Unpack[CategoryFields],
    ) -> Category:
        """Change what is given and leave the rest.

        Raises:
            CategoryNotFound: the tenant has no such category.
            InvalidCategory: `field` says which part. Nothing was written.
            CategorySlugTaken: another category has the slug.
        """
        category = await queries.lock_category(self.db, tenant_id=self.tenant_id, category_id=category_id)
        if category is None:
            raise CategoryNotFound(category=category_id)
        changes: dict[str, Any] = dict(fields)
        changes |= {key: value for key, value in (("name", name), ("slug", slug)) if value is not None}
        before = {field: getattr(category, field) for field in CategoryDraft.__struct_fields__}
        row = category_row(checked(CategoryDraft, before | changes, InvalidCategory))
        with violations({"product_categories_slug_unique": lambda: CategorySlugTaken(slug=row["slug"])}):
            updated = await queries.update_category(self.db, tenant_id=self.tenant_id, category_id=category_id, **row)
        return _there(updated, category_id)

    async def activate(self, *, category_id: CategoryId) -> Category:
        """Show it in the shop again."""
        return await self.update(category_id=category_id, is_active=True)

    async def deactivate(self, *, category_id: CategoryId) -> Category:
        """Hide it, and what stands below it, from the shop."""
        return await self.update(category_id=category_id, is_active=False)

    @audited("catalog.move_category", "category", "category_id")
    @transactional
    async def move(self, *, category_id: CategoryId, parent_id: CategoryId | None) -> Category:
        """Put a category, with all below it, under another or at the root.

        Raises:
            CategoryNotFound: one of the two is not there.
            CategoryCycle: the new parent is the category itself or stands below it, also by a move that committed
                while this one waited.
            InvalidCategory: something would stand deeper than CATEGORY_DEPTH_MAX.
        """
        links = await queries.lock_categories(self.db, tenant_id=self.tenant_id)
        if parent_id is not None:
            _check_place(links, category_id, parent_id)
        moved = await queries.move_category(
            self.db, tenant_id=self.tenant_id, category_id=category_id, parent_id=parent_id
        )
        return _there(moved, category_id)

    @operation
    async def get(self, *, category_id: CategoryId) -> Category:
        """One category, whether it is active or not.

        Raises:
            CategoryNotFound: the tenant has no such category.
        """
        found = await queries.category(self.db, tenant_id=self.tenant_id, category_id=category_id)
        return _there(found, category_id)

    @operation
    async def by_slug(self, *, slug: str) -> Category:
        """The category of a slug, whether it is active or not."""
        found = await queries.category_by_slug(self.db, tenant_id=self.tenant_id, slug=slug.replace("\x00", "�"))
        return _there(found, slug[:100])

    @operation
    async def tree(self, *, active_only: bool = True) -> list[CategoryNode]:
        """All categories as a tree, each level by sort order and name."""
        rows = await queries.categories(self.db, tenant_id=self.tenant_id, limit=CATEGORIES_MAX)
        return category_tree(rows, active_only=active_only)

    @operation
    async def path(self, *, category_id: CategoryId) -> list[Category]:
        """From the root to the category itself."""
        found = await queries.category_path(
            self.db, tenant_id=self.tenant_id, category_id=category_id, depth_max=CATEGORY_DEPTH_MAX
        )
        if not found:
            raise CategoryNotFound(category=category_id)
        return found

    @audited("catalog.assign_category", "product", "product_id")
    @transactional
    async def assign(self, *, product_id: ProductId, category_id: CategoryId, is_primary: bool = False) -> None:
        """Put a product into a category; again changes nothing. The first one is its primary category by itself.

        Raises:
            ProductNotFound, CategoryNotFound: one of the two is not there.
        """
        await self._lock_product(product_id)
        with violations({"pca_category_fkey": lambda: CategoryNotFound(category=category_id)}):
            await queries.assign(
                self.db, tenant_id=self.tenant_id, rows=[{"product_id": product_id, "category_id": category_id}]
            )
        if is_primary:
            await self._make_primary(product_id, category_id)

    @audited("catalog.set_primary_category", "product", "product_id")
    @transactional
    async def set_primary(self, *, product_id: ProductId, category_id: CategoryId) -> None:
        """Make one of a product's categories its primary one, in place of the one before.

        Raises:
            ProductNotFound: the tenant has no such product.
            CategoryNotFound: the product is not in this category.
        """
        await self._lock_product(product_id)
        await self._make_primary(product_id, category_id)

    @audited("catalog.unassign_category", "product", "product_id")
    @transactional
    async def unassign(self, *, product_id: ProductId, category_id: CategoryId) -> None:
        """Take a product out of a category; again changes nothing. A primary one is followed by the oldest left."""
        await self._lock_product(product_id)
        was_primary = await queries.unassign(
            self.db, tenant_id=self.tenant_id, product_id=product_id, category_id=category_id
        )
        if was_primary:
            heir = await queries.oldest_assignment(self.db, tenant_id=self.tenant_id, product_id=product_id)
            if heir is not None:
                await self._make_primary(product_id, heir)

    async def _lock_product(self, product_id: ProductId) -> None:
        if await queries.lock_product(self.db, tenant_id=self.tenant_id, product_id=product_id) is None:
            raise ProductNotFound(product=product_id)

    async def _make_primary(self, product_id: ProductId, category_id: CategoryId) -> None:
        await queries.clear_primary(self.db, tenant_id=self.tenant_id, product_id=product_id)
        if not await queries.make_primary(
            self.db, tenant_id=self.tenant_id, product_id=product_id, category_id=category_id
        ):
            raise CategoryNotFound(category=category_id)


def _there(category: Category | None, asked: CategoryId | str) -> Category:
    if category is None:
        raise CategoryNotFound(category=asked)
    return category


def _check_place(links: list[CategoryLink], category_id: CategoryId, parent_id: CategoryId) -> None:
    """Refuse a parent that is not there, is the category itself or stands below it, or lies too deep."""
    parents = {link.id: link.parent_id for link in links}
    for wanted in (category_id, parent_id):
        if wanted not in parents:
            raise CategoryNotFound(category=wanted)
    above, at = 0, parent_id
    while True:
        if at == category_id:
            raise CategoryCycle(category_id=category_id, parent_id=parent_id)
        above += 1
        following = parents[at]
        if following is None:
            break
        at = following
    below: dict[CategoryId | None, list[CategoryId]] = {}
    for link in links:
        below.setdefault(link.parent_id, []).append(link.id)
    height, level = 0, [category_id]
    while level:
        height += 1
        level = [child for each in level for child in below.get(each, ())]
    if above + height > CATEGORY_DEPTH_MAX:
        raise InvalidCategory(field="parent_id", reason=f"categories nest at most {CATEGORY_DEPTH_MAX} deep")
