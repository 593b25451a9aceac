"""Both providers against a server that answers as they document, and against everything that may go wrong on the way."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from factories import LOOPBACK
from standin import MERCHANT, PASSWORD, STRIPE_KEY, SUCCESS, StandIn, event, say, serving, signed
from storeroom.core.money import Money
from storeroom.core.networks import Network
from storeroom.core.secrets import Secret
from storeroom.hosted import (
    AmountTooFine,
    Asked,
    MpgsProvider,
    MpgsStatus,
    Outcome,
    Provider,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
    SignatureRefused,
    StripeProvider,
    mpgs,
    read_event,
    read_session,
    require_signed,
    stripe,
)
from storeroom.integration import Courier

SECRET = Secret("whsec_of_the_stand_in")


@pytest.fixture
def home() -> Iterator[StandIn]:
    with serving() as known:
        yield known


_couriers: list[Courier] = []


def courier(allowed: Sequence[Network] = LOOPBACK) -> Courier:
    _couriers.append(Courier(allowed=allowed))
    return _couriers[-1]


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    while _couriers:
        await _couriers.pop().close()


def at_stripe(home: StandIn, key: str = STRIPE_KEY, allowed: Sequence[Network] = LOOPBACK) -> StripeProvider:
    return StripeProvider(secret_key=Secret(key), base_url=home.url, courier=courier(allowed))


def at_gateway(home: StandIn, password: str = PASSWORD, allowed: Sequence[Network] = LOOPBACK) -> MpgsProvider:
    return MpgsProvider(
        merchant_id=MERCHANT,
        api_password=Secret(password),
        base_url=home.url,
        courier=courier(allowed),
        merchant_name="A shop",
    )


def asked(**facts: Any) -> Asked:
    return Asked(
        **{
            "tenant_id": "default",
            "payment_id": "0193b5a2-7c1d-7e33-8a4f-1d2c3b4a5968",
            "reference": "PAY-7KQP2-MXW4D",
            "order_number": "7KQP-2MXW",
            "amount": Money(12_950, "USD"),
            "customer_email": "bo@buyer.example",
            "return_url": "https://shop.example/thanks",
            "cancel_url": "https://shop.example/cart",
            "expires_at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
            **facts,
        }
    )


async def test_stripe_opens_one_session_for_a_payment(home: StandIn) -> None:
    provider: Provider = at_stripe(home)
    opened = await provider.open_session(asked())
    again = await provider.open_session(asked())
    assert opened == again and len(home.sessions) == 1
    assert opened.url == f"https://checkout.stripe.com/c/pay/{opened.session_id}"
    assert opened.expires_at == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    form = home.asked[0].form
    assert {name: form[name] for name in ("mode", "client_reference_id", "customer_email", "success_url")} == {
        "mode": "payment",
        "client_reference_id": "PAY-7KQP2-MXW4D",
        "customer_email": "bo@buyer.example",
        "success_url": "https://shop.example/thanks",
    }
    assert form["line_items[0][price_data][unit_amount]"] == "12950"
    assert form["line_items[0][price_data][currency]"] == "usd"
    assert form["metadata[payment_id]"] == form["payment_intent_data[metadata][payment_id]"] == asked().payment_id
    assert home.asked[0].headers["idempotency-key"] == f"storeroom-default-{asked().payment_id}"


async def test_stripe_says_what_became_of_a_session(home: StandIn) -> None:
    provider = at_stripe(home)
    session = (await provider.open_session(asked())).session_id
    assert (await provider.state(session)).outcome is Outcome.OPEN
    home.stripe_pays(session, slowly=True)
    slow = await provider.state(session)
    assert (slow.outcome, slow.received) == (Outcome.PROCESSING, None)
    home.stripe_pays(session, amount=12_000)
    paid = await provider.state(session)
    assert (paid.outcome, paid.received) == (Outcome.PAID, Money(12_000, "USD"))
    assert paid.reference == home.sessions[session]["payment_intent"]
    home.sessions[session] |= {"status": "expired", "payment_status": "unpaid"}
    assert (await provider.state(session)).outcome is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("amount", "currency", "at_stripe"),
    [
        *[(500, "JPY", 500), (5, "ISK", 500), (7, "UGX", 700), (100, "RSD", 100), (1, "EUR", 1)],
        *[(1_230, each, 1_230) for each in ("BHD", "JOD", "KWD", "OMR", "TND")],
        *[(500_000, "MGA", 5_000), (0, "MGA", 0)],
    ],
)
def test_amounts_are_counted_as_stripe_counts(amount: int, currency: str, at_stripe: int) -> None:
    money = Money(amount, currency)
    assert stripe.to_stripe(money) == at_stripe
    assert stripe.from_stripe(at_stripe, currency.lower()) == money


@pytest.mark.parametrize(
    ("amount", "currency", "step"),
    [(1_234, "KWD", 10), (1, "BHD", 10), (1_005, "TND", 10), (500_050, "MGA", 100), (99, "MGA", 100)],
)
async def test_what_stripe_would_not_take_it_is_not_asked_for(
    home: StandIn, amount: int, currency: str, step: int
) -> None:
    """Stripe wants the last digit of thousandths to be 0, and knows no hundredth of an ariary."""
    with pytest.raises(AmountTooFine) as refused:
        await at_stripe(home).open_session(asked(amount=Money(amount, currency)))
    assert (refused.value.amount, refused.value.step) == (Money(amount, currency), Money(step, currency))
    assert home.asked == []


@pytest.mark.parametrize(("amount", "currency"), [(550, "isk"), (5, "zzz"), (2**63, "usd"), (1, "")])
def test_an_amount_that_is_none_is_not_taken_for_one(amount: int, currency: str) -> None:
    with pytest.raises(ProviderDown):
        stripe.from_stripe(amount, currency)


async def test_the_gateway_opens_a_session_and_says_what_became_of_it(home: StandIn) -> None:
    provider: Provider = at_gateway(home)
    opened = await provider.open_session(asked())
    assert opened.success_indicator == SUCCESS and opened.session_id.startswith("SESSION")
    assert (opened.session_version, opened.merchant_id) == ("1f2a3b4c01", MERCHANT)
    assert opened.script_url == f"{home.url}/static/checkout/checkout.min.js"
    assert opened.order_ref == "0193b5a27c1d7e338a4f1d2c3b4a5968"
    first = home.asked[0]
    assert first.path == f"/api/rest/version/100/merchant/{MERCHANT}/session"
    assert first.json["apiOperation"] == "INITIATE_CHECKOUT"
    assert first.json["interaction"]["returnUrl"] == "https://shop.example/thanks"
    assert first.json["order"] == {
        "id": opened.order_ref,
        "reference": "PAY-7KQP2-MXW4D",
        "amount": "129.50",
        "currency": "USD",
        "description": "Order 7KQP-2MXW",
    }
    unknown = await provider.state(opened.order_ref)
    assert unknown.outcome is Outcome.OPEN and unknown.mpgs is not None
    assert unknown.mpgs.status is MpgsStatus.INITIATED

    home.mpgs_says(opened.order_ref, "CAPTURED", captured="129.50")
    paid = await provider.state(opened.order_ref)
    assert (paid.outcome, paid.received) == (Outcome.PAID, Money(12_950, "USD"))
    result = paid.mpgs
    assert result is not None
    assert (result.status, result.order_status, result.gateway_code) == (MpgsStatus.CAPTURED, "CAPTURED", "APPROVED")
    assert (result.gateway_transaction_id, result.authorization_code, result.acquirer_code) == ("1", "028442", "00")
    assert (result.card_brand, result.card_last4, result.transaction_receipt) == ("MASTERCARD", "2346", "307512345678")
    assert result.three_ds_status == "AUTHENTICATION_SUCCESSFUL"
    assert result.raw is not None and result.raw["id"] == opened.order_ref


@pytest.mark.parametrize(
    ("said", "status", "outcome"),
    [
        ("AUTHENTICATION_INITIATED", MpgsStatus.PENDING, Outcome.PROCESSING),
        ("AUTHORIZED", MpgsStatus.AUTHORIZED, Outcome.PROCESSING),
        ("FAILED", MpgsStatus.FAILED, Outcome.FAILED),
        ("CANCELLED", MpgsStatus.CANCELLED, Outcome.FAILED),
        ("EXPIRED", MpgsStatus.EXPIRED, Outcome.EXPIRED),
        ("REFUNDED", MpgsStatus.REFUNDED, Outcome.PAID),
        ("A WORD OF TOMORROW", MpgsStatus.PENDING, Outcome.PROCESSING),
    ],
)
async def test_the_gateways_words_in_ours(home: StandIn, said: str, status: MpgsStatus, outcome: Outcome) -> None:
    provider = at_gateway(home)
    opened = await provider.open_session(asked())
    assert opened.order_ref is not None
    home.mpgs_says(opened.order_ref, said, captured="1.00")
    found = await provider.state(opened.order_ref)
    assert found.mpgs is not None
    assert (found.outcome, found.mpgs.status) == (outcome, status)
    assert (found.received is not None) == (outcome is Outcome.PAID)


async def test_amounts_of_the_gateway_lose_no_unit(home: StandIn) -> None:
    provider = at_gateway(home)
    opened = await provider.open_session(asked(amount=Money(1, "KWD")))
    assert home.asked[0].json["order"]["amount"] == "0.001" and opened.order_ref is not None
    for written, amount in (("90071992547409.931", 90_071_992_547_409_931), ("0.001", 1), ("12", 12_000)):
        home.mpgs_says(opened.order_ref, "CAPTURED", captured=written)
        assert (await provider.state(opened.order_ref)).received == Money(amount, "KWD")
    home.mpgs_says(opened.order_ref, "CAPTURED", captured="0.0001")
    with pytest.raises(ProviderDown):
        await provider.state(opened.order_ref)


# --- What goes wrong --------------------------------------------------------------------------------------------------

MAKERS = pytest.mark.parametrize("make", [at_stripe, at_gateway])


def shown(error: BaseException) -> str:
    """Everything that a log or an answer could show of an error."""
    facts = error.facts() if hasattr(error, "facts") else ""
    return f"{error!s} {error!r} {facts} {error.__cause__!r} {error.__suppress_context__ or error.__context__!r}"


@MAKERS
async def test_a_wrong_key_is_a_matter_of_configuration(home: StandIn, make: Any) -> None:
    with pytest.raises(ProviderMisconfigured) as refused:
        await make(home, "sk_test_another_secret").open_session(asked())
    for secret in ("another_secret", STRIPE_KEY, PASSWORD):
        assert secret not in shown(refused.value)


@MAKERS
@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_a_provider_that_is_down_may_be_asked_again(home: StandIn, make: Any, status: int) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        say(handler, status, b'{"error": {"message": "secret of theirs"}}')
        return True

    home.wrong = wrong
    with pytest.raises(ProviderDown) as down:
        await make(home).open_session(asked())
    assert down.value.transient and "secret of theirs" not in shown(down.value)


@MAKERS
async def test_what_a_provider_refuses_is_named_by_its_code(home: StandIn, make: Any) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        body = b'{"error": {"code": "amount_too_small", "cause": "amount_too_small", "message": "bo@buyer.example"}}'
        say(handler, 400, body)
        return True

    home.wrong = wrong
    with pytest.raises(ProviderRefused) as refused:
        await make(home).open_session(asked())
    assert refused.value.reason == "amount_too_small" and "bo@buyer.example" not in shown(refused.value)


@MAKERS
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"id": 7}', b"\xff", b'{"result": "SUCCESS"}']
)
async def test_an_answer_of_another_shape_is_no_answer(home: StandIn, make: Any, body: bytes) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        say(handler, 200, body)
        return True

    home.wrong = wrong
    with pytest.raises(ProviderDown):
        await make(home).open_session(asked())
    with pytest.raises(ProviderDown):
        await make(home).state("x")


@MAKERS
async def test_an_answer_without_end_is_cut(home: StandIn, make: Any) -> None:
    sent = 0

    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(64):
                handler.wfile.write(b" " * 1024 * 1024)
                sent += 1
        except OSError:
            pass
        handler.close_connection = True
        return True

    home.wrong = wrong
    with pytest.raises(ProviderDown):
        await make(home).state("x")
    assert sent < 64


@MAKERS
async def test_who_does_not_answer_in_time_is_left(home: StandIn, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sends a byte now and then, so that no single read takes long."""
    over = False

    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        import time

        handler.send_response(200)
        handler.end_headers()
        try:
            while not over:
                handler.wfile.write(b" ")
                time.sleep(0.02)  # the provider's slowness itself, in its own thread
        except OSError:
            pass
        handler.close_connection = True
        return True

    home.wrong = wrong
    for module in (stripe, mpgs):
        monkeypatch.setattr(module, "TIMEOUT", timedelta(seconds=0.3))
    try:
        with pytest.raises(ProviderDown, match="no answer"):
            async with asyncio.timeout(60):
                await make(home).state("x")
    finally:
        over = True


@MAKERS
async def test_nobody_at_the_address(home: StandIn, make: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        home.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ProviderDown):
            await make(home).state("x")


async def test_the_gateway_is_not_followed_elsewhere(home: StandIn) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(302)
        handler.send_header("Location", f"{home.url}/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    home.wrong = wrong
    with pytest.raises(ProviderDown):
        await at_gateway(home).state("x")
    assert len(home.asked) == 1


def test_without_its_library_stripe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stripe", None)
    with pytest.raises(ProviderMisconfigured, match=r"pip install 'storeroom\[stripe\]'"):
        require_signed(b"{}", "t=1,v1=x", SECRET)


@pytest.mark.parametrize(
    "make",
    [
        lambda: StripeProvider(secret_key=None, courier=courier()),
        lambda: MpgsProvider(
            merchant_id=None, api_password=Secret("x"), base_url="https://x.example", courier=courier()
        ),
        lambda: MpgsProvider(merchant_id="x", api_password=None, base_url="https://x.example", courier=courier()),
        lambda: MpgsProvider(merchant_id="x", api_password=Secret("x"), base_url=None, courier=courier()),
        lambda: MpgsProvider(
            merchant_id="x", api_password=Secret("x"), base_url="https://x.example", version=62, courier=courier()
        ),
    ],
)
def test_what_a_gateway_lacks_is_said(make: Any) -> None:
    with pytest.raises(ProviderMisconfigured):
        make()


# --- Stripe's signatures ----------------------------------------------------------------------------------------------

BODY = event("checkout.session.completed", {"id": "cs_1", "object": "checkout.session"})


def test_a_message_that_is_signed_now_is_read() -> None:
    require_signed(BODY, signed(BODY), SECRET)
    require_signed(BODY, signed(BODY, age_s=240), SECRET)
    found = read_event(json.loads(BODY))
    assert (found.type, found.object["id"]) == ("checkout.session.completed", "cs_1")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "t=1",
        "v1=aa",
        "nonsense",
        "t=x,v1=aa",
        "t=1,v1=é",
        "t=1,v1=" + "a" * 2_000,
        signed(BODY, secret="whsec_of_another"),
        signed(BODY + b" "),
        signed(BODY, age_s=310),
        signed(BODY).replace("v1=", "v0="),
    ],
)
def test_a_stale_or_wrong_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(SignatureRefused):
        require_signed(BODY, signature, SECRET)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        [],
        {"id": 1},
        {"id": "e", "type": "t", "created": 1, "data": {}},
        {"id": "e", "type": "t", "created": 10**18, "data": {"object": {}}},
    ],
)
def test_what_is_signed_and_yet_no_message_is_none(said: Any) -> None:
    with pytest.raises(ProviderDown):
        read_event(said)


@pytest.mark.parametrize("said", [{}, {"id": 7}, {"id": "cs", "amount_total": "x"}, {"id": "cs", "expires_at": []}])
def test_a_session_of_another_shape_is_none(said: dict[str, Any]) -> None:
    with pytest.raises(ProviderDown):
        read_session(said)


@pytest.mark.parametrize("provider", [at_stripe, at_gateway])
async def test_no_provider_is_asked_at_a_private_address(home: StandIn, provider: Callable[..., Provider]) -> None:
    """Whoever may configure a gateway does not reach the network that the shop runs in."""
    with pytest.raises(ProviderMisconfigured):
        await provider(home, allowed=()).open_session(asked())
    assert home.asked == []
