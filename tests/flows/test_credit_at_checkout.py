"""Store credit at checkout: it pays what it can, and nothing of it pays twice."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx
import msgspec
import pytest

from factories import HOME, make_method, make_product, place, purchase, usd
from rivals import race
from serving import app_of
from storeroom.core.ids import OrderId, UserId
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Transaction
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.flows.checkout import Checkout
from storeroom.flows.errors import InvalidPurchase, PaymentMethodRefused
from storeroom.flows.model import Placement
from storeroom.identity import Proof
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus
from storeroom.room import Shop, Storeroom


async def ann(shop: Shop, credit: int) -> Visitor:
    user = await shop.acting(actor=SYSTEM).users.create(email=f"{secrets.token_hex(6)}@buyer.example")
    if credit:
        await shop.store_credit.grant(user_id=user.id, amount=usd(credit))
    return Visitor(user_id=user.id)


async def balance(shop: Shop, visitor: Visitor) -> int:
    assert visitor.user_id is not None
    return (await shop.store_credit.balance(user_id=UserId(visitor.user_id))).amount


async def rows(shop: Shop, sql: str, *args: object) -> list[tuple[Any, ...]]:
    db = shop.context.db
    return [tuple(row) for row in await db.fetch(db.names.render(sql), shop.tenant_id, *args)]


async def test_credit_that_covers_the_order_pays_it_at_once(shop: Shop) -> None:
    buyer = await ann(shop, 5000)
    await make_method(shop)
    placed = await place(
        shop, (await make_product(shop, price=1500), 2), visitor=buyer, use_store_credit=True, payment_method="zelle"
    )
    order = await shop.orders.get(order_id=placed.order.id)
    assert (placed.order.paid, placed.order.total, placed.order.payment) == (usd(3000), usd(3000), None)
    assert (order.status, order.amount_paid, order.amount_due) == (OrderStatus.PAYMENT_RECEIVED, usd(3000), usd(0))
    assert order.paid_at is not None
    assert await balance(shop, buyer) == 2000
    (payment,) = await shop.payments.for_order(order_id=placed.order.id)
    method = await shop.payment_methods.get_by_code(code="store-credit")
    assert (payment.status, payment.payment_method_id) == (PaymentStatus.COMPLETED, method.id)
    assert payment.received_amount == usd(3000)
    assert await rows(
        shop,
        "SELECT amount, reason, order_id, payment_id FROM {store_credit_entries} WHERE tenant_id = $1 AND reason = 'spent'",
    ) == [(-3000, "spent", order.id, payment.id)]
    assert [(each.to_status, each.reason) for each in reversed(await shop.orders.history(order_id=order.id))] == [
        (OrderStatus.PENDING_PAYMENT, "placed"),
        (OrderStatus.PAYMENT_RECEIVED, "paid with store credit"),
    ]
    assert await rows(
        shop,
        "SELECT event_type, payload->>'received' FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2",
        payment.id,
    ) == [("payment.completed", "3000")]
    assert await rows(
        shop, "SELECT event_name FROM {events} WHERE tenant_id = $1 AND payment_id IS NOT NULL ORDER BY id"
    ) == [("payment.completed",)]


async def test_credit_that_does_not_reach_leaves_the_rest_to_be_paid(shop: Shop) -> None:
    buyer = await ann(shop, 700)
    await make_method(shop, max_amount=usd(300))
    placed = await place(
        shop, (await make_product(shop), 1), visitor=buyer, use_store_credit=True, payment_method="zelle"
    )
    assert placed.order.status is OrderStatus.PENDING_PAYMENT
    assert placed.order.paid == usd(700)
    assert placed.order.payment is not None
    assert placed.order.payment.amount == usd(300)
    await shop.payments.submit_proof(reference=placed.order.payment.reference, customer_reference="Z-1")
    await shop.payments.verify(payment_id=placed.order.payment.id)
    order = await shop.orders.get(order_id=placed.order.id)
    assert (order.status, order.amount_due) == (OrderStatus.PAYMENT_RECEIVED, usd(0))
    assert await balance(shop, buyer) == 0


async def test_no_more_is_spent_than_was_said_and_nothing_unasked(shop: Shop) -> None:
    buyer, product = await ann(shop, 5000), await make_product(shop)
    assert (await place(shop, (product, 1), visitor=buyer)).order.paid == usd(0)
    assert (await place(shop, (product, 1), visitor=buyer, use_store_credit=usd(250))).order.paid == usd(250)
    assert await balance(shop, buyer) == 4750


async def test_a_coupon_comes_off_before_the_credit(shop: Shop) -> None:
    buyer, product = await ann(shop, 5000), await make_product(shop)
    db = shop.context.db
    await db.execute(
        db.names.render(
            "INSERT INTO {coupons} (tenant_id, id, code, name, discount_type, percentage) "
            "VALUES ($1, gen_random_uuid(), 'HALF', 'Half', 'percentage', 50)"
        ),
        shop.tenant_id,
    )
    placed = await place(shop, (product, 1), visitor=buyer, use_store_credit=True, coupons=["half"])
    assert (placed.order.discount, placed.order.total, placed.order.paid) == (usd(500), usd(500), usd(500))
    assert await balance(shop, buyer) == 4500


async def test_without_an_account_or_with_nothing_in_it(shop: Shop) -> None:
    product = await make_product(shop)
    with pytest.raises(InvalidPurchase, match="sign in"):
        await place(shop, (product, 1), use_store_credit=True)
    buyer = await ann(shop, 0)
    assert (await place(shop, (product, 1), visitor=buyer, use_store_credit=True)).order.paid == usd(0)
    for wrong in (usd(0), usd(-5)):
        with pytest.raises(InvalidPurchase):
            await place(shop, (product, 1), visitor=buyer, use_store_credit=wrong)
    await shop.store_credit.grant(user_id=UserId(buyer.user_id), amount=usd(1))  # type: ignore[arg-type]
    with pytest.raises(PaymentMethodRefused):  # it is no way to pay by name
        await place(shop, (product, 1), visitor=buyer, payment_method="store-credit")


async def test_two_checkouts_who_meet_do_not_spend_it_twice(shop: Shop) -> None:
    buyer = await ann(shop, 1000)
    mine, theirs = await make_product(shop), await make_product(shop)

    async def first(tx: Transaction) -> None:
        placed = await Checkout(shop.context).place_in(
            tx, purchase((mine, 1), use_store_credit=usd(800)), visitor=buyer
        )
        assert placed.order.paid == usd(800)

    async def second() -> Placement:
        return await place(shop, (theirs, 1), visitor=buyer, use_store_credit=True)

    outcome = await race(shop.context.db, first, second)  # type: ignore[arg-type]
    assert isinstance(outcome, Placement), outcome
    assert outcome.order.paid == usd(200)
    assert await balance(shop, buyer) == 0


@pytest.mark.parametrize("grouped", [True, False])
async def test_many_at_once_spend_what_there_is(shop: Shop, grouped: bool) -> None:
    buyer, product = await ann(shop, 2500), await make_product(shop, stock=100)
    checkout = shop.checkout if grouped else Checkout(shop.context)
    placed = await asyncio.gather(
        *(checkout.place(purchase((product, 1), use_store_credit=True), visitor=buyer) for _ in range(8))
    )
    assert sorted(each.order.paid.amount for each in placed) == [0, 0, 0, 0, 0, 500, 1000, 1000]
    assert await balance(shop, buyer) == 0


async def test_a_withdrawal_that_meets_a_checkout_is_not_overdrawn(shop: Shop) -> None:
    buyer, product = await ann(shop, 1000), await make_product(shop)

    async def first(tx: Transaction) -> None:
        staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="ann"))
        await type(staff.store_credit)(staff.context.on(tx)).withdraw(user_id=UserId(buyer.user_id), amount=usd(900))  # type: ignore[arg-type]

    async def second() -> Placement:
        return await place(shop, (product, 1), visitor=buyer, use_store_credit=True)

    outcome = await race(shop.context.db, first, second)  # type: ignore[arg-type]
    assert isinstance(outcome, Placement), outcome
    assert outcome.order.paid == usd(100)
    assert await balance(shop, buyer) == 0


async def test_an_answer_that_is_asked_for_again_spends_once(shop: Shop) -> None:
    buyer, product = await ann(shop, 5000), await make_product(shop)
    asked = purchase((product, 1), use_store_credit=True)
    answers = [await shop.checkout.place(asked, visitor=buyer, idempotency_key="k") for _ in range(2)]
    assert answers[0].order == answers[1].order
    assert await balance(shop, buyer) == 4000
    known = await place(shop, (product, 1), visitor=buyer, use_store_credit=usd(100), source="till", purchase_id="1")
    again = await place(shop, (product, 1), visitor=buyer, source="till", purchase_id="1")
    assert (again.order.paid, again.order.payment) == (usd(100), None)
    assert OrderId(again.order.id) == known.order.id


async def test_a_cancelled_order_gives_its_credit_back_once(shop: Shop) -> None:
    buyer, product = await ann(shop, 1500), await make_product(shop)
    placed = await place(shop, (product, 1), visitor=buyer, use_store_credit=True)
    await asyncio.gather(
        *(shop.cancellation.cancel(order_id=placed.order.id, reason="changed my mind") for _ in range(4)),
        return_exceptions=True,
    )
    assert await balance(shop, buyer) == 1500
    unpaid = await place(shop, (product, 2), visitor=buyer, use_store_credit=True)
    assert unpaid.order.paid == usd(1500)
    await shop.cancellation.cancel(order_id=unpaid.order.id, reason="changed my mind")
    assert await balance(shop, buyer) == 1500
    spent = "SELECT sum(amount)::bigint FROM {store_credit_entries} WHERE tenant_id = $1"
    assert await rows(shop, spent) == [(1500,)]


async def test_over_http_true_spends_what_there_is_and_an_amount_no_more(room: Storeroom, shop: Shop) -> None:
    buyer, product = await ann(shop, 1500), await make_product(shop)
    host = f"{secrets.token_hex(6)}.example"
    await room.tenants.add_host(shop.tenant_id, host)
    started = await shop.sessions.start(proof=Proof(user_id=UserId(buyer.user_id)))  # type: ignore[arg-type]
    body = {
        "lines": [{"variant_id": str(product)}],
        "email": "bo@buyer.example",
        "name": "Bo",
        "shipping_address": msgspec.to_builtins(HOME),
    }
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app_of(room)), base_url=f"http://{host}") as http:

        async def placed(spend: object, **headers: str) -> httpx.Response:
            return await http.post("/v1/checkout", json={**body, "use_store_credit": spend}, headers=headers)

        mine = {"Authorization": f"Bearer {started.access_token}"}
        first = (await placed({"amount": 200, "currency": "USD"}, **mine)).json()["order"]
        second = (await placed(True, **mine)).json()["order"]
        assert [(each["paid"]["amount"], each["status"]) for each in (first, second)] == [
            (200, "pending_payment"),
            (1000, "payment_received"),
        ]
        refused = await placed(True)
        assert (refused.status_code, refused.json()["code"]) == (422, "checkout.invalid")
    assert await balance(shop, buyer) == 300
