"""Cancelling an order with all that hangs on it."""

from storeroom.audit import audited
from storeroom.core.ids import OrderId
from storeroom.database.pool import Database
from storeroom.database.service import Context, Service, transactional
from storeroom.flows.refunding import Refunding
from storeroom.orders import Order, Orders, jobs
from storeroom.payments import Payments


class Cancellation(Service):
    """Orders know nothing of payments; who ends an order for good comes here."""

    @audited("orders.cancel", "order", "order_id")
    @transactional
    async def cancel(self, *, order_id: OrderId, reason: str) -> Order:
        """End an order that was not shipped: its units are free again, and nothing more is asked for it.

        Payments that are pending are cancelled. One that awaits verification stays for staff to look into: the money
        may have come, and is then recorded and due back. What was paid from store credit is the buyer's again at once.

        Raises:
            OrderNotFound: the tenant has no such order.
            OrderMoveRefused: shipped, or ended before; nothing was written.
        """
        context = self.context.on(self.db)
        await Refunding(context).hold_balance(order_id=order_id)
        await Orders(context).cancel(order_id=order_id, reason=reason)
        await _close_payments(context, order_id)
        return await Orders(context).get(order_id=order_id)


async def cancel_unpaid(db: Database, *, limit: int = jobs.CANCEL_LIMIT) -> int:
    """The same for orders whose time to pay is over and for which no money is on its way; return how many."""
    return await jobs.cancel_overdue(db, limit=limit, also=_close_payments)


async def _close_payments(context: Context, order_id: OrderId) -> None:
    await Payments(context).cancel_open(order_id=order_id)
    await Refunding(context).give_back_credit(order_id=order_id)
