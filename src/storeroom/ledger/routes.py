"""The ledger over HTTP, for staff."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from storeroom.core.ids import OrderId
from storeroom.identity import Permission
from storeroom.ledger.model import LedgerEntry, OrderLedger, ShopLedger
from storeroom.ledger.service import Ledger
from storeroom.orders import OrderNotFound
from storeroom.web import requires, says

_TAGS: Final = ["admin: ledger"]
_READ: Final = [requires(Permission.PAYMENTS_READ)]


class OrderMoney(msgspec.Struct, frozen=True, kw_only=True):
    """The money of an order, and what moved it."""

    ledger: OrderLedger
    entries: list[LedgerEntry]


@get("/v1/admin/ledger", summary="What came in, went back and is due", tags=_TAGS, guards=_READ)
async def shop_ledger(ledger: NamedDependency[Ledger]) -> Sequence[ShopLedger]:
    """One row for each currency, of all orders."""
    return await ledger.of_shop()


@get(
    "/v1/admin/orders/{order_id:uuid}/ledger",
    summary="The money of an order",
    tags=_TAGS,
    guards=_READ,
    responses=says(OrderNotFound),
)
async def order_ledger(order_id: FromPath[UUID], ledger: NamedDependency[Ledger]) -> OrderMoney:
    """With the payments and refunds that moved it, the oldest first."""
    found = await ledger.of_order(order_id=OrderId(order_id))
    return OrderMoney(ledger=found, entries=await ledger.entries(order_id=found.order_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (shop_ledger, order_ledger)
