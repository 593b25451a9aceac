"""What a checkout writes, and what it refuses without a trace."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from counter import AGREED, HOME, Counter
from factories import make_product, open_shop, place
from market import Market
from storeroom.carts import Visitor
from storeroom.core.contact import Address, InvalidEmail
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import CartId, UserId, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.flows import errors
from storeroom.flows.checkout import Checkout
from storeroom.flows.model import Attribution, Compliance, PurchaseLine
from storeroom.orders import OrderStatus
from storeroom.outbox import CHANNEL, wake
from storeroom.room import Storeroom
from storeroom.web import IdempotencyKeyReused


def usd(amount: int) -> Money:
    return Money(amount, "USD")


async def refused(counter: Counter, error: type[StoreroomError], *variants, **facts) -> StoreroomError:
    """Place it, be refused, and find nothing written and no unit taken."""
    before = await counter.trace()
    stock = await counter.market.rows(
        "SELECT variant_id, on_hand, reserved FROM {stock_levels} WHERE tenant_id = $1 ORDER BY 1"
    )
    with pytest.raises(error) as caught:
        await counter.place(*variants, **facts)
    assert await counter.trace() == before
    assert stock == await counter.market.rows(
        "SELECT variant_id, on_hand, reserved FROM {stock_levels} WHERE tenant_id = $1 ORDER BY 1"
    )
    return caught.value


@pytest.mark.requirement(
    "SBB-ORD-05", "SBB-ORD-07", "SBB-REC-01", "SBB-PM-04", "SBB-OSH-04", "SBB-WOUT-07", "SBB-PM-07"
)
async def test_an_order_its_history_its_payment_and_its_message_are_written_together(counter: Counter) -> None:
    await counter.method(confirmation_window_hours=24)
    await counter.market.rate("ground", 599)
    shirt, cap = await counter.market.variant(price=2500), await counter.market.variant(price=1250)

    placement = await counter.place(
        lines=[PurchaseLine(variant_id=shirt, quantity=2), PurchaseLine(variant_id=cap)],
        payment_method="zelle",
        phone="(212) 555-0100",
    )

    order = placement.order
    assert placement.new
    assert (order.subtotal, order.shipping, order.total) == (usd(6250), usd(599), usd(6849))
    assert order.status is OrderStatus.PENDING_PAYMENT
    assert order.payment is not None
    assert order.payment.amount == usd(6849)
    assert order.payment.instructions == "Send it to pay@example.com"
    assert order.payment.expires_at - order.created_at == timedelta(hours=24)
    assert await counter.market.stock(shirt) == (10, 2)
    assert await counter.market.stock(cap) == (10, 1)
    assert await counter.market.rows(
        "SELECT sequence, from_status, to_status FROM {order_status_history} WHERE tenant_id = $1 AND order_id = $2",
        order.id,
    ) == [(1, None, "pending_payment")]
    assert await counter.market.rows(
        "SELECT payment_reference, status, amount FROM {payments} WHERE tenant_id = $1 AND order_id = $2", order.id
    ) == [(order.payment.reference, "pending", 6849)]
    assert await counter.market.rows(
        "SELECT event_type, status, attempts, payload->>'number' FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2",
        order.id,
    ) == [("order.created", "pending", 0, order.number)]
    assert (
        await counter.market.one("SELECT customer_phone FROM {orders} WHERE tenant_id = $1 AND id = $2", order.id)
        == "12125550100"
    )


@pytest.mark.requirement("SBB-OVP-02", "SBB-PRIN-06")
async def test_an_order_needs_no_payment_to_exist(counter: Counter) -> None:
    placement = await counter.place(await counter.market.variant())
    assert placement.order.payment is None
    assert await counter.count("payments") == 0
    assert await counter.count("orders") == 1


@pytest.mark.requirement("SBB-OI-01", "SIG-ITM-03", "SIG-ITM-02", "STO-OI-01")
async def test_lines_keep_what_was_bought(counter: Counter) -> None:
    shirt = await counter.market.variant(price=2500, sku="KIT-L")
    placement = await counter.place(
        lines=[
            PurchaseLine(sku="KIT-L", quantity=2, patch_type="league", print_name="SILVA", print_number="07"),
            PurchaseLine(variant_id=shirt),
        ]
    )
    assert await counter.market.rows(
        "SELECT position, product_sku, product_name, variant_title, quantity, unit_price, subtotal_amount, quantity_held, "
        "patch_enabled, patch_type, print_name, print_number "
        "FROM {order_items} WHERE tenant_id = $1 AND order_id = $2 ORDER BY position",
        placement.order.id,
    ) == [
        (1, "KIT-L", "Shirt", "Large", 2, 2500, 5000, 2, True, "league", "SILVA", "07"),
        (2, "KIT-L", "Shirt", "Large", 1, 2500, 2500, 1, False, None, None, None),
    ]
    with pytest.raises(asyncpg.CheckViolationError, match="order_items_patch_whole"):
        await counter.market.run(
            "UPDATE {order_items} SET patch_type = 'cup', patch_enabled = FALSE WHERE tenant_id = $1"
        )


async def test_nothing_to_pay_is_paid_at_once(counter: Counter) -> None:
    await counter.method()
    placement = await counter.place(await counter.market.variant(price=0), payment_method="zelle")
    assert placement.order.status is OrderStatus.PAYMENT_RECEIVED
    assert placement.order.payment is None
    assert await counter.market.rows(
        "SELECT from_status, to_status FROM {order_status_history} WHERE tenant_id = $1 ORDER BY sequence"
    ) == [(None, "pending_payment"), ("pending_payment", "payment_received")]
    assert await counter.market.one("SELECT paid_at IS NOT NULL FROM {orders} WHERE tenant_id = $1")


async def test_a_line_out_of_stock_places_nothing_and_says_how_many_are_left(counter: Counter) -> None:
    plenty, scarce = await counter.market.variant(stock=10), await counter.market.variant(stock=3, sku="RARE")
    error = await refused(
        counter,
        errors.OutOfStock,
        lines=[PurchaseLine(variant_id=plenty), PurchaseLine(variant_id=scarce, quantity=5)],
    )
    assert isinstance(error, errors.OutOfStock)
    (line,) = error.lines
    assert (line.line, line.sku, line.variant_id, line.requested, line.available) == (2, "RARE", scarce, 5, 3)
    assert error.facts()["lines"] == [
        {"line": 2, "sku": "RARE", "variant_id": str(scarce), "requested": 5, "available": 3}
    ] or error.facts()["lines"] == [{"line": 2, "sku": "RARE", "variant_id": scarce, "requested": 5, "available": 3}]


async def test_two_lines_of_one_variant_are_counted_together(counter: Counter) -> None:
    variant = await counter.market.variant(stock=3)
    lines = [PurchaseLine(variant_id=variant, quantity=2), PurchaseLine(variant_id=variant, quantity=2, print_name="X")]
    await refused(counter, errors.OutOfStock, lines=lines)
    await counter.place(lines=[lines[0], PurchaseLine(variant_id=variant, print_name="X")])
    assert await counter.market.stock(variant) == (3, 3)


@pytest.mark.parametrize(
    ("policy", "limit", "stock", "quantity", "sold"),
    [
        ("deny", None, 2, 2, True),
        ("deny", None, 2, 3, False),
        ("backorder", 5, 2, 7, True),
        ("backorder", 5, 2, 8, False),
        ("backorder", None, 0, 500, True),
        ("untracked", None, 0, 500, True),
    ],
)
async def test_stock_policies(
    counter: Counter, policy: str, limit: int | None, stock: int, quantity: int, sold: bool
) -> None:
    variant = await counter.market.variant(stock=stock, policy=policy, backorder_limit=limit)
    lines = [PurchaseLine(variant_id=variant, quantity=quantity)]
    if not sold:
        await refused(counter, errors.OutOfStock, lines=lines)
        return
    await counter.place(lines=lines)
    assert await counter.market.stock(variant) == (stock, 0 if policy == "untracked" else quantity)


async def test_what_a_variant_is_short_of_comes_back_from_reservations_that_ran_out(counter: Counter) -> None:
    variant = await counter.market.variant(stock=1)
    other = await counter.market.guest_cart()
    held = await counter.market.inventory.reserve(variant_id=variant, quantity=1, cart_id=other.id)
    await refused(counter, errors.OutOfStock, variant)
    await counter.market.let_expire(held.id)
    await counter.place(variant)
    assert await counter.market.stock(variant) == (1, 1)
    assert await counter.market.reservations(variant) == {"released": 1}


@pytest.mark.requirement("SBB-CART-07", "SBB-ORD-13", "CED-OP-027", "SBB-PROD-08")
async def test_a_cart_becomes_one_order_and_its_reserved_units_go_with_it(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant(stock=3, price=700)
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=3)
    await market.inventory.reserve_cart(cart_id=cart.id)
    assert await market.stock(variant) == (3, 3)

    first = await counter.place(cart_id=cart.id)
    again = await counter.place(cart_id=cart.id)

    assert first.new
    assert not again.new
    assert again.order == first.order
    assert await market.stock(variant) == (3, 3)
    assert await market.reservations(variant) == {"converted": 1}
    assert await market.rows(
        "SELECT status, converted_to_order_id, converted_at IS NOT NULL FROM {carts} WHERE tenant_id = $1"
    ) == [("converted", first.order.id, True)]


async def test_a_cart_that_shrank_after_reserving_gives_the_rest_back(counter: Counter) -> None:
    market = counter.market
    kept, dropped = await market.variant(stock=5), await market.variant(stock=5)
    cart = await market.guest_cart()
    for variant in (kept, dropped):
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=4)
        await market.inventory.reserve(variant_id=variant, quantity=4, cart_id=cart.id)
    await market.run("UPDATE {cart_items} SET quantity = 1 WHERE tenant_id = $1 AND variant_id = $2", kept)
    await market.run("DELETE FROM {cart_items} WHERE tenant_id = $1 AND variant_id = $2", dropped)
    await counter.place(cart_id=cart.id)
    assert await market.stock(kept) == (5, 1)
    assert await market.stock(dropped) == (5, 0)


async def test_a_cart_of_another_visitor_is_not_found(counter: Counter) -> None:
    market = counter.market
    variant, cart = await market.variant(), await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=1)
    stranger, account = await market.session(), await market.user()
    await refused(counter, errors.CartUnknown, cart_id=cart.id, visitor=Visitor(session_id=stranger))
    await refused(counter, errors.CartUnknown, cart_id=cart.id, visitor=Visitor(user_id=account))
    await refused(counter, errors.CartUnknown, cart_id=CartId(new_id()), visitor=Visitor(session_id=stranger))
    placement = await counter.place(cart_id=cart.id, visitor=Visitor(session_id=cart.session_id))
    await refused(counter, errors.CartUnknown, cart_id=cart.id, visitor=Visitor(session_id=stranger))
    assert (
        await counter.place(cart_id=cart.id, visitor=Visitor(session_id=cart.session_id))
    ).order.id == placement.order.id


@pytest.mark.requirement("SBB-CART-09")
async def test_a_cart_whose_time_is_over_cannot_be_checked_out(counter: Counter) -> None:
    market = counter.market
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant(), quantity=1)
    await market.run("UPDATE {carts} SET expires_at = now() WHERE tenant_id = $1")
    error = await refused(counter, errors.CartClosed, cart_id=cart.id)
    assert error.facts()["status"] == "expired"


@pytest.mark.requirement("SBB-CI-02")
async def test_a_price_that_changed_since_it_was_seen_is_told_before_it_binds(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant(price=1000, sku="TEE")
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=1)
    await market.run("UPDATE {product_variants} SET price = 1200 WHERE tenant_id = $1")
    error = await refused(counter, errors.PriceChanged, cart_id=cart.id)
    assert error.facts()["lines"] == [
        {
            "line": 1,
            "sku": "TEE",
            "seen": {"amount": 1000, "currency": "USD"},
            "now": {"amount": 1200, "currency": "USD"},
        }
    ]
    await refused(counter, errors.PriceChanged, lines=[PurchaseLine(sku="TEE", unit_price=usd(1000))])
    await market.carts.reprice(cart_id=cart.id)
    assert (await counter.place(cart_id=cart.id)).order.total == usd(1200)


@pytest.mark.requirement("SBB-CART-08", "SBB-ORD-14")
async def test_the_carts_attribution_goes_before_the_checkouts(counter: Counter) -> None:
    market = counter.market
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant(), quantity=1)
    await market.run("UPDATE {carts} SET utm_source = 'news', utm_campaign = 'spring' WHERE tenant_id = $1")
    await counter.place(cart_id=cart.id, attribution=Attribution(utm_source="facebook", utm_campaign="late"))
    assert await market.rows("SELECT utm_source, utm_campaign FROM {orders} WHERE tenant_id = $1") == [
        ("news", "spring")
    ]


@pytest.mark.requirement("SBB-PROD-10", "SBB-USR-08")
async def test_age_is_attested_by_guests_and_verified_for_accounts(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant()
    await counter.regulated(variant, requires_age_verification=True)
    await refused(counter, errors.AgeRequired, variant, compliance=AGREED)
    placement = await counter.place(variant, compliance=AGREED, age_attested=True)
    assert await market.rows(
        "SELECT age_verified, age_attested FROM {orders} WHERE tenant_id = $1 AND id = $2", placement.order.id
    ) == [(True, True)]

    account = Visitor(user_id=await market.user())
    await refused(counter, errors.AgeRequired, variant, compliance=AGREED, age_attested=True, visitor=account)
    await market.run("UPDATE {users} SET age_verified = TRUE, age_verified_at = now() WHERE tenant_id = $1")
    placement = await counter.place(variant, compliance=AGREED, visitor=account)
    assert await market.rows(
        "SELECT age_verified, age_attested FROM {orders} WHERE tenant_id = $1 AND id = $2", placement.order.id
    ) == [(True, False)]


@pytest.mark.requirement("SBB-PROD-10", "SBB-USR-09")
@pytest.mark.parametrize("kyc", ["not_required", "pending", "rejected", "approved"])
async def test_an_identity_check_must_be_approved_where_a_product_asks_for_it(counter: Counter, kyc: str) -> None:
    market = counter.market
    variant = await market.variant()
    await counter.regulated(variant, requires_kyc=True, requires_age_verification=False)
    await refused(counter, errors.KycRequired, variant, compliance=AGREED, age_attested=True)
    account = Visitor(user_id=await market.user())
    await market.run("UPDATE {users} SET kyc_status = $2 WHERE tenant_id = $1", kyc)
    if kyc == "approved":
        assert (await counter.place(variant, compliance=AGREED, visitor=account)).new
    else:
        await refused(counter, errors.KycRequired, variant, compliance=AGREED, visitor=account)


@pytest.mark.requirement("SBB-ORD-12")
async def test_a_regulated_product_needs_an_acknowledgement_and_a_plain_one_does_not(counter: Counter) -> None:
    market = counter.market
    plain, regulated = await market.variant(), await market.variant()
    await counter.regulated(plain, requires_age_verification=False)
    await counter.regulated(regulated, requires_age_verification=True)
    await counter.place(plain)
    await refused(counter, errors.ComplianceRequired, regulated, age_attested=True)
    await refused(
        counter,
        errors.ComplianceRequired,
        regulated,
        age_attested=True,
        compliance=Compliance(acknowledged=False, version="1"),
    )
    placement = await counter.place(regulated, age_attested=True, compliance=AGREED)
    assert await market.rows(
        "SELECT compliance_acknowledged, compliance_version, compliance_acknowledged_at IS NOT NULL "
        "FROM {orders} WHERE tenant_id = $1 AND id = $2",
        placement.order.id,
    ) == [(True, "2026-01", True)]
    with pytest.raises(asyncpg.CheckViolationError, match="orders_compliance_given"):
        await market.run(
            "UPDATE {orders} SET compliance_version = NULL WHERE tenant_id = $1 AND id = $2", placement.order.id
        )


async def test_a_tenant_may_demand_the_acknowledgement_for_everything(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant()
    await counter.regulated(variant, requires_age_verification=False)
    await market.run("UPDATE {tenants} SET compliance_required = TRUE WHERE tenant_id = $1")
    market.context.tenants.forget(market.tenant_id)  # type: ignore[attr-defined]
    await refused(counter, errors.ComplianceRequired, variant)
    await counter.place(variant, compliance=AGREED)


def address(country: str, state: str) -> Address:
    return Address(
        recipient_name="A",
        street_line_1="1 High St",
        city="Town",
        state_province=state,
        postal_code="12345",
        country_code=country,
    )


@pytest.mark.requirement("SBB-PROD-11")
@pytest.mark.parametrize(
    ("restricted", "where", "sold"),
    [
        (["CA"], ("US", "CA"), False),
        (["CA"], ("US", "California"), False),
        (["CA"], ("US", "NY"), True),
        (["AU-WA"], ("US", "WA"), True),
        (None, ("US", "CA"), True),
    ],
)
async def test_restricted_states(
    counter: Counter, restricted: list[str] | None, where: tuple[str, str], sold: bool
) -> None:
    variant = await counter.market.variant()
    await counter.regulated(variant, restricted_states=restricted, requires_age_verification=False)
    if sold:
        await counter.place(variant, shipping_address=address(*where))
    else:
        error = await refused(counter, errors.Restricted, variant, shipping_address=address(*where))
        assert error.facts()["state"] == "CA"


@pytest.mark.requirement("SBB-PROD-12")
@pytest.mark.parametrize(("country", "state"), [("CA", "ON"), ("AU", "NSW"), ("GB", ""), ("UK", "")])
async def test_a_default_product_does_not_go_to_canada_australia_or_the_united_kingdom(
    counter: Counter, country: str, state: str
) -> None:
    variant = await counter.market.variant()
    await counter.regulated(variant, requires_age_verification=False)
    await refused(counter, errors.Restricted, variant, shipping_address=address(country, state))
    await counter.place(variant, shipping_address=address("IE", ""))


async def test_a_download_needs_no_address_and_a_parcel_does(counter: Counter) -> None:
    parcel, download = await counter.market.variant(), await counter.market.variant(digital=True)
    for variant in (parcel, download):
        await counter.regulated(variant, requires_age_verification=False)
    await refused(counter, errors.AddressRequired, parcel, shipping_address=None)
    await counter.market.rate("ground", 500)
    placement = await counter.place(download, shipping_address=None)
    assert placement.order.shipping == usd(0)
    assert await counter.market.rows("SELECT shipping_address, billing_address FROM {orders} WHERE tenant_id = $1") == [
        (None, None)
    ]


async def test_shipping_rates(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant(price=2000, stock=100)
    await counter.regulated(variant, requires_age_verification=False, restricted_countries=None)
    await market.rate("ground", 500, countries=["US"], free_from=5000)
    await market.rate("air", 2500, countries=["US"], position=1)
    assert (await counter.place(variant)).order.shipping == usd(500)
    assert (await counter.place(variant, shipping_method="air")).order.total == usd(4500)
    assert (await counter.place(lines=[PurchaseLine(variant_id=variant, quantity=3)])).order.shipping == usd(0)
    await refused(counter, errors.ShippingUnavailable, variant, shipping_address=address("IE", ""))
    await refused(counter, errors.ShippingUnavailable, variant, shipping_method="drone")


@pytest.mark.requirement("SBB-PM-06")
@pytest.mark.parametrize(("total", "offered"), [(999, False), (1000, True), (5000, True), (5001, False)])
async def test_a_payment_method_takes_amounts_within_its_limits(counter: Counter, total: int, offered: bool) -> None:
    await counter.method(min_amount=1000, max_amount=5000)
    variant = await counter.market.variant(price=total)
    if offered:
        await counter.place(variant, payment_method="zelle")
    else:
        error = await refused(counter, errors.PaymentMethodRefused, variant, payment_method="zelle")
        assert error.facts()["minimum"] == {"amount": 1000, "currency": "USD"}


async def test_an_unknown_or_inactive_payment_method_is_refused(counter: Counter) -> None:
    variant = await counter.market.variant()
    await refused(counter, errors.PaymentMethodRefused, variant, payment_method="zelle")
    await counter.method(is_active=False)
    await refused(counter, errors.PaymentMethodRefused, variant, payment_method="zelle")


@pytest.mark.requirement("CED-OP-014", "CED-ORD-02")
async def test_a_purchase_of_a_source_is_one_order(counter: Counter) -> None:
    variant = await counter.market.variant()
    first = await counter.place(variant, source="stripe", purchase_id="cs_1")
    again = await counter.place(variant, source="stripe", purchase_id="cs_1")
    other = await counter.place(variant, source="wallet", purchase_id="cs_1")
    assert (first.new, again.new, other.new) == (True, False, True)
    assert again.order == first.order
    assert await counter.market.stock(variant) == (10, 2)


async def test_an_idempotency_key_gives_the_first_answer_until_its_time_is_over(counter: Counter) -> None:
    variant = await counter.market.variant()
    first = await counter.place(variant, idempotency_key="k")
    again = await counter.place(variant, idempotency_key="k")
    assert again.replayed
    assert again.order == first.order
    with pytest.raises(IdempotencyKeyReused):
        await counter.place(variant, idempotency_key="k", notes="another request")
    await counter.market.run("UPDATE {idempotency_keys} SET expires_at = now() WHERE tenant_id = $1")
    assert (await counter.place(variant, idempotency_key="k", notes="another request")).new
    assert await counter.count("orders") == 2


async def test_a_refused_checkout_leaves_its_key_free(counter: Counter) -> None:
    variant = await counter.market.variant(stock=0)
    await refused(counter, errors.OutOfStock, variant, idempotency_key="k")
    await counter.market.run("UPDATE {stock_levels} SET on_hand = 1 WHERE tenant_id = $1")
    assert (await counter.place(variant, idempotency_key="k")).new


async def test_a_visitors_open_orders_are_bounded(counter: Counter) -> None:
    market = counter.market
    await market.run("UPDATE {tenants} SET open_orders_max = 2 WHERE tenant_id = $1")
    variant = await market.variant()
    guest, account = Visitor(session_id=await market.session()), Visitor(user_id=await market.user())
    for visitor in (guest, account):
        await counter.place(variant, visitor=visitor)
        await counter.place(variant, visitor=visitor)
        error = await refused(counter, errors.TooManyOpenOrders, variant, visitor=visitor)
        assert error.facts()["maximum"] == 2


async def test_a_cart_asked_for_again_gives_its_order_also_at_the_bound(counter: Counter) -> None:
    """The answer got lost; the order that fills the bound is the very one that is asked for."""
    market = counter.market
    await market.run("UPDATE {tenants} SET open_orders_max = 1 WHERE tenant_id = $1")
    visitor = Visitor(session_id=await market.session())
    cart = await market.carts.create(visitor=visitor)
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant())
    first = await counter.place(cart_id=cart.id, visitor=visitor)
    again = await counter.place(cart_id=cart.id, visitor=visitor)
    assert (first.new, again.new, again.order.id) == (True, False, first.order.id)
    await refused(counter, errors.TooManyOpenOrders, await market.variant(), visitor=visitor)


@pytest.mark.parametrize("status", ["suspended", "banned", "deleted"])
async def test_an_account_that_may_not_buy(counter: Counter, status: str) -> None:
    user = await counter.market.user()
    await counter.market.run("UPDATE {users} SET status = $2 WHERE tenant_id = $1", status)
    await refused(counter, errors.BuyerNotActive, await counter.market.variant(), visitor=Visitor(user_id=user))
    await refused(
        counter, errors.BuyerNotActive, await counter.market.variant(), visitor=Visitor(user_id=UserId(new_id()))
    )


@pytest.mark.parametrize(
    ("product", "variant"),
    [
        ("status = 'draft'", None),
        ("status = 'discontinued'", None),
        ("deleted_at = now()", None),
        (None, "is_active = FALSE"),
    ],
)
async def test_what_is_not_for_sale_cannot_be_bought(
    counter: Counter, product: str | None, variant: str | None
) -> None:
    market = counter.market
    id_ = await market.variant(sku="GONE")
    if product:
        await market.run(f"UPDATE {{products}} SET {product} WHERE tenant_id = $1")
    if variant:
        await market.run(f"UPDATE {{product_variants}} SET {variant} WHERE tenant_id = $1")
    error = await refused(counter, errors.LineUnavailable, id_)
    assert error.facts()["lines"][0]["line"] == 1


@pytest.mark.requirement("SBB-OI-04")
async def test_requests_that_cannot_be_right(counter: Counter) -> None:
    variant = await counter.market.variant()
    await refused(counter, errors.NothingToBuy, lines=[])
    await refused(counter, errors.InvalidPurchase, lines=[PurchaseLine(variant_id=variant, quantity=0)])
    await refused(counter, errors.InvalidPurchase, lines=[PurchaseLine(variant_id=variant, quantity=-1)])
    await refused(counter, errors.InvalidPurchase, lines=[PurchaseLine()])
    await refused(counter, errors.InvalidPurchase, lines=[PurchaseLine(variant_id=variant)], cart_id=CartId(new_id()))
    await refused(counter, errors.InvalidPurchase, lines=[PurchaseLine(variant_id=variant, unit_price=Money(1, "EUR"))])
    await refused(counter, errors.InvalidPurchase, variant, metadata={"big": "x" * 20_000})
    await refused(counter, errors.InvalidPurchase, variant, idempotency_key="")
    await refused(counter, InvalidEmail, variant, email="nobody")


@pytest.mark.requirement("SBB-ORD-06", "SBB-ORD-04")
async def test_addresses_and_names_are_copies(counter: Counter) -> None:
    market = counter.market
    user = await market.user()
    await counter.place(await market.variant(), visitor=Visitor(user_id=user))
    await market.run("UPDATE {users} SET email = 'new@example.com' WHERE tenant_id = $1")
    assert await market.rows(
        "SELECT customer_email, customer_name, shipping_address->>'city', billing_address->>'street_line_1' "
        "FROM {orders} WHERE tenant_id = $1"
    ) == [("ann@example.com", "Ann Buyer", HOME.city, HOME.street_line_1)]


async def test_another_tenants_variant_is_unknown(counter: Counter, database: Database) -> None:
    other = await Market.open(database)
    await refused(counter, errors.LineUnavailable, await other.variant())


async def test_an_order_placed_in_the_callers_transaction_goes_with_it(counter: Counter) -> None:
    market = counter.market
    variant = await market.variant()

    class Changed(Exception):
        """The caller's own reason."""

    before = await counter.trace()
    with pytest.raises(Changed):
        async with market.db.transaction() as tx:
            await counter.checkout.place_in(tx, counter.purchase(variant))
            raise Changed
    assert await counter.trace() == before
    assert await market.stock(variant) == (10, 0)
    async with market.db.transaction() as tx:
        await counter.checkout.place_in(tx, counter.purchase(variant))
    assert await market.stock(variant) == (10, 1)


@pytest.mark.requirement("SBB-ORD-02", "SBB-ORD-15")
async def test_every_field_of_an_order_comes_from_where_it_should(counter: Counter) -> None:
    """An account's cart with all that a checkout may say, read back column by column."""
    market = counter.market
    await counter.method()
    await market.rate("ground", 450)
    variant = await market.variant(price=2000, sku="TEE")
    user = await market.user()
    cart = await market.carts.create(visitor=Visitor(user_id=user))
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=3)
    billing = address("IE", "")
    agreed = Compliance(acknowledged=True, version="2026-02", acknowledged_at=datetime(2026, 2, 3, tzinfo=UTC))
    counter.checkout = Checkout(
        msgspec.structs.replace(
            market.context, ip="203.0.113.7", request_id="r-1", actor=Actor(kind=ActorKind.CUSTOMER, user_id=user)
        )
    )
    placement = await counter.place(
        cart_id=cart.id,
        visitor=Visitor(user_id=user),
        email="Ann@Example.com",
        phone="+1 212 555 0100",
        billing_address=billing,
        shipping_method="ground",
        payment_method="zelle",
        compliance=agreed,
        attribution=Attribution(utm_source="facebook", utm_medium="cpc", utm_campaign="spring"),
        notes="Leave it at the door",
        source="app",
        purchase_id="p-1",
        resource_id="cart:1",
        metadata={"gift": True},
    )
    row = dict(
        await market.db.fetchrow(
            market.db.names.render("SELECT * FROM {orders} WHERE tenant_id = $1 AND id = $2"),
            market.tenant_id,
            placement.order.id,
        )
    )
    placed_at = row.pop("created_at")
    for instant in ("updated_at", "status_updated_at"):
        assert row.pop(instant) == placed_at
    assert row.pop("payment_due_at") == placed_at + timedelta(days=7)
    assert row.pop("shipping_address") == msgspec.to_builtins(HOME)
    assert row.pop("billing_address") == msgspec.to_builtins(billing)
    assert str(row.pop("ip_address")) == "203.0.113.7"
    assert {name: value for name, value in row.items() if value is not None} == {
        "tenant_id": market.tenant_id,
        "id": placement.order.id,
        "order_number": placement.order.number,
        "source": "app",
        "purchase_id": "p-1",
        "resource_id": "cart:1",
        "user_id": user,
        "customer_email": "ann@example.com",
        "customer_name": "Ann Buyer",
        "customer_phone": "12125550100",
        "status": "pending_payment",
        "delivery_stage": "ORDER_CONFIRMED",
        "currency": "USD",
        "subtotal_amount": 6000,
        "discount_amount": 0,
        "shipping_amount": 450,
        "tax_amount": 0,
        "total_amount": 6450,
        "amount_paid": 0,
        "paid_at_source": 0,
        "amount_due": 6450,
        "shipping_method": "ground",
        "age_verified": False,
        "age_attested": False,
        "compliance_required": False,
        "compliance_acknowledged": True,
        "compliance_version": "2026-02",
        "compliance_acknowledged_at": agreed.acknowledged_at,
        "source_cart_id": cart.id,
        "traffic_source": "facebook",
        "utm_source": "facebook",
        "utm_medium": "cpc",
        "utm_campaign": "spring",
        "customer_notes": "Leave it at the door",
        "metadata": {"gift": True},
    }
    assert await market.rows(
        "SELECT changed_by_type, changed_by, request_id FROM {order_status_history} WHERE tenant_id = $1"
    ) == [("customer", user, "r-1")]


async def test_an_order_wakes_the_workers(dsn: str, database: Database) -> None:
    """Grouped, as a server places it. The event is in the table at its commit; who sends it need not wait for a look."""
    heard = asyncio.Event()
    variant = await make_product(shop := await open_shop(Storeroom(database)))
    listener = await database.listen(CHANNEL, lambda _: heard.set())
    async with asyncio.timeout(30), await Database.open(dsn) as own:
        wake(database)  # what was done before is told of by now
        await heard.wait()
        heard.clear()
        placement = await place(Storeroom(own).tenant(shop.tenant_id), (variant, 1))
        assert placement.new
        await heard.wait()
    await listener.close()
