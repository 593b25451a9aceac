"""What a seed file may say: tables of rows, each with a key that gives it its id in every database."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from storeroom.catalog import ProductStatus, ProductType, StockPolicy
from storeroom.core.contact import Address
from storeroom.flows.model import Compliance
from storeroom.gateways import GatewayKind
from storeroom.identity import AddressType, KycStatus, UserRole, UserStatus
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentMethodType
from storeroom.promotions import CouponPayment

ROWS_MAX: Final = 10_000  # of one table in one file
FILE_BYTES_MAX: Final = 5_000_000
_NAMESPACE: Final = UUID("8c2f4d5e-6b0a-4f7e-9d35-1f0c6a7b2e94")

Key = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,60}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=255)]
Units = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Amount = Annotated[str, Meta(pattern=r"^\d{1,13}(\.\d{1,9})?\Z")]  # of the shop's currency, in its main unit


class Environment(StrEnum):
    """What a database is for. Each gets the seeds of `base` and its own."""

    BASE = "base"  # what every shop needs, and nothing else
    DEVELOPMENT = "development"  # a shop to look at, with made-up people and orders
    STAGING = "staging"  # accounts for those who try a release
    PRODUCTION = "production"  # one administrator, whose secret comes from the configuration


MADE_UP: Final = frozenset({Environment.DEVELOPMENT, Environment.STAGING})


def seed_id(tenant_id: str, table: str, key: str) -> UUID:
    """The id of a seeded row: the same after every seeding, here and elsewhere, and another for each tenant."""
    return uuid5(_NAMESPACE, f"{tenant_id}/{table}/{key}")


class Seed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row with a key."""

    key: Key


class MethodSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `payment_methods`. A second seeding changes name, instructions and details; the rest is the shop's."""

    code: Text
    method_type: PaymentMethodType
    name: Text
    instructions: str
    payment_details: dict[str, Any]
    is_active: bool = True
    is_manual: bool = True
    min_amount: Amount = "0"
    max_amount: Amount | None = None
    confirmation_window_hours: int = 48
    sort_order: int = 0
    icon_url: str | None = None


class GatewaySeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `payment_gateways`, inactive and in test mode; what it must know is the shop's to set."""

    id: Text
    kind: GatewayKind
    name: Text
    position: int = 0


class CategorySeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `product_categories`."""

    name: Text
    slug: Text
    description: str | None = None
    parent: Key | None = None  # planted before
    sort_order: int = 0
    is_active: bool = True


class OptionSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `product_options`."""

    name: Text
    values: Annotated[list[Text], Meta(min_length=1, max_length=200)]


class VariantSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `product_variants`, with its stock. The SKU is its key; a second seeding leaves the stock alone."""

    sku: Text
    price: Amount
    options: dict[str, str] = {}
    compare_at_price: Amount | None = None
    cost_price: Amount | None = None
    barcode: str | None = None
    stock: Units = 0
    stock_policy: StockPolicy = StockPolicy.DENY
    backorder_limit: Units | None = None
    low_stock_threshold: Units = 10
    weight_g: Units | None = None
    requires_shipping: bool = True


class ProductSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `products`, with what hangs on it. A second seeding leaves its status alone."""

    name: Text
    slug: Text
    product_type: ProductType = ProductType.ACCESSORY
    status: ProductStatus = ProductStatus.ACTIVE
    short_description: str | None = None
    description: str | None = None
    vendor: Text | None = None
    tags: list[Text] = []
    is_digital: bool = False
    requires_age_verification: bool = False
    requires_kyc: bool = False
    restricted_states: list[str] | None = None
    restricted_countries: list[str] | None = None
    categories: list[Key] = []  # the first is the primary one
    options: list[OptionSeed] = []
    variants: Annotated[list[VariantSeed], Meta(min_length=1, max_length=250)]


class BatchSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `product_batches`."""

    product: Key
    batch_number: Text
    quantity_produced: Units
    coa_file_url: str
    coa_verified: bool = False
    manufactured_at: date
    expires_at: date


class UserSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `users`. A second seeding changes name and phone; password, role and status are the account's own by then.

    A file holds no secret: it names the variable that does.
    """

    email: Text | None = None
    email_from: str | None = None  # a variable, instead
    password_from: str | None = None
    password_optional: bool = False  # without the variable: an account that cannot sign in
    full_name: Text | None = None
    phone: str | None = None
    role: UserRole = UserRole.CUSTOMER
    permissions: list[str] = []
    status: UserStatus = UserStatus.ACTIVE
    age_verified: bool = False
    kyc_status: KycStatus = KycStatus.NOT_REQUIRED


class ProfileSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `user_profiles`; its key is the user's."""

    user: Key
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    date_of_birth: date | None = None
    timezone: str = "America/New_York"
    locale: str = "en-US"


class AddressSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `user_addresses`."""

    user: Key
    address_type: AddressType = AddressType.SHIPPING
    is_default: bool = False
    label: str | None = None
    address: Address


class DiscountSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `coupons`; with products it takes off their lines. A second seeding keeps its uses, and leaves it inactive."""

    code: Text
    name: Text
    percentage: Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,6})?\Z")] | None = None
    amount: Amount | None = None  # one of the two
    products: Annotated[list[Key], Meta(min_length=1)] | None = None
    users: Annotated[list[Key], Meta(min_length=1)] | None = None
    payment_method: CouponPayment | None = None
    auto_apply: bool = False
    minimum_order_amount: Amount | None = None
    maximum_discount_amount: Amount | None = None
    usage_limit: Annotated[int, Meta(ge=1)] | None = None
    usage_limit_per_user: Annotated[int, Meta(ge=0)] = 1  # 0: no limit
    first_order_only: bool = False
    position: int = 0
    starts_at: Annotated[datetime, Meta(tz=True)] | None = None  # None: when it is planted first
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class RateSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `shipping_rates`."""

    code: Text
    name: Text
    amount: Amount
    countries: list[str] | None = None
    free_from_amount: Amount | None = None
    position: int = 0


class StatusSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `order_status_labels`: the states themselves are a type, this names them for people."""

    status: OrderStatus
    label: Text
    description: str


class OrderLineSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of an order."""

    sku: Text
    quantity: Annotated[int, Meta(ge=1, le=1_000)] = 1


class OrderSeed(Seed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order that is placed as a customer places it and then brought as far as `status` says. Placed once."""

    user: Key | None = None  # None: a guest
    email: Text
    name: Text
    phone: str | None = None
    address: Address | None = None
    shipping_method: Text | None = None
    payment_method: Text
    age_attested: bool = False
    compliance: Compliance | None = None
    notes: str | None = None
    lines: Annotated[list[OrderLineSeed], Meta(min_length=1, max_length=100)]
    status: OrderStatus = OrderStatus.PENDING_PAYMENT
    proof: Text | None = None  # the transaction id that the customer sent: staff are to look
    carrier: Text | None = None
    tracking_number: Text | None = None


class SeedData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file. The fields are in the order in which tables are planted: what another needs comes before it."""

    payment_methods: list[MethodSeed] = []
    payment_gateways: list[GatewaySeed] = []
    product_categories: list[CategorySeed] = []
    products: list[ProductSeed] = []
    product_batches: list[BatchSeed] = []
    users: list[UserSeed] = []
    user_profiles: list[ProfileSeed] = []
    user_addresses: list[AddressSeed] = []
    discounts: list[DiscountSeed] = []
    shipping_rates: list[RateSeed] = []
    order_statuses: list[StatusSeed] = []
    orders: list[OrderSeed] = []


TABLES: Final[Sequence[str]] = SeedData.__struct_fields__


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """One table of one file, as it was planted and is remembered."""

    file: str  # folder and name, as in base/001_payment_methods.toml
    table: str
    sequence: int  # from 1, in the order of planting
    rows: int
    unchanged: bool  # the file is as it was when it was planted last, so nothing was done


class PlantedSeed(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `seeds_planted`."""

    name: str  # file:table
    checksum: str
    sequence: int
