"""Refunds of purchases made elsewhere: decided by staff, sent once, never more than was paid."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from factories import make_product, place
from refund_desk import Desk, usd
from rivals import race
from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.orders import OrderStatus
from storeroom.payments import Payment, PaymentStatus, StaffRequired
from storeroom.refunds import (
    REFUND_QUOTE_MOVES,
    InvalidRefundQuote,
    RefundMethod,
    RefundQuote,
    RefundQuoteDraft,
    RefundQuoteExceedsPurchase,
    RefundQuoteExpired,
    RefundQuoteMoveRefused,
    RefundQuoteNotFound,
    RefundQuoteStatus,
    RefundSignatureUsed,
)
from storeroom.refunds.jobs import remove_expired_quotes
from storeroom.room import Shop

Q = RefundQuoteStatus


def sol(amount: int) -> Money:
    return Money(amount, "SOL")


def draft(id_: str = "rq-1", **facts: Any) -> RefundQuoteDraft:
    return RefundQuoteDraft(
        **{
            "id": id_,
            "original_purchase_id": "sig-1",
            "recipient_wallet": "7xKXwallet",
            "amount": sol(1_500_000_001),
            **facts,
        }
    )


async def expire(desk: Desk, *, ago: timedelta = timedelta(0)) -> None:
    await desk.run("UPDATE {refund_quotes} SET expires_at = now() - $2::interval WHERE tenant_id = $1", ago)


async def paid_for(desk: Desk, amount: Money, *, signature: str = "sig-1", payment_id: Any = None) -> None:
    """A row of the ledger of payments, as wallets write it."""
    await desk.run("INSERT INTO {payment_signatures} (tenant_id, signature) VALUES ($1, $2)", signature)
    await desk.run(
        "INSERT INTO {payment_transactions} (tenant_id, signature, resource_id, wallet, amount, amount_asset, payment_id) "
        "VALUES ($1, $2, 'product-1', '7xKXwallet', $3, $4, $5)",
        signature,
        amount.amount,
        amount.currency,
        payment_id,
    )


@pytest.mark.requirement("CED-OP-007", "CED-OP-008", "CED-RQ-01")
async def test_a_quote_reads_back_as_it_was_saved_and_is_replaced_while_pending(desk: Desk, other: Shop) -> None:
    quotes = desk.shop.refund_quotes
    asked = draft(
        token="wSOL", token_mint="So11111111111111111111111111111111111111112", reason="broken", metadata={"a": [1]}
    )
    saved = await quotes.save(quote=asked)
    assert (saved.status, saved.expired, saved.amount, saved.token_decimals) == (
        Q.PENDING,
        False,
        sol(1_500_000_001),
        9,
    )
    assert saved.amount.decimal().as_tuple().digits == (1, 5, 0, 0, 0, 0, 0, 0, 0, 1), "to the ninth decimal"
    assert saved.expires_at - saved.created_at == timedelta(minutes=15)
    assert {name: getattr(saved, name) for name in ("token", "token_mint", "reason", "metadata")} == {
        "token": "wSOL",
        "token_mint": "So11111111111111111111111111111111111111112",
        "reason": "broken",
        "metadata": {"a": [1]},
    }
    assert await quotes.get(quote_id="rq-1") == saved
    again = await quotes.save(quote=draft(amount=sol(7), recipient_wallet="9yKX", expires_in=timedelta(hours=1)))
    assert (again.amount, again.recipient_wallet, again.token, again.reason) == (sol(7), "9yKX", "SOL", None)
    assert await quotes.get(quote_id="rq-1") == again
    assert await desk.one("SELECT count(*) FROM {refund_quotes} WHERE tenant_id = $1") == 1
    for asker, quote_id in ((quotes, "rq-2"), (other.refund_quotes, "rq-1")):
        with pytest.raises(RefundQuoteNotFound):
            await asker.get(quote_id=quote_id)
    await quotes.deny(quote_id="rq-1")
    with pytest.raises(RefundQuoteMoveRefused):
        await quotes.save(quote=draft())
    assert (await quotes.get(quote_id="rq-1")).amount == sol(7)


@pytest.mark.requirement("CED-OP-013")
async def test_a_batch_is_kept_whole_or_not_at_all(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for bad in (draft("rq-3", amount=sol(0)), draft("rq-3", recipient_wallet=" "), draft("rq-2")):
        with pytest.raises(InvalidRefundQuote):
            await quotes.save_many(quotes=[draft("rq-1"), draft("rq-2"), bad])
    await paid_for(desk, sol(10), signature="sig-9")
    with pytest.raises(RefundQuoteExceedsPurchase):  # found after two of them were written
        await quotes.save_many(
            quotes=[draft("rq-1"), draft("rq-2"), draft("rq-3", original_purchase_id="sig-9", amount=sol(11))]
        )
    with pytest.raises(InvalidRefundQuote):
        await quotes.save_many(quotes=[])
    assert await desk.one("SELECT count(*) FROM {refund_quotes} WHERE tenant_id = $1") == 0
    saved = await quotes.save_many(quotes=[draft("rq-2"), draft("rq-1"), draft("rq-3")])
    assert [quote.id for quote in saved] == ["rq-2", "rq-1", "rq-3"]
    assert await desk.one("SELECT count(*) FROM {refund_quotes} WHERE tenant_id = $1") == 3


@pytest.mark.requirement("CED-OP-009")
async def test_the_newest_quote_of_a_purchase_is_found(desk: Desk, other: Shop) -> None:
    quotes = desk.shop.refund_quotes
    for quote_id in ("rq-b", "rq-c", "rq-a"):
        await quotes.save(quote=draft(quote_id, amount=sol(1)))
    await quotes.save(quote=draft("rq-z", original_purchase_id="sig-2"))
    assert (await quotes.by_original_purchase(purchase_id="sig-1")).id == "rq-a"
    for asker, purchase_id in ((quotes, "sig-3"), (other.refund_quotes, "sig-1")):
        with pytest.raises(RefundQuoteNotFound):
            await asker.by_original_purchase(purchase_id=purchase_id)


@pytest.mark.requirement("CED-OP-010")
async def test_what_is_not_yet_processed_is_listed_oldest_first(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for number in range(6):
        await quotes.save(quote=draft(f"rq-{9 - number}", original_purchase_id=f"sig-{number}"))
    await quotes.deny(quote_id="rq-9")
    await quotes.mark_processed(quote_id="rq-8", processed_by="ann", signature="out-1")
    await quotes.approve(quote_id="rq-6")
    await desk.run("UPDATE {refund_quotes} SET expires_at = now() WHERE tenant_id = $1 AND id IN ('rq-5', 'rq-6')")
    page = await quotes.list_pending(limit=2)
    rest = await quotes.list_pending(limit=2, cursor=page.next_cursor)
    assert [quote.id for quote in [*page.items, *rest.items]] == ["rq-7", "rq-6", "rq-4"]
    assert rest.next_cursor is None


@pytest.mark.requirement("CED-RQ-02")
@pytest.mark.parametrize("start", list(Q))
@pytest.mark.parametrize("to", [Q.APPROVED, Q.DENIED, Q.PROCESSED])
async def test_each_move_is_allowed_or_refused(desk: Desk, start: Q, to: Q) -> None:
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft())
    moves = {
        Q.APPROVED: lambda: quotes.approve(quote_id="rq-1"),
        Q.DENIED: lambda: quotes.deny(quote_id="rq-1"),
        Q.PROCESSED: lambda: quotes.mark_processed(quote_id="rq-1", processed_by="bo", signature="out-1"),
    }
    if start is not Q.PENDING:
        await moves[start]()
    before = await quotes.get(quote_id="rq-1")
    allowed = {(Q.PENDING, Q.APPROVED), (Q.PENDING, Q.DENIED), (Q.PENDING, Q.PROCESSED), (Q.APPROVED, Q.PROCESSED)}
    if (start, to) in allowed:
        assert (await moves[to]()).status is to
    else:
        with pytest.raises(RefundQuoteMoveRefused):
            await moves[to]()
        assert await quotes.get(quote_id="rq-1") == before
    assert (to in REFUND_QUOTE_MOVES[start]) == ((start, to) in allowed)


@pytest.mark.requirement("CED-RQ-02")
async def test_no_other_status_is_stored(desk: Desk) -> None:
    await desk.shop.refund_quotes.save(quote=draft())
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await desk.run("UPDATE {refund_quotes} SET status = 'sent' WHERE tenant_id = $1")


@pytest.mark.requirement("CED-OP-011")
async def test_of_two_who_send_it_at_once_one_does(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft())
    outcome = await race(
        desk.db,
        lambda tx: quotes.bound(tx).mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1"),
        lambda: quotes.mark_processed(quote_id="rq-1", processed_by="bo", signature="out-2"),
    )
    assert isinstance(outcome, RefundQuoteMoveRefused)
    done = await quotes.get(quote_id="rq-1")
    assert (done.status, done.processed_by, done.signature) == (Q.PROCESSED, "ann", "out-1")
    assert done.processed_at is not None
    with pytest.raises(asyncpg.CheckViolationError, match="refund_quotes_processed_whole"):
        await desk.run("UPDATE {refund_quotes} SET signature = NULL WHERE tenant_id = $1")


async def test_control_a_status_read_first_is_sent_twice(desk: Desk) -> None:
    """The same meeting where the status is looked at and then written."""
    await desk.shop.refund_quotes.save(quote=draft())
    sent: list[str] = []

    async def send(tx: Transaction) -> None:
        sql = tx.names.render
        tenant = desk.shop.tenant_id
        status = await tx.fetchval(sql("SELECT status FROM {refund_quotes} WHERE tenant_id = $1"), tenant)
        if status == "pending":
            sent.append("once")
            await tx.execute(
                sql(
                    "UPDATE {refund_quotes} SET status = 'processed', processed_by = 'x', processed_at = now(), "
                    "signature = 'x' WHERE tenant_id = $1"
                ),
                tenant,
            )

    await race(desk.db, send, lambda: desk.db.run(send))
    assert sent == ["once", "once"]


@pytest.mark.requirement("CED-OP-011")
async def test_one_transaction_sends_one_refund(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for number in (1, 2):
        await quotes.save(quote=draft(f"rq-{number}"))
    await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1")
    with pytest.raises(RefundSignatureUsed):
        await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="out-1")
    assert (await quotes.get(quote_id="rq-2")).status is Q.PENDING


@pytest.mark.requirement("CED-OP-012")
async def test_a_quote_is_removed_unless_it_was_processed(desk: Desk, other: Shop) -> None:
    quotes = desk.shop.refund_quotes
    for number in (1, 2):
        await quotes.save(quote=draft(f"rq-{number}"))
    with pytest.raises(RefundQuoteNotFound):
        await other.refund_quotes.delete(quote_id="rq-1")
    await quotes.delete(quote_id="rq-1")
    for gone in (quotes.get, quotes.delete):
        with pytest.raises(RefundQuoteNotFound):
            await gone(quote_id="rq-1")
    await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="out-1")
    with pytest.raises(RefundQuoteMoveRefused):
        await quotes.delete(quote_id="rq-2")
    assert (await quotes.get(quote_id="rq-2")).status is Q.PROCESSED


async def test_time_ends_a_pending_quote_and_not_an_approved_one(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for number in (1, 2):
        await quotes.save(quote=draft(f"rq-{number}"))
    await quotes.approve(quote_id="rq-2")
    await expire(desk)
    assert [(await quotes.get(quote_id=f"rq-{n}")).expired for n in (1, 2)] == [True, False]
    for late in (
        quotes.approve(quote_id="rq-1"),
        quotes.deny(quote_id="rq-1"),
        quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1"),
    ):
        with pytest.raises(RefundQuoteExpired):
            await late
    await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="out-1")
    await remove_expired_quotes(desk.db)
    assert (await quotes.get(quote_id="rq-1")).expired, "it is kept for a day"
    await expire(desk, ago=timedelta(days=1))
    while await remove_expired_quotes(desk.db):
        pass
    with pytest.raises(RefundQuoteNotFound):
        await quotes.get(quote_id="rq-1")
    assert (await quotes.get(quote_id="rq-2")).status is Q.PROCESSED


async def test_quotes_of_a_purchase_stay_within_what_was_paid(desk: Desk) -> None:
    await paid_for(desk, sol(100))
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft("rq-1", amount=sol(60)))
    with pytest.raises(RefundQuoteExceedsPurchase) as refused:
        await quotes.save(quote=draft("rq-2", amount=sol(41)))
    assert (refused.value.asked, refused.value.left) == (sol(41), sol(40))
    with pytest.raises(CurrencyMismatch):
        await quotes.save(quote=draft("rq-2", amount=Money(1, "USDC")))
    await quotes.save(quote=draft("rq-1", amount=sol(100)))  # itself does not count against it
    await quotes.deny(quote_id="rq-1")
    await quotes.save(quote=draft("rq-3", amount=sol(30)))
    await expire(desk)
    await quotes.save(quote=draft("rq-4", amount=sol(100)))
    await quotes.mark_processed(quote_id="rq-4", processed_by="ann", signature="out-1")
    with pytest.raises(RefundQuoteExceedsPurchase):
        await quotes.save(quote=draft("rq-5", amount=sol(1)))


async def test_two_quotes_of_the_rest_at_once_are_one(desk: Desk) -> None:
    await paid_for(desk, sol(100))
    quotes = desk.shop.refund_quotes
    outcome = await race(
        desk.db,
        lambda tx: quotes.bound(tx).save(quote=draft("rq-1", amount=sol(60))),
        lambda: quotes.save(quote=draft("rq-2", amount=sol(60))),
    )
    assert isinstance(outcome, RefundQuoteExceedsPurchase)
    outcomes = await asyncio.gather(
        *(quotes.save(quote=draft(f"rq-{n}", amount=sol(10))) for n in range(10, 20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, RefundQuote) for outcome in outcomes) == 4


async def test_what_was_quoted_before_its_purchase_was_known_stays_within_it_too(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for quote_id, amount in (("rq-1", 100), ("rq-2", 100), ("rq-3", 6), ("rq-4", 6), ("rq-5", 6)):
        await quotes.save(quote=draft(quote_id, amount=sol(amount)))
    await quotes.approve(quote_id="rq-1")  # whose purchase nobody knows yet
    await quotes.approve(quote_id="rq-4")
    await paid_for(desk, sol(10))
    for quote_id, asked in (("rq-1", 100), ("rq-2", 100), ("rq-3", 6)):
        with pytest.raises(RefundQuoteExceedsPurchase) as refused:
            await quotes.mark_processed(quote_id=quote_id, processed_by="ann", signature=f"s-{quote_id}")
        assert refused.value.asked == sol(asked)
    with pytest.raises(RefundQuoteExceedsPurchase):
        await quotes.approve(quote_id="rq-2")
    await quotes.mark_processed(quote_id="rq-4", processed_by="ann", signature="s-rq-4")
    for left in (0, 4):  # rq-1 was promised more than there is, until it is taken away
        with pytest.raises(RefundQuoteExceedsPurchase) as refused:
            await quotes.approve(quote_id="rq-5")
        assert refused.value.left == sol(left)
        if left == 0:
            await quotes.delete(quote_id="rq-1")
    assert [(await quotes.get(quote_id=f"rq-{n}")).status for n in range(2, 6)] == [
        Q.PENDING,
        Q.PENDING,
        Q.PROCESSED,
        Q.PENDING,
    ]
    await quotes.save(quote=draft("rq-6", original_purchase_id="sig-2"))
    await paid_for(desk, usd(10), signature="sig-2")
    with pytest.raises(CurrencyMismatch):
        await quotes.approve(quote_id="rq-6")


@pytest.mark.parametrize("step", ["approve", "process"])
async def test_two_quotes_of_a_purchase_that_became_known_are_decided_one_after_the_other(
    desk: Desk, step: str
) -> None:
    quotes = desk.shop.refund_quotes
    for quote_id in ("rq-1", "rq-2"):
        await quotes.save(quote=draft(quote_id, amount=sol(6)))
    await paid_for(desk, sol(10))

    async def decide(bound: Any, quote_id: str) -> Any:
        if step == "approve":
            return await bound.approve(quote_id=quote_id)
        return await bound.mark_processed(quote_id=quote_id, processed_by="ann", signature=f"s-{quote_id}")

    outcome = await race(desk.db, lambda tx: decide(quotes.bound(tx), "rq-1"), lambda: decide(quotes, "rq-2"))
    assert isinstance(outcome, RefundQuoteExceedsPurchase) and outcome.left == sol(4)
    assert (await quotes.get(quote_id="rq-2")).status is Q.PENDING


async def test_what_cannot_be_is_refused(desk: Desk) -> None:
    quotes = desk.shop.refund_quotes
    for facts in (
        {"id_": ""},
        {"id_": "x" * 256},
        {"original_purchase_id": ""},
        {"recipient_wallet": "x" * 129},
        {"amount": sol(-1)},
        {"token_decimals": 10},
        {"token": "a\x00b"},
        {"metadata": {"a": "x" * 11_000}},
        {"expires_in": timedelta(0)},
        {"expires_in": timedelta(days=31)},
    ):
        with pytest.raises(InvalidRefundQuote):
            await quotes.save(quote=draft(**facts))
    with pytest.raises(UnknownCurrency):
        await quotes.save(quote=draft(amount=Money(1, "NOSUCH")))
    customer = desk.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER)).refund_quotes
    for asked in (
        customer.save(quote=draft()),
        customer.approve(quote_id="rq-1"),
        customer.mark_processed(quote_id="rq-1", processed_by="me", signature="out-1"),
        customer.delete(quote_id="rq-1"),
    ):
        with pytest.raises(StaffRequired):
            await asked
    assert await desk.one("SELECT count(*) FROM {refund_quotes} WHERE tenant_id = $1") == 0


async def test_a_payment_of_ours_is_refunded_with_its_quote(desk: Desk) -> None:
    order, payment = await desk.paid()
    await paid_for(desk, usd(10_000), payment_id=payment.id)
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft(amount=usd(4_000)))
    await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1")
    (refund,) = await desk.shop.refunds.for_payment(payment_id=payment.id)
    assert (refund.amount, refund.refund_method) == (usd(4_000), RefundMethod.ORIGINAL_METHOD)
    assert refund.refund_details == {"quote": "rq-1", "signature": "out-1"}
    assert (await desk.payment(payment.id)).status is PaymentStatus.PARTIALLY_REFUNDED
    assert (await desk.order(order.id)).status is OrderStatus.PARTIALLY_REFUNDED
    await quotes.save(quote=draft("rq-2", amount=usd(6_000)))
    await desk.shop.refunds.request(payment_id=payment.id, amount=usd(1_000), reason="damaged")
    with pytest.raises(RefundQuoteExceedsPurchase) as refused:
        await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="out-2")
    assert refused.value.left == usd(5_000)
    assert (await quotes.get(quote_id="rq-2")).status is Q.PENDING
    assert len(await desk.shop.refunds.for_payment(payment_id=payment.id)) == 2
    assert await desk.faults() == []


async def bought(desk: Desk, purchase_id: str, *parts: int, source: str = "app") -> list[Payment]:
    """An order of a purchase, paid in parts."""
    variant = await make_product(desk.shop, price=sum(parts))
    placed = await place(desk.shop, (variant, 1), source=source, purchase_id=purchase_id)
    payments = []
    for part in parts:
        asked = await desk.shop.payments.start(order_number=placed.order.number, method="zelle", amount=usd(part))
        payments.append(await desk.shop.payments.verify(payment_id=asked.id))
    return payments


@pytest.mark.requirement("CED-OP-007", "CED-OP-009", "CED-OP-011")
async def test_a_purchase_may_be_named_as_its_order_names_it(desk: Desk) -> None:
    first, second = await bought(desk, "buy-1", 4_000, 6_000)
    quotes = desk.shop.refund_quotes
    with pytest.raises(RefundQuoteExceedsPurchase) as refused:
        await quotes.save(quote=draft(original_purchase_id="buy-1", amount=usd(10_001)))
    assert refused.value.left == usd(10_000)
    with pytest.raises(CurrencyMismatch):
        await quotes.save(quote=draft(original_purchase_id="buy-1"))
    await quotes.save(quote=draft(original_purchase_id="buy-1", amount=usd(7_000)))
    await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1")
    assert [(await desk.payment(each.id)).refunded_amount for each in (first, second)] == [usd(4_000), usd(3_000)]
    assert (await desk.order(first.order_id)).amount_paid == usd(3_000)
    await desk.shop.refunds.request(payment_id=second.id, amount=usd(1_000), reason="damaged")
    await quotes.save(quote=draft("rq-2", original_purchase_id="buy-1", amount=usd(3_000)))
    with pytest.raises(RefundQuoteExceedsPurchase) as late:
        await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="out-2")
    assert late.value.left == usd(2_000)
    assert (await quotes.get(quote_id="rq-2")).status is Q.PENDING
    assert (await desk.order(first.order_id)).amount_paid == usd(3_000)
    assert await desk.faults() == []


async def test_a_purchase_of_two_sources_is_neither_of_their_orders(desk: Desk) -> None:
    payments = [*await bought(desk, "buy-2", 1_000), *await bought(desk, "buy-2", 2_000, source="kiosk")]
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft(original_purchase_id="buy-2", amount=usd(9_000)))
    await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="out-1")
    assert [(await desk.payment(each.id)).refunded_amount for each in payments] == [usd(0), usd(0)]


async def test_what_was_paid_from_store_credit_goes_to_no_wallet(desk: Desk) -> None:
    buyer = await desk.buyer()
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=usd(3_000))
    variant = await make_product(desk.shop, price=10_000)
    placed = await place(
        desk.shop,
        (variant, 1),
        visitor=Visitor(user_id=buyer.id),
        purchase_id="buy-3",
        use_store_credit=True,
        payment_method="zelle",
    )
    assert placed.order.payment is not None
    await desk.shop.payments.verify(payment_id=placed.order.payment.id)
    with pytest.raises(RefundQuoteExceedsPurchase) as refused:
        await desk.shop.refund_quotes.save(quote=draft(original_purchase_id="buy-3", amount=usd(7_001)))
    assert refused.value.left == usd(7_000)


async def test_hexadecimal_is_the_same_in_any_case(desk: Desk) -> None:
    """As the ledger takes it: else a purchase would be given back once for each way to write it."""
    await paid_for(desk, sol(10), signature="0xab12")
    quotes = desk.shop.refund_quotes
    await quotes.save(quote=draft(original_purchase_id="0xAB12", amount=sol(8)))
    with pytest.raises(RefundQuoteExceedsPurchase) as refused:
        await quotes.save(quote=draft("rq-2", original_purchase_id="0xab12", amount=sol(3)))
    assert refused.value.left == sol(2)
    assert (await quotes.by_original_purchase(purchase_id="0XaB12")).id == "rq-1"
    await quotes.save(quote=draft("rq-2", original_purchase_id="0xaB12", amount=sol(2)))
    await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="0xFF01")
    with pytest.raises(RefundSignatureUsed):
        await quotes.mark_processed(quote_id="rq-2", processed_by="ann", signature="0xff01")
