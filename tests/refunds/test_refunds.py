"""Money goes back: what is refused, what follows, and that it is never more than came."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from factories import make_product, place
from refund_desk import Desk, usd
from rivals import cut_at, race
from storeroom.catalog import StockPolicy
from storeroom.core.ids import OrderLineId, PaymentId, RefundId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.visitor import Visitor
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentNotFound, PaymentStatus, StaffRequired
from storeroom.refunds import (
    REFUND_MOVES,
    CreditNeedsAccount,
    InvalidRefund,
    ItemToRefund,
    PaymentNotRefundable,
    Refund,
    RefundExceedsLine,
    RefundExceedsPayment,
    RefundLineNotFound,
    RefundMethod,
    RefundMoveRefused,
    RefundNotFound,
    RefundStatus,
)

M, T, P, S = RefundMethod, OrderStatus, PaymentStatus, RefundStatus


@pytest.mark.requirement("SBB-PAY-02", "SBB-REF-01", "SBB-REF-03", "SBB-REF-04")
async def test_a_payment_is_asked_proved_verified_and_given_back(desk: Desk) -> None:
    """Every field of the payment and of the refund, at each step."""
    shop, buyer = desk.shop, await desk.buyer()
    placed = await place(
        shop.acting(actor=shop.context.actor, ip="203.0.113.9"),
        (await make_product(shop, price=10_000), 1),
        payment_method="zelle",
        visitor=Visitor(user_id=buyer.id),
    )
    assert placed.order.payment is not None
    payment_id, order_id = placed.order.payment.id, placed.order.id
    method = await shop.payment_methods.get_by_code(code="zelle")
    asked = await desk.row("payments", payment_id)
    fixed = {name: asked[name] for name in ("tenant_id", "id", "payment_reference", "created_at", "expires_at")}
    assert fixed["expires_at"] > fixed["created_at"]
    expected: dict[str, Any] = {
        **fixed,
        "order_id": str(order_id),
        "user_id": str(buyer.id),
        "payment_method_id": str(method.id),
        "amount": 10_000,
        "currency": "USD",
        "received_amount": None,
        "refunded_amount": 0,
        "meant_for_id": None,
        "status": "pending",
        "customer_reference": None,
        "proof_file_path": None,
        "proof_content_type": None,
        "customer_notes": None,
        "verified_by": None,
        "verified_at": None,
        "verification_notes": None,
        "erp_payment_id": None,
        "erp_synced_at": None,
        "metadata": {},
        "ip_address": "203.0.113.9",
        "completed_at": None,
        "failed_at": None,
        "updated_at": asked["updated_at"],
    }
    assert asked == expected

    await shop.payments.submit_proof(
        reference=placed.order.payment.reference, customer_reference="Z-1", notes="paid by my wife"
    )
    proved = await desk.row("payments", payment_id)
    expected |= {
        "status": "awaiting_verification",
        "customer_reference": "Z-1",
        "customer_notes": "paid by my wife",
        "updated_at": proved["updated_at"],
    }
    assert proved == expected
    assert proved["updated_at"] > asked["updated_at"]

    await shop.payments.verify(payment_id=payment_id, received=usd(9_000), notes="short by ten")
    verified = await desk.row("payments", payment_id)
    expected |= {
        "status": "completed",
        "received_amount": 9_000,
        "verified_by": str(desk.admin.id),
        "verified_at": verified["verified_at"],
        "verification_notes": "short by ten",
        "completed_at": verified["verified_at"],
        "updated_at": verified["verified_at"],
    }
    assert verified == expected
    assert verified["verified_at"] > proved["updated_at"]

    refund = await shop.refunds.request(
        payment_id=payment_id, amount=usd(4_000), reason=" damaged ", reason_details="the box was wet"
    )
    assert refund.reference.startswith("REF-")
    requested = await desk.row("refunds", refund.id)
    expected_refund: dict[str, Any] = {
        "tenant_id": shop.tenant_id,
        "id": str(refund.id),
        "refund_reference": refund.reference,
        "payment_id": str(payment_id),
        "order_id": str(order_id),
        "amount": 4_000,
        "currency": "USD",
        "status": "pending",
        "reason": "damaged",
        "reason_details": "the box was wet",
        "requested_by": str(desk.admin.id),
        "processed_by": None,
        "processed_at": None,
        "refund_method": None,
        "refund_details": {},
        "failure_reason": None,
        "erp_refund_id": None,
        "erp_synced_at": None,
        "created_at": requested["created_at"],
        "updated_at": requested["created_at"],
    }
    assert requested == expected_refund
    assert await desk.row("payments", payment_id) == expected

    done = await shop.refunding.complete(refund_id=refund.id, method=M.CHECK, details={"number": "1001"})
    completed = await desk.row("refunds", refund.id)
    expected_refund |= {
        "status": "completed",
        "processed_by": str(desk.admin.id),
        "processed_at": completed["processed_at"],
        "refund_method": "check",
        "refund_details": {"number": "1001"},
        "updated_at": completed["processed_at"],
    }
    assert completed == expected_refund
    assert completed["processed_at"] > requested["created_at"]
    assert (done.status, done.refund_method, done.amount) == (S.COMPLETED, M.CHECK, usd(4_000))
    given_back = await desk.row("payments", payment_id)
    expected |= {
        "status": "partially_refunded",
        "refunded_amount": 4_000,
        "updated_at": given_back["updated_at"],
    }
    assert given_back == expected
    for again in (M.CHECK, M.OTHER):
        with pytest.raises(RefundMoveRefused) as refused:
            await shop.refunding.complete(refund_id=refund.id, method=again, details={"number": "1002"})
    assert refused.value.facts() == {"reference": refund.reference, "status": "completed", "to": "completed"}
    assert await desk.row("refunds", refund.id) == completed
    assert await desk.row("payments", payment_id) == given_back
    assert await desk.faults() == []


@pytest.mark.requirement("SBB-REF-02")
async def test_only_a_completed_refund_changes_a_sum(desk: Desk) -> None:
    order, payment = await desk.paid()
    before = await desk.row("payments", payment.id), await desk.row("orders", order.id)
    failing = await desk.shop.refunds.request(payment_id=payment.id, amount=usd(3_000), reason="damaged")
    assert (failing.status, failing.processed_at) == (S.PENDING, None)
    failed = await desk.shop.refunds.fail(refund_id=failing.id, reason="the account is closed")
    assert (failed.status, failed.failure_reason, failed.processed_by) == (
        S.FAILED,
        "the account is closed",
        desk.admin.id,
    )
    await desk.shop.refunds.request(payment_id=payment.id, amount=usd(10_000), reason="damaged")
    assert (await desk.row("payments", payment.id), await desk.row("orders", order.id)) == before
    assert await desk.told(failing.id) == []
    with pytest.raises(RefundMoveRefused):
        await desk.shop.refunding.complete(refund_id=failing.id, method=M.CHECK)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await desk.run("UPDATE {refunds} SET status = 'paid' WHERE tenant_id = $1")
    assert {state: set(targets) for state, targets in REFUND_MOVES.items()} == {
        S.PENDING: {S.COMPLETED, S.FAILED},
        S.COMPLETED: set(),
        S.FAILED: set(),
    }


@pytest.mark.requirement("SBB-REF-03")
async def test_a_refund_is_completed_by_a_method_and_keeps_its_details(desk: Desk) -> None:
    buyer = await desk.buyer()
    _, payment = await desk.paid(buyer=buyer)
    first, second = [
        await desk.shop.refunds.request(payment_id=payment.id, amount=usd(100), reason="damaged") for _ in range(2)
    ]
    for nothing in (None, "", "cash"):
        with pytest.raises((asyncpg.PostgresError, asyncpg.DataError)):
            await desk.shop.refunding.complete(refund_id=first.id, method=nothing)  # type: ignore[arg-type]
    with pytest.raises(InvalidRefund):
        await desk.shop.refunding.complete(refund_id=first.id, method=M.CHARGEBACK)
    with pytest.raises(InvalidRefund):
        await desk.shop.refunding.complete(refund_id=first.id, method=M.CHECK, details={"memo": "x" * 11_000})
    with pytest.raises(asyncpg.CheckViolationError, match="refunds_method_given"):
        await desk.run("UPDATE {refunds} SET status = 'completed', processed_at = now() WHERE tenant_id = $1")
    assert (await desk.shop.refunds.get(refund_id=first.id)).status is S.PENDING
    assert (await desk.payment(payment.id)).refunded_amount == usd(0)
    await desk.shop.refunding.complete(refund_id=first.id, method=M.CHECK, details={"number": "1001"})
    await desk.shop.refunding.complete(refund_id=second.id, method=M.STORE_CREDIT, details={"campaign": "sorry"})
    kept = [await desk.shop.refunds.get(refund_id=each.id) for each in (first, second)]
    assert [(each.refund_method, each.refund_details) for each in kept] == [
        (M.CHECK, {"number": "1001"}),
        (M.STORE_CREDIT, {"campaign": "sorry"}),
    ]


@pytest.mark.requirement("SBB-REF-04", "SBB-REF-06")
async def test_what_cannot_be_is_refused_and_changes_nothing(desk: Desk) -> None:
    order, payment = await desk.paid()
    refunds = desk.shop.refunds
    before = await desk.row("payments", payment.id)
    for reason in ("", "  ", "x" * 101, "a\x00b"):
        with pytest.raises(InvalidRefund):
            await refunds.request(payment_id=payment.id, amount=usd(1), reason=reason)
    for amount, refusal in [
        (usd(0), InvalidRefund),
        (usd(-1), InvalidRefund),
        (Money(1, "EUR"), CurrencyMismatch),
        (usd(10_001), RefundExceedsPayment),
    ]:
        with pytest.raises(refusal):
            await refunds.request(payment_id=payment.id, amount=amount, reason="damaged")
    with pytest.raises(PaymentNotFound):
        await refunds.request(payment_id=PaymentId(new_id()), reason="damaged")
    (line,) = await desk.shop.orders.items(order_id=order.id)
    with pytest.raises(RefundLineNotFound):
        await _request(desk, payment.id, ItemToRefund(order_item_id=OrderLineId(new_id()), quantity=1))
    with pytest.raises(RefundExceedsLine):
        await _request(desk, payment.id, ItemToRefund(order_item_id=line.id, quantity=2))
    with pytest.raises(InvalidRefund):
        await _request(desk, payment.id, ItemToRefund(order_item_id=line.id, quantity=0))
    with pytest.raises(InvalidRefund):
        await _request(desk, payment.id, *[ItemToRefund(order_item_id=line.id, quantity=1)] * 2)
    customer = desk.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER))
    for asked in (
        customer.refunds.request(payment_id=payment.id, reason="mine"),
        customer.refunding.complete(refund_id=RefundId(new_id()), method=M.CHECK),
        customer.refunds.fail(refund_id=RefundId(new_id()), reason="no"),
    ):
        with pytest.raises(StaffRequired):
            await asked
    with pytest.raises(RefundNotFound):
        await desk.shop.refunding.complete(refund_id=RefundId(new_id()), method=M.CHECK)
    with pytest.raises(RefundNotFound):
        await refunds.fail(refund_id=RefundId(new_id()), reason="no")
    for amount_ in (0, -1):
        with pytest.raises(asyncpg.CheckViolationError, match="refunds_amount_positive"):
            await _insert(desk, payment.id, amount_)
    with pytest.raises(asyncpg.NotNullViolationError):
        await _insert(desk, payment.id, 1, reason=None)
    assert await refunds.for_order(order_id=order.id) == []
    assert await desk.row("payments", payment.id) == before
    unpaid = (await place(desk.shop, (await make_product(desk.shop), 1), payment_method="zelle")).order
    assert unpaid.payment is not None
    with pytest.raises(PaymentNotRefundable):
        await refunds.request(payment_id=unpaid.payment.id, reason="damaged")


@pytest.mark.requirement("SBB-REF-05")
async def test_one_reference_is_one_refund(desk: Desk) -> None:
    _, payment = await desk.paid()

    async def insert(tx: Transaction) -> None:
        await _insert(desk, payment.id, 1, reference="REF-SAME", db=tx)

    outcome = await race(desk.db, insert, lambda: desk.db.run(insert))
    assert isinstance(outcome, asyncpg.UniqueViolationError)
    assert desk.db.names.original(outcome.constraint_name or "") == "refunds_reference_unique"
    assert await desk.one("SELECT count(*) FROM {refunds} WHERE tenant_id = $1") == 1


# --- Never more than came ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-REF-08", "SBB-PAY-06")
async def test_of_two_who_give_back_too_much_together_one_is_refused(desk: Desk) -> None:
    order, payment = await desk.paid()

    async def give_back(shop: Any) -> Refund:
        refund = await shop.refunds.request(payment_id=payment.id, amount=usd(6_000), reason="damaged")
        return await shop.refunding.complete(refund_id=refund.id, method=M.CHECK)  # type: ignore[no-any-return]

    async def first(tx: Transaction) -> Refund:
        return await give_back(type(desk.shop)(desk.shop.context.on(tx)))

    outcome = await race(desk.db, first, lambda: give_back(desk.shop))
    assert isinstance(outcome, RefundExceedsPayment)
    assert (outcome.payment, outcome.asked, outcome.left) == (payment.reference, usd(6_000), usd(4_000))
    after = await desk.payment(payment.id)
    assert (after.refunded_amount, after.status) == (usd(6_000), P.PARTIALLY_REFUNDED)
    assert [each.status for each in await desk.shop.refunds.for_order(order_id=order.id)] == [S.COMPLETED]
    assert await desk.faults() == []


@pytest.mark.requirement("SBB-REF-08", "SBB-PAY-06")
async def test_two_promises_past_the_payment_end_with_one_completed(desk: Desk) -> None:
    """Pending rows that no request would have allowed, written by hand: completing asks again."""
    _, payment = await desk.paid()
    ids = [await _insert(desk, payment.id, 6_000) for _ in range(2)]
    outcome = await race(
        desk.db,
        lambda tx: desk.shop.refunding.bound(tx).complete(refund_id=ids[0], method=M.CHECK),
        lambda: desk.shop.refunding.complete(refund_id=ids[1], method=M.CHECK),
    )
    assert isinstance(outcome, RefundExceedsPayment)
    assert (await desk.payment(payment.id)).refunded_amount == usd(6_000)
    assert [(await desk.shop.refunds.get(refund_id=each)).status for each in ids] == [S.COMPLETED, S.PENDING]
    assert await desk.told(ids[1]) == []


async def test_control_a_sum_read_before_the_lock_promises_too_much(desk: Desk) -> None:
    """The same meeting where the sum is read first: both promises are written."""
    _, payment = await desk.paid()

    async def request(tx: Transaction) -> None:
        sql = tx.names.render
        promised = await tx.fetchval(
            sql("SELECT coalesce(sum(amount), 0)::bigint FROM {refunds} WHERE tenant_id = $1 AND payment_id = $2"),
            desk.shop.tenant_id,
            payment.id,
        )
        await tx.execute(
            sql("SELECT 1 FROM {payments} WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"),
            desk.shop.tenant_id,
            payment.id,
        )
        if promised + 6_000 <= 10_000:
            await _insert(desk, payment.id, 6_000, db=tx)

    await race(desk.db, request, lambda: desk.db.run(request))
    assert await desk.one("SELECT sum(amount)::bigint FROM {refunds} WHERE tenant_id = $1") == 12_000


async def test_two_who_complete_one_refund_do_it_once(desk: Desk) -> None:
    buyer = await desk.buyer()
    _, payment = await desk.paid(buyer=buyer)
    refund = await desk.shop.refunds.request(payment_id=payment.id, amount=usd(4_000), reason="damaged")
    outcome = await race(
        desk.db,
        lambda tx: desk.shop.refunding.bound(tx).complete(refund_id=refund.id, method=M.STORE_CREDIT),
        lambda: desk.shop.refunding.complete(refund_id=refund.id, method=M.STORE_CREDIT),
    )
    assert isinstance(outcome, RefundMoveRefused)
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(4_000)
    assert await desk.told(refund.id) == ["refund.completed"]


@pytest.mark.requirement("SBB-PAY-06")
async def test_many_at_once_give_back_what_came_and_no_more(desk: Desk) -> None:
    order, payment = await desk.paid()

    async def give_back() -> None:
        refund = await desk.shop.refunds.request(payment_id=payment.id, amount=usd(1_500), reason="damaged")
        await desk.shop.refunding.complete(refund_id=refund.id, method=M.OTHER)

    outcomes = await asyncio.gather(*(give_back() for _ in range(10)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 6
    assert sum(isinstance(outcome, RefundExceedsPayment) for outcome in outcomes) == 4
    after = await desk.payment(payment.id)
    assert after.refunded_amount == usd(9_000)
    assert after.refunded_amount.amount == await desk.one(
        "SELECT sum(amount)::bigint FROM {refunds} WHERE tenant_id = $1 AND status = 'completed'"
    )
    assert (await desk.order(order.id)).amount_paid == usd(1_000)
    assert await desk.faults() == []


# --- What the order becomes -------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-REF-08", "SBB-ORD-08")
async def test_an_order_is_refunded_in_part_and_then_whole(desk: Desk) -> None:
    buyer = await desk.buyer()
    variant = await make_product(desk.shop, price=5_000, stock=5)
    order, payment = await desk.paid((variant, 2), buyer=buyer)
    assert await desk.stock(variant) == (5, 2)
    part = await _refunded(desk, payment.id, usd(2_500))
    after = await desk.order(order.id)
    assert (after.status, after.amount_paid, after.amount_due) == (T.PARTIALLY_REFUNDED, usd(7_500), usd(2_500))
    assert (await desk.payment(payment.id)).status is P.PARTIALLY_REFUNDED
    assert (await desk.shop.customers.get(customer_id=buyer.id)).total_spent == usd(7_500)
    await _refunded(desk, payment.id, usd(2_500))  # the status stays, the sum does not
    rest = await _refunded(desk, payment.id, None)
    assert rest.amount == usd(5_000)
    after = await desk.order(order.id)
    assert (after.status, after.amount_paid) == (T.REFUNDED, usd(0))
    assert (await desk.payment(payment.id)).status is P.REFUNDED
    assert await desk.stock(variant) == (5, 0), "what was held is free again"
    history = list(reversed(await desk.shop.orders.history(order_id=order.id)))
    assert [(each.to_status, each.reason) for each in history] == [
        (T.PENDING_PAYMENT, "placed"),
        (T.PAYMENT_RECEIVED, "paid"),
        (T.PARTIALLY_REFUNDED, "damaged"),
        (T.REFUNDED, "damaged"),
    ]
    assert await desk.told(part.id) == ["refund.completed"]
    assert (await desk.told(order.id))[-2:] == ["order.partially_refunded", "order.refunded"]
    assert (await desk.shop.customers.get(customer_id=buyer.id)).total_spent == usd(0)
    with pytest.raises(PaymentNotRefundable):
        await desk.shop.refunds.request(payment_id=payment.id, reason="damaged")
    noted = await desk.one("SELECT count(*) FROM {events} WHERE tenant_id = $1 AND event_name = 'payment.refunded'")
    assert noted == 3
    assert await desk.faults() == []


async def test_what_was_paid_too_much_goes_back_and_the_order_stays_as_it_is(desk: Desk) -> None:
    order, payment = await desk.paid(received=usd(13_000))
    assert [due.refund_amount for due in (await desk.shop.orders.needing_refund()).items] == [usd(3_000)]
    await _refunded(desk, payment.id, usd(3_000))
    after = await desk.order(order.id)
    assert (after.status, after.amount_due) == (T.PAYMENT_RECEIVED, usd(0))
    assert (await desk.shop.orders.needing_refund()).items == []
    assert await desk.faults() == []


async def test_money_of_a_cancelled_order_goes_back_and_it_stays_cancelled(desk: Desk) -> None:
    order, payment = await desk.paid()
    await desk.shop.cancellation.cancel(order_id=order.id, reason="sold twice")
    assert [due.refund_amount for due in (await desk.shop.orders.needing_refund()).items] == [usd(10_000)]
    await _refunded(desk, payment.id, usd(4_000))
    assert [due.refund_amount for due in (await desk.shop.orders.needing_refund()).items] == [usd(6_000)]
    await _refunded(desk, payment.id, None)
    after = await desk.order(order.id)
    assert (after.status, after.amount_paid) == (T.CANCELLED, usd(0))
    assert (await desk.payment(payment.id)).status is P.REFUNDED
    assert (await desk.shop.orders.needing_refund()).items == []
    assert await desk.faults() == []


async def test_a_part_that_goes_back_before_the_rest_came_leaves_the_order_waiting(desk: Desk) -> None:
    order, payment = await desk.paid(received=usd(4_000))
    await _refunded(desk, payment.id, None)
    after = await desk.order(order.id)
    assert (after.status, after.amount_due) == (T.PENDING_PAYMENT, usd(10_000))
    assert await desk.faults() == []


# --- Units ------------------------------------------------------------------------------------------------------------


async def test_units_not_yet_shipped_are_set_free(desk: Desk) -> None:
    variant = await make_product(desk.shop, price=1_000, stock=10)
    order, payment = await desk.paid((variant, 5))
    (line,) = await desk.shop.orders.items(order_id=order.id)
    await _refunded(desk, payment.id, usd(2_000), ItemToRefund(order_item_id=line.id, quantity=2, restock=True))
    (line,) = await desk.shop.orders.items(order_id=order.id)
    assert (line.quantity_refunded, line.quantity_cancelled, line.quantity_held, line.quantity_returned) == (2, 2, 3, 0)
    assert await desk.stock(variant) == (10, 3)
    assert (await desk.shop.inventory.movements(variant_id=variant)).items[0].kind == "initial"
    await desk.shop.orders.ship(order_id=order.id)
    assert await desk.stock(variant) == (7, 0)
    assert await desk.faults() == []


@pytest.mark.requirement("SBB-OI-06")
async def test_shipped_units_come_back_to_the_shelf_on_request(desk: Desk) -> None:
    tracked = await make_product(desk.shop, price=1_000, stock=10)
    file = await make_product(desk.shop, price=1_000, stock=0, stock_policy=StockPolicy.UNTRACKED)
    order, payment = await desk.paid((tracked, 3), (file, 2))
    await desk.shop.orders.move(order_id=order.id, to=T.PROCESSING)
    await desk.shop.orders.ship(order_id=order.id)
    first, second = await desk.shop.orders.items(order_id=order.id)
    await _refunded(
        desk,
        payment.id,
        usd(3_000),
        ItemToRefund(order_item_id=first.id, quantity=2, restock=True),
        ItemToRefund(order_item_id=second.id, quantity=1, restock=True),
    )
    await _refunded(desk, payment.id, usd(1_000), ItemToRefund(order_item_id=first.id, quantity=1))  # it was broken
    first, second = await desk.shop.orders.items(order_id=order.id)
    assert (first.quantity_refunded, first.quantity_returned, first.quantity_cancelled) == (3, 2, 0)
    assert (second.quantity_refunded, second.quantity_returned) == (1, 1)
    assert await desk.stock(tracked) == (9, 0)
    assert await desk.stock(file) == (0, 0)
    back = (await desk.shop.inventory.movements(variant_id=tracked)).items[0]
    assert (back.kind, back.quantity, back.on_hand_after, back.order_id) == ("return", 2, 9, order.id)
    with pytest.raises(RefundExceedsLine):
        await _request(desk, payment.id, ItemToRefund(order_item_id=first.id, quantity=1))
    assert await desk.faults() == []


@pytest.mark.requirement("SBB-OI-06")
async def test_of_two_refunds_of_the_same_units_one_is_refused(desk: Desk) -> None:
    variant = await make_product(desk.shop, price=1_000, stock=10)
    order, payment = await desk.paid((variant, 3))
    (line,) = await desk.shop.orders.items(order_id=order.id)

    async def give_back(shop: Any) -> Refund:
        item = ItemToRefund(order_item_id=line.id, quantity=2, restock=True)
        refund = await shop.refunds.request(payment_id=payment.id, amount=usd(10), reason="damaged", items=[item])
        return await shop.refunding.complete(refund_id=refund.id, method=M.CHECK)  # type: ignore[no-any-return]

    outcome = await race(
        desk.db, lambda tx: give_back(type(desk.shop)(desk.shop.context.on(tx))), lambda: give_back(desk.shop)
    )
    assert isinstance(outcome, RefundExceedsLine)
    assert (outcome.asked, outcome.left) == (2, 1)
    (line,) = await desk.shop.orders.items(order_id=order.id)
    assert (line.quantity_refunded, line.quantity_held) == (2, 1)
    assert await desk.stock(variant) == (10, 1)


# --- Store credit -----------------------------------------------------------------------------------------------------


async def test_money_can_go_back_as_credit_of_the_buyer(desk: Desk) -> None:
    buyer = await desk.buyer()
    order, payment = await desk.paid(buyer=buyer)
    refund = await _refunded(desk, payment.id, usd(2_500), method=M.STORE_CREDIT)
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(2_500)
    (entry,) = (await desk.shop.store_credit.entries(user_id=buyer.id)).items
    assert (entry.reason, entry.refund_id, entry.payment_id, entry.order_id) == (
        "refunded",
        refund.id,
        payment.id,
        order.id,
    )
    assert (await desk.order(order.id)).status is T.PARTIALLY_REFUNDED
    assert await desk.faults() == []


@pytest.mark.requirement("SBB-REF-08")
async def test_a_guest_has_no_credit_and_nothing_is_left_of_the_try(desk: Desk) -> None:
    """It is refused after refund and payment were written: all of it is undone."""
    order, payment = await desk.paid()
    refund = await desk.shop.refunds.request(payment_id=payment.id, reason="damaged")
    before = [await desk.row(table, id_) for table, id_ in (("payments", payment.id), ("orders", order.id))]
    with pytest.raises(CreditNeedsAccount):
        await desk.shop.refunding.complete(refund_id=refund.id, method=M.STORE_CREDIT)
    assert [await desk.row(table, id_) for table, id_ in (("payments", payment.id), ("orders", order.id))] == before
    assert (await desk.shop.refunds.get(refund_id=refund.id)) == refund
    assert await desk.told(refund.id) == []


async def test_a_cancelled_order_gives_its_buyer_the_credit_back_at_once(desk: Desk) -> None:
    buyer = await desk.buyer()
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=usd(5_000))
    order, zelle = await desk.paid(received=usd(6_000), buyer=buyer)
    credit = await desk.with_credit(order, buyer.id, 4_000)
    assert (await desk.order(order.id)).status is T.PAYMENT_RECEIVED
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(1_000)
    cancelled = await desk.shop.cancellation.cancel(order_id=order.id, reason="sold twice")
    assert (cancelled.status, cancelled.amount_paid) == (T.CANCELLED, usd(6_000))
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(5_000)
    assert ((await desk.payment(credit)).status, (await desk.payment(zelle.id)).status) == (P.REFUNDED, P.COMPLETED)
    (refund,) = await desk.shop.refunds.for_order(order_id=order.id)
    assert (refund.status, refund.refund_method, refund.amount) == (S.COMPLETED, M.STORE_CREDIT, usd(4_000))
    newest = (await desk.shop.store_credit.entries(user_id=buyer.id)).items[0]
    assert (newest.reason, newest.amount) == ("given_back", usd(4_000))
    assert await desk.shop.refunding.give_back_credit(order_id=order.id) == [], "and only once"
    assert [due.refund_amount for due in (await desk.shop.orders.needing_refund()).items] == [usd(6_000)]
    assert await desk.faults() == []


async def test_credit_spent_at_checkout_is_back_when_the_order_is_cancelled(desk: Desk) -> None:
    """By hand, and by the clock where the rest never came."""
    buyer = await desk.buyer()
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=usd(3_000))
    visitor, variant = Visitor(user_id=buyer.id), await make_product(desk.shop, price=2_000)
    paid = await place(desk.shop, (variant, 1), visitor=visitor, use_store_credit=True)
    part = await place(desk.shop, (variant, 1), visitor=visitor, use_store_credit=True, payment_method="zelle")
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(0)
    cancelled = await desk.shop.cancellation.cancel(order_id=paid.order.id, reason="sold twice")
    assert (cancelled.status, cancelled.amount_paid) == (T.CANCELLED, usd(0))
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(2_000)
    await desk.run(
        "UPDATE {orders} SET payment_due_at = now() - INTERVAL '1 s' WHERE tenant_id = $1 AND id = $2", part.order.id
    )
    await desk.run("UPDATE {payments} SET expires_at = now() - INTERVAL '1 s' WHERE tenant_id = $1")
    while await cancel_unpaid(desk.db):
        pass
    after = await desk.order(part.order.id)
    assert (after.status, after.amount_paid) == (T.CANCELLED, usd(0))
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(3_000)
    reasons = [entry.reason for entry in (await desk.shop.store_credit.entries(user_id=buyer.id)).items]
    assert reasons == ["given_back", "given_back", "spent", "spent", "granted"]
    assert await desk.faults() == []


async def test_a_buyer_who_orders_while_an_order_is_cancelled_waits_and_spends_it(desk: Desk) -> None:
    """Both want the account and the same stock; the account comes first in both, so nobody waits in a circle."""
    buyer = await desk.buyer()
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=usd(2_000))
    visitor, variant = Visitor(user_id=buyer.id), await make_product(desk.shop, price=2_000, stock=1)
    first = await place(desk.shop, (variant, 1), visitor=visitor, use_store_credit=True)
    outcome = await race(
        desk.db,
        lambda tx: desk.shop.cancellation.bound(tx).cancel(order_id=first.order.id, reason="sold twice"),
        lambda: place(desk.shop, (variant, 1), visitor=visitor, use_store_credit=True),
    )
    assert not isinstance(outcome, BaseException), outcome
    assert outcome.order.paid == usd(2_000)
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(0)
    assert await desk.stock(variant) == (1, 1)
    assert await desk.faults() == []


async def test_what_was_paid_with_credit_goes_back_the_way_it_came(desk: Desk) -> None:
    buyer = await desk.buyer()
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=usd(10_000))
    placed = await place(desk.shop, (await make_product(desk.shop, price=10_000), 1), visitor=Visitor(user_id=buyer.id))
    credit = await desk.with_credit(await desk.order(placed.order.id), buyer.id, 10_000)
    await _refunded(desk, credit, usd(3_000), method=M.ORIGINAL_METHOD)
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(3_000)
    assert (await desk.order(placed.order.id)).status is T.PARTIALLY_REFUNDED
    assert await desk.faults() == []


async def test_refunds_are_listed_newest_first(desk: Desk) -> None:
    order, payment = await desk.paid()
    made = [await desk.shop.refunds.request(payment_id=payment.id, amount=usd(n), reason="damaged") for n in (1, 2, 3)]
    await desk.shop.refunding.complete(refund_id=made[1].id, method=M.CHECK)
    page = await desk.shop.refunds.list(limit=2)
    rest = await desk.shop.refunds.list(limit=2, cursor=page.next_cursor)
    assert [each.id for each in [*page.items, *rest.items]] == [each.id for each in reversed(made)]
    assert [each.id for each in (await desk.shop.refunds.list(status=S.COMPLETED)).items] == [made[1].id]
    assert [each.id for each in await desk.shop.refunds.for_order(order_id=order.id)] == [each.id for each in made]
    assert [each.id for each in await desk.shop.refunds.for_payment(payment_id=payment.id)] == [e.id for e in made]


# --- A connection that is cut -----------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-REF-08")
@pytest.mark.parametrize("table", ["payments", "store_credits", "order_items", "orders", "webhook_queue", "events"])
async def test_a_cut_leaves_nothing_and_the_next_try_does_it_all(desk: Desk, dsn: str, table: str) -> None:
    """The server ends the connection while the completion waits for a table in the middle of its work."""
    buyer = await desk.buyer()
    order, payment = await desk.paid(buyer=buyer)
    (line,) = await desk.shop.orders.items(order_id=order.id)
    item = ItemToRefund(order_item_id=line.id, quantity=1, restock=True)
    refund = await desk.shop.refunds.request(payment_id=payment.id, reason="damaged", items=[item])
    rows = [("payments", payment.id), ("orders", order.id), ("order_items", line.id), ("refunds", refund.id)]
    before = [await desk.row(name, id_) for name, id_ in rows]
    stock = await desk.one("SELECT (on_hand, reserved)::text FROM {stock_levels} WHERE tenant_id = $1")

    async def complete() -> Refund:
        return await desk.shop.refunding.complete(refund_id=refund.id, method=M.STORE_CREDIT)

    outcome = await cut_at(dsn, desk.db, table, complete)
    assert isinstance(outcome, DatabaseUnavailable), outcome
    assert [await desk.row(name, id_) for name, id_ in rows] == before
    assert await desk.one("SELECT (on_hand, reserved)::text FROM {stock_levels} WHERE tenant_id = $1") == stock
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(0)
    assert await desk.told(refund.id) == []
    await complete()
    assert (await desk.order(order.id)).status is T.REFUNDED
    assert await desk.shop.store_credit.balance(user_id=buyer.id) == usd(10_000)
    assert await desk.faults() == []


# --- Short ways -------------------------------------------------------------------------------------------------------


async def _request(desk: Desk, payment_id: PaymentId, *items: ItemToRefund) -> Refund:
    return await desk.shop.refunds.request(payment_id=payment_id, amount=usd(1), reason="damaged", items=items)


async def _refunded(
    desk: Desk,
    payment_id: PaymentId,
    amount: Money | None,
    *items: ItemToRefund,
    method: RefundMethod = M.BANK_TRANSFER,
) -> Refund:
    refund = await desk.shop.refunds.request(payment_id=payment_id, amount=amount, reason="damaged", items=items)
    return await desk.shop.refunding.complete(refund_id=refund.id, method=method)


async def _insert(
    desk: Desk,
    payment_id: PaymentId,
    amount: int,
    *,
    reference: str | None = None,
    reason: str | None = "by hand",
    db: Any = None,
) -> RefundId:
    """A pending refund, past the service."""
    refund_id = RefundId(new_id())
    await (db or desk.db).execute(
        desk.db.names.render(
            "INSERT INTO {refunds} (tenant_id, id, refund_reference, payment_id, order_id, amount, currency, reason) "
            "SELECT $1, $2, $3, id, order_id, $5, currency, $6 FROM {payments} WHERE tenant_id = $1 AND id = $4"
        ),
        desk.shop.tenant_id,
        refund_id,
        reference or str(refund_id)[-12:],
        payment_id,
        amount,
        reason,
    )
    return refund_id
