"""Customers over HTTP, for staff: who they are, where they live and what they bought."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler

from storeroom.core.ids import UserId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import SearchRefused, UserNotFound
from storeroom.orders.customers import Customers
from storeroom.orders.model import SEARCH_LENGTH_MAX, Customer, CustomerAddress, CustomerOrderSummary
from storeroom.orders.service import Orders
from storeroom.web import PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_READ: Final = [requires("users.read")]
_TAGS: Final = ["admin: customers"]
CustomerPath = FromPath[UUID]
SearchParameter = Annotated[
    str | None,
    QueryParameter(description="A part of a name, mail address or number.", min_length=1, max_length=SEARCH_LENGTH_MAX),
]
ActiveParameter = Annotated[bool, QueryParameter(description="Only those who may sign in.")]


@get(
    "/v1/admin/customers",
    summary="Customers, newest first; with `q` those it finds",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor, SearchRefused),
)
async def list_customers(
    customers: NamedDependency[Customers],
    q: SearchParameter = None,
    active: ActiveParameter = False,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Customer]:
    """Every account that is not deleted, with what it bought. A search gives one page."""
    if q is not None:
        return Page(list(await customers.search(text=q, active=active, limit=limit)))
    return await customers.list(active=active, cursor=cursor, limit=limit)


@get(
    "/v1/admin/customers/consenting",
    summary="Customers who agreed to be written to",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_consenting_customers(
    customers: NamedDependency[Customers],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[Customer]:
    """As of now: whoever takes the consent back is not on the next page."""
    return await customers.consenting(cursor=cursor, limit=limit)


@get(
    "/v1/admin/customers/{customer_id:uuid}",
    summary="One customer",
    tags=_TAGS,
    guards=_READ,
    responses=says(UserNotFound),
)
async def get_customer(customer_id: CustomerPath, customers: NamedDependency[Customers]) -> Customer:
    """Orders that were cancelled do not count; what went back is not among what was spent."""
    return await customers.get(customer_id=UserId(customer_id))


@get(
    "/v1/admin/customers/{customer_id:uuid}/addresses",
    summary="The addresses of a customer",
    tags=_TAGS,
    guards=_READ,
    responses=says(UserNotFound),
)
async def list_customer_addresses(
    customer_id: CustomerPath, customers: NamedDependency[Customers]
) -> Sequence[CustomerAddress]:
    """The defaults first, then the newest."""
    await customers.get(customer_id=UserId(customer_id))
    return await customers.addresses(customer_id=UserId(customer_id))


@get(
    "/v1/admin/customers/{customer_id:uuid}/orders",
    summary="The orders of a customer",
    tags=_TAGS,
    guards=[requires("users.read", "orders.read")],
    responses=says(UserNotFound, InvalidCursor),
)
async def list_customer_orders(
    customer_id: CustomerPath,
    customers: NamedDependency[Customers],
    orders: NamedDependency[Orders],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[CustomerOrderSummary]:
    """In short, newest first."""
    await customers.get(customer_id=UserId(customer_id))
    return await orders.summaries(customer_id=UserId(customer_id), cursor=cursor, limit=limit)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_customers,
    list_consenting_customers,
    get_customer,
    list_customer_addresses,
    list_customer_orders,
)
