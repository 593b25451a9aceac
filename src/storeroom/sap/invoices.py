"""Invoices of orders, fetched from SAP; each time leaves a row, whatever came of it."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.configuration import ConfigCache, Configuration
from storeroom.core.ids import OrderId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.ensured import Ensured
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Context, Service, operation
from storeroom.identity import TokenKeys
from storeroom.integration import Courier
from storeroom.orders import OrderNotFound
from storeroom.sap import queries
from storeroom.sap.errors import InvalidSap, InvoiceUnknown, SapFailed, SapNotConfigured
from storeroom.sap.model import (
    COMPANY_LENGTH_MAX,
    ERROR_LENGTH_MAX,
    NUMBER_LENGTH_MAX,
    PAYLOAD_BYTES_MAX,
    Invoice,
    InvoiceAudit,
    InvoicedOrder,
    map_invoice_audit,
)
from storeroom.sap.port import SAP_ADDRESS, InvoiceAnswer, Sap

ensure_invoice_audits = Ensured("orders", "domains", "invoice_audits")

NOT_FOUND: Final = 404


class Invoices(Service):
    """The invoices of one shop's orders."""

    def __init__(
        self,
        context: Context,
        courier: Courier | None = None,
        keys: TokenKeys | None = None,
        configs: ConfigCache | None = None,
    ) -> None:
        """Without a courier nothing is fetched, and what was can be listed."""
        super().__init__(context)
        self._courier, self._keys, self._configs = courier, keys, configs

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._courier, self._keys, self._configs)

    @operation
    async def fetch(
        self, *, order_id: OrderId, invoice_number: str | None = None, company_code: str | None = None
    ) -> Invoice:
        """Ask SAP for the invoice of an order. Success or failure, it leaves a row in the audit.

        Args:
            order_id: of the order.
            invoice_number: which of its invoices; None: the one that SAP has.
            company_code: of the company that sold; None: that of the order, or of its domain.

        Raises:
            OrderNotFound, InvalidSap, SapNotConfigured: nobody was asked, and nothing written.
            InvoiceUnknown: SAP has none.
            SapFailed: no answer in time, or none that is an invoice.
        """
        if isinstance(self.db, Transaction):
            raise TypeError("SAP is never asked inside a transaction")
        await ensure_invoice_audits(self.db)
        number = _line(invoice_number, "invoice_number", NUMBER_LENGTH_MAX)
        company = _line(company_code, "company_code", COMPANY_LENGTH_MAX)
        order = await queries.invoiced_order(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        address = await Configuration(self.context, self._keys, self._configs).value(SAP_ADDRESS)
        if address is None or self._courier is None:
            raise SapNotConfigured
        company = company or order.company_code
        asked = {"order": order.order_number, "invoice": number, "company": company}
        began = time.monotonic()
        try:
            said = await Sap(self._courier, address).invoice(order, invoice_number=number, company_code=company)
        except BaseException as error:  # also when the caller goes away: that it was asked for is kept
            reason = error.reason if isinstance(error, SapFailed) else type(error).__name__
            await self._record(order, asked, began, {}, number=number, error=reason)
            raise
        number = said.invoice_number or number
        audit = await self._record(order, asked, began, said.kept(), number=number, error=said.error, answer=said)
        if said.error is not None:
            if said.answer.status == NOT_FOUND:
                raise InvoiceUnknown(order=order.order_number, invoice_number=number)
            raise SapFailed(reason=said.error, status=said.answer.status)
        return Invoice(audit=audit, content_type=said.content_type, content=said.answer.body)

    @operation
    async def list(
        self,
        *,
        order_id: OrderId | None = None,
        invoice_number: str | None = None,
        company_code: str | None = None,
        success: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[InvoiceAudit]:
        """What was fetched, or tried to, newest first; each filter that is given must hold."""
        await ensure_invoice_audits(self.db)
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.invoice_audits_newest(
            self.db,
            tenant_id=self.tenant_id,
            size=size + 1,
            order_id=order_id,
            invoice_number=invoice_number,
            company_code=company_code,
            success=success,
            before_at=before_at,
            before_id=before_id,
        )
        return page_of([map_invoice_audit(row) for row in rows], size, lambda audit: (audit.created_at, audit.id))

    async def _record(
        self,
        order: InvoicedOrder,
        asked: Mapping[str, Any],
        began: float,
        kept: Mapping[str, Any],
        *,
        number: str | None,
        error: str | None,
        answer: InvoiceAnswer | None = None,
    ) -> InvoiceAudit:
        actor = self.context.actor
        row = await queries.insert_invoice_audit(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            order_id=order.id,
            order_increment_id=order.order_number,
            invoice_number=number,
            company_code=asked["company"],
            customer_id=order.customer_id,
            requested_by=str(actor.user_id or actor.name or actor.kind),
            source=actor.kind,
            success=error is None,
            status_code=None if answer is None else answer.answer.status,
            message=None if error is None else error.replace("\x00", "")[:ERROR_LENGTH_MAX],
            payload=_bounded({"asked": {name: value for name, value in asked.items() if value}, **kept}),
            duration_ms=int((time.monotonic() - began) * 1000),
            domain_id=order.domain_id,
        )
        return map_invoice_audit(row)


def _bounded(payload: dict[str, Any]) -> dict[str, Any]:
    """As it may be stored: an answer that is too long leaves only that it was, and no text has a zero byte."""
    encoded = msgspec.json.encode(payload)
    if len(encoded) > PAYLOAD_BYTES_MAX:
        return {"asked": payload["asked"], "left_out": f"{len(encoded)} bytes"}
    if b"\\u0000" in encoded:
        return {"asked": payload["asked"], "left_out": "what the database cannot keep"}
    return payload


def _line(text: str | None, field: str, length_max: int) -> str | None:
    tidy = text.strip() if text is not None else None
    if tidy is not None and (not 1 <= len(tidy) <= length_max or not tidy.isprintable()):
        raise InvalidSap(field=field, reason=f"1 to {length_max} printable characters")
    return tidy
