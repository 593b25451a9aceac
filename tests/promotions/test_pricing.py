"""What coupons take: sums worked out by hand, and what holds for any purchase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeroom.core.ids import new_id
from storeroom.core.money import Money
from storeroom.promotions import (
    Buying,
    Coupon,
    CouponPayment,
    CouponPlace,
    CouponRefusal,
    CouponScope,
    DiscountType,
    Line,
    discounted,
    refusal,
    stacked,
    ways_of,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SHIRT, CAP, SOCKS = (UUID(int=number) for number in (1, 2, 3))


def coupon(off: str, *, code: str = "SAVE", **changes: object) -> Coupon:
    """`coupon("10 %")` or `coupon("1.00 USD")`; with product_ids it applies in the catalogue."""
    value, unit = off.split()
    fixed = None if unit == "%" else Money.of(value, unit)
    listed = changes.get("product_ids") is not None
    facts: dict[str, object] = {
        "id": new_id(), "code": code, "name": code.title(),
        "discount_type": DiscountType.FIXED if fixed else DiscountType.PERCENTAGE,
        "percentage": None if fixed else Decimal(value), "amount": fixed, "currency": fixed.currency if fixed else None,
        "scope": CouponScope.SPECIFIC if listed else CouponScope.ALL, "product_ids": None, "user_ids": None,
        "payment_method": None, "auto_apply": False,
        "applies_at": CouponPlace.CATALOG if listed else CouponPlace.CHECKOUT,
        "minimum_order_amount": None, "maximum_discount_amount": None, "usage_limit": None, "usage_count": 0,
        "usage_limit_per_user": None, "first_order_only": False, "position": 0, "starts_at": NOW - timedelta(days=1),
        "expires_at": None, "is_active": True, "metadata": {}, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Coupon(**(facts | changes))


def take(amounts: list[tuple[UUID, int]] | int, *coupons: Coupon, currency: str = "USD", at: datetime = NOW):
    lines = [Line(SHIRT, amounts)] if isinstance(amounts, int) else [Line(*each) for each in amounts]
    return discounted(lines=lines, coupons=coupons, currency=currency, at=at)


@pytest.mark.requirement("CED-CPN-08")
@pytest.mark.parametrize(
    ("amount", "off", "total"),
    [
        (1000, "33.3 %", 667),
        (1000, "33.333333 %", 667),
        (999, "0.000001 %", 999),
        (5, "10 %", 5),  # 4.5 is rounded up, so nothing is taken
        (15, "10 %", 14),  # 13.5
        (25, "50 %", 13),
        (2**63 - 1, "0.000001 %", 9223371944621055438),  # past what a float can tell apart
        (1000, "100 %", 0),
    ],
)
def test_a_percentage_is_exact_and_rounded_once_half_up(amount, off, total):
    assert take(amount, coupon(off)).total == total


@pytest.mark.requirement("CED-CPN-08")
def test_a_fixed_coupon_in_another_currency_takes_nothing():
    euros = coupon("1.00 EUR")
    assert take(1000, euros).total == 1000
    assert take(1000, euros, currency="EUR").total == 900
    assert take(1000, euros).taken == []


@pytest.mark.requirement("SBB-DISC-02")
def test_ten_percent_of_nine_ninety_nine_and_a_fixed_amount_above_the_subtotal():
    assert take(999, coupon("10 %")).discount == 100
    bigger = take(999, coupon("20.00 USD"))
    assert (bigger.discount, bigger.total) == (999, 0)
    assert [each.amount for each in bigger.taken] == [999]


@pytest.mark.requirement("SBB-DISC-03")
def test_one_cent_below_the_minimum_gives_none_and_a_large_order_is_capped():
    tight = coupon("10 %", currency="USD", minimum_order_amount=Money(5000, "USD"))
    assert take(4999, tight).discount == 0
    assert take(5000, tight).discount == 500
    capped = coupon("10 %", currency="USD", maximum_discount_amount=Money(2500, "USD"))
    assert take(25000, capped).discount == 2500
    assert take(25001, capped).discount == 2500
    assert take(10_000_000, capped).discount == 2500
    assert take(10000, coupon("50.00 USD", maximum_discount_amount=Money(20, "USD"))).discount == 20


@pytest.mark.requirement("SBB-DISC-03")
def test_the_minimum_looks_at_the_lines_before_any_discount():
    half, tight = coupon("50 %"), coupon("1.00 USD", code="TIGHT", minimum_order_amount=Money(1000, "USD"))
    assert take(1000, half, tight).total == 400
    foreign = coupon("10 %", currency="EUR", minimum_order_amount=Money(1, "EUR"))
    assert take(1000, foreign).discount == 0


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_percentages_multiply_and_then_the_fixed_are_subtracted(order):
    """The example of the coupon rules: 10.00 with 10 %, 20 %, 1.00 and 0.50 is 5.70."""
    four = [coupon("10 %"), coupon("20 %", code="B"), coupon("1.00 USD", code="C"), coupon("0.50 USD", code="D")]
    done = take(1000, *(four[place] for place in order))
    assert done.total == 570
    assert sum(each.amount for each in done.taken) == done.discount == 430


def test_every_percentage_is_rounded_before_the_next():
    assert take(999, coupon("10 %"), coupon("15 %", code="B")).total == 764  # 899.1 is 899, and 764.15 is 764
    assert take(15, coupon("10 %"), coupon("10 %", code="B")).total == 13  # 14, 12.6; at once it were 12.15


def test_what_each_took_is_told_apart_in_the_order_it_took():
    fixed, tenth = coupon("1.00 USD", code="FIXED"), coupon("10 %", code="TENTH", auto_apply=True)
    done = take(1000, fixed, tenth)
    assert [(each.code, each.amount, each.auto_apply) for each in done.taken] == [
        ("TENTH", 100, True),
        ("FIXED", 100, False),
    ]


def test_catalogue_coupons_take_from_their_products_lines_and_checkout_coupons_from_the_rest():
    shirts = coupon("50 %", code="SHIRTS", product_ids=[SHIRT])
    done = take([(SHIRT, 2000), (CAP, 1000), (SHIRT, 500)], coupon("10 %", code="ALL"), shirts)
    # 2000 and 500 are halved; a tenth of the 2250 left is 225: 100, 100 and 25 of the lines
    assert done.lines == [1100, 100, 275]
    assert [(each.code, each.applies_at, each.amount) for each in done.taken] == [
        ("SHIRTS", CouponPlace.CATALOG, 1250),
        ("ALL", CouponPlace.CHECKOUT, 225),
    ]


def test_a_catalogue_coupon_takes_a_fixed_amount_off_each_of_its_lines_and_at_most_its_maximum():
    lines = [(SHIRT, 1000), (CAP, 1000), (SHIRT, 50)]
    assert take(lines, coupon("1.00 USD", product_ids=[SHIRT])).lines == [100, 0, 50]
    capped = coupon("1.00 USD", product_ids=[SHIRT], maximum_discount_amount=Money(100, "USD"))
    assert take(lines, capped).lines == [67, 0, 33]
    assert take([(CAP, 1000)], capped).taken == []


def test_the_units_left_over_go_to_the_lines_cut_most_the_earlier_first():
    assert take([(SHIRT, 100), (CAP, 100), (SOCKS, 100)], coupon("1.00 USD")).lines == [34, 33, 33]
    assert take([(SHIRT, 0), (CAP, 0)], coupon("1.00 USD")).lines == [0, 0]


@pytest.mark.requirement("CED-CPN-03")
@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"starts_at": NOW}, NOW - timedelta(microseconds=1)),
        ({"expires_at": NOW}, NOW),
        ({"is_active": False}, NOW),
        ({"usage_limit": 3, "usage_count": 3}, NOW),
    ],
)
def test_outside_its_bounds_a_coupon_takes_nothing(changes, at):
    assert take(1000, coupon("10 %", **changes), at=at).discount == 0


@pytest.mark.requirement("CED-CPN-03", "SBB-DISC-05")
def test_a_coupon_applies_from_its_start_until_just_before_its_end():
    within = coupon("10 %", starts_at=NOW, expires_at=NOW + timedelta(hours=1), usage_limit=3, usage_count=2)
    assert take(1000, within, at=NOW).discount == 100
    assert take(1000, within, at=NOW + timedelta(hours=1, microseconds=-1)).discount == 100
    assert take(1000, within, at=NOW + timedelta(hours=1)).discount == 0
    assert take(1000, coupon("10 %"), at=datetime(9999, 1, 1, tzinfo=UTC)).discount == 100


def test_automatic_coupons_go_first_by_position_then_the_typed_as_typed_each_code_once():
    late, early = coupon("1 %", code="LATE", position=2), coupon("1 %", code="EARLY", position=1)
    also, typed, other = coupon("1 %", code="ALSO", position=1), coupon("1 %", code="T"), coupon("1 %", code="A")
    order = stacked([late, early, also], [typed, late, other, typed])
    assert [each.code for each in order] == ["ALSO", "EARLY", "LATE", "T", "A"]


BUYING = Buying(
    at=NOW, currency="USD", subtotal=1000, product_ids=frozenset({SHIRT}), user_id=UUID(int=7),
    ways=frozenset({CouponPayment.STRIPE}),
)  # fmt: skip


@pytest.mark.requirement("CED-CPN-02", "CED-CPN-03")
@pytest.mark.parametrize(
    ("changes", "elsewhere", "reason"),
    [
        ({"starts_at": NOW}, {"at": NOW - timedelta(seconds=1)}, CouponRefusal.NOT_STARTED),
        ({"expires_at": NOW + timedelta(seconds=1)}, {"at": NOW + timedelta(seconds=1)}, CouponRefusal.EXPIRED),
        ({"currency": "USD"}, {"currency": "EUR"}, CouponRefusal.CURRENCY),
        ({"user_ids": [UUID(int=7)]}, {"user_id": UUID(int=8)}, CouponRefusal.USER),
        ({"user_ids": [UUID(int=7)]}, {"user_id": None}, CouponRefusal.USER),
        ({"payment_method": CouponPayment.STRIPE}, {"ways": frozenset({CouponPayment.X402})}, CouponRefusal.PAYMENT_METHOD),
        ({"payment_method": CouponPayment.STRIPE}, {"ways": frozenset()}, CouponRefusal.PAYMENT_METHOD),
        ({"product_ids": [CAP, SHIRT]}, {"product_ids": frozenset({SOCKS})}, CouponRefusal.PRODUCTS),
        ({"currency": "USD", "minimum_order_amount": Money(1000, "USD")}, {"subtotal": 999}, CouponRefusal.MINIMUM),
        ({"first_order_only": True}, {"orders_before": 1}, CouponRefusal.FIRST_ORDER),
        ({"usage_limit_per_user": 2}, {"uses_before": 2}, CouponRefusal.USED_BEFORE),
    ],
)  # fmt: skip
def test_each_restriction_applies_in_its_case_and_only_there(changes, elsewhere, reason):
    restricted, free = coupon("10 %", **changes), coupon("10 %")
    assert refusal(restricted, BUYING) is None
    there = msgspec.structs.replace(BUYING, **elsewhere)
    assert refusal(restricted, there) is reason
    assert refusal(free, there) is None or reason in (CouponRefusal.NOT_STARTED, CouponRefusal.EXPIRED)


@pytest.mark.requirement("CED-CPN-07")
def test_what_a_payment_method_counts_as():
    assert ways_of(method_type="card", is_manual=False) == {"stripe"}
    assert ways_of(method_type="stripe", is_manual=True) == {"stripe", "manual"}
    assert ways_of(method_type="wallet", is_manual=False) == {"x402"}
    assert ways_of(method_type="zelle", is_manual=True) == {"manual"}
    assert ways_of(method_type="store_credit", is_manual=False) == frozenset()


amounts = st.integers(0, 10**15)
percents = st.decimals(min_value=Decimal("0.000001"), max_value=100, places=6)
places = st.sampled_from([None, [SHIRT], [SHIRT, CAP]])


@st.composite
def coupons(draw: st.DrawFn) -> list[Coupon]:
    made = []
    for number in range(draw(st.integers(0, 6))):
        off = draw(st.one_of(percents.map(lambda value: f"{value:f} %"), st.integers(1, 10**15).map(_dollars)))
        most = draw(st.one_of(st.none(), st.integers(1, 10**15)))
        least = draw(st.one_of(st.none(), st.integers(0, 10**15)))
        changes = {
            "product_ids": draw(places),
            "currency": "USD",
            "maximum_discount_amount": None if most is None else Money(most, "USD"),
            "minimum_order_amount": None if least is None else Money(least, "USD"),
        }
        made.append(coupon(off, code=f"C{number}", **changes))
    return made


def _dollars(amount: int) -> str:
    return f"{Money(amount, 'USD').decimal()} USD"


purchases = st.lists(st.tuples(st.sampled_from([SHIRT, CAP, SOCKS]), amounts), min_size=1, max_size=8)


@given(purchases, coupons())
def test_no_total_is_negative_and_the_parts_sum_to_the_whole(lines, some):
    done = take(lines, *some)
    assert done.subtotal == sum(amount for _, amount in lines)
    assert 0 <= done.total == done.subtotal - done.discount
    assert done.discount == sum(done.lines) == sum(each.amount for each in done.taken)
    assert all(0 <= off <= amount for off, (_, amount) in zip(done.lines, lines, strict=True))
    by_code = {each.code: each for each in some}
    for taken in done.taken:
        most = by_code[taken.code].maximum_discount_amount
        assert taken.amount > 0
        assert most is None or taken.amount <= most.amount
        assert (
            by_code[taken.code].minimum_order_amount is None
            or by_code[taken.code].minimum_order_amount.amount <= done.subtotal
        )


@given(purchases, coupons())
def test_lines_no_coupon_covers_keep_their_price_in_the_catalogue(lines, some):
    listed = [each for each in some if each.product_ids]
    done = take(lines, *listed)
    covered = {product for each in listed for product in each.product_ids}
    assert all(off == 0 for off, (product, _) in zip(done.lines, lines, strict=True) if product not in covered)


@given(st.integers(0, 2**63 - 1), percents)
def test_a_percentage_agrees_with_decimal_arithmetic(amount, percent):
    exact = Decimal(amount) * (100 - percent) / 100
    expected = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    assert take(amount, coupon(f"{percent:f} %")).total == expected
