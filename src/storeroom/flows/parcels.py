"""What carriers tell of parcels, through Shippo."""

from typing import Any, Final

from storeroom.database.service import Context
from storeroom.inbox import Handled, InboxMessage
from storeroom.orders import OrderNotFound, Orders, OrderStatus

TEXT_MAX: Final = 200
DELIVERED: Final = "DELIVERED"


async def track_updated(context: Context, message: InboxMessage) -> Handled:
    """The parcel of an order is somewhere: where it has arrived, a shipped order is delivered.

    Everything else is kept as the message's result. A parcel of nobody is skipped, and can be replayed once its number
    is known.
    """
    about = _object(message.payload.get("data"))
    number, status = _text(about, "tracking_number"), _text(_object(about.get("tracking_status")), "status")
    if number is None or status is None:
        return Handled(result={"reason": "no tracking number, or no status"}, skipped=True)
    said: dict[str, Any] = {"tracking_number": number, "carrier": _text(about, "carrier"), "carrier_status": status}
    orders = Orders(context)
    try:
        order = await orders.by_tracking(tracking_number=number)
    except OrderNotFound:
        return Handled(result={**said, "reason": "no order has this tracking number"}, skipped=True)
    await orders.lock(order_id=order.id)
    order = await orders.get(order_id=order.id)
    arrived = status.upper() == DELIVERED and order.status is OrderStatus.SHIPPED
    if arrived:
        await orders.deliver(order_id=order.id, reason=f"{said['carrier'] or 'the carrier'}: {status}")
    return Handled(result={**said, "delivered": arrived}, order_id=order.id)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(of: dict[str, Any], name: str) -> str | None:
    value = of.get(name)
    return value.strip()[:TEXT_MAX] if isinstance(value, str) and value.strip() else None
