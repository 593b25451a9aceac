"""Coupons over HTTP, for staff. Customers type a code at their cart, and see on their orders what it took."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.clock import NaiveInstant
from storeroom.core.ids import ProductId
from storeroom.core.money import Money, UnknownCurrency
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.promotions.errors import CouponExists, CouponNotFound, InvalidCoupon
from storeroom.promotions.model import (
    CODE_LENGTH_MAX,
    NAME_LENGTH_MAX,
    POSITION_MAX,
    PRODUCTS_MAX,
    USERS_MAX,
    USES_MAX,
    AutomaticCoupons,
    Coupon,
    CouponPayment,
    CouponPlace,
    CouponScope,
    DiscountType,
    Redemption,
)
from storeroom.promotions.service import CouponChanges, Coupons
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: coupons"]
_WRITE: Final = [requires(Permission.DISCOUNTS_WRITE)]

Code = Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX, examples=["WELCOME10"])]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Percentage = Annotated[Decimal, Meta(examples=["10", "33.3"])]
CurrencyCode = Annotated[str, Meta(min_length=3, max_length=10, examples=["USD"])]
Products = Annotated[list[UUID], Meta(min_length=1, max_length=PRODUCTS_MAX)]
Users = Annotated[list[UUID], Meta(min_length=1, max_length=USERS_MAX)]
Uses = Annotated[int, Meta(ge=1, le=USES_MAX)]
Place = Annotated[int, Meta(ge=-POSITION_MAX, le=POSITION_MAX)]


class Shown(StrEnum):
    """Which coupons a list has."""

    ALL = "all"  # the newest first
    ACTIVE = "active"  # those that began last first
    VALID = "valid"  # of these, what applies now


class NewCoupon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A coupon; see docs/promotions.md."""

    code: Code
    name: Name
    discount_type: DiscountType
    percentage: Percentage | None = None
    amount: Money | None = None
    currency: CurrencyCode | None = None
    scope: CouponScope | None = None
    product_ids: Products | None = None
    user_ids: Users | None = None
    payment_method: CouponPayment | None = None
    auto_apply: bool = False
    applies_at: CouponPlace | None = None
    minimum_order_amount: Money | None = None
    maximum_discount_amount: Money | None = None
    usage_limit: Uses | None = None
    usage_limit_per_user: Uses | None = 1
    first_order_only: bool = False
    position: Place = 0
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: dict[str, Any] = {}


class ChangedCoupon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; null takes away."""

    name: Name | UnsetType = UNSET
    discount_type: DiscountType | UnsetType = UNSET
    percentage: Percentage | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    scope: CouponScope | UnsetType = UNSET
    product_ids: Products | UnsetType | None = UNSET
    user_ids: Users | UnsetType | None = UNSET
    payment_method: CouponPayment | UnsetType | None = UNSET
    auto_apply: bool | UnsetType = UNSET
    applies_at: CouponPlace | UnsetType = UNSET
    minimum_order_amount: Money | UnsetType | None = UNSET
    maximum_discount_amount: Money | UnsetType | None = UNSET
    usage_limit: Uses | UnsetType | None = UNSET
    usage_limit_per_user: Uses | UnsetType | None = UNSET
    first_order_only: bool | UnsetType = UNSET
    position: Place | UnsetType = UNSET
    starts_at: datetime | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


@get("/v1/admin/coupons", summary="Coupons", tags=_TAGS, guards=_WRITE, responses=says(InvalidCursor))
async def list_coupons(
    coupons: NamedDependency[Coupons],
    show: FromQuery[Shown] = Shown.ACTIVE,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Coupon]:
    """The active ones, unless it is said otherwise; `valid`: what applies now. A cursor belongs to one of the three."""
    if show is Shown.ALL:
        return await coupons.list_all(cursor=cursor, limit=limit)
    return await coupons.list(valid_now=show is Shown.VALID, cursor=cursor, limit=limit)


@get(
    "/v1/admin/coupons/expiring",
    summary="Coupons that end soon",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor, NaiveInstant),
)
async def expiring_coupons(
    coupons: NamedDependency[Coupons],
    before: FromQuery[datetime],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Coupon]:
    """The active ones that end by then, the next first."""
    return await coupons.list_expiring(expires_before=before, cursor=cursor, limit=limit)


@get("/v1/admin/coupons/automatic", summary="Coupons that apply by themselves", tags=_TAGS, guards=_WRITE)
async def automatic_coupons(
    coupons: NamedDependency[Coupons], payment_method: FromQuery[CouponPayment | None] = None
) -> AutomaticCoupons:
    """What applies now, by product. Without a way to pay, what applies however an order is paid."""
    return await coupons.all_auto_apply(payment_method=payment_method)


@get(
    "/v1/admin/products/{product_id:uuid}/coupons",
    summary="Coupons of a product",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidCursor),
)
async def product_coupons(
    product_id: FromPath[UUID],
    coupons: NamedDependency[Coupons],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Coupon]:
    """Those that list it, active or not."""
    return await coupons.list_for_product(product_id=ProductId(product_id), cursor=cursor, limit=limit)


@get(
    "/v1/admin/products/{product_id:uuid}/coupons/automatic",
    summary="Coupons that apply to a product by themselves",
    tags=_TAGS,
    guards=_WRITE,
)
async def product_automatic_coupons(
    product_id: FromPath[UUID],
    coupons: NamedDependency[Coupons],
    payment_method: FromQuery[CouponPayment | None] = None,
) -> Sequence[Coupon]:
    """In the order in which they take their part."""
    return await coupons.auto_apply_for(product_id=ProductId(product_id), payment_method=payment_method)


@post(
    "/v1/admin/coupons",
    summary="Add a coupon",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(InvalidCoupon, UnknownCurrency, NaiveInstant, CouponExists),
)
async def create_coupon(data: JSONBody[NewCoupon], coupons: NamedDependency[Coupons]) -> Coupon:
    """Its code is unique in the shop, whatever its case, also among those that are no longer active."""
    return await coupons.create(**msgspec.structs.asdict(data))


@get("/v1/admin/coupons/{code:str}", summary="One coupon", tags=_TAGS, guards=_WRITE, responses=says(CouponNotFound))
async def get_coupon(code: FromPath[str], coupons: NamedDependency[Coupons]) -> Coupon:
    """By its code in any case, active or not."""
    return await coupons.get(code=code)


@patch(
    "/v1/admin/coupons/{code:str}",
    summary="Change a coupon",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(CouponNotFound, InvalidCoupon, UnknownCurrency, NaiveInstant),
)
async def update_coupon(
    code: FromPath[str], data: JSONBody[ChangedCoupon], coupons: NamedDependency[Coupons]
) -> Coupon:
    """What is left out stays. Orders that were placed keep what they were given."""
    return await coupons.update(code=code, changes=CouponChanges(**msgspec.structs.asdict(data)))


@delete(
    "/v1/admin/coupons/{code:str}",
    status_code=204,
    summary="Take a coupon out of use",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(CouponNotFound),
)
async def delete_coupon(code: FromPath[str], coupons: NamedDependency[Coupons]) -> None:
    """It stays, with its uses; `is_active` brings it back."""
    await coupons.delete(code=code)


@get(
    "/v1/admin/coupons/{code:str}/redemptions",
    summary="Uses of a coupon",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(CouponNotFound, InvalidCursor),
)
async def coupon_redemptions(
    code: FromPath[str],
    coupons: NamedDependency[Coupons],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Redemption]:
    """The orders that had it, the newest first, and what it took off each."""
    return await coupons.redemptions(code=code, cursor=cursor, limit=limit)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_coupons,
    expiring_coupons,
    automatic_coupons,
    product_coupons,
    product_automatic_coupons,
    create_coupon,
    get_coupon,
    update_coupon,
    delete_coupon,
    coupon_redemptions,
)
