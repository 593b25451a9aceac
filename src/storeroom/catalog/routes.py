"""The catalogue over HTTP, for customers; what staff do is in a file for each noun."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler

from storeroom.catalog import batch_routes, category_routes, product_routes, variant_routes
from storeroom.catalog.categories import Categories
from storeroom.catalog.errors import CategoryNotFound, InvalidSearch, ProductNotFound
from storeroom.catalog.model import SEARCH_LENGTH_MAX, CategoryNode, ProductPage, ProductSummary, ProductType
from storeroom.catalog.products import Products
from storeroom.core.pages import InvalidCursor, Page
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, says

CategoryParameter = Annotated[
    str | None,
    QueryParameter(description="The slug of a category; what is in the categories below it is listed too."),
]
TypeParameter = Annotated[ProductType | None, QueryParameter(name="type", description="Only products of this type.")]
TagParameter = Annotated[str | None, QueryParameter(description="Only products that bear this tag.")]
WordsParameter = Annotated[
    str | None,
    QueryParameter(
        description="Words of the name, also in part or misspelt; the best comes first.",
        min_length=1,
        max_length=SEARCH_LENGTH_MAX,
    ),
]


class CategoryTree(msgspec.Struct, frozen=True):
    """All categories of the shop."""

    items: list[CategoryNode]


@get(
    "/v1/products",
    summary="The products of the shop",
    tags=["storefront"],
    responses=says(CategoryNotFound, InvalidSearch, InvalidCursor),
)
async def list_products(
    *,
    products: NamedDependency[Products],
    category: CategoryParameter = None,
    product_type: TypeParameter = None,
    tag: TagParameter = None,
    q: WordsParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[ProductSummary]:
    """Newest first; with `q` the best first."""
    return await products.list(category=category, product_type=product_type, tag=tag, q=q, cursor=cursor, limit=limit)


@get("/v1/products/{slug:str}", summary="One product", tags=["storefront"], responses=says(ProductNotFound))
async def get_product(slug: FromPath[str], products: NamedDependency[Products]) -> ProductPage:
    """With its options, the variants that are sold, pictures and categories."""
    return await products.page(slug=slug)


@get("/v1/categories", summary="The tree of categories", tags=["storefront"], responses=says())
async def list_categories(categories: NamedDependency[Categories]) -> CategoryTree:
    """Each level in its order. An inactive category hides what is below it."""
    return CategoryTree(await categories.tree())


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_products,
    get_product,
    list_categories,
    *product_routes.route_handlers,
    *variant_routes.route_handlers,
    *category_routes.route_handlers,
    *batch_routes.route_handlers,
)
