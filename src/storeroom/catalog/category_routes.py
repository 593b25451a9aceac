"""Categories over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, UnsetType

from storeroom.catalog.categories import Categories
from storeroom.catalog.drafts import CategoryDraft, LongText, Position, Text100, given
from storeroom.catalog.errors import (
    CategoryCycle,
    CategoryNotFound,
    CategorySlugTaken,
    InvalidCategory,
    ProductNotFound,
)
from storeroom.catalog.model import Category, CategoryNode
from storeroom.core.ids import CategoryId, ProductId
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, requires, says


class StaffCategory(msgspec.Struct, frozen=True, kw_only=True):
    """A category as staff see it."""

    id: UUID
    name: str
    slug: str
    description: str | None
    parent_id: UUID | None
    sort_order: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class StaffCategories(msgspec.Struct, frozen=True):
    """All categories, inactive ones too."""

    items: list[CategoryNode]


class CategoryPath(msgspec.Struct, frozen=True):
    """From the root to the category itself."""

    items: list[StaffCategory]


class NewCategory(CategoryDraft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A category to be made, at the root or below another."""

    parent_id: UUID | None = None


class CategoryChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    name: Text100 | UnsetType = UNSET
    slug: Text100 | UnsetType = UNSET
    description: LongText | UnsetType | None = UNSET
    sort_order: Position | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class CategoryMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a category goes, with all below it; null: to the root."""

    parent_id: UUID | None


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a product stands in a category."""

    is_primary: bool = False


@get(
    "/v1/admin/categories",
    summary="The tree of categories, inactive ones too",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(),
)
async def list_all_categories(categories: NamedDependency[Categories]) -> StaffCategories:
    """Each level in its order."""
    return StaffCategories(await categories.tree(active_only=False))


@post(
    "/v1/admin/categories",
    summary="Make a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    opt=IDEMPOTENT,
    responses=says(InvalidCategory, CategorySlugTaken, CategoryNotFound),
)
async def create_category(data: JSONBody[NewCategory], categories: NamedDependency[Categories]) -> StaffCategory:
    """At the root, or below `parent_id`."""
    return _category(await categories.create(**msgspec.structs.asdict(data)))


@get(
    "/v1/admin/categories/{category_id:uuid}/path",
    summary="The way to a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(CategoryNotFound),
)
async def get_category_path(category_id: FromPath[UUID], categories: NamedDependency[Categories]) -> CategoryPath:
    """From the root to the category itself, which comes last."""
    return CategoryPath([_category(c) for c in await categories.path(category_id=CategoryId(category_id))])


@patch(
    "/v1/admin/categories/{category_id:uuid}",
    summary="Change a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(CategoryNotFound, InvalidCategory, CategorySlugTaken),
)
async def update_category(
    category_id: FromPath[UUID], data: JSONBody[CategoryChanges], categories: NamedDependency[Categories]
) -> StaffCategory:
    """What is left out stays."""
    return _category(await categories.update(category_id=CategoryId(category_id), **given(data)))


@put(
    "/v1/admin/categories/{category_id:uuid}/parent",
    summary="Move a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(CategoryNotFound, CategoryCycle, InvalidCategory),
)
async def move_category(
    category_id: FromPath[UUID], data: JSONBody[CategoryMove], categories: NamedDependency[Categories]
) -> StaffCategory:
    """With all that is below it."""
    parent_id = None if data.parent_id is None else CategoryId(data.parent_id)
    return _category(await categories.move(category_id=CategoryId(category_id), parent_id=parent_id))


@put(
    "/v1/admin/products/{product_id:uuid}/categories/{category_id:uuid}",
    status_code=204,
    summary="Put a product into a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, CategoryNotFound),
)
async def assign_category(
    product_id: FromPath[UUID],
    category_id: FromPath[UUID],
    data: JSONBody[Assignment],
    categories: NamedDependency[Categories],
) -> None:
    """The first category of a product is its primary one, until another is."""
    await categories.assign(
        product_id=ProductId(product_id), category_id=CategoryId(category_id), is_primary=data.is_primary
    )


@delete(
    "/v1/admin/products/{product_id:uuid}/categories/{category_id:uuid}",
    summary="Take a product out of a category",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound),
)
async def unassign_category(
    product_id: FromPath[UUID], category_id: FromPath[UUID], categories: NamedDependency[Categories]
) -> None:
    """Where it was the primary one, the oldest of the others is."""
    await categories.unassign(product_id=ProductId(product_id), category_id=CategoryId(category_id))


def _category(category: Category) -> StaffCategory:
    return msgspec.convert(category, StaffCategory, from_attributes=True)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_all_categories,
    create_category,
    get_category_path,
    update_category,
    move_category,
    assign_category,
    unassign_category,
)
