"""What leaves for the ERP, on which trigger, and what never does."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sync import ReferenceErp, Sync

from factories import make_coupon, make_product, usd
from purse import OURS, paid, usdc
from rivals import race
from storeroom import outbox
from storeroom.core.errors import StoreroomError
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM
from storeroom.erp import DESTINATION, NEVER, OUTBOUND, ErpEntity
from storeroom.identity import ProfileChanges, User
from storeroom.orders import OrderStatus
from storeroom.outbox import SubjectRefused
from storeroom.payments import PaymentMethodType
from storeroom.refunds import RefundMethod
from storeroom.wallets import QuoteItem

PASSWORD = "a-long-password-of-bo"


async def buyer(sync: Sync, **facts: Any) -> User:
    return await sync.shop.acting(actor=SYSTEM).users.register(
        **{
            "email": f"{secrets.token_hex(6)}@buyer.example",
            "password": PASSWORD,
            "full_name": "Bo Buyer",
            **facts,
        }
    )


@pytest.mark.requirement("SBB-OVP-05", "SBB-PRIN-10")
def test_the_boundary_is_the_table_of_the_document() -> None:
    assert {each.entity: each.sent_as for each in OUTBOUND.values()} == {
        ErpEntity.USER: "Customer Master",
        ErpEntity.PRODUCT: "Item Master",
        ErpEntity.ORDER: "Sales Order",
        ErpEntity.PAYMENT: "Payment/Receipt",
        ErpEntity.REFUND: "Credit Memo",
    }
    assert set(NEVER) == {
        *("events", "carts", "cart_items", "auth_sessions", "audit_logs", "webhooks_inbox", "webhooks_outbox"),
        *("webhook_queue", "payment_attempts", "order_status_history", "fulfillment_status_history"),
    }


REFUSALS = ("SBB-ERP-20", "SBB-ERP-21", "SBB-ERP-22", "SBB-ERP-23", "SBB-ERP-24", "SBB-ERP-25", "SBB-ERP-26")


@pytest.mark.requirement(*REFUSALS, "SBB-PRIN-10")
async def test_what_never_syncs_is_refused_as_subject(sync: Sync) -> None:
    insert = "INSERT INTO {webhook_queue} (tenant_id, destination, event_type, payload, entity_type) VALUES ($1, $2, 'x', '{{}}', $3)"
    insert = sync.room.db.names.render(insert.replace("{{}}", "[]"))
    for subject in sorted({*NEVER, "cart", "event", "session", "anything", ""}):
        async with sync.shop.transaction() as tx:
            with pytest.raises(SubjectRefused) as refused:
                await outbox.enqueue(
                    tx.context.db,
                    tenant_id=sync.shop.tenant_id,
                    event_type="erp.sync",
                    payload={},
                    entity_type=subject,
                    entity_id=uuid4(),
                    destination=DESTINATION,
                )
        assert refused.value.facts()["destination"] == "epicor_propello"
        with pytest.raises((StoreroomError, asyncpg.CheckViolationError), match="boundary"):  # nor past the outbox
            await sync.room.db.execute(insert, sync.shop.tenant_id, DESTINATION, subject)
    assert await sync.queued() == []


@pytest.mark.requirement(*REFUSALS, "SBB-PRIN-10")
async def test_nothing_that_never_syncs_queues_a_message_by_what_is_really_done(
    linked: Sync, erp: ReferenceErp
) -> None:
    """Each of these writes rows of a table that never syncs; the ERP is told of none, and of the rest not a word of it."""
    shop, user = linked.shop, await buyer(linked)
    variant = await make_product(shop)
    placed = await linked.place()
    order, payment = await linked.paid()
    await shop.endpoints.create(name="there", url="https://there.example/hooks", event_types=["order.*"])
    await linked.send()
    before = await linked.queued()

    guest, token = await shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    cart = await shop.carts.create(visitor=visitor)
    line = await shop.carts.add(cart_id=cart.id, variant_id=variant, quantity=2, visitor=visitor)
    await shop.carts.set_quantity(cart_id=cart.id, line_id=line.id, quantity=3, visitor=visitor)
    taken = await shop.events.take(
        batch=[{"event_name": "page.view", "event_category": "page", "session_id": "visit-1"}], visitor=visitor
    )
    assert taken.kept == 1
    await shop.acting(actor=SYSTEM).sign_in.with_password(email=user.email, password=PASSWORD, guest_token=token)
    await shop.coupons.create(
        code="SAVE", name="s", discount_type="percentage", percentage=Decimal(10)
    )  # an audit entry
    assert placed.order.payment is not None
    await shop.payments.submit_proof(reference=placed.order.payment.reference, customer_reference="ZELLE 1")
    await shop.payments.reject(payment_id=placed.order.payment.id, reason="no such transfer")
    await shop.orders.move(order_id=order.id, to=OrderStatus.PROCESSING, reason="packing")
    await shop.webhooks.enqueue(url="https://there.example/", event_type="order.told", payload={"n": 1})
    for table, least in (
        *(("carts", 1), ("cart_items", 1), ("events", 1), ("auth_sessions", 1), ("audit_logs", 2)),
        *(("payment_attempts", 2), ("order_status_history", 3), ("webhook_queue", 3)),
    ):
        assert await linked.one(f"SELECT count(*) FROM {{{table}}} WHERE tenant_id = $1") >= least, table
    assert await linked.queued() == before

    await linked.send()
    said = str([body for _, _, _, body in erp.requests])
    sales = next(body for _, path, _, body in erp.requests if path == "/sales-order" and body["id"] == str(order.id))
    receipt = next(body for _, path, _, body in erp.requests if path == "/payment-receipt")
    assert "history" not in str(sales) and "attempt" not in str(receipt)
    assert set(receipt["data"]) == {
        *("reference", "status", "order", "customer", "method", "amount", "received", "refunded"),
        *("customer_reference", "completed_at"),
    }
    assert receipt["id"] == str(payment.id)
    assert str(cart.id) not in said and str(guest.id) not in said


@pytest.mark.requirement("SBB-ERP-01", "SBB-USR-17", "SBB-PRIN-10")
async def test_an_account_is_queued_once_when_it_is_made_and_once_when_it_changes(
    linked: Sync, erp: ReferenceErp
) -> None:
    user = await buyer(linked)
    assert await linked.queued() == [("user", user.id)]
    changes = ProfileChanges(first_name="Bo", locale="fr-CA")
    await linked.shop.acting(actor=SYSTEM).users.update(
        user_id=user.id, full_name="Bo B.", phone="+1 512 555 0123", profile=changes
    )
    assert await linked.queued() == [("user", user.id)] * 2
    await linked.shop.acting(actor=SYSTEM).users.update_profile(
        user_id=user.id, changes=changes
    )  # the same again is no news
    await linked.shop.acting(actor=SYSTEM).users.change_phone(user_id=user.id, phone="+1 512 555 0123")
    await linked.shop.acting(actor=SYSTEM).sign_in.with_password(email=user.email, password=PASSWORD)
    assert len(await linked.queued()) == 2
    made_by_staff = await linked.shop.acting(actor=SYSTEM).users.create(email="wholesale@buyer.example")
    assert (await linked.queued())[2:] == [("user", made_by_staff.id)]
    await linked.send()
    known = {each["id"]: each for each in erp.all("customer-master")}
    assert set(known) == {str(user.id), str(made_by_staff.id)}
    told = known[str(user.id)]
    assert told["entity"] == "Customer Master"
    assert (told["data"]["email"], told["data"]["full_name"], told["data"]["phone"]) == (
        user.email,
        "Bo B.",
        "15125550123",
    )
    assert (told["data"]["first_name"], told["data"]["locale"]) == ("Bo", "fr-CA")  # of the profile
    assert "password" not in str(told)


@pytest.mark.requirement("SBB-ERP-02", "SBB-PROD-14", "SBB-PRIN-10")
async def test_a_product_is_queued_once_for_each_change_and_never_for_one_that_is_undone(
    linked: Sync, erp: ReferenceErp
) -> None:
    variant = await make_product(linked.shop, name="Shirt", sku="SHIRT", price=1_000)
    (_, product_id), *others = await linked.queued("product")
    assert others == []
    await linked.shop.products.update(product_id=product_id, name="Red shirt")
    await linked.shop.products.update_variant(variant_id=variant, price=usd(1_250))
    await linked.shop.products.unpublish(product_id=product_id)
    assert await linked.queued("product") == [("product", product_id)] * 4
    with pytest.raises(ZeroDivisionError):
        async with linked.shop.transaction() as tx:
            await tx.products.update(product_id=product_id, name="Never")
            raise ZeroDivisionError
    assert len(await linked.queued("product")) == 4
    await linked.send()
    (item,) = erp.all("item-master")
    assert (item["entity"], item["data"]["name"], item["data"]["status"]) == ("Item Master", "Red shirt", "draft")
    assert item["data"]["variants"][0]["price"] == {"amount": 1_250, "currency": "USD"}
    assert item["currency"] == {"code": "USD", "digits": 2}
    product = await linked.shop.products.get(product_id=product_id)
    assert (product.erp_item_id, product.erp_synced_at is not None) == (item["erp_id"], True)


@pytest.mark.requirement("SBB-ERP-03", "SBB-ERP-26")
async def test_an_order_is_queued_once_it_is_paid_and_two_who_verify_queue_it_once(linked: Sync) -> None:
    placed = await linked.place()
    assert placed.order.payment is not None
    payment_id = placed.order.payment.id
    assert await linked.queued("order") == []  # an intent
    await race(
        linked.room.db,
        lambda tx: linked.shop.payments.bound(tx).verify(payment_id=payment_id),
        lambda: linked.shop.payments.verify(payment_id=payment_id),
    )
    assert await linked.queued("order") == [("order", placed.order.id)]
    for status in (OrderStatus.PROCESSING, OrderStatus.READY_TO_SHIP):
        await linked.shop.orders.move(order_id=placed.order.id, to=status, reason="on its way")
    assert await linked.queued("order") == [("order", placed.order.id)]


@pytest.mark.requirement("SBB-ERP-03")
@pytest.mark.parametrize("way", ["store credit", "nothing to pay", "wallet", "two halves"])
async def test_every_way_to_be_paid_queues_one_sales_order(linked: Sync, way: str) -> None:
    """Some orders are born paid, inside a function of the database: no move of theirs is told apart."""
    shop = linked.shop
    variant = await make_product(shop, price=1_000)
    if way == "store credit":
        user = await buyer(linked)
        await shop.store_credit.grant(user_id=user.id, amount=usd(5_000))
        visitor = Visitor(user_id=user.id)
        order_id = (await linked.place((variant, 2), visitor=visitor, use_store_credit=True)).order.id
    elif way == "nothing to pay":
        await make_coupon(shop, "100 %", "ALL")
        order_id = (await linked.place((variant, 1), coupons=["ALL"])).order.id
    elif way == "wallet":
        await shop.receiving_accounts.create(asset="USDC", address=OURS, label="Main")
        await shop.payment_methods.create(
            code="usdc",
            method_type=PaymentMethodType.WALLET,
            name="USDC",
            currency="USDC",
            is_manual=False,
            instructions="-",
            payment_details={},
        )
        quote = await shop.cart_quotes.save(
            id=f"cart_{secrets.token_hex(16)}",
            items=[QuoteItem(variant_id=variant, quantity=1, unit_price=usdc(5_000_000))],
            total=usdc(5_000_000),
        )
        settled = await shop.acting(actor=SYSTEM).wallet_payments.record(payment=paid(quote))
        order_id = settled.order_id
    else:
        placed = await linked.place((variant, 2))
        for _ in range(2):
            await shop.payments.record_received(order_id=placed.order.id, method="zelle", amount=usd(1_000))
        order_id = placed.order.id
    order = await shop.orders.get(order_id=order_id)
    assert order.status is OrderStatus.PAYMENT_RECEIVED
    assert await linked.queued("order") == [("order", order_id)]
    assert await linked.sweep() >= 0
    assert await linked.queued("order") == [("order", order_id)]


@pytest.mark.requirement("SBB-ERP-04", "SBB-ERP-25")
async def test_a_payment_is_queued_when_it_is_completed_and_by_nothing_else(linked: Sync) -> None:
    shop = linked.shop
    rejected, cancelled, completed = [(await linked.place()).order.payment for _ in range(3)]
    assert rejected is not None and cancelled is not None and completed is not None
    await shop.payments.submit_proof(reference=rejected.reference, customer_reference="ZELLE 1")
    await shop.payments.reject(payment_id=rejected.id, reason="no such transfer")
    await shop.payments.cancel(payment_id=cancelled.id)
    assert await linked.queued("payment") == []
    await shop.payments.verify(payment_id=completed.id)
    with pytest.raises(StoreroomError):
        await shop.payments.verify(payment_id=completed.id)
    assert await linked.queued("payment") == [("payment", completed.id)]
    assert await linked.sweep() >= 0
    assert await linked.queued("payment") == [("payment", completed.id)]


@pytest.mark.requirement("SBB-ERP-06")
async def test_a_refund_is_queued_when_it_is_completed_and_by_nothing_else(linked: Sync, erp: ReferenceErp) -> None:
    order, payment = await linked.paid()
    failed, done = await linked.refund(payment, usd(100)), await linked.refund(payment, usd(200))
    await linked.shop.refunds.fail(refund_id=failed.id, reason="account closed")
    assert await linked.queued("refund") == []
    await linked.shop.refunding.complete(refund_id=done.id, method=RefundMethod.BANK_TRANSFER)
    assert await linked.queued("refund") == [("refund", done.id)]
    await linked.send()
    (memo,) = erp.all("credit-memo")
    (sales,) = erp.all("sales-order")
    assert (memo["entity"], memo["data"]["amount"]) == ("Credit Memo", {"amount": 200, "currency": "USD"})
    assert memo["data"]["order"] == {"id": str(order.id), "number": order.order_number, "erp_id": sales["erp_id"]}
