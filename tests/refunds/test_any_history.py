"""Whatever happens to an order's money, what the order says is what the rows say."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refund_desk import Desk, usd
from storeroom.core.ids import OrderId
from storeroom.core.money import Money
from storeroom.orders import OrderMoveRefused, OrderStatus
from storeroom.payments import PaymentStatus
from storeroom.refunds import PaymentNotRefundable, RefundExceedsPayment, RefundMethod, RefundStatus

TOTAL = 10_000
# What somebody does next, and a number that says with which of several, and how much.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["receive", "request", "request", "complete", "complete", "fail", "cancel", "ship"]),
        st.integers(0, 2**32),
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.requirement("SBB-ORD-08", "SBB-PAY-06", "SBB-REF-02")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_an_order_holds_what_came_less_what_went_back(desk: Desk, steps: list[tuple[str, int]]) -> None:
    buyer = await desk.buyer()
    order, _ = await desk.paid(received=usd(TOTAL // 2), buyer=buyer)
    for step, number in steps:
        await _do(desk, order.id, step, random.Random(number))
        await _agree(desk, order.id)
    assert await desk.faults() == []


async def _do(desk: Desk, order_id: OrderId, step: str, chance: random.Random) -> None:
    shop = desk.shop
    payments = await shop.payments.for_order(order_id=order_id)
    pending = [each for each in await shop.refunds.for_order(order_id=order_id) if each.status is RefundStatus.PENDING]
    if step == "receive":
        await shop.payments.record_received(order_id=order_id, method="zelle", amount=usd(chance.randint(1, TOTAL)))
    elif step == "request":
        payment, amount = chance.choice(payments), usd(chance.randint(1, TOTAL))
        promised = sum(each.amount.amount for each in pending if each.payment_id == payment.id)
        came = payment.received_amount or usd(0)
        fits = amount.amount + promised <= came.amount - payment.refunded_amount.amount
        try:
            await shop.refunds.request(payment_id=payment.id, amount=amount, reason="chance")
            assert fits
        except (RefundExceedsPayment, PaymentNotRefundable):
            assert not fits
    elif step in {"complete", "fail"} and pending:
        refund = chance.choice(pending)
        if step == "complete":
            method = chance.choice([RefundMethod.STORE_CREDIT, RefundMethod.CHECK])
            await shop.refunding.complete(refund_id=refund.id, method=method)
        else:
            await shop.refunds.fail(refund_id=refund.id, reason="chance")
    elif step in {"cancel", "ship"}:
        try:
            if step == "cancel":
                await shop.cancellation.cancel(order_id=order_id, reason="chance")
            else:
                await shop.orders.ship(order_id=order_id)
        except OrderMoveRefused:
            pass


async def _agree(desk: Desk, order_id: OrderId) -> None:
    """The order, its payments and its refunds, each summed up here once more."""
    order = await desk.order(order_id)
    payments = await desk.shop.payments.for_order(order_id=order_id)
    refunds = await desk.shop.refunds.for_order(order_id=order_id)
    for payment in payments:
        back = sum(
            each.amount.amount for each in refunds if (each.payment_id, each.status) == (payment.id, "completed")
        )
        came = (payment.received_amount or usd(0)).amount
        assert payment.refunded_amount == usd(back)
        assert back <= came
        if came:
            expected = (
                PaymentStatus.COMPLETED
                if not back
                else PaymentStatus.PARTIALLY_REFUNDED
                if back < came
                else PaymentStatus.REFUNDED
            )
            assert payment.status is expected
    held = sum((payment.received_amount or usd(0)).amount - payment.refunded_amount.amount for payment in payments)
    assert (order.amount_paid, order.amount_due) == (usd(held), Money(TOTAL - held, "USD"))
    if order.status is OrderStatus.REFUNDED:
        assert any(refund.status is RefundStatus.COMPLETED for refund in refunds)
    if order.status is OrderStatus.PENDING_PAYMENT:
        assert held < TOTAL
