"""What a checkout tells of itself, in its own transaction; and the site an order was bought at."""

from __future__ import annotations

import msgspec
import pytest

from counter import AGREED, Counter
from market import Market
from storeroom.carts import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.flows.checkout import Checkout
from storeroom.flows.errors import OutOfStock
from storeroom.flows.model import Placement

CUSTOMER = Actor(kind=ActorKind.CUSTOMER, name="a buyer")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


async def events(market: Market) -> list[tuple[str, ...]]:
    """Name, account, visitor and visit, in their order."""
    return await market.rows(
        "SELECT event_name, user_id, anonymous_id, session_id FROM {events} WHERE tenant_id = $1 "
        "AND event_category <> 'cart' ORDER BY created_at, id"
    )


async def anonymous(market: Market, session_id: object) -> str:
    return await market.one("SELECT anonymous_id FROM {auth_sessions} WHERE tenant_id = $1 AND id = $2", session_id)


async def test_a_guest_is_known_by_the_visitor(counter: Counter) -> None:
    await counter.method()
    session_id = await counter.market.session()
    await counter.place(
        await counter.market.variant(),
        visitor=Visitor(session_id=session_id),
        payment_method="zelle",
        compliance=AGREED,
    )
    who = (None, await anonymous(counter.market, session_id), str(session_id))
    assert await events(counter.market) == [
        ("order.created", *who),
        ("checkout.completed", *who),
        ("checkout.compliance.acknowledged", *who),
        ("payment.initiated", *who),
    ]


async def test_an_account_is_known_by_itself_and_without_a_payment_none_is_initiated(counter: Counter) -> None:
    user_id = await counter.market.user()
    placed = await counter.place(await counter.market.variant(price=700), visitor=Visitor(user_id=user_id))
    assert [row[:3] for row in await events(counter.market)] == [
        ("order.created", user_id, None),
        ("checkout.completed", user_id, None),
    ]
    (row,) = await counter.market.rows(
        "SELECT order_id, properties FROM {events} WHERE tenant_id = $1 AND event_name = 'order.created'"
    )
    assert row == (placed.order.id, {"number": placed.order.number, "total": 700, "currency": "USD"})


async def test_a_cart_says_who_it_was_and_where_they_came_from(counter: Counter) -> None:
    """Placed by a program, without a visitor: the cart's own is taken."""
    market = counter.market
    cart = await market.guest_cart()
    await market.carts.add(cart_id=cart.id, variant_id=await market.variant())
    await market.run("UPDATE {carts} SET utm_source = 'letter', utm_campaign = 'may' WHERE tenant_id = $1")
    await counter.place(cart_id=cart.id)
    (row,) = await market.rows(
        "SELECT anonymous_id, session_id, cart_id, utm_source, utm_campaign FROM {events} "
        "WHERE tenant_id = $1 AND event_name = 'order.created'"
    )
    assert row == (await anonymous(market, cart.session_id), str(cart.session_id), cart.id, "letter", "may")


async def test_the_browser_is_the_customers_and_never_that_of_staff(market: Market, database: Database) -> None:
    visitor = Visitor(session_id=await market.session())
    variant = await market.variant()
    for actor in (CUSTOMER, Actor(kind=ActorKind.ADMIN, name="ann")):
        context = msgspec.structs.replace(market.context, actor=actor, ip="203.0.113.9", user_agent=FIREFOX)
        await Counter(market, Checkout(context)).place(variant, visitor=visitor)
    assert await market.rows(
        "SELECT host(ip_address), browser, os, device_type FROM {events} WHERE tenant_id = $1 "
        "AND event_name = 'order.created' ORDER BY created_at"
    ) == [("203.0.113.9", "Firefox", "Linux", "desktop"), (None, None, None, None)]


async def test_nobodys_order_and_no_order_tell_nothing(counter: Counter) -> None:
    visitor = Visitor(session_id=await counter.market.session())
    await counter.place(await counter.market.variant())
    with pytest.raises(OutOfStock):
        await counter.place(await counter.market.variant(stock=0), visitor=visitor)
    assert await events(counter.market) == []


async def test_what_is_rolled_back_was_never_told(market: Market, database: Database) -> None:
    visitor = Visitor(session_id=await market.session())
    variant = await market.variant()
    checkout = Checkout(market.context)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await checkout.place_in(tx, Counter(market, checkout).purchase(variant), visitor=visitor)
            raise ZeroDivisionError
    assert await events(market) == []


async def test_an_order_asked_for_again_is_told_once(counter: Counter) -> None:
    visitor, variant = Visitor(session_id=await counter.market.session()), await counter.market.variant()
    for _ in range(3):
        await counter.place(variant, visitor=visitor, idempotency_key="again")
    assert [row[0] for row in await events(counter.market)] == ["order.created", "checkout.completed"]


async def test_an_order_knows_the_company_of_its_site(counter: Counter) -> None:
    await counter.market.run(
        "INSERT INTO {domains} (tenant_id, id, domain_name, company_code, is_active) VALUES "
        "($1, gen_random_uuid(), 'shop.example', '1000', TRUE), ($1, gen_random_uuid(), 'old.example', '2000', FALSE)"
    )
    variant = await counter.market.variant()

    async def bought_at(domain: str | None) -> tuple[object, ...]:
        placed: Placement = await counter.checkout.place(counter.purchase(variant), domain=domain)
        (row,) = await counter.market.rows(
            "SELECT domain, company_code FROM {orders} WHERE tenant_id = $1 AND id = $2", placed.order.id
        )
        return row

    assert await bought_at("Shop.example") == ("Shop.example", "1000")
    assert await bought_at("old.example") == ("old.example", None)  # switched off
    assert await bought_at("other.example") == ("other.example", None)
    assert await bought_at(None) == (None, None)
