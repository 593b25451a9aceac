"""The variants of products over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, UnsetType

from storeroom.catalog.drafts import Position, Text100, Text255, Text2000, Units, VariantDraft, given
from storeroom.catalog.errors import (
    InvalidVariant,
    ProductDeleted,
    ProductNotFound,
    SkuTaken,
    StripePriceTaken,
    VariantExists,
    VariantNotFound,
)
from storeroom.catalog.model import CryptoPrice, StockPolicy, Variant
from storeroom.catalog.products import Products
from storeroom.core.ids import ProductId, VariantId
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, requires, says


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


@post(
    "/v1/admin/products/{product_id:uuid}/variants",
    summary="Add a variant",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
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
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(VariantNotFound),
)
async def get_variant(variant_id: FromPath[UUID], products: NamedDependency[Products]) -> StaffVariant:
    """With its costs and its stock."""
    return _variant(await products.variant(variant_id=VariantId(variant_id)))


@patch(
    "/v1/admin/variants/{variant_id:uuid}",
    summary="Change a variant",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
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
    return _variant(await products.update_variant(variant_id=VariantId(variant_id), **given(data)))


def _variant(variant: Variant) -> StaffVariant:
    return msgspec.convert(variant, StaffVariant, from_attributes=True)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    add_variant,
    get_variant,
    update_variant,
)
