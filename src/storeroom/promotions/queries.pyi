# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.promotions.model import (
    Coupon,
    CouponPayment,
    CouponPlace,
    CouponScope,
    DiscountType,
    OrderDiscount,
    Redemption,
    UsesBefore,
)

async def insert_coupon(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    code: str,
    name: str,
    discount_type: DiscountType,
    percentage: Decimal | None,
    amount: int | None,
    currency: str | None,
    scope: CouponScope,
    product_ids: Sequence[UUID] | None,
    user_ids: Sequence[UUID] | None,
    payment_method: CouponPayment | None,
    auto_apply: bool,
    applies_at: CouponPlace,
    minimum_order_amount: int | None,
    maximum_discount_amount: int | None,
    usage_limit: int | None,
    usage_limit_per_user: int | None,
    first_order_only: bool,
    position: int,
    starts_at: datetime | None,
    expires_at: datetime | None,
    metadata: Any,
) -> Coupon | None: ...
async def update_coupon(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    name: str,
    discount_type: DiscountType,
    percentage: Decimal | None,
    amount: int | None,
    currency: str | None,
    scope: CouponScope,
    product_ids: Sequence[UUID] | None,
    user_ids: Sequence[UUID] | None,
    payment_method: CouponPayment | None,
    auto_apply: bool,
    applies_at: CouponPlace,
    minimum_order_amount: int | None,
    maximum_discount_amount: int | None,
    usage_limit: int | None,
    usage_limit_per_user: int | None,
    first_order_only: bool,
    position: int,
    starts_at: datetime,
    expires_at: datetime | None,
    is_active: bool,
    metadata: Any,
) -> Coupon: ...
async def deactivate_coupon(db: Executor, /, *, tenant_id: str, code: str) -> Coupon | None: ...
async def coupon(db: Executor, /, *, tenant_id: str, code: str) -> Coupon | None: ...
async def coupon_to_change(db: Executor, /, *, tenant_id: str, code: str) -> Coupon | None: ...
async def typed_coupons(db: Executor, /, *, tenant_id: str, codes: Sequence[str]) -> list[Coupon]: ...
async def coupons_page(db: Executor, /, *, tenant_id: str, before: UUID | None = None, size: int) -> list[Coupon]: ...
async def active_coupons(
    db: Executor,
    /,
    *,
    tenant_id: str,
    valid_now: bool | None = None,
    before_at: datetime | None = None,
    before_id: UUID | None = None,
    size: int,
) -> list[Coupon]: ...
async def expiring_coupons(
    db: Executor,
    /,
    *,
    tenant_id: str,
    expires_before: datetime,
    after_at: datetime | None = None,
    after_id: UUID | None = None,
    size: int,
) -> list[Coupon]: ...
async def coupons_of_product(
    db: Executor, /, *, tenant_id: str, product_id: UUID, before: UUID | None = None, size: int
) -> list[Coupon]: ...
async def automatic_coupons(
    db: Executor, /, *, tenant_id: str, ways: Sequence[CouponPayment], product_id: UUID | None = None, size: int
) -> list[Coupon]: ...
async def automatic_count(db: Executor, /, *, tenant_id: str) -> int: ...
async def now(db: Executor, /) -> datetime: ...
async def products_there(db: Executor, /, *, tenant_id: str, product_ids: Sequence[UUID]) -> int: ...
async def users_there(db: Executor, /, *, tenant_id: str, user_ids: Sequence[UUID]) -> int: ...
async def count_use(db: Executor, /, *, tenant_id: str, code: str) -> Coupon | None: ...
async def give_use_back(db: Executor, /, *, tenant_id: str, code: str) -> Coupon | None: ...
async def redemptions_page(
    db: Executor, /, *, tenant_id: str, coupon_id: UUID, before: UUID | None = None, size: int
) -> list[Redemption]: ...
async def discounts_of_order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> list[OrderDiscount]: ...
async def orders_before(db: Executor, /, *, tenant_id: str, email: str) -> int: ...
async def orders_of_account(db: Executor, /, *, tenant_id: str, user_id: UUID) -> int: ...
async def uses_before(
    db: Executor, /, *, tenant_id: str, coupon_ids: Sequence[UUID], email: str
) -> list[UsesBefore]: ...
async def uses_of_account(
    db: Executor, /, *, tenant_id: str, coupon_ids: Sequence[UUID], user_id: UUID
) -> list[UsesBefore]: ...
