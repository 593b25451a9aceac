"""The receiver under examples/ as a person runs it: a process of its own, told everything that syncs, and telling."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sync import RECEIVER, TOKEN, Sync
from test_erp_sync import ERP_IDS, buyer, history

from factories import SECRET, make_product
from process import ServerProcess
from storeroom.database.service import SYSTEM
from storeroom.flows.inbound import HANDLERS
from storeroom.inbox import InboxProcessor, InboxStatus
from storeroom.orders import OrderStatus

DEADLINE_S = 90.0


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    arguments = ("serve", "--port", "0", "--file", str(file), "--token", TOKEN)
    process = await asyncio.create_subprocess_exec(sys.executable, str(RECEIVER), *arguments, stdout=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            said = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+", said)
        assert found is not None, said
        yield found[0], process.stdout
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.requirement("SBB-OI-07", "SBB-USR-10", "SBB-PROD-14", "SBB-PAY-07")
async def test_a_whole_shop_is_synced_to_the_example(sync: Sync, tmp_path: Path) -> None:
    await history(sync)
    await sync.send()  # there is no ERP yet: nobody hears what happened
    async with running(tmp_path / "erp.sqlite") as (url, output):
        await sync.connect(url)
        await sync.sweep()
        await sync.send()
        assert await sync.rows(ERP_IDS) == [(0, 0, 0, 0, 0, 0)]
        async with asyncio.timeout(DEADLINE_S):
            told = [(await output.readline()).decode().split() for _ in range(6)]
        assert sorted(line[0] for line in told) == ["Credit", "Customer", "Item", "Item", "Payment/Receipt", "Sales"]
    async with running(tmp_path / "erp.sqlite") as (url, _):  # it died and came back: it knows what it had
        await sync.connect(url)
        await sync.run("UPDATE {orders} SET erp_synced_at = NULL WHERE tenant_id = $1")
        await sync.sweep()
        await sync.send()
        orders = await shown(url, "sales-order")
        assert [(order["erp_id"], order["times_sent"]) for order in orders] == [(orders[0]["erp_id"], 2)]
        (known,) = await sync.rows("SELECT erp_order_id, erp_synced_at IS NOT NULL FROM {orders} WHERE tenant_id = $1")
        assert known == (orders[0]["erp_id"], True)


async def test_what_the_example_tells_reaches_stock_payment_and_account(
    sync: Sync, erp_dsn: str, tmp_path: Path
) -> None:
    """Signed, to a server of its own, by the command that the documentation has."""
    staff = sync.shop.acting(actor=SYSTEM)
    _, secret = await staff.webhook_sources.create(code="epicor_propello")
    shirt = await make_product(sync.shop, sku="SHIRT", stock=10)
    counted = [await make_product(sync.shop, sku=sku, stock=1) for sku in ("4711", "00815", "1e3", "true")]
    placed, user = await sync.place(), await buyer(sync)
    payment = placed.order.payment
    assert payment is not None
    await sync.run("UPDATE {users} SET erp_customer_id = 'CUST-000001' WHERE tenant_id = $1 AND id = $2", user.id)
    receipt = (f"payment_reference={payment.reference}", f"amount={payment.amount.amount}", "currency=USD")
    environment = {"STOREROOM_DATABASE_URL": erp_dsn, "STOREROOM_SECRET": SECRET, "STOREROOM_PROCESSES": "1"}
    server = ServerProcess(tmp_path, STOREROOM_WORKER="off", **environment)
    await asyncio.to_thread(server.start)
    try:
        for said in (
            ("Inventory", "sku=SHIRT", "quantity_on_hand=41"),
            ("Inventory", "sku=SHIRT", "quantity_on_hand=42"),
            ("Inventory", "sku=4711", "quantity_on_hand=7"),
            ("Inventory", "sku=00815", "quantity_on_hand=7"),
            ("Inventory", "sku=1e3", "quantity_on_hand=7"),
            ("Inventory", "sku=true", "quantity_on_hand=7"),
            ("Payment Receipt", *receipt, "status=confirmed"),
            ("Customer", "erp_customer_id=CUST-000001", "credit_limit=50000", "currency=USD", "terms=30"),
        ):
            where = ("--shop", server.url, "--tenant", str(sync.shop.tenant_id), "--secret", secret.reveal())
            sending = await asyncio.create_subprocess_exec(sys.executable, str(RECEIVER), "send", *said, *where)
            assert await sending.wait() == 0
    finally:
        await asyncio.to_thread(server.stop)

    processor = InboxProcessor(sync.room.db, handlers=HANDLERS, tenants=sync.room.tenants.cache)
    while await processor.process_next(sync.shop.tenant_id):
        pass
    entries = (await staff.inbox.list()).items
    assert [(each.status, each.error_message) for each in entries] == [(InboxStatus.COMPLETED, None)] * 8
    assert (await sync.shop.inventory.level(variant_id=shirt)).on_hand == 42
    assert [(await sync.shop.inventory.level(variant_id=each)).on_hand for each in counted] == [7] * 4
    assert (await sync.shop.orders.get(order_id=placed.order.id)).status is OrderStatus.PAYMENT_RECEIVED
    terms = {"credit_limit": 50_000, "credit_currency": "USD", "terms": "30"}
    assert (await staff.users.get(user_id=user.id)).metadata == terms


async def shown(url: str, entity: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        items: list[dict[str, Any]] = (await http.get(f"{url}/{entity}")).json()["items"]
    return items
