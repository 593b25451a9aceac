"""The words of the catalogue: products are shown, variants sold, categories lead there, batches say where from."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import BatchId, CategoryId, ProductId, TenantId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves

DEFAULT_TITLE: Final = "Default"  # of the one variant of a product without options; nobody chose anything

VARIANTS_MAX: Final = 250  # a product
OPTIONS_MAX: Final = 10  # a product
OPTION_VALUES_MAX: Final = 200  # an option
IMAGES_MAX: Final = 250  # a product
TAGS_MAX: Final = 250  # a product
RESTRICTIONS_MAX: Final = 300  # countries, or states, a product names
PRICE_MAX: Final = 1_000_000_000_000  # smallest units; 100 lines of 10,000 units at this price still fit 64 bits
STOCK_MAX: Final = 1_000_000_000  # units
METADATA_BYTES_MAX: Final = 65_536
CATEGORIES_MAX: Final = 5_000  # a tenant: the whole tree is read at once
CATEGORY_DEPTH_MAX: Final = 16
BATCHES_LISTED_MAX: Final = 500
SEARCH_LENGTH_MAX: Final = 100


class ProductStatus(StrEnum):
    """Where a product stands; only an active one is listed and sold."""

    DRAFT = "draft"  # being written, or taken back for work
    ACTIVE = "active"
    DISCONTINUED = "discontinued"  # sold no more; old orders still show it
    OUT_OF_STOCK = "out_of_stock"  # taken off by hand until it can be had again; empty stock alone does not do this


P = ProductStatus
PRODUCT_MOVES: Final[Moves[ProductStatus]] = declare_moves(
    ProductStatus,
    {
        P.DRAFT: {P.ACTIVE, P.DISCONTINUED},
        P.ACTIVE: {P.DRAFT, P.DISCONTINUED, P.OUT_OF_STOCK},
        P.OUT_OF_STOCK: {P.ACTIVE, P.DISCONTINUED},
        P.DISCONTINUED: {P.ACTIVE},
    },
)


class ProductType(StrEnum):
    """What kind of thing it is."""

    PEPTIDE = "peptide"
    KIT = "kit"
    ACCESSORY = "accessory"
    BUNDLE = "bundle"


class StockPolicy(StrEnum):
    """What happens when the shelf is empty."""

    DENY = "deny"  # no more than is available is sold
    BACKORDER = "backorder"  # sold below zero, down to `backorder_limit` where there is one
    UNTRACKED = "untracked"  # stock is not looked at


class CryptoPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a variant costs in a token, and where to send it."""

    price: Money  # in the token
    account: str  # the receiving wallet


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """Something to choose, such as Size, and its values in the order of display."""

    id: UUID
    name: str
    values: list[str]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a product."""

    id: UUID
    url: str
    alt_text: str | None
    position: int


class CategoryRef(msgspec.Struct, frozen=True, kw_only=True):
    """A category that a product is in."""

    id: CategoryId
    slug: str
    name: str
    is_primary: bool


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What is sold: one choice of options, with its price and its stock. For staff: it tells costs."""

    id: VariantId
    product_id: ProductId
    title: str  # the option values in option order, such as 'Red / M'
    options: dict[str, str]  # {'Color': 'Red', 'Size': 'M'}
    sku: str | None
    barcode: str | None
    price: Money
    compare_at_price: Money | None  # the price before a sale
    cost_price: Money | None
    crypto_price: CryptoPrice | None
    stripe_price_id: str | None
    stock_policy: StockPolicy
    backorder_limit: int | None  # units below zero; None: no bound
    low_stock_threshold: int
    weight_g: int | None
    requires_shipping: bool
    taxable: bool
    image_url: str | None
    position: int
    is_active: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    on_hand: int
    reserved: int

    @property
    def available(self) -> int | None:
        """Units that may be ordered now; None where there is no bound."""
        return units_available(self.stock_policy, self.on_hand, self.reserved, self.backorder_limit)

    @property
    def on_sale(self) -> bool:
        """Whether a former, higher price is shown beside the price."""
        return self.compare_at_price is not None and self.compare_at_price > self.price

    @property
    def margin(self) -> Money | None:
        """Price less cost, per unit; None where the cost is unknown."""
        return None if self.cost_price is None else self.price - self.cost_price


class ProductHead(msgspec.Struct, frozen=True, kw_only=True):
    """A product without its variants; see `Product`."""

    id: ProductId
    name: str
    slug: str
    product_type: ProductType
    status: ProductStatus
    short_description: str | None
    description: str | None
    vendor: str | None
    tags: list[str]
    base_price: Money | None  # shown in lists; None: the lowest price of the variants
    currency: str
    is_digital: bool
    file_path: str | None  # of a download; never shown to a customer
    requires_age_verification: bool
    requires_kyc: bool
    restricted_states: list[str] | None
    restricted_countries: list[str] | None
    current_batch_number: str | None
    current_coa_url: str | None
    erp_item_id: str | None
    erp_synced_at: datetime | None
    external_id: str | None  # the caller's own id
    memo_template: str | None
    subscription_config: dict[str, Any] | None
    brand_id: str | None
    company_code: str | None
    legacy_id: int | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None  # of the first time
    deleted_at: datetime | None
    options: list[Option]
    images: list[Image]
    categories: list[CategoryRef]

    @property
    def active(self) -> bool:
        """Whether it is listed and sold; follows the status."""
        return self.status is ProductStatus.ACTIVE and self.deleted_at is None


class Product(ProductHead, frozen=True, kw_only=True):
    """A product as staff see it, with every variant in order."""

    variants: list[Variant]

    def memo(self, **facts: str) -> str | None:
        """The memo of a payment, from `memo_template`; a fact that is not given stays empty."""
        if self.memo_template is None:
            return None
        known = {"product": self.name, **facts}
        return MEMO_FIELD.sub(lambda match: known.get(match[1], ""), self.memo_template)


MEMO_FIELDS: Final = frozenset({"product", "sku", "order_number", "reference", "quote_id"})
MEMO_FIELD: Final = re.compile(r"\{(\w*)\}")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as customers see it in a list."""

    id: VariantId
    sku: str | None
    title: str
    price: Money
    compare_at_price: Money | None  # only where it is above the price: a sale
    available: int | None  # units that may be ordered now; None: no bound
    in_stock: bool


class OfferDetail(Offer, frozen=True, kw_only=True):
    """A variant as customers see it on the page of its product."""

    crypto_price: CryptoPrice | None
    options: dict[str, str]
    barcode: str | None
    weight_g: int | None
    requires_shipping: bool
    image_url: str | None


class ProductSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A product in a list."""

    id: ProductId
    slug: str
    name: str
    product_type: ProductType
    status: ProductStatus
    short_description: str | None
    price: Money | None  # the base price, else the lowest of its variants
    image_url: str | None
    in_stock: bool
    variants: list[Offer]


class ProductHit(ProductSummary, frozen=True, kw_only=True):
    """A product that a search found."""

    rank: float  # 1.0: the words stand in the name as they were typed


class ProductPage(msgspec.Struct, frozen=True, kw_only=True):
    """A product as customers see it."""

    id: ProductId
    slug: str
    name: str
    product_type: ProductType
    short_description: str | None
    description: str | None
    vendor: str | None
    tags: list[str]
    price: Money | None
    is_digital: bool
    requires_age_verification: bool
    requires_kyc: bool
    restricted_states: list[str] | None
    restricted_countries: list[str] | None
    current_batch_number: str | None
    current_coa_url: str | None
    published_at: datetime | None
    options: list[Option]
    images: list[Image]
    categories: list[CategoryRef]
    in_stock: bool
    variants: list[OfferDetail]


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A shelf of the shop."""

    id: CategoryId
    name: str
    slug: str
    description: str | None
    parent_id: CategoryId | None
    sort_order: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CategoryNode(msgspec.Struct, frozen=True, kw_only=True):
    """A category with what stands below it, in sort order."""

    id: CategoryId
    name: str
    slug: str
    description: str | None
    is_active: bool
    children: list["CategoryNode"]


class CategoryLink(msgspec.Struct, frozen=True):
    """One edge of the tree."""

    id: CategoryId
    parent_id: CategoryId | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Units made together, with the certificate of their analysis."""

    id: BatchId
    product_id: ProductId
    batch_number: str
    quantity_produced: int
    quantity_remaining: int  # counts down as units ship
    coa_file_url: str
    coa_verified: bool
    coa_verified_by: UserId | None  # None: by a job or the command line
    coa_verified_at: datetime | None
    manufactured_at: date
    expires_at: date  # the last day on which it may be shipped
    is_active: bool
    created_at: datetime
    updated_at: datetime


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Units taken out of a batch for a shipment."""

    batch_id: BatchId
    batch_number: str
    quantity: int


class DueBatch(msgspec.Struct, frozen=True):
    """An active batch whose last day is over, anywhere."""

    tenant_id: TenantId
    id: BatchId
    product_id: ProductId
    today: date  # where its shop is


class CurrentBatch(msgspec.Struct, frozen=True):
    """What a product shows of its newest verified batch."""

    batch_number: str
    coa_file_url: str


class Shelf(msgspec.Struct, frozen=True):
    """Units on hand of a variant, under a lock."""

    variant_id: VariantId
    on_hand: int


class SkuOwner(msgspec.Struct, frozen=True):
    """The variant that has a SKU."""

    sku: str
    id: VariantId
    product_id: ProductId


class CategorySlug(msgspec.Struct, frozen=True):
    """A category by the name in its address."""

    slug: str
    id: CategoryId


def units_available(policy: StockPolicy, on_hand: int, reserved: int, backorder_limit: int | None) -> int | None:
    """Units that may be ordered now; None where there is no bound. The lists compute the same in SQL."""
    if policy is StockPolicy.UNTRACKED or (policy is StockPolicy.BACKORDER and backorder_limit is None):
        return None
    below_zero = backorder_limit or 0 if policy is StockPolicy.BACKORDER else 0
    return max(on_hand - reserved + below_zero, 0)


def variant_title(options: Mapping[str, str], order: Iterable[str]) -> str:
    """The chosen values in option order, 'Red / M'; DEFAULT_TITLE where there is nothing to choose."""
    return " / ".join(options[name] for name in order) or DEFAULT_TITLE


def category_tree(categories: Sequence[Category], *, active_only: bool) -> list[CategoryNode]:
    """The roots with all that hangs on them, each level in the order given; an inactive one hides what is below it."""
    below: dict[CategoryId | None, list[Category]] = {}
    for category in categories:
        if category.is_active or not active_only:
            below.setdefault(category.parent_id, []).append(category)

    def nodes(parent_id: CategoryId | None) -> list[CategoryNode]:
        return [
            CategoryNode(
                id=c.id,
                name=c.name,
                slug=c.slug,
                description=c.description,
                is_active=c.is_active,
                children=nodes(c.id),
            )
            for c in below.get(parent_id, ())
        ]

    return nodes(None)
