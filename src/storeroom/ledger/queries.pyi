# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.ledger.model import LedgerEntry, OrderLedger, ShopLedger

async def order_ledger(db: Executor, /, *, tenant_id: str, order_id: UUID) -> OrderLedger | None: ...
async def order_entries(db: Executor, /, *, tenant_id: str, order_id: UUID, size: int) -> list[LedgerEntry]: ...
async def shop_ledger(db: Executor, /, *, tenant_id: str, size: int) -> list[ShopLedger]: ...
