"""Whatever happens to an order's money, what the order says is what the rows say."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from refund_desk import Desk, usd
from storeroom.core.ids import OrderId
from storeroom.core.money import Money
from storeroom.flows.refunding import Followed
from storeroom.orders import Order, OrderMoveRefused, OrderStatus
from storeroom.payments import Payment, PaymentStatus
from storeroom.refunds import PaymentNotRefundable, Refund, RefundExceedsPayment, RefundMethod, RefundStatus

S = OrderStatus
TOTAL = 10_000
_OPEN = frozenset({S.PENDING_PAYMENT, S.PAYMENT_RECEIVED, S.PROCESSING, S.READY_TO_SHIP, S.PARTIALLY_REFUNDED})
NAMES = [
    *("receive", "request", "request", "complete", "complete", "fail", "provider", "provider"),
    *("process", "process", "ship", "cancel"),
]
# What somebody does next, and a number that says with which of several, and how much.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 2**32),
    ),
    min_size=8,
    max_size=20,
)


@pytest.mark.requirement("SBB-ORD-08", "SBB-PAY-06", "SBB-REF-02")
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(received=st.sampled_from([TOTAL // 2, TOTAL, TOTAL + 1]), steps=STEPS)
async def test_an_order_holds_what_came_less_what_went_back(
    desk: Desk, received: int, steps: list[tuple[str, int]]
) -> None:
    buyer = await desk.buyer()
    order, _ = await desk.paid(received=usd(received), buyer=buyer)
    for step, number in steps:
        before = await desk.order(order.id)
        done = await _do(desk, order.id, step, random.Random(number))
        after = await _agree(desk, order.id)
        held = after.amount_paid.amount
        assert after.status is _status(before.status, done, held, shipped=before.shipped_at is not None), (step, done)
    assert await desk.faults() == []


def _status(before: OrderStatus, done: str | None, held: int, *, shipped: bool) -> OrderStatus:
    """Where an order stands after a step, by what it holds; said once more, by hand."""
    final = before in (S.PENDING_PAYMENT, S.CANCELLED, S.REFUNDED)  # for whom money that goes back changes nothing
    match done:
        case "received" if before is S.PENDING_PAYMENT and held >= TOTAL:
            return S.PAYMENT_RECEIVED
        case "refunded" if held < TOTAL and not final:
            return S.PARTIALLY_REFUNDED if held else S.REFUNDED
        case "cancelled":
            assert not shipped and before not in (S.SHIPPED, S.DELIVERED, S.CANCELLED, S.REFUNDED)
            return S.CANCELLED
        case "shipped":
            assert before in (S.PROCESSING, S.PARTIALLY_REFUNDED)
            return S.SHIPPED
        case "processing":
            assert not shipped and before in (S.PAYMENT_RECEIVED, S.PARTIALLY_REFUNDED)
            return S.PROCESSING
    return before


async def _do(desk: Desk, order_id: OrderId, step: str, chance: random.Random) -> str | None:
    """Do it; say what came of it, None: nothing, and nothing should have."""
    shop = desk.shop
    payments = await shop.payments.for_order(order_id=order_id)
    pending = [each for each in await shop.refunds.for_order(order_id=order_id) if each.status is RefundStatus.PENDING]
    if step == "receive":
        await shop.payments.record_received(order_id=order_id, method="zelle", amount=usd(chance.randint(1, TOTAL)))
        return "received"
    if step == "request":
        payment, amount = chance.choice(payments), usd(chance.choice([1, chance.randint(1, TOTAL)]))
        promised = sum(each.amount.amount for each in pending if each.payment_id == payment.id)
        fits = amount.amount + promised <= _left(payment)
        try:
            await shop.refunds.request(payment_id=payment.id, amount=amount, reason="chance")
            assert fits
        except (RefundExceedsPayment, PaymentNotRefundable):
            assert not fits
    elif step in {"complete", "fail"} and pending:
        refund = chance.choice(pending)
        if step == "complete":
            method = chance.choice([RefundMethod.STORE_CREDIT, RefundMethod.CHECK, RefundMethod.ORIGINAL_METHOD])
            await shop.refunding.complete(refund_id=refund.id, method=method)
            return "refunded"
        await shop.refunds.fail(refund_id=refund.id, reason="chance")
    elif step == "provider":
        return await _told_by_provider(desk, chance.choice(payments), chance)
    elif step in {"cancel", "ship", "process"}:
        before = await desk.order(order_id)
        shipped = before.shipped_at is not None
        ways = {
            "cancel": _OPEN if not shipped else frozenset(),
            "ship": frozenset({S.PROCESSING, S.PARTIALLY_REFUNDED}),
            "process": frozenset({S.PAYMENT_RECEIVED, S.PARTIALLY_REFUNDED}) if not shipped else frozenset(),
        }
        try:
            if step == "cancel":
                await shop.cancellation.cancel(order_id=order_id, reason="chance")
            elif step == "ship":
                await shop.orders.ship(order_id=order_id)
            else:
                await shop.orders.move(order_id=order_id, to=S.PROCESSING)
        except OrderMoveRefused:
            assert before.status not in ways[step]
        else:
            assert before.status in ways[step]
            return {"cancel": "cancelled", "ship": "shipped", "process": "processing"}[step]
    return None


async def _told_by_provider(desk: Desk, payment: Payment, chance: random.Random) -> str | None:
    """The running sum of a provider: of refunds by the original method alone, in any order, known or not."""
    known = await desk.shop.refunds.for_payment(payment_id=payment.id)
    through = _through(known)
    back = chance.choice([through, chance.randint(1, TOTAL), through + 1, through + chance.randint(1, TOTAL)])
    pending = [each.amount.amount for each in known if each.status is RefundStatus.PENDING]
    missing, left = back - through, _left(payment)
    if back and pending and chance.random() < 0.5:
        back, missing = through + pending[0], pending[0]
    if missing < 1:
        expected, recorded = Followed.RECORDED, 0
    elif pending:
        expected, recorded = (Followed.RECORDED, missing) if missing in pending else (Followed.UNDECIDED, 0)
    else:
        recorded = min(missing, left)
        expected = Followed.RECORDED if recorded == missing else Followed.MISMATCH
    said = await desk.shop.refunding.follow_provider(
        payment_id=payment.id, back=usd(back), reason="chance", details={"provider": "stripe"}
    )
    assert said is expected
    assert _through(await desk.shop.refunds.for_payment(payment_id=payment.id)) == through + recorded
    return "refunded" if recorded else None


def _left(payment: Payment) -> int:
    return (payment.received_amount or usd(0)).amount - payment.refunded_amount.amount


def _through(refunds: Sequence[Refund]) -> int:
    of_theirs = (RefundStatus.COMPLETED, RefundMethod.ORIGINAL_METHOD)
    return sum(each.amount.amount for each in refunds if (each.status, each.refund_method) == of_theirs)


async def _agree(desk: Desk, order_id: OrderId) -> Order:
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
    if order.status is S.REFUNDED:
        assert any(refund.status is RefundStatus.COMPLETED for refund in refunds)
    if order.status is S.PENDING_PAYMENT:
        assert held < TOTAL
    return order
