"""Every state of a payment against every other: what is allowed leaves its marks, what is not leaves nothing."""

from __future__ import annotations

import itertools
from datetime import timedelta

import asyncpg
import pytest
from till import Till

from storeroom.core.ids import PaymentId
from storeroom.core.states import sources
from storeroom.database.service import ActorKind
from storeroom.payments import (
    PAYMENT_MOVES,
    Payment,
    PaymentExpired,
    PaymentMoveRefused,
    PaymentStatus,
    expire_payments,
    queries,
)

S = PaymentStatus

# What a move changes beside the status, and nothing else: the milestones.
MARKS = {
    S.AWAITING_VERIFICATION: {"customer_reference"},
    S.COMPLETED: {"received_amount", "completed_at", "verified_at", "verified_by"},
    S.FAILED: {"failed_at"},
}
BY_A_PROVIDER = {"received_amount", "completed_at"}

# What a move leaves in the log. A provider's word, and a withdrawal, are told by the outbox alone.
LOGGED = {
    S.AWAITING_VERIFICATION: "customer_submit",
    S.COMPLETED: "admin_verify",
    S.FAILED: "admin_reject",
    S.EXPIRED: "auto_expire",
}


def test_the_moves_are_those_of_the_document() -> None:
    """Written by hand, so that the table cannot drift with the code that uses it."""
    assert {(a.value, b.value) for a, targets in PAYMENT_MOVES.items() for b in targets} == {
        ("pending", "awaiting_verification"),
        ("pending", "processing"),
        ("pending", "completed"),
        ("pending", "failed"),
        ("pending", "cancelled"),
        ("pending", "expired"),
        ("awaiting_verification", "completed"),
        ("awaiting_verification", "failed"),
        ("awaiting_verification", "cancelled"),
        ("processing", "completed"),
        ("processing", "failed"),
        ("failed", "awaiting_verification"),
        ("completed", "partially_refunded"),
        ("completed", "refunded"),
        ("partially_refunded", "refunded"),
    }


async def move(till: Till, payment: Payment, start: S, to: S) -> None:
    """The operation that brings a payment there; for refunds, which are made elsewhere, the statement of a move."""
    payments = till.payments
    match to:
        case S.AWAITING_VERIFICATION:
            await payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
        case S.COMPLETED if start is S.PROCESSING:
            await till.acting(ActorKind.WEBHOOK).complete(payment_id=payment.id)
        case S.COMPLETED:
            await payments.verify(payment_id=payment.id)
        case S.FAILED:
            await payments.reject(payment_id=payment.id, reason="no such transfer")
        case S.CANCELLED:
            await payments.cancel(payment_id=payment.id)
        case S.PROCESSING:
            await payments.process(payment_id=payment.id)
        case S.EXPIRED:
            await expire_payments(till.db)
        case _:
            await queries.move_payment(
                till.db,
                tenant_id=till.tenant_id,
                payment_id=payment.id,
                status=to,
                sources=sources(PAYMENT_MOVES, to),
            )


@pytest.mark.requirement("SBB-PAY-01", "SBB-PAY-08", "SBB-PA-03")
@pytest.mark.parametrize(("start", "to"), list(itertools.product(S, S)), ids=lambda state: state.value)
async def test_every_state_against_every_other(till: Till, start: S, to: S) -> None:
    automatic = S.PROCESSING in (start, to)
    payment = await till.pending(is_manual=not automatic)
    if start is not S.PENDING:
        await till.put(payment.id, start)
    if to is S.EXPIRED:
        await till.age(payment.id, timedelta(seconds=1))
    before = await till.row(payment.id)
    refusal: Exception | None = None
    try:
        await move(till, payment, start, to)
    except (PaymentMoveRefused, PaymentExpired) as error:
        refusal = error
    after = await till.row(payment.id)
    log = [action for _, action, _, _ in await till.log(payment.id)]
    told = await till.told(payment.id)
    if to not in PAYMENT_MOVES[start]:
        assert after == before
        assert (log, told) == ([], [])
        return
    assert refusal is None
    assert after["status"] == to
    marks = BY_A_PROVIDER if to is S.COMPLETED and start is S.PROCESSING else MARKS.get(to, set())
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"status", "updated_at"} | marks
    assert log == ([LOGGED[to]] if to in LOGGED and marks is not BY_A_PROVIDER else [])
    assert len(told) == (0 if to in (S.PROCESSING, S.REFUNDED, S.PARTIALLY_REFUNDED) else 1)


@pytest.mark.requirement("SBB-PAY-01", "SBB-PA-02", "SBB-PA-03", "SBB-PA-04")
@pytest.mark.parametrize("enum", ["payment_status", "attempt_status", "attempt_action", "attempt_actor"])
async def test_the_database_knows_no_other_values(till: Till, enum: str) -> None:
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await till.run(f"SELECT 'lost'::{{{enum}}} WHERE $1 <> ''")


@pytest.mark.requirement("SBB-PAY-08")
async def test_no_later_change_touches_a_milestone(till: Till) -> None:
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.payments.reject(payment_id=payment.id, reason="cannot be read")
    failed = await till.payments.get(payment_id=payment.id)
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-2")
    await till.payments.verify(payment_id=payment.id)
    done = await till.payments.get(payment_id=payment.id)
    assert (done.expires_at, done.failed_at) == (payment.expires_at, failed.failed_at)
    for status in (S.PARTIALLY_REFUNDED, S.REFUNDED):
        await queries.move_payment(
            till.db,
            tenant_id=till.tenant_id,
            payment_id=PaymentId(payment.id),
            status=status,
            sources=sources(PAYMENT_MOVES, status),
        )
    last = await till.payments.get(payment_id=payment.id)
    assert (last.status, last.completed_at, last.verified_at) == (S.REFUNDED, done.completed_at, done.verified_at)
