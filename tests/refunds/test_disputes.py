"""Disputes: recorded once, and a lost one takes what is left of its payment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from refund_desk import Desk, usd
from rivals import race
from storeroom.core.ids import DisputeId, PaymentId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.database.service import Actor, ActorKind
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentNotFound, PaymentStatus, StaffRequired
from storeroom.refunds import (
    DISPUTE_MOVES,
    Dispute,
    DisputeClosed,
    DisputeNotFound,
    DisputeStatus,
    DisputeTaken,
    InvalidDispute,
    PaymentNotRefundable,
    RefundExceedsPayment,
    RefundMethod,
)

D = DisputeStatus


async def opened(desk: Desk, payment_id: PaymentId, amount: int = 10_000, name: str = "dp_1") -> Dispute:
    return await desk.shop.disputes.open(
        payment_id=payment_id,
        provider="stripe",
        provider_dispute_id=name,
        amount=usd(amount),
        reason="product_not_received",
        opened_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


async def test_a_dispute_is_recorded_once_and_changes_no_sum(desk: Desk) -> None:
    order, payment = await desk.paid()
    before = await desk.row("payments", payment.id), await desk.row("orders", order.id)
    first = await opened(desk, payment.id)
    assert (first.status, first.amount, first.closed_at) == (D.OPEN, usd(10_000), None)
    assert first.opened_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert await opened(desk, payment.id) == first
    assert await desk.told(first.id) == ["dispute.opened"]
    _, other = await desk.paid()
    with pytest.raises(DisputeTaken):
        await opened(desk, other.id)
    won = await desk.shop.disputes.won(dispute_id=first.id)
    assert (won.status, won.refund_id) == (D.WON, None)
    assert won.closed_at is not None
    assert (await desk.row("payments", payment.id), await desk.row("orders", order.id)) == before
    for close in (desk.shop.disputes.won, desk.shop.disputes.lost):
        with pytest.raises(DisputeClosed):
            await close(dispute_id=first.id)
    assert await opened(desk, payment.id) == won, "told of again it is as it is now"
    assert await desk.told(first.id) == ["dispute.opened", "dispute.closed"]
    assert {state: set(targets) for state, targets in DISPUTE_MOVES.items()} == {
        D.OPEN: {D.WON, D.LOST},
        D.WON: set(),
        D.LOST: set(),
    }
    assert await desk.faults() == []


async def test_a_lost_dispute_takes_the_money(desk: Desk) -> None:
    order, payment = await desk.paid()
    dispute = await opened(desk, payment.id, 4_000)
    lost = await desk.shop.disputes.lost(dispute_id=dispute.id)
    (refund,) = await desk.shop.refunds.for_payment(payment_id=payment.id)
    assert (lost.status, lost.refund_id) == (D.LOST, refund.id)
    assert (refund.amount, refund.refund_method) == (usd(4_000), RefundMethod.CHARGEBACK)
    assert refund.refund_details == {"provider": "stripe", "dispute": "dp_1"}
    assert (await desk.payment(payment.id)).status is PaymentStatus.PARTIALLY_REFUNDED
    after = await desk.order(order.id)
    assert (after.status, after.amount_paid) == (OrderStatus.PARTIALLY_REFUNDED, usd(6_000))
    assert await desk.told(refund.id) == ["refund.completed"]
    assert await desk.faults() == []


async def test_it_takes_no_more_than_is_left_and_past_every_promise(desk: Desk) -> None:
    order, payment = await desk.paid()
    back = await desk.shop.refunds.request(payment_id=payment.id, amount=usd(7_000), reason="damaged")
    await desk.shop.refunding.complete(refund_id=back.id, method=RefundMethod.CHECK)
    promised = await desk.shop.refunds.request(payment_id=payment.id, amount=usd(3_000), reason="damaged")
    lost = await desk.shop.disputes.lost(dispute_id=(await opened(desk, payment.id)).id)
    assert lost.refund_id is not None
    assert (await desk.shop.refunds.get(refund_id=lost.refund_id)).amount == usd(3_000)
    assert (await desk.order(order.id)).status is OrderStatus.REFUNDED
    with pytest.raises(RefundExceedsPayment):
        await desk.shop.refunding.complete(refund_id=promised.id, method=RefundMethod.CHECK)
    await desk.shop.refunds.fail(refund_id=promised.id, reason="the bank was faster")
    second = await opened(desk, payment.id, name="dp_2")
    nothing = await desk.shop.disputes.lost(dispute_id=second.id)
    assert (nothing.status, nothing.refund_id) == (D.LOST, None)
    assert await desk.faults() == []


async def test_of_two_who_close_it_at_once_one_does(desk: Desk) -> None:
    _, payment = await desk.paid()
    dispute = await opened(desk, payment.id)
    outcome = await race(
        desk.db,
        lambda tx: desk.shop.disputes.bound(tx).lost(dispute_id=dispute.id),
        lambda: desk.shop.disputes.lost(dispute_id=dispute.id),
    )
    assert isinstance(outcome, DisputeClosed)
    assert len(await desk.shop.refunds.for_payment(payment_id=payment.id)) == 1


async def test_what_cannot_be_is_refused(desk: Desk) -> None:
    _, payment = await desk.paid()
    disputes = desk.shop.disputes
    asked = {"payment_id": payment.id, "provider": "stripe", "provider_dispute_id": "dp_1", "reason": "fraud"}
    for facts, refusal in (
        ({"amount": usd(0)}, InvalidDispute),
        ({"amount": usd(10_001)}, InvalidDispute),
        ({"amount": Money(1, "EUR")}, CurrencyMismatch),
        ({"amount": usd(1), "provider": " "}, InvalidDispute),
        ({"amount": usd(1), "provider_dispute_id": "x" * 256}, InvalidDispute),
        ({"amount": usd(1), "reason": ""}, InvalidDispute),
        ({"amount": usd(1), "payment_id": PaymentId(new_id())}, PaymentNotFound),
    ):
        with pytest.raises(refusal):
            await disputes.open(**{**asked, **facts})  # type: ignore[arg-type]
    await desk.run(
        "UPDATE {payments} SET status = 'pending', received_amount = NULL, completed_at = NULL WHERE tenant_id = $1"
    )
    with pytest.raises(PaymentNotRefundable):
        await opened(desk, payment.id)
    for close in (disputes.won, disputes.lost, disputes.get):
        with pytest.raises(DisputeNotFound):
            await close(dispute_id=DisputeId(new_id()))
    customer = desk.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER)).disputes
    with pytest.raises(StaffRequired):
        await customer.open(**asked, amount=usd(1))  # type: ignore[arg-type]
    with pytest.raises(StaffRequired):
        await customer.lost(dispute_id=DisputeId(new_id()))
    assert (await disputes.list()).items == []


async def test_disputes_are_listed_newest_first(desk: Desk) -> None:
    _, payment = await desk.paid()
    made = [await opened(desk, payment.id, 10, f"dp_{n}") for n in range(3)]
    await desk.shop.disputes.won(dispute_id=made[1].id)
    page = await desk.shop.disputes.list(limit=2)
    rest = await desk.shop.disputes.list(limit=2, cursor=page.next_cursor)
    assert [each.id for each in [*page.items, *rest.items]] == [each.id for each in reversed(made)]
    assert [each.id for each in (await desk.shop.disputes.list(status=D.OPEN)).items] == [made[2].id, made[0].id]
    assert [each.id for each in await desk.shop.disputes.for_payment(payment_id=payment.id)] == [e.id for e in made]
