"""Invoices from SAP: whatever comes of asking, a row stays that says so."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from factories import LOOPBACK, SECRET, make_product, open_shop, purchase
from receiver import Receiver, hang, receiving, reset, status
from storeroom.core.ids import OrderId, new_id
from storeroom.database.ensured import Ensured
from storeroom.database.migrations import NotMigrated, migrate
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.identity import Permission, UserRole
from storeroom.orders import OrderNotFound
from storeroom.room import Shop, Storeroom
from storeroom.sap import (
    InvalidSap,
    InvoiceUnknown,
    SapFailed,
    SapNotConfigured,
    ensure_invoice_audits,
    map_invoice_audit,
)
from storeroom.server.app import create_app
from storeroom.settings import Settings

JSON, PDF = "content-type: application/json; charset=utf-8", "content-type: application/pdf"
INVOICE = b'{"invoice_number": "90001", "total": "129.50", "lines": [1, 2]}'
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
async def near(database: Database) -> AsyncIterator[Storeroom]:
    """A room that may ask on loopback."""
    room = Storeroom(database, secret=SECRET, private_destinations=LOOPBACK)
    async with room.courier:
        yield room


@asynccontextmanager
async def sap(shop: Shop, answer: Any) -> AsyncIterator[Receiver]:
    async with receiving(answer) as receiver:
        await shop.configuration.set(key="sap.address", value=f"http://:a-token@127.0.0.1:{receiver.port}/shop/")
        yield receiver


async def ordered(shop: Shop, domain: str | None = None) -> tuple[OrderId, str]:
    order = (await shop.checkout.place(purchase((await make_product(shop), 1)), domain=domain)).order
    return order.id, order.number


@pytest.mark.requirement("RED-INV-01", "RED-INV-02", "RED-INV-05")
async def test_success_and_failure_leave_a_row_each(near: Storeroom) -> None:
    clerk = new_id()
    shop = await open_shop(near)
    await shop.domains.create(domain_name="shop.example", company_code="1000")
    order_id, number = await ordered(shop, domain="shop.example")
    staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=clerk, name="clerk@shop.example"))
    async with sap(shop, status(200, INVOICE, JSON)) as remote:
        invoice = await staff.invoices.fetch(order_id=order_id)
        remote.answer = status(500, b'{"error": "no lock"}', JSON)
        with pytest.raises(SapFailed, match="answered 500"):
            await shop.invoices.fetch(order_id=order_id, invoice_number="90002", company_code="2000")
    assert [request.path for request in remote.requests] == [
        f"/shop/invoices?order={number}&company=1000",
        f"/shop/invoices?order={number}&invoice=90002&company=2000",
    ]
    assert remote.requests[0].headers["authorization"] == "Bearer a-token"
    assert (invoice.content, invoice.content_type) == (INVOICE, "application/json")
    failure, success = (await shop.invoices.list()).items
    assert success == invoice.audit
    assert (success.success, success.status_code, success.message) == (True, 200, None)
    assert (success.order_id, success.order_increment_id, success.invoice_number) == (order_id, number, "90001")
    assert (success.requested_by, success.source, success.company_code) == (str(clerk), "admin", "1000")
    assert success.payload["answer"]["total"] == "129.50"
    assert success.domain_id is not None and success.duration_ms is not None
    assert (failure.success, failure.status_code, failure.message) == (False, 500, "answered 500")
    assert failure.payload == {
        "asked": {"order": number, "invoice": "90002", "company": "2000"},
        "answer": {"error": "no lock"},
    }


@pytest.mark.requirement("RED-INV-02")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reset, "Error: "),
        (hang, "no answer within 0.3 s"),
        (status(200, b"<html>", "content-type: text/html"), "neither an object of JSON nor a PDF, but text/html"),
        (status(200, b"[1]", JSON), "neither an object"),
        (status(200, b"no pdf", PDF), "neither an object"),
        (status(200, b'{"x":' + b"[" * 1500, JSON), "neither an object"),
        (status(302, b"", "location: http://127.0.0.1/"), "answered 302"),
        (status(200, b"%PDF-" + b"x" * 3000, PDF), "more than 2000 bytes"),
    ],
    ids=["reset", "hang", "html", "list", "not a pdf", "too deep", "redirect", "too long"],
)
async def test_what_goes_wrong_there_leaves_a_row_too(
    near: Storeroom, monkeypatch: pytest.MonkeyPatch, answer: Any, said: str
) -> None:
    if answer is hang:
        monkeypatch.setattr("storeroom.sap.port.TIMEOUT", timedelta(milliseconds=300))
    monkeypatch.setattr("storeroom.sap.port.INVOICE_BYTES_MAX", 2000)
    shop = await open_shop(near)
    order_id, number = await ordered(shop)
    async with sap(shop, answer):
        with pytest.raises(SapFailed) as refused:
            await shop.invoices.fetch(order_id=order_id, invoice_number="7")
    (row,) = (await shop.invoices.list()).items
    assert said in refused.value.reason and said in str(row.message)
    assert (row.success, row.invoice_number) == (False, "7")
    assert row.payload["asked"] == {"order": number, "invoice": "7"}


async def test_who_goes_away_while_sap_thinks_leaves_a_row(near: Storeroom) -> None:
    shop = await open_shop(near)
    order_id, _ = await ordered(shop)
    async with sap(shop, hang) as remote:
        asking = asyncio.create_task(shop.invoices.fetch(order_id=order_id))
        await remote.heard(1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    (row,) = (await shop.invoices.list()).items
    assert (row.success, row.message) == (False, "CancelledError")


async def test_a_document_is_given_and_its_sum_kept(near: Storeroom) -> None:
    shop = await open_shop(near)
    order_id, _ = await ordered(shop)
    document = b"%PDF-1.7 \x00\xff of the shop"
    async with sap(shop, status(200, document, PDF)) as remote:
        invoice = await shop.invoices.fetch(order_id=order_id)
        remote.answer = status(404, b"\x00", "content-type: text/plain")
        with pytest.raises(InvoiceUnknown):
            await shop.invoices.fetch(order_id=order_id)
        remote.answer = status(200, b'{"text": "a\\u0000"}', JSON)
        odd = await shop.invoices.fetch(order_id=order_id)
        remote.answer = status(200, b'{"text": "' + b"x" * 70_000 + b'"}', JSON)
        long = await shop.invoices.fetch(order_id=order_id)
    assert invoice.content == document
    assert invoice.audit.payload["answer"] == {
        "content_type": "application/pdf",
        "bytes": len(document),
        "sha256": hashlib.sha256(document).hexdigest(),
    }
    assert odd.audit.payload["left_out"] == "what the database cannot keep"
    assert long.audit.payload["left_out"].endswith("bytes") and len(long.content) > 70_000
    assert [row.success for row in (await shop.invoices.list()).items] == [True, True, False, True]


@pytest.mark.parametrize("number", ["\\u0000", "9\\u00070", "9" * 101, " "], ids=["NUL", "bell", "long", "blank"])
async def test_a_number_that_cannot_be_kept_is_not(near: Storeroom, number: str) -> None:
    shop = await open_shop(near)
    order_id, _ = await ordered(shop)
    async with sap(shop, status(200, f'{{"invoice_number": "{number}"}}'.encode(), JSON)):
        for asked in (None, "7"):
            assert (await shop.invoices.fetch(order_id=order_id, invoice_number=asked)).audit.invoice_number == asked
    assert [row.invoice_number for row in (await shop.invoices.list()).items] == ["7", None]


async def test_nobody_is_asked_without_an_order_an_address_or_inside_a_transaction(near: Storeroom) -> None:
    shop = await open_shop(near)
    order_id, _ = await ordered(shop)
    with pytest.raises(SapNotConfigured):
        await shop.invoices.fetch(order_id=order_id)
    async with sap(shop, status(200, INVOICE, JSON)) as remote:
        with pytest.raises(OrderNotFound):
            await shop.invoices.fetch(order_id=OrderId(new_id()))
        with pytest.raises(InvalidSap):
            await shop.invoices.fetch(order_id=order_id, invoice_number="\n")
        async with shop.transaction() as tx:
            with pytest.raises(TypeError, match="inside a transaction"):
                await tx.invoices.fetch(order_id=order_id)
    assert remote.requests == []
    assert (await shop.invoices.list()).items == []


@pytest.mark.requirement("RED-INV-05")
async def test_each_filter_gives_exactly_its_rows_newest_first(near: Storeroom) -> None:
    shop = await open_shop(near)
    one, other = (await ordered(shop))[0], (await ordered(shop))[0]
    fetches = [(one, "1", "A", 200), (one, "2", "A", 500), (other, "1", "B", 200), (other, "3", "A", 500)]
    async with sap(shop, status(200, INVOICE, JSON)) as remote:
        for order_id, number, company, code in fetches:
            remote.answer = status(code, b"{}", JSON)
            with contextlib.suppress(SapFailed):
                await shop.invoices.fetch(order_id=order_id, invoice_number=number, company_code=company)

    async def found(**filters: Any) -> list[int]:
        page = await shop.invoices.list(**filters)
        keys = [(row.order_id, row.invoice_number, row.company_code, row.status_code) for row in page.items]
        return [fetches.index(key) for key in keys]  # type: ignore[arg-type]

    assert await found() == [3, 2, 1, 0]
    assert await found(order_id=one) == [1, 0]
    assert await found(invoice_number="1") == [2, 0]
    assert await found(company_code="A") == [3, 1, 0]
    assert await found(success=False) == [3, 1]
    assert await found(success=True, company_code="A", order_id=one, invoice_number="1") == [0]
    assert await found(order_id=other, success=True, invoice_number="3") == []
    first = await shop.invoices.list(company_code="A", limit=2)
    last = await shop.invoices.list(company_code="A", limit=2, cursor=first.next_cursor)
    assert [fetches[n][1] for n in (3, 1, 0)] == [row.invoice_number for row in [*first.items, *last.items]]


@pytest.mark.requirement("RED-INV-05")
@pytest.mark.parametrize("change", ["UPDATE invoice_audits SET success = TRUE", "DELETE FROM invoice_audits"])
async def test_the_service_cannot_rewrite_what_was_fetched(database: Database, change: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(change)


async def test_a_domain_that_goes_is_named_no_longer(near: Storeroom) -> None:
    shop = await open_shop(near)
    domain = await shop.domains.create(domain_name="shop.example")
    order_id, _ = await ordered(shop, domain="SHOP.example")
    async with sap(shop, status(200, INVOICE, JSON)):
        invoice = await shop.invoices.fetch(order_id=order_id)
    assert invoice.audit.domain_id == domain.id
    await shop.domains.delete(domain_id=domain.id)
    (row,) = (await shop.invoices.list()).items
    assert (row.id, row.domain_id) == (invoice.audit.id, None)


@pytest.mark.requirement("RED-INV-03")
async def test_the_helper_asks_that_the_table_is_there(
    near: Storeroom, database: Database, fresh_database: Any
) -> None:
    shop = await open_shop(near)
    order_id, _ = await ordered(shop)
    await asyncio.gather(*(Ensured("orders", "domains", "invoice_audits")(database) for _ in range(2)))
    async with sap(shop, status(200, INVOICE, JSON)):
        kept = (await shop.invoices.fetch(order_id=order_id)).audit
    await asyncio.gather(*(Ensured("orders", "domains", "invoice_audits")(database) for _ in range(2)))
    assert (await shop.invoices.list()).items == [kept]
    empty = await fresh_database(empty=True)
    async with await Database.open(empty, role=None) as db:
        with pytest.raises(NotMigrated, match="0034 sap"):
            await ensure_invoice_audits(db)
        await migrate(empty)
        await asyncio.gather(ensure_invoice_audits(db), ensure_invoice_audits(db))


@pytest.mark.requirement("RED-INV-04")
@pytest.mark.parametrize(
    ("payload", "mapped"),
    [(None, {}), ({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("[1]", {}), ("no json", {}), ([1], {})],
)
def test_rows_are_mapped_to_one_form(payload: Any, mapped: dict[str, Any]) -> None:
    blank = dict.fromkeys(("customer_id", "domain_id", "success", "status_code", "duration_ms"))
    row = {
        **blank,
        **dict.fromkeys(("invoice_number", "company_code", "requested_by", "source", "message"), " "),
        "id": str(new_id()),
        "order_id": str(new_id()),
        "order_increment_id": "100001",
        "payload": payload,
        "created_at": "2026-03-01 12:30",
    }
    audit = map_invoice_audit(row)
    assert (audit.payload, audit.success, audit.created_at) == (mapped, False, AT)
    assert {audit.invoice_number, audit.company_code, audit.requested_by, audit.source, audit.message} == {None}
    assert isinstance(audit.order_id, UUID)


async def test_over_http_staff_keep_the_file_and_read_who_asked(near: Storeroom) -> None:
    shop = await open_shop(near, actor=SYSTEM)
    order_id, number = await ordered(shop)
    clerk = await shop.users.create(
        email="clerk@shop.example",
        password="a good long password",
        role=UserRole.STAFF,
        permissions=[Permission.ORDERS_READ, Permission.AUDIT_READ],
    )
    token = (await shop.sessions.sign_in(email=clerk.email, password="a good long password")).access_token
    transport = httpx.ASGITransport(create_app(near, Settings()))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://shop.example", headers=headers) as http,
        sap(shop, status(200, b"%PDF-1.7", PDF)) as remote,
    ):
        file = await http.get(f"/v1/admin/sap/orders/{order_id}/invoice", params={"invoice_number": "9"})
        assert (file.status_code, file.content) == (200, b"%PDF-1.7")
        assert file.headers["content-type"].startswith("application/pdf")
        assert file.headers["content-disposition"] == f'attachment; filename="invoice-{number}.pdf"'
        remote.answer = status(404)
        missing = await http.get(f"/v1/admin/sap/orders/{order_id}/invoice")
        assert (missing.status_code, missing.json()["code"]) == (404, "sap.invoice_unknown")
        remote.answer = status(500)
        failed = await http.get(f"/v1/admin/sap/orders/{order_id}/invoice")
        assert (failed.status_code, failed.json()["code"]) == (503, "sap.failed")
        rows = (await http.get("/v1/admin/sap/invoice-audits", params={"success": "true"})).json()["items"]
        assert [(row["invoice_number"], row["requested_by"]) for row in rows] == [("9", str(clerk.id))]
        everything = (await http.get("/v1/admin/sap/invoice-audits", params={"order_id": str(order_id)})).json()[
            "items"
        ]
        assert [row["status_code"] for row in everything] == [500, 404, 200]
