"""Coupons as staff keep them and carts ask for them, on the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from factories import make_coupon, make_product, open_shop, place, usd
from storeroom.core.clock import NaiveInstant
from storeroom.core.ids import OrderId, ProductId, UserId, new_id
from storeroom.core.money import Money, UnknownCurrency
from storeroom.core.visitor import Visitor
from storeroom.promotions import (
    COUPONS_MAX,
    Coupon,
    CouponChanges,
    CouponExists,
    CouponNotApplicable,
    CouponNotFound,
    CouponPayment,
    CouponPlace,
    CouponRefusal,
    CouponScope,
    CouponUsedUp,
    Discounting,
    DiscountType,
    InvalidCoupon,
    Line,
)
from storeroom.room import Shop, Storeroom

TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def product(shop: Shop) -> ProductId:
    return (await shop.products.variant(variant_id=await make_product(shop))).product_id


async def account(shop: Shop, name: str = "ann") -> UserId:
    return (
        await shop.users.register(email=f"{name}@buyer.example", password="correct horse battery", full_name=name)
    ).id


async def codes(coupons: Any) -> list[str]:
    found = await coupons
    return [coupon.code for coupon in getattr(found, "items", found)]


async def used(
    shop: Shop, coupon: Coupon, *, user_id: UserId | None = None, email: str = "bo@buyer.example"
) -> OrderId:
    """An order of 10.00 that had the coupon."""
    visitor = Visitor(user_id=user_id) if user_id else None
    typed = [] if coupon.auto_apply else [coupon.code]
    return (await place(shop, (await make_product(shop), 1), email=email, visitor=visitor, coupons=typed)).order.id


# --- Kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-062", "CED-CPN-01", "SBB-DISC-01")
async def test_a_coupon_reads_back_as_it_was_made(shop: Shop) -> None:
    shirt, ann = await product(shop), await account(shop)
    starts_at, expires_at = datetime(2031, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
    asked: dict[str, Any] = {
        "name": "Spring",
        "discount_type": DiscountType.PERCENTAGE,
        "percentage": Decimal("33.333333"),
        "currency": "USD",
        "product_ids": [shirt],
        "user_ids": [ann],
        "payment_method": CouponPayment.X402,
        "auto_apply": True,
        "minimum_order_amount": usd(5000),
        "maximum_discount_amount": usd(2**62),
        "usage_limit": 100,
        "usage_limit_per_user": 2,
        "first_order_only": True,
        "position": -3,
        "starts_at": starts_at,
        "expires_at": expires_at,
        "metadata": {"campaign": {"n": 7}},
    }
    made = await shop.coupons.create(code=" Spring-31 ", **asked)
    assert {name: getattr(made, name) for name in asked} == asked
    assert (made.code, made.scope, made.applies_at) == ("SPRING-31", CouponScope.SPECIFIC, CouponPlace.CATALOG)
    assert (made.amount, made.usage_count, made.is_active) == (None, 0, True)
    assert await shop.coupons.get(code="SPRING-31") == made

    plain = await make_coupon(shop, "12.34 USD")
    assert (plain.amount, plain.currency, plain.percentage) == (usd(1234), "USD", None)
    assert (plain.scope, plain.applies_at, plain.usage_limit_per_user) == (CouponScope.ALL, CouponPlace.CHECKOUT, 1)
    assert abs(plain.starts_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (plain.expires_at, plain.usage_limit, plain.metadata) == (None, None, {})


@pytest.mark.requirement("CED-OP-058")
async def test_a_code_is_the_same_in_any_case_on_writing_and_reading(shop: Shop) -> None:
    made = await make_coupon(shop, "10 %", "sPring")
    for typed in ("SPRING", "spring", "Spring ", made.code):
        assert await shop.coupons.get(code=typed) == made
    for unknown in ("SPRINT", "", "spring\0", "%", "\u017fpring", "x" * 10_000):
        with pytest.raises(CouponNotFound):
            await shop.coupons.get(code=unknown)
    with pytest.raises(CouponExists) as refused:
        await make_coupon(shop, "20 %", "SPRING")
    assert refused.value.facts() == {"coupon": "SPRING"}
    with pytest.raises(asyncpg.CheckViolationError, match="coupons_code_form"):  # not by the service alone
        await shop.context.db.execute(
            "INSERT INTO coupons (tenant_id, id, code, name, discount_type, percentage) VALUES ($1, $2, 'lower', 'x', "
            "'percentage', 5)",
            *(shop.tenant_id, new_id()),
        )


@pytest.mark.requirement("CED-CPN-07", "SBB-DISC-02", "CED-CPN-08")
@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("code", {"code": ""}),
        ("code", {"code": "two words"}),
        ("code", {"code": "É1"}),
        ("code", {"code": "X" * 51}),
        ("name", {"name": " "}),
        ("name", {"name": "a\0b"}),
        ("discount_type", {"discount_type": "free"}),
        ("percentage", {"percentage": None}),
        ("percentage", {"percentage": Decimal(0)}),
        ("percentage", {"percentage": Decimal("100.000001")}),
        ("percentage", {"percentage": Decimal(101)}),
        ("percentage", {"percentage": Decimal("0.0000001")}),
        ("percentage", {"percentage": Decimal("NaN")}),
        ("percentage", {"percentage": Decimal("Infinity")}),
        ("percentage", {"percentage": Decimal("1E+9999")}),
        ("amount", {"amount": usd(1)}),
        ("amount", {"discount_type": DiscountType.FIXED, "percentage": None}),
        ("percentage", {"discount_type": DiscountType.FIXED, "amount": usd(1)}),
        ("amount", {"discount_type": DiscountType.FIXED, "percentage": None, "amount": usd(0)}),
        ("minimum_order_amount", {"minimum_order_amount": usd(-1)}),
        ("maximum_discount_amount", {"maximum_discount_amount": usd(0)}),
        ("maximum_discount_amount", {"minimum_order_amount": usd(1), "maximum_discount_amount": Money(1, "EUR")}),
        ("minimum_order_amount", {"minimum_order_amount": usd(1), "currency": "EUR"}),
        ("scope", {"scope": "some"}),
        ("scope", {"scope": CouponScope.SPECIFIC}),
        ("applies_at", {"applies_at": "subtotal"}),
        ("applies_at", {"applies_at": CouponPlace.CATALOG}),
        ("payment_method", {"payment_method": "cheque"}),
        ("product_ids", {"product_ids": []}),
        ("product_ids", {"product_ids": [new_id()]}),
        ("user_ids", {"user_ids": []}),
        ("user_ids", {"user_ids": [new_id()]}),
        ("usage_limit", {"usage_limit": 0}),
        ("usage_limit", {"usage_limit": 2**31}),
        ("usage_limit_per_user", {"usage_limit_per_user": -1}),
        ("position", {"position": 10**9}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("expires_at", {"starts_at": TOMORROW, "expires_at": TOMORROW}),
        ("metadata", {"metadata": {"a": "x" * 11_000}}),
        ("metadata", {"metadata": {"a": "\0"}}),
    ],
)
async def test_what_cannot_be_right_is_refused_and_nothing_is_written(
    shop: Shop, field: str, settings: dict[str, Any]
) -> None:
    facts: dict[str, Any] = {"code": "SAVE", "name": "Save", "discount_type": "percentage", "percentage": Decimal(10)}
    with pytest.raises(InvalidCoupon) as refused:
        await shop.coupons.create(**facts | settings)
    assert refused.value.field == field
    assert await codes(shop.coupons.list_all()) == []


async def test_a_currency_nobody_has_and_an_instant_without_offset_are_refused(shop: Shop) -> None:
    with pytest.raises(UnknownCurrency):
        await make_coupon(shop, "10 %", currency="ABC")
    with pytest.raises(NaiveInstant):
        await make_coupon(shop, "10 %", starts_at=datetime(2031, 1, 1))  # noqa: DTZ001 - that is the point
    assert await codes(shop.coupons.list_all()) == []


@pytest.mark.requirement("CED-CPN-07")
async def test_catalogue_coupons_have_products_and_checkout_coupons_none(shop: Shop) -> None:
    shirt = await product(shop)
    with pytest.raises(InvalidCoupon) as refused:
        await make_coupon(shop, "10 %", product_ids=[shirt], applies_at=CouponPlace.CHECKOUT)
    assert refused.value.field == "applies_at"
    with pytest.raises(InvalidCoupon):
        await make_coupon(shop, "10 %", product_ids=[shirt], scope=CouponScope.ALL)
    listed = await make_coupon(
        shop, "10 %", product_ids=[shirt, shirt], scope=CouponScope.SPECIFIC, applies_at=CouponPlace.CATALOG
    )
    assert listed.product_ids == [shirt]
    for columns, constraint in (
        ("scope = 'all'", "coupons_(scope|place)_whole"),
        ("applies_at = 'checkout'", "coupons_place_whole"),
        ("product_ids = '{}'", "coupons_scope_whole"),
        ("percentage = 101", "coupons_value_whole"),
        ("amount = 5, currency = 'USD'", "coupons_value_whole"),
        ("minimum_order_amount = 5", "coupons_currency_given"),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            await shop.context.db.execute(f"UPDATE coupons SET {columns} WHERE id = $1", listed.id)


async def test_the_spelling_of_the_other_document_is_read(shop: Shop) -> None:
    made = await shop.coupons.create(code="A", name="A", discount_type="fixed_amount", amount=usd(1))  # type: ignore[arg-type]
    assert made.discount_type is DiscountType.FIXED


@pytest.mark.requirement("CED-OP-063")
async def test_an_update_changes_fields_and_not_the_count(shop: Shop) -> None:
    made = await make_coupon(shop, "10 %", "SAVE", usage_limit=5, minimum_order_amount=usd(100))
    await shop.coupons.increment_usage(code="save")
    await shop.coupons.increment_usage(code="save")
    changed = await shop.coupons.update(
        code="save", changes=CouponChanges(name="More", percentage=Decimal(15), usage_limit=None, expires_at=TOMORROW)
    )
    assert (changed.name, changed.percentage, changed.usage_limit, changed.usage_count) == ("More", 15, None, 2)
    kept = {name: getattr(changed, name) for name in ("id", "code", "created_at", "starts_at", "minimum_order_amount")}
    assert kept == {name: getattr(made, name) for name in kept}
    assert changed.updated_at > made.updated_at
    assert await shop.coupons.get(code="SAVE") == changed
    with pytest.raises(CouponNotFound):
        await shop.coupons.update(code="other", changes=CouponChanges(name="More"))
    with pytest.raises(InvalidCoupon):
        await shop.coupons.update(code="save", changes=CouponChanges(percentage=Decimal(101)))
    assert await shop.coupons.get(code="SAVE") == changed


async def test_an_update_keeps_the_parts_of_a_coupon_together(shop: Shop) -> None:
    shirt = await product(shop)
    await make_coupon(shop, "10 %", "SAVE", minimum_order_amount=usd(100))

    async def change(**changes: Any) -> Coupon:
        return await shop.coupons.update(code="SAVE", changes=CouponChanges(**changes))

    listed = await change(product_ids=[shirt])
    assert (listed.scope, listed.applies_at) == (CouponScope.SPECIFIC, CouponPlace.CATALOG)
    everything = await change(product_ids=None)
    assert (everything.scope, everything.applies_at) == (CouponScope.ALL, CouponPlace.CHECKOUT)
    fixed = await change(discount_type=DiscountType.FIXED, amount=usd(200))
    assert (fixed.percentage, fixed.amount) == (None, usd(200))
    with pytest.raises(InvalidCoupon) as refused:  # the minimum would stay in dollars
        await change(amount=Money(200, "EUR"))
    assert refused.value.field == "minimum_order_amount"
    euros = await change(amount=Money(200, "EUR"), minimum_order_amount=None)
    assert euros.currency == "EUR"
    free = await change(discount_type=DiscountType.PERCENTAGE, percentage=Decimal(5))
    assert (free.currency, free.amount) == (None, None)
    with pytest.raises(InvalidCoupon):
        await change(applies_at=CouponPlace.CATALOG)


@pytest.mark.requirement("CED-OP-065")
async def test_a_deleted_coupon_is_no_longer_listed_or_applied_and_its_row_and_uses_remain(shop: Shop) -> None:
    made = await make_coupon(shop, "10 %", "SAVE", auto_apply=True, usage_limit_per_user=None)
    await shop.coupons.increment_usage(code="SAVE")
    order_id = await used(shop, made)
    lines = [Line(await product(shop), 1000)]
    assert (await shop.coupons.preview(lines=lines, currency="USD")).discount == 100

    gone = await shop.coupons.delete(code="save")
    assert (gone.is_active, gone.usage_count) == (False, 2)
    assert await shop.coupons.delete(code="save") == await shop.coupons.get(code="SAVE")  # again is no error
    assert await codes(shop.coupons.list()) == await codes(shop.coupons.list(valid_now=True)) == []
    assert await codes(shop.coupons.list_all()) == ["SAVE"]
    assert (await shop.coupons.preview(lines=lines, currency="USD")).discount == 0
    for call in (
        shop.coupons.preview(lines=lines, currency="USD", codes=["save"]),
        shop.coupons.increment_usage(code="SAVE"),
        shop.coupons.delete(code="other"),
    ):
        with pytest.raises(CouponNotFound):
            await call
    assert [use.order_id for use in (await shop.coupons.redemptions(code="save")).items] == [order_id]
    assert [each.code for each in await shop.coupons.discounts_of(order_id=order_id)] == ["SAVE"]
    back = await shop.coupons.update(code="SAVE", changes=CouponChanges(is_active=True))
    assert back.usage_count == 2
    assert await codes(shop.coupons.list()) == ["SAVE"]


# --- Listed -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-059")
async def test_of_an_active_and_an_inactive_coupon_and_anothers_the_first_is_listed(
    shop: Shop, room: Storeroom
) -> None:
    active = await make_coupon(shop, "10 %")
    await shop.coupons.delete(code=(await make_coupon(shop, "10 %")).code)
    await make_coupon(await open_shop(room), "10 %")
    assert (await shop.coupons.list()).items == [active]


async def test_lists_go_page_by_page(shop: Shop, room: Storeroom) -> None:
    base = datetime.now(UTC)
    for number in range(5):
        at = base + timedelta(hours=number // 2)  # two of them at one instant
        await make_coupon(shop, "1 %", f"C{number}", starts_at=at, expires_at=at + timedelta(days=9))
    await make_coupon(await open_shop(room), "1 %", expires_at=TOMORROW)
    until = base + timedelta(days=30)
    for ask, expected in (
        (lambda cursor: shop.coupons.list(cursor=cursor, limit=2), ["C4", "C3", "C2", "C1", "C0"]),
        (lambda cursor: shop.coupons.list_all(cursor=cursor, limit=2), ["C4", "C3", "C2", "C1", "C0"]),
        (
            lambda cursor: shop.coupons.list_expiring(expires_before=until, cursor=cursor, limit=2),
            ["C0", "C1", "C2", "C3", "C4"],
        ),
    ):
        page, seen = await ask(None), list[str]()
        while True:
            seen += [coupon.code for coupon in page.items]
            assert len(page.items) <= 2
            if page.next_cursor is None:
                break
            page = await ask(page.next_cursor)
        assert seen == expected
    early = await shop.coupons.list_expiring(expires_before=base + timedelta(days=9))
    assert [coupon.code for coupon in early.items] == ["C0", "C1"]


async def test_valid_now_leaves_out_what_has_not_begun_or_is_over(shop: Shop) -> None:
    await make_coupon(shop, "1 %", "NOW")
    await make_coupon(shop, "1 %", "SOON", starts_at=TOMORROW)
    over = await make_coupon(shop, "1 %", "OVER", expires_at=TOMORROW)
    await backdate(shop, over, expires_at=timedelta(0))
    assert await codes(shop.coupons.list(valid_now=True)) == ["NOW"]
    assert set(await codes(shop.coupons.list())) == {"NOW", "SOON", "OVER"}
    assert await codes(shop.coupons.list_expiring(expires_before=TOMORROW)) == []


async def test_the_coupons_of_a_product_are_found(shop: Shop) -> None:
    shirt, cap = await product(shop), await product(shop)
    await make_coupon(shop, "1 %", "SHIRT", product_ids=[shirt])
    await make_coupon(shop, "1 %", "BOTH", product_ids=[cap, shirt])
    await make_coupon(shop, "1 %", "ALL")
    assert await codes(shop.coupons.list_for_product(product_id=shirt)) == ["BOTH", "SHIRT"]
    assert await codes(shop.coupons.list_for_product(product_id=cap)) == ["BOTH"]
    assert await codes(shop.coupons.list_for_product(product_id=ProductId(new_id()))) == []


async def backdate(
    shop: Shop, coupon: Coupon, *, starts_at: timedelta = timedelta(days=40_000), expires_at: timedelta | None = None
) -> None:
    """Move start and end to so long before the database's now."""
    await shop.context.db.execute(
        "UPDATE coupons SET starts_at = now() - $3::interval, expires_at = now() - $4::interval "
        "WHERE tenant_id = $1 AND id = $2",
        *(shop.tenant_id, coupon.id, starts_at, expires_at),
    )


# --- Applied by themselves --------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-060", "CED-OP-061", "CED-CPN-02", "CED-CPN-03")
async def test_what_applies_by_itself_is_found_by_product_and_payment(shop: Shop, room: Storeroom) -> None:
    shirt, cap = await product(shop), await product(shop)
    auto = {"auto_apply": True}
    await make_coupon(shop, "1 %", "ANY", position=3, **auto)
    await make_coupon(shop, "1 %", "CARD", position=2, payment_method=CouponPayment.STRIPE, **auto)
    await make_coupon(shop, "1 %", "SHIRT", position=1, product_ids=[shirt], **auto)
    await make_coupon(shop, "1 %", "ALSO", position=1, product_ids=[shirt], payment_method=CouponPayment.X402, **auto)
    await make_coupon(shop, "1 %", "TYPED")
    await make_coupon(shop, "1 %", "SOON", starts_at=TOMORROW, **auto)
    await backdate(shop, await make_coupon(shop, "1 %", "OVER", expires_at=TOMORROW, **auto), expires_at=timedelta(0))
    await make_coupon(shop, "1 %", "SPENT", usage_limit=1, **auto)
    await shop.coupons.increment_usage(code="SPENT")
    await make_coupon(shop, "1 %", "GONE", **auto)
    await shop.coupons.delete(code="GONE")
    await make_coupon(await open_shop(room), "1 %", "THEIRS", **auto)

    expected = {
        (shirt, CouponPayment.STRIPE): ["SHIRT", "CARD", "ANY"],
        (shirt, CouponPayment.X402): ["ALSO", "SHIRT", "ANY"],
        (shirt, None): ["SHIRT", "ANY"],
        (cap, CouponPayment.STRIPE): ["CARD", "ANY"],
        (cap, CouponPayment.X402): ["ANY"],
        (cap, CouponPayment.MANUAL): ["ANY"],
        (cap, None): ["ANY"],
    }
    for (product_id, method), wanted in expected.items():
        single = await shop.coupons.auto_apply_for(product_id=product_id, payment_method=method)
        assert [coupon.code for coupon in single] == wanted
        every = await shop.coupons.all_auto_apply(payment_method=method)
        assert every.of(product_id) == list(single)
        assert set(every.by_product) == {shirt}
        assert every.of(ProductId(new_id())) == every.everywhere


@pytest.mark.requirement("CED-OP-061")
async def test_all_of_them_are_one_query(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await make_coupon(shop, "1 %", product_ids=[await product(shop)], auto_apply=True)
    await shop.coupons.list()  # the tenant is known from here on
    asked, fetch = list[str](), type(shop.context.db).fetch

    async def noted(db: Any, sql: str, /, *args: object) -> Any:
        asked.append(sql)
        return await fetch(db, sql, *args)

    monkeypatch.setattr(type(shop.context.db), "fetch", noted)
    assert len((await shop.coupons.all_auto_apply()).by_product) == 3
    assert len(asked) == 1


async def test_so_many_apply_by_themselves_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storeroom.promotions.service.AUTOMATIC_MAX", 2)
    await make_coupon(shop, "1 %", "A", auto_apply=True)
    await make_coupon(shop, "1 %", "B", auto_apply=True)
    await make_coupon(shop, "1 %", "C")
    for call in (
        make_coupon(shop, "1 %", "D", auto_apply=True),
        shop.coupons.update(code="C", changes=CouponChanges(auto_apply=True)),
    ):
        with pytest.raises(InvalidCoupon) as refused:
            await call
        assert refused.value.field == "auto_apply"
    await shop.coupons.update(code="A", changes=CouponChanges(name="still"))
    await shop.coupons.delete(code="A")
    await shop.coupons.update(code="C", changes=CouponChanges(auto_apply=True))


# --- What a buyer would get -------------------------------------------------------------------------------------------


async def preview(shop: Shop, amount: int, *codes: str, **facts: Any) -> Discounting:
    lines = facts.pop("lines", None) or [Line(new_id(), amount)]
    return await shop.coupons.preview(lines=lines, codes=codes, **{"currency": "USD", **facts})


@pytest.mark.requirement("SBB-DISC-01", "CED-CPN-02", "CED-CPN-03")
async def test_each_restriction_just_inside_and_just_outside(shop: Shop) -> None:
    """What a buyer with everything gets, and which one change of the purchase loses the coupon."""
    shirt, ann, ben = await product(shop), await account(shop, "ann"), await account(shop, "ben")
    inside: dict[str, Any] = {"user_id": ann, "ways": [CouponPayment.STRIPE], "lines": [Line(shirt, 5000)]}
    cases: list[tuple[dict[str, Any], dict[str, Any], CouponRefusal]] = [
        ({"minimum_order_amount": usd(5000)}, {"lines": [Line(shirt, 4999)]}, CouponRefusal.MINIMUM),
        ({"currency": "USD"}, {"currency": "EUR"}, CouponRefusal.CURRENCY),
        ({"user_ids": [ann]}, {"user_id": ben}, CouponRefusal.USER),
        ({"user_ids": [ann]}, {"user_id": None}, CouponRefusal.USER),
        ({"payment_method": CouponPayment.STRIPE}, {"ways": [CouponPayment.X402]}, CouponRefusal.PAYMENT_METHOD),
        ({"payment_method": CouponPayment.STRIPE}, {"ways": []}, CouponRefusal.PAYMENT_METHOD),
        ({"product_ids": [shirt]}, {"lines": [Line(await product(shop), 5000)]}, CouponRefusal.PRODUCTS),
    ]
    for restriction, outside, reason in cases:
        made = await make_coupon(shop, "10 %", **restriction)
        assert (await preview(shop, **inside) if False else await _buy(shop, made, inside)).discount == 500
        with pytest.raises(CouponNotApplicable) as refused:
            await _buy(shop, made, inside | outside)
        assert refused.value.facts() == {"coupon": made.code, "reason": reason}
        free = await make_coupon(shop, "10 %")
        assert (await _buy(shop, free, inside | outside)).discount > 0
    capped = await make_coupon(shop, "10 %", maximum_discount_amount=usd(500))
    assert (await _buy(shop, capped, inside)).discount == 500
    assert (await _buy(shop, capped, inside | {"lines": [Line(shirt, 5010)]})).discount == 500


async def _buy(shop: Shop, coupon: Coupon, facts: dict[str, Any]) -> Discounting:
    return await preview(shop, 0, coupon.code.lower(), **facts)


@pytest.mark.requirement("SBB-DISC-05", "CED-CPN-03")
async def test_it_applies_from_its_start_until_its_end_and_not_at_it(shop: Shop) -> None:
    """Rows dated back: the database's clock stands a moment before the start, then in between, then at the end."""
    made = await make_coupon(shop, "10 %", "SAVE", starts_at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(CouponNotApplicable) as refused:
        await preview(shop, 1000, "SAVE")
    assert refused.value.reason is CouponRefusal.NOT_STARTED
    await backdate(shop, made, starts_at=timedelta(0))
    assert (await preview(shop, 1000, "SAVE")).discount == 100
    await shop.coupons.update(code="SAVE", changes=CouponChanges(expires_at=datetime.now(UTC) + timedelta(hours=1)))
    assert (await preview(shop, 1000, "SAVE")).discount == 100
    async with shop.transaction() as tx:  # in which now() stands still
        await backdate(tx, made, expires_at=timedelta(0))
        with pytest.raises(CouponNotApplicable) as ended:
            await preview(tx, 1000, "SAVE")
        assert ended.value.reason is CouponRefusal.EXPIRED
        await backdate(tx, made, expires_at=timedelta(microseconds=-1))
        assert (await preview(tx, 1000, "SAVE")).discount == 100
    open_ended = await make_coupon(shop, "10 %")
    await backdate(shop, open_ended, starts_at=timedelta(days=36500))
    assert (await preview(shop, 1000, open_ended.code)).discount == 100


@pytest.mark.requirement("CED-CPN-03", "SBB-DISC-08")
async def test_unknown_inactive_and_used_up_codes_are_told_apart(shop: Shop) -> None:
    await make_coupon(shop, "10 %", "SPENT", usage_limit=1)
    await shop.coupons.increment_usage(code="SPENT")
    await shop.coupons.delete(code=(await make_coupon(shop, "10 %", "GONE")).code)
    for code, error in (("SPENT", CouponUsedUp), ("GONE", CouponNotFound), ("NEVER", CouponNotFound)):
        with pytest.raises(error) as refused:
            await preview(shop, 1000, code)
        assert refused.value.facts()["coupon"] == code
    with pytest.raises(InvalidCoupon):
        await preview(shop, 1000, *(f"C{number}" for number in range(COUPONS_MAX + 1)))


@pytest.mark.requirement("SBB-DISC-01")
async def test_an_account_is_known_by_itself_and_a_guest_by_the_e_mail(shop: Shop) -> None:
    ann = await account(shop)
    once = await make_coupon(shop, "10 %", "ONCE")
    first = await make_coupon(shop, "10 %", "FIRST", first_order_only=True, usage_limit_per_user=None)
    await used(shop, once, user_id=ann, email="ann@buyer.example")
    order_id = await used(shop, once, email="bo@buyer.example")

    for buyer in ({"user_id": ann}, {"email": "bo@buyer.example"}):
        with pytest.raises(CouponNotApplicable) as again:
            await preview(shop, 1000, "ONCE", **buyer)
        assert again.value.reason is CouponRefusal.USED_BEFORE
        with pytest.raises(CouponNotApplicable) as returning:
            await preview(shop, 1000, first.code, **buyer)
        assert returning.value.reason is CouponRefusal.FIRST_ORDER
    for buyer in ({"user_id": await account(shop, "cy")}, {"email": "cy@buyer.example"}, {}):
        assert (await preview(shop, 1000, "ONCE", "FIRST", **buyer)).discount == 190

    await shop.cancellation.cancel(order_id=order_id, reason="changed my mind")
    assert (await preview(shop, 1000, "ONCE", "FIRST", email="bo@buyer.example")).discount == 190


async def test_typed_coupons_come_after_those_that_apply_by_themselves(shop: Shop) -> None:
    shirt = await product(shop)
    await make_coupon(shop, "1.00 USD", "LATE", auto_apply=True, position=2)
    await make_coupon(shop, "10 %", "EARLY", auto_apply=True, position=1)
    await make_coupon(shop, "50 %", "HERS", auto_apply=True, user_ids=[await account(shop)])
    await make_coupon(shop, "50 %", "SHIRTS", auto_apply=True, product_ids=[shirt])
    await make_coupon(shop, "20 %", "MINE")
    done = await preview(shop, 0, "mine", "EARLY", "Mine", lines=[Line(shirt, 1000), Line(new_id(), 500)])
    assert [(each.code, each.amount) for each in done.taken] == [
        ("SHIRTS", 500),
        ("EARLY", 100),
        ("MINE", 180),
        ("LATE", 100),
    ]
    assert (done.total, sum(done.lines)) == (620, 880)


# --- Counted ----------------------------------------------------------------------------------------------------------


async def test_a_use_is_given_back_and_never_below_nothing(shop: Shop) -> None:
    await make_coupon(shop, "10 %", "SAVE", usage_limit=1)
    assert (await shop.coupons.increment_usage(code="save")).usage_count == 1
    with pytest.raises(CouponUsedUp):
        await shop.coupons.increment_usage(code="save")
    assert [(await shop.coupons.decrement_usage(code="save")).usage_count for _ in range(2)] == [0, 0]
    for call in (shop.coupons.increment_usage(code="other"), shop.coupons.decrement_usage(code="other")):
        with pytest.raises(CouponNotFound):
            await call


async def test_the_uses_of_a_coupon_are_shown_page_by_page(shop: Shop) -> None:
    made, other = await make_coupon(shop, "10 %"), await make_coupon(shop, "10 %")
    orders = [await used(shop, made, email=f"c{number}@buyer.example") for number in range(3)]
    await used(shop, other)
    first = await shop.coupons.redemptions(code=made.code, limit=2)
    rest = await shop.coupons.redemptions(code=made.code, limit=2, cursor=first.next_cursor)
    assert [use.order_id for use in [*first.items, *rest.items]] == orders[::-1]
    assert rest.next_cursor is None
    assert {(use.amount, use.code, use.released_at) for use in first.items} == {(usd(100), made.code, None)}
    (taken,) = await shop.coupons.discounts_of(order_id=orders[0])
    assert msgspec.structs.astuple(taken) == (made.code, CouponPlace.CHECKOUT, False, usd(100))
