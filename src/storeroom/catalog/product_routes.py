"""Products over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.catalog.drafts import (
    ImageDraft,
    LongText,
    OptionDraft,
    ProductDraft,
    Text50,
    Text100,
    Text255,
    Text2000,
    Units,
    VariantDraft,
    given,
)
from storeroom.catalog.errors import (
    CategoryNotFound,
    ImageNotFound,
    InvalidOptions,
    InvalidProduct,
    InvalidSearch,
    InvalidVariant,
    OptionValueInUse,
    ProductDeleted,
    ProductExists,
    ProductMoveRefused,
    ProductNotFound,
    SkuTaken,
    SlugTaken,
    StripePriceTaken,
    VariantExists,
)
from storeroom.catalog.model import (
    SEARCH_LENGTH_MAX,
    CategoryRef,
    Image,
    Option,
    Product,
    ProductStatus,
    ProductSummary,
    ProductType,
    StockPolicy,
)
from storeroom.catalog.products import Products
from storeroom.catalog.variant_routes import StaffVariant
from storeroom.core.ids import ProductId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

StatusParameter = Annotated[ProductStatus | None, QueryParameter(description="Only products of this status.")]
TypeParameter = Annotated[ProductType | None, QueryParameter(name="type", description="Only products of this type.")]
SlugParameter = Annotated[str | None, QueryParameter(description="The slug of a category, with what is below it.")]
WordsParameter = Annotated[
    str | None, QueryParameter(description="Words of the name.", min_length=1, max_length=SEARCH_LENGTH_MAX)
]


class StaffProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product with everything that staff may know of it."""

    id: UUID
    name: str
    slug: str
    product_type: ProductType
    status: ProductStatus
    active: bool
    short_description: str | None
    description: str | None
    vendor: str | None
    tags: list[str]
    base_price: Money | None
    currency: str
    is_digital: bool
    file_path: str | None
    requires_age_verification: bool
    requires_kyc: bool
    restricted_states: list[str] | None
    restricted_countries: list[str] | None
    current_batch_number: str | None
    current_coa_url: str | None
    erp_item_id: str | None
    external_id: str | None
    memo_template: str | None
    subscription_config: dict[str, Any] | None
    brand_id: str | None
    company_code: str | None
    legacy_id: int | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    deleted_at: datetime | None
    options: list[Option]
    images: list[Image]
    categories: list[CategoryRef]
    variants: list[StaffVariant]


class NewProduct(ProductDraft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product to be made: with the price of its one variant, or with options and variants."""

    price: Money | None = None
    sku: Text100 | None = None
    on_hand: Units = 0
    stock_policy: StockPolicy = StockPolicy.DENY
    options: list[OptionDraft] = msgspec.field(default_factory=list)
    variants: list[VariantDraft] = msgspec.field(default_factory=list)
    images: list[ImageDraft] = msgspec.field(default_factory=list)
    category_ids: list[UUID] = msgspec.field(default_factory=list)  # the first is the primary one
    publish: bool = False


class ProductChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    name: Text255 | UnsetType = UNSET
    slug: Text255 | UnsetType = UNSET
    product_type: ProductType | UnsetType = UNSET
    short_description: LongText | UnsetType | None = UNSET
    description: LongText | UnsetType | None = UNSET
    vendor: Text255 | UnsetType | None = UNSET
    tags: list[Text255] | UnsetType = UNSET
    base_price: Money | UnsetType | None = UNSET
    is_digital: bool | UnsetType = UNSET
    file_path: Text2000 | UnsetType | None = UNSET
    requires_age_verification: bool | UnsetType = UNSET
    requires_kyc: bool | UnsetType = UNSET
    restricted_states: list[Text50] | UnsetType | None = UNSET
    restricted_countries: list[Text50] | UnsetType | None = UNSET
    external_id: Text255 | UnsetType | None = UNSET
    memo_template: Text2000 | UnsetType | None = UNSET
    subscription_config: dict[str, Any] | UnsetType | None = UNSET
    brand_id: Text255 | UnsetType | None = UNSET
    company_code: Text255 | UnsetType | None = UNSET
    legacy_id: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class OptionList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a product, in order."""

    options: list[OptionDraft]


@get(
    "/v1/admin/products",
    summary="All products",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(CategoryNotFound, InvalidSearch, InvalidCursor),
)
async def list_all_products(
    *,
    products: NamedDependency[Products],
    status: StatusParameter = None,
    product_type: TypeParameter = None,
    category: SlugParameter = None,
    q: WordsParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[ProductSummary]:
    """Of every status, newest first; with `q` the best first. Deleted ones are left out."""
    return await products.list(
        status=status, product_type=product_type, category=category, q=q, storefront=False, cursor=cursor, limit=limit
    )


@post(
    "/v1/admin/products",
    summary="Make a product",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    opt=IDEMPOTENT,
    responses=says(
        InvalidProduct,
        InvalidOptions,
        InvalidVariant,
        CurrencyMismatch,
        SlugTaken,
        SkuTaken,
        StripePriceTaken,
        ProductExists,
        VariantExists,
        CategoryNotFound,
    ),
)
async def create_product(data: JSONBody[NewProduct], products: NamedDependency[Products]) -> StaffProduct:
    """A draft, unless `publish`."""
    fields = msgspec.structs.asdict(data)
    return _product(await products.create(categories=fields.pop("category_ids"), **fields))


@get(
    "/v1/admin/products/{product_id:uuid}",
    summary="One product",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound),
)
async def get_any_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """Also a deleted one."""
    return _product(await products.get(product_id=ProductId(product_id)))


@get(
    "/v1/admin/products/by-stripe-price/{stripe_price_id:str}",
    summary="The product with a price of Stripe",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound),
)
async def get_product_by_stripe_price(
    stripe_price_id: FromPath[str], products: NamedDependency[Products]
) -> StaffProduct:
    """One of its variants has the price; also a deleted one."""
    return _product(await products.by_stripe_price_id(stripe_price_id=stripe_price_id))


@patch(
    "/v1/admin/products/{product_id:uuid}",
    summary="Change a product",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductDeleted, InvalidProduct, CurrencyMismatch, SlugTaken, ProductExists),
)
async def update_product(
    product_id: FromPath[UUID], data: JSONBody[ProductChanges], products: NamedDependency[Products]
) -> StaffProduct:
    """What is left out stays."""
    return _product(await products.update(product_id=ProductId(product_id), **given(data)))


@delete(
    "/v1/admin/products/{product_id:uuid}",
    summary="Delete a product",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound),
)
async def delete_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> None:
    """It leaves every list; old orders still show it, and its slug stays taken."""
    await products.delete(product_id=ProductId(product_id))


@post(
    "/v1/admin/products/{product_id:uuid}/publish",
    status_code=200,
    summary="List and sell it",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductMoveRefused),
)
async def publish_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """`published_at` is the instant of the first time."""
    return _product(await products.publish(product_id=ProductId(product_id)))


@post(
    "/v1/admin/products/{product_id:uuid}/unpublish",
    status_code=200,
    summary="Take it back to be worked on",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductMoveRefused),
)
async def unpublish_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """It is a draft again."""
    return _product(await products.unpublish(product_id=ProductId(product_id)))


@post(
    "/v1/admin/products/{product_id:uuid}/discontinue",
    status_code=200,
    summary="Sell it no more",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductMoveRefused),
)
async def discontinue_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """It can be published again."""
    return _product(await products.discontinue(product_id=ProductId(product_id)))


@post(
    "/v1/admin/products/{product_id:uuid}/out-of-stock",
    status_code=200,
    summary="Take it off until it can be had again",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductMoveRefused),
)
async def set_product_out_of_stock(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """By hand, whatever the counters say."""
    return _product(await products.set_out_of_stock(product_id=ProductId(product_id)))


@put(
    "/v1/admin/products/{product_id:uuid}/options",
    summary="Replace the options",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductDeleted, InvalidOptions, OptionValueInUse),
)
async def set_product_options(
    product_id: FromPath[UUID], data: JSONBody[OptionList], products: NamedDependency[Products]
) -> StaffProduct:
    """The variants keep what they chose, and take the first value of an option that is new."""
    return _product(await products.set_options(product_id=ProductId(product_id), options=data.options))


@post(
    "/v1/admin/products/{product_id:uuid}/images",
    summary="Show a picture",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    opt=IDEMPOTENT,
    responses=says(ProductNotFound, ProductDeleted, InvalidProduct),
)
async def add_image(
    product_id: FromPath[UUID], data: JSONBody[ImageDraft], products: NamedDependency[Products]
) -> Image:
    """One with the same address is changed."""
    return await products.add_image(product_id=ProductId(product_id), image=data)


@delete(
    "/v1/admin/products/{product_id:uuid}/images/{image_id:uuid}",
    summary="Show a picture no more",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(ProductNotFound, ProductDeleted, ImageNotFound),
)
async def remove_image(
    product_id: FromPath[UUID], image_id: FromPath[UUID], products: NamedDependency[Products]
) -> None:
    """The file stays where it is."""
    await products.remove_image(product_id=ProductId(product_id), image_id=image_id)


def _product(product: Product) -> StaffProduct:
    return msgspec.convert(product, StaffProduct, from_attributes=True)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_all_products,
    create_product,
    get_any_product,
    get_product_by_stripe_price,
    update_product,
    delete_product,
    publish_product,
    unpublish_product,
    discontinue_product,
    set_product_out_of_stock,
    set_product_options,
    add_image,
    remove_image,
)
