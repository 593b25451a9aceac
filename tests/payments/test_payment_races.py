"""Two at once: one verification, one credit, no gap in the log, and the proof that without the guards it goes wrong."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from till import PNG, Till, usd
from typing_extensions import override

from rivals import race
from storeroom.core.ids import new_id
from storeroom.database.pool import Transaction
from storeroom.database.service import ActorKind
from storeroom.orders import OrderStatus
from storeroom.payments import (
    Payment,
    PaymentExpired,
    PaymentMoveRefused,
    Payments,
    PaymentStatus,
    ProofStore,
    expire_payments,
    queries,
)
from storeroom.payments.model import ProofFile

S = PaymentStatus


@pytest.mark.requirement("SBB-PAY-05", "SBB-REC-04")
async def test_two_administrators_verify_at_once_and_the_order_is_credited_once(till: Till) -> None:
    payment = await till.pending()
    second = till.acting(ActorKind.ADMIN, await till.user())
    refusal = await race(
        till.db,
        lambda tx: till.payments.bound(tx).verify(payment_id=payment.id, notes="mine"),
        lambda: second.verify(payment_id=payment.id, received=usd(1), notes="no, mine"),
    )
    assert isinstance(refusal, PaymentMoveRefused)
    assert refusal.facts() == {"reference": payment.reference, "status": "completed", "to": "completed"}
    done = await till.payments.get(payment_id=payment.id)
    assert (done.verified_by, done.verification_notes, done.received_amount) == (
        till.context.actor.user_id,
        "mine",
        usd(10_000),
    )
    assert (await till.orders.get(order_id=payment.order_id)).amount_paid == usd(10_000)
    assert [action for _, action, _, _ in await till.log(payment.id)] == ["admin_verify"]
    assert await till.told(payment.id) == ["payment.completed"]


async def test_control_a_read_before_the_write_credits_twice(till: Till) -> None:
    """The same meeting without the guard in the UPDATE."""
    payment = await till.pending()

    async def verify(tx: Transaction) -> None:
        sql = tx.names.render
        seen = await tx.fetchval(
            sql("SELECT status FROM {payments} WHERE tenant_id = $1 AND id = $2"), till.tenant_id, payment.id
        )
        if seen == "pending":
            await tx.execute(
                sql("UPDATE {orders} SET amount_paid = amount_paid + 10000 WHERE tenant_id = $1 AND id = $2"),
                till.tenant_id,
                payment.order_id,
            )
            await tx.execute(
                sql(
                    "UPDATE {payments} SET status = 'completed', received_amount = 10000, completed_at = now() "
                    "WHERE tenant_id = $1 AND id = $2"
                ),
                till.tenant_id,
                payment.id,
            )

    await race(till.db, verify, lambda: till.db.run(verify))
    assert await till.one("SELECT amount_paid FROM {orders} WHERE tenant_id = $1") == 20_000


@pytest.mark.requirement("SBB-OVP-08", "SBB-REC-05")
async def test_two_halves_that_complete_at_once_make_the_order_paid_exactly_once(till: Till) -> None:
    for code in ("zelle", "cash"):
        await till.method(code)
    order = await till.order()
    halves = [await till.payments.start(order_id=order.id, method=m, amount=usd(5_000)) for m in ("zelle", "cash")]
    outcome = await race(
        till.db,
        lambda tx: till.payments.bound(tx).verify(payment_id=halves[0].id),
        lambda: till.payments.verify(payment_id=halves[1].id),
    )
    assert isinstance(outcome, Payment)
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_paid, after.amount_due) == (OrderStatus.PAYMENT_RECEIVED, usd(10_000), usd(0))
    assert await till.told(order.id) == ["order.created", "order.payment_received"]
    history = await till.rows("SELECT to_status FROM {order_status_history} WHERE tenant_id = $1 ORDER BY sequence")
    assert history == [("pending_payment",), ("payment_received",)]


async def test_many_payments_of_one_order_complete_at_once_without_a_deadlock(till: Till) -> None:
    await till.method("zelle")
    order = await till.order(10_000)
    parts = [await till.payments.start(order_id=order.id, method="zelle", amount=usd(1_000)) for _ in range(10)]
    await asyncio.gather(*(till.payments.verify(payment_id=part.id) for part in parts))
    after = await till.orders.get(order_id=order.id)
    assert (after.status, after.amount_paid) == (OrderStatus.PAYMENT_RECEIVED, usd(10_000))
    assert (await till.told(order.id)).count("order.payment_received") == 1


async def test_an_order_cancelled_while_its_payment_is_verified_ends_as_one_of_the_two(till: Till) -> None:
    payment = await till.pending()

    async def cancel(tx: Transaction) -> None:
        await till.orders.bound(tx).cancel(order_id=payment.order_id, reason="changed my mind")
        await till.payments.bound(tx).cancel_open(order_id=payment.order_id)

    refusal = await race(till.db, cancel, lambda: till.payments.verify(payment_id=payment.id))
    assert isinstance(refusal, PaymentMoveRefused)
    order = await till.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid) == (OrderStatus.CANCELLED, usd(0))


class Gate(ProofStore):
    """A store that keeps nothing until `expected` files have come, and looks who holds a transaction meanwhile."""

    def __init__(self, inner: ProofStore, till: Till, expected: int, *, begun: datetime) -> None:
        super().__init__(inner._store)
        self.till, self.expected, self.begun = till, expected, begun
        self.come = 0
        self.open_transactions: list[int] = []
        self.all_here = asyncio.Event()

    @override
    async def put(self, file: bytes, **where: Any) -> ProofFile:
        self.come += 1
        if self.come == self.expected:
            self.open_transactions.append(
                await self.till.one(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND $1 <> '' "
                    "AND xact_start > $2",  # what another test has just left is none of these
                    self.begun,
                )
            )
            self.all_here.set()
        async with asyncio.timeout(60):
            await self.all_here.wait()
        return await super().put(file, **where)


@pytest.mark.requirement("SBB-PA-05")
async def test_ten_attempts_at_once_are_numbered_without_gap_or_repeat(till: Till) -> None:
    payment = await till.pending()
    gate = Gate(till.files, till, 10, begun=await till.one("SELECT now() WHERE $1 <> ''"))
    payments = Payments(till.context, files=gate)
    outcomes = await asyncio.gather(
        *(payments.submit_proof(reference=payment.reference, file=PNG) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Payment) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PaymentMoveRefused) for outcome in outcomes) == 9
    log = await till.log(payment.id)
    assert [(number, status) for number, _, status, _ in log] == [
        *((number, "initiated") for number in range(1, 11)),
        (11, "submitted"),
    ]
    assert gate.open_transactions == [0], "a file is stored while no transaction is open"


async def test_control_numbers_counted_without_the_lock_are_given_twice(till: Till) -> None:
    """Two count the same attempts, and only the unique constraint keeps the second from being written."""
    payment = await till.pending()

    async def attempt(tx: Transaction) -> None:
        await queries.add_attempt(
            tx,
            tenant_id=till.tenant_id,
            attempt_id=new_id(),
            payment_id=payment.id,
            status="submitted",
            action="customer_submit",
            performed_by=None,
            performed_by_type="customer",
            success=True,
            failure_reason=None,
            request_data=None,
            ip_address=None,
            user_agent=None,
        )

    outcome = await race(till.db, attempt, lambda: till.db.run(attempt))
    assert isinstance(outcome, asyncpg.UniqueViolationError)


# --- Expiry and its rivals --------------------------------------------------------------------------------------------


async def test_a_proof_that_came_in_time_is_not_overtaken_by_the_job(till: Till) -> None:
    """The customer's transaction began before the window ended; the job finds the row held and leaves it alone."""
    payment = await till.pending()
    async with till.db.transaction() as customer:
        await customer.fetchval("SELECT now()")
        await till.age(payment.id, timedelta(0))
        sent = await till.payments.bound(customer).submit_proof(reference=payment.reference, customer_reference="Z-1")
        assert sent.status is S.AWAITING_VERIFICATION
        async with asyncio.timeout(60):
            await expire_payments(till.db)
    assert (await till.payments.get(payment_id=payment.id)).status is S.AWAITING_VERIFICATION
    assert [action for _, action, _, _ in await till.log(payment.id)] == ["customer_submit"]
    await expire_payments(till.db)
    assert (await till.payments.get(payment_id=payment.id)).status is S.AWAITING_VERIFICATION


async def test_a_proof_that_meets_the_job_is_refused_and_leaves_nothing(till: Till) -> None:
    payment = await till.pending()
    async with till.db.transaction() as customer:
        await customer.fetchval("SELECT now()")  # in time, by the clock of this transaction
        await till.age(payment.id, timedelta(0))
        outcome = await race(
            till.db,
            lambda job: queries.expire_overdue(job, tenant_id=till.tenant_id, size=10),
            lambda: till.payments.bound(customer).submit_proof(reference=payment.reference, customer_reference="Z-1"),
        )
    assert isinstance(outcome, PaymentExpired)
    assert (await till.payments.get(payment_id=payment.id)).status is S.EXPIRED
    assert await till.log(payment.id) == []


async def test_a_verification_meets_the_job_and_the_money_counts(till: Till) -> None:
    payment = await till.pending()
    await till.age(payment.id, timedelta(hours=1))
    async with till.db.transaction() as tx:
        await till.payments.bound(tx).verify(payment_id=payment.id)
        await expire_payments(till.db)
    assert (await till.payments.get(payment_id=payment.id)).status is S.COMPLETED


async def test_two_settings_changed_at_once_are_both_kept(till: Till) -> None:
    method = await till.method("zelle")
    await race(
        till.db,
        lambda tx: till.methods.bound(tx).update(method_id=method.id, name="Zelle, new"),
        lambda: till.methods.update(method_id=method.id, sort_order=7),
    )
    after = await till.methods.get(method_id=method.id)
    assert (after.name, after.sort_order) == ("Zelle, new", 7)
