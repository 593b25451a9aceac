"""Orders over HTTP, for their buyers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import PHONE_LENGTH_MAX, InvalidPhone
from storeroom.core.ids import UserId
from storeroom.core.money import Money
from storeroom.core.pages import InvalidCursor, Page
from storeroom.guests import TooManyAttempts
from storeroom.orders import customer_routes, shipping_rate_routes, staff_routes
from storeroom.orders.errors import InvalidOrderInput, OrderNotFound
from storeroom.orders.model import CustomerOrder, DeliveryStage, OrderStatus, OrderTracking, StatusLabel, asked_for
from storeroom.orders.service import Orders
from storeroom.verification import PhoneProofRequired
from storeroom.web import (
    PAGE_SIZE_DEFAULT,
    Call,
    CursorParameter,
    Limiter,
    LimitParameter,
    Principal,
    RateLimited,
    SignInRequired,
    requires_account,
    says,
)

LOOKUPS_BY_ADDRESS: Final = 20  # in LOOKUP_WINDOW; numbers are long, phones of a person are not secret
LOOKUPS_BY_NUMBER: Final = 10
LOOKUP_WINDOW: Final = timedelta(minutes=15)


class OrderLookup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a buyer without an account knows of an order. In a body, so that no log keeps the phone."""

    number: Annotated[str, Meta(min_length=1, max_length=50)]
    phone: Annotated[str, Meta(min_length=3, max_length=PHONE_LENGTH_MAX)]
    phone_session_id: UUID | None = None  # of /v1/auth/otp/verify, where the shop asks for a code


class AccountOrder(msgspec.Struct, frozen=True, kw_only=True, rename={"order_number": "number"}):
    """A row of an account's own list."""

    order_number: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    total: Money
    due: Money
    created_at: datetime


@post(
    "/v1/orders/lookup",
    status_code=200,
    summary="Where is my order? With its number and the phone it was placed with",
    tags=["orders"],
    responses=says(OrderNotFound, InvalidPhone, InvalidOrderInput, PhoneProofRequired, TooManyAttempts, RateLimited),
)
async def look_up_order(
    data: JSONBody[OrderLookup],
    orders: NamedDependency[Orders],
    limiter: NamedDependency[Limiter],
    call: NamedDependency[Call],
) -> OrderTracking:
    """Carrier and tracking number are told from the dispatch on. A wrong phone looks like a wrong number.

    Some shops also ask for a code by phone: see `/v1/auth/otp/request`.
    """
    await limiter.by_address("order_lookup", times=LOOKUPS_BY_ADDRESS, window=LOOKUP_WINDOW)
    await limiter.by("order_lookup_number", data.number.strip().upper(), times=LOOKUPS_BY_NUMBER, window=LOOKUP_WINDOW)
    return await orders.lookup(
        number=data.number, phone=data.phone, phone_session_id=data.phone_session_id, host=call.domain
    )


@get(
    "/v1/account/orders",
    summary="The account's orders, newest first",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, InvalidCursor),
)
async def list_account_orders(
    account: NamedDependency[Principal],
    orders: NamedDependency[Orders],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[AccountOrder]:
    """Only the orders of the account that asks."""
    page = await orders.list_for_user(user_id=_user(account), cursor=cursor, limit=limit)
    rows = [
        AccountOrder(
            order_number=row.order_number,
            status=row.status,
            delivery_stage=row.delivery_stage,
            total=row.total_amount,
            due=asked_for(row.status, row.amount_due),
            created_at=row.created_at,
        )
        for row in page.items
    ]
    return Page(rows, page.next_cursor)


@get(
    "/v1/account/orders/{number:str}",
    summary="One of the account's orders",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, OrderNotFound, InvalidOrderInput),
)
async def get_account_order(
    number: FromPath[str], account: NamedDependency[Principal], orders: NamedDependency[Orders]
) -> CustomerOrder:
    """With its lines. Another account's order is not found."""
    return await orders.for_customer(user_id=_user(account), number=number)


def _user(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


@get("/v1/order-statuses", summary="What each status of an order is called", tags=["orders"], responses=says())
async def list_order_statuses(orders: NamedDependency[Orders]) -> list[StatusLabel]:
    """Every status, in the order of an order's life, with its name for people."""
    return await orders.status_labels()


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    *customer_routes.route_handlers,
    look_up_order,
    list_account_orders,
    get_account_order,
    list_order_statuses,
    *staff_routes.route_handlers,
    *shipping_rate_routes.route_handlers,
)
