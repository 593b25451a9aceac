"""What shipping costs, by the address and the method that are chosen."""

import pytest

from market import Market
from storeroom.carts import CartAddressNotFound, ShippingUnavailable, Visitor
from storeroom.core.ids import AddressId, new_id
from storeroom.core.money import Money


@pytest.mark.requirement("SBB-CART-06", "SBB-CART-04")
async def test_the_address_decides_the_rate_and_it_is_ones_own(market: Market) -> None:
    await market.rate("domestic", 500, countries=["US"], position=1)
    await market.rate("abroad", 2500, countries=["DE", "FR"], position=2)
    user = await market.user()
    us, de = await market.address(user), await market.address(user, "DE")
    cart = await market.carts.for_user(user)
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant(price=1000))
    assert (await market.carts.get(cart_id=cart.id)).shipping == Money(0, "USD")
    at_home = await market.carts.set_shipping(cart_id=cart.id, address_id=us)
    assert (at_home.shipping, at_home.total, at_home.shipping_address_id) == (Money(500, "USD"), Money(1500, "USD"), us)
    away = await market.carts.set_shipping(cart_id=cart.id, address_id=de, visitor=Visitor(user_id=user))
    assert (away.shipping, away.total) == (Money(2500, "USD"), Money(3500, "USD"))
    foreign = await market.address(await market.user())
    deleted = await market.address(user)
    await market.run("UPDATE {user_addresses} SET deleted_at = now() WHERE tenant_id = $1 AND id = $2", deleted)
    for address in (foreign, deleted, AddressId(new_id())):
        with pytest.raises(CartAddressNotFound):
            await market.carts.set_shipping(cart_id=cart.id, address_id=address)
    assert (await market.carts.get(cart_id=cart.id)).shipping_address_id == de
    taken_back = await market.carts.set_shipping(cart_id=cart.id)
    assert (taken_back.shipping, taken_back.shipping_address_id) == (Money(0, "USD"), None)


async def test_a_guest_has_no_stored_address(market: Market) -> None:
    cart, address = await market.guest_cart(), await market.address(await market.user())
    with pytest.raises(CartAddressNotFound):
        await market.carts.set_shipping(cart_id=cart.id, address_id=address)
    await market.rate("express", 900)
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant())
    assert (await market.carts.set_shipping(cart_id=cart.id, method="express")).shipping == Money(900, "USD")


async def test_a_method_is_one_that_reaches_the_address(market: Market) -> None:
    await market.rate("standard", 500, position=1)
    await market.rate("courier", 1500, countries=["US"], position=2)
    user = await market.user()
    de, us = await market.address(user, "DE"), await market.address(user)
    cart = await market.carts.for_user(user)
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant())
    assert (await market.carts.set_shipping(cart_id=cart.id, address_id=us, method="courier")).shipping == Money(
        1500, "USD"
    )
    for method in ("courier", "pigeon", "\x00"):
        with pytest.raises(ShippingUnavailable):
            await market.carts.set_shipping(cart_id=cart.id, address_id=de, method=method)
    assert (await market.carts.get(cart_id=cart.id)).shipping_method == "courier"
    assert (await market.carts.set_shipping(cart_id=cart.id, address_id=de)).shipping == Money(500, "USD")


async def test_nothing_reaches_there(market: Market) -> None:
    user = await market.user()
    jp, cart = await market.address(user, "JP"), await market.carts.for_user(user)
    await market.carts.set_shipping(cart_id=cart.id, address_id=jp)  # no rates at all: anywhere, for nothing
    await market.rate("domestic", 500, countries=["US"])
    with pytest.raises(ShippingUnavailable) as refused:
        await market.carts.set_shipping(cart_id=cart.id, address_id=jp)
    assert refused.value.country == "JP"


@pytest.mark.requirement("SBB-CART-04")
async def test_shipping_follows_the_lines(market: Market) -> None:
    await market.rate("standard", 500, free_from=3000)
    cart = await market.guest_cart()
    file = await market.variant(price=5000, digital=True)
    download = await market.carts.add(cart_id=cart.id, variant_id=file)
    assert (await market.carts.set_shipping(cart_id=cart.id, method="standard")).shipping == Money(0, "USD")
    await market.carts.remove(cart_id=cart.id, line_id=download.id)
    shirt = await market.variant(price=1000)
    line = await market.carts.add(cart_id=cart.id, variant_id=shirt, quantity=2)
    cart = await market.carts.get(cart_id=cart.id)
    assert (cart.shipping, cart.total) == (Money(500, "USD"), Money(2500, "USD"))
    await market.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=3)
    cart = await market.carts.get(cart_id=cart.id)
    assert (cart.shipping, cart.total) == (Money(0, "USD"), Money(3000, "USD"))
