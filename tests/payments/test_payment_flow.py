"""From the order to the money: started, claimed, verified, rejected, or recorded as it came."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from till import Till, usd

from storeroom.core.ids import OrderId, PaymentId, UserId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.database.service import ActorKind
from storeroom.orders import OrderMoveRefused, OrderNotFound, OrderStatus
from storeroom.payments import (
    AmountOutsideLimits,
    InvalidPayment,
    OrderNotPayable,
    Payer,
    PaymentAttemptsUsedUp,
    PaymentExpired,
    PaymentMethodInactive,
    PaymentMethodIsManual,
    PaymentMethodNotFound,
    PaymentMethodType,
    PaymentMoveRefused,
    PaymentNotFound,
    PaymentStatus,
    StaffRequired,
    TooManyOpenPayments,
)

S = PaymentStatus
O = OrderStatus  # noqa: E741


# --- Starting ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-OVP-03", "SBB-PM-07", "SBB-PAY-03")
async def test_a_payment_asks_for_what_is_due_and_waits_as_long_as_its_method_says(till: Till) -> None:
    await till.method("slow", confirmation_window_hours=72)
    order = await till.order(12_345)
    assert await till.payments.for_order(order_id=order.id) == []
    payment = await till.payments.start(order_id=order.id, method="slow")
    assert (payment.status, payment.amount, payment.order_id) == (S.PENDING, usd(12_345), order.id)
    assert payment.expires_at == payment.created_at + timedelta(hours=72)
    assert len(payment.reference) <= 30
    assert payment.reference.startswith("PAY-")
    assert (payment.completed_at, payment.failed_at, payment.received_amount, payment.verified_at) == (None,) * 4
    assert await till.payments.by_reference(reference=payment.reference.lower()) == payment
    assert await till.payments.attempts(payment_id=payment.id) == []


@pytest.mark.requirement("SBB-PAY-03")
async def test_payments_started_in_parallel_all_get_references_of_their_own(till: Till) -> None:
    await till.method("zelle")
    orders = [await till.order() for _ in range(5)]
    made = await asyncio.gather(
        *(
            till.payments.start(order_id=order.id, method="zelle", amount=usd(100))
            for order in orders
            for _ in range(10)
        )
    )
    assert len({payment.reference for payment in made}) == 50


async def test_a_reference_that_was_drawn_before_is_drawn_again(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await till.pending()
    drawn = iter([first.reference, first.reference, "PAY-AAAAA-BBBBB"])
    monkeypatch.setattr("storeroom.payments.service.new_reference", lambda: next(drawn))
    second = await till.pending()
    assert second.reference == "PAY-AAAAA-BBBBB"
    monkeypatch.setattr("storeroom.payments.service.new_reference", lambda: first.reference)
    with pytest.raises(RuntimeError, match="randomness"):
        await till.pending()


@pytest.mark.requirement("SBB-PAY-09")
async def test_two_inserts_of_one_reference_leave_one_payment_and_a_named_violation(till: Till) -> None:
    payment = await till.pending()
    with pytest.raises(asyncpg.UniqueViolationError) as violated:
        await till.run(
            "INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, payment_method_id, amount, currency) "
            "VALUES ($1, $2, $3, $4, $5, 1, 'USD')",
            new_id(),
            payment.reference,
            payment.order_id,
            payment.payment_method_id,
        )
    assert till.db.names.original(violated.value.constraint_name) == "payments_reference_unique"
    assert await till.one("SELECT count(*) FROM {payments} WHERE tenant_id = $1") == 1


@pytest.mark.requirement("SBB-PAY-10", "SBB-OVP-03")
@pytest.mark.parametrize("amount", [0, -1])
async def test_an_amount_that_is_not_positive_is_refused_here_and_by_the_database(till: Till, amount: int) -> None:
    payment = await till.pending()
    with pytest.raises(InvalidPayment) as refused:
        await till.payments.verify(payment_id=payment.id, received=usd(amount))
    assert refused.value.field == "received"
    with pytest.raises(asyncpg.CheckViolationError, match="payments_amount_positive"):
        await till.run("UPDATE {payments} SET amount = $3 WHERE tenant_id = $1 AND id = $2", payment.id, amount)
    assert await till.payments.attempts(payment_id=payment.id) == []
    assert await till.payments.get(payment_id=payment.id) == payment


@pytest.mark.requirement("SBB-PM-06")
@pytest.mark.parametrize(("amount", "taken"), [(999, False), (1000, True), (5000, True), (5001, False)])
async def test_a_method_takes_amounts_within_its_limits_both_included(till: Till, amount: int, taken: bool) -> None:
    await till.method("one", min_amount=usd(1000), max_amount=usd(5000))
    order = await till.order(9_000)
    if taken:
        assert (await till.payments.start(order_id=order.id, method="one", amount=usd(amount))).amount == usd(amount)
        return
    with pytest.raises(AmountOutsideLimits) as refused:
        await till.payments.start(order_id=order.id, method="one", amount=usd(amount))
    assert refused.value.facts() == {
        "amount": {"amount": amount, "currency": "USD"},
        "minimum": {"amount": 1000, "currency": "USD"},
        "maximum": {"amount": 5000, "currency": "USD"},
    }
    assert await till.payments.for_order(order_id=order.id) == []


async def test_what_cannot_be_started_is_refused_with_the_reason(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    await till.method("zelle")
    await till.method("off", is_active=False)
    await till.method("euro", currency="EUR")
    order = await till.order()
    start = till.payments.start
    with pytest.raises(OrderNotFound):
        await start(order_id=OrderId(new_id()), method="zelle")
    with pytest.raises(PaymentMethodNotFound):
        await start(order_id=order.id, method="shells")
    for code in ("off", "euro"):
        with pytest.raises(PaymentMethodInactive):
            await start(order_id=order.id, method=code)
    with pytest.raises(CurrencyMismatch):
        await start(order_id=order.id, method="zelle", amount=Money(5, "EUR"))
    with pytest.raises(InvalidPayment):
        await start(order_id=order.id, method="zelle", amount=usd(0))
    assert await till.payments.for_order(order_id=order.id) == []
    monkeypatch.setattr("storeroom.payments.service.OPEN_PAYMENTS_MAX", 1)
    await start(order_id=order.id, method="zelle", amount=usd(1))
    with pytest.raises(TooManyOpenPayments):
        await start(order_id=order.id, method="zelle", amount=usd(1))


async def test_payments_at_the_door_count_among_those_that_wait(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """They never expire, and so would have been asked for without an end."""
    await till.method("door", method_type=PaymentMethodType.COD, payment_details={})
    order = await till.order()
    monkeypatch.setattr("storeroom.payments.service.OPEN_PAYMENTS_MAX", 2)
    for _ in range(2):
        assert (await till.payments.start(order_id=order.id, method="door", amount=usd(1))).expires_at is None
    with pytest.raises(TooManyOpenPayments):
        await till.payments.start(order_id=order.id, method="door", amount=usd(1))
    assert len(await till.payments.for_order(order_id=order.id)) == 2


async def test_nothing_is_asked_for_an_order_that_is_paid_or_over(till: Till) -> None:
    await till.method("zelle")
    paid = await till.pending()
    await till.payments.verify(payment_id=paid.id)
    cancelled = await till.order()
    await till.orders.cancel(order_id=cancelled.id, reason="changed my mind")
    for order_id, status in ((paid.order_id, "payment_received"), (cancelled.id, "cancelled")):
        with pytest.raises(OrderNotPayable) as refused:
            await till.payments.start(order_id=order_id, method="zelle")
        assert refused.value.status == status


# --- Whose payment ----------------------------------------------------------------------------------------------------


async def test_a_customer_pays_and_sees_what_is_theirs_alone(till: Till) -> None:
    await till.method("zelle")
    owner, stranger = await till.user(), await till.user()
    order = await till.order(user_id=owner)
    mine, theirs = till.acting(ActorKind.CUSTOMER, owner), till.acting(ActorKind.CUSTOMER, stranger)
    payment = await mine.start(order_id=order.id, method="zelle")
    assert payment.user_id == owner
    assert await mine.for_order(order_id=order.id) == [payment]
    nobody = till.acting(ActorKind.CUSTOMER)
    for asking in (theirs, nobody):
        with pytest.raises(OrderNotFound):
            await asking.start(order_id=order.id, method="zelle")
        with pytest.raises(OrderNotFound):
            await asking.for_order(order_id=order.id)
        for call in (
            asking.get(payment_id=payment.id),
            asking.by_reference(reference=payment.reference),
            asking.submit_proof(reference=payment.reference, customer_reference="T-1"),
            asking.submit_proof(reference=payment.reference, file=b"%PDF-1.7"),
            asking.cancel(payment_id=payment.id),
            asking.attempts(payment_id=payment.id),
            asking.open_proof(payment_id=payment.id),
        ):
            with pytest.raises(PaymentNotFound):
                await call
    assert await till.payments.get(payment_id=payment.id) == payment
    assert (
        await mine.submit_proof(reference=payment.reference, customer_reference="T-1")
    ).status is S.AWAITING_VERIFICATION


async def test_a_guest_pays_by_session_or_by_the_number_and_phone_of_the_order(till: Till) -> None:
    await till.method("zelle")
    session = await till.session()
    order = await till.order(session_id=session, customer_phone="15125550199")
    guest = till.acting(ActorKind.CUSTOMER)
    by_session = Payer(session_id=session)
    payment = await guest.start(order_id=order.id, method="zelle", amount=usd(10), payer=by_session)
    for phone in ("15125550199", "+1 512 555 0199", "(512) 555-0199"):
        payer = Payer(number=order.order_number, phone=phone)
        assert await guest.by_reference(reference=payment.reference, payer=payer) == payment
    for payer in (
        Payer(),
        Payer(session_id=await till.session()),
        Payer(number=order.order_number),
        Payer(number=order.order_number, phone="+1 512 555 0198"),
        Payer(number="22222222", phone="+1 512 555 0199"),
        Payer(phone="+1 512 555 0199"),
    ):
        with pytest.raises(PaymentNotFound):
            await guest.by_reference(reference=payment.reference, payer=payer)
    account = await till.order(session_id=session, user_id=await till.user())
    with pytest.raises(OrderNotFound):
        await guest.start(order_id=account.id, method="zelle", payer=by_session)


async def test_another_tenants_payment_does_not_exist(till: Till, other_till: Till) -> None:
    payment = await till.pending(code="zelle")
    await other_till.method("zelle")
    await till.payments.submit_proof(reference=payment.reference, file=b"%PDF-1.7 paid")
    before = await till.row(payment.id)
    foreign = other_till.payments
    for call in (
        foreign.get(payment_id=payment.id),
        foreign.by_reference(reference=payment.reference),
        foreign.submit_proof(reference=payment.reference, customer_reference="T-1"),
        foreign.verify(payment_id=payment.id),
        foreign.reject(payment_id=payment.id, reason="no"),
        foreign.cancel(payment_id=payment.id),
        foreign.process(payment_id=payment.id),
        foreign.complete(payment_id=payment.id),
        foreign.attempts(payment_id=payment.id),
        foreign.open_proof(payment_id=payment.id),
    ):
        with pytest.raises(PaymentNotFound):
            await call
    for call in (
        foreign.start(order_id=payment.order_id, method="zelle"),
        foreign.for_order(order_id=payment.order_id),
        foreign.record_received(order_id=payment.order_id, method="zelle", amount=usd(1)),
    ):
        with pytest.raises(OrderNotFound):
            await call
    assert await foreign.cancel_open(order_id=payment.order_id) == []
    assert (await foreign.list()).items == []
    assert (await foreign.pending_review()).items == []
    assert await till.row(payment.id) == before


# --- Proof and review -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-REC-02", "SBB-PAY-04", "SBB-PA-03", "SBB-PA-04")
async def test_a_reference_moves_the_payment_and_logs_one_attempt_in_one_transaction(till: Till) -> None:
    payment = await till.pending()
    sent = await till.payments.submit_proof(
        reference=payment.reference, customer_reference=" Z-123 ", notes="from my wife's account"
    )
    assert (sent.status, sent.customer_reference, sent.customer_notes) == (
        S.AWAITING_VERIFICATION,
        "Z-123",
        "from my wife's account",
    )
    (attempt,) = await till.payments.attempts(payment_id=payment.id)
    assert (attempt.attempt_number, attempt.action, attempt.status, attempt.success) == (
        1,
        "customer_submit",
        "submitted",
        True,
    )
    assert attempt.request_data == {"customer_reference": "Z-123", "notes": "from my wife's account"}
    assert (attempt.ip_address, attempt.user_agent) == ("203.0.113.9", "a browser")
    assert await till.told(payment.id) == ["payment.proof_uploaded"]
    same = await till.one(
        "SELECT count(DISTINCT x) FROM (SELECT xmin::text AS x FROM {payments} WHERE tenant_id = $1 UNION ALL "
        "SELECT xmin::text FROM {payment_attempts} WHERE tenant_id = $1) s"
    )
    assert same == 1


async def test_an_upload_that_cannot_be_logged_changes_nothing(till: Till) -> None:
    """All or nothing, the other way round: the transaction ends after the move and before the log."""
    payment = await till.pending()
    before = await till.row(payment.id)
    stranger = till.acting(ActorKind.ADMIN, UserId(new_id()))
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="payment_attempts_user_fkey"):
        await stranger.submit_proof(reference=payment.reference, customer_reference="Z-1")
    assert await till.row(payment.id) == before
    assert await till.told(payment.id) == []


async def test_nothing_is_no_proof(till: Till) -> None:
    payment = await till.pending()
    for nothing in ({}, {"customer_reference": "  "}, {"notes": "I paid, honestly"}):
        with pytest.raises(InvalidPayment) as refused:
            await till.payments.submit_proof(reference=payment.reference, **nothing)
        assert refused.value.field == "customer_reference"
    with pytest.raises(InvalidPayment):
        await till.payments.submit_proof(reference=payment.reference, customer_reference="x" * 101)
    with pytest.raises(InvalidPayment):
        await till.payments.submit_proof(reference=payment.reference, customer_reference="a\x00b")


@pytest.mark.requirement("SBB-REC-03")
async def test_the_review_list_shows_what_staff_need_oldest_first_page_by_page(till: Till) -> None:
    made = [await till.pending(1_000 * n, name=f"Way {n}") for n in (1, 2, 3)]
    await till.pending(9_999)  # nobody claims to have paid it
    for payment in reversed(made):
        await till.payments.submit_proof(
            reference=payment.reference, customer_reference=f"T-{payment.amount.amount}", file=b"%PDF-1.7"
        )
    first = await till.payments.pending_review(limit=2)
    assert [
        (i.reference, i.amount, i.order_due, i.customer_reference, i.proof_content_type, i.method) for i in first.items
    ] == [
        (made[0].reference, usd(1_000), usd(1_000), "T-1000", "application/pdf", "Way 1"),
        (made[1].reference, usd(2_000), usd(2_000), "T-2000", "application/pdf", "Way 2"),
    ]
    second = await till.payments.pending_review(limit=2, cursor=first.next_cursor)
    assert [i.reference for i in second.items] == [made[2].reference]
    assert second.next_cursor is None
    assert first.items[0].order_number == (await till.orders.get(order_id=made[0].order_id)).order_number


async def test_staff_list_payments_by_status_newest_first(till: Till) -> None:
    made = [await till.pending() for _ in range(3)]
    await till.payments.cancel(payment_id=made[1].id)
    assert [p.id for p in (await till.payments.list()).items] == [p.id for p in reversed(made)]
    page = await till.payments.list(status=S.PENDING, limit=1)
    assert [p.id for p in page.items] == [made[2].id]
    rest = await till.payments.list(status=S.PENDING, limit=1, cursor=page.next_cursor)
    assert ([p.id for p in rest.items], rest.next_cursor) == ([made[0].id], None)


# --- Verifying --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PRIN-03", "SBB-REC-01", "SBB-REC-04", "SBB-REC-05", "SBB-OVP-03")
async def test_an_order_is_paid_by_proof_and_review_alone(till: Till) -> None:
    await till.method("zelle")
    order = await till.order(method="zelle")
    (payment,) = await till.payments.for_order(order_id=order.id)
    assert (order.status, payment.status, payment.amount) == (O.PENDING_PAYMENT, S.PENDING, usd(10_000))
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    done = await till.payments.verify(payment_id=payment.id, notes="seen in the bank")
    assert (done.status, done.received_amount, done.verified_by) == (
        S.COMPLETED,
        usd(10_000),
        till.context.actor.user_id,
    )
    assert done.verified_at == done.completed_at
    assert done.verification_notes == "seen in the bank"
    assert done.failed_at is None
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_paid, after.amount_due) == (O.PAYMENT_RECEIVED, usd(10_000), usd(0))
    assert after.paid_at is not None
    assert await till.log(payment.id) == [
        (1, "customer_submit", "submitted", "admin"),  # staff typed in what the customer said on the phone
        (2, "admin_verify", "verified", "admin"),
    ]
    assert await till.told(payment.id) == ["payment.proof_uploaded", "payment.completed"]
    assert await till.told(order.id) == ["order.created", "order.payment_received"]


@pytest.mark.requirement("SBB-REC-04", "SBB-PAY-05")
async def test_verifying_twice_credits_once(till: Till) -> None:
    payment = await till.pending()
    await till.payments.verify(payment_id=payment.id)
    before, told = await till.row(payment.id), await till.told(payment.order_id)
    with pytest.raises(PaymentMoveRefused) as refused:
        await till.payments.verify(payment_id=payment.id, received=usd(1), notes="again")
    assert (refused.value.status, refused.value.to) == ("completed", "completed")
    assert await till.row(payment.id) == before
    assert (await till.orders.get(order_id=payment.order_id)).amount_paid == usd(10_000)
    assert len(await till.log(payment.id)) == 1
    assert await till.told(payment.order_id) == told


@pytest.mark.requirement("SBB-REC-04")
async def test_if_the_order_cannot_be_credited_nothing_is_verified(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await till.pending()
    before = await till.row(payment.id)

    async def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("storeroom.payments.steps.tell", fail)  # the last thing that is written
    with pytest.raises(ConnectionResetError):
        await till.payments.verify(payment_id=payment.id)
    assert await till.row(payment.id) == before
    assert await till.log(payment.id) == []
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid) == (O.PENDING_PAYMENT, usd(0))
    assert await till.told(order.id) == ["order.created"]


@pytest.mark.requirement("SBB-REC-05", "SBB-OVP-08")
async def test_part_payments_move_the_order_with_the_last_one(till: Till) -> None:
    first = await till.method("zelle")
    await till.method("check", method_type=PaymentMethodType.CHECK, payment_details={"payable_to": "The Shop"})
    order = await till.order()
    one = await till.payments.start(order_id=order.id, method=first.code, amount=usd(4_000))
    await till.payments.verify(payment_id=one.id)
    between = await till.orders.get(order_id=order.id)
    assert (between.status, between.amount_paid, between.amount_due) == (O.PENDING_PAYMENT, usd(4_000), usd(6_000))
    two = await till.payments.start(order_id=order.id, method="check")
    assert two.amount == usd(6_000)
    await till.payments.verify(payment_id=two.id)
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_due) == (O.PAYMENT_RECEIVED, usd(0))


@pytest.mark.requirement("SBB-OVP-09")
async def test_more_than_was_asked_is_accepted_and_due_back(till: Till) -> None:
    payment = await till.pending()
    done = await till.payments.verify(payment_id=payment.id, received=usd(12_500))
    assert (done.amount, done.received_amount) == (usd(10_000), usd(12_500))
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid, order.amount_due) == (O.PAYMENT_RECEIVED, usd(12_500), usd(-2_500))
    due = await till.orders.needing_refund()
    assert [item.order_number for item in due.items] == [order.order_number]


async def test_less_than_was_asked_leaves_the_rest_due(till: Till) -> None:
    payment = await till.pending()
    await till.payments.verify(payment_id=payment.id, received=usd(9_999))
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_due) == (O.PENDING_PAYMENT, usd(1))
    other = await till.pending()
    with pytest.raises(CurrencyMismatch):
        await till.payments.verify(payment_id=other.id, received=Money(10_000, "EUR"))
    assert (await till.payments.get(payment_id=other.id)).status is S.PENDING


@pytest.mark.requirement("SBB-PM-03")
@pytest.mark.parametrize("kind", [ActorKind.CUSTOMER, ActorKind.SYSTEM, ActorKind.WEBHOOK])
async def test_a_manual_payment_is_completed_by_an_administrator_and_by_nobody_else(
    till: Till, kind: ActorKind
) -> None:
    payment = await till.pending()
    actor = till.acting(kind)
    for call in (
        actor.verify(payment_id=payment.id),
        actor.reject(payment_id=payment.id, reason="no"),
        actor.record_received(order_id=payment.order_id, method="x", amount=usd(1)),
    ):
        with pytest.raises(StaffRequired):
            await call
    with pytest.raises(StaffRequired if kind is ActorKind.CUSTOMER else PaymentMethodIsManual):
        await actor.complete(payment_id=payment.id)
    with pytest.raises(PaymentMethodIsManual):
        await till.payments.complete(payment_id=payment.id)
    assert await till.payments.get(payment_id=payment.id) == payment


@pytest.mark.requirement("SBB-PM-03", "SBB-PAY-01")
async def test_an_automatic_payment_is_completed_without_an_administrator(till: Till) -> None:
    payment = await till.pending(method_type=PaymentMethodType.CARD, is_manual=False)
    provider = till.acting(ActorKind.WEBHOOK)
    assert (await provider.process(payment_id=payment.id)).status is S.PROCESSING
    done = await provider.complete(payment_id=payment.id)
    assert (done.status, done.received_amount, done.verified_by, done.verified_at) == (
        S.COMPLETED,
        usd(10_000),
        None,
        None,
    )
    assert (await till.orders.get(order_id=payment.order_id)).status is O.PAYMENT_RECEIVED
    with pytest.raises(PaymentMoveRefused):
        await provider.complete(payment_id=payment.id)
    assert (await till.orders.get(order_id=payment.order_id)).amount_paid == usd(10_000)


@pytest.mark.requirement("SIG-ORD-04")
async def test_cash_on_delivery_is_unpaid_until_the_courier_brought_the_money(till: Till) -> None:
    await till.method("cod", method_type=PaymentMethodType.COD, name="Cash on delivery", payment_details={})
    await till.method(
        "payhere", method_type=PaymentMethodType.PAYHERE, name="PayHere", payment_details={}, is_manual=False
    )
    cod, card = await till.order(method="cod"), await till.order(method="payhere")
    (cash,) = await till.payments.for_order(order_id=cod.id)
    (paid,) = await till.payments.for_order(order_id=card.id)
    await till.acting(ActorKind.WEBHOOK).complete(payment_id=paid.id)
    summary = "SELECT payment_method, is_paid FROM {customer_orders_summary} WHERE tenant_id = $1 ORDER BY id"
    assert await till.rows(summary) == [("Cash on delivery", False), ("PayHere", True)]
    assert cash.expires_at is None
    for step in (O.PROCESSING, O.SHIPPED, O.DELIVERED):
        await till.orders.move(order_id=cod.id, to=step)
        assert await till.rows(summary) == [("Cash on delivery", False), ("PayHere", True)]
    await till.payments.verify(payment_id=cash.id, notes="brought by the courier")
    assert await till.rows(summary) == [("Cash on delivery", True), ("PayHere", True)]
    assert (await till.orders.get(order_id=cod.id)).status is O.DELIVERED


async def test_an_order_paid_by_other_means_does_not_leave_before_its_money(till: Till) -> None:
    payment = await till.pending()
    with pytest.raises(OrderMoveRefused):
        await till.orders.move(order_id=payment.order_id, to=O.PROCESSING)
    assert (await till.orders.get(order_id=payment.order_id)).status is O.PENDING_PAYMENT


# --- Rejecting, cancelling, and money out of turn ---------------------------------------------------------------------


@pytest.mark.requirement("SBB-REC-06", "SBB-PA-02", "SBB-PA-03", "SBB-PAY-08")
async def test_a_rejection_needs_a_reason_and_leaves_the_order_as_it_is(till: Till) -> None:
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    before = await till.row(payment.id)
    with pytest.raises(InvalidPayment) as refused:
        await till.payments.reject(payment_id=payment.id, reason="  ")
    assert refused.value.field == "reason"
    assert await till.row(payment.id) == before
    rejected = await till.payments.reject(payment_id=payment.id, reason="no such transfer")
    assert (rejected.status, rejected.completed_at) == (S.FAILED, None)
    assert rejected.failed_at == rejected.updated_at
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid) == (O.PENDING_PAYMENT, usd(0))
    last = (await till.payments.attempts(payment_id=payment.id))[-1]
    assert (last.action, last.status, last.success, last.failure_reason) == (
        "admin_reject",
        "failed",
        False,
        "no such transfer",
    )
    view = await till.payments.customer_view(reference=payment.reference)
    assert (view.rejection, view.status, view.instructions) == ("no such transfer", S.FAILED, "Send it to us")


@pytest.mark.requirement("SBB-PA-01", "SBB-PA-02", "SBB-PA-04", "SBB-PA-05")
async def test_four_numbered_attempts_tell_the_story(till: Till) -> None:
    owner = await till.user()
    await till.method("zelle")
    order = await till.order(user_id=owner)
    customer = till.acting(ActorKind.CUSTOMER, owner)
    payment = await customer.start(order_id=order.id, method="zelle")
    await customer.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.payments.reject(payment_id=payment.id, reason="cannot be read")
    failed_at = (await till.payments.get(payment_id=payment.id)).failed_at
    await customer.submit_proof(reference=payment.reference, customer_reference="Z-2")
    done = await till.payments.verify(payment_id=payment.id)
    assert await till.log(payment.id) == [
        (1, "customer_submit", "submitted", "customer"),
        (2, "admin_reject", "failed", "admin"),
        (3, "customer_submit", "submitted", "customer"),
        (4, "admin_verify", "verified", "admin"),
    ]
    attempts = await till.payments.attempts(payment_id=payment.id)
    assert [a.performed_by for a in attempts] == [owner, till.context.actor.user_id] * 2
    assert (done.failed_at, done.customer_reference) == (failed_at, "Z-2")


async def test_a_customer_tries_a_bounded_number_of_times(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storeroom.payments.steps.ATTEMPTS_MAX", 2)
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.payments.reject(payment_id=payment.id, reason="no")
    with pytest.raises(PaymentAttemptsUsedUp):
        await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-2")
    assert (await till.payments.get(payment_id=payment.id)).status is S.FAILED
    assert len(await till.log(payment.id)) == 2


async def test_a_customer_may_withdraw_what_was_not_claimed_and_staff_also_what_was(till: Till) -> None:
    owner = await till.user()
    await till.method("zelle")
    order = await till.order(user_id=owner)
    customer = till.acting(ActorKind.CUSTOMER, owner)
    first, second = [await customer.start(order_id=order.id, method="zelle") for _ in range(2)]
    assert (await customer.cancel(payment_id=first.id)).status is S.CANCELLED
    await customer.submit_proof(reference=second.reference, customer_reference="Z-1")
    with pytest.raises(PaymentMoveRefused):
        await customer.cancel(payment_id=second.id)
    assert (await till.payments.cancel(payment_id=second.id)).status is S.CANCELLED
    assert await till.told(first.id) == ["payment.cancelled"]


async def test_ending_an_order_withdraws_what_nobody_claims_to_have_paid(till: Till) -> None:
    await till.method("zelle")
    order = await till.order()
    asked, claimed = [await till.payments.start(order_id=order.id, method="zelle") for _ in range(2)]
    await till.payments.submit_proof(reference=claimed.reference, customer_reference="Z-1")
    assert [p.id for p in await till.payments.cancel_open(order_id=order.id)] == [asked.id]
    assert [p.status for p in await till.payments.for_order(order_id=order.id)] == [
        S.CANCELLED,
        S.AWAITING_VERIFICATION,
    ]
    assert await till.told(asked.id) == ["payment.cancelled"]


@pytest.mark.requirement("SBB-OVP-09")
async def test_money_for_a_cancelled_order_is_recorded_and_due_back(till: Till) -> None:
    await till.method("wire", is_active=False, min_amount=usd(50_000))
    order = await till.order()
    await till.orders.cancel(order_id=order.id, reason="changed my mind")
    came = await till.payments.record_received(
        order_id=order.id, method="wire", amount=usd(10_000), reference="W-1", notes="two weeks late"
    )
    assert (came.status, came.amount, came.received_amount) == (S.COMPLETED, usd(10_000), usd(10_000))
    assert (came.customer_reference, came.verification_notes, came.expires_at) == ("W-1", "two weeks late", None)
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_paid) == (O.CANCELLED, usd(10_000))
    assert [item.order_number for item in (await till.orders.needing_refund()).items] == [order.order_number]
    assert await till.log(came.id) == [(1, "admin_verify", "verified", "admin")]
    assert await till.told(came.id) == ["payment.completed"]


async def test_money_that_came_unasked_pays_the_order(till: Till) -> None:
    await till.method("wire")
    order = await till.order()
    with pytest.raises(CurrencyMismatch):
        await till.payments.record_received(order_id=order.id, method="wire", amount=Money(1, "EUR"))
    with pytest.raises(InvalidPayment):
        await till.payments.record_received(order_id=order.id, method="wire", amount=usd(0))
    with pytest.raises(PaymentMethodNotFound):
        await till.payments.record_received(order_id=order.id, method="shells", amount=usd(1))
    assert await till.payments.for_order(order_id=order.id) == []
    await till.payments.record_received(order_id=order.id, method="wire", amount=usd(10_000))
    assert (await till.orders.get(order_id=order.id)).status is O.PAYMENT_RECEIVED


async def test_a_claim_on_a_cancelled_order_can_still_be_verified(till: Till) -> None:
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.orders.cancel(order_id=payment.order_id, reason="too slow")
    await till.payments.verify(payment_id=payment.id)
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid) == (O.CANCELLED, usd(10_000))


# --- Expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PAY-04", "SBB-PAY-01")
async def test_a_proof_comes_too_late_once_the_window_has_passed_whether_the_job_ran_or_not(till: Till) -> None:
    payment = await till.pending()
    await till.age(payment.id, timedelta(seconds=1))
    before = await till.row(payment.id)
    with pytest.raises(PaymentExpired):
        await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    assert await till.row(payment.id) == before
    await till.put(payment.id, S.EXPIRED)
    for proof in ({"customer_reference": "Z-1"}, {"file": b"%PDF-1.7"}):
        with pytest.raises(PaymentExpired):
            await till.payments.submit_proof(reference=payment.reference, **proof)
    assert await till.log(payment.id) == []
    with pytest.raises(PaymentMoveRefused):
        await till.payments.verify(payment_id=payment.id)


async def test_what_does_not_exist_is_not_found(till: Till) -> None:
    nothing = PaymentId(new_id())
    for call in (
        till.payments.get(payment_id=nothing),
        till.payments.by_reference(reference="PAY-AAAAA-AAAAA"),
        till.payments.verify(payment_id=nothing),
        till.payments.reject(payment_id=nothing, reason="no"),
        till.payments.cancel(payment_id=nothing),
        till.payments.complete(payment_id=nothing),
        till.payments.process(payment_id=nothing),
        till.payments.attempts(payment_id=nothing),
        till.payments.submit_proof(reference="PAY-AAAAA-AAAAA", customer_reference="Z-1"),
    ):
        with pytest.raises(PaymentNotFound):
            await call
