"""What happens is queued with the change, if the visitor lets us, in the words of each provider."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from stall import BROWSER, CUSTOMER, Stall

from factories import make_product, open_shop, purchase
from storeroom.configuration import InvalidConfig, Setting
from storeroom.configuration.model import place_of
from storeroom.configuration.sealed import PURPOSE
from storeroom.conversions import PURCHASE_ON, WITHOUT_CONSENT, ProviderChanges, SessionNeeded
from storeroom.conversions.model import SOURCE_URL
from storeroom.core.ids import new_id
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Transaction
from storeroom.database.service import SYSTEM
from storeroom.identity import ProfileChanges

# As Meta documents them.
JOHN = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PHONE = "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"
MARY = "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"
VALERY = "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"


@pytest.mark.requirement("STO-EVT-01", "STO-EVT-06")
async def test_a_purchase_and_what_was_put_into_a_cart_are_read_back(stall: Stall) -> None:
    visitor = await stall.visitor(fbp="fb.1.1.2", fbc="fb.1.1.click", ga_client_id="11.22", ga_session_id="33")
    await stall.adds(visitor, 2)
    placed = await stall.buys(
        visitor, 3, email="John_Smith@gmail.com", phone="+1 (650) 555-1212", name="Mary Ann Valéry"
    )
    await stall.carried()
    page = await stall.shop.conversions.list()
    bought, added = page.items
    assert (bought.event_name, added.event_name) == ("Purchase", "AddToCart")
    assert (bought.status, bought.providers_sent, bought.retry_count) == ("pending", [], 0)

    meta = bought.payload["meta"]
    assert (meta["event_name"], meta["event_id"], meta["action_source"]) == (
        "Purchase",
        str(placed.order.id),
        "website",
    )
    assert meta["event_time"] == int(placed.order.created_at.timestamp())
    user = meta["user_data"]
    assert (user["em"], user["ph"], user["fn"], user["ln"]) == ([JOHN], [PHONE], [MARY], [VALERY])
    assert (user["client_ip_address"], user["client_user_agent"]) == ("203.0.113.9", BROWSER)
    assert (user["fbp"], user["fbc"]) == ("fb.1.1.2", "fb.1.1.click")
    custom = meta["custom_data"]
    assert (custom["currency"], custom["value"], custom["order_id"]) == ("USD", 388.5, placed.order.number)
    assert [(item["quantity"], item["item_price"]) for item in custom["contents"]] == [(3, 129.5)]

    google = bought.payload["ga4"]
    assert google["client_id"] == "11.22"
    (event,) = google["events"]
    assert (event["name"], event["params"]["transaction_id"]) == ("purchase", placed.order.number)
    assert (event["params"]["value"], event["params"]["currency"], event["params"]["session_id"]) == (
        388.5,
        "USD",
        "33",
    )
    assert google["consent"] == {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"}
    assert "user_data" not in google  # only beside a user_id, which a guest has not

    assert added.payload["meta"]["event_id"] == "r-2"  # of the request, which its answer says too
    assert added.payload["meta"]["custom_data"]["value"] == 259
    assert added.payload["ga4"]["events"][0]["name"] == "add_to_cart"
    text = await stall.room.db.fetchval(
        "SELECT payload->'meta'->'custom_data'->>'value' FROM analytics_events WHERE event_name = 'Purchase'"
    )
    assert text == "388.50"  # all the currency's decimals, as they were counted


@pytest.mark.requirement("STO-EVT-08")
async def test_an_event_goes_with_its_transaction(stall: Stall) -> None:
    """Rolled back there is none, committed there is one: also when the order is brought twice, after it was told."""
    visitor = await stall.visitor()
    for undone in (True, False):
        with contextlib.suppress(ZeroDivisionError):
            async with stall.shop.transaction() as tx:
                cart = await tx.carts.create(visitor=visitor)
                await tx.carts.add(cart_id=cart.id, variant_id=stall.variant, visitor=visitor)
                await tx.checkout.place_in(tx.context.db, purchase(cart_id=cart.id), visitor=visitor)
                if undone:
                    _undo()
        await stall.carried()
        assert await stall.waiting() == ([] if undone else [("AddToCart", "pending", 0), ("Purchase", "pending", 0)])
    await stall.told()
    assert await stall.waiting() == []
    brought = "UPDATE webhook_queue SET status = 'pending', completed_at = NULL WHERE destination = 'conversions'"
    assert await stall.room.db.execute(f"{brought} AND tenant_id = $1", stall.shop.tenant_id) == "UPDATE 1"
    await stall.carried()
    assert await stall.waiting() == []


async def test_a_shop_says_that_a_purchase_is_what_was_paid(stall: Stall) -> None:
    await stall.shop.configuration.set(key=PURCHASE_ON.key, value="paid")
    await _forgotten(stall)
    placed = await stall.buys(await stall.visitor())
    await stall.carried()
    assert await stall.waiting() == []
    await stall.paid(placed)
    await stall.carried()
    assert await stall.waiting() == [("Purchase", "pending", 0)]


async def test_of_whom_nothing_may_be_told_nothing_is_queued(stall: Stall) -> None:
    refuses, silent = await stall.visitor(consents=False), await stall.visitor(consents=None)
    account = await stall.shop.users.register(
        email="ann@buyer.example", password="correct horse battery", full_name="A"
    )
    users = stall.shop.acting(actor=SYSTEM).users
    await users.update_profile(user_id=account.id, changes=ProfileChanges(marketing_consent=True))
    await users.update_profile(user_id=account.id, changes=ProfileChanges(marketing_consent=False))
    agreed = await stall.visitor()
    assert agreed.session_id is not None
    withdrew = Visitor(user_id=account.id, session_id=agreed.session_id)
    for visitor in (refuses, silent, withdrew):
        await stall.adds(visitor)
        await stall.buys(visitor)
    await stall.carried()
    assert await stall.waiting() == []

    await stall.shop.configuration.set(key=WITHOUT_CONSENT.key, value="send")
    await _forgotten(stall)
    for visitor in (refuses, silent, withdrew):
        await stall.buys(visitor)
    await stall.carried()
    assert await stall.waiting() == [("Purchase", "pending", 0)]  # of the one who was not asked
    (page,) = (await stall.shop.conversions.list()).items
    assert "consent" not in page.payload["ga4"]


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, None),
        ({"general.storefront_url": "https://pages.example"}, "https://pages.example"),
        (
            {"general.storefront_url": "https://pages.example", SOURCE_URL.key: "https://ads.example/"},
            "https://ads.example/",
        ),
    ],
    ids=["neither", "storefront", "both"],
)
async def test_events_come_from_the_site_that_is_named_or_the_storefront(
    stall: Stall, said: dict[str, str], url: str | None
) -> None:
    for key, value in said.items():
        await stall.shop.configuration.set(key=key, value=value)
    await stall.adds(await stall.visitor())
    (row,) = (await stall.shop.conversions.list()).items
    assert row.payload["meta"].get("event_source_url") == url


@pytest.mark.parametrize("setting", [PURCHASE_ON, WITHOUT_CONSENT, SOURCE_URL], ids=lambda setting: setting.key)
@pytest.mark.parametrize("sealed", [True, False])
async def test_a_setting_that_cannot_be_read_stops_no_sale(
    stall: Stall, setting: Setting[Any], sealed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    value = "https://shop.example/" if setting is SOURCE_URL else setting.default
    with pytest.raises(InvalidConfig):
        await stall.shop.configuration.set(key=setting.key, value=value, is_encrypted=True)
    await stall.shop.configuration.set(key=setting.key, value=value)
    ring = stall.room.token_keys.ring(PURPOSE)
    said = ring.seal(value.encode(), bound_to=place_of(stall.shop.tenant_id, setting.key)) if sealed else "no such word"
    await stall.room.db.execute(
        "UPDATE store_configs SET value = $3, is_encrypted = $4 WHERE tenant_id = $1 AND key = $2",
        stall.shop.tenant_id,
        setting.key,
        said,
        sealed,
    )
    await _forgotten(stall)
    visitor = await stall.visitor()
    await stall.adds(visitor)
    await _forgotten(stall)
    await stall.buys(visitor)
    await stall.carried()
    assert await stall.waiting() == [("AddToCart", "pending", 0), ("Purchase", "pending", 0)]
    assert f"{setting.key} is taken as its default" in caplog.text


async def test_who_refuses_is_forgotten_with_what_waits(stall: Stall) -> None:
    visitor, other = await stall.visitor(fbp="fb.1.1.2"), await stall.visitor()
    await stall.adds(visitor)
    await stall.adds(other)
    kept = await stall.shop.conversions.set_signals(visitor=visitor, consents=False, fbp="fb.1.1.2")
    assert (kept.consents, kept.fbp) == (False, None)
    assert await stall.waiting() == [("AddToCart", "pending", 0)]
    with pytest.raises(SessionNeeded):
        await stall.shop.conversions.set_signals(visitor=Visitor(), consents=True)
    stranger = await open_shop(stall.room)
    with pytest.raises(SessionNeeded):
        await stranger.conversions.set_signals(visitor=visitor, consents=True)


async def test_a_shop_that_tells_nobody_pays_no_statement(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await open_shop(stall.room)
    variant = await make_product(shop)
    guest, _ = await shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    cart = await shop.carts.create(visitor=visitor)
    await shop.carts.add(cart_id=cart.id, variant_id=variant, visitor=visitor)  # known from here on, for a while
    asked: list[str] = []

    def counting(name: str) -> None:
        plain = getattr(Transaction, name)

        async def counted(self: Transaction, sql: str, *args: Any) -> Any:
            asked.append(sql)
            return await plain(self, sql, *args)

        monkeypatch.setattr(Transaction, name, counted)

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        counting(name)
    await shop.carts.add(cart_id=cart.id, variant_id=variant, visitor=visitor)
    assert asked
    assert [sql for sql in asked if "conversion" in sql or "analytics_events" in sql] == []
    asked.clear()
    await stall.adds(await stall.visitor())
    assert [sql for sql in asked if "analytics_events" in sql]


def _undo() -> None:
    raise ZeroDivisionError


async def _forgotten(stall: Stall) -> None:
    """What is kept of a shop's policy is asked for again at once; otherwise in some seconds."""
    await stall.shop.conversions.update_provider(provider_id=stall.pixel.id, changes=ProviderChanges())


def begun(cart_id: object, **more: object) -> dict[str, Any]:
    """As the page of a storefront tells it."""
    return {
        "event_name": "checkout.started",
        "event_category": "checkout",
        "session_id": "v-1",
        "cart_id": str(cart_id),
        **more,
    }


async def checkouts(stall: Stall) -> list[Any]:
    page = await stall.shop.conversions.list(limit=100)
    return [row.payload for row in page.items if row.event_name == "InitiateCheckout"]


@pytest.mark.requirement("STO-EVT-01")
async def test_a_checkout_that_begins_is_told_of_the_cart_as_we_know_it(stall: Stall) -> None:
    visitor = await stall.visitor(fbp="fb.1.1.2", ga_client_id="11.22")
    cart_id = await stall.adds(visitor, 2)
    browsing = stall.shop.acting(actor=CUSTOMER, ip="203.0.113.9", user_agent=BROWSER)
    said = begun(cart_id, properties={"value": 1, "currency": "EUR"})
    taken = await browsing.events.take(batch=[said, {**said, "event_name": "checkout.step.payment"}], visitor=visitor)
    assert taken.kept == 2
    (told,) = await checkouts(stall)
    meta = told["meta"]
    assert (meta["event_name"], meta["event_id"]) == ("InitiateCheckout", str(cart_id))
    custom = meta["custom_data"]
    assert (custom["currency"], custom["value"], custom["num_items"]) == ("USD", 259, 2)
    assert [(each["quantity"], each["item_price"]) for each in custom["contents"]] == [(2, 129.5)]
    assert (meta["user_data"]["fbp"], meta["user_data"]["client_user_agent"]) == ("fb.1.1.2", BROWSER)
    (event,) = told["ga4"]["events"]
    assert (event["name"], event["params"]["value"]) == ("begin_checkout", 259)
    await browsing.events.take(batch=[said, said], visitor=visitor)
    assert len(await checkouts(stall)) == 1  # the same waits


async def test_a_checkout_of_no_cart_of_ones_own_is_an_event_and_told_to_nobody(stall: Stall) -> None:
    visitor, other = await stall.visitor(), await stall.visitor()
    refusing = await stall.visitor(consents=False)
    cart_id, theirs = await stall.adds(visitor), await stall.adds(refusing)
    empty = await stall.shop.carts.create(visitor=other)
    browsing = stall.shop.acting(actor=CUSTOMER)
    for who, batch in (
        (other, [begun(cart_id)]),  # somebody else's
        (other, [begun(empty.id)]),
        (other, [begun(new_id()), {**begun(cart_id), "cart_id": None}]),
        (refusing, [begun(theirs)]),
    ):
        taken = await browsing.events.take(batch=batch, visitor=who)
        assert taken.kept == len(batch)
        assert await checkouts(stall) == []
    await stall.shop.context.db.execute(
        "UPDATE carts SET status = 'abandoned' WHERE tenant_id = $1 AND id = $2", stall.shop.tenant_id, cart_id
    )
    await browsing.events.take(batch=[begun(cart_id)], visitor=visitor)
    assert await checkouts(stall) == []


async def test_an_event_that_is_undone_tells_nobody_of_its_checkout(stall: Stall) -> None:
    visitor = await stall.visitor()
    cart_id = await stall.adds(visitor)
    with pytest.raises(ConnectionError):
        async with stall.shop.transaction() as tx:
            await tx.events.take(batch=[begun(cart_id)], visitor=visitor)
            raise ConnectionError
    assert await checkouts(stall) == []
