"""Transactions of Mastercard's gateway: paid only by the right indicator, credited once, and without card data."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import asyncpg
import pytest
from stand import CARD, SECURITY_CODE, Stand, eur

from factories import open_shop, usd
from rivals import race
from storeroom.core.ids import DomainId, OrderId, PaymentId, new_id
from storeroom.database.migrations import NotMigrated, migrate
from storeroom.database.pool import Database, Transaction
from storeroom.gateways import GatewayNotFound
from storeroom.hosted import (
    MPGS_MOVES,
    PAYMENT_STATUS,
    IndicatorRefused,
    InvalidHostedPayment,
    MpgsResult,
    MpgsStatus,
    RetryRefused,
    TransactionNotFound,
    TransactionTaken,
    ensure_mpgs_transactions,
    map_mpgs_transaction,
)
from storeroom.orders import OrderNotFound
from storeroom.payments import PaymentNotFound, PaymentStatus
from storeroom.room import Storeroom

M = MpgsStatus
RIGHT = "8b1f6a6e6b0d4c57"  # as Stand.transaction stores it
CAPTURED = MpgsResult(
    status=M.CAPTURED,
    received=usd(10_000),
    order_status="CAPTURED",
    gateway_code="APPROVED",
    gateway_transaction_id="1",
    acquirer_code="00",
    authorization_code="028442",
    card_brand="MASTERCARD",
    card_last4="2346",
    three_ds_status="AUTHENTICATION_SUCCESSFUL",
    transaction_receipt="307512345678",
    raw={"status": "CAPTURED"},
)


@pytest.mark.requirement("RED-MPGS-01")
async def test_a_session_and_its_outcome_read_back(stand: Stand) -> None:
    domain = await stand.shop.domains.create(domain_name="shop.example")
    await stand.shop.gateways.create(id="mpgs", name="MPGS")
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    order, made = await stand.transaction(
        order_ref_id="ref-1", merchant_id="TESTSHOP", expires_at=at, domain_id=domain.id, legacy_id=7, gateway_id="mpgs"
    )
    assert (made.payment_status, made.amount, made.order_id, made.legacy_id) == (M.INITIATED, usd(10_000), order.id, 7)
    assert (made.order_ref_id, made.order_increment_id, made.merchant_id) == ("ref-1", order.number, "TESTSHOP")
    assert (made.session_version, made.expires_at, made.domain_id) == ("1f2a3b4c01", at, domain.id)
    assert (made.result_indicator, made.paid_at, made.retry_of, made.raw_response) == (None, None, None, None)
    assert "success_indicator" not in made.__struct_fields__

    done = await stand.shop.mpgs_transactions.confirm(
        session_id=made.session_id, result_indicator=RIGHT, result=CAPTURED
    )
    assert done == await stand.shop.mpgs_transactions.find(session_id=made.session_id)
    assert (done.payment_status, done.received, done.result_indicator) == (M.CAPTURED, usd(10_000), RIGHT)
    assert done.paid_at is not None and done.settled_payment_id == made.payment_id
    words = ("order_status", "gateway_code", "gateway_transaction_id", "acquirer_code", "authorization_code")
    for name in (*words, "card_brand", "card_last4", "three_ds_status", "transaction_receipt"):
        assert getattr(done, name) == getattr(CAPTURED, name)
    assert done.raw_response == {"status": "CAPTURED"}
    await stand.shop.domains.delete(domain_id=DomainId(domain.id))  # what happened there does not hold it
    assert (await stand.shop.mpgs_transactions.get(transaction_id=done.id)).domain_id == domain.id


@pytest.mark.requirement("RED-MPGS-02")
async def test_session_and_indicator_stay_as_first_recorded(stand: Stand) -> None:
    _, made = await stand.transaction()
    await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT)
    with pytest.raises(IndicatorRefused):
        await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator="0" * 16)
    for status in (M.REFUNDED, M.EXPIRED):
        await stand.shop.mpgs_transactions.update(session_id=made.session_id, result=MpgsResult(status=status))
    kept = await stand.shop.mpgs_transactions.get(transaction_id=made.id)
    assert (kept.session_id, kept.result_indicator, kept.payment_status) == (made.session_id, RIGHT, M.REFUNDED)


@pytest.mark.requirement("RED-MPGS-03")
async def test_only_the_right_indicator_pays(stand: Stand) -> None:
    order, made = await stand.transaction()
    for wrong in ("", "8b1f6a6e6b0d4c58", RIGHT[:-1], RIGHT.upper(), "é" * 300):
        with pytest.raises(IndicatorRefused):
            await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=wrong)
    still = await stand.shop.mpgs_transactions.get(transaction_id=made.id)
    assert (still.payment_status, still.paid_at, still.result_indicator) == (M.INITIATED, None, "8b1f6a6e6b0d4c58")
    assert await stand.paid(order) == ("pending_payment", 0, [("pending", None)])
    assert await stand.audited("hosted.confirm") == 5
    done = await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT)
    assert (done.payment_status, done.result_indicator) == (M.CAPTURED, RIGHT)
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_without_a_stored_indicator_nothing_pays(stand: Stand) -> None:
    order, made = await stand.transaction(success_indicator=None)
    for said in ("", "None"):
        with pytest.raises(IndicatorRefused):
            await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=said)
    assert await stand.paid(order) == ("pending_payment", 0, [("pending", None)])


@pytest.mark.requirement("RED-MPGS-04", "RED-GEN-07")
async def test_two_at_once_with_one_session_leave_one(stand: Stand, database: Database) -> None:
    async def first(tx: Transaction) -> None:
        await stand.shop.mpgs_transactions.bound(tx).create(session_id="SESSION1", amount=usd(1))

    outcome = await race(
        database, first, lambda: stand.shop.mpgs_transactions.create(session_id="SESSION1", amount=usd(2))
    )
    assert isinstance(outcome, TransactionTaken) and outcome.field == "session_id"
    assert isinstance(outcome.__cause__, asyncpg.UniqueViolationError)
    found = await stand.shop.mpgs_transactions.list()
    assert ([each.amount for each in found.items], found.total) == ([usd(1)], 1)


@pytest.mark.requirement("RED-MPGS-05")
async def test_statuses_are_these_and_each_means_one_of_a_payment(stand: Stand) -> None:
    assert {status: PAYMENT_STATUS[status] for status in M} == {
        M.INITIATED: PaymentStatus.PENDING,
        M.PENDING: PaymentStatus.PROCESSING,
        M.AUTHORIZED: PaymentStatus.PROCESSING,
        M.CAPTURED: PaymentStatus.COMPLETED,
        M.FAILED: PaymentStatus.FAILED,
        M.CANCELLED: PaymentStatus.CANCELLED,
        M.EXPIRED: PaymentStatus.EXPIRED,
        M.REFUNDED: PaymentStatus.REFUNDED,
    }
    _, made = await stand.transaction()
    assert made.payment_status is M.INITIATED
    labels = await stand.shop.context.db.fetch("SELECT unnest(enum_range(NULL::mpgs_payment_status))::text AS label")
    assert [row["label"] for row in labels] == [status.value for status in M]
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await stand.run("UPDATE {mpgs_transactions} SET payment_status = 'paid' WHERE tenant_id = $1")


@pytest.mark.requirement("RED-MPGS-05")
@pytest.mark.parametrize("status", [status for status in M if status not in (M.INITIATED, M.REFUNDED)])
async def test_the_payment_follows_the_transaction(stand: Stand, status: MpgsStatus) -> None:
    order, made = await stand.transaction()
    done = await stand.shop.mpgs_transactions.update(session_id=made.session_id, result=MpgsResult(status=status))
    assert done.payment_status is status
    (payment,) = await stand.shop.payments.for_order(order_id=order.id)
    assert payment.status is PAYMENT_STATUS[status]


@pytest.mark.parametrize("old", list(M))
@pytest.mark.parametrize("new", list(M))
async def test_every_move_is_in_the_table_or_does_nothing(stand: Stand, old: MpgsStatus, new: MpgsStatus) -> None:
    made = await stand.shop.mpgs_transactions.create(session_id="SESSION1", amount=usd(1))
    await stand.run("UPDATE {mpgs_transactions} SET payment_status = $2 WHERE tenant_id = $1", old)
    result = MpgsResult(status=new, order_status="X")
    done = await stand.shop.mpgs_transactions.update(session_id=made.session_id, result=result)
    moved = new is old or new in MPGS_MOVES[old]
    assert (done.payment_status, done.order_status) == ((new, "X") if moved else (old, None))


@pytest.mark.requirement("RED-MPGS-06")
async def test_the_helper_may_be_called_again_and_the_constraint_is_there_once(stand: Stand) -> None:
    db = stand.shop.context.db
    for _ in range(2):
        await ensure_mpgs_transactions(db)
    constraints = await db.fetch(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint "
        "WHERE conrelid = 'mpgs_transactions'::regclass AND contype = 'u'"
    )
    assert [row["text"] for row in constraints] == ["UNIQUE (tenant_id, session_id)"]
    await stand.shop.mpgs_transactions.create(session_id="SESSION1", amount=usd(1))
    with pytest.raises(TransactionTaken):
        await stand.shop.mpgs_transactions.create(session_id="SESSION1", amount=usd(1))


@pytest.mark.requirement("RED-MPGS-06")
async def test_before_the_migration_the_helper_names_it(fresh_database) -> None:  # type: ignore[no-untyped-def]
    dsn = await fresh_database(empty=True)
    async with await Database.open(dsn, role=None) as db:
        with pytest.raises(NotMigrated, match="0021 hosted_sessions"):
            await ensure_mpgs_transactions(db)
        await migrate(dsn)
        await ensure_mpgs_transactions(db)


@pytest.mark.requirement("RED-MPGS-07")
@pytest.mark.parametrize(("said", "kept"), [("", None), ("  \t", None), (None, None), (" 8b1f ", "8b1f")])
def test_blank_text_is_none(said: str | None, kept: str | None) -> None:
    at = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
    fields = map_mpgs_transaction.__annotations__["return"].__struct_fields__
    row = {
        **dict.fromkeys(fields),
        **dict.fromkeys(("received_amount", "received_currency", "success_indicator", "polled_at")),
        "id": str(new_id()),
        "session_id": "SESSION1",
        "amount": 100,
        "currency": "USD",
        "payment_status": "initiated",
        "result_indicator": said,
        "failure_reason": said,
        "raw_response": '{"a": 1}',
        "paid_at": at.astimezone(timezone(timedelta(hours=4))),
        "created_at": "2026-03-01 12:30:15.25",
        "updated_at": "2026-03-01T16:30:15.25+04:00",
    }
    mapped = map_mpgs_transaction(row)
    assert (mapped.result_indicator, mapped.failure_reason, mapped.raw_response) == (kept, kept, {"a": 1})
    for instant in (mapped.paid_at, mapped.created_at, mapped.updated_at):
        assert instant == at and instant.utcoffset() == timedelta(0)


@pytest.mark.requirement("RED-MPGS-08")
async def test_what_failed_is_tried_again_in_a_row_of_its_own(stand: Stand) -> None:
    order, failed = await stand.transaction()
    with pytest.raises(RetryRefused):
        await stand.shop.mpgs_transactions.retry(
            transaction_id=failed.id, session_id="SESSION2", amount=usd(10_000), success_indicator="x"
        )
    await stand.shop.mpgs_transactions.update(
        session_id=failed.session_id, result=MpgsResult(status=M.FAILED, failure_reason="DECLINED")
    )
    payment = await stand.shop.payments.start(order_id=order.id, method=await stand.method("again"))
    again = await stand.shop.mpgs_transactions.retry(
        transaction_id=failed.id,
        session_id="SESSION2",
        amount=usd(10_000),
        success_indicator="second",
        payment_id=payment.id,
    )
    assert (again.retry_of, again.order_id, again.order_increment_id) == (failed.id, order.id, order.number)
    found = await stand.shop.mpgs_transactions.list(order_id=order.id)
    assert [(each.id, each.retry_of) for each in found.items] == [(again.id, failed.id), (failed.id, None)]
    assert len({each.session_id for each in found.items}) == found.total == 2
    await stand.shop.mpgs_transactions.confirm(session_id="SESSION2", result_indicator="second")
    assert await stand.paid(order) == ("payment_received", 10_000, [("failed", None), ("completed", 10_000)])
    for other in (failed.id, again.id):  # repeated already, and paid
        with pytest.raises(RetryRefused):
            await stand.shop.mpgs_transactions.retry(transaction_id=other, session_id="SESSION3", amount=usd(1))


async def test_two_retries_at_once_leave_one(stand: Stand, database: Database) -> None:
    _, failed = await stand.transaction()
    await stand.shop.mpgs_transactions.update(session_id=failed.session_id, result=MpgsResult(status=M.FAILED))

    async def first(tx: Transaction) -> None:
        await stand.shop.mpgs_transactions.bound(tx).retry(
            transaction_id=failed.id, session_id="SESSION2", amount=usd(10_000)
        )

    outcome = await race(
        database,
        first,
        lambda: stand.shop.mpgs_transactions.retry(transaction_id=failed.id, session_id="SESSION3", amount=usd(10_000)),
    )
    assert isinstance(outcome, RetryRefused)


@pytest.mark.requirement("RED-MPGS-09")
async def test_five_returns_at_once_credit_once(stand: Stand) -> None:
    order, made = await stand.transaction()
    done = await asyncio.gather(
        *(
            stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT, result=CAPTURED)
            for _ in range(5)
        )
    )
    assert {(each.payment_status, each.paid_at) for each in done} == {(M.CAPTURED, done[0].paid_at)}
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])
    assert await stand.told("payment.completed") == 1
    history = await stand.shop.orders.history(order_id=order.id)
    assert [change.to_status for change in history].count("payment_received") == 1


@pytest.mark.requirement("RED-MPGS-09")
async def test_five_returns_at_once_after_the_payment_had_expired_credit_once(stand: Stand) -> None:
    """Nothing but the transaction's own lock stands between them: the payment is past completing."""
    order, made = await stand.transaction()
    assert made.payment_id is not None
    await stand.put(made.payment_id, PaymentStatus.EXPIRED)
    confirm = stand.shop.mpgs_transactions.confirm
    done = await asyncio.gather(
        *(confirm(session_id=made.session_id, result_indicator=RIGHT, result=CAPTURED) for _ in range(5))
    )
    assert len({each.settled_payment_id for each in done}) == 1
    assert await stand.paid(order) == ("payment_received", 10_000, [("expired", None), ("completed", 10_000)])


@pytest.mark.requirement("RED-MPGS-09")
async def test_a_second_return_waits_for_the_first_and_finds_it_done(stand: Stand, database: Database) -> None:
    _, made = await stand.transaction()

    async def first(tx: Transaction) -> None:
        await stand.shop.mpgs_transactions.bound(tx).confirm(session_id=made.session_id, result_indicator=RIGHT)

    second = await race(
        database,
        first,
        lambda: stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT),
    )
    assert second.payment_status is M.CAPTURED
    assert await stand.told("payment.completed") == 1


@pytest.mark.requirement("RED-MPGS-10")
async def test_each_condition_alone_and_together_finds_its_rows(stand: Stand) -> None:
    orders = [(await stand.order())[0].id for _ in range(2)]
    made = {}
    for number in range(8):
        session_id, indicator = f"SESSION{number}", f"indicator{number}"
        await stand.shop.mpgs_transactions.create(
            session_id=session_id,
            amount=usd(1),
            success_indicator=indicator,
            order_id=orders[number % 2],
            transaction_reference=f"PAY-{number % 3}",
        )
        if number % 4 == 0:
            await stand.shop.mpgs_transactions.confirm(session_id=session_id, result_indicator=indicator)
        made[number] = session_id

    async def found(**conditions: object) -> tuple[list[int], int]:
        page = await stand.shop.mpgs_transactions.list(**conditions)  # type: ignore[arg-type]
        return [int(each.session_id.removeprefix("SESSION")) for each in page.items], page.total

    assert await found() == ([7, 6, 5, 4, 3, 2, 1, 0], 8)
    assert await found(session_id="SESSION3") == ([3], 1)
    assert await found(order_id=orders[0]) == ([6, 4, 2, 0], 4)
    assert await found(transaction_reference="PAY-1") == ([7, 4, 1], 3)
    assert await found(result_indicator="indicator4") == ([4], 1)
    assert await found(status=M.CAPTURED) == ([4, 0], 2)
    assert await found(order_id=orders[0], transaction_reference="PAY-1") == ([4], 1)
    assert await found(order_id=orders[1], status=M.CAPTURED) == ([], 0)
    assert await found(transaction_reference="PAY-0", status=M.CAPTURED, result_indicator="indicator0") == ([0], 1)
    assert await found(
        session_id="SESSION4",
        order_id=orders[0],
        transaction_reference="PAY-1",
        result_indicator="indicator4",
        status=M.CAPTURED,
    ) == ([4], 1)
    first = await stand.shop.mpgs_transactions.list(order_id=orders[1], limit=3)
    assert first.total == 4
    assert await found(order_id=orders[1], cursor=first.next_cursor) == ([1], 4)


@pytest.mark.requirement("RED-MPGS-11")
async def test_no_card_number_and_no_code_is_stored_anywhere(stand: Stand) -> None:
    order, made = await stand.transaction(session_version=f"v {CARD}")
    dashed = "-".join(CARD[place : place + 4] for place in range(0, 16, 4))
    raw = {
        "sourceOfFunds": {
            "provided": {
                "card": {"number": CARD, "securityCode": SECURITY_CODE, "expiry": {"month": "1", "year": "39"}}
            }
        },
        "transaction": [{"cvv": SECURITY_CODE, "note": f"paid by {dashed}, CVV: {SECURITY_CODE}", "pan": int(CARD)}],
        CARD: "a key",
        "rawText": '{"cardNumber":"4111 1111 1111 1111","cvc":"739"}',
    }
    await stand.shop.mpgs_transactions.confirm(
        session_id=made.session_id,
        result_indicator=RIGHT,
        result=MpgsResult(
            status=M.CAPTURED,
            transaction_receipt=f"receipt of {CARD}",
            failure_reason=f"card {dashed} cvv={SECURITY_CODE}",
            card_last4=CARD,
            card_brand=f"VISA {CARD}",
            raw=raw,
        ),
    )
    done = await stand.shop.mpgs_transactions.update(
        session_id=made.session_id, result=MpgsResult(status=M.CAPTURED, raw=raw, gateway_code=CARD)
    )
    text = await stand.all_text()
    assert made.session_id in text, "the control: this is where it would be"
    for secret in (CARD, dashed, CARD[:13], "4111 1111 1111 1111", f'"{SECURITY_CODE}"', f"={SECURITY_CODE}"):
        assert secret not in text
    assert f"CVV: {SECURITY_CODE}" not in text
    assert done.raw_response is not None
    assert done.raw_response["sourceOfFunds"]["provided"]["card"]["number"] == "****1111"
    assert done.raw_response["sourceOfFunds"]["provided"]["card"]["expiry"] == {"month": "1", "year": "39"}
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_an_answer_without_end_is_not_kept(stand: Stand) -> None:
    _, made = await stand.transaction()
    done = await stand.shop.mpgs_transactions.update(
        session_id=made.session_id, result=MpgsResult(status=M.PENDING, raw={"x": "y" * 100_000})
    )
    assert done.raw_response == {"left_out": "100008 bytes"}


@pytest.mark.parametrize(("came", "status"), [(9_000, "pending_payment"), (11_000, "payment_received")])
async def test_another_amount_is_recorded_as_what_came(stand: Stand, came: int, status: str) -> None:
    order, made = await stand.transaction()
    done = await stand.shop.mpgs_transactions.confirm(
        session_id=made.session_id, result_indicator=RIGHT, result=MpgsResult(status=M.CAPTURED, received=usd(came))
    )
    assert (done.received, done.amount) == (usd(came), usd(10_000))
    assert done.failure_reason == f"asked 100.00 USD, received {came // 100}.00 USD"
    assert await stand.paid(order) == (status, came, [("completed", came)])


async def test_another_currency_is_credited_to_nothing(stand: Stand) -> None:
    order, made = await stand.transaction()
    done = await stand.shop.mpgs_transactions.confirm(
        session_id=made.session_id, result_indicator=RIGHT, result=MpgsResult(status=M.CAPTURED, received=eur(10_000))
    )
    assert (done.received, done.settled_payment_id) == (eur(10_000), None)
    assert await stand.paid(order) == ("pending_payment", 0, [("pending", None)])
    assert await stand.told("payment.mismatch") == 1


@pytest.mark.parametrize("given_up", [M.FAILED, M.CANCELLED, M.EXPIRED])
async def test_what_was_given_up_and_is_paid_after_all_is_credited(stand: Stand, given_up: MpgsStatus) -> None:
    order, made = await stand.transaction()
    await stand.shop.mpgs_transactions.update(session_id=made.session_id, result=MpgsResult(status=given_up))
    done = await stand.shop.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT)
    assert done.payment_status is M.CAPTURED
    ended = PAYMENT_STATUS[given_up].value
    assert await stand.paid(order) == ("payment_received", 10_000, [(ended, None), ("completed", 10_000)])


async def test_the_gateways_word_goes_before_the_indicator(stand: Stand) -> None:
    """The return looks right, and the gateway, asked since, says that it only set the money aside."""
    order, made = await stand.transaction()
    done = await stand.shop.mpgs_transactions.confirm(
        session_id=made.session_id, result_indicator=RIGHT, result=MpgsResult(status=M.AUTHORIZED)
    )
    assert (done.payment_status, done.paid_at, done.result_indicator) == (M.AUTHORIZED, None, RIGHT)
    assert await stand.paid(order) == ("pending_payment", 0, [("processing", None)])
    await stand.shop.mpgs_transactions.update(session_id=made.session_id, result=CAPTURED)
    assert await stand.paid(order) == ("payment_received", 10_000, [("completed", 10_000)])


async def test_what_is_out_of_bounds_or_not_there_is_refused(stand: Stand) -> None:
    create = stand.shop.mpgs_transactions.create
    unknown = new_id()
    for expected, call in (
        (InvalidHostedPayment, create(session_id="", amount=usd(1))),
        (InvalidHostedPayment, create(session_id="S", amount=usd(-1))),
        (OrderNotFound, create(session_id="S", amount=usd(1), order_id=OrderId(unknown))),
        (PaymentNotFound, create(session_id="S", amount=usd(1), payment_id=PaymentId(unknown))),
        (GatewayNotFound, create(session_id="S", amount=usd(1), gateway_id="nobody")),
        (TransactionNotFound, create(session_id="S", amount=usd(1), retry_of=unknown)),
        (TransactionNotFound, stand.shop.mpgs_transactions.get(transaction_id=unknown)),
        (TransactionNotFound, stand.shop.mpgs_transactions.find(session_id="S")),
        (TransactionNotFound, stand.shop.mpgs_transactions.confirm(session_id="S", result_indicator=RIGHT)),
        (TransactionNotFound, stand.shop.mpgs_transactions.update(session_id="S", result=CAPTURED)),
    ):
        with pytest.raises(expected):
            await call
    assert (await stand.shop.mpgs_transactions.list()).total == 0


async def test_a_number_of_the_former_system_is_there_once(stand: Stand) -> None:
    await stand.shop.mpgs_transactions.create(session_id="S1", amount=usd(1), legacy_id=7)
    with pytest.raises(TransactionTaken) as taken:
        await stand.shop.mpgs_transactions.create(session_id="S2", amount=usd(1), legacy_id=7)
    assert taken.value.field == "legacy_id"


async def test_another_shop_may_have_the_same_session(stand: Stand, room: Storeroom) -> None:
    _, made = await stand.transaction()
    other = await open_shop(room)
    with pytest.raises(TransactionNotFound):
        await other.mpgs_transactions.confirm(session_id=made.session_id, result_indicator=RIGHT)
    assert (await other.mpgs_transactions.list()).total == 0
    await other.mpgs_transactions.create(session_id=made.session_id, amount=usd(1))
