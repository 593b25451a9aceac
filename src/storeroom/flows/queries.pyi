# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from typing import Any
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.flows.model import PlacedOrder, Verdict

async def place_orders(db: Executor, /, *, tenant_id: str, orders: Any, settings: Any) -> list[Verdict]: ...
async def placed_order(db: Executor, /, *, tenant_id: str, order_id: UUID) -> PlacedOrder | None: ...
