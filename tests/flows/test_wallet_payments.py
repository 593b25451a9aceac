"""A verified payment from a wallet: honoured once, with its order, its units and its message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from factories import HOME, make_method, make_product, place, usd
from purse import LARGE, OURS, RIVAL, WALLET, Purse, open_purse, paid, signature, usdc
from rivals import cut_at, race
from storeroom.core.ids import CartId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.doctor import Gravity, examine
from storeroom.flows.errors import (
    InvalidPurchase,
    LinesUnknown,
    MethodUnfit,
    PaidInOtherAsset,
    PaidTooLittle,
    SignatureUsed,
)
from storeroom.flows.wallet_payments import Settlement, ShortUnits
from storeroom.identity import UserNotFound
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentMethodType, PaymentStatus
from storeroom.room import Storeroom
from storeroom.wallets import (
    InvalidQuote,
    InvalidTransaction,
    NotForCustomers,
    NotOurAccount,
    QuoteExpired,
    QuoteItem,
    QuoteNotFound,
    QuotePaid,
    QuotePaidByAnother,
)

WRITTEN = ("orders", "order_items", "order_status_history", "payments", "payment_transactions", "webhook_queue")


@pytest.fixture
async def purse(room: Storeroom, dsn: str) -> Purse:
    return await open_purse(room, dsn)


async def reserved_cart(purse: Purse, *lines: tuple[VariantId, int]) -> CartId:
    """A guest's cart that holds its units."""
    guest, _ = await purse.staff.sessions.guest()
    cart = await purse.staff.carts.create(visitor=Visitor(session_id=guest.id))
    for variant, quantity in lines:
        await purse.staff.carts.add(cart_id=cart.id, variant_id=variant, quantity=quantity)
    await purse.staff.carts.reserve(cart_id=cart.id)
    return cart.id


async def stock(purse: Purse, variant: VariantId) -> tuple[int, int]:
    level = await purse.staff.inventory.level(variant_id=variant)
    return level.on_hand, level.reserved


async def written(purse: Purse) -> dict[str, int]:
    return {table: await purse.count(table) for table in WRITTEN}


async def broken(db: Database, purse: Purse) -> list[Any]:
    """What the doctor finds wrong with this shop."""
    return [
        (result.name, finding.subject, finding.detail)
        for result in await examine(db)
        for finding in result.findings
        if result.gravity is Gravity.BROKEN and finding.tenant_id == purse.shop.tenant_id
    ]


@pytest.mark.requirement("CED-ORD-06", "CED-ORD-01", "CED-OP-027", "CED-OP-029")
async def test_a_paid_quote_is_an_order(purse: Purse, database: Database) -> None:
    shirt, cap = await make_product(purse.staff, stock=10), await make_product(purse.staff, stock=5)
    cart_id = await reserved_cart(purse, (shirt, 3), (cap, 1))
    assert await stock(purse, shirt) == (10, 3)
    quote = await purse.quote(
        (shirt, 3, 2_000_000), (cap, 1, LARGE), cart_id=cart_id, total=usdc(LARGE + 5_000_000), metadata={"memo": "m"}
    )
    before = await written(purse)
    sig = signature()
    done = await purse.shop.wallet_payments.record(
        paid(quote, signature=sig, shipping_address=HOME, metadata={"chain": "solana"})
    )
    assert (done.first, done.placed, done.short) == (True, True, [])
    assert {table: count - before[table] for table, count in (await written(purse)).items()} == {
        "orders": 1,
        "order_items": 2,
        "order_status_history": 2,
        "payments": 1,
        "payment_transactions": 1,
        "webhook_queue": 1,
    }
    order = await purse.staff.orders.by_purchase(source="wallet", purchase_id=quote.id)
    assert (order.id, order.order_number, order.status) == (
        done.order_id,
        done.order_number,
        OrderStatus.PAYMENT_RECEIVED,
    )
    assert (order.resource_id, order.currency, order.metadata) == (f"cart:{quote.id}", "USDC", {"chain": "solana"})
    assert (order.subtotal_amount, order.discount_amount) == (usdc(LARGE + 6_000_000), usdc(1_000_000))
    assert order.total_amount == order.amount_paid == usdc(LARGE + 5_000_000)
    assert order.amount_due == usdc(0)
    assert (order.source_cart_id, order.paid_at is not None) == (cart_id, True)
    lines = await purse.staff.orders.items(order_id=order.id)
    assert [(line.variant_id, line.quantity, line.unit_price, line.quantity_held) for line in lines] == [
        (shirt, 3, usdc(2_000_000), 3),
        (cap, 1, usdc(LARGE), 1),
    ]
    assert sum(line.discount_amount.amount for line in lines) == 1_000_000
    assert (await stock(purse, shirt), await stock(purse, cap)) == ((10, 3), (5, 1))
    assert await purse.staff.inventory.active_for_cart(cart_id=cart_id) == []
    (payment,) = await purse.staff.payments.for_order(order_id=order.id)
    assert (payment.id, payment.status, payment.received_amount) == (
        done.payment_id,
        PaymentStatus.COMPLETED,
        usdc(LARGE + 5_000_000),
    )
    entry = await purse.shop.transactions.get(signature=sig)
    assert (entry.payment_id, entry.amount, entry.account) == (payment.id, payment.received_amount, OURS)
    assert (await purse.shop.cart_quotes.get(quote_id=quote.id)).wallet_paid_by == WALLET
    told = await database.fetchrow(
        "SELECT event_type, payload FROM webhook_queue WHERE tenant_id = $1 AND entity_type <> 'product'",
        purse.shop.tenant_id,
    )
    assert told["event_type"] == "order.created"
    assert told["payload"]["payment"] == {
        "id": str(payment.id),
        "reference": payment.reference,
        "received": LARGE + 5_000_000,
        "signature": sig,
        "wallet": WALLET,
    }
    assert await broken(database, purse) == []


@pytest.mark.requirement("CED-ORD-06", "CED-OP-014", "CED-OP-029")
async def test_ten_deliveries_at_once_are_one_of_everything(purse: Purse, database: Database) -> None:
    variant = await make_product(purse.staff, stock=10)
    quote = await purse.quote((variant, 2, 1_000_000), cart_id=await reserved_cart(purse, (variant, 2)))
    payment = paid(quote)
    told = await asyncio.gather(*(purse.shop.wallet_payments.record(payment) for _ in range(10)))
    assert sorted((each.first, each.placed) for each in told) == [(False, False)] * 9 + [(True, True)]
    assert len({(each.order_id, each.payment_id) for each in told}) == 1
    assert await written(purse) == dict.fromkeys(WRITTEN, 1) | {"order_status_history": 2}
    assert await stock(purse, variant) == (10, 2)
    late = await purse.shop.wallet_payments.record(payment)
    assert (late.first, late.order_id) == (False, told[0].order_id)
    assert await broken(database, purse) == []


async def test_ten_deliveries_without_a_quote_are_one_of_everything(purse: Purse, database: Database) -> None:
    variant = await make_product(purse.staff, stock=10)
    items = [QuoteItem(variant_id=variant, quantity=2, unit_price=usdc(3))]
    payment = paid(items=items, amount=usdc(6))
    told = await asyncio.gather(*(purse.shop.wallet_payments.record(payment) for _ in range(10)))
    assert sum(each.first for each in told) == 1
    assert await written(purse) == dict.fromkeys(WRITTEN, 1) | {"order_status_history": 2}
    assert await stock(purse, variant) == (10, 2)
    assert await broken(database, purse) == []


async def test_the_second_delivery_waits_and_hears_of_the_first(purse: Purse, database: Database) -> None:
    variant = await make_product(purse.staff)
    payment = paid(await purse.quote((variant, 1, 5)))
    done: list[Settlement] = []

    async def first(tx: Transaction) -> None:
        done.append(await purse.shop.wallet_payments.bound(tx).record(payment))

    second = await race(database, first, lambda: purse.shop.wallet_payments.record(payment))
    assert (second.first, second.order_id) == (False, done[0].order_id)


@pytest.mark.requirement("CED-OP-003")
async def test_of_two_wallets_one_gets_the_order(purse: Purse, database: Database) -> None:
    variant = await make_product(purse.staff)
    quote = await purse.quote((variant, 1, 5))
    theirs = paid(quote, wallet=RIVAL)

    async def first(tx: Transaction) -> None:
        assert (await purse.shop.wallet_payments.bound(tx).record(paid(quote))).first

    refused = await race(database, first, lambda: purse.shop.wallet_payments.record(theirs))
    assert isinstance(refused, QuotePaidByAnother)
    assert await written(purse) == dict.fromkeys(WRITTEN, 1) | {"order_status_history": 2}
    assert not await purse.shop.transactions.has_been_processed(signature=theirs.signature)


async def test_two_payments_of_one_purchase_meet_and_both_are_kept(purse: Purse, database: Database) -> None:
    """Money that came twice is one order, paid twice: what is too much is due back."""
    variant = await make_product(purse.staff)
    items = [QuoteItem(variant_id=variant, quantity=1, unit_price=usdc(7))]

    def of_the_purchase() -> Any:
        return paid(items=items, amount=usdc(7), purchase_id="P-1")

    async def first(tx: Transaction) -> None:
        assert (await purse.shop.wallet_payments.bound(tx).record(of_the_purchase())).placed

    second = await race(database, first, lambda: purse.shop.wallet_payments.record(of_the_purchase()))
    assert (second.first, second.placed) == (True, False)
    order = await purse.staff.orders.get(order_id=second.order_id)
    assert (order.amount_paid, order.amount_due) == (usdc(14), usdc(-7))
    assert len(await purse.staff.payments.for_order(order_id=order.id)) == 2
    assert await stock(purse, variant) == (10, 1)
    assert await broken(database, purse) == []


# --- A connection that is cut -----------------------------------------------------------------------------------------


async def cut_while_waiting(purse: Purse, table: str, work: Callable[[], Awaitable[Any]]) -> BaseException:
    """The error of the work, whose connection was cut when it was about to write to the table."""
    outcome = await cut_at(purse.dsn, purse.shop.context.db, table, work)
    assert isinstance(outcome, BaseException), outcome
    return outcome


@pytest.mark.requirement("CED-ORD-06")
@pytest.mark.parametrize("table", ["stock_levels", "order_items", "payments", "webhook_queue"])
async def test_a_cut_leaves_nothing_and_the_next_delivery_does_it_all(
    fresh_database: Callable[[], Awaitable[str]], table: str
) -> None:
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        purse = await open_purse(Storeroom(db), dsn)
        variant = await make_product(purse.staff)
        quote = await purse.quote((variant, 2, 5), cart_id=await reserved_cart(purse, (variant, 2)))
        payment = paid(quote)
        await cut_while_waiting(purse, table, lambda: purse.shop.wallet_payments.record(payment))
        assert await written(purse) == dict.fromkeys(WRITTEN, 0)
        assert not await purse.shop.transactions.has_been_processed(signature=payment.signature)
        assert (await purse.shop.cart_quotes.get(quote_id=quote.id)).wallet_paid_by is None
        assert await stock(purse, variant) == (10, 2)
        assert (await purse.shop.wallet_payments.record(payment)).first
        assert await written(purse) == dict.fromkeys(WRITTEN, 1) | {"order_status_history": 2}
        assert await broken(db, purse) == []


async def test_control_step_by_step_a_cut_takes_the_money_and_gives_no_order(
    fresh_database: Callable[[], Awaitable[str]],
) -> None:
    """The proof of the proof: each step a call of its own, the signature is spent and the order is missing."""
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        purse = await open_purse(Storeroom(db), dsn)
        quote = await purse.quote((await make_product(purse.staff), 1, 5))
        payment = paid(quote)

        async def step_by_step() -> None:
            assert (await purse.record(signature=payment.signature, amount=payment.amount)).first
            await purse.shop.cart_quotes.mark_paid(quote_id=quote.id, wallet=WALLET)
            await db.execute("INSERT INTO order_items (tenant_id) VALUES ('the order')")

        await cut_while_waiting(purse, "order_items", step_by_step)
        assert await purse.shop.transactions.has_been_processed(signature=payment.signature)
        assert await purse.count("orders") == 0
        with pytest.raises(SignatureUsed):
            await purse.shop.wallet_payments.record(payment)


# --- What it refuses, and leaves untouched ----------------------------------------------------------------------------


async def refused(purse: Purse, payment: Any, error: type[Exception]) -> Any:
    before = {table: await purse.count(table) for table in (*WRITTEN, "payment_signatures", "payment_methods")}
    with pytest.raises(error) as caught:
        await purse.shop.wallet_payments.record(payment)
    assert {table: await purse.count(table) for table in before} == before
    return caught.value


async def test_a_quote_is_paid_in_time_in_its_asset_and_in_full(purse: Purse) -> None:
    variant = await make_product(purse.staff)
    quote = await purse.quote((variant, 1, 1_000))
    await purse.staff.receiving_accounts.create(asset="USDT", address=OURS, label="Tether")
    little = await refused(purse, paid(quote, amount=usdc(999)), PaidTooLittle)
    assert (little.asked, little.paid) == (usdc(1_000), usdc(999))
    await refused(purse, paid(quote, amount=Money(1_000, "USDT")), PaidInOtherAsset)
    await refused(purse, paid(quote, account="elsewhere"), NotOurAccount)
    await refused(purse, paid(quote_id="unknown", amount=usdc(1)), QuoteNotFound)
    assert (await purse.shop.cart_quotes.get(quote_id=quote.id)).wallet_paid_by is None
    await purse.one("UPDATE cart_quotes SET expires_at = now() WHERE tenant_id = $1 AND id = $2", quote.id)
    await refused(purse, paid(quote), QuoteExpired)


async def test_a_quote_is_paid_in_full_even_where_its_order_is_there(purse: Purse) -> None:
    variant = await make_product(purse.staff)
    items = [QuoteItem(variant_id=variant, unit_price=usdc(5))]
    first = await purse.shop.wallet_payments.record(paid(items=items, amount=usdc(5), purchase_id="P-9"))
    quote = await purse.quote((variant, 1, 100), id="P-9")
    await refused(purse, paid(quote, amount=usdc(99)), PaidTooLittle)
    assert (await purse.shop.cart_quotes.get(quote_id="P-9")).wallet_paid_by is None
    second = await purse.shop.wallet_payments.record(paid(quote))
    assert (second.placed, second.order_id) == (False, first.order_id)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("resource_id", [None, "of-its-own"])
async def test_an_offer_is_sold_once(purse: Purse, late: bool, resource_id: str | None) -> None:
    """The wallet that paid it pays again, under another purchase's id."""
    variant = await make_product(purse.staff)
    quote = await purse.quote((variant, 1, 1_000))
    first = await purse.shop.wallet_payments.record(paid(quote, resource_id=resource_id))
    if late:
        await purse.one("UPDATE cart_quotes SET expires_at = now() WHERE tenant_id = $1 AND id = $2", quote.id)
    error = await refused(purse, paid(quote, purchase_id="P-2"), QuotePaid)
    assert error.quote_ids == [quote.id]
    again = await purse.shop.wallet_payments.record(paid(quote))
    assert (again.placed, again.order_id) == (False, first.order_id), "what comes besides is due back"
    assert await stock(purse, variant) == (10, 1)


async def test_a_quote_that_was_paid_before_it_named_its_order_is_sold_once_too(purse: Purse) -> None:
    quote = await purse.quote((await make_product(purse.staff), 1, 1_000))
    await purse.shop.wallet_payments.record(paid(quote))
    await purse.one("UPDATE cart_quotes SET order_id = NULL WHERE tenant_id = $1")
    await refused(purse, paid(quote, purchase_id="P-2"), QuotePaid)


async def test_a_quote_that_was_marked_as_paid_has_its_order_once(purse: Purse, database: Database) -> None:
    """Step by step: first the mark, then, also after its time, the order. Two who bring one meet."""
    quote = await purse.quote((await make_product(purse.staff), 1, 1_000))
    await purse.shop.cart_quotes.mark_paid(quote_id=quote.id, wallet=WALLET)
    await purse.one("UPDATE cart_quotes SET expires_at = now() WHERE tenant_id = $1 AND id = $2", quote.id)

    async def first(tx: Transaction) -> None:
        await purse.shop.wallet_payments.bound(tx).record(paid(quote, purchase_id="P-1"))

    outcome = await race(database, first, lambda: purse.shop.wallet_payments.record(paid(quote, purchase_id="P-2")))
    assert isinstance(outcome, QuotePaid)
    assert await purse.count("orders") == 1


async def test_what_cannot_be_an_order_is_refused(purse: Purse) -> None:
    variant = await make_product(purse.staff)
    items = [QuoteItem(variant_id=variant, quantity=1, unit_price=usdc(5))]
    nobody = QuoteItem(sku="NOBODY", unit_price=usdc(0))
    found = await refused(purse, paid(items=[*items, nobody], amount=usdc(5)), LinesUnknown)
    assert found.lines == ["NOBODY"]
    await refused(purse, paid(items=items, amount=usdc(5), user_id=UserId(uuid4())), UserNotFound)
    await refused(purse, paid(items=items, amount=usdc(5), payment_method="none"), MethodUnfit)
    await make_method(purse.staff)
    await refused(purse, paid(items=items, amount=usdc(5), payment_method="zelle"), MethodUnfit)
    await refused(purse, paid(items=items, amount=usdc(5), total=usdc(6)), InvalidQuote)
    await refused(purse, paid(items=items, quote_id="q", amount=usdc(5)), InvalidPurchase)
    await refused(purse, paid(amount=usdc(5)), InvalidPurchase)
    await refused(purse, paid(items=items, amount=usdc(5), name=" "), InvalidPurchase)
    await refused(purse, paid(items=items, amount=usdc(5), account=None), InvalidTransaction)
    customer = purse.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER))
    with pytest.raises(NotForCustomers):
        await customer.wallet_payments.record(paid(items=items, amount=usdc(5)))


async def test_a_signature_pays_one_thing(purse: Purse) -> None:
    variant = await make_product(purse.staff)
    first, second = await purse.quote((variant, 1, 5)), await purse.quote((variant, 1, 5))
    payment = paid(first)
    await purse.shop.wallet_payments.record(payment)
    await refused(purse, paid(second, signature=payment.signature), SignatureUsed)
    assert (await purse.shop.cart_quotes.get(quote_id=second.id)).wallet_paid_by is None
    alone = signature()
    await purse.record(signature=alone)
    await refused(purse, paid(second, signature=alone), SignatureUsed)


async def test_an_archived_payment_is_answered_with_its_order(purse: Purse) -> None:
    payment = paid(await purse.quote((await make_product(purse.staff), 1, 5)))
    first = await purse.shop.wallet_payments.record(payment)
    tomorrow = await purse.one("SELECT now() + interval '1 day' WHERE $1 <> ''")
    assert await purse.shop.transactions.archive_older_than(before=tomorrow) == 1
    again = await purse.shop.wallet_payments.record(payment)
    assert (again.first, again.order_id, again.payment_id) == (False, first.order_id, first.payment_id)


# --- What is there already --------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-014")
async def test_an_order_that_is_there_gets_the_payment_and_nothing_else(purse: Purse, database: Database) -> None:
    variant = await make_product(purse.staff, price=1_000)
    placed = await place(purse.staff, (variant, 2), source="pay", purchase_id="P-7")
    method = await make_method(
        purse.staff, "card", method_type=PaymentMethodType.CARD, is_manual=False, payment_details={}
    )
    items = [QuoteItem(variant_id=variant, quantity=2, unit_price=usd(1_000))]
    card = paid(
        signature="stripe:cs_7",
        items=items,
        amount=usd(2_000),
        account=None,
        source="pay",
        purchase_id="P-7",
        payment_method=method.code,
    )
    done = await purse.shop.wallet_payments.record(card)
    assert (done.first, done.placed, done.order_id) == (True, False, placed.order.id)
    order = await purse.staff.orders.get(order_id=placed.order.id)
    assert (order.status, order.amount_paid) == (OrderStatus.PAYMENT_RECEIVED, usd(2_000))
    assert await stock(purse, variant) == (10, 2)
    events = [
        row["event_type"]
        for row in await database.fetch(
            "SELECT event_type FROM webhook_queue WHERE tenant_id = $1 AND entity_type <> 'product' ORDER BY event_type",
            purse.shop.tenant_id,
        )
    ]
    assert events == ["order.created", "order.payment_received", "payment.completed"]
    await refused(
        purse,
        paid(
            items=[QuoteItem(variant_id=variant, unit_price=usdc(5))], amount=usdc(5), source="pay", purchase_id="P-7"
        ),
        PaidInOtherAsset,
    )
    assert await broken(database, purse) == []


async def test_units_that_are_gone_are_promised_and_told(purse: Purse, database: Database) -> None:
    """The money is here: the order stands, and the shop sees what it cannot fill."""
    variant = await make_product(purse.staff, stock=3, sku="SCARCE")
    await place(purse.staff, (variant, 2))
    quote = await purse.quote((variant, 4, 5))
    done = await purse.shop.wallet_payments.record(paid(quote))
    assert done.short == [ShortUnits(variant_id=variant, sku="SCARCE", missing=3)]
    assert await stock(purse, variant) == (3, 6)
    (oversold,) = (await purse.staff.inventory.oversold()).items
    assert oversold.variant_id == variant
    assert await broken(database, purse) == []


async def test_a_cart_that_held_more_or_less_gives_back_and_takes(purse: Purse, database: Database) -> None:
    more, less = await make_product(purse.staff, stock=10), await make_product(purse.staff, stock=10)
    cart_id = await reserved_cart(purse, (more, 5), (less, 1))
    quote = await purse.quote((more, 2, 5), (less, 3, 5), cart_id=cart_id)
    await purse.shop.wallet_payments.record(paid(quote))
    assert (await stock(purse, more), await stock(purse, less)) == ((10, 2), (10, 3))
    assert await broken(database, purse) == []


async def test_an_overpaid_quote_is_due_back(purse: Purse, database: Database) -> None:
    quote = await purse.quote((await make_product(purse.staff), 1, 100))
    done = await purse.shop.wallet_payments.record(paid(quote, amount=usdc(130)))
    (due,) = (await purse.staff.orders.needing_refund()).items
    assert (due.id, done.amount) == (done.order_id, usdc(130))
    assert await broken(database, purse) == []


@pytest.mark.requirement("CED-ORD-01", "CED-ORD-04")
async def test_cents_and_token_units_are_never_one_sum(purse: Purse, database: Database) -> None:
    """A card order and a wallet order of one account read back equal, each in its own asset."""
    user = await purse.staff.users.register(
        email="ann@buyer.example", password="correct horse battery", full_name="Ann"
    )
    variant = await make_product(purse.staff, stock=10, price=1_050)
    await make_method(purse.staff, "card", method_type=PaymentMethodType.CARD, is_manual=False, payment_details={})
    items = [QuoteItem(variant_id=variant, quantity=1, unit_price=usd(1_050))]
    card = await purse.shop.wallet_payments.record(
        paid(signature="stripe:cs_1", items=items, amount=usd(1_050), account=None, source="stripe",
             purchase_id="cs_1", resource_id="shirt", payment_method="card", user_id=user.id, wallet="card")
    )  # fmt: skip
    wallet = await purse.shop.wallet_payments.record(
        paid(await purse.quote((variant, 1, LARGE)), user_id=user.id, metadata={"deep": {"er": [1, None]}})
    )
    orders = [await purse.staff.orders.get(order_id=each.order_id) for each in (card, wallet)]
    assert [(o.source, o.total_amount, o.amount_paid) for o in orders] == [
        ("stripe", usd(1_050), usd(1_050)),
        ("wallet", usdc(LARGE), usdc(LARGE)),
    ]
    assert (orders[0].purchase_id, orders[0].resource_id) == ("cs_1", "shirt")
    assert orders[1].metadata == {"deep": {"er": [1, None]}}
    customer = await purse.staff.customers.get(customer_id=user.id)
    assert (customer.total_orders, customer.total_spent) == (2, usd(1_050))
    await purse.staff.cancellation.cancel(order_id=wallet.order_id, reason="sold twice")
    customer = await purse.staff.customers.get(customer_id=user.id)
    assert (customer.total_orders, customer.total_spent) == (1, usd(1_050))
    assert await broken(database, purse) == []


@pytest.mark.requirement("CED-OP-052", "CED-ORD-06")
async def test_a_product_found_by_its_stripe_price_is_paid(purse: Purse) -> None:
    variant = await make_product(purse.staff)
    await purse.staff.products.update_variant(variant_id=variant, stripe_price_id="price_1")
    product = await purse.staff.products.by_stripe_price_id(stripe_price_id="price_1")
    items = [QuoteItem(variant_id=product.variants[0].id, unit_price=usdc(5))]
    done = await purse.shop.wallet_payments.record(paid(items=items, amount=usdc(5), resource_id="price_1"))
    assert (await purse.staff.orders.get(order_id=done.order_id)).resource_id == "price_1"


async def test_what_staff_record_is_in_the_audit_trail(purse: Purse) -> None:
    payment = paid(await purse.quote((await make_product(purse.staff), 1, 5)))
    done = await purse.staff.wallet_payments.record(payment)
    (entry,) = (await purse.staff.audit.list(limit=1)).items
    assert (entry.action, entry.success) == ("wallet_payments.record", True)
    assert isinstance(done.order_id, UUID)
