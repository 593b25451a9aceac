"""Checkout sessions: kept as they were opened, completed once whatever is said of them, and never honoured after expiry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from stand import CARD, Stand, eur

from factories import open_shop, usd
from rivals import race
from storeroom.core.ids import PaymentId, new_id
from storeroom.core.states import sources
from storeroom.database.pool import Database, Transaction
from storeroom.gateways import GatewayInUse, GatewayNotFound
from storeroom.hosted import (
    STRIPE_SESSION_MOVES,
    HostedSessionExpired,
    HostedSessionNotFound,
    HostedSessionTaken,
    InvalidHostedPayment,
    StripeSessionStatus,
    map_stripe_session,
)
from storeroom.payments import PaymentNotFound, PaymentStatus
from storeroom.room import Shop, Storeroom

S = StripeSessionStatus


@pytest.mark.requirement("CED-STR-01", "CED-OP-082")
async def test_a_session_reads_back_as_it_was_saved(stand: Stand) -> None:
    order, payment = await stand.order(12_950)
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    await stand.shop.gateways.create(id="stripe", name="Stripe")
    saved = await stand.shop.hosted_sessions.save(
        id="cs_test_1",
        resource_id=order.number,
        amount=usd(12_950),
        customer_email="bo@buyer.example",
        metadata={"cart": "c-1", "lines": [1, 2]},
        gateway_id="stripe",
        payment_id=payment.id,
        url="https://checkout.stripe.com/c/pay/cs_test_1",
        expires_at=at,
    )
    assert saved == await stand.shop.hosted_sessions.get(session_id="cs_test_1")
    assert (saved.resource_id, saved.status, saved.amount) == (order.number, S.PENDING, usd(12_950))
    assert (saved.customer_email, saved.metadata) == ("bo@buyer.example", {"cart": "c-1", "lines": [1, 2]})
    assert (saved.payment_id, saved.expires_at, saved.completed_at, saved.received) == (payment.id, at, None, None)
    assert await stand.shop.hosted_sessions.of_payment(payment_id=payment.id) == saved


@pytest.mark.requirement("CED-STR-01")
async def test_a_record_written_without_a_tenant_is_of_default(database: Database) -> None:
    """The table's own default, in a transaction that is undone: other tests know nothing of the tenant default."""
    session_id = f"cs_test_{new_id().hex}"

    class Undone(Exception): ...

    with pytest.raises(Undone):
        async with database.transaction() as tx:
            await tx.execute(
                "INSERT INTO stripe_sessions (id, resource_id, amount, currency) VALUES ($1, 'ebook', $2, 'USD')",
                session_id,
                2**53 + 1,
            )
            row = await tx.fetchval(
                "SELECT to_jsonb(s) FROM stripe_sessions s WHERE tenant_id = 'default' AND id = $1", session_id
            )
            found = map_stripe_session(row)
            assert (found.id, found.resource_id, found.amount) == (session_id, "ebook", usd(2**53 + 1))
            assert (found.status, found.metadata, found.customer_email) == (S.PENDING, {}, None)
            raise Undone


async def test_a_gateway_that_took_money_is_not_deleted(stand: Stand) -> None:
    await stand.shop.gateways.create(id="stripe", name="Stripe")
    await stand.session(gateway_id="stripe")
    with pytest.raises(GatewayInUse):
        await stand.shop.gateways.delete(gateway_id="stripe")


async def test_saved_again_it_is_the_same_and_other_facts_are_refused(stand: Stand) -> None:
    order, saved = await stand.session()
    facts = {"id": saved.id, "resource_id": order.number, "amount": usd(10_000), "payment_id": saved.payment_id}
    assert await stand.shop.hosted_sessions.save(**facts) == saved  # type: ignore[arg-type]
    for other in ({"amount": usd(1)}, {"resource_id": "x"}, {"id": "cs_test_another"}):
        with pytest.raises(HostedSessionTaken):
            await stand.shop.hosted_sessions.save(**{**facts, **other})  # type: ignore[arg-type]
    assert (await stand.shop.hosted_sessions.list()).items == [saved]


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", ""), ("id", "x" * 256), ("resource_id", " \n"), ("amount", usd(-1)), ("metadata", {"x": "y" * 11_000})],
)
async def test_what_is_out_of_bounds_is_refused(stand: Stand, field: str, value: object) -> None:
    facts: dict[str, object] = {"id": "cs_test_1", "resource_id": "x", "amount": usd(1), field: value}
    with pytest.raises(InvalidHostedPayment) as refused:
        await stand.shop.hosted_sessions.save(**facts)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert (await stand.shop.hosted_sessions.list()).items == []


async def test_a_payment_or_gateway_that_is_not_there_is_refused(stand: Stand) -> None:
    with pytest.raises(GatewayNotFound):
        await stand.shop.hosted_sessions.save(id="cs_test_1", resource_id="x", amount=usd(1), gateway_id="nobody")
    with pytest.raises(PaymentNotFound):
        await stand.shop.hosted_sessions.save(
            id="cs_test_1", resource_id="x", amount=usd(1), payment_id=PaymentId(new_id())
        )


@pytest.mark.requirement("CED-OP-082")
async def test_completing_twice_completes_once(stand: Stand) -> None:
    order, session = await stand.session()
    once = await stand.shop.hosted_sessions.complete(session_id=session.id, payment_intent="pi_1")
    again = await stand.shop.hosted_sessions.complete(session_id=session.id, received=usd(5), payment_intent="pi_2")
    assert once == again and once.completed_at is not None
    assert (once.status, once.received, once.payment_intent) == (S.COMPLETED, usd(10_000), "pi_1")
    assert (once.settled_payment_id, once.remark) == (session.payment_id, None)
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])
    assert await stand.told("payment.completed") == 1
    assert await stand.shop.hosted_sessions.of_intent(payment_intent="pi_1") == once


async def test_completed_by_two_at_once_the_order_moves_once(stand: Stand, database: Database) -> None:
    order, session = await stand.session()

    async def first(tx: Transaction) -> None:
        await stand.shop.hosted_sessions.bound(tx).complete(session_id=session.id)

    second = await race(database, first, lambda: stand.shop.hosted_sessions.complete(session_id=session.id))
    assert second.status is S.COMPLETED
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])
    assert await stand.told("payment.completed") == 1


@pytest.mark.requirement("CED-STR-02")
async def test_an_expired_session_cannot_complete(stand: Stand) -> None:
    order, session = await stand.session()
    expired = await stand.shop.hosted_sessions.expire(session_id=session.id)
    assert (expired.status, expired.completed_at) == (S.EXPIRED, None)
    with pytest.raises(HostedSessionExpired):
        await stand.shop.hosted_sessions.complete(session_id=session.id)
    assert await stand.shop.hosted_sessions.get(session_id=session.id) == expired
    assert await stand.paid(order) == ("pending_payment", 0, [("expired", None)])


@pytest.mark.requirement("CED-STR-02")
async def test_no_other_status_can_be_written(stand: Stand) -> None:
    _, session = await stand.session()
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await stand.run("UPDATE {stripe_sessions} SET status = 'open' WHERE tenant_id = $1 AND id = $2", session.id)
    assert sources(STRIPE_SESSION_MOVES, S.COMPLETED) == sources(STRIPE_SESSION_MOVES, S.EXPIRED) == [S.PENDING]
    with pytest.raises(asyncpg.CheckViolationError, match="completed_when"):
        await stand.run(
            "UPDATE {stripe_sessions} SET status = 'completed' WHERE tenant_id = $1 AND id = $2", session.id
        )


async def test_expiry_after_completion_changes_nothing(stand: Stand) -> None:
    order, session = await stand.session()
    completed = await stand.shop.hosted_sessions.complete(session_id=session.id)
    assert await stand.shop.hosted_sessions.expire(session_id=session.id, failed=True) == completed
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_money_after_expiry_is_kept_in_a_payment_of_its_own(stand: Stand) -> None:
    """Stripe took it, whatever we thought: the session stays expired, the order is paid, and the remark says how."""
    order, session = await stand.session()
    await stand.shop.hosted_sessions.expire(session_id=session.id)
    late = await stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(10_000), payment_intent="pi_9")
    again = await stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(10_000), payment_intent="pi_9")
    assert late == again
    assert (late.status, late.received, late.completed_at) == (S.EXPIRED, usd(10_000), None)
    assert late.remark is not None and late.remark.startswith("the session had expired; the payment had ended")
    assert await stand.paid(order) == ("payment_received", 10_000, [("expired", None), ("completed", 10_000)])
    assert late.settled_payment_id not in (None, session.payment_id)


@pytest.mark.parametrize(("came", "status"), [(9_000, "pending_payment"), (11_000, "payment_received")])
async def test_another_amount_is_recorded_as_what_came(stand: Stand, came: int, status: str) -> None:
    order, session = await stand.session()
    completed = await stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(came))
    assert completed.remark == f"asked 100.00 USD, received {came // 100}.00 USD"
    assert await stand.paid(order) == (status, came, [("completed", came)])


async def test_another_currency_is_credited_to_nothing_and_told(stand: Stand) -> None:
    order, session = await stand.session()
    completed = await stand.shop.hosted_sessions.receive(session_id=session.id, received=eur(10_000))
    assert (completed.status, completed.received, completed.settled_payment_id) == (S.COMPLETED, eur(10_000), None)
    assert completed.remark == "asked 100.00 USD, received 100.00 EUR; credited to no payment"
    assert await stand.paid(order) == ("pending_payment", 0, [("pending", None)])
    assert (await stand.told("payment.mismatch"), await stand.audited("hosted.mismatch")) == (1, 1)


async def test_money_that_staff_saw_first_is_not_counted_again(stand: Stand, shop: Shop) -> None:
    order, session = await stand.session()
    assert session.payment_id is not None
    await shop.payments.verify(payment_id=session.payment_id)
    completed = await stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(10_000))
    assert completed.remark == "staff had seen the money before"
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_money_for_a_cancelled_order_is_due_back(stand: Stand, shop: Shop) -> None:
    order, session = await stand.session()
    await shop.cancellation.cancel(order_id=order.id, reason="sold out")
    await stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(10_000))
    assert await stand.paid(order) == ("cancelled", 10_000, [("cancelled", None), ("completed", 10_000)])


async def test_a_proof_of_the_customer_does_not_stand_in_the_way(stand: Stand, shop: Shop) -> None:
    order, session = await stand.session()
    assert session.payment_id is not None
    payment = await shop.payments.get(payment_id=session.payment_id)
    await shop.payments.submit_proof(reference=payment.reference, customer_reference="I paid")
    await stand.shop.hosted_sessions.receive(session_id=session.id)
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_a_slow_payment_waits_and_then_comes_or_fails(stand: Stand) -> None:
    for fails in (False, True):
        order, session = await stand.session()
        for _ in range(2):
            await stand.shop.hosted_sessions.processing(session_id=session.id)
        assert await stand.paid(order) == ("pending_payment", 0, [("processing", None)])
        if fails:
            ended = await stand.shop.hosted_sessions.expire(session_id=session.id, failed=True, reason="no funds")
            assert (ended.status, ended.remark) == (S.EXPIRED, "no funds")
            assert await stand.paid(order) == ("pending_payment", 0, [("failed", None)])
        else:
            await stand.shop.hosted_sessions.receive(session_id=session.id)
            assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])
        await stand.shop.hosted_sessions.processing(session_id=session.id)  # late news changes nothing


async def test_a_session_without_a_payment_keeps_its_record_alone(stand: Stand) -> None:
    await stand.shop.hosted_sessions.save(id="cs_test_1", resource_id="ebook", amount=usd(500))
    completed = await stand.shop.hosted_sessions.complete(session_id="cs_test_1", received=usd(400))
    assert (completed.received, completed.settled_payment_id) == (usd(400), None)
    assert completed.remark == "asked 5.00 USD, received 4.00 USD"


@pytest.mark.requirement("CED-OP-082")
async def test_lists_are_by_resource_and_status_newest_first(stand: Stand) -> None:
    made: dict[str, list[str]] = {"ebook": [], "course": []}
    for number in range(6):
        resource = "ebook" if number % 2 else "course"
        session = await stand.shop.hosted_sessions.save(id=f"cs_{number}", resource_id=resource, amount=usd(1))
        made[resource].insert(0, session.id)
    await stand.shop.hosted_sessions.complete(session_id="cs_1")
    await stand.shop.hosted_sessions.expire(session_id="cs_2")

    async def ids(**conditions: object) -> list[str]:
        return [each.id for each in (await stand.shop.hosted_sessions.list(**conditions)).items]  # type: ignore[arg-type]

    assert await ids() == ["cs_5", "cs_4", "cs_3", "cs_2", "cs_1", "cs_0"]
    assert await ids(resource_id="ebook") == made["ebook"]
    assert await ids(status=S.COMPLETED) == ["cs_1"]
    assert await ids(status=S.PENDING) == ["cs_5", "cs_4", "cs_3", "cs_0"]
    assert await ids(resource_id="ebook", status=S.PENDING) == ["cs_5", "cs_3"]
    assert await ids(resource_id="course", status=S.COMPLETED) == []
    page = await stand.shop.hosted_sessions.list(limit=4)
    assert await ids(cursor=page.next_cursor) == ["cs_1", "cs_0"]


async def test_another_shop_has_its_own_sessions(stand: Stand, room: Storeroom) -> None:
    _, session = await stand.session()
    other = await open_shop(room)
    with pytest.raises(HostedSessionNotFound):
        await other.hosted_sessions.complete(session_id=session.id)
    theirs = await other.hosted_sessions.save(id=session.id, resource_id="x", amount=usd(1))
    assert theirs.amount != (await stand.shop.hosted_sessions.get(session_id=session.id)).amount


async def test_a_customer_completes_nothing(stand: Stand) -> None:
    order, session = await stand.session()
    with pytest.raises(Exception, match="only staff"):
        await stand.as_customer.hosted_sessions.complete(session_id=session.id)
    assert (await stand.shop.hosted_sessions.get(session_id=session.id)).status is S.PENDING
    assert await stand.paid(order) == ("pending_payment", 0, [("pending", None)])


async def test_card_numbers_are_not_kept_in_metadata(stand: Stand) -> None:
    await stand.shop.hosted_sessions.save(
        id="cs_test_1", resource_id="x", amount=usd(1), metadata={"note": f"card {CARD}", "cvc": "739"}
    )
    assert CARD not in await stand.all_text()
    assert (await stand.shop.hosted_sessions.get(session_id="cs_test_1")).metadata == {"note": "card ****1111"}


async def test_a_payment_that_expired_before_its_money_came(stand: Stand) -> None:
    order, session = await stand.session()
    assert session.payment_id is not None
    await stand.put(session.payment_id, PaymentStatus.EXPIRED)
    done = await asyncio.gather(
        *(stand.shop.hosted_sessions.receive(session_id=session.id, received=usd(10_000)) for _ in range(5))
    )
    assert len({each.settled_payment_id for each in done}) == 1
    assert await stand.paid(order) == ("payment_received", 10_000, [("expired", None), ("completed", 10_000)])


def test_a_row_in_any_form_is_the_same() -> None:
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    row = {
        **dict.fromkeys(("customer_email", "gateway_id", "payment_id", "url", "payment_intent", "received_amount")),
        **dict.fromkeys(("received_currency", "settled_payment_id", "expires_at", "completed_at")),
        "id": "cs_1",
        "resource_id": "x",
        "status": "pending",
        "amount": 5,
        "currency": "USD",
        "metadata": '{"a": 1}',
        "remark": "  ",
        "created_at": "2026-03-01 12:30:00",
        "updated_at": at + timedelta(0),
    }
    mapped = map_stripe_session(row)
    assert (mapped.metadata, mapped.remark, mapped.created_at, mapped.updated_at) == ({"a": 1}, None, at, at)
