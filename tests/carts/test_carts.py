"""Filling a cart: who may, what it comes to, and what it refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from market import Market
from storeroom.carts import (
    CART_MOVES,
    LINES_MAX,
    Attribution,
    Cart,
    CartFull,
    CartLineNotFound,
    CartNotActive,
    CartNotFound,
    CartStatus,
    Customisation,
    InvalidCustomisation,
    InvalidLine,
    InvalidLineQuantity,
    InvalidVisitor,
    LineTooLarge,
    NotForSale,
    Visitor,
    VisitorNotFound,
)
from storeroom.catalog import VariantNotFound
from storeroom.core.ids import CartId, CartItemId, OrderId, SessionId, UserId, VariantId, new_id
from storeroom.core.money import Money
from storeroom.core.states import sources


async def totals_agree(market: Market, cart_id: CartId) -> None:
    """The cached totals against the lines, by a statement of the test's own."""
    (row,) = await market.rows(
        "SELECT subtotal_amount, discount_amount, shipping_amount, tax_amount, total_amount, "
        "(SELECT coalesce(sum(quantity * unit_price), 0) FROM {cart_items} WHERE tenant_id = $1 AND cart_id = $2) "
        "FROM {carts} WHERE tenant_id = $1 AND id = $2",
        cart_id,
    )
    subtotal, discount, shipping, tax, total, lines = row
    assert subtotal == lines
    assert total == subtotal - discount + shipping + tax


# --- One visitor, one cart --------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-CART-02", "SBB-CART-09", "STO-CART-01")
async def test_a_guest_and_an_account_each_get_a_cart_that_stays(market: Market) -> None:
    guest, user = Visitor(session_id=await market.session()), Visitor(user_id=await market.user())
    for visitor in (guest, user):
        cart = await market.carts.create(visitor=visitor)
        assert cart == await market.carts.create(visitor=visitor)
        assert cart == await market.carts.active(visitor=visitor)
        assert (cart.status, cart.expired, cart.total) == (CartStatus.ACTIVE, False, Money(0, "USD"))
        assert cart.expires_at - cart.created_at == timedelta(days=30)
    assert await market.statuses() == ["active", "active"]
    with pytest.raises(asyncpg.CheckViolationError):
        await market.run("INSERT INTO {carts} (tenant_id, id, currency) VALUES ($1, $2, 'USD')", new_id())


@pytest.mark.requirement("STO-CART-01")
async def test_a_cart_of_somebody_else_does_not_exist(market: Market, other: Market) -> None:
    variant, session = await market.variant(), await market.session()
    guest = await market.carts.for_session(session)
    own = await market.user_cart()
    line = await market.carts.add(cart_id=guest.id, variant_id=variant)
    strangers = [
        (market, Visitor(session_id=await market.session())),
        (market, Visitor(user_id=await market.user())),
        (market, Visitor()),
        (other, None),
    ]
    for shop, stranger in strangers:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda shop=shop, who=stranger: shop.carts.get(cart_id=guest.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.view(cart_id=guest.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.lines(cart_id=guest.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.add(cart_id=guest.id, variant_id=variant, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.set_quantity(
                cart_id=guest.id, line_id=line.id, quantity=3, visitor=who
            ),
            lambda shop=shop, who=stranger: shop.carts.remove(cart_id=guest.id, line_id=line.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.reprice(cart_id=guest.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.set_shipping(cart_id=guest.id, visitor=who),
            lambda shop=shop, who=stranger: shop.carts.reserve(cart_id=guest.id, visitor=who),
        ]
        for call in calls:
            with pytest.raises(CartNotFound):
                await call()
    with pytest.raises(CartNotFound):  # an account's cart is not a session's
        await market.carts.get(cart_id=own.id, visitor=Visitor(session_id=session))
    assert await market.contents(guest.id) == {variant: 1}
    assert (await market.carts.get(cart_id=guest.id, visitor=Visitor(session_id=session))).id == guest.id


async def test_a_visitor_who_does_not_exist_gets_no_cart(market: Market, other: Market) -> None:
    for visitor in (
        Visitor(user_id=UserId(new_id())),
        Visitor(session_id=SessionId(new_id())),
        Visitor(user_id=await other.user()),
        Visitor(session_id=await other.session()),
    ):
        with pytest.raises(VisitorNotFound):
            await market.carts.create(visitor=visitor)
    with pytest.raises(InvalidVisitor):
        await market.carts.create(visitor=Visitor())
    assert await market.statuses() == []


@pytest.mark.requirement("SBB-CART-10")
@pytest.mark.parametrize("guest", [True, False])
async def test_many_calls_at_once_make_one_cart(market: Market, guest: bool) -> None:
    visitor = Visitor(session_id=await market.session()) if guest else Visitor(user_id=await market.user())
    made = await asyncio.gather(*(market.carts.create(visitor=visitor) for _ in range(12)))
    assert len({cart.id for cart in made}) == 1
    assert await market.statuses() == ["active"]


@pytest.mark.requirement("SBB-CART-10")
async def test_the_database_refuses_a_second_active_cart(market: Market) -> None:
    user = await market.user()
    cart = await market.carts.for_user(user)
    insert = "INSERT INTO {carts} (tenant_id, id, user_id, currency) VALUES ($1, $2, $3, 'USD')"
    with pytest.raises(asyncpg.UniqueViolationError):
        await market.run(insert, new_id(), user)
    for _ in range(2):  # converted ones may accumulate
        await market.run(
            "UPDATE {carts} SET status = 'converted', converted_at = now(), converted_to_order_id = $2 "
            "WHERE tenant_id = $1 AND status = 'active'",
            new_id(),
        )
        assert (await market.carts.for_user(user)).id != cart.id
    assert await market.statuses() == ["active", "converted", "converted"]


@pytest.mark.requirement("SBB-CART-08")
async def test_attribution_is_that_of_the_first_visit(market: Market) -> None:
    session = await market.session()
    first = Attribution(
        utm_source="ig", utm_medium="story", utm_campaign="spring\x00", referrer_url="https://l.example/" + "x" * 3000
    )
    cart = await market.carts.for_session(session, attribution=first)
    assert (cart.utm_source, cart.utm_medium, cart.utm_campaign) == ("ig", "story", "spring")
    assert cart.referrer_url is not None
    assert len(cart.referrer_url) == 2000
    again = await market.carts.for_session(session, attribution=Attribution(utm_source="tiktok"))
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant())
    assert again.utm_source == (await market.carts.get(cart_id=cart.id)).utm_source == "ig"


# --- Lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-CART-01", "SBB-CART-04", "SBB-CI-01", "SBB-CI-03")
async def test_lines_are_added_changed_and_removed(market: Market) -> None:
    shirt, mug = await market.variant(price=1250, sku="SHIRT"), await market.variant(price=300, sku="MUG")
    cart = await market.guest_cart()
    line = await market.carts.add(cart_id=cart.id, sku="SHIRT", quantity=2)
    assert (line.variant_id, line.quantity, line.unit_price, line.total) == (
        shirt,
        2,
        Money(1250, "USD"),
        Money(2500, "USD"),
    )
    assert (line.product_name, line.variant_title, line.sellable, line.difference) == (
        "Shirt",
        "Large",
        True,
        Money(0, "USD"),
    )
    await market.carts.add(cart_id=cart.id, variant_id=mug)
    again = await market.carts.add(cart_id=cart.id, variant_id=shirt, quantity=3)
    assert (again.id, again.quantity) == (line.id, 5)
    view = await market.carts.view(cart_id=cart.id)
    assert [each.sku for each in view.lines] == ["SHIRT", "MUG"]
    assert (view.cart.subtotal, view.cart.total) == (Money(6550, "USD"), Money(6550, "USD"))
    await market.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=1)
    assert (await market.carts.get(cart_id=cart.id)).total == Money(1550, "USD")
    assert await market.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=0) is None
    assert await market.contents(cart.id) == {mug: 1}
    assert (await market.carts.get(cart_id=cart.id)).total == Money(300, "USD")
    (rest,) = await market.carts.lines(cart_id=cart.id)
    await market.carts.remove(cart_id=cart.id, line_id=rest.id)
    assert (await market.carts.get(cart_id=cart.id)).total == Money(0, "USD")
    with pytest.raises(CartLineNotFound):
        await market.carts.remove(cart_id=cart.id, line_id=rest.id)


@pytest.mark.requirement("SBB-CI-03", "STO-CART-06")
async def test_quantities_out_of_range_are_refused(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    line = await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=9_999)
    for quantity in (0, -1, 10_001):
        with pytest.raises(InvalidLineQuantity):
            await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=quantity)
    for quantity in (-1, 10_001):
        with pytest.raises(InvalidLineQuantity):
            await market.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=quantity)
    with pytest.raises(LineTooLarge) as refused:
        await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=2)
    assert (refused.value.quantity, refused.value.in_cart) == (2, 9_999)
    for quantity in (0, -1):
        with pytest.raises(asyncpg.CheckViolationError):
            await market.run("UPDATE {cart_items} SET quantity = $2 WHERE tenant_id = $1", quantity)
    assert await market.contents(cart.id) == {variant: 9_999}
    await market.carts.add(cart_id=cart.id, variant_id=variant, quantity=1)


async def test_a_cart_has_an_end(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    for number in range(LINES_MAX):
        await market.carts.add(
            cart_id=cart.id, variant_id=variant, customisation=Customisation(print_number=str(number))
        )
    with pytest.raises(CartFull):
        await market.carts.add(cart_id=cart.id, variant_id=variant)
    again = await market.carts.add(cart_id=cart.id, variant_id=variant, customisation=Customisation(print_number="7"))
    assert again.quantity == 2
    assert len(await market.carts.lines(cart_id=cart.id)) == LINES_MAX
    await totals_agree(market, cart.id)


async def test_another_customisation_is_another_line(market: Market) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    printed = Customisation(print_name="NUÑEZ", print_number="10")
    for customisation in (Customisation(), printed, Customisation(patch_type="league"), printed):
        await market.carts.add(cart_id=cart.id, variant_id=variant, customisation=customisation)
    lines = await market.carts.lines(cart_id=cart.id)
    assert [(line.quantity, line.patch_type, line.print_name) for line in lines] == [
        (1, None, None),
        (2, None, "NUÑEZ"),
        (1, "league", None),
    ]
    for field, text in (("print_name", "x" * 51), ("print_name", ""), ("print_number", "1\n"), ("patch_type", " a")):
        with pytest.raises(InvalidCustomisation) as refused:
            Customisation(**{field: text})
        assert refused.value.field == field


@pytest.mark.requirement("STO-CART-05", "STO-CART-06")
async def test_two_variants_of_a_product_are_two_lines(market: Market) -> None:
    large = await market.variant()
    small = await market.variant(product_id=market.products[large])
    foreign, cart = await market.variant(), await market.guest_cart()
    for variant in (large, small):
        await market.carts.add(cart_id=cart.id, variant_id=variant)
    assert await market.contents(cart.id) == {large: 1, small: 1}
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await market.run(
            "INSERT INTO {cart_items} (tenant_id, id, cart_id, product_id, variant_id, unit_price) "
            "VALUES ($1, $2, $3, $4, $5, 1)",
            new_id(),
            cart.id,
            market.products[large],
            foreign,
        )
    await market.run("DELETE FROM {carts} WHERE tenant_id = $1 AND id = $2", cart.id)
    assert await market.contents(cart.id) == {}


async def test_only_what_is_offered_goes_into_a_cart(market: Market, other: Market) -> None:
    cart = await market.guest_cart()
    product = "WHERE p.tenant_id = $1 AND v.tenant_id = $1 AND v.id = $2 AND p.id = v.product_id"
    for change in (
        "UPDATE {product_variants} SET is_active = FALSE WHERE tenant_id = $1 AND id = $2",
        "UPDATE {product_variants} SET currency = 'EUR' WHERE tenant_id = $1 AND id = $2",
        f"UPDATE {{products}} p SET status = 'draft' FROM {{product_variants}} v {product}",
        f"UPDATE {{products}} p SET deleted_at = now() FROM {{product_variants}} v {product}",
    ):
        variant = await market.variant()
        await market.run(change, variant)
        with pytest.raises(NotForSale):
            await market.carts.add(cart_id=cart.id, variant_id=variant)
    for variant in (VariantId(new_id()), await other.variant(sku="THEIRS")):
        with pytest.raises(VariantNotFound):
            await market.carts.add(cart_id=cart.id, variant_id=variant)
    for sku in ("THEIRS", "no such", "\x00", ""):
        with pytest.raises(VariantNotFound):
            await market.carts.add(cart_id=cart.id, sku=sku)
    for named in ({}, {"sku": "X", "variant_id": VariantId(new_id())}):
        with pytest.raises(InvalidLine):
            await market.carts.add(cart_id=cart.id, **named)  # type: ignore[arg-type]
    assert await market.contents(cart.id) == {}


# --- Prices -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-CI-02", "SBB-CART-04")
async def test_a_line_keeps_its_price_until_it_is_repriced(market: Market) -> None:
    shirt, mug, cart = await market.variant(price=1000), await market.variant(price=500), await market.guest_cart()
    gone = await market.variant(price=100)
    line = await market.carts.add(cart_id=cart.id, variant_id=shirt, quantity=2)
    for variant in (mug, gone):
        await market.carts.add(cart_id=cart.id, variant_id=variant)
    raise_price = "UPDATE {product_variants} SET price = price + 200, currency = $3 WHERE tenant_id = $1 AND id = $2"
    await market.run(raise_price, shirt, "USD")
    await market.run(raise_price, gone, "EUR")
    again = await market.carts.add(cart_id=cart.id, variant_id=shirt)
    assert (again.unit_price, again.current_price, again.difference) == (
        Money(1000, "USD"),
        Money(1200, "USD"),
        Money(200, "USD"),
    )
    assert (await market.carts.get(cart_id=cart.id)).total == Money(3600, "USD")
    (change,) = await market.carts.reprice(cart_id=cart.id)
    assert (change.line_id, change.before, change.after) == (line.id, Money(1000, "USD"), Money(1200, "USD"))
    assert (await market.carts.get(cart_id=cart.id)).total == Money(4200, "USD")
    assert await market.carts.reprice(cart_id=cart.id) == []
    last = (await market.carts.lines(cart_id=cart.id))[-1]
    assert (last.unit_price, last.current_price, last.sellable, last.difference) == (
        Money(100, "USD"),
        None,
        False,
        None,
    )


# --- Ends -------------------------------------------------------------------------------------------------------------


async def attempts(market: Market, cart: Cart, line: CartItemId, variant: VariantId) -> None:
    """Nothing changes a cart that is not active."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: market.carts.add(cart_id=cart.id, variant_id=variant),
        lambda: market.carts.set_quantity(cart_id=cart.id, line_id=line, quantity=5),
        lambda: market.carts.remove(cart_id=cart.id, line_id=line),
        lambda: market.carts.reprice(cart_id=cart.id),
        lambda: market.carts.set_shipping(cart_id=cart.id),
        lambda: market.carts.reserve(cart_id=cart.id),
    ]
    for call in calls:
        with pytest.raises(CartNotActive):
            await call()
    assert await market.contents(cart.id) == {variant: 1}


@pytest.mark.requirement("SBB-CART-03", "STO-CART-03")
@pytest.mark.parametrize("status", ["merged", "converted", "abandoned"])
async def test_only_an_active_cart_is_changed(market: Market, status: str) -> None:
    variant, cart = await market.variant(), await market.guest_cart()
    line = await market.carts.add(cart_id=cart.id, variant_id=variant)
    await market.run(
        "UPDATE {carts} SET status = $2::text::{cart_status}, "
        "converted_at = CASE WHEN $2::text = 'converted' THEN now() END, "
        "converted_to_order_id = CASE WHEN $2::text = 'converted' THEN $3::uuid END WHERE tenant_id = $1",
        status,
        OrderId(new_id()),
    )
    await attempts(market, cart, line.id, variant)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await market.run("UPDATE {carts} SET status = 'lost' WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-CART-03", "STO-CART-03")
async def test_the_moves_are_those_of_the_documents_and_the_database(market: Market) -> None:
    for ended in (CartStatus.MERGED, CartStatus.CONVERTED, CartStatus.ABANDONED):
        assert sources(CART_MOVES, ended) == [CartStatus.ACTIVE]
    assert sources(CART_MOVES, CartStatus.ACTIVE) == []
    labels = await market.db.fetchval(f"SELECT enum_range(NULL::{market.db.names.resolve('cart_status')})::text[]")
    assert labels == ["active", "merged", "converted", "abandoned"] == [status.value for status in CartStatus]


@pytest.mark.requirement("SBB-CART-09")
async def test_a_cart_past_its_time_is_not_changed_and_the_visitor_gets_another(market: Market) -> None:
    variant, session = await market.variant(stock=3), await market.session()
    for visitor in (Visitor(session_id=session), Visitor(user_id=await market.user())):
        cart = await market.carts.create(visitor=visitor)
        line = await market.carts.add(cart_id=cart.id, variant_id=variant)
        await market.carts.reserve(cart_id=cart.id)
        await market.run("UPDATE {carts} SET expires_at = now() WHERE tenant_id = $1 AND id = $2", cart.id)
        assert (await market.carts.get(cart_id=cart.id)).expired
        assert await market.carts.active(visitor=visitor) is None
        await attempts(market, cart, line.id, variant)
        fresh = await asyncio.gather(*(market.carts.create(visitor=visitor) for _ in range(6)))
        assert len({each.id for each in fresh}) == 1
        assert fresh[0].id != cart.id
        assert (await market.carts.get(cart_id=cart.id)).status is CartStatus.ABANDONED
        assert await market.stock(variant) == (3, 0)


@pytest.mark.requirement("STO-CART-04")
async def test_a_guests_cart_goes_with_the_session_and_an_accounts_cart_stays(market: Market) -> None:
    variant, session, user = await market.variant(), await market.session(), await market.user()
    guest, mine = await market.carts.for_session(session), await market.carts.for_user(user)
    taken_from = await market.session()
    taken = await market.carts.for_session(taken_from)
    for cart in (guest, mine, taken):
        await market.carts.add(cart_id=cart.id, variant_id=variant)
        await market.carts.reserve(cart_id=cart.id)
    await market.carts.merge(user_id=await market.user(), session_id=taken_from)
    for ended in (session, taken_from):
        await market.run("DELETE FROM {auth_sessions} WHERE tenant_id = $1 AND id = $2", ended)
    with pytest.raises(CartNotFound):
        await market.carts.get(cart_id=guest.id)
    assert await market.contents(guest.id) == {}
    for kept in (mine, taken):
        assert await market.contents(kept.id) == {variant: 1}
    # The units that the lost cart held stay counted until their time is up.
    assert await market.stock(variant) == (10, 3)
    assert await market.inventory.release(cart_id=guest.id) == 1
    assert await market.stock(variant) == (10, 2)
