"""Coupons: kept by staff, looked at by carts, counted by orders."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from storeroom.audit import audited
from storeroom.core.clock import utc
from storeroom.core.ids import CouponId, OrderId, ProductId, UserId, new_id
from storeroom.core.money import Money, currency_digits
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation, transactional
from storeroom.promotions import queries
from storeroom.promotions.errors import (
    CouponExists,
    CouponNotApplicable,
    CouponNotFound,
    CouponUsedUp,
    InvalidCoupon,
)
from storeroom.promotions.model import (
    AUTOMATIC_MAX,
    CODE_LENGTH_MAX,
    COUPONS_MAX,
    METADATA_BYTES_MAX,
    NAME_LENGTH_MAX,
    PERCENTAGE_DECIMALS,
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
    OrderDiscount,
    Redemption,
    UsesBefore,
    normal_code,
)
from storeroom.promotions.pricing import Buying, Discounting, Line, discounted, refusal, stacked

CODE: Final = re.compile(rf"[A-Z0-9][A-Z0-9._-]{{0,{CODE_LENGTH_MAX - 1}}}")


class CouponChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays, what may be null is taken away by null. The code stays.

    Scope and place follow the products unless they are named; the value of the other type goes where the type changes.
    """

    name: str | UnsetType = UNSET
    discount_type: DiscountType | UnsetType = UNSET
    percentage: Decimal | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    scope: CouponScope | UnsetType = UNSET
    product_ids: list[ProductId] | UnsetType | None = UNSET
    user_ids: list[UserId] | UnsetType | None = UNSET
    payment_method: CouponPayment | UnsetType | None = UNSET
    auto_apply: bool | UnsetType = UNSET
    applies_at: CouponPlace | UnsetType = UNSET
    minimum_order_amount: Money | UnsetType | None = UNSET
    maximum_discount_amount: Money | UnsetType | None = UNSET
    usage_limit: int | UnsetType | None = UNSET
    usage_limit_per_user: int | UnsetType | None = UNSET
    first_order_only: bool | UnsetType = UNSET
    position: int | UnsetType = UNSET
    starts_at: datetime | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class Coupons(Service):
    """The coupons of one shop. A code is the same in any case."""

    @audited("promotions.create", "coupon")
    @transactional
    async def create(
        self,
        *,
        code: str,
        name: str,
        discount_type: DiscountType,
        percentage: Decimal | None = None,
        amount: Money | None = None,
        currency: str | None = None,
        scope: CouponScope | None = None,
        product_ids: Sequence[ProductId] | None = None,
        user_ids: Sequence[UserId] | None = None,
        payment_method: CouponPayment | None = None,
        auto_apply: bool = False,
        applies_at: CouponPlace | None = None,
        minimum_order_amount: Money | None = None,
        maximum_discount_amount: Money | None = None,
        usage_limit: int | None = None,
        usage_limit_per_user: int | None = 1,
        first_order_only: bool = False,
        position: int = 0,
        starts_at: datetime | None = None,
        expires_at: datetime | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Coupon:
        """Add a coupon.

        Args:
            code: letters, digits, `.`, `_` and `-`, in any case; a shop has it once, for ever.
            name: for staff.
            discount_type: whether it takes `percentage` or `amount`.
            percentage: more than 0, at most 100, with at most six decimals.
            amount: more than nothing; one purchase in another currency is left alone.
            currency: of a percentage that is for one currency alone; else that of the amounts.
            scope: follows from the products.
            product_ids: what it is for; None: everything.
            user_ids: whom it is for; None: everybody.
            payment_method: how the order has to be paid; None: however.
            auto_apply: without being typed.
            applies_at: in the catalogue with products, at checkout without; it follows from them.
            minimum_order_amount: of the lines before any discount; itself enough.
            maximum_discount_amount: it takes no more from one order.
            usage_limit: orders in all; None: no limit.
            usage_limit_per_user: orders of one account, or of one guest's e-mail; None: no limit.
            first_order_only: for who never ordered.
            position: among those that apply by themselves, the lowest first.
            starts_at: None: now.
            expires_at: from then on it does not apply; None: never.
            metadata: for programs.

        Raises:
            InvalidCoupon: a field cannot be right; `field` names it.
            UnknownCurrency, NaiveInstant: of currency, start or end.
            CouponExists: the code is another's, active or not.
        """
        stored = normal_code(code)
        if not CODE.fullmatch(stored):
            reason = f"1 to {CODE_LENGTH_MAX} letters, digits, '.', '_' and '-', the first a letter or digit"
            raise InvalidCoupon(field="code", reason=reason)
        facts = _checked(
            name=name,
            discount_type=discount_type,
            percentage=percentage,
            amount=amount,
            currency=currency,
            scope=scope,
            product_ids=product_ids,
            user_ids=user_ids,
            payment_method=payment_method,
            auto_apply=auto_apply,
            applies_at=applies_at,
            minimum_order_amount=minimum_order_amount,
            maximum_discount_amount=maximum_discount_amount,
            usage_limit=usage_limit,
            usage_limit_per_user=usage_limit_per_user,
            first_order_only=first_order_only,
            position=position,
            starts_at=starts_at,
            expires_at=expires_at,
            metadata=metadata or {},
        )
        if starts_at is None and expires_at is not None and facts["expires_at"] <= await queries.now(self.db):
            raise InvalidCoupon(field="expires_at", reason="is over")
        await self._check_there(facts)
        if auto_apply:
            await self._check_automatic()
        made = await queries.insert_coupon(self.db, tenant_id=self.tenant_id, id=new_id(), code=stored, **facts)
        if made is None:
            raise CouponExists(coupon=stored)
        return made

    @audited("promotions.update", "coupon")
    @transactional
    async def update(self, *, code: str, changes: CouponChanges) -> Coupon:
        """Change some fields. The count of uses stays, also where the limit is now below it.

        Raises:
            CouponNotFound: no such coupon.
            InvalidCoupon, UnknownCurrency, NaiveInstant: as for `create`, judged with the fields that stay.
        """
        known = await queries.coupon_to_change(self.db, tenant_id=self.tenant_id, code=_stored(code))
        if known is None:
            raise CouponNotFound(coupon=code)
        asked = {name: to for name, to in msgspec.structs.asdict(changes).items() if to is not UNSET}
        facts = {name: getattr(known, name) for name in CouponChanges.__struct_fields__} | asked
        if "product_ids" in asked:
            facts |= {name: asked.get(name) for name in ("scope", "applies_at")}
        if facts["discount_type"] is not known.discount_type:
            facts |= {name: asked.get(name) for name in ("percentage", "amount")}
        if "currency" not in asked and any(isinstance(getattr(known, name), Money) for name in _AMOUNTS):
            facts["currency"] = None  # it was that of the amounts, so it follows them
        active = bool(facts.pop("is_active"))
        settings = _checked(**facts)
        await self._check_there({name: settings[name] for name in ("product_ids", "user_ids") if name in asked})
        if settings["auto_apply"] and active and not (known.auto_apply and known.is_active):
            await self._check_automatic()
        return await queries.update_coupon(self.db, tenant_id=self.tenant_id, id=known.id, is_active=active, **settings)

    @audited("promotions.delete", "coupon")
    @transactional
    async def delete(self, *, code: str) -> Coupon:
        """Take a coupon out of use. Its row and its uses stay, and so do the orders that had it; again changes nothing.

        Raises:
            CouponNotFound: no such coupon.
        """
        gone = await queries.deactivate_coupon(self.db, tenant_id=self.tenant_id, code=_stored(code))
        if gone is None:
            raise CouponNotFound(coupon=code)
        return gone

    @operation
    async def get(self, *, code: str) -> Coupon:
        """One coupon, active or not. Raises CouponNotFound."""
        found = await queries.coupon(self.db, tenant_id=self.tenant_id, code=_stored(code))
        if found is None:
            raise CouponNotFound(coupon=code)
        return found

    @operation
    async def list(
        self, *, valid_now: bool = False, cursor: str | None = None, limit: int | None = None
    ) -> Page[Coupon]:
        """The active ones, those that began last first.

        Args:
            valid_now: leave out those that have not begun, or are over.
            cursor: of the page before.
            limit: rows on a page.
        """
        size = page_size(limit)
        at, before = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.active_coupons(
            self.db,
            tenant_id=self.tenant_id,
            valid_now=valid_now or None,
            before_at=at,
            before_id=before,
            size=size + 1,
        )
        return page_of(rows, size, lambda coupon: (coupon.starts_at, coupon.id))

    @operation
    async def list_all(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Coupon]:
        """All of them, the newest first."""
        size = page_size(limit)
        (before,) = decode_cursor(cursor, (UUID,)) if cursor else (None,)
        rows = await queries.coupons_page(self.db, tenant_id=self.tenant_id, before=before, size=size + 1)
        return page_of(rows, size, lambda coupon: (coupon.id,))

    @operation
    async def list_expiring(
        self, *, expires_before: datetime, cursor: str | None = None, limit: int | None = None
    ) -> Page[Coupon]:
        """The active ones that end by then and not yet, the next first. Raises NaiveInstant."""
        size = page_size(limit)
        at, after = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.expiring_coupons(
            self.db,
            tenant_id=self.tenant_id,
            expires_before=utc(expires_before, field="expires_before"),
            after_at=at,
            after_id=after,
            size=size + 1,
        )
        return page_of(rows, size, lambda coupon: (coupon.expires_at, coupon.id))

    @operation
    async def list_for_product(
        self, *, product_id: ProductId, cursor: str | None = None, limit: int | None = None
    ) -> Page[Coupon]:
        """Those that list the product, active or not, the newest first."""
        size = page_size(limit)
        (before,) = decode_cursor(cursor, (UUID,)) if cursor else (None,)
        rows = await queries.coupons_of_product(
            self.db, tenant_id=self.tenant_id, product_id=product_id, before=before, size=size + 1
        )
        return page_of(rows, size, lambda coupon: (coupon.id,))

    @operation
    async def auto_apply_for(
        self, *, product_id: ProductId, payment_method: CouponPayment | None = None
    ) -> Sequence[Coupon]:
        """What applies now to a product without being typed, in the order in which it takes its part.

        Those for any product and those for any way to pay are among them; without a way to pay, the latter alone.
        """
        return await queries.automatic_coupons(
            self.db,
            tenant_id=self.tenant_id,
            ways=[payment_method] if payment_method else [],
            product_id=product_id,
            size=AUTOMATIC_MAX,
        )

    @operation
    async def all_auto_apply(self, *, payment_method: CouponPayment | None = None) -> AutomaticCoupons:
        """The same for all products, from one query."""
        found = await queries.automatic_coupons(
            self.db,
            tenant_id=self.tenant_id,
            ways=[payment_method] if payment_method else [],
            size=AUTOMATIC_MAX,
        )
        listed = {product_id for coupon in found for product_id in coupon.product_ids or ()}
        return AutomaticCoupons(
            by_product={each: [coupon for coupon in found if coupon.covers(each)] for each in listed},
            everywhere=[coupon for coupon in found if coupon.product_ids is None],
        )

    @operation
    async def preview(
        self,
        *,
        lines: Sequence[Line],
        currency: str,
        codes: Sequence[str] = (),
        ways: Collection[CouponPayment] = (),
        user_id: UserId | None = None,
        email: str | None = None,
    ) -> Discounting:
        """What the coupons would take off a purchase now: those typed, and those that apply by themselves.

        Nothing is counted and nothing promised: the checkout decides. Of the typed ones each must apply, of the others
        those that do not are left out.

        Args:
            lines: amounts before any discount.
            currency: of the lines.
            codes: as typed, in that order; at most COUPONS_MAX.
            ways: what the chosen payment method counts as, see `ways_of`; empty while none is chosen.
            user_id: the buyer's account.
            email: of a buyer without an account, where it is known.

        Raises:
            CouponNotFound, CouponUsedUp, CouponNotApplicable: of the first code that is refused.
        """
        if len(codes) > COUPONS_MAX:
            raise InvalidCoupon(field="codes", reason=f"at most {COUPONS_MAX}")
        wanted = list(dict.fromkeys(map(_stored, codes)))
        by_code = {
            coupon.code: coupon
            for coupon in await queries.typed_coupons(self.db, tenant_id=self.tenant_id, codes=wanted)
        }
        for code in wanted:
            if code not in by_code:
                raise CouponNotFound(coupon=code)
        automatic = await queries.automatic_coupons(
            self.db, tenant_id=self.tenant_id, ways=list(ways), size=AUTOMATIC_MAX
        )
        buying = Buying(
            at=await queries.now(self.db),
            currency=currency,
            subtotal=sum(line.amount for line in lines),
            product_ids=frozenset(line.product_id for line in lines),
            user_id=user_id,
            ways=frozenset(ways),
        )
        buying, uses = await self._with_history(buying, [*by_code.values(), *automatic], user_id=user_id, email=email)

        def unfit(coupon: Coupon) -> Any:
            return refusal(coupon, msgspec.structs.replace(buying, uses_before=uses.get(coupon.id, 0)))

        for code in wanted:
            if by_code[code].used_up:
                raise CouponUsedUp(coupon=code)
            if reason := unfit(by_code[code]):
                raise CouponNotApplicable(coupon=code, reason=reason)
        fit = stacked((coupon for coupon in automatic if not unfit(coupon)), (by_code[code] for code in wanted))
        return discounted(lines=lines, coupons=fit, currency=currency, at=buying.at)

    @transactional
    async def increment_usage(self, *, code: str) -> Coupon:
        """Count one use of a coupon that was spent outside of an order; `place_orders_v2` counts those of orders.

        Raises:
            CouponNotFound: no active coupon has the code.
            CouponUsedUp: its limit is reached. Nothing was counted.
        """
        stored = _stored(code)
        counted = await queries.count_use(self.db, tenant_id=self.tenant_id, code=stored)
        if counted is not None:
            return counted
        if not await queries.typed_coupons(self.db, tenant_id=self.tenant_id, codes=[stored]):
            raise CouponNotFound(coupon=code)
        raise CouponUsedUp(coupon=stored)

    @transactional
    async def decrement_usage(self, *, code: str) -> Coupon:
        """Give back one use that `increment_usage` counted; below nothing it does not go. Raises CouponNotFound."""
        left = await queries.give_use_back(self.db, tenant_id=self.tenant_id, code=_stored(code))
        if left is None:
            raise CouponNotFound(coupon=code)
        return left

    @operation
    async def redemptions(self, *, code: str, cursor: str | None = None, limit: int | None = None) -> Page[Redemption]:
        """The orders that had a coupon, the newest first, with what it took. Raises CouponNotFound."""
        size = page_size(limit)
        (before,) = decode_cursor(cursor, (UUID,)) if cursor else (None,)
        coupon = await self.get(code=code)
        rows = await queries.redemptions_page(
            self.db, tenant_id=self.tenant_id, coupon_id=coupon.id, before=before, size=size + 1
        )
        return page_of(rows, size, lambda use: (use.id,))

    @operation
    async def discounts_of(self, *, order_id: OrderId) -> Sequence[OrderDiscount]:
        """What was taken off an order, in the order in which it was; nothing for an order that is not there."""
        return await queries.discounts_of_order(self.db, tenant_id=self.tenant_id, order_id=order_id)

    async def _with_history(
        self, buying: Buying, coupons: Sequence[Coupon], *, user_id: UserId | None, email: str | None
    ) -> tuple[Buying, dict[CouponId, int]]:
        """What the buyer had before, where a coupon asks for it and the buyer is known."""
        if user_id is None and email is None:
            return buying, {}
        tenant_id, orders, uses = self.tenant_id, 0, list[UsesBefore]()
        limited = [coupon.id for coupon in coupons if coupon.usage_limit_per_user is not None]
        first_only = any(coupon.first_order_only for coupon in coupons)
        if user_id is not None:
            if first_only:
                orders = await queries.orders_of_account(self.db, tenant_id=tenant_id, user_id=user_id)
            if limited:
                uses = await queries.uses_of_account(self.db, tenant_id=tenant_id, coupon_ids=limited, user_id=user_id)
        elif email is not None:
            if first_only:
                orders = await queries.orders_before(self.db, tenant_id=tenant_id, email=email)
            if limited:
                uses = await queries.uses_before(self.db, tenant_id=tenant_id, coupon_ids=limited, email=email)
        return msgspec.structs.replace(buying, orders_before=orders), {use.coupon_id: use.uses for use in uses}

    async def _check_there(self, facts: dict[str, Any]) -> None:
        """Arrays have no foreign keys: what they list is looked for."""
        if products := facts.get("product_ids"):
            there = await queries.products_there(self.db, tenant_id=self.tenant_id, product_ids=products)
            if there < len(products):
                raise InvalidCoupon(field="product_ids", reason="one of them is no product of the shop")
        if users := facts.get("user_ids"):
            there = await queries.users_there(self.db, tenant_id=self.tenant_id, user_ids=users)
            if there < len(users):
                raise InvalidCoupon(field="user_ids", reason="one of them is no account of the shop")

    async def _check_automatic(self) -> None:
        if await queries.automatic_count(self.db, tenant_id=self.tenant_id) >= AUTOMATIC_MAX:
            raise InvalidCoupon(field="auto_apply", reason=f"at most {AUTOMATIC_MAX} coupons apply by themselves")


def _stored(code: str) -> str:
    """A code as it is stored; what no coupon can be called is not looked for. Raises CouponNotFound."""
    stored = normal_code(code)
    if not CODE.fullmatch(stored):
        raise CouponNotFound(coupon=code)
    return stored


_AMOUNTS: Final = ("amount", "minimum_order_amount", "maximum_discount_amount")


def _checked(**facts: Any) -> dict[str, Any]:
    """The fields as the statements take them, or the first that cannot be right."""
    facts["name"] = facts["name"].strip()
    if not 1 <= len(facts["name"]) <= NAME_LENGTH_MAX or not facts["name"].isprintable():
        raise InvalidCoupon(field="name", reason=f"1 to {NAME_LENGTH_MAX} printable characters")
    for field, kind in (
        ("discount_type", DiscountType),
        ("scope", CouponScope),
        ("applies_at", CouponPlace),
        ("payment_method", CouponPayment),
    ):
        facts[field] = _member(kind, field, facts[field])
    _check_value(facts)
    facts["currency"] = _currency(facts)
    for field, longest in (("product_ids", PRODUCTS_MAX), ("user_ids", USERS_MAX)):
        if facts[field] is not None:
            facts[field] = list(dict.fromkeys(facts[field]))
            if not 1 <= len(facts[field]) <= longest:
                raise InvalidCoupon(field=field, reason=f"1 to {longest} ids")
    _check_place(facts)
    for field in ("usage_limit", "usage_limit_per_user"):
        if facts[field] is not None and not 1 <= facts[field] <= USES_MAX:
            raise InvalidCoupon(field=field, reason=f"1 to {USES_MAX}")
    if abs(facts["position"]) > POSITION_MAX:
        raise InvalidCoupon(field="position", reason=f"-{POSITION_MAX} to {POSITION_MAX}")
    for field in ("starts_at", "expires_at"):
        if facts[field] is not None:
            facts[field] = utc(facts[field], field=field)
    if facts["starts_at"] and facts["expires_at"] and facts["expires_at"] <= facts["starts_at"]:
        raise InvalidCoupon(field="expires_at", reason="is not after the start")
    try:
        encoded = msgspec.json.encode(facts["metadata"])
    except TypeError:
        raise InvalidCoupon(field="metadata", reason="is not JSON") from None
    if len(encoded) > METADATA_BYTES_MAX or rb"\u0000" in encoded:
        raise InvalidCoupon(field="metadata", reason=f"JSON of at most {METADATA_BYTES_MAX} bytes")
    return facts | {field: facts[field] and facts[field].amount for field in _AMOUNTS}


def _member(kind: Any, field: str, value: object) -> Any:
    try:
        return None if value is None else kind(value)
    except ValueError:
        raise InvalidCoupon(field=field, reason=f"one of {', '.join(kind)}") from None


def _check_value(facts: dict[str, Any]) -> None:
    """A percentage or an amount, as the type says, and amounts that are some."""
    fixed = facts["discount_type"] is DiscountType.FIXED
    given, other = ("amount", "percentage") if fixed else ("percentage", "amount")
    if facts[given] is None:
        raise InvalidCoupon(field=given, reason="is missing")
    if facts[other] is not None:
        raise InvalidCoupon(field=other, reason=f"does not go with {facts['discount_type'].value}")
    if not fixed:
        value = facts["percentage"]
        try:
            fine = value == value.quantize(Decimal(1).scaleb(-PERCENTAGE_DECIMALS))
        except InvalidOperation:
            fine = False
        if not fine or not 0 < value <= 100:
            reason = f"more than 0, at most 100, with at most {PERCENTAGE_DECIMALS} decimals"
            raise InvalidCoupon(field="percentage", reason=reason)
    for field, least in (("amount", 1), ("minimum_order_amount", 0), ("maximum_discount_amount", 1)):
        if facts[field] is not None and facts[field].amount < least:
            raise InvalidCoupon(field=field, reason=f"{least} or more")


def _currency(facts: dict[str, Any]) -> str | None:
    """The one currency of all amounts, or the one that was named."""
    currency: str | None = facts["currency"]
    for field in _AMOUNTS:
        if facts[field] is not None:
            currency = currency or facts[field].currency
            if facts[field].currency != currency:
                raise InvalidCoupon(field=field, reason=f"is not in {currency}")
    if currency is not None:
        currency_digits(currency)
    return currency


def _check_place(facts: dict[str, Any]) -> None:
    """A coupon with products takes off their lines, one without off the whole."""
    listed = facts["product_ids"] is not None
    scope = CouponScope.SPECIFIC if listed else CouponScope.ALL
    place = CouponPlace.CATALOG if listed else CouponPlace.CHECKOUT
    facts["scope"], facts["applies_at"] = facts["scope"] or scope, facts["applies_at"] or place
    if facts["scope"] is not scope:
        raise InvalidCoupon(field="scope", reason=f"is {scope.value} {'with' if listed else 'without'} products")
    if facts["applies_at"] is not place:
        raise InvalidCoupon(field="applies_at", reason=f"is {place.value} {'with' if listed else 'without'} products")
