"""From the wire to the row: signed messages of the ERP and of Vendure, through the inbox and its worker."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from recorded import address, at, customer, line, order

from factories import make_method, make_product, open_shop, place
from serving import app_of
from storeroom.database.service import SYSTEM
from storeroom.flows.inbound import HANDLERS
from storeroom.inbox import InboxEntry, InboxProcessor, InboxStatus
from storeroom.orders import OrderStatus
from storeroom.room import Shop, Storeroom
from storeroom.sources import SourceKind

SECRET = "whsec_" + base64.b64encode(b"the secret of both of the sources").decode()


class Wire:
    """What sends signed messages, and the worker that processes what came of them."""

    def __init__(self, room: Storeroom, shop: Shop, http: httpx.AsyncClient) -> None:
        self.room, self.shop, self.http = room, shop, http

    async def send(self, source: str, type_: str, data: dict[str, Any], minutes: float, id_: str) -> int:
        body = json.dumps({"id": id_, "type": type_, "occurred_at": at(minutes).isoformat(), "data": data}).encode()
        sent = str(int(time.time()))
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        mac = hmac.digest(key, f"{id_}.{sent}.".encode() + body, hashlib.sha256)
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": sent,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
        path = f"/v1/webhooks/{self.shop.tenant_id}/{source}"
        return (await self.http.post(path, content=body, headers=headers)).status_code

    async def process(self) -> dict[str, InboxEntry]:
        processor = InboxProcessor(self.room.db, handlers=HANDLERS, tenants=self.room.tenants.cache)
        while await processor.process_next(self.shop.tenant_id):
            pass
        rows = (await self.shop.inbox.list(limit=100)).items
        return {str(row.event_id): await self.shop.inbox.get(message_id=row.id) for row in rows}


@pytest.fixture
async def wire(room: Storeroom) -> AsyncIterator[Wire]:
    shop = await open_shop(room, actor=SYSTEM)
    for source in ("vendure", "epicor_propello"):
        await shop.webhook_sources.create(code=source, secret=SECRET)
    transport = httpx.ASGITransport(app_of(room), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.nobody.example") as http:
        yield Wire(room, shop, http)


@pytest.mark.requirement("SIG-GEN-02", "SIG-SYN-01", "SIG-SYN-02")
async def test_recorded_events_of_vendure_fill_the_tables_in_one_pass(wire: Wire) -> None:
    await make_product(wire.shop, sku="SHIRT")
    placed = order(line("SHIRT", 1, 1000, 1100))
    for type_, data, minutes, id_ in (
        ("OrderEvent", {"type": "created", "order": placed}, 20, "o-1"),
        ("CustomerAddressEvent", {"type": "created", "entity": address(21, "1 Main Street")}, 1, "a-1"),
        ("CustomerEvent", {"type": "created", "entity": customer()}, 0, "c-1"),
        ("CustomerEvent", {"type": "updated", "entity": {"id": 7, "firstName": "N."}}, 2, "c-2"),
        ("CustomerEvent", {"type": "updated", "entity": {"id": 7, "firstName": "N."}}, 2, "c-2"),
        ("OrderEvent", {"type": "updated", "order": {"id": 40, "state": "Shipped"}}, 60, "o-2"),
        ("CustomerAddressEvent", {"type": "deleted", "entity": {"id": 21}}, 61, "a-2"),
        ("OrderEvent", {"type": "rewritten", "order": placed}, 62, "o-3"),
    ):
        assert await wire.send("vendure", type_, data, minutes, id_) in {200, 202}
    told = await wire.process()
    done = {"o-1", "a-1", "c-1", "c-2", "o-2", "a-2"}
    assert {id_ for id_, entry in told.items() if entry.status is InboxStatus.COMPLETED} == done
    assert told["o-3"].status is InboxStatus.PENDING  # it is tried again, and ends as failed
    assert "data.type" in str(told["o-3"].error_message)
    buyer = await wire.shop.customers.by_vendure_id(vendure_customer_id="7")
    assert buyer is not None
    assert (buyer.first_name, buyer.total_orders) == ("N.", 1)
    (summary,) = (await wire.shop.orders.summaries(customer_id=buyer.id)).items
    assert summary.status is OrderStatus.SHIPPED
    assert told["o-2"].related_order_id == summary.id
    assert await wire.shop.customers.addresses(customer_id=buyer.id) == []
    source = await wire.shop.vendure.source_of(kind=SourceKind.ORDER, external_id=str(summary.vendure_order_id))
    assert source is not None
    assert source.local_id == summary.id


@pytest.mark.requirement("SBB-ERP-07", "SBB-ERP-08", "SBB-ERP-10")
async def test_what_the_erp_sends_reaches_stock_payment_and_account(wire: Wire) -> None:
    shop = wire.shop
    shirt = await make_product(shop, sku="SHIRT", stock=10)
    await make_method(shop)
    placed = await place(shop, (shirt, 1), payment_method="zelle")
    (payment,) = await shop.payments.for_order(order_id=placed.order.id)
    user = await shop.users.create(email="ann@buyer.example", metadata={"tier": "gold"})
    named = "UPDATE {users} SET erp_customer_id = 'C-1' WHERE tenant_id = $1 AND id = $2"
    await shop.context.db.execute(shop.context.db.names.render(named), shop.tenant_id, user.id)
    receipt = {
        "payment_reference": payment.reference,
        "amount": payment.amount.amount,
        "currency": "USD",
        "status": "confirmed",
    }
    for type_, data, id_ in (
        ("Inventory", {"sku": "SHIRT", "quantity_on_hand": 42}, "i-1"),
        ("Payment Receipt", receipt, "p-1"),
        ("Payment Receipt", receipt, "p-2"),
        ("Customer", {"erp_customer_id": "C-1", "terms": "NET30"}, "k-1"),
        ("Inventory", {"sku": "SHIRT", "quantity_on_hand": "many"}, "i-2"),
        ("Inventory", {"sku": "LATER", "quantity_on_hand": 1}, "i-3"),
    ):
        assert await wire.send("epicor_propello", type_, data, 1, id_) in {200, 202}
    told = await wire.process()
    states = {id_: entry.status for id_, entry in told.items()}
    assert states == {
        "i-1": InboxStatus.COMPLETED,
        "p-1": InboxStatus.COMPLETED,
        "p-2": InboxStatus.SKIPPED,
        "k-1": InboxStatus.COMPLETED,
        "i-2": InboxStatus.PENDING,
        "i-3": InboxStatus.PENDING,
    }
    assert "quantity_on_hand" in str(told["i-2"].error_message)
    assert told["p-1"].related_payment_id == payment.id
    assert (await shop.inventory.level(variant_id=shirt)).on_hand == 42
    paid = await shop.orders.get(order_id=placed.order.id)
    assert (paid.status, paid.amount_paid) == (OrderStatus.PAYMENT_RECEIVED, paid.total_amount)
    assert (await shop.users.get(user_id=user.id)).metadata == {"tier": "gold", "terms": "NET30"}
