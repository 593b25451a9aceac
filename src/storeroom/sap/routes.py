"""SAP over HTTP, for staff: customers who wait for it, invoices from it, and what was asked."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import InvalidEmail
from storeroom.core.ids import OrderId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.orders import OrderNotFound
from storeroom.sap.customers import CustomerSyncs
from storeroom.sap.errors import (
    CustomerSynced,
    CustomerSyncNotFound,
    InvalidSap,
    InvoiceUnknown,
    SapCodeTaken,
    SapFailed,
    SapNotConfigured,
)
from storeroom.sap.invoices import Invoices
from storeroom.sap.model import CODE_LENGTH_MAX, COMPANY_LENGTH_MAX, NUMBER_LENGTH_MAX, CustomerSync, InvoiceAudit
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: sap"]

Email = Annotated[str, Meta(min_length=3, max_length=255, examples=["ann@buyer.example"])]
Code = Annotated[str, Meta(min_length=1, max_length=CODE_LENGTH_MAX, examples=["0000104711"])]
Company = Annotated[str, Meta(min_length=1, max_length=COMPANY_LENGTH_MAX, examples=["1000"])]
InvoiceParameter = Annotated[
    str | None, QueryParameter(description="An invoice's number.", min_length=1, max_length=NUMBER_LENGTH_MAX)
]
CompanyParameter = Annotated[
    str | None, QueryParameter(description="A company's code.", min_length=1, max_length=COMPANY_LENGTH_MAX)
]


class KnownCustomer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What SAP has of a customer. What is left out stays as it is."""

    customer_email: Email
    sap_customer_code: Code | None = None
    sap_sync: bool | None = None
    company_code: Company | None = None


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which company."""

    company_code: Company | None = None


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """How many customers wait since."""

    enrolled: int


@get(
    "/v1/admin/sap/customers",
    summary="Customers who are not in SAP yet",
    tags=_TAGS,
    guards=[requires(Permission.USERS_READ)],
    responses=says(InvalidCursor),
)
async def list_waiting_customers(
    customer_syncs: NamedDependency[CustomerSyncs],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[CustomerSync]:
    """The oldest first, with the attempts and what SAP said last."""
    return await customer_syncs.waiting(cursor=cursor, limit=limit)


@put(
    "/v1/admin/sap/customers",
    summary="Say what SAP has of a customer",
    tags=_TAGS,
    guards=[requires(Permission.USERS_WRITE)],
    responses=says(InvalidEmail, InvalidSap, SapCodeTaken),
)
async def upsert_customer_sync(
    data: JSONBody[KnownCustomer], customer_syncs: NamedDependency[CustomerSyncs]
) -> CustomerSync:
    """One row for a mail address; the account's metadata says the same."""
    return await customer_syncs.upsert(**msgspec.structs.asdict(data))


@post(
    "/v1/admin/sap/customers/enrol",
    status_code=200,
    summary="Send all customers to SAP",
    tags=_TAGS,
    guards=[requires(Permission.USERS_WRITE)],
    opt=IDEMPOTENT,
    responses=says(InvalidSap),
)
async def enrol_customers(data: JSONBody[Enrolment], customer_syncs: NamedDependency[CustomerSyncs]) -> Enrolled:
    """Those who have no row yet wait from now on; again finds none of them."""
    return Enrolled(enrolled=await customer_syncs.enrol_all(company_code=data.company_code))


@post(
    "/v1/admin/sap/customers/{sync_id:uuid}/retry",
    status_code=200,
    summary="Send a customer again",
    tags=_TAGS,
    guards=[requires(Permission.USERS_WRITE)],
    responses=says(CustomerSyncNotFound, CustomerSynced),
)
async def retry_customer_sync(sync_id: FromPath[UUID], customer_syncs: NamedDependency[CustomerSyncs]) -> CustomerSync:
    """All attempts again, at once."""
    return await customer_syncs.retry(sync_id=sync_id)


@get(
    "/v1/admin/sap/orders/{order_id:uuid}/invoice",
    summary="Fetch an order's invoice",
    tags=_TAGS,
    guards=[requires(Permission.ORDERS_READ)],
    responses=says(OrderNotFound, InvalidSap, InvoiceUnknown, SapFailed, SapNotConfigured),
)
async def fetch_invoice(
    order_id: FromPath[UUID],
    invoices: NamedDependency[Invoices],
    invoice_number: InvoiceParameter = None,
    company_code: CompanyParameter = None,
) -> Response[bytes]:
    """As SAP gives it, JSON or PDF, to be kept as a file. Each call asks SAP, and is in the audit."""
    invoice = await invoices.fetch(order_id=OrderId(order_id), invoice_number=invoice_number, company_code=company_code)
    ending = "pdf" if invoice.content_type.endswith("pdf") else "json"
    return Response(
        invoice.content,
        media_type=invoice.content_type,
        headers={
            "content-disposition": f'attachment; filename="invoice-{invoice.audit.order_increment_id}.{ending}"',
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        },
    )


@get(
    "/v1/admin/sap/invoice-audits",
    summary="What SAP was asked for",
    tags=_TAGS,
    guards=[requires(Permission.AUDIT_READ)],
    responses=says(InvalidCursor),
)
async def list_invoice_audits(
    invoices: NamedDependency[Invoices],
    *,
    order_id: FromQuery[UUID | None] = None,
    invoice_number: InvoiceParameter = None,
    company_code: CompanyParameter = None,
    success: FromQuery[bool | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[InvoiceAudit]:
    """Newest first: who asked for which invoice, and what came of it."""
    return await invoices.list(
        order_id=OrderId(order_id) if order_id else None,
        invoice_number=invoice_number,
        company_code=company_code,
        success=success,
        cursor=cursor,
        limit=limit,
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_waiting_customers,
    upsert_customer_sync,
    enrol_customers,
    retry_customer_sync,
    fetch_invoice,
    list_invoice_audits,
)
