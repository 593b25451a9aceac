"""What is sent arrives as it is then, is kept under one id, and is sent once more where somebody asks."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from sync import ReferenceErp, Sync

from factories import make_coupon, make_product, usd
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM
from storeroom.erp import ErpCarrier, ErpEntity, ErpEntityNotFound, ErpNotConnected, OutsideErpBoundary
from storeroom.identity import User
from storeroom.integration import Dispatcher, WebhookStatus
from storeroom.refunds import RefundMethod

ERP_IDS = """
SELECT (SELECT count(*) FROM {users} WHERE tenant_id = $1 AND (erp_customer_id IS NULL OR erp_synced_at IS NULL)),
       (SELECT count(*) FROM {products} WHERE tenant_id = $1 AND (erp_item_id IS NULL OR erp_synced_at IS NULL)),
       (SELECT count(*) FROM {orders} WHERE tenant_id = $1 AND (erp_order_id IS NULL OR erp_synced_at IS NULL)),
       (SELECT count(*) FROM {order_items} WHERE tenant_id = $1 AND erp_line_id IS NULL),
       (SELECT count(*) FROM {payments} WHERE tenant_id = $1 AND (erp_payment_id IS NULL OR erp_synced_at IS NULL)),
       (SELECT count(*) FROM {refunds} WHERE tenant_id = $1 AND (erp_refund_id IS NULL OR erp_synced_at IS NULL))
"""


async def buyer(sync: Sync) -> User:
    return await sync.shop.acting(actor=SYSTEM).users.create(email=f"{uuid4().hex}@buyer.example", full_name="Bo")


async def history(sync: Sync) -> Any:
    """An account, two products, an order that it paid, and a refund of a part."""
    user = await buyer(sync)
    lines = [(await make_product(sync.shop, price=price), quantity) for price, quantity in ((1_000, 2), (500, 3))]
    await make_coupon(sync.shop, "10 %", "TEN")
    placed = await sync.place(*lines, visitor=Visitor(user_id=user.id), coupons=["TEN"])
    assert placed.order.payment is not None
    payment = await sync.shop.payments.verify(payment_id=placed.order.payment.id)
    refund = await sync.refund(payment, usd(300))
    await sync.shop.refunding.complete(refund_id=refund.id, method=RefundMethod.CHECK)
    return user, await sync.shop.orders.get(order_id=placed.order.id), payment, refund


@pytest.mark.requirement(
    *("SBB-ERP-31", "SBB-ORD-16", "SBB-OI-07", "SBB-PAY-07", "SBB-USR-10", "SBB-USR-20", "SBB-OVP-05")
)
async def test_a_shop_that_connects_an_erp_later_gets_everything_there_once(sync: Sync, erp: ReferenceErp) -> None:
    """Two workers at once, twice over, and nobody has told the ERP anything before."""
    user, order, payment, _ = await history(sync)
    await sync.send()  # events of before there was an ERP: nobody hears them
    assert (user.erp_customer_id, user.erp_synced_at, order.erp_order_id) == (None, None, None)
    unsynced = {each.entity.value: each.unsynced for each in (await sync.shop.erp.status()).entities}
    # A payment that went back in part is not looked for by itself; it goes before its refund.
    assert unsynced == {"user": 1, "product": 2, "order": 1, "payment": 0, "refund": 1}
    reads_its_columns = "SELECT id FROM {users} WHERE tenant_id = $1 AND erp_customer_id IS NULL"
    assert await sync.rows(reads_its_columns) == [(user.id,)]

    await sync.connect(erp.url)
    for _ in range(2):
        await asyncio.gather(sync.sweep(), sync.sweep())
        await asyncio.gather(sync.dispatcher().run_once(), sync.dispatcher().run_once())
    counts = {"customer-master": 1, "item-master": 2, "sales-order": 1, "payment-receipt": 1, "credit-memo": 1}
    assert erp.records.counts() == counts
    assert await sync.rows(ERP_IDS) == [(0, 0, 0, 0, 0, 0)]
    assert await sync.rows(reads_its_columns) == []
    (sales,), (receipt,) = erp.all("sales-order"), erp.all("payment-receipt")
    known = await sync.shop.orders.get(order_id=order.id)
    assert known.erp_order_id == sales["erp_id"]
    lines = await sync.shop.orders.items(order_id=order.id)
    assert [line.erp_line_id for line in lines] == [f"{sales['erp_id']}-1", f"{sales['erp_id']}-2"]
    assert receipt["data"]["order"]["erp_id"] == sales["erp_id"]
    assert sales["data"]["customer"]["erp_id"] == erp.all("customer-master")[0]["erp_id"]
    assert (await sync.shop.payments.get(payment_id=payment.id)).status == "partially_refunded"


async def test_an_order_is_told_whole(linked: Sync, erp: ReferenceErp) -> None:
    _, order, _, _ = await history(linked)
    await linked.send()
    (sales,) = erp.all("sales-order")
    data = sales["data"]
    money = {name: data[name]["amount"] for name in ("subtotal", "discount", "shipping", "tax", "total", "paid")}
    assert money == {"subtotal": 3_500, "discount": 350, "shipping": 0, "tax": 0, "total": 3_150, "paid": 2_850}
    assert sales["currency"] == {"code": "USD", "digits": 2}
    assert data["discounts"] == [{"code": "TEN", "amount": {"amount": 350, "currency": "USD"}}]
    assert data["shipping_address"]["street_line_1"] == data["billing_address"]["street_line_1"] != ""
    assert [(line["quantity"], line["unit_price"]["amount"], line["discount"]["amount"]) for line in data["lines"]] == [
        (2, 1_000, 200),
        (3, 500, 150),
    ]
    items = {item["id"]: item["erp_id"] for item in erp.all("item-master")}
    assert [line["item"]["erp_id"] for line in data["lines"]] == [items[line["item"]["id"]] for line in data["lines"]]
    assert (data["number"], sales["id"]) == (order.order_number, str(order.id))


@pytest.mark.requirement("SBB-ERP-31", "SBB-ORD-16")
async def test_what_it_refers_to_goes_before_it_and_once_though_two_need_it(linked: Sync, erp: ReferenceErp) -> None:
    user = await buyer(linked)
    variant = await make_product(linked.shop)
    await linked.forget_queue()  # only the orders are queued
    visitor = Visitor(user_id=user.id)
    for _ in range(3):
        placed = await linked.place((variant, 1), visitor=visitor)
        assert placed.order.payment is not None
        await linked.shop.payments.verify(payment_id=placed.order.payment.id)
    await linked.fan_out()
    await asyncio.gather(linked.dispatcher().run_once(), linked.dispatcher().run_once())
    counts = erp.records.counts()
    assert counts == {"customer-master": 1, "item-master": 1, "sales-order": 3, "payment-receipt": 3}
    assert all(sale["data"]["customer"]["erp_id"] for sale in erp.all("sales-order"))


@pytest.mark.requirement("SBB-ERP-32")
async def test_what_is_sent_once_more_changes_the_record_and_makes_no_second(linked: Sync, erp: ReferenceErp) -> None:
    variant = await make_product(linked.shop, name="Shirt")
    await linked.send()
    product_id = (await linked.shop.products.variant(variant_id=variant)).product_id
    (before,) = erp.all("item-master")
    await linked.run("UPDATE {products} SET name = 'Renamed' WHERE tenant_id = $1")  # nobody is told
    await linked.run("UPDATE {products} SET erp_synced_at = NULL WHERE tenant_id = $1")  # as the document has it
    assert await linked.sweep() == 1
    await linked.send()
    (after,) = erp.all("item-master")
    assert (after["erp_id"], after["data"]["name"], after["times_sent"]) == (before["erp_id"], "Renamed", 2)
    assert erp.sent("item-master") == ["POST", "PUT"]
    assert (await linked.shop.products.get(product_id=product_id)).erp_synced_at is not None

    assert (await linked.shop.erp.resync(entity=ErpEntity.PRODUCT, entity_id=product_id)).reset == 1
    await linked.shop.erp.resync(entity=ErpEntity.PRODUCT, entity_id=product_id)  # it waits already
    await linked.send()
    assert (await linked.shop.erp.resync_all(entity=ErpEntity.PRODUCT)).reset == 1
    assert await linked.sweep() == 1
    await linked.send()
    assert erp.sent("item-master") == ["POST", "PUT", "PUT", "PUT"]
    assert erp.records.counts() == {"item-master": 1}
    with pytest.raises(ErpEntityNotFound):
        await linked.shop.erp.resync(entity=ErpEntity.ORDER, entity_id=uuid4())
    unpaid = await linked.place()
    with pytest.raises(OutsideErpBoundary, match="never paid"):
        await linked.shop.erp.resync(entity=ErpEntity.ORDER, entity_id=unpaid.order.id)


@pytest.mark.requirement("SBB-ERP-33")
async def test_the_status_counts_what_the_erp_has_not_got(linked: Sync, erp: ReferenceErp) -> None:
    await make_product(linked.shop)
    await linked.send()
    user = await buyer(linked)
    await linked.paid()
    await linked.place()  # unpaid: not the ERP's matter
    erp.answers = [(422, b"no")]
    await linked.run("DELETE FROM {webhook_queue} WHERE tenant_id = $1 AND entity_type <> 'user'")
    await linked.send()
    status = {each.entity.value: each for each in (await linked.shop.erp.status()).entities}
    expected = {"user": (1, 1), "product": (2, 0), "order": (1, 0), "payment": (1, 0), "refund": (0, 0)}
    assert {name: (each.unsynced, each.dead_letters) for name, each in status.items()} == expected
    for name, column in (
        *(("users", "erp_customer_id"), ("products", "erp_item_id")),
        *(("payments", "erp_payment_id"), ("refunds", "erp_refund_id")),
    ):
        rows = await linked.one(f"SELECT count(*) FROM {{{name}}} WHERE tenant_id = $1 AND {column} IS NULL")
        finished = {"payments": rows - 1}.get(name, rows)  # one of an order that is not paid
        assert status[name.removesuffix("s")].unsynced == finished
    assert status["user"].oldest == user.created_at
    assert status["product"].last_synced_at is not None and status["order"].last_synced_at is None


@pytest.mark.requirement("SBB-IDX-13")
async def test_workers_that_sweep_side_by_side_queue_each_thing_once(sync: Sync, erp: ReferenceErp) -> None:
    """While one holds the rows that it has found, another finds the others; and none of them finds one twice."""
    for _ in range(6):
        await sync.paid()
    await sync.fan_out()
    await sync.forget_queue()
    await sync.connect(erp.url)
    async with sync.room.db.transaction() as tx:
        held = await tx.fetch(
            sync.room.db.names.render(
                "SELECT id FROM {orders} WHERE tenant_id = $1 ORDER BY id LIMIT 2 FOR NO KEY UPDATE"
            ),
            sync.shop.tenant_id,
        )
        queued = await asyncio.gather(*(sync.sweep(limit=7) for _ in range(4)))
        assert sum(queued) == 6 + 4 + 6  # products, orders that nobody holds, payments
    about = await sync.queued()
    assert len(set(about)) == len(about) == 16
    assert not {("order", row["id"]) for row in held} & set(about)
    assert await sync.sweep() == 2
    assert await sync.sweep() == 0


async def test_what_is_not_to_be_sent_ends_and_says_why(linked: Sync, erp: ReferenceErp) -> None:
    unpaid = await linked.place()
    await linked.shop.orders.cancel(order_id=unpaid.order.id, reason="changed her mind")
    variant = await make_product(linked.shop)
    product_id = (await linked.shop.products.variant(variant_id=variant)).product_id
    await linked.shop.products.delete(product_id=product_id)
    await linked.forget_queue()
    gone = uuid4()
    for entity, id_ in (("order", unpaid.order.id), ("product", product_id), ("payment", gone)):
        await linked.run(
            "INSERT INTO {webhook_queue} (tenant_id, destination, event_type, payload, entity_type, entity_id) "
            "VALUES ($1, 'epicor_propello', 'erp.sync', '[]', $2, $3)",
            entity,
            id_,
        )
    await linked.send()
    ended = {row.entity_type: (row.status, row.response_body) for row in (await linked.shop.webhooks.list()).items}
    assert ended == {
        "order": (WebhookStatus.SUCCESS, "not sent: the order is cancelled and was never paid"),
        "product": (WebhookStatus.SUCCESS, "not sent: the product was deleted before it was sent"),
        "payment": (WebhookStatus.SUCCESS, "not sent: it is not there any more"),
    }
    assert erp.requests == []
    assert [(kind, id_) for kind, id_ in await linked.queued() if id_ in {unpaid.order.id, product_id}] == [
        ("order", unpaid.order.id),
        ("product", product_id),
    ]
    await linked.sweep()
    assert len(await linked.queued("order")) == 1  # and is not looked for again


BAD_ANSWERS = [
    (200, b"thanks", "answered without"),
    (200, b'{"id": ""}', "printable characters"),
    (200, json.dumps({"id": "x" * 51}).encode(), "printable characters"),
    (200, b'{"id": "A-1", "lines": ["1"]}', "lines"),
    (500, b"out of order", "answered 500"),
    (302, b"", "redirects"),
]


async def test_an_answer_that_is_none_is_a_failed_attempt_and_the_next_one_says_what_is_true_by_then(
    linked: Sync, erp: ReferenceErp
) -> None:
    variant = await make_product(linked.shop, price=1_000)
    erp.answers = [(status, body) for status, body, _ in BAD_ANSWERS]
    for _ in BAD_ANSWERS:
        await linked.send()
        await linked.due_now()
    (row,) = [row for row in (await linked.shop.webhooks.list()).items if row.destination == "epicor_propello"]
    errors = [each.error for each in await linked.shop.webhooks.attempts(webhook_id=row.id)]
    assert all(said in str(error) for error, (_, _, said) in zip(errors, BAD_ANSWERS, strict=True))
    assert (await linked.shop.products.variant(variant_id=variant)).price == usd(1_000)
    await linked.run("UPDATE {product_variants} SET price = 1100 WHERE tenant_id = $1")
    await linked.send()
    (item,) = erp.all("item-master")
    assert item["data"]["variants"][0]["price"]["amount"] == 1_100
    keys = {headers["idempotency-key"] for _, _, headers, _ in erp.requests}
    assert keys == {f"{linked.shop.tenant_id}:product:{item['id']}"}


async def test_an_erp_may_number_its_records(linked: Sync, erp: ReferenceErp) -> None:
    variant = await make_product(linked.shop)
    erp.answers = [(200, b'{"id": 4711}')]
    await linked.send()
    placed = await linked.place((variant, 1))
    assert placed.order.payment is not None
    await linked.shop.payments.verify(payment_id=placed.order.payment.id)
    erp.answers_to = {  # the payment's message and a second one of its order go at the same time
        "/sales-order": [(200, b'{"id": 4712, "lines": [1]}')],
        "/payment-receipt": [(200, b'{"id": 4713}')],
    }
    await linked.send()
    ids = await linked.rows(
        "SELECT p.erp_item_id, o.erp_order_id, i.erp_line_id, y.erp_payment_id FROM {orders} o "
        "JOIN {order_items} i ON i.order_id = o.id JOIN {payments} y ON y.order_id = o.id, {products} p "
        "WHERE o.tenant_id = $1 AND p.tenant_id = $1"
    )
    assert ids == [("4711", "4712", "1", "4713")]
    erp.answers_to["/item-master"] = [(200, b'{"id": true}'), (200, b'{"id": 47.5}')]
    await make_product(linked.shop)
    for _ in range(2):
        await linked.send()
        await linked.due_now()
    assert await linked.one("SELECT count(*) FROM {products} WHERE tenant_id = $1 AND erp_item_id IS NULL") == 1
    assert erp.answers_to["/item-master"] == []


async def test_what_the_erp_will_never_take_is_a_dead_letter_until_staff_have_seen_it(
    linked: Sync, erp: ReferenceErp
) -> None:
    await make_product(linked.shop)
    erp.answers = [(422, b'{"error": "no unit of measure"}')]
    await linked.send()
    (dead,) = (await linked.shop.webhooks.list(status=WebhookStatus.FAILED)).items
    assert (dead.attempts, dead.response_body) == (1, '{"error": "no unit of measure"}')
    assert await linked.sweep() == 0
    await linked.shop.webhooks.retry(webhook_id=dead.id)
    await linked.send()
    assert erp.records.counts() == {"item-master": 1}


async def test_without_a_connection_nothing_is_lost_and_nothing_piles_up(linked: Sync, erp: ReferenceErp) -> None:
    await make_product(linked.shop)
    await linked.send()
    await linked.fan_out()
    await linked.run("UPDATE {products} SET name = 'Renamed' WHERE tenant_id = $1")
    await linked.shop.erp.resync_all(entity=ErpEntity.PRODUCT)
    await linked.sweep()
    await linked.connect(erp.url, credential=None, is_active=False)
    await make_product(linked.shop)
    await linked.send()
    assert (await linked.shop.erp.status()).entities[1].waiting == 0
    assert len(erp.requests) == 1
    assert await linked.sweep() == 0
    await linked.connect(erp.url, credential=None)
    assert await linked.sweep() == 2
    await linked.send()
    assert [item["data"]["name"] == "Renamed" for item in erp.all("item-master")] == [True, False]
    await linked.shop.erp.disconnect()
    with pytest.raises(ErpNotConnected):
        await linked.shop.erp.resync_all(entity=ErpEntity.PRODUCT)


async def test_what_changes_while_the_connection_is_inactive_arrives_once_it_is_active(
    linked: Sync, erp: ReferenceErp
) -> None:
    user = await buyer(linked)
    variant = await make_product(linked.shop, name="Shirt")
    product_id = (await linked.shop.products.variant(variant_id=variant)).product_id
    await linked.send()
    await linked.connect(erp.url, credential=None, is_active=False)
    await linked.shop.products.update(product_id=product_id, name="Blouse")
    await linked.shop.acting(actor=SYSTEM).users.set_name(user_id=user.id, full_name="Bo Li")
    await linked.send()
    assert ([item["data"]["name"] for item in erp.all("item-master")], len(erp.requests)) == (["Shirt"], 2)
    assert [each.waiting for each in (await linked.shop.erp.status()).entities] == [0] * 5
    await linked.connect(erp.url, credential=None)
    assert await linked.sweep() == 2
    await linked.send()
    assert [item["data"]["name"] for item in erp.all("item-master")] == ["Blouse"]
    assert [each["data"]["full_name"] for each in erp.all("customer-master")] == ["Bo Li"]
    assert (erp.sent("item-master"), erp.sent("customer-master")) == (["POST", "PUT"], ["POST", "PUT"])


async def test_what_changes_while_there_is_no_connection_arrives_when_there_is_one_again(
    linked: Sync, erp: ReferenceErp
) -> None:
    """By itself: nobody asks for it. What did not change is not sent again."""
    user, quiet = await buyer(linked), await make_product(linked.shop, name="Cap")
    variant = await make_product(linked.shop, name="Shirt")
    product_id = (await linked.shop.products.variant(variant_id=variant)).product_id
    await linked.send()
    await linked.shop.erp.disconnect()
    with pytest.raises(ErpNotConnected):
        await linked.shop.erp.connection()
    with pytest.raises(ErpNotConnected):
        await linked.shop.erp.disconnect()
    kept = "SELECT base_url, auth, auth_name, credential, is_active FROM {erp_connections} WHERE tenant_id = $1"
    assert await linked.rows(kept) == [("", "none", None, None, False)]
    await linked.shop.products.update(product_id=product_id, name="Blouse")
    await linked.shop.acting(actor=SYSTEM).users.set_name(user_id=user.id, full_name="Bo Li")
    await make_product(linked.shop, name="Scarf")
    await linked.send()
    assert len(erp.requests) == 3 and await linked.sweep() == 0
    await linked.connect(erp.url)
    assert await linked.sweep() == 3
    await linked.send()
    assert sorted(item["data"]["name"] for item in erp.all("item-master")) == ["Blouse", "Cap", "Scarf"]
    assert [each["data"]["full_name"] for each in erp.all("customer-master")] == ["Bo Li"]
    assert sorted(erp.sent("item-master")) == ["POST", "POST", "POST", "PUT"]
    assert quiet and await linked.sweep() == 0


async def test_a_shop_that_has_just_connected_is_heard_at_once(sync: Sync, erp: ReferenceErp) -> None:
    """A carrier that has asked before does not go on to believe that there is no ERP."""
    carrier = ErpCarrier(sync.room.db, sync.courier, keys=sync.room.token_keys)
    assert not await carrier.wants(sync.shop.tenant_id)
    await sync.connect(erp.url, is_active=False)
    assert await carrier.wants(sync.shop.tenant_id)


async def test_an_erp_that_makes_a_second_record_is_not_believed(linked: Sync, erp: ReferenceErp) -> None:
    variant = await make_product(linked.shop)
    await linked.send()
    product_id = (await linked.shop.products.variant(variant_id=variant)).product_id
    known = (await linked.shop.products.get(product_id=product_id)).erp_item_id
    await linked.shop.products.update(product_id=product_id, name="Renamed")
    erp.answers = [(200, b'{"id": "ANOTHER"}')]
    await linked.send()
    assert (await linked.shop.products.get(product_id=product_id)).erp_item_id == known
    (waits,) = (await linked.shop.webhooks.list(status=WebhookStatus.PENDING)).items
    assert waits.last_error == f"answered with the id ANOTHER for {known}"


async def test_events_go_out_in_the_order_in_which_they_happened(linked: Sync, erp: ReferenceErp) -> None:
    """Of one product; the carrier asks for that."""
    variant = await make_product(linked.shop, price=1)
    for price in range(2, 6):
        await linked.shop.products.update_variant(variant_id=variant, price=usd(price))
    dispatchers: list[Dispatcher] = [linked.dispatcher() for _ in range(3)]
    await linked.fan_out()
    await asyncio.gather(*(each.run_once() for each in dispatchers))
    await linked.send()
    assert erp.sent("item-master") == ["POST", *["PUT"] * 4]
