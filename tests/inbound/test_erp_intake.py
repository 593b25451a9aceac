"""What the ERP tells: stock, receipts of payments, terms of customers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from factories import make_method, make_product, open_shop, place
from rivals import race
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.doctor import examine
from storeroom.flows.erp_intake import ErpIntake, Told
from storeroom.flows.errors import ErpReferenceUnknown
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus
from storeroom.room import Shop, Storeroom
from storeroom.sources import InvalidSourceMessage

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    return await open_shop(room, actor=SYSTEM)


def at(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


async def run(shop: Shop, sql: str, *args: object) -> str:
    return str(await shop.context.db.execute(shop.context.db.names.render(sql), shop.tenant_id, *args))


async def count(shop: Shop, minutes: int, quantity: int, *, event: str = "", **names: str) -> Told:
    return await shop.erp_intake.inventory(
        data={**names, "quantity_on_hand": quantity}, occurred_at=at(minutes), event=event or f"evt-{minutes}"
    )


@pytest.mark.requirement("SBB-ERP-07")
async def test_inventory_sets_the_stock_keeps_what_is_held_and_the_newest_word_stands(shop: Shop) -> None:
    shirt = await make_product(shop, sku="SHIRT", stock=10)
    product = (await shop.products.variant_by_sku(sku="SHIRT")).product_id
    await run(shop, "UPDATE {products} SET erp_item_id = 'ITEM-1' WHERE tenant_id = $1 AND id = $2", product)
    await shop.inventory.reserve(variant_id=shirt, quantity=3)

    told = await count(shop, 10, 25, erp_item_id="ITEM-1")
    level = await shop.inventory.level(variant_id=shirt)
    assert (told.applied, level.on_hand, level.reserved) == (True, 25, 3)
    late = await count(shop, 5, 99, erp_item_id="ITEM-1")
    again = await count(shop, 10, 25, erp_item_id="ITEM-1")
    by_sku = await count(shop, 9, 98, sku="SHIRT")  # another name for the same item is not another clock
    assert (late.applied, again.applied, by_sku.applied) == (False, False, False)
    assert (await shop.inventory.level(variant_id=shirt)).on_hand == 25
    await count(shop, 11, 2, sku="SHIRT")
    level = await shop.inventory.level(variant_id=shirt)
    assert (level.on_hand, level.reserved) == (2, 3)  # fewer than are promised: a fact, and on the oversold list
    newest, before, *_ = (await shop.inventory.movements(variant_id=shirt)).items
    assert (newest.reason, newest.quantity, newest.on_hand_after) == ("epicor_propello evt-11", -23, 2)
    assert (before.reason, before.quantity) == ("epicor_propello evt-10", 15)


@pytest.mark.requirement("SBB-ERP-07")
async def test_two_counts_of_one_item_at_once_leave_the_later_one(shop: Shop, database: Database) -> None:
    shirt = await make_product(shop, sku="SHIRT", stock=10)

    async def newer(tx: Any) -> Told:
        here = ErpIntake(shop.context.on(tx))
        return await here.inventory(data={"sku": "SHIRT", "quantity_on_hand": 7}, occurred_at=at(2), event="newer")

    outcome = await race(database, newer, lambda: count(shop, 1, 99, sku="SHIRT"))
    assert isinstance(outcome, Told)
    assert outcome.applied is False
    assert (await shop.inventory.level(variant_id=shirt)).on_hand == 7


async def test_an_item_of_several_variants_needs_its_sku(shop: Shop) -> None:
    await make_product(shop, sku="SHIRT", stock=10)
    with pytest.raises(ErpReferenceUnknown) as unknown:
        await count(shop, 1, 5, erp_item_id="NOWHERE")
    assert (unknown.value.field, unknown.value.found, unknown.value.transient) == ("erp_item_id", 0, True)


async def awaiting(shop: Shop) -> Any:
    """A placed order, and the payment that it waits for."""
    await make_method(shop)
    shirt = await make_product(shop, price=1000)
    placed = await place(shop, (shirt, 2), payment_method="zelle")
    (payment,) = await shop.payments.for_order(order_id=placed.order.id)
    return payment


def receipt(reference: str, **fields: Any) -> dict[str, Any]:
    return {"payment_reference": reference, "amount": 2000, "currency": "USD", "status": "confirmed", **fields}


@pytest.mark.requirement("SBB-ERP-08")
async def test_a_receipt_completes_the_payment_and_credits_the_order_once(shop: Shop, database: Database) -> None:
    payment = await awaiting(shop)

    async def first(tx: Any) -> Told:
        return await ErpIntake(shop.context.on(tx)).payment_receipt(data=receipt(payment.reference), occurred_at=at(0))

    outcome = await race(
        database, first, lambda: shop.erp_intake.payment_receipt(data=receipt(payment.reference), occurred_at=at(1))
    )
    assert isinstance(outcome, Told), outcome
    third = await shop.erp_intake.payment_receipt(data=receipt(payment.reference.lower()), occurred_at=at(2))
    assert (outcome.applied, third.applied) == (False, False)
    now = await shop.payments.get(payment_id=payment.id)
    order = await shop.orders.get(order_id=payment.order_id)
    assert (now.status, now.received_amount) == (PaymentStatus.COMPLETED, payment.amount)
    assert (order.status, order.amount_paid) == (OrderStatus.PAYMENT_RECEIVED, payment.amount)
    assert len(await shop.payments.for_order(order_id=payment.order_id)) == 1
    broken = [r.name for r in await examine(database) for f in r.findings if r.broken and f.tenant_id == shop.tenant_id]
    assert broken == []


@pytest.mark.requirement("SBB-ERP-08")
async def test_money_for_a_payment_that_had_ended_counts_once_and_is_due_back_where_the_order_ended(shop: Shop) -> None:
    payment = await awaiting(shop)
    await run(shop, "UPDATE {payments} SET erp_payment_id = 'PAY-1' WHERE tenant_id = $1 AND id = $2", payment.id)
    await shop.cancellation.cancel(order_id=payment.order_id, reason="changed my mind")
    by_erp = {"erp_payment_id": "PAY-1", "amount": 2000, "currency": "USD", "status": "confirmed"}
    for minutes in (0, 1):
        await shop.erp_intake.payment_receipt(data=by_erp, occurred_at=at(minutes))
    order = await shop.orders.get(order_id=payment.order_id)
    assert (order.status, order.amount_paid) == (OrderStatus.CANCELLED, payment.amount)
    states = [each.status for each in await shop.payments.for_order(order_id=payment.order_id)]
    assert states == [PaymentStatus.CANCELLED, PaymentStatus.COMPLETED]


@pytest.mark.requirement("SBB-ERP-08")
@pytest.mark.parametrize("by_staff", [True, False])
async def test_late_money_that_was_recorded_before_the_books_confirm_it_is_credited_once(
    shop: Shop, by_staff: bool
) -> None:
    """By staff it may be the same money or not: they have the last word. What a provider told names its payment."""
    payment = await awaiting(shop)
    await run(shop, "UPDATE {payments} SET status = 'expired' WHERE tenant_id = $1 AND id = $2", payment.id)
    if by_staff:
        (method,) = [each.code for each in await shop.payment_methods.list() if each.id == payment.payment_method_id]
        staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="ops"))
        late = await staff.payments.record_received(order_id=payment.order_id, method=method, amount=payment.amount)
    else:
        late = await shop.payments.settle(payment_id=payment.id)
    for minutes in (0, 1):
        told = await shop.erp_intake.payment_receipt(data=receipt(payment.reference), occurred_at=at(minutes))
        if by_staff:
            assert "mismatch" in told.result
        else:
            assert told.result["payment_id"] == str(late.id)
    assert (await shop.orders.get(order_id=payment.order_id)).amount_paid == payment.amount
    found = await shop.payments.for_order(order_id=payment.order_id)
    assert {each.id for each in found} == {payment.id, late.id} and len(found) == 2
    reasons = [each.failure_reason for each in await shop.payments.attempts(payment_id=payment.id) if not each.success]
    assert len(reasons) == (2 if by_staff else 0)


async def test_late_money_is_known_by_the_payment_that_it_was_meant_for_and_by_no_words(shop: Shop) -> None:
    """A program of staff has no person, and may write what it likes: its record stays theirs to judge."""
    payment = await awaiting(shop)
    await run(shop, "UPDATE {payments} SET status = 'expired' WHERE tenant_id = $1 AND id = $2", payment.id)
    (method,) = [each.code for each in await shop.payment_methods.list() if each.id == payment.payment_method_id]
    staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="a program"))
    words = f"meant for {payment.reference}, which was expired"
    recorded = await staff.payments.record_received(
        order_id=payment.order_id, method=method, amount=payment.amount, notes=words
    )
    assert recorded.meant_for_id is None
    told = await shop.erp_intake.payment_receipt(data=receipt(payment.reference), occurred_at=at(0))
    assert "mismatch" in told.result
    late = await shop.payments.settle(payment_id=payment.id)
    assert late.meant_for_id == payment.id
    told = await shop.erp_intake.payment_receipt(data=receipt(payment.reference), occurred_at=at(1))
    assert told.result["payment_id"] == str(late.id)


async def test_what_came_late_before_there_was_a_place_for_it_is_found_by_our_words_once(
    shop: Shop, database: Database
) -> None:
    """The statement of the migration, on rows as they were."""
    payment = await awaiting(shop)
    await run(shop, "UPDATE {payments} SET status = 'expired' WHERE tenant_id = $1 AND id = $2", payment.id)
    late = await shop.payments.settle(payment_id=payment.id)
    await run(shop, "UPDATE {payments} SET meant_for_id = NULL WHERE tenant_id = $1 AND id = $2", late.id)
    text = (files("storeroom") / "migrations" / "0040_late_money_and_erp.sql").read_text()
    (statement,) = [each for each in text.split(";\n") if each.strip().startswith("UPDATE")]
    for _ in range(2):
        await database.execute(database.names.render(statement))
        found = {each.id: each.meant_for_id for each in await shop.payments.for_order(order_id=payment.order_id)}
        assert found == {payment.id: None, late.id: payment.id}


@pytest.mark.requirement("SBB-ERP-08")
@pytest.mark.parametrize("wrong", [{"amount": 1999}, {"currency": "EUR"}])
async def test_another_amount_or_currency_is_recorded_and_not_honoured(shop: Shop, wrong: dict[str, Any]) -> None:
    payment = await awaiting(shop)
    told = await shop.erp_intake.payment_receipt(data=receipt(payment.reference, **wrong), occurred_at=at(0))
    assert told.applied is False
    assert told.result["mismatch"]["asked"] == {"amount": 2000, "currency": "USD"}
    now = await shop.payments.get(payment_id=payment.id)
    order = await shop.orders.get(order_id=payment.order_id)
    assert (now.status, order.status, order.amount_paid.amount) == ("pending", "pending_payment", 0)
    (attempt,) = await shop.payments.attempts(payment_id=payment.id)
    assert (attempt.success, attempt.failure_reason) == (False, "another amount was confirmed than was asked")
    right = await shop.erp_intake.payment_receipt(data=receipt(payment.reference), occurred_at=at(1))
    assert right.applied is True


@pytest.mark.requirement("SBB-ERP-10")
async def test_credit_limit_and_terms_stand_in_the_metadata_and_other_keys_stay(shop: Shop) -> None:
    user = await shop.users.create(email="ann@buyer.example", metadata={"tier": "gold", "terms": "prepaid"})
    await run(shop, "UPDATE {users} SET erp_customer_id = 'C-1' WHERE tenant_id = $1 AND id = $2", user.id)

    async def say(minutes: int, **fields: Any) -> Told:
        return await shop.erp_intake.customer(data={"erp_customer_id": "C-1", **fields}, occurred_at=at(minutes))

    await say(1, credit_limit=500_000, currency="USD", terms="NET30")
    assert (await shop.users.get(user_id=user.id)).metadata == {
        "tier": "gold",
        "credit_limit": 500_000,
        "credit_currency": "USD",
        "terms": "NET30",
    }
    await say(5, terms="NET60")
    late = await say(3, credit_limit=1, currency="USD", terms="NET1")
    assert late.applied is True  # of the limit it is the newest word, of the terms it is not
    metadata = (await shop.users.get(user_id=user.id)).metadata
    assert (metadata["credit_limit"], metadata["terms"], metadata["tier"]) == (1, "NET60", "gold")
    assert (await say(3, credit_limit=1, currency="USD", terms="NET1")).applied is False


@pytest.mark.parametrize(
    ("method", "data", "field"),
    [
        ("inventory", {"sku": "SHIRT"}, "quantity_on_hand"),
        ("inventory", {"sku": "SHIRT", "quantity_on_hand": -1}, "quantity_on_hand"),
        ("inventory", {"sku": "SHIRT", "quantity_on_hand": True}, "quantity_on_hand"),
        ("inventory", {"quantity_on_hand": 3}, "erp_item_id"),
        ("payment_receipt", {"payment_reference": "P", "amount": 1, "currency": "USD", "status": "maybe"}, "status"),
        (
            "payment_receipt",
            {"payment_reference": "P", "amount": 0, "currency": "USD", "status": "confirmed"},
            "amount",
        ),
        (
            "payment_receipt",
            {"payment_reference": "P", "amount": 1, "currency": "?", "status": "confirmed"},
            "currency",
        ),
        ("payment_receipt", {"amount": 1, "currency": "USD", "status": "confirmed"}, "erp_payment_id"),
        ("customer", {"credit_limit": 1, "currency": "USD"}, "erp_customer_id"),
        ("customer", {"erp_customer_id": "C-1"}, "credit_limit"),
        ("customer", {"erp_customer_id": "C-1", "credit_limit": 1}, "currency"),
    ],
)
async def test_what_cannot_be_right_names_the_field_and_changes_nothing(
    shop: Shop, method: str, data: dict[str, Any], field: str
) -> None:
    shirt = await make_product(shop, sku="SHIRT", stock=10)
    more = {"event": "e"} if method == "inventory" else {}
    call: Any = getattr(shop.erp_intake, method)
    with pytest.raises(InvalidSourceMessage) as refused:
        await call(data=data, occurred_at=at(0), **more)
    assert refused.value.field == field
    with pytest.raises(InvalidSourceMessage) as refused:
        await call(data=data, occurred_at="yesterday", **more)
    assert refused.value.field == "occurred_at"
    assert (await shop.inventory.level(variant_id=shirt)).on_hand == 10
    assert await run(shop, "DELETE FROM {source_records} WHERE tenant_id = $1") == "DELETE 0"
