"""Coupons at checkout: what they take, whom they are for, and what is written of each use."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from counter import Counter
from factories import usd
from market import Market
from storeroom.carts import Visitor
from storeroom.core.idempotency import IdempotencyKeyReused
from storeroom.core.ids import OrderId, ProductId, new_id
from storeroom.credit import StoreCredit
from storeroom.database.pool import Database
from storeroom.flows.cancellation import Cancellation, cancel_unpaid
from storeroom.flows.checkout import Checkout
from storeroom.flows.errors import InvalidPurchase, OutOfStock, PaymentMethodRefused, PriceChanged
from storeroom.flows.model import Placement, PurchaseLine
from storeroom.orders import OrderMoveRefused, Orders, OrderStatus
from storeroom.payments import PaymentMethodNotForCoupon, Payments
from storeroom.promotions import CouponNotApplicable, CouponNotFound, CouponRefusal, Coupons, CouponUsedUp, Line


async def refused(counter: Counter, **facts: Any) -> str | None:
    """The reason for which a typed SAVE does not apply; nothing is written. None: it does."""
    before, uses = await counter.trace(), await counter.market.uses()
    facts = {"coupons": ["SAVE"], **facts}
    if "lines" not in facts:
        facts["lines"] = [PurchaseLine(variant_id=await counter.market.variant(price=1000))]
    try:
        await counter.place(**facts)
    except CouponNotApplicable as error:
        caught = error
    else:
        return None
    assert (await counter.trace(), await counter.market.uses(), caught.coupon) == (before, uses, "SAVE")
    return caught.reason.value


async def discounts(counter: Counter, placed: Placement) -> list[tuple[Any, ...]]:
    return await counter.market.rows(
        "SELECT position, code, applies_at, auto_apply, amount, currency FROM {order_discounts} "
        "WHERE tenant_id = $1 AND order_id = $2 ORDER BY position",
        placed.order.id,
    )


async def of_lines(counter: Counter, placed: Placement) -> list[int]:
    rows = await counter.market.rows(
        "SELECT discount_amount FROM {order_items} WHERE tenant_id = $1 AND order_id = $2 ORDER BY position",
        placed.order.id,
    )
    return [row[0] for row in rows]


@pytest.mark.requirement("SBB-ORD-10", "CED-CPN-01")
async def test_an_order_keeps_the_code_it_was_placed_with(counter: Counter) -> None:
    market = counter.market
    coupon_id = await market.coupon(percentage="33.3")
    await market.rate("ground", 500)
    await counter.method()
    placed = await counter.place(
        await market.variant(price=1000), coupons=[" save "], payment_method="zelle", email="ANN@example.com"
    )
    order = placed.order
    assert (order.subtotal, order.discount, order.shipping, order.total) == (usd(1000), usd(333), usd(500), usd(1167))
    assert order.discount_code == "SAVE"
    assert order.payment is not None
    assert order.payment.amount == usd(1167)
    await market.run("UPDATE {coupons} SET is_active = FALSE WHERE tenant_id = $1")
    assert await market.rows(
        "SELECT discount_code, discount_id, discount_amount, total_amount FROM {orders} WHERE tenant_id = $1"
    ) == [("SAVE", coupon_id, 333, 1167)]
    assert await market.rows(
        "SELECT coupon_id, order_id, user_id, customer_email, released_at FROM {coupon_redemptions} WHERE tenant_id = $1"
    ) == [(coupon_id, order.id, None, "ann@example.com", None)]
    assert await discounts(counter, placed) == [(1, "SAVE", "checkout", False, 333, "USD")]
    assert await market.uses() == (1, 1)


async def test_they_stack_in_their_order_and_each_is_told_apart(counter: Counter) -> None:
    """The example of the documents: of 10.00, 10 and 20 percent, 1.00 and 0.50 leave 5.70; the last is off one line alone."""
    market = counter.market
    shirt, cap = await market.variant(price=500), await market.variant(price=250)
    await market.coupon("TEN", percentage=10)
    await market.coupon("TWENTY", percentage=20, auto_apply=True, position=2)
    await market.coupon("DOLLAR", off=100, auto_apply=True, position=1)
    await market.coupon("HALF", off=50)
    await market.coupon("CAPS", percentage=40, product_ids=[market.products[cap]], auto_apply=True, position=9)
    lines = [PurchaseLine(variant_id=shirt, quantity=2), PurchaseLine(variant_id=cap)]
    placed = await counter.place(lines=lines, coupons=["HALF", "TEN", "half"])
    assert await discounts(counter, placed) == [
        (1, "CAPS", "catalog", True, 100, "USD"),
        (2, "TWENTY", "checkout", True, 230, "USD"),
        (3, "TEN", "checkout", False, 92, "USD"),
        (4, "DOLLAR", "checkout", True, 100, "USD"),
        (5, "HALF", "checkout", False, 50, "USD"),
    ]
    assert (placed.order.discount, placed.order.total) == (usd(572), usd(678))
    assert placed.order.discount_code == "HALF"  # the first that was typed
    assert await of_lines(counter, placed) == [410, 162]  # 472 in proportion to 1000 and 150, and the cap's own 100


@pytest.mark.requirement("SBB-DISC-05", "CED-CPN-03")
async def test_it_applies_from_its_start_until_just_before_its_end(market: Market, database: Database) -> None:
    """The clock of the database stands still in a transaction, so that both instants can be met exactly."""
    checkout = Checkout(market.context)
    await market.coupon()
    lines = [PurchaseLine(variant_id=await market.variant(stock=100))]

    async def tried(starts: str, ends: str) -> str:
        async with database.transaction() as tx:
            here = market.on(tx)
            await here.run(f"UPDATE {{coupons}} SET starts_at = {starts}, expires_at = {ends} WHERE tenant_id = $1")
            purchase = Counter(here, checkout).purchase(lines=lines, coupons=["SAVE"])
            try:
                return str((await checkout.place_in(tx, purchase)).order.discount.amount)
            except CouponNotApplicable as error:
                return error.reason.value

    tick = "INTERVAL '1 microsecond'"
    assert await tried("now()", f"now() + {tick}") == "100"
    assert await tried(f"now() + {tick}", "NULL") == "not_started"
    assert await tried("now() - INTERVAL '1 day'", "now()") == "expired"
    assert await tried("now() - INTERVAL '9 years'", "NULL") == "100"


@pytest.mark.requirement("SBB-DISC-06", "CED-CPN-02")
async def test_only_listed_products_are_discounted(counter: Counter) -> None:
    market = counter.market
    shirt, cap = await market.variant(price=1000), await market.variant(price=2000)
    await market.coupon(percentage=50, product_ids=[market.products[cap]])
    placed = await counter.place(shirt, cap, coupons=["SAVE"])
    assert await of_lines(counter, placed) == [0, 1000]
    assert await refused(counter, lines=[PurchaseLine(variant_id=shirt)]) == "products"


@pytest.mark.requirement("SBB-DISC-06")
async def test_only_listed_accounts_may_use_it(counter: Counter) -> None:
    ann, bob = await counter.market.user(), await counter.market.user()
    await counter.market.coupon(user_ids=[ann])
    assert await refused(counter) == "user"
    assert await refused(counter, visitor=Visitor(user_id=bob)) == "user"
    assert await refused(counter, visitor=Visitor(user_id=ann)) is None


@pytest.mark.requirement("SBB-DISC-06")
async def test_a_first_order_is_one_that_none_came_before(counter: Counter) -> None:
    """An account by its orders, a guest by the mail; one that was cancelled was none."""
    market = counter.market
    ann = Visitor(user_id=await market.user())
    await market.coupon(first_order_only=True)
    for who in ({"visitor": ann}, {"email": "guest@example.com"}):
        before = await counter.place(await market.variant(), **who)
        assert await refused(counter, **who) == "first_order"
        await Cancellation(market.context).cancel(order_id=before.order.id, reason="changed my mind")
        assert await refused(counter, **who) is None
        assert await refused(counter, **who) == "first_order"
    assert await refused(counter, email="other@example.com") is None


@pytest.mark.requirement("SBB-DISC-04")
async def test_one_buyer_uses_it_once_and_another_can(counter: Counter) -> None:
    ann, bob = Visitor(user_id=await counter.market.user()), Visitor(user_id=await counter.market.user())
    await counter.market.coupon(usage_limit_per_user=1, usage_limit=None)
    assert await refused(counter, visitor=ann) is None
    assert await refused(counter, visitor=ann) == "used_before"
    assert await refused(counter, visitor=bob) is None
    assert await refused(counter, email="guest@example.com") is None
    assert await refused(counter, email="Guest@Example.com") == "used_before"
    assert await refused(counter, email="other@example.com") is None
    assert await counter.market.uses() == (4, 4)


@pytest.mark.parametrize(
    ("asks", "reason"), [("usage_limit_per_user", "used_before"), ("first_order_only", "first_order")]
)
async def test_what_a_guest_used_the_account_of_the_same_proved_address_has_used(
    counter: Counter, asks: str, reason: str
) -> None:
    """Before the guest's orders are made the account's, afterwards, and with another address after that."""
    market = counter.market
    await market.coupon(**{asks: 1 if asks == "usage_limit_per_user" else True})
    ann = await market.user()
    mail = await market.one("SELECT email FROM {users} WHERE tenant_id = $1 AND id = $2", ann)
    assert await refused(counter, email=mail) is None
    before = {"visitor": Visitor(user_id=ann), "email": "elsewhere@example.com"}

    async def quoted() -> str | None:
        lines = [Line(ProductId(new_id()), 1000)]
        try:
            await Coupons(market.context).preview(lines=lines, codes=["SAVE"], currency="USD", user_id=ann)
        except CouponNotApplicable as error:
            return str(error.reason)
        return None

    assert await quoted() is None, "nobody has proved that the address is theirs"
    await market.run("UPDATE {users} SET email_verified = TRUE WHERE tenant_id = $1 AND id = $2", ann)
    assert await refused(counter, **before) == await quoted() == reason
    assert await Orders(market.context).claim_guest_orders(user_id=ann) == 1
    assert await refused(counter, **before) == await quoted() == reason
    await market.run("UPDATE {users} SET email = 'new@example.com' WHERE tenant_id = $1 AND id = $2", ann)
    assert await refused(counter, **before) == await quoted() == reason


@pytest.mark.requirement("CED-CPN-02")
@pytest.mark.parametrize(
    ("asks", "method", "applies"),
    [
        ("stripe", {"method_type": "card", "is_manual": False}, True),
        ("stripe", {"method_type": "stripe", "is_manual": False}, True),
        ("stripe", {"method_type": "wallet", "is_manual": False}, False),
        ("x402", {"method_type": "wallet", "is_manual": False}, True),
        ("x402", {"method_type": "zelle"}, False),
        ("manual", {"method_type": "zelle"}, True),
        ("manual", {"method_type": "card", "is_manual": False}, False),
        ("manual", None, False),
    ],
)
async def test_a_way_to_pay_may_be_asked_for(
    counter: Counter, asks: str, method: dict[str, Any] | None, applies: bool
) -> None:
    await counter.market.coupon(payment_method=asks)
    if method is not None:
        await counter.method("it", **method)
    reason = await refused(counter, payment_method=None if method is None else "it")
    assert reason == (None if applies else "payment_method")


async def with_credit(counter: Counter, amount: int) -> Visitor:
    user_id = await counter.market.user()
    await StoreCredit(counter.market.context).grant(user_id=user_id, amount=usd(amount))
    return Visitor(user_id=user_id)


@pytest.mark.requirement("CED-CPN-02")
@pytest.mark.parametrize(
    ("credit", "active", "reason"),
    [
        (899, True, None),
        (900, True, "payment_method"),
        (1_000, True, "payment_method"),
        (1_000, False, "payment_method"),
    ],
)
async def test_where_credit_pays_all_no_way_to_pay_was_used(
    counter: Counter, credit: int, active: bool, reason: str | None
) -> None:
    """A card named and not used is no card payment; one cent by card is one."""
    ann = await with_credit(counter, credit)
    await counter.market.coupon(payment_method="stripe")
    await counter.method("card", method_type="card", is_manual=False, is_active=active)
    facts = {"visitor": ann, "use_store_credit": True, "payment_method": "card"}
    assert await refused(counter, **facts) == reason


@pytest.mark.requirement("CED-CPN-02")
async def test_one_that_applies_by_itself_leaves_what_credit_pays_alone(counter: Counter) -> None:
    """Without it the credit may no longer reach, and then the card pays the rest of the full price."""
    ann = await with_credit(counter, 950)
    await counter.market.coupon(payment_method="stripe", auto_apply=True)
    await counter.market.coupon("ALL", off=20, auto_apply=True)
    await counter.method("card", method_type="card", is_manual=False)
    variant = await counter.market.variant(price=1000)
    placed = await counter.place(variant, visitor=ann, use_store_credit=True, payment_method="card")
    assert placed.order.payment is not None
    assert (placed.order.discount, placed.order.paid, placed.order.payment.amount) == (usd(20), usd(950), usd(30))


@pytest.mark.requirement("CED-CPN-02")
@pytest.mark.parametrize("auto", [False, True])
async def test_who_was_given_less_for_a_card_pays_by_card(counter: Counter, auto: bool) -> None:
    """Another payment of the order is asked for by a card too, or by whatever its coupons take for one."""
    market = counter.market
    await market.coupon(payment_method="stripe", auto_apply=auto)
    await counter.method("card", method_type="card", is_manual=False)
    await counter.method("stripe", method_type="stripe", is_manual=False)
    await counter.method()
    coupons = [] if auto else ["SAVE"]
    placed = await counter.place(await market.variant(), coupons=coupons, payment_method="card")
    payments = Payments(market.context)
    with pytest.raises(PaymentMethodNotForCoupon) as refusal:
        await payments.start(order_id=placed.order.id, method="zelle")
    assert refusal.value.facts() == {"method": "zelle", "ways": ["stripe"]}
    assert await counter.count("payments") == 1
    assert (await payments.start(order_id=placed.order.id, method="stripe")).amount == usd(900)
    plain = await counter.place(await market.variant(), payment_method="zelle")
    assert (await payments.start(order_id=plain.order.id, method="zelle")).amount == usd(1000)


async def test_other_money_and_too_small_a_purchase_are_refused(counter: Counter) -> None:
    await counter.market.coupon(currency="EUR", off=100)
    assert await refused(counter) == "currency"
    await counter.market.run("UPDATE {coupons} SET currency = 'USD', minimum_order_amount = 1001 WHERE tenant_id = $1")
    assert await refused(counter) == "minimum"
    await counter.market.run("UPDATE {coupons} SET minimum_order_amount = 1000 WHERE tenant_id = $1")
    assert await refused(counter) is None


async def test_a_percentage_is_capped_and_a_fixed_amount_takes_no_more_than_there_is(counter: Counter) -> None:
    await counter.market.coupon(percentage=50, maximum_discount_amount=120)
    await counter.market.coupon("HUGE", off=100_000)
    variant = await counter.market.variant(price=1000)
    assert (await counter.place(variant, coupons=["SAVE"])).order.discount == usd(120)
    free = (await counter.place(variant, coupons=["HUGE"])).order
    assert (free.discount, free.total, free.status) == (usd(1000), usd(0), OrderStatus.PAYMENT_RECEIVED)


async def test_what_is_unknown_switched_off_or_used_up_is_told_so(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant()
    await market.coupon(usage_limit=1)
    with pytest.raises(CouponNotFound) as unknown:
        await counter.place(variant, coupons=["SAVE", "NONE"])
    assert unknown.value.coupon == "NONE"
    await counter.place(variant, coupons=["SAVE"])
    with pytest.raises(CouponUsedUp):
        await counter.place(variant, coupons=["SAVE"])
    await market.run("UPDATE {coupons} SET is_active = FALSE, usage_count = 0 WHERE tenant_id = $1")
    with pytest.raises(CouponNotFound):
        await counter.place(variant, coupons=["SAVE"])
    for coupons in (["  "], ["a\x00"], ["A"] * 11):
        with pytest.raises(InvalidPurchase):
            await counter.place(variant, coupons=coupons)
    assert await counter.count("orders") == 1


async def test_one_that_applies_by_itself_and_does_not_here_is_left_out(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant(price=1000)
    for code, columns in {
        "PAST": {
            "expires_at": datetime.now(UTC) - timedelta(days=1),
            "starts_at": datetime.now(UTC) - timedelta(days=2),
        },
        "RICH": {"minimum_order_amount": 1001},
        "OTHER": {"product_ids": [market.products[await market.variant()]]},
        "ANNS": {"user_ids": [await market.user()]},
        "ONCE": {"usage_limit": 1, "usage_count": 1},
        "FITS": {"percentage": 1},
    }.items():
        await market.coupon(code, auto_apply=True, **columns)
    placed = await counter.place(variant)
    assert [row[1] for row in await discounts(counter, placed)] == ["FITS"]
    assert placed.order.discount_code is None  # nobody typed it
    with pytest.raises(CouponNotApplicable) as refusal:
        await counter.place(variant, coupons=["RICH"])  # but whoever types it saw another total
    assert refusal.value.reason is CouponRefusal.MINIMUM


async def test_the_way_to_pay_is_for_what_is_left_to_pay(counter: Counter) -> None:
    await counter.method(max_amount=900, min_amount=800)
    variant = await counter.market.variant(price=1000)
    with pytest.raises(PaymentMethodRefused):
        await counter.place(variant, payment_method="zelle")
    await counter.market.coupon()
    placed = await counter.place(variant, payment_method="zelle", coupons=["SAVE"])
    assert placed.order.payment is not None
    assert placed.order.payment.amount == usd(900)


async def test_an_order_that_is_refused_for_anything_else_uses_nothing(counter: Counter) -> None:
    await counter.market.coupon(usage_limit=1)
    with pytest.raises(OutOfStock):
        await counter.place(await counter.market.variant(stock=0), coupons=["SAVE"])
    variant = await counter.market.variant(price=1000)
    with pytest.raises(PriceChanged):
        await counter.place(lines=[PurchaseLine(variant_id=variant, unit_price=usd(1))], coupons=["NONE"])
    assert await counter.market.uses() == (0, 0)
    assert await refused(counter) is None


@pytest.mark.requirement("SBB-DISC-10")
async def test_a_checkout_that_is_rolled_back_counts_nothing(market: Market, database: Database) -> None:
    await market.coupon(usage_limit=1)
    variant, checkout = await market.variant(), Checkout(market.context)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            placed = await checkout.place_in(tx, Counter(market, checkout).purchase(variant, coupons=["SAVE"]))
            assert placed.order.discount == usd(100)
            assert await market.on(tx).uses() == (1, 1)
            raise ZeroDivisionError
    assert await market.uses() == (0, 0)
    assert (await Counter(market, checkout).place(variant, coupons=["SAVE"])).order.discount == usd(100)


@pytest.mark.requirement("SBB-DISC-10")
async def test_cancelling_twice_gives_one_use_back(counter: Counter) -> None:
    market = counter.market
    await market.coupon(usage_limit=2)
    variant = await market.variant()
    first = await counter.place(variant, coupons=["SAVE"])
    await counter.place(variant, coupons=["SAVE"])
    cancellation = Cancellation(market.context)
    await cancellation.cancel(order_id=first.order.id, reason="changed my mind")
    assert await market.uses() == (1, 1)
    with pytest.raises(OrderMoveRefused):
        await cancellation.cancel(order_id=first.order.id, reason="changed my mind")
    assert await market.uses() == (1, 1)
    assert (await counter.place(variant, coupons=["SAVE"])).order.discount == usd(100)
    assert (
        await market.one("SELECT count(*) FROM {coupon_redemptions} WHERE tenant_id = $1 AND released_at IS NOT NULL")
        == 1
    )


@pytest.mark.requirement("SBB-DISC-10")
async def test_an_order_that_nobody_paid_for_gives_its_uses_back(counter: Counter) -> None:
    market = counter.market
    await market.coupon()
    await market.coupon("AUTO", auto_apply=True)
    placed = await counter.place(await market.variant(), coupons=["SAVE"])
    assert await market.uses("AUTO") == (1, 1)
    await market.run("UPDATE {orders} SET payment_due_at = now() - interval '1 second' WHERE tenant_id = $1")
    while await cancel_unpaid(market.db):  # also what other tests have left
        pass
    assert (await Orders(market.context).get(order_id=placed.order.id)).status is OrderStatus.CANCELLED
    assert await market.uses() == await market.uses("AUTO") == (0, 0)


async def test_money_given_back_gives_no_use_back(counter: Counter) -> None:
    """Who bought and returned it has used the coupon."""
    market = counter.market
    await market.coupon(percentage=100)
    placed = await counter.place(await market.variant(), coupons=["SAVE"])
    await Orders(market.context).move(order_id=OrderId(placed.order.id), to=OrderStatus.REFUNDED)
    assert await market.uses() == (1, 1)


async def test_an_order_asked_for_again_uses_it_once(counter: Counter) -> None:
    await counter.market.coupon()
    variant = await counter.market.variant()
    answers = [await counter.place(variant, coupons=["SAVE"], idempotency_key="again") for _ in range(3)]
    assert len({answer.order.id for answer in answers}) == 1
    assert {answer.order.discount for answer in answers} == {usd(100)}
    assert await counter.market.uses() == (1, 1)
    known = await counter.place(variant, coupons=["SAVE"], source="till", purchase_id="7")
    again = await counter.place(variant, source="till", purchase_id="7")
    assert again.order == known.order


async def test_a_request_without_coupons_has_the_fingerprint_it_had_before_there_were_any(counter: Counter) -> None:
    """Who asked the release before, and asks again after an upgrade, is answered."""
    purchase = counter.purchase(await counter.market.variant())
    facts = msgspec.json.decode(msgspec.json.encode(purchase))
    plain = {name: fact for name, fact in facts.items() if name not in {"coupons", "use_store_credit"}}
    assert len(facts) - len(plain) == 2
    await counter.checkout.place(purchase, idempotency_key="k")
    assert (
        await counter.market.one("SELECT request_fingerprint FROM {idempotency_keys} WHERE tenant_id = $1")
        == hashlib.sha256(msgspec.json.encode(plain)).hexdigest()
    )
    await counter.market.coupon()
    with pytest.raises(IdempotencyKeyReused):
        await counter.checkout.place(msgspec.structs.replace(purchase, coupons=["SAVE"]), idempotency_key="k")
