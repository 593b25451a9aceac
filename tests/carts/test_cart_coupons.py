"""A coupon on a cart: what it would take now, as the checkout will take it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from factories import SECRET, make_product, open_shop, purchase, usd
from market import Market
from storeroom.carts import Cart, CartNotActive, CartNotFound, Visitor
from storeroom.core.ids import VariantId
from storeroom.database.pool import Database
from storeroom.flows.checkout import Checkout
from storeroom.promotions import CouponNotApplicable, CouponNotFound, CouponUsedUp
from storeroom.room import Storeroom
from storeroom.server.app import create_app
from storeroom.settings import Settings


async def filled(market: Market, *prices: int, cart: Cart | None = None) -> tuple[Cart, list[VariantId]]:
    cart = cart or await market.guest_cart()
    variants = [await market.variant(price=price) for price in prices]
    for variant in variants:
        await market.carts.add(cart_id=cart.id, variant_id=variant)
    return cart, variants


async def stored(market: Market, cart: Cart) -> tuple[object, ...]:
    (row,) = await market.rows(
        "SELECT discount_code, discount_id, discount_amount, total_amount FROM {carts} WHERE tenant_id = $1 AND id = $2",
        cart.id,
    )
    return row


@pytest.fixture
async def market(database: Database) -> Market:
    return await Market.open(database)


@pytest.mark.requirement("SBB-CART-05")
async def test_a_valid_code_sets_both_and_changes_totals_and_an_expired_one_sets_neither(market: Market) -> None:
    cart, _ = await filled(market, 1000, 500)
    coupon_id = await market.coupon()
    past = datetime.now(UTC) - timedelta(days=1)
    await market.coupon("OLD", starts_at=past - timedelta(days=1), expires_at=past)
    with pytest.raises(CouponNotApplicable) as refusal:
        await market.carts.apply_coupon(cart_id=cart.id, code="OLD")
    assert refusal.value.reason == "expired"
    assert await stored(market, cart) == (None, None, 0, 1500)
    applied = await market.carts.apply_coupon(cart_id=cart.id, code=" save ")
    assert (applied.discount_code, applied.discount, applied.total) == ("SAVE", usd(150), usd(1350))
    assert await stored(market, cart) == ("SAVE", coupon_id, 150, 1350)
    with pytest.raises(CouponNotApplicable):
        await market.carts.apply_coupon(cart_id=cart.id, code="OLD")
    assert await stored(market, cart) == ("SAVE", coupon_id, 150, 1350)
    for _ in range(2):
        removed = await market.carts.remove_coupon(cart_id=cart.id)
        assert (removed.discount_code, removed.discount, removed.total) == (None, usd(0), usd(1500))
    assert await stored(market, cart) == (None, None, 0, 1500)
    assert await market.uses() == (0, 0)  # nothing is counted until it is bought


async def test_the_discount_follows_the_lines(market: Market) -> None:
    cart, (first, _) = await filled(market, 1000, 500)
    await market.coupon(minimum_order_amount=1500)
    await market.carts.apply_coupon(cart_id=cart.id, code="SAVE")
    line = await market.carts.add(cart_id=cart.id, variant_id=first)
    assert (await market.carts.get(cart_id=cart.id)).discount == usd(250)
    await market.carts.remove(cart_id=cart.id, line_id=line.id)
    view = await market.carts.view(cart_id=cart.id)
    assert (view.cart.discount, view.cart.total, view.cart.discount_code) == (usd(0), usd(500), "SAVE")
    assert view.coupon_problem == CouponNotApplicable.code
    await market.carts.add(cart_id=cart.id, variant_id=first)
    view = await market.carts.view(cart_id=cart.id)
    assert (view.cart.discount, view.coupon_problem) == (usd(150), None)


async def test_what_applies_by_itself_is_shown_and_what_has_ended_is_not(market: Market) -> None:
    cart, _ = await filled(market, 1000)
    await market.coupon("AUTO", percentage=5, auto_apply=True)
    await market.coupon()
    view = await market.carts.view(cart_id=cart.id)  # it began after the cart was filled
    assert (view.cart.discount, view.cart.total, view.cart.discount_code) == (usd(50), usd(950), None)
    assert (await market.carts.apply_coupon(cart_id=cart.id, code="SAVE")).discount == usd(145)  # 950 less a tenth
    await market.run("UPDATE {coupons} SET is_active = FALSE WHERE tenant_id = $1 AND code = 'SAVE'")
    view = await market.carts.view(cart_id=cart.id)
    assert (view.cart.discount, view.cart.total, view.coupon_problem) == (usd(50), usd(950), CouponNotFound.code)


async def test_what_cannot_be_applied_is_refused(market: Market) -> None:
    ann, bob = await market.user_cart(), await market.user_cart()
    cart, _ = await filled(market, 1000, cart=ann)
    await filled(market, 1000, cart=bob)
    await market.coupon("ANNS", user_ids=[ann.user_id])
    await market.coupon("GONE", usage_limit=1, usage_count=1)
    assert (await market.carts.apply_coupon(cart_id=cart.id, code="ANNS")).discount == usd(100)
    with pytest.raises(CouponNotApplicable):
        await market.carts.apply_coupon(cart_id=bob.id, code="ANNS")
    with pytest.raises(CouponUsedUp):
        await market.carts.apply_coupon(cart_id=cart.id, code="GONE")
    with pytest.raises(CouponNotFound):
        await market.carts.apply_coupon(cart_id=cart.id, code="NONE")
    for call in (market.carts.apply_coupon(cart_id=ann.id, code="ANNS", visitor=Visitor(user_id=bob.user_id)),
                 market.carts.remove_coupon(cart_id=ann.id, visitor=Visitor(user_id=bob.user_id))):  # fmt: skip
        with pytest.raises(CartNotFound):
            await call
    assert (await market.carts.get(cart_id=cart.id)).discount_code == "ANNS"


@pytest.mark.requirement("SBB-CART-05", "SBB-ORD-10")
async def test_the_order_takes_the_carts_coupon_and_comes_to_what_the_cart_showed(market: Market) -> None:
    cart, variants = await filled(market, 999, 501, 333)
    await market.coupon(percentage="33.3")
    await market.coupon("AUTO", off=77, auto_apply=True)
    await market.coupon("CAPS", percentage=15, product_ids=[market.products[variants[1]]], auto_apply=True)
    await market.coupon("MORE", percentage=1)
    shown = await market.carts.apply_coupon(cart_id=cart.id, code="SAVE")
    order = (await Checkout(market.context).place(purchase(cart_id=cart.id))).order
    assert (order.subtotal, order.discount, order.total) == (shown.subtotal, shown.discount, shown.total)
    assert order.discount_code == "SAVE"
    assert await market.uses() == (1, 1)
    with pytest.raises(CartNotActive):
        await market.carts.apply_coupon(cart_id=cart.id, code="MORE")
    with pytest.raises(CartNotActive):
        await market.carts.remove_coupon(cart_id=cart.id)
    view = await market.carts.view(cart_id=cart.id)  # bought: it stays what it was
    assert (view.cart.discount, view.cart.discount_code) == (shown.discount, "SAVE")

    again, _ = await filled(market, 1000)
    await market.carts.apply_coupon(cart_id=again.id, code="SAVE")
    both = (await Checkout(market.context).place(purchase(cart_id=again.id, coupons=["more", "save"]))).order
    assert both.discount_code == "SAVE"  # the cart's was typed first
    assert await market.uses("MORE") == (1, 1)


async def test_a_carts_coupon_that_has_ended_refuses_the_order_until_it_is_removed(market: Market) -> None:
    cart, _ = await filled(market, 1000)
    await market.coupon()
    await market.carts.apply_coupon(cart_id=cart.id, code="SAVE")
    await market.run("UPDATE {coupons} SET is_active = FALSE WHERE tenant_id = $1")
    checkout = Checkout(market.context)
    with pytest.raises(CouponNotFound):
        await checkout.place(purchase(cart_id=cart.id))
    await market.carts.remove_coupon(cart_id=cart.id)
    assert (await checkout.place(purchase(cart_id=cart.id))).order.total == usd(1000)


async def test_a_guests_coupon_comes_along_at_sign_in(market: Market) -> None:
    await market.coupon()
    await market.coupon("OWN", percentage=50)
    for own_code, kept, discount in ((None, "SAVE", 200), ("OWN", "OWN", 1000)):
        own, guest = await market.user_cart(), await market.guest_cart()
        await filled(market, 1000, cart=own)
        await filled(market, 1000, cart=guest)
        if own_code:
            await market.carts.apply_coupon(cart_id=own.id, code=own_code)
        await market.carts.apply_coupon(cart_id=guest.id, code="SAVE")
        merged = await market.carts.merge(user_id=own.user_id, session_id=guest.session_id)  # type: ignore[arg-type]
        assert merged is not None
        assert (merged.discount_code, merged.discount) == (kept, usd(discount))


async def test_over_http(room: Storeroom) -> None:
    shop = await open_shop(room)
    await room.tenants.add_host(shop.tenant_id, f"{shop.tenant_id.replace('_', '-')}.test")
    market = Market(room.db, shop.context)
    await market.coupon()
    variant = await make_product(shop, price=1000)
    transport = httpx.ASGITransport(create_app(Storeroom(room.db, secret=SECRET), Settings()))
    base = f"http://{shop.tenant_id.replace('_', '-')}.test"
    async with httpx.AsyncClient(transport=transport, base_url=base) as http:
        cart = (await http.post("/v1/carts")).json()["cart"]["id"]
        await http.post(f"/v1/carts/{cart}/items", json={"variant_id": str(variant)})
        refused = await http.post(f"/v1/carts/{cart}/coupon", json={"code": "nope"})
        assert (refused.status_code, refused.json()["code"], refused.json()["coupon"]) == (
            404,
            CouponNotFound.code,
            "NOPE",
        )
        applied = (await http.post(f"/v1/carts/{cart}/coupon", json={"code": "save"})).json()
        assert (applied["discount_code"], applied["discount"]["amount"], applied["total"]["amount"]) == (
            "SAVE",
            100,
            900,
        )
        removed = (await http.delete(f"/v1/carts/{cart}/coupon")).json()
        assert (removed["discount_code"], removed["total"]["amount"]) == (None, 1000)
        body = {"cart_id": cart, "email": "ann@example.com", "name": "Ann", "coupon": "save",
                "shipping_address": {"recipient_name": "Ann", "street_line_1": "1 Main Street", "city": "Albany",
                                     "state_province": "NY", "postal_code": "12207", "country_code": "US"}}  # fmt: skip
        unknown = await http.post("/v1/checkout", json={**body, "coupon": None, "coupons": ["SAVE", "NONE"]})
        assert (unknown.status_code, unknown.json()["code"]) == (404, CouponNotFound.code)
        placed = (await http.post("/v1/checkout", json=body)).json()["order"]
        assert (placed["discount_code"], placed["discount"]["amount"], placed["total"]["amount"]) == ("SAVE", 100, 900)
        assert placed["paid"]["amount"] == 0
