"""The job that ends what nobody paid in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from till import Till, open_till, usd

from storeroom.database.pool import Database
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus, expire_payments

S = PaymentStatus


@pytest.mark.requirement("SBB-REC-07", "SBB-PA-03", "SBB-PA-04", "SBB-PAY-08")
async def test_one_second_past_its_window_a_payment_expires_and_one_within_does_not(till: Till) -> None:
    late, early = await till.pending(), await till.pending()
    await till.age(late.id, timedelta(seconds=1))
    await till.age(early.id, timedelta(seconds=-60))
    before = await till.row(early.id)
    await expire_payments(till.db)
    expired = await till.payments.get(payment_id=late.id)
    assert (expired.status, expired.completed_at, expired.failed_at) == (S.EXPIRED, None, None)
    (attempt,) = await till.payments.attempts(payment_id=late.id)
    assert (attempt.action, attempt.performed_by, attempt.performed_by_type) == ("auto_expire", None, "system")
    assert await till.told(late.id) == ["payment.expired"]
    assert await till.row(early.id) == before
    assert await till.log(early.id) == []


@pytest.mark.requirement("SBB-REC-07")
async def test_what_awaits_verification_never_expires(till: Till) -> None:
    payment = await till.pending()
    await till.payments.submit_proof(reference=payment.reference, customer_reference="Z-1")
    await till.age(payment.id, timedelta(days=365))
    before = await till.row(payment.id)
    await expire_payments(till.db)
    assert await till.row(payment.id) == before


@pytest.mark.requirement("SBB-REC-08")
async def test_after_expiry_the_order_can_be_paid_by_another_payment(till: Till) -> None:
    payment = await till.pending(code="zelle")
    await till.age(payment.id, timedelta(seconds=1))
    await expire_payments(till.db)
    order = await till.orders.get(order_id=payment.order_id)
    assert order.status is OrderStatus.PENDING_PAYMENT
    again = await till.payments.start(order_id=order.id, method="zelle")
    await till.payments.submit_proof(reference=again.reference, customer_reference="Z-2")
    await till.payments.verify(payment_id=again.id)
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_paid) == (OrderStatus.PAYMENT_RECEIVED, usd(10_000))
    assert [p.status for p in await till.payments.for_order(order_id=order.id)] == [S.EXPIRED, S.COMPLETED]


@pytest.mark.requirement("SBB-REC-07", "SBB-PA-05")
async def test_two_runs_at_once_expire_each_payment_once_in_bounded_batches_for_every_tenant(
    fresh_database: Callable[..., Awaitable[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storeroom.payments.jobs.BATCH_MAX", 2)
    async with await Database.open(await fresh_database()) as db:
        tills = [await open_till(db, tmp_path) for _ in range(2)]
        made = [(till, await till.pending()) for till in tills for _ in range(5)]
        for till, payment in made:
            await till.age(payment.id, timedelta(seconds=1))
        assert await expire_payments(db, limit=3) == 3
        assert sum(await asyncio.gather(expire_payments(db), expire_payments(db))) + await expire_payments(db) == 7
        for till, payment in made:
            assert (await till.payments.get(payment_id=payment.id)).status is S.EXPIRED
            assert await till.log(payment.id) == [(1, "auto_expire", "failed", "system")]
            assert await till.told(payment.id) == ["payment.expired"]
        assert await expire_payments(db) == 0


async def test_a_payment_that_another_run_holds_is_left_to_it(till: Till) -> None:
    payment = await till.pending()
    await till.age(payment.id, timedelta(seconds=1))
    async with till.db.transaction() as other:
        await other.execute(
            other.names.render("SELECT FROM {payments} WHERE tenant_id = $1 AND id = $2 FOR UPDATE"),
            till.tenant_id,
            payment.id,
        )
        async with asyncio.timeout(60):
            await expire_payments(till.db)
        assert await till.log(payment.id) == []
    await expire_payments(till.db)
    assert [action for _, action, _, _ in await till.log(payment.id)] == ["auto_expire"]
