"""Reading the ledger."""

from storeroom.core.ids import OrderId
from storeroom.database.service import Service, operation
from storeroom.ledger import queries
from storeroom.ledger.model import CURRENCIES_MAX, ENTRIES_MAX, LedgerEntry, OrderLedger, ShopLedger
from storeroom.orders import OrderNotFound


class Ledger(Service):
    """What came in, went back and is due. Summed from payments and refunds each time, so it cannot be out of date."""

    @operation
    async def of_order(self, *, order_id: OrderId) -> OrderLedger:
        """The money of one order. Raises OrderNotFound."""
        found = await queries.order_ledger(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if found is None:
            raise OrderNotFound(order=str(order_id))
        return found

    @operation
    async def entries(self, *, order_id: OrderId) -> list[LedgerEntry]:
        """What moved money of one order, the oldest first; at most ENTRIES_MAX."""
        return await queries.order_entries(self.db, tenant_id=self.tenant_id, order_id=order_id, size=ENTRIES_MAX)

    @operation
    async def of_shop(self) -> list[ShopLedger]:
        """The money of the shop, one row for each currency of its orders. Reads all of them."""
        return await queries.shop_ledger(self.db, tenant_id=self.tenant_id, size=CURRENCIES_MAX)
