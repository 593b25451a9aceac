"""Gateways: inactive and in test mode until somebody says so, in an order, and what they know kept sealed."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from factories import SECRET, make_method, make_product, open_shop, place, usd
from rivals import race
from storeroom.core.crypto import SealBroken
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database, Transaction
from storeroom.flows.errors import PaymentMethodRefused
from storeroom.gateways import (
    GatewayConfig,
    GatewayIncomplete,
    GatewayInUse,
    GatewayKind,
    GatewayNotFound,
    Gateways,
    GatewayTaken,
    InvalidGateway,
)
from storeroom.identity import SigningSecretMissing, TokenKeys
from storeroom.payments import PaymentMethodInactive
from storeroom.room import Shop, Storeroom

SSL = {"store_id": "shop0live", "store_passwd": "shop0live@ssl"}
AMAR = {"store_id": "aamarshop", "signature_key": "dbb74894e82415a2f7ff0ec3a97e4183"}


async def three(shop: Shop) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    await shop.gateways.create(id="amarpay", name="aamarPay", config=AMAR)
    await shop.gateways.create(id="cod", name="Cash on delivery")


async def stored(shop: Shop, database: Database, gateway_id: str) -> Any:
    sql = "SELECT config FROM payment_gateways WHERE tenant_id = $1 AND id = $2"
    return await database.fetchval(sql, shop.tenant_id, gateway_id)


@pytest.mark.requirement("STO-GW-01", "STO-GW-03", "STO-GW-04")
async def test_the_three_gateways_of_the_document(shop: Shop) -> None:
    await three(shop)
    listed = await shop.gateways.list()
    assert [(each.id, each.position) for each in listed] == [("sslcommerz", 1), ("amarpay", 2), ("cod", 3)]
    assert {(each.is_test_mode, each.is_active) for each in listed} == {(True, False)}
    assert await shop.gateways.offered() == []
    for each in listed:
        assert (await shop.gateways.activate(gateway_id=each.id)).is_active
    assert [each.id for each in await shop.gateways.offered()] == ["sslcommerz", "amarpay", "cod"]
    await shop.gateways.reorder(gateway_ids=["cod"])
    assert [each.id for each in await shop.gateways.offered()] == ["cod", "sslcommerz", "amarpay"]
    await shop.gateways.deactivate(gateway_id="sslcommerz")
    assert [each.id for each in await shop.gateways.offered()] == ["cod", "amarpay"]


@pytest.mark.requirement("STO-GW-02")
async def test_secrets_are_sealed_inside_the_json_and_the_rest_stays_readable(shop: Shop, database: Database) -> None:
    made = await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config={**SSL, "multi_card_name": "visa"})
    assert made.config == {"store_id": "shop0live", "store_passwd": {"set": True}, "multi_card_name": "visa"}
    kept = await stored(shop, database, "sslcommerz")
    assert (kept["store_id"], kept["multi_card_name"]) == ("shop0live", "visa")
    assert list(kept["store_passwd"]) == ["$sealed"]
    assert SSL["store_passwd"] not in str(kept)
    config = await shop.gateways.config(gateway_id="sslcommerz")
    assert config.setting("store_id") == "shop0live"
    assert config.secret("store_passwd") == Secret(SSL["store_passwd"])
    assert config.secret("another") is None and config.setting("store_passwd") is None


@pytest.mark.parametrize(
    ("field", "sealed"),
    [
        *((name, True) for name in ("api_key", "password", "access_token", "client_secret", "passphrase", "pin")),
        *((name, False) for name in ("merchant_id", "currency", "callback_url", "shipping_cost")),
    ],
)
async def test_what_sounds_like_a_secret_is_one(shop: Shop, database: Database, field: str, sealed: bool) -> None:
    said = "zxy, in words"  # no seal holds a space by chance
    await shop.gateways.create(id="other", name="Other", config={field: said})
    assert (said in str(await stored(shop, database, "other"))) is not sealed


async def test_a_publishable_key_is_no_secret(shop: Shop) -> None:
    made = await shop.gateways.create(id="stripe", name="Stripe", config={"publishable_key": "pk_test_1"})
    assert made.config == {"publishable_key": "pk_test_1"}


async def test_a_change_keeps_what_it_does_not_name(shop: Shop, database: Database) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    before = await stored(shop, database, "sslcommerz")
    changed = await shop.gateways.update(
        gateway_id="sslcommerz", config={"store_passwd": {"set": True}, "store_id": "shop1live", "currency": "BDT"}
    )
    assert changed.config == {"store_id": "shop1live", "store_passwd": {"set": True}, "currency": "BDT"}
    assert (await stored(shop, database, "sslcommerz"))["store_passwd"] == before["store_passwd"]
    changed = await shop.gateways.update(gateway_id="sslcommerz", config={"store_passwd": None}, name="SSL")
    assert (changed.name, changed.config) == ("SSL", {"store_id": "shop1live", "currency": "BDT"})
    with pytest.raises(InvalidGateway):  # there is none that could stay
        await shop.gateways.update(gateway_id="sslcommerz", config={"store_passwd": {"set": True}})


async def test_two_changes_of_different_fields_are_both_there(shop: Shop, database: Database) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)

    async def first(tx: Transaction) -> None:
        await shop.gateways.bound(tx).update(gateway_id="sslcommerz", config={"one": "1"})

    second = await race(database, first, lambda: shop.gateways.update(gateway_id="sslcommerz", config={"two": "2"}))
    assert second.config["one"] == "1" and second.config["two"] == "2"


@pytest.mark.requirement("STO-GW-02")
async def test_the_wrong_secret_opens_nothing(shop: Shop) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    elsewhere = Gateways(shop.context, TokenKeys.of("a secret of another installation altogether"))
    with pytest.raises(SealBroken):
        await elsewhere.config(gateway_id="sslcommerz")
    with pytest.raises(SigningSecretMissing, match="STOREROOM_SECRET"):
        await Gateways(shop.context).config(gateway_id="sslcommerz")
    with pytest.raises(SigningSecretMissing):
        await Gateways(shop.context).create(id="amarpay", name="aamarPay", config=AMAR)
    assert [each.id for each in await shop.gateways.list()] == ["sslcommerz"]


async def test_control_the_same_secret_opens_it_elsewhere(shop: Shop) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    config = await Gateways(shop.context, TokenKeys.of(SECRET)).config(gateway_id="sslcommerz")
    assert config.secret("store_passwd") == Secret(SSL["store_passwd"])


async def test_a_changed_byte_is_noticed(shop: Shop, database: Database) -> None:
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    kept = await stored(shop, database, "sslcommerz")
    version, key, body = kept["store_passwd"]["$sealed"].split(".")
    raw = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    for at in (0, 12, len(raw) - 1):
        forged = bytearray(raw)
        forged[at] ^= 1
        text = f"{version}.{key}.{base64.urlsafe_b64encode(bytes(forged)).decode().rstrip('=')}"
        await put(shop, database, "sslcommerz", {**kept, "store_passwd": {"$sealed": text}})
        with pytest.raises(SealBroken):
            await shop.gateways.config(gateway_id="sslcommerz")
    await put(shop, database, "sslcommerz", kept)
    await shop.gateways.config(gateway_id="sslcommerz")


async def test_a_secret_moved_elsewhere_does_not_open(shop: Shop, room: Storeroom, database: Database) -> None:
    """Whoever may write rows could else have a secret sent to an endpoint of their own."""
    other = await open_shop(room)
    for each in (shop, other):
        await each.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    await shop.gateways.create(id="second", kind=GatewayKind.SSLCOMMERZ, name="Second", config=SSL)
    kept = await stored(shop, database, "sslcommerz")
    for moved_to, gateway_id, config in (
        (other, "sslcommerz", kept),
        (shop, "second", kept),
        (shop, "sslcommerz", {**kept, "another_passwd": kept["store_passwd"]}),
    ):
        await put(moved_to, database, gateway_id, config)
        with pytest.raises(SealBroken):
            await moved_to.gateways.config(gateway_id=gateway_id)


async def put(shop: Shop, database: Database, gateway_id: str, config: object) -> None:
    sql = "UPDATE payment_gateways SET config = $3 WHERE tenant_id = $1 AND id = $2"
    await database.execute(sql, shop.tenant_id, gateway_id, config)


@pytest.mark.requirement("STO-GW-03")
@pytest.mark.parametrize(
    ("kind", "config", "test", "live"),
    [
        ("sslcommerz", {}, "https://sandbox.sslcommerz.com", "https://securepay.sslcommerz.com"),
        ("amarpay", {}, "https://sandbox.aamarpay.com", "https://secure.aamarpay.com"),
        ("payhere", {}, "https://sandbox.payhere.lk", "https://www.payhere.lk"),
        ("mpgs", {}, "https://test-gateway.mastercard.com", None),
        (
            "mpgs",
            {"live_endpoint": "https://eu.pay.example/"},
            "https://test-gateway.mastercard.com",
            "https://eu.pay.example",
        ),
        ("stripe", {"test_endpoint": "http://127.0.0.1:4242/"}, "http://127.0.0.1:4242", "https://api.stripe.com"),
        ("cod", {}, None, None),
    ],
)
async def test_the_mode_decides_who_is_called(
    shop: Shop, kind: str, config: dict[str, Any], test: str | None, live: str | None
) -> None:
    await shop.gateways.create(id="ours", kind=GatewayKind(kind), name="Ours", config=config)
    assert (await shop.gateways.config(gateway_id="ours")).endpoint == test
    await shop.gateways.update(gateway_id="ours", is_test_mode=False)
    assert (await shop.gateways.config(gateway_id="ours")).endpoint == live


@pytest.mark.requirement("STO-GW-03")
async def test_the_test_mode_uses_nothing_of_the_live_one(shop: Shop) -> None:
    for gateway_id, config in (
        ("sslcommerz", {"test_endpoint": "https://securepay.sslcommerz.com/x"}),
        ("mpgs", {"live_endpoint": "https://eu.pay.example", "test_endpoint": "https://eu.pay.example"}),
        ("stripe", {"secret_key": "sk_live_4242"}),
        ("stripe", {"restricted_key": "rk_live_4242"}),
    ):
        with pytest.raises(InvalidGateway) as refused:
            await shop.gateways.create(id=gateway_id, name="Ours", config=config)
        assert "4242" not in str(refused.value)
    await shop.gateways.create(id="stripe", name="Stripe", config={"secret_key": "sk_live_4242"}, is_test_mode=False)
    with pytest.raises(InvalidGateway):
        await shop.gateways.update(gateway_id="stripe", is_test_mode=True)
    with pytest.raises(InvalidGateway):
        await shop.gateways.update(gateway_id="stripe", config={"secret_key": "sk_test_4242"})
    await shop.gateways.update(gateway_id="stripe", config={"secret_key": "sk_test_4242"}, is_test_mode=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example",
        "http://127.0.0.1.evil.example",
        "ftp://gateway.example",
        "https://",
        "https://user:pass@gateway.example",
        "https://gateway.example?x=1",
        "https://gateway.example:99999",
        "https://[::1",
        "gateway.example",
        "https://gateway.example\n.evil",
        7,
    ],
)
async def test_a_wrong_address_is_refused(shop: Shop, url: object) -> None:
    with pytest.raises(InvalidGateway):
        await shop.gateways.create(id="other", name="Other", config={"test_endpoint": url})
    with pytest.raises(InvalidGateway):
        await shop.gateways.create(id="other", name="Other", config={"live_endpoint": "http://127.0.0.1"})


async def test_secrets_are_not_sent_to_another_address(shop: Shop) -> None:
    """Whoever may set them must not learn them by having them sent to a host of their own."""
    await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=SSL)
    there = {"test_endpoint": "https://elsewhere.example"}
    for config in (there, {"live_endpoint": "https://elsewhere.example"}, {**there, "store_passwd": {"set": True}}):
        with pytest.raises(InvalidGateway, match="give the secrets again"):
            await shop.gateways.update(gateway_id="sslcommerz", config=config)
    await shop.gateways.update(gateway_id="sslcommerz", config={**there, "store_passwd": "mine"})
    await shop.gateways.update(gateway_id="sslcommerz", config={**there, "currency": "BDT"})  # the same address
    config = await shop.gateways.config(gateway_id="sslcommerz")
    assert (config.endpoint, config.secret("store_passwd")) == ("https://elsewhere.example", Secret("mine"))
    await shop.gateways.update(gateway_id="sslcommerz", config={"test_endpoint": None})  # the provider's own
    await shop.gateways.update(gateway_id="sslcommerz", config={"store_passwd": None})
    await shop.gateways.update(gateway_id="sslcommerz", config=there)  # nothing to learn


async def test_an_active_gateway_knows_what_its_provider_asks_for(shop: Shop) -> None:
    await shop.gateways.create(id="mpgs", name="MPGS", config={"merchant_id": "M1"})
    with pytest.raises(GatewayIncomplete) as refused:
        await shop.gateways.activate(gateway_id="mpgs")
    assert refused.value.missing == ["api_password"]
    await shop.gateways.update(gateway_id="mpgs", config={"api_password": "p"})
    await shop.gateways.activate(gateway_id="mpgs")
    with pytest.raises(GatewayIncomplete, match="live_endpoint"):
        await shop.gateways.update(gateway_id="mpgs", is_test_mode=False)
    with pytest.raises(GatewayIncomplete):
        await shop.gateways.update(gateway_id="mpgs", config={"api_password": None})
    assert (await shop.gateways.get(gateway_id="mpgs")).config["api_password"] == {"set": True}


@pytest.mark.parametrize(
    "given",
    [
        {"id": "No Slug"},
        {"id": "a" * 51},
        {"name": " "},
        {"position": 10**9},
        {"config": {"No": "x"}},
        {"config": {"api_key": 7}},
        {"config": {"api_key": ""}},
        {"config": {"api_key": {"$sealed": "1.aaaaaaaa.x"}}},
        {"config": {"mode": {"$sealed": "1.aaaaaaaa.x"}}},
        {"config": {"mode": {"nested": {"password": "x"}}}},
        {"config": {"mode": 1.5}},
        {"config": {"mode": 2**60}},
        {"config": {"mode": "\x00"}},
        {"config": {"mode": "x" * 4001}},
        {"config": {"mode": ["x"] * 51}},
        {"config": {f"field_{n}": "x" for n in range(51)}},
    ],
)
async def test_what_cannot_be_right_is_refused(shop: Shop, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidGateway):
        await shop.gateways.create(**{"id": "other", "name": "Other", **given})
    assert await shop.gateways.list() == []


async def test_two_at_once_of_one_id_leave_one(shop: Shop) -> None:
    both = await asyncio.gather(
        *(shop.gateways.create(id="cod", name="Cash") for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in both) == ["Gateway", "GatewayTaken"]
    with pytest.raises(GatewayTaken):
        await shop.gateways.create(id="cod", name="Cash")


def test_an_opened_configuration_shows_nothing_of_itself() -> None:
    config = GatewayConfig(
        gateway_id="stripe",
        kind=GatewayKind.STRIPE,
        is_test_mode=True,
        is_active=True,
        endpoint="https://api.stripe.com",
        settings={"store_id": "shop-4242"},
        secrets={"secret_key": Secret("sk_test_4242")},
    )
    assert "4242" not in f"{config!r} {config} {[config]} {config.secrets}"
    with pytest.raises(TypeError):
        msgspec.json.encode(config)


# --- Behind ways to pay -----------------------------------------------------------------------------------------------


async def methods(shop: Shop) -> None:
    await three(shop)
    for gateway_id in ("sslcommerz", "amarpay", "cod"):
        await make_method(shop, gateway_id, gateway_id=gateway_id)
    await make_method(shop, "zelle")


async def offered(shop: Shop) -> list[str]:
    return [each.code for each in await shop.payment_methods.offered(total=usd(1000))]


@pytest.mark.requirement("STO-GW-03", "STO-GW-04")
async def test_what_is_behind_an_inactive_gateway_is_not_offered(shop: Shop) -> None:
    await methods(shop)
    assert await offered(shop) == ["zelle"]
    for gateway_id in ("sslcommerz", "amarpay", "cod"):
        await shop.gateways.activate(gateway_id=gateway_id)
    assert await offered(shop) == ["zelle", "sslcommerz", "amarpay", "cod"]
    await shop.gateways.reorder(gateway_ids=["cod", "amarpay", "sslcommerz"])
    assert await offered(shop) == ["zelle", "cod", "amarpay", "sslcommerz"]
    await shop.gateways.deactivate(gateway_id="amarpay")
    assert await offered(shop) == ["zelle", "cod", "sslcommerz"]


@pytest.mark.requirement("STO-GW-03")
async def test_nobody_pays_by_what_is_behind_an_inactive_gateway(shop: Shop) -> None:
    await methods(shop)
    variant_id = await make_product(shop)
    order = (await place(shop, (variant_id, 1), payment_method="zelle")).order
    with pytest.raises(PaymentMethodInactive):
        await shop.payments.start(order_id=order.id, method="cod")
    await shop.gateways.activate(gateway_id="cod")
    assert (await shop.payments.start(order_id=order.id, method="cod")).status == "pending"


@pytest.mark.requirement("STO-GW-03")
async def test_no_order_is_placed_by_what_is_behind_an_inactive_gateway(shop: Shop) -> None:
    await methods(shop)
    variant_id = await make_product(shop)
    with pytest.raises(PaymentMethodRefused):
        await place(shop, (variant_id, 1), payment_method="cod")
    await shop.gateways.activate(gateway_id="cod")
    assert (await place(shop, (variant_id, 1), payment_method="cod")).order.payment is not None


async def test_a_gateway_in_use_stays(shop: Shop) -> None:
    await methods(shop)
    with pytest.raises(GatewayInUse):
        await shop.gateways.delete(gateway_id="cod")
    method = await shop.payment_methods.get_by_code(code="cod")
    await shop.payment_methods.update(method_id=method.id, gateway_id=None)
    await shop.gateways.delete(gateway_id="cod")
    with pytest.raises(GatewayNotFound):
        await shop.gateways.delete(gateway_id="cod")


async def test_a_way_to_pay_names_a_gateway_of_its_shop(shop: Shop, room: Storeroom) -> None:
    other = await open_shop(room)
    await three(other)
    with pytest.raises(GatewayNotFound):
        await make_method(shop, "cod", gateway_id="cod")
    method = await make_method(shop, "cod")
    with pytest.raises(GatewayNotFound):
        await shop.payment_methods.update(method_id=method.id, gateway_id="cod")
