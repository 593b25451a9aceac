"""Cancelling orders over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import OrderId
from storeroom.flows.cancellation import Cancellation
from storeroom.orders import REASON_LENGTH_MAX, OrderMoveRefused, OrderNotFound, OrderStatus
from storeroom.web import IDEMPOTENT, requires, says


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an order is cancelled."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX)]


class CancelledOrder(msgspec.Struct, frozen=True, kw_only=True, rename={"order_number": "number"}):
    """What became of it."""

    id: OrderId
    order_number: str
    status: OrderStatus


@post(
    "/v1/admin/orders/{order_id:uuid}/cancel",
    status_code=200,
    summary="Cancel an order: its units are free again, its pending payments cancelled",
    tags=["admin: orders"],
    guards=[requires("orders.write")],
    opt=IDEMPOTENT,
    responses=says(OrderNotFound, OrderMoveRefused),
)
async def cancel_order(
    order_id: FromPath[UUID], data: JSONBody[CancelOrder], cancellation: NamedDependency[Cancellation]
) -> CancelledOrder:
    """Refused once it was shipped. A payment that awaits verification stays, since its money may have come."""
    order = await cancellation.cancel(order_id=OrderId(order_id), reason=data.reason)
    return CancelledOrder(id=order.id, order_number=order.order_number, status=order.status)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (cancel_order,)
