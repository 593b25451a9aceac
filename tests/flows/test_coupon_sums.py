"""The database's sums are those of promotions/pricing.py, and an order's discount is that of its lines."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counter import Counter
from market import Market
from storeroom.core.ids import new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.flows.checkout import Checkout
from storeroom.flows.model import PurchaseLine
from storeroom.promotions import Coupon, CouponPlace, CouponScope, DiscountType, Line, discounted

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PRODUCTS = [UUID(int=number) for number in range(1, 5)]
AMOUNTS = st.one_of(st.integers(0, 20), st.integers(0, 100_000), st.integers(0, 10**15))
PERCENTAGES = st.one_of(
    st.integers(1, 100).map(Decimal), st.integers(1, 10**8).map(lambda millionths: Decimal(millionths).scaleb(-6))
)


@st.composite
def coupons(draw: st.DrawFn) -> Coupon:
    percentage = draw(st.none() | PERCENTAGES)
    listed = draw(st.none() | st.lists(st.sampled_from(PRODUCTS), min_size=1, unique=True))
    most = draw(st.none() | AMOUNTS.filter(bool))
    return Coupon(
        id=new_id(),
        code=draw(st.text("ABCDEF", min_size=1, max_size=6)),
        name="A coupon",
        discount_type=DiscountType.FIXED if percentage is None else DiscountType.PERCENTAGE,
        percentage=percentage,
        amount=Money(draw(AMOUNTS.filter(bool)), "USD") if percentage is None else None,
        currency="USD",
        scope=CouponScope.ALL if listed is None else CouponScope.SPECIFIC,
        product_ids=listed,
        user_ids=None,
        payment_method=None,
        auto_apply=draw(st.booleans()),
        applies_at=CouponPlace.CHECKOUT if listed is None else CouponPlace.CATALOG,
        minimum_order_amount=None,
        maximum_discount_amount=None if most is None else Money(most, "USD"),
        usage_limit=None,
        usage_count=0,
        usage_limit_per_user=None,
        first_order_only=False,
        position=0,
        starts_at=NOW,
        expires_at=None,
        is_active=True,
        metadata={},
        created_at=NOW,
        updated_at=NOW,
    )


LINES = st.lists(st.builds(Line, st.sampled_from(PRODUCTS), AMOUNTS), min_size=1, max_size=8)
COUPONS = st.lists(coupons(), max_size=6, unique_by=lambda coupon: coupon.code)


@pytest.mark.requirement("CED-CPN-08", "SBB-DISC-02")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, offered=COUPONS)
async def test_both_take_the_same(database: Database, lines: list[Line], offered: list[Coupon]) -> None:
    found = await database.fetchval(
        database.names.render("SELECT {discount_lines_v1}('t', $1, $2)"),
        [{"product_id": str(line.product_id), "amount": line.amount} for line in lines],
        [
            {
                "id": str(coupon.id),
                "applies_at": coupon.applies_at,
                "percentage": None if coupon.percentage is None else str(coupon.percentage),
                "amount": None if coupon.amount is None else coupon.amount.amount,
                "maximum": None if coupon.maximum_discount_amount is None else coupon.maximum_discount_amount.amount,
                "product_ids": None if coupon.product_ids is None else [str(each) for each in coupon.product_ids],
            }
            for coupon in offered
        ],
    )
    wanted = discounted(lines=lines, coupons=offered, currency="USD", at=NOW)
    assert found["discount"] == wanted.discount
    assert found["lines"] == wanted.lines
    assert [(UUID(each["id"]), each["amount"]) for each in found["taken"]] == [
        (each.coupon_id, each.amount) for each in wanted.taken
    ]
    assert sum(found["lines"]) == found["discount"] == sum(each["amount"] for each in found["taken"])
    assert all(0 <= cut <= line.amount for cut, line in zip(found["lines"], lines, strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prices=st.lists(st.integers(0, 5000), min_size=1, max_size=4),
    quantities=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    offers=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 100), st.none() | st.integers(1, 900)),
        min_size=1,
        max_size=4,
    ),
)
async def test_an_order_is_never_below_nothing_and_its_lines_sum_up_to_it(
    database: Database,
    prices: list[int],
    quantities: list[int],
    offers: list[tuple[bool, bool, bool, int, int | None]],
) -> None:
    """Of whole orders, as they are written."""
    market = await Market.open(database)
    variants = [await market.variant(price=price) for price in prices]
    for number, (fixed, listed, auto, value, most) in enumerate(offers):
        await market.coupon(
            f"C{number}",
            off=value * 40 if fixed else None,
            **({} if fixed else {"percentage": value}),
            product_ids=[market.products[variants[number % len(variants)]]] if listed else None,
            auto_apply=auto,
            maximum_discount_amount=most,
        )
    lines = [
        PurchaseLine(variant_id=variant, quantity=quantity)
        for variant, quantity in zip(variants, quantities, strict=False)
    ]
    counter = Counter(market, Checkout(market.context))
    typed = [f"C{number}" for number, offer in enumerate(offers) if not offer[2]]
    order = (await counter.place(lines=lines, coupons=typed)).order
    assert 0 <= order.total.amount == order.subtotal.amount - order.discount.amount
    (sums,) = await market.rows(
        "SELECT o.discount_amount, (SELECT sum(i.discount_amount)::bigint FROM {order_items} i WHERE i.tenant_id = $1), "
        "(SELECT coalesce(sum(d.amount), 0)::bigint FROM {order_discounts} d WHERE d.tenant_id = $1), "
        "(SELECT bool_and(i.discount_amount BETWEEN 0 AND i.subtotal_amount) FROM {order_items} i WHERE i.tenant_id = $1) "
        "FROM {orders} o WHERE o.tenant_id = $1"
    )
    assert sums == (order.discount.amount,) * 3 + (True,)
