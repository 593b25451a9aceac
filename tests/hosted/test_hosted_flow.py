"""A payment from the page to the money: whoever tells of it first completes it, and everybody else finds it done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from stand import PROVIDER, Stand

from factories import LOOPBACK, SECRET, open_shop, usd
from rivals import cut_at, race
from standin import (
    MERCHANT,
    PASSWORD,
    STRIPE_KEY,
    SUCCESS,
    WEBHOOK_SECRET,
    Number,
    StandIn,
    event,
    serving,
    signed,
)
from storeroom.core.ids import InboxId, new_id
from storeroom.database.pool import Database, DatabaseUnavailable
from storeroom.flows.hosted_payments import HostedPayments
from storeroom.flows.hosted_polling import POLLED_MAX, poll_hosted
from storeroom.flows.inbound import HANDLERS
from storeroom.flows.model import HostedPage, PlacedOrder
from storeroom.gateways import GatewayKind, GatewayNotFound
from storeroom.hosted import (
    HostedSessionNotFound,
    IndicatorRefused,
    InvalidHostedPayment,
    MpgsStatus,
    NotHosted,
    ProviderDown,
    SignatureRefused,
    StripeSessionStatus,
    TransactionNotFound,
    read_event,
)
from storeroom.inbox import InboxProcessor, InboxStatus, InvalidMessage, Receipt
from storeroom.payments import (
    Payer,
    Payment,
    PaymentExpired,
    PaymentMethodType,
    PaymentMoveRefused,
    PaymentNotFound,
)
from storeroom.refunds import Refund, RefundMethod
from storeroom.room import Shop, Storeroom

API = "https://api.shop.example"
BACK = f"{API}/thanks"
S = StripeSessionStatus


class Hosted(Stand):
    """A stand whose gateways are at the stand-in."""

    home: StandIn
    room: Storeroom

    async def gateways(self) -> None:
        await self.gateway(
            "stripe", {"secret_key": STRIPE_KEY, "webhook_secret": WEBHOOK_SECRET, "test_endpoint": self.home.url}
        )
        await self.gateway(
            "mpgs",
            {"merchant_id": MERCHANT, "api_password": PASSWORD, "test_endpoint": self.home.url, "merchant_name": "A"},
        )
        await self.method("stripe", gateway_id="stripe")
        await self.method("mpgs", gateway_id="mpgs", method_type=PaymentMethodType.MPGS)

    async def gateway(self, name: str, config: dict[str, Any], kind: GatewayKind | None = None) -> None:
        """Behind the method of the same name."""
        await self.shop.gateways.create(id=name, name=name, kind=kind, config=config)
        await self.shop.gateways.activate(gateway_id=name)

    async def goes_down(self, name: str) -> None:
        """The gateway is where nobody answers; another address needs its secrets again."""
        config = {"test_endpoint": "http://127.0.0.1:9", "api_password": PASSWORD}
        await self.shop.gateways.update(gateway_id=name, config=config)

    async def opened(self, code: str, total: int = 10_000) -> tuple[PlacedOrder, Payment, HostedPage]:
        order, payment = await self.order(total, code=code)
        page = await self.start(payment)
        return order, payment, page

    async def start(self, payment: Payment, **more: Any) -> HostedPage:
        return await self.shop.hosted_payments.start(
            **{"reference": payment.reference, "return_url": BACK, "api_url": API, **more}
        )

    async def tell(self, kind: str, about: dict[str, Any], **more: Any) -> str:
        """As Stripe does: taken by the inbox, and handled by the worker; what came of it."""
        body = event(kind, about, **more)
        receipt = await self.take(body)
        assert receipt.id is not None
        return await self.handled(receipt.id)

    async def take(self, body: bytes, signature: str | None = None) -> Receipt:
        headers = {"Stripe-Signature": signature or signed(body)}
        return await self.shop.inbound.receive(source="stripe", body=body, headers=headers)

    async def handled(self, message_id: InboxId) -> str:
        """Once a worker is through with a message, which may be this one or a rival."""
        database = self.shop.context.db
        assert isinstance(database, Database)
        processor = InboxProcessor(database, handlers=HANDLERS, tenants=self.shop.context.tenants)
        async with asyncio.timeout(120):
            while True:
                found = await self.shop.inbox.get(message_id=message_id)
                if found.status not in (InboxStatus.PENDING, InboxStatus.PROCESSING):
                    assert found.status is not InboxStatus.FAILED, found.error_message
                    return str(found.result["outcome"])
                assert found.error_message is None
                if not await processor.process_next(self.shop.tenant_id):
                    await asyncio.sleep(0.01)  # a rival has it

    async def session(self, page: HostedPage) -> Any:  # type: ignore[override]
        return await self.shop.hosted_sessions.get(session_id=page.session_id)


@pytest.fixture
def home() -> Iterator[StandIn]:
    with serving() as known:
        yield known


async def opened(room: Storeroom, shop: Shop, home: StandIn) -> Hosted:
    made = Hosted(shop.acting(actor=PROVIDER))
    made.home, made.room = home, room
    await made.gateways()
    return made


@pytest.fixture
async def hosted(room: Storeroom, shop: Shop, home: StandIn) -> Hosted:
    return await opened(room, shop, home)


@pytest.fixture
async def alone(fresh_database: Callable[[], Awaitable[str]], home: StandIn) -> AsyncIterator[Hosted]:
    """In a database of its own: the worker asks about the payments of all shops, and one of an earlier test may be where
    this stand-in is now."""
    async with Storeroom.open(await fresh_database(), secret=SECRET, private_destinations=LOOPBACK) as room:
        yield await opened(room, await open_shop(room), home)


def paid_once(total: int = 10_000) -> tuple[str, int, list[tuple[str, int | None]]]:
    return ("payment_received", total, [("completed", total)])


UNPAID = ("pending_payment", 0, [("pending", None)])


# --- Opening ----------------------------------------------------------------------------------------------------------


async def test_a_page_is_opened_once_for_a_payment(hosted: Hosted) -> None:
    order, payment, page = await hosted.opened("stripe", 12_950)
    assert page.url == f"https://checkout.stripe.com/c/pay/{page.session_id}" and page.provider == "stripe"
    session = await hosted.session(page)
    assert (session.resource_id, session.amount, session.payment_id) == (order.number, usd(12_950), payment.id)
    assert (session.gateway_id, session.url, session.status) == ("stripe", page.url, S.PENDING)
    assert await hosted.start(payment) == page
    assert len(hosted.home.asked) == 1
    assert await hosted.paid(order) == UNPAID
    form = hosted.home.asked[0].form
    assert form["metadata[payment_id]"] == str(payment.id) and form["metadata[tenant_id]"] == hosted.shop.tenant_id


@pytest.mark.parametrize("code", ["stripe", "mpgs"])
async def test_asked_for_at_once_there_is_one_page(hosted: Hosted, code: str) -> None:
    _, payment = await hosted.order(code=code)
    pages = await asyncio.gather(*(hosted.start(payment) for _ in range(4)))
    assert len({page.session_id for page in pages}) == 1


async def test_the_gateways_page_is_opened_by_its_script(hosted: Hosted) -> None:
    domain = await hosted.shop.domains.create(domain_name="shop.example")
    order, payment = await hosted.order(code="mpgs")
    page = await hosted.start(payment, host="SHOP.example:443")
    assert (page.url, page.script_url) == (None, f"{hosted.home.url}/static/checkout/checkout.min.js")
    made = await hosted.shop.mpgs_transactions.find(session_id=page.session_id)
    assert (made.order_id, made.payment_id, made.domain_id) == (order.id, payment.id, domain.id)
    assert (made.order_increment_id, made.transaction_reference) == (order.number, payment.reference)
    assert (made.merchant_id, made.gateway_id, made.order_ref_id) == (MERCHANT, "mpgs", payment.id.hex)
    back = f"{API}/v1/returns/{hosted.shop.tenant_id}/mpgs/{payment.reference}"
    assert hosted.home.asked[0].json["interaction"]["returnUrl"] == back
    assert await hosted.start(payment) == page and len(hosted.home.asked) == 1


async def test_after_a_failed_one_another_payment_is_its_retry(hosted: Hosted) -> None:
    order, payment, page = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "FAILED")
    former = await hosted.shop.mpgs_transactions.find(session_id=page.session_id)
    await age(hosted, "mpgs_transactions", timedelta(hours=1, minutes=11))
    failed = await hosted.shop.hosted_payments.refresh_transaction(transaction_id=former.id)
    assert (failed.payment_status, failed.failure_reason) == (MpgsStatus.FAILED, "DECLINED")
    with pytest.raises(PaymentMoveRefused):
        await hosted.start(payment)
    again = await hosted.shop.payments.start(order_id=order.id, method="mpgs")
    second = await hosted.start(again)
    retried = await hosted.shop.mpgs_transactions.find(session_id=second.session_id)
    assert (retried.retry_of, retried.order_id) == (former.id, order.id)
    assert second.session_id != page.session_id


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        (f"{API}/x?y=1", True),
        ("https://shop.example/thanks", True),
        ("https://SHOP.example:443/thanks", True),
        ("https://evil.example/", False),
        ("https://shop.example.evil.example/", False),
        ("https://shop.example@evil.example/", False),
        ("http://shop.example/", False),
        ("//evil.example/", False),
        ("javascript:alert(1)", False),
        ("https://shop.example/\r\nSet-Cookie: a=b", False),
        ("https://[shop.example/", False),
        ("https://shop.example/" + "x" * 2_000, False),
    ],
)
async def test_nobody_is_sent_to_a_strange_place(hosted: Hosted, url: str, fine: bool) -> None:
    await hosted.shop.origins.replace(origins=["https://shop.example"])
    _, payment = await hosted.order(code="stripe")
    for field in ("return_url", "cancel_url"):
        if fine:
            await hosted.start(payment, **{field: url})
        else:
            with pytest.raises(InvalidHostedPayment) as refused:
                await hosted.start(payment, **{field: url})
            assert refused.value.field == field
    assert len(hosted.home.asked) == fine


async def test_what_cannot_be_paid_on_a_page_opens_none(hosted: Hosted) -> None:
    _, by_hand = await hosted.order()
    _, cancelled = await hosted.order(code="stripe")
    await hosted.shop.payments.cancel(payment_id=cancelled.id)
    _, short = await hosted.order(code="stripe")
    await hosted.run(
        "UPDATE {payments} SET expires_at = now() + interval '20 minutes' WHERE tenant_id = $1 AND id = $2", short.id
    )
    _, over = await hosted.order(code="mpgs")
    await hosted.run("UPDATE {payments} SET expires_at = now() WHERE tenant_id = $1 AND id = $2", over.id)
    for payment, refusal in (
        (by_hand, NotHosted),
        (cancelled, PaymentMoveRefused),
        (short, PaymentExpired),
        (over, PaymentExpired),
    ):
        with pytest.raises(refusal):
            await hosted.start(payment)
    _, off = await hosted.order(code="stripe")
    await hosted.shop.gateways.deactivate(gateway_id="stripe")
    with pytest.raises(NotHosted):
        await hosted.start(off)
    assert hosted.home.asked == []


async def test_somebody_elses_payment_is_not_found(hosted: Hosted) -> None:
    _, payment = await hosted.order(code="stripe")
    for shop, payer in (
        (hosted.as_customer, None),
        (hosted.as_customer, Payer(user_id=new_id())),  # type: ignore[arg-type]
        (hosted.shop, Payer(session_id=new_id())),  # type: ignore[arg-type]
    ):
        with pytest.raises(PaymentNotFound):
            await shop.hosted_payments.start(reference=payment.reference, return_url=BACK, api_url=API, payer=payer)
    assert hosted.home.asked == []


async def test_inside_a_transaction_no_provider_is_called(hosted: Hosted) -> None:
    _, payment = await hosted.order(code="stripe")
    async with hosted.shop.transaction() as tx:
        for call in (
            tx.hosted_payments.start(reference=payment.reference, return_url=BACK, api_url=API),
            tx.hosted_payments.refresh_session(session_id="cs_1"),
            tx.hosted_payments.refresh_transaction(transaction_id=new_id()),
        ):
            with pytest.raises(TypeError, match="outside of any transaction"):
                await call


async def test_while_a_provider_is_slow_no_connection_waits_for_it(hosted: Hosted, database: Database) -> None:
    _, payment = await hosted.order(code="stripe")
    begun = await database.fetchval("SELECT now()")  # what another test has just left is no wait of this one
    seen: list[int] = []

    def look(_: object) -> bool:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database() AND xact_start > $1"
        seen.append(asyncio.run_coroutine_threadsafe(database.fetchval(idle, begun), loop).result(60))
        return False

    loop = asyncio.get_running_loop()
    hosted.home.wrong = look
    await hosted.start(payment)
    assert seen == [0]


async def test_a_provider_that_is_down_leaves_the_payment_as_it_was(hosted: Hosted) -> None:
    order, payment = await hosted.order(code="mpgs")
    await hosted.goes_down("mpgs")
    with pytest.raises(ProviderDown):
        await hosted.start(payment)
    assert await hosted.paid(order) == UNPAID
    assert (await hosted.shop.mpgs_transactions.list()).total == 0


# --- Stripe's messages ------------------------------------------------------------------------------------------------


async def test_a_completed_session_is_one_completed_payment(hosted: Hosted) -> None:
    order, payment, page = await hosted.opened("stripe")
    about = hosted.home.stripe_pays(page.session_id)
    assert await hosted.tell("checkout.session.completed", about) == "completed"
    session = await hosted.session(page)
    assert (session.status, session.received, session.remark) == (S.COMPLETED, usd(10_000), None)
    assert session.payment_intent == about["payment_intent"]
    assert await hosted.paid(order) == paid_once()
    assert (await hosted.shop.payments.get(payment_id=payment.id)).customer_reference == about["payment_intent"]


async def test_repeated_and_at_once_it_stays_one(hosted: Hosted) -> None:
    order, payment, page = await hosted.opened("stripe")
    body = event("checkout.session.completed", hosted.home.stripe_pays(page.session_id))
    signature = signed(body)
    for repeats in (4, 5):
        taken = await asyncio.gather(*(hosted.take(body, signature) for _ in range(5)))
        assert [each.repeated for each in taken].count(True) == repeats
        for new in (each.id for each in taken if each.id is not None):
            assert await asyncio.gather(*(hosted.handled(new) for _ in range(3))) == ["completed"] * 3
            kept = await hosted.shop.inbox.get(message_id=new)
            assert (kept.related_order_id, kept.related_payment_id) == (order.id, payment.id)
    assert await hosted.paid(order) == paid_once()
    assert await hosted.told("payment.completed") == 1


async def test_out_of_order_money_wins(hosted: Hosted) -> None:
    """Expired after completed, failed after succeeded, unpaid after paid: what came first of the money stays."""
    order, _, page = await hosted.opened("stripe")
    unpaid = hosted.home.stripe_pays(page.session_id, slowly=True)
    paid = hosted.home.stripe_pays(page.session_id)
    await hosted.tell("checkout.session.async_payment_succeeded", paid)
    await hosted.tell("checkout.session.completed", unpaid)
    await hosted.tell("checkout.session.async_payment_failed", unpaid)
    await hosted.tell("checkout.session.expired", {**unpaid, "status": "expired"})
    assert (await hosted.session(page)).status is S.COMPLETED
    assert await hosted.paid(order) == paid_once()


async def test_completed_after_expired_is_not_lost(hosted: Hosted) -> None:
    order, _, page = await hosted.opened("stripe")
    await hosted.tell("checkout.session.expired", {**hosted.home.sessions[page.session_id], "status": "expired"})
    assert await hosted.paid(order) == ("pending_payment", 0, [("expired", None)])
    await hosted.tell("checkout.session.completed", hosted.home.stripe_pays(page.session_id))
    assert (await hosted.session(page)).status is S.EXPIRED
    assert await hosted.paid(order) == ("payment_received", 10_000, [("expired", None), ("completed", 10_000)])


async def test_a_slow_payment_comes_or_fails(hosted: Hosted) -> None:
    for fails in (False, True):
        order, _, page = await hosted.opened("stripe")
        about = hosted.home.stripe_pays(page.session_id, slowly=True)
        assert await hosted.tell("checkout.session.completed", about) == "processing"
        assert await hosted.paid(order) == ("pending_payment", 0, [("processing", None)])
        if fails:
            assert await hosted.tell("checkout.session.async_payment_failed", about) == "expired"
            assert await hosted.paid(order) == ("pending_payment", 0, [("failed", None)])
        else:
            paid = hosted.home.stripe_pays(page.session_id)
            assert await hosted.tell("checkout.session.async_payment_succeeded", paid) == "completed"
            assert await hosted.paid(order) == paid_once()


async def test_a_message_before_our_own_save_is_enough(hosted: Hosted, home: StandIn) -> None:
    """Stripe has opened the page and the buyer has paid, while our answer is still on its way into the table."""
    order, payment, page = await hosted.opened("stripe")
    about = home.stripe_pays(page.session_id)
    await hosted.run("DELETE FROM {stripe_sessions} WHERE tenant_id = $1")
    done = await asyncio.gather(
        *(hosted.tell("checkout.session.completed", about) for _ in range(3)), return_exceptions=True
    )
    assert done == ["completed"] * 3
    session = await hosted.session(page)
    assert (session.payment_id, session.resource_id, session.status) == (payment.id, order.number, S.COMPLETED)
    assert await hosted.paid(order) == paid_once()
    late = await hosted.shop.hosted_sessions.save(  # what `start` does at last
        id=page.session_id,
        resource_id=order.number,
        amount=usd(10_000),
        payment_id=payment.id,
        gateway_id="stripe",
        url=page.url,
    )
    assert late.status is S.COMPLETED
    assert await hosted.paid(order) == paid_once()


async def test_a_message_while_our_save_is_not_committed_waits_for_it(hosted: Hosted, home: StandIn) -> None:
    order, payment, page = await hosted.opened("stripe")
    about = home.stripe_pays(page.session_id)
    await hosted.run("DELETE FROM {stripe_sessions} WHERE tenant_id = $1")

    async def first(tx: Any) -> None:
        await hosted.shop.hosted_sessions.bound(tx).save(
            id=page.session_id, resource_id=order.number, amount=usd(10_000), payment_id=payment.id, gateway_id="stripe"
        )

    database = hosted.shop.context.db
    assert isinstance(database, Database)
    outcome = await race(database, first, lambda: hosted.tell("checkout.session.completed", about))
    assert outcome == "completed"
    assert await hosted.paid(order) == paid_once()


@pytest.mark.parametrize("came", [9_000, 11_000])
async def test_another_amount_is_recorded_as_what_came(hosted: Hosted, came: int) -> None:
    order, _, page = await hosted.opened("stripe")
    await hosted.tell("checkout.session.completed", hosted.home.stripe_pays(page.session_id, amount=came))
    assert (await hosted.session(page)).remark == f"asked 100.00 USD, received {came // 100}.00 USD"
    status, arrived, payments = await hosted.paid(order)
    assert (arrived, payments) == (came, [("completed", came)])
    assert status == ("payment_received" if came > 10_000 else "pending_payment")


async def test_another_currency_is_not_taken_for_ours(hosted: Hosted) -> None:
    order, _, page = await hosted.opened("stripe")
    about = {**hosted.home.stripe_pays(page.session_id), "currency": "jpy"}
    await hosted.tell("checkout.session.completed", about)
    assert "credited to no payment" in str((await hosted.session(page)).remark)
    assert await hosted.paid(order) == UNPAID
    assert await hosted.told("payment.mismatch") == 1


async def test_a_stale_or_wrong_signature_changes_nothing(hosted: Hosted) -> None:
    order, _, page = await hosted.opened("stripe")
    body = event("checkout.session.completed", hosted.home.stripe_pays(page.session_id))
    for signature in (None, signed(body, age_s=301), signed(body, secret="whsec_x"), signed(body + b"\n")):
        with pytest.raises(SignatureRefused):
            await hosted.shop.inbound.receive(
                source="stripe", body=body, headers={} if signature is None else {"Stripe-Signature": signature}
            )
    kept = (await hosted.shop.inbox.list(source="stripe")).items
    assert [(each.status, each.signature_valid, each.attempts) for each in kept] == [("failed", False, 0)] * 4
    assert (await hosted.session(page)).status is S.PENDING
    assert await hosted.paid(order) == UNPAID


@pytest.mark.parametrize(
    "said", [{}, {"id": "evt_1", "type": "v2.core.event", "object": "v2.core.event"}, {"id": 1, "type": []}]
)
async def test_what_is_signed_and_no_event_that_we_know_is_kept_and_skipped(hosted: Hosted, said: Any) -> None:
    """An answer that is no 2xx would have Stripe send it for days, and give our address up."""
    taken = await hosted.take(json.dumps(said).encode())
    assert taken.id is not None
    processor = InboxProcessor(hosted.shop.context.db, handlers=HANDLERS, tenants=hosted.shop.context.tenants)  # type: ignore[arg-type]
    assert await processor.process_next(hosted.shop.tenant_id)
    kept = await hosted.shop.inbox.get(message_id=taken.id)
    assert (kept.status, kept.attempts, kept.payload) == (InboxStatus.SKIPPED, 1, said)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"[]", b'"x"', b'{"id": '])
async def test_what_is_signed_and_cannot_be_read_is_refused(hosted: Hosted, body: bytes) -> None:
    with pytest.raises((SignatureRefused, InvalidMessage)):
        await hosted.take(body)
    assert [each for each in (await hosted.shop.inbox.list()).items if each.signature_valid] == []


async def test_either_of_two_gateways_may_sign(hosted: Hosted) -> None:
    await hosted.gateway(
        "stripe-2",
        {"secret_key": "sk_test_2", "webhook_secret": "whsec_2", "test_endpoint": hosted.home.url},
        GatewayKind.STRIPE,
    )
    order, _, page = await hosted.opened("stripe")
    body = event("checkout.session.completed", hosted.home.stripe_pays(page.session_id))
    await hosted.shop.gateways.deactivate(gateway_id="stripe-2")  # its messages still count
    taken = await hosted.take(body, signed(body, secret="whsec_2"))
    assert taken.id is not None and await hosted.handled(taken.id) == "completed"
    assert (await hosted.shop.inbox.get(message_id=taken.id)).verified_by == "gateway:stripe-2"
    assert await hosted.paid(order) == paid_once()


@pytest.mark.parametrize(("saved", "signer"), [(True, None), (False, None), (False, "stripe-2")])
async def test_a_secret_that_is_not_the_gateways_completes_no_payment(
    hosted: Hosted, saved: bool, signer: str | None
) -> None:
    """Neither that of a plain source, nor, of a session that we do not know, that of another gateway."""
    order, _, page = await hosted.opened("stripe")
    about = hosted.home.stripe_pays(page.session_id)
    if not saved:
        about = {**about, "id": "cs_made_up"}
    said = read_event(json.loads(event("checkout.session.completed", about)))
    taken = await hosted.shop.hosted_payments.stripe_event(event=said, gateway_id=signer)
    assert (taken.outcome, taken.payment_id) == ("unmatched", None)
    assert await hosted.paid(order) == UNPAID


async def test_a_shop_without_a_gateway_takes_no_message(room: Storeroom) -> None:
    bare = await open_shop(room)
    body = event("checkout.session.completed", {"id": "cs_1", "mode": "payment"})
    with pytest.raises(GatewayNotFound):
        await bare.inbound.receive(source="stripe", body=body, headers={"Stripe-Signature": signed(body)})
    assert (await bare.inbox.list()).items == []


@pytest.mark.parametrize(
    ("kind", "about", "outcome"),
    [
        ("customer.created", {"id": "cus_1"}, "ignored"),
        ("charge.succeeded", {"id": "ch_1", "payment_intent": "pi_1"}, "ignored"),
        ("charge.refunded", {"id": "ch_1", "payment_intent": None}, "unmatched"),
        ("charge.dispute.created", {"id": "dp_1"}, "unmatched"),
        ("checkout.session.completed", {"id": "cs_1", "mode": "subscription"}, "ignored"),
        ("checkout.session.completed", {"id": "cs_1", "mode": "payment"}, "unmatched"),
        ("checkout.session.completed", {"id": "cs_1", "mode": "payment", "metadata": {"payment_id": "x"}}, "unmatched"),
        ("checkout.session.completed", {"id": "cs_1", "mode": "payment", "metadata": "x"}, "unmatched"),
    ],
)
async def test_what_concerns_no_payment_is_recorded_and_left(
    hosted: Hosted, kind: str, about: dict[str, Any], outcome: str
) -> None:
    assert await hosted.tell(kind, about) == outcome
    assert await hosted.audited("hosted.event") == 1
    assert (await hosted.shop.hosted_sessions.list()).items == []


@pytest.mark.parametrize("kind", ["charge.refunded", "charge.dispute.created"])
async def test_what_comes_before_its_payment_is_tried_again_and_left_in_the_end(hosted: Hosted, kind: str) -> None:
    about = {"id": "x_1", "payment_intent": "pi_1", "amount": 5, "amount_refunded": 5, "currency": "usd"}
    taken = await hosted.take(event(kind, about))
    assert taken.id is not None
    processor = InboxProcessor(hosted.shop.context.db, handlers=HANDLERS, tenants=hosted.shop.context.tenants)  # type: ignore[arg-type]
    again = "UPDATE {webhooks_inbox} SET next_attempt_at = now(), attempts = max_attempts - $2 WHERE tenant_id = $1"
    for left in (15, 1):
        await hosted.run(again, left)
        assert await processor.process_next(hosted.shop.tenant_id)
        kept = await hosted.shop.inbox.get(message_id=taken.id)
        assert kept.status is (InboxStatus.SKIPPED if left == 1 else InboxStatus.PENDING)
    assert (kept.attempts, kept.result, await hosted.audited("hosted.event")) == (15, {"outcome": "unmatched"}, 1)


async def test_a_session_of_another_shop_is_nobodys_here(hosted: Hosted, room: Storeroom, home: StandIn) -> None:
    """Two shops with one Stripe account: the other's message, rightly signed, moves nothing of ours."""
    other = await opened(room, await open_shop(room), home)
    order, _, page = await other.opened("stripe")
    about = home.stripe_pays(page.session_id)
    assert await hosted.tell("checkout.session.completed", about) == "unmatched"
    stolen = {**about, "metadata": {**about["metadata"], "tenant_id": hosted.shop.tenant_id}}
    assert await hosted.tell("checkout.session.completed", stolen) == "unmatched"
    assert await other.paid(order) == UNPAID


# --- What Stripe tells afterwards: refunds and disputes ----------------------------------------------------------------


async def charged(hosted: Hosted) -> tuple[PlacedOrder, dict[str, Any]]:
    """A paid order, and its charge as Stripe tells of it."""
    order, _, page = await hosted.opened("stripe")
    about = hosted.home.stripe_pays(page.session_id)
    await hosted.tell("checkout.session.completed", about)
    return order, {
        "id": f"ch_{page.session_id[-8:]}",
        "object": "charge",
        "amount": 10_000,
        "amount_refunded": 0,
        "currency": "usd",
        "payment_intent": about["payment_intent"],
    }


async def refunded(hosted: Hosted, order: PlacedOrder) -> tuple[str, int, list[int]]:
    """The order's status, what is left of its money, and its completed refunds."""
    status, left, _ = await hosted.paid(order)
    refunds = await hosted.shop.refunds.for_order(order_id=order.id)
    return status, left, [each.amount.amount for each in refunds if each.status == "completed"]


async def test_a_refund_made_at_stripe_is_followed_once(hosted: Hosted) -> None:
    order, charge = await charged(hosted)
    some, all_of_it = {**charge, "amount_refunded": 4_000}, {**charge, "amount_refunded": 10_000, "refunded": True}
    assert await asyncio.gather(*(hosted.tell("charge.refunded", some) for _ in range(4))) == ["refunded"] * 4
    assert await refunded(hosted, order) == ("partially_refunded", 6_000, [4_000])
    await hosted.tell("charge.refunded", all_of_it)
    await hosted.tell("charge.refunded", some)  # late
    assert await refunded(hosted, order) == ("refunded", 0, [4_000, 6_000])


async def test_a_refund_that_staff_had_asked_for_is_that_one(hosted: Hosted, shop: Shop) -> None:
    order, charge = await charged(hosted)
    (payment,) = await shop.payments.for_order(order_id=order.id)
    asked = await shop.refunds.request(payment_id=payment.id, amount=usd(3_000), reason="damaged")
    await hosted.tell("charge.refunded", {**charge, "amount_refunded": 3_000})
    assert await refunded(hosted, order) == ("partially_refunded", 7_000, [3_000])
    assert [each.id for each in await shop.refunds.for_order(order_id=order.id)] == [asked.id]


async def test_a_refund_at_stripe_after_one_by_another_way_is_followed(hosted: Hosted, shop: Shop) -> None:
    """Stripe's sum is of what went back through Stripe; store credit, a check and a chargeback are none of it."""
    order, charge = await charged(hosted)
    (payment,) = await shop.payments.for_order(order_id=order.id)
    for method, amount in ((RefundMethod.CHECK, 2_000), (RefundMethod.BANK_TRANSFER, 1_000)):
        asked = await shop.refunds.request(payment_id=payment.id, amount=usd(amount), reason="damaged")
        await shop.refunding.complete(refund_id=asked.id, method=method)
    lost = {
        "id": "dp_1",
        "amount": 500,
        "currency": "usd",
        "payment_intent": charge["payment_intent"],
        "status": "lost",
    }
    await hosted.tell("charge.dispute.closed", lost)
    some = {**charge, "amount_refunded": 2_000}
    assert [await hosted.tell("charge.refunded", some) for _ in range(2)] == ["refunded"] * 2
    assert await refunded(hosted, order) == ("partially_refunded", 4_500, [2_000, 1_000, 500, 2_000])
    await hosted.tell("charge.refunded", {**charge, "amount_refunded": 2_500})
    assert await refunded(hosted, order) == ("partially_refunded", 4_000, [2_000, 1_000, 500, 2_000, 500])
    assert await hosted.told("payment.mismatch") == 0


async def test_more_back_at_stripe_than_is_left_is_told_to_staff(hosted: Hosted, shop: Shop) -> None:
    """Given back twice: nothing makes more of it than the payment brought, and nobody has to notice by chance."""
    order, charge = await charged(hosted)
    (payment,) = await shop.payments.for_order(order_id=order.id)
    asked = await shop.refunds.request(payment_id=payment.id, amount=usd(8_000), reason="damaged")
    await shop.refunding.complete(refund_id=asked.id, method=RefundMethod.CHECK)
    assert await hosted.tell("charge.refunded", {**charge, "amount_refunded": 5_000}) == "mismatch"
    assert await refunded(hosted, order) == ("refunded", 0, [8_000, 2_000])
    assert (await hosted.told("payment.mismatch"), await hosted.audited("hosted.mismatch")) == (1, 1)
    assert await hosted.tell("charge.refunded", {**charge, "amount_refunded": 5_000}) == "mismatch"
    assert await refunded(hosted, order) == ("refunded", 0, [8_000, 2_000])


async def undecided(hosted: Hosted, shop: Shop) -> tuple[PlacedOrder, Refund, InboxId, InboxProcessor]:
    """A paid order with a pending refund of 30.00, and Stripe's message that 20.00 went back, tried once."""
    order, charge = await charged(hosted)
    (payment,) = await shop.payments.for_order(order_id=order.id)
    asked = await shop.refunds.request(payment_id=payment.id, amount=usd(3_000), reason="damaged")
    taken = await hosted.take(event("charge.refunded", {**charge, "amount_refunded": 2_000}))
    processor = InboxProcessor(hosted.shop.context.db, handlers=HANDLERS, tenants=hosted.shop.context.tenants)  # type: ignore[arg-type]
    assert taken.id is not None and await processor.process_next(hosted.shop.tenant_id)
    kept = await hosted.shop.inbox.get(message_id=taken.id)
    assert kept.status is InboxStatus.PENDING and "refunds.undecided" in str(kept.error_message)
    assert await refunded(hosted, order) == ("payment_received", 10_000, [])
    return order, asked, taken.id, processor


async def test_a_refund_of_another_amount_than_staff_asked_for_waits_for_them(hosted: Hosted, shop: Shop) -> None:
    """Whether it is theirs, a machine cannot say; once they have decided theirs, Stripe's is recorded."""
    order, asked, message, processor = await undecided(hosted, shop)
    await shop.refunding.complete(refund_id=asked.id, method=RefundMethod.CHECK)
    await hosted.run("UPDATE {webhooks_inbox} SET next_attempt_at = now() WHERE tenant_id = $1")
    assert await processor.process_next(hosted.shop.tenant_id)
    kept = await hosted.shop.inbox.get(message_id=message)
    assert (kept.status, kept.result) == (InboxStatus.COMPLETED, {"outcome": "refunded"})
    assert await refunded(hosted, order) == ("partially_refunded", 5_000, [3_000, 2_000])


async def test_a_refund_that_staff_never_decide_is_told_to_them(hosted: Hosted, shop: Shop) -> None:
    order, _, message, processor = await undecided(hosted, shop)
    assert await hosted.told("payment.mismatch") == 0
    await hosted.run(
        "UPDATE {webhooks_inbox} SET next_attempt_at = now(), attempts = max_attempts - 1 WHERE tenant_id = $1"
    )
    assert await processor.process_next(hosted.shop.tenant_id)
    kept = await hosted.shop.inbox.get(message_id=message)
    assert (kept.status, kept.result) == (InboxStatus.SKIPPED, {"outcome": "undecided"})
    assert await refunded(hosted, order) == ("payment_received", 10_000, [])
    assert (await hosted.told("payment.mismatch"), await hosted.audited("hosted.mismatch")) == (1, 1)


@pytest.mark.parametrize(
    ("said", "status", "left"),
    [("won", "payment_received", 10_000), ("warning_closed", "payment_received", 10_000), ("lost", "refunded", 0)],
)
async def test_a_dispute_is_recorded_and_ends_as_the_bank_says(
    hosted: Hosted, said: str, status: str, left: int
) -> None:
    order, charge = await charged(hosted)
    dispute = {
        "id": "dp_1",
        "object": "dispute",
        "amount": 10_000,
        "charge": charge["id"],
        "currency": "usd",
        "payment_intent": charge["payment_intent"],
        "reason": "product_not_received",
        "status": "needs_response",
        "created": 1_760_000_000,
    }
    for _ in range(2):
        assert await hosted.tell("charge.dispute.created", dispute) == "disputed"
    (opened,) = (await hosted.shop.disputes.list()).items
    assert (opened.provider_dispute_id, opened.amount, opened.reason) == ("dp_1", usd(10_000), "product_not_received")
    for _ in range(2):
        assert await hosted.tell("charge.dispute.closed", {**dispute, "status": said}) == "disputed"
    await hosted.tell("charge.dispute.created", dispute)  # late
    (closed,) = (await hosted.shop.disputes.list()).items
    assert closed.status == ("lost" if said == "lost" else "won")
    assert (await refunded(hosted, order))[:2] == (status, left)


async def test_a_dispute_that_is_told_of_only_when_it_is_lost(hosted: Hosted) -> None:
    order, charge = await charged(hosted)
    lost = {
        "id": "dp_1",
        "amount": 12_000,
        "currency": "usd",
        "payment_intent": charge["payment_intent"],
        "status": "lost",
    }
    assert await hosted.tell("charge.dispute.closed", lost) == "disputed"
    assert (await refunded(hosted, order))[:2] == ("refunded", 0)


# --- The buyer's return from Mastercard's gateway ---------------------------------------------------------------------


@pytest.mark.requirement("RED-MPGS-03", "RED-MPGS-09")
async def test_the_return_pays_once_what_the_gateway_says_has_come(hosted: Hosted) -> None:
    order, payment, page = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    done = await asyncio.gather(
        *(hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS) for _ in range(5))
    )
    assert {each.payment_status for each in done} == {MpgsStatus.CAPTURED}
    kept = await hosted.shop.mpgs_transactions.find(session_id=page.session_id)
    assert (kept.received, kept.card_last4, kept.authorization_code) == (usd(10_000), "2346", "028442")
    assert kept.raw_response is not None and kept.raw_response["status"] == "CAPTURED"
    assert await hosted.paid(order) == paid_once()
    assert await hosted.told("payment.completed") == 1
    asked = len(hosted.home.asked)
    await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    assert len(hosted.home.asked) == asked, "who is paid is not asked about again"


@pytest.mark.requirement("RED-MPGS-03")
async def test_a_made_up_return_pays_nothing_and_asks_nobody(hosted: Hosted) -> None:
    order, payment, _ = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    for wrong in ("", "8b1f6a6e6b0d4c58", "x" * 5_000):
        with pytest.raises(IndicatorRefused):
            await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=wrong)
    assert [each.method for each in hosted.home.asked] == ["POST"]
    assert await hosted.paid(order) == UNPAID
    assert await hosted.audited("hosted.confirm") == 3


async def test_an_amount_that_differs_is_what_came(hosted: Hosted) -> None:
    order, payment, _ = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "CAPTURED", captured="99.99")
    done = await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    assert done.failure_reason == "asked 100.00 USD, received 99.99 USD"
    assert await hosted.paid(order) == ("pending_payment", 9_999, [("completed", 9_999)])


async def test_where_the_gateway_is_down_the_indicator_is_its_word(hosted: Hosted) -> None:
    order, payment, _ = await hosted.opened("mpgs")
    await hosted.goes_down("mpgs")
    done = await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    assert (done.payment_status, done.received) == (MpgsStatus.CAPTURED, usd(10_000))
    assert await hosted.paid(order) == paid_once()


async def test_who_was_never_sent_there_does_not_come_back(hosted: Hosted) -> None:
    _, payment = await hosted.order(code="mpgs")
    with pytest.raises(TransactionNotFound):
        await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    with pytest.raises(PaymentNotFound):
        await hosted.shop.hosted_payments.returned(reference="PAY-X", result_indicator=SUCCESS)


# --- Asking -----------------------------------------------------------------------------------------------------------


async def test_staff_ask_stripe_and_take_its_word(hosted: Hosted) -> None:
    order, _, page = await hosted.opened("stripe")
    ask = hosted.shop.hosted_payments.refresh_session
    assert (await ask(session_id=page.session_id)).status is S.PENDING
    hosted.home.stripe_pays(page.session_id)
    assert (await ask(session_id=page.session_id)).status is S.COMPLETED
    assert await hosted.paid(order) == paid_once()
    order, _, page = await hosted.opened("stripe")
    hosted.home.sessions[page.session_id]["status"] = "expired"
    assert (await ask(session_id=page.session_id)).status is S.EXPIRED
    assert await hosted.paid(order) == ("pending_payment", 0, [("expired", None)])
    with pytest.raises(HostedSessionNotFound):
        await ask(session_id="cs_unknown")


async def age(hosted: Hosted, table: str, by: timedelta) -> None:
    columns = ", ".join(f"{each} = {each} - $2::interval" for each in ("created_at", "expires_at"))
    await hosted.run(f"UPDATE {{{table}}} SET {columns} WHERE tenant_id = $1", by)


async def poll(hosted: Hosted) -> None:
    """As the worker does."""
    room = hosted.room
    assert room.token_keys is not None
    await poll_hosted(room.db, keys=room.token_keys, courier=room.courier, limit=POLLED_MAX)


async def test_what_nobody_told_is_asked(alone: Hosted) -> None:
    paid, payment, _ = await alone.opened("mpgs")
    alone.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    by_card, _, page = await alone.opened("stripe")
    alone.home.stripe_pays(page.session_id)
    asked = len(alone.home.asked)
    await poll(alone)
    assert len(alone.home.asked) == asked, "too soon: the return and the message are still on their way"
    await age(alone, "mpgs_transactions", timedelta(minutes=3))
    await age(alone, "stripe_sessions", timedelta(minutes=16))
    await asyncio.gather(*(poll(alone) for _ in range(3)))
    assert len(alone.home.asked) == asked + 2, "each was asked about once"
    for order in (paid, by_card):
        assert await alone.paid(order) == paid_once()


async def test_who_never_paid_is_expired(alone: Hosted) -> None:
    left, payment, _ = await alone.opened("mpgs")
    started, other, _ = await alone.opened("mpgs")
    alone.home.mpgs_says(other.id.hex, "AUTHENTICATION_INITIATED")
    by_card, _, page = await alone.opened("stripe")
    alone.home.sessions[page.session_id]["status"] = "expired"
    await age(alone, "mpgs_transactions", timedelta(minutes=5))
    await poll(alone)
    found = {each.payment_id: each.payment_status for each in (await alone.shop.mpgs_transactions.list()).items}
    assert found == {payment.id: MpgsStatus.INITIATED, other.id: MpgsStatus.PENDING}
    await alone.run("UPDATE {mpgs_transactions} SET polled_at = NULL WHERE tenant_id = $1")
    await age(alone, "mpgs_transactions", timedelta(hours=1, minutes=6))
    await age(alone, "stripe_sessions", timedelta(hours=25))
    await poll(alone)
    found = {each.payment_id: each.payment_status for each in (await alone.shop.mpgs_transactions.list()).items}
    assert found == {payment.id: MpgsStatus.EXPIRED, other.id: MpgsStatus.EXPIRED}
    assert (await alone.session(page)).status is S.EXPIRED
    assert await alone.paid(left) == await alone.paid(by_card) == ("pending_payment", 0, [("expired", None)])
    assert await alone.paid(started) == ("pending_payment", 0, [("failed", None)]), "it had begun"


async def asked_again(hosted: Hosted, by: timedelta) -> None:
    """The worker, after so much time."""
    await hosted.run("UPDATE {mpgs_transactions} SET polled_at = NULL WHERE tenant_id = $1")
    await age(hosted, "mpgs_transactions", by)
    await poll(hosted)


async def test_after_a_declined_card_the_buyer_may_pay_with_another(alone: Hosted) -> None:
    """The worker asks between the two cards, and the buyer closes the browser after the second."""
    order, payment, page = await alone.opened("mpgs")
    alone.home.mpgs_says(payment.id.hex, "FAILED")
    await asked_again(alone, timedelta(minutes=3))
    tried = await alone.shop.mpgs_transactions.find(session_id=page.session_id)
    assert (tried.payment_status, tried.gateway_code) == (MpgsStatus.INITIATED, "DECLINED")
    assert await alone.paid(order) == UNPAID
    assert (await alone.start(payment)).session_id == page.session_id
    alone.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    await asked_again(alone, timedelta(minutes=5))
    assert await alone.paid(order) == paid_once()


async def test_who_was_declined_and_did_not_pay_has_failed_in_the_end(alone: Hosted) -> None:
    order, payment, page = await alone.opened("mpgs")
    alone.home.mpgs_says(payment.id.hex, "FAILED")
    await asked_again(alone, timedelta(minutes=3))
    await asked_again(alone, timedelta(hours=1, minutes=8))
    ended = await alone.shop.mpgs_transactions.find(session_id=page.session_id)
    assert (ended.payment_status, ended.failure_reason) == (MpgsStatus.FAILED, "DECLINED")
    assert await alone.paid(order) == ("pending_payment", 0, [("failed", None)])


# --- What went back at Mastercard's gateway ---------------------------------------------------------------------------


async def test_a_refund_at_the_gateway_is_followed_when_it_is_asked(hosted: Hosted, shop: Shop) -> None:
    """The sum so far, as with Stripe: a check in between is none of it, and what is known is not counted twice."""
    order, payment, page = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    made = await hosted.shop.mpgs_transactions.find(session_id=page.session_id)

    async def said(status: str, back: str) -> MpgsStatus:
        hosted.home.mpgs_says(payment.id.hex, status, captured="100.00", totalRefundedAmount=Number(back))
        return (await hosted.shop.hosted_payments.refresh_transaction(transaction_id=made.id)).payment_status

    assert [await said("PARTIALLY_REFUNDED", "30.00") for _ in range(2)] == [MpgsStatus.CAPTURED] * 2
    assert await refunded(hosted, order) == ("partially_refunded", 7_000, [3_000])
    asked = await shop.refunds.request(payment_id=payment.id, amount=usd(2_000), reason="damaged")
    await shop.refunding.complete(refund_id=asked.id, method=RefundMethod.CHECK)
    await said("PARTIALLY_REFUNDED", "80.00")
    assert await refunded(hosted, order) == ("refunded", 0, [3_000, 2_000, 5_000])
    assert await hosted.told("payment.mismatch") == 0
    assert await said("REFUNDED", "100.00") is MpgsStatus.REFUNDED
    assert await refunded(hosted, order) == ("refunded", 0, [3_000, 2_000, 5_000])
    assert await hosted.told("payment.mismatch") == 1


async def test_paid_and_given_back_before_anybody_asked(alone: Hosted) -> None:
    """The payment has both, and nobody asks for ever."""
    order, payment, page = await alone.opened("mpgs")
    alone.home.mpgs_says(payment.id.hex, "REFUNDED", captured="100.00", totalRefundedAmount=Number("100.00"))
    await asked_again(alone, timedelta(minutes=3))
    made = await alone.shop.mpgs_transactions.find(session_id=page.session_id)
    assert (made.payment_status, made.received, made.settled_payment_id) == (
        MpgsStatus.REFUNDED,
        usd(10_000),
        payment.id,
    )
    assert await refunded(alone, order) == ("refunded", 0, [10_000])
    assert (await alone.paid(order))[2] == [("refunded", 10_000)]
    asked = len(alone.home.asked)
    await asked_again(alone, timedelta(minutes=6))
    assert len(alone.home.asked) == asked


async def test_a_return_that_comes_after_some_went_back_brings_both(hosted: Hosted) -> None:
    order, payment, _ = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "PARTIALLY_REFUNDED", captured="100.00", totalRefundedAmount=Number("40.00"))
    await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)
    assert await refunded(hosted, order) == ("partially_refunded", 6_000, [4_000])


async def test_one_that_cannot_be_asked_keeps_nobody_waiting(alone: Hosted) -> None:
    _, payment, _ = await alone.opened("mpgs")
    order, _, page = await alone.opened("stripe")
    alone.home.stripe_pays(page.session_id)
    await alone.goes_down("mpgs")
    await age(alone, "mpgs_transactions", timedelta(minutes=3))
    await age(alone, "stripe_sessions", timedelta(minutes=16))
    await poll(alone)
    assert await alone.paid(order) == paid_once()
    transaction = await alone.shop.mpgs_transactions.of_payment(payment_id=payment.id)
    assert transaction is not None and transaction.payment_status is MpgsStatus.INITIATED


async def test_no_secret_of_a_gateway_is_in_any_table_or_text(hosted: Hosted, caplog: pytest.LogCaptureFixture) -> None:
    _, payment, _ = await hosted.opened("mpgs")
    await hosted.opened("stripe")
    for wrong in ("x", ""):
        with pytest.raises(IndicatorRefused):
            await hosted.shop.hosted_payments.returned(reference=payment.reference, result_indicator=wrong)
    text = await hosted.all_text() + caplog.text
    for secret in (STRIPE_KEY, WEBHOOK_SECRET, PASSWORD):
        assert secret not in text
    config = await hosted.shop.gateways.config(gateway_id="stripe")
    assert STRIPE_KEY not in repr(HostedPayments(hosted.shop.context)) + repr(config)


# --- A connection that is cut -----------------------------------------------------------------------------------------


async def cut(hosted: Hosted, dsn: str, table: str, work: Awaitable[Any]) -> None:
    """The server ends the connection while the work waits for a table in the middle of it; nothing of it is left."""
    before = await hosted.all_text()
    outcome = await cut_at(dsn, hosted.shop.context.db, table, lambda: work)
    assert isinstance(outcome, DatabaseUnavailable), outcome
    assert await hosted.all_text() == before


@pytest.mark.parametrize("table", ["payments", "orders", "order_status_history", "webhook_queue", "stripe_sessions"])
async def test_a_cut_at_stripes_completion_leaves_nothing_and_the_next_try_does_it_all(
    hosted: Hosted, dsn: str, table: str
) -> None:
    """The payment, its order and the session are one; so is what went back."""
    order, _, page = await hosted.opened("stripe")
    about = hosted.home.stripe_pays(page.session_id)
    paid = read_event(json.loads(event("checkout.session.completed", about)))
    take = hosted.shop.hosted_payments.stripe_event
    await cut(hosted, dsn, table, take(event=paid, gateway_id="stripe"))
    for _ in range(2):
        assert (await take(event=paid, gateway_id="stripe")).outcome == "completed"
    assert await hosted.paid(order) == paid_once()
    assert (await hosted.session(page)).status is S.COMPLETED
    assert await hosted.told("payment.completed") == 1
    charge = {"id": "ch_1", "payment_intent": about["payment_intent"], "currency": "usd", "amount_refunded": 4_000}
    back = read_event(json.loads(event("charge.refunded", charge)))
    await cut(hosted, dsn, table.replace("stripe_sessions", "refunds"), take(event=back, gateway_id="stripe"))
    for _ in range(2):
        assert (await take(event=back, gateway_id="stripe")).outcome == "refunded"
    assert await refunded(hosted, order) == ("partially_refunded", 6_000, [4_000])


@pytest.mark.parametrize("table", ["payments", "orders", "order_status_history", "webhook_queue", "mpgs_transactions"])
@pytest.mark.parametrize("asked", [False, True])
async def test_a_cut_at_the_gateways_confirmation_leaves_nothing_and_the_next_try_does_it_all(
    hosted: Hosted, dsn: str, table: str, asked: bool
) -> None:
    """By the buyer's return, and by asking."""
    order, payment, page = await hosted.opened("mpgs")
    hosted.home.mpgs_says(payment.id.hex, "CAPTURED", captured="100.00")
    made = await hosted.shop.mpgs_transactions.find(session_id=page.session_id)

    def told() -> Awaitable[Any]:
        hosted_payments = hosted.shop.hosted_payments
        if asked:
            return hosted_payments.refresh_transaction(transaction_id=made.id)
        return hosted_payments.returned(reference=payment.reference, result_indicator=SUCCESS)

    await cut(hosted, dsn, table, told())
    for _ in range(2):
        assert (await told()).payment_status is MpgsStatus.CAPTURED
    assert await hosted.paid(order) == paid_once()
    assert await hosted.told("payment.completed") == 1
