"""The catalogue over HTTP, for staff."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.catalog.batches import NEAR_EXPIRY_MAX, Batches
from storeroom.catalog.categories import Categories
from storeroom.catalog.drafts import (
    BatchDraft,
    CategoryDraft,
    ImageDraft,
    LongText,
    OptionDraft,
    Position,
    ProductDraft,
    Text50,
    Text100,
    Text255,
    Text2000,
    Units,
    VariantDraft,
)
from storeroom.catalog.errors import (
    BatchExpired,
    BatchNotFound,
    BatchNumberTaken,
    CategoryCycle,
    CategoryNotFound,
    CategorySlugTaken,
    ImageNotFound,
    InvalidBatch,
    InvalidCategory,
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
    VariantNotFound,
)
from storeroom.catalog.model import (
    SEARCH_LENGTH_MAX,
    Batch,
    Category,
    CategoryNode,
    CategoryRef,
    CryptoPrice,
    Image,
    Option,
    Product,
    ProductStatus,
    ProductSummary,
    ProductType,
    StockPolicy,
    Variant,
)
from storeroom.catalog.products import Products
from storeroom.core.ids import BatchId, CategoryId, ProductId, VariantId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

WRITE: Final = "catalog.write"
StatusParameter = Annotated[ProductStatus | None, QueryParameter(description="Only products of this status.")]
TypeParameter = Annotated[ProductType | None, QueryParameter(name="type", description="Only products of this type.")]
SlugParameter = Annotated[str | None, QueryParameter(description="The slug of a category, with what is below it.")]
WordsParameter = Annotated[
    str | None, QueryParameter(description="Words of the name.", min_length=1, max_length=SEARCH_LENGTH_MAX)
]
DaysParameter = Annotated[
    int, QueryParameter(description="Batches whose last day is within so many days.", ge=0, le=NEAR_EXPIRY_MAX.days)
]

# --- What comes back --------------------------------------------------------------------------------------------------


class StaffVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with its costs and its stock."""

    id: UUID
    product_id: UUID
    title: str
    options: dict[str, str]
    sku: str | None
    barcode: str | None
    price: Money
    compare_at_price: Money | None
    cost_price: Money | None
    margin: Money | None  # price less cost
    crypto_price: CryptoPrice | None
    stripe_price_id: str | None
    stock_policy: StockPolicy
    backorder_limit: int | None
    low_stock_threshold: int
    weight_g: int | None
    requires_shipping: bool
    taxable: bool
    image_url: str | None
    position: int
    is_active: bool
    on_sale: bool
    metadata: dict[str, Any]
    on_hand: int
    reserved: int
    available: int | None  # units that may be ordered now; null: no bound
    created_at: datetime
    updated_at: datetime


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


class StaffBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch with its certificate."""

    id: UUID
    product_id: UUID
    batch_number: str
    quantity_produced: int
    quantity_remaining: int
    coa_file_url: str
    coa_verified: bool
    coa_verified_by: UUID | None
    coa_verified_at: datetime | None
    manufactured_at: date
    expires_at: date
    is_active: bool
    created_at: datetime
    updated_at: datetime


class StaffBatches(msgspec.Struct, frozen=True):
    """Batches of a product, or those that expire soon."""

    items: list[StaffBatch]


# --- What is sent -----------------------------------------------------------------------------------------------------


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


class VariantChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays. Stock is changed at /v1/admin/stock."""

    options: dict[str, str] | UnsetType = UNSET
    sku: Text100 | UnsetType | None = UNSET
    barcode: Text100 | UnsetType | None = UNSET
    price: Money | UnsetType = UNSET
    compare_at_price: Money | UnsetType | None = UNSET
    cost_price: Money | UnsetType | None = UNSET
    crypto_price: CryptoPrice | UnsetType | None = UNSET
    stripe_price_id: Text255 | UnsetType | None = UNSET
    stock_policy: StockPolicy | UnsetType = UNSET
    backorder_limit: Units | UnsetType | None = UNSET
    low_stock_threshold: Units | UnsetType = UNSET
    weight_g: Units | UnsetType | None = UNSET
    requires_shipping: bool | UnsetType = UNSET
    taxable: bool | UnsetType = UNSET
    image_url: Text2000 | UnsetType | None = UNSET
    position: Position | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class OptionList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a product, in order."""

    options: list[OptionDraft]


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


# --- Products ---------------------------------------------------------------------------------------------------------


@get(
    "/v1/admin/products",
    summary="All products",
    tags=["admin"],
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
    responses=says(ProductNotFound),
)
async def get_any_product(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """Also a deleted one."""
    return _product(await products.get(product_id=ProductId(product_id)))


@patch(
    "/v1/admin/products/{product_id:uuid}",
    summary="Change a product",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(ProductNotFound, ProductDeleted, InvalidProduct, CurrencyMismatch, SlugTaken, ProductExists),
)
async def update_product(
    product_id: FromPath[UUID], data: JSONBody[ProductChanges], products: NamedDependency[Products]
) -> StaffProduct:
    """What is left out stays."""
    return _product(await products.update(product_id=ProductId(product_id), **_given(data)))


@delete(
    "/v1/admin/products/{product_id:uuid}",
    summary="Delete a product",
    tags=["admin"],
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
    responses=says(ProductNotFound, ProductMoveRefused),
)
async def set_product_out_of_stock(product_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffProduct:
    """By hand, whatever the counters say."""
    return _product(await products.set_out_of_stock(product_id=ProductId(product_id)))


@put(
    "/v1/admin/products/{product_id:uuid}/options",
    summary="Replace the options",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(ProductNotFound, ProductDeleted, InvalidOptions, OptionValueInUse),
)
async def set_product_options(
    product_id: FromPath[UUID], data: JSONBody[OptionList], products: NamedDependency[Products]
) -> StaffProduct:
    """The variants keep what they chose, and take the first value of an option that is new."""
    return _product(await products.set_options(product_id=ProductId(product_id), options=data.options))


@post(
    "/v1/admin/products/{product_id:uuid}/variants",
    summary="Add a variant",
    tags=["admin"],
    guards=[requires(WRITE)],
    opt=IDEMPOTENT,
    responses=says(
        ProductNotFound,
        ProductDeleted,
        InvalidVariant,
        CurrencyMismatch,
        VariantExists,
        SkuTaken,
        StripePriceTaken,
    ),
)
async def add_variant(
    product_id: FromPath[UUID], data: JSONBody[VariantDraft], products: NamedDependency[Products]
) -> StaffVariant:
    """It chooses a value of every option of the product."""
    return _variant(await products.add_variant(product_id=ProductId(product_id), variant=data))


@get(
    "/v1/admin/variants/{variant_id:uuid}",
    summary="One variant",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(VariantNotFound),
)
async def get_variant(variant_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffVariant:
    """With its costs and its stock."""
    return _variant(await products.variant(variant_id=VariantId(variant_id)))


@patch(
    "/v1/admin/variants/{variant_id:uuid}",
    summary="Change a variant",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(
        VariantNotFound,
        ProductDeleted,
        InvalidVariant,
        CurrencyMismatch,
        VariantExists,
        SkuTaken,
        StripePriceTaken,
    ),
)
async def update_variant(
    variant_id: FromPath[UUID], data: JSONBody[VariantChanges], products: NamedDependency[Products]
) -> StaffVariant:
    """What is left out stays. With `is_active` false it is sold no more; variants are not deleted."""
    return _variant(await products.update_variant(variant_id=VariantId(variant_id), **_given(data)))


@post(
    "/v1/admin/products/{product_id:uuid}/images",
    summary="Show a picture",
    tags=["admin"],
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
    responses=says(ProductNotFound, ProductDeleted, ImageNotFound),
)
async def remove_image(
    product_id: FromPath[UUID], image_id: FromPath[UUID], products: NamedDependency[Products]
) -> None:
    """The file stays where it is."""
    await products.remove_image(product_id=ProductId(product_id), image_id=image_id)


# --- Categories -------------------------------------------------------------------------------------------------------


@get(
    "/v1/admin/categories",
    summary="The tree of categories, inactive ones too",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(),
)
async def list_all_categories(categories: NamedDependency[Categories]) -> StaffCategories:
    """Each level in its order."""
    return StaffCategories(await categories.tree(active_only=False))


@post(
    "/v1/admin/categories",
    summary="Make a category",
    tags=["admin"],
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
    responses=says(CategoryNotFound),
)
async def get_category_path(category_id: FromPath[UUID], categories: NamedDependency[Categories]) -> CategoryPath:
    """From the root to the category itself, which comes last."""
    return CategoryPath([_category(c) for c in await categories.path(category_id=CategoryId(category_id))])


@patch(
    "/v1/admin/categories/{category_id:uuid}",
    summary="Change a category",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(CategoryNotFound, InvalidCategory, CategorySlugTaken),
)
async def update_category(
    category_id: FromPath[UUID], data: JSONBody[CategoryChanges], categories: NamedDependency[Categories]
) -> StaffCategory:
    """What is left out stays."""
    return _category(await categories.update(category_id=CategoryId(category_id), **_given(data)))


@put(
    "/v1/admin/categories/{category_id:uuid}/parent",
    summary="Move a category",
    tags=["admin"],
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
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
    guards=[requires(WRITE)],
    responses=says(ProductNotFound),
)
async def unassign_category(
    product_id: FromPath[UUID], category_id: FromPath[UUID], categories: NamedDependency[Categories]
) -> None:
    """Where it was the primary one, the oldest of the others is."""
    await categories.unassign(product_id=ProductId(product_id), category_id=CategoryId(category_id))


# --- Batches ----------------------------------------------------------------------------------------------------------


@get(
    "/v1/admin/products/{product_id:uuid}/batches",
    summary="The batches of a product",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(),
)
async def list_batches(product_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatches:
    """First the one that expires last."""
    return StaffBatches([_batch(batch) for batch in await batches.list(product_id=ProductId(product_id))])


@post(
    "/v1/admin/products/{product_id:uuid}/batches",
    summary="Record a batch",
    tags=["admin"],
    guards=[requires(WRITE)],
    opt=IDEMPOTENT,
    responses=says(InvalidBatch, ProductNotFound, BatchNumberTaken),
)
async def create_batch(
    product_id: FromPath[UUID], data: JSONBody[BatchDraft], batches: NamedDependency[Batches]
) -> StaffBatch:
    """With its certificate. Nothing is shipped from it before it is verified."""
    return _batch(await batches.create(product_id=ProductId(product_id), **msgspec.structs.asdict(data)))


@get(
    "/v1/admin/batches/expiring",
    summary="Batches that expire soon",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(),
)
async def list_expiring_batches(batches: NamedDependency[Batches], days: DaysParameter = 30) -> StaffBatches:
    """Active ones, the first to expire first."""
    return StaffBatches([_batch(batch) for batch in await batches.near_expiry(within=timedelta(days=days))])


@post(
    "/v1/admin/batches/{batch_id:uuid}/verify",
    status_code=200,
    summary="Say that the certificate was looked at",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(BatchNotFound),
)
async def verify_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """The first one who did stays recorded."""
    return _batch(await batches.verify(batch_id=BatchId(batch_id)))


@post(
    "/v1/admin/batches/{batch_id:uuid}/activate",
    status_code=200,
    summary="Use a batch again",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(BatchNotFound, BatchExpired),
)
async def activate_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """Not after its last day."""
    return _batch(await batches.activate(batch_id=BatchId(batch_id)))


@post(
    "/v1/admin/batches/{batch_id:uuid}/deactivate",
    status_code=200,
    summary="Ship nothing from a batch any more",
    tags=["admin"],
    guards=[requires(WRITE)],
    responses=says(BatchNotFound),
)
async def deactivate_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """A recall, or used up."""
    return _batch(await batches.deactivate(batch_id=BatchId(batch_id)))


def _given(changes: msgspec.Struct) -> dict[str, Any]:
    return {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not UNSET}


def _product(product: Product) -> StaffProduct:
    return msgspec.convert(product, StaffProduct, from_attributes=True)


def _variant(variant: Variant) -> StaffVariant:
    return msgspec.convert(variant, StaffVariant, from_attributes=True)


def _category(category: Category) -> StaffCategory:
    return msgspec.convert(category, StaffCategory, from_attributes=True)


def _batch(batch: Batch) -> StaffBatch:
    return msgspec.convert(batch, StaffBatch, from_attributes=True)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_all_products,
    create_product,
    get_any_product,
    update_product,
    delete_product,
    publish_product,
    unpublish_product,
    discontinue_product,
    set_product_out_of_stock,
    set_product_options,
    add_variant,
    get_variant,
    update_variant,
    add_image,
    remove_image,
    list_all_categories,
    create_category,
    get_category_path,
    update_category,
    move_category,
    assign_category,
    unassign_category,
    list_batches,
    create_batch,
    list_expiring_batches,
    verify_batch,
    activate_batch,
    deactivate_batch,
)
