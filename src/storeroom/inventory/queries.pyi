# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from storeroom.catalog.model import StockPolicy
from storeroom.database.executor import Executor
from storeroom.inventory.model import (
    Demand,
    Held,
    LockedLevel,
    MovementKind,
    Reservation,
    ReservationStatus,
    StockLevel,
    StockMovement,
)

async def level(db: Executor, /, *, tenant_id: str, variant_id: UUID) -> StockLevel | None: ...
async def levels(
    db: Executor, /, *, tenant_id: str, after: UUID | None = None, variant_ids: Sequence[UUID] | None = None, rows: int
) -> list[StockLevel]: ...
async def low_stock(db: Executor, /, *, tenant_id: str, after: UUID | None = None, rows: int) -> list[StockLevel]: ...
async def oversold(db: Executor, /, *, tenant_id: str, after: UUID | None = None, rows: int) -> list[StockLevel]: ...
async def lock_cart(db: Executor, /, *, tenant_id: str, cart_id: UUID) -> str | None: ...
async def lock_levels(db: Executor, /, *, tenant_id: str, variant_ids: Sequence[UUID]) -> list[LockedLevel]: ...
async def open_levels(db: Executor, /, *, tenant_id: str, variant_ids: Sequence[UUID]) -> None: ...
async def hold(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    variant_id: UUID,
    cart_id: UUID | None,
    quantity: int,
    hold_for: timedelta | None,
) -> Reservation | None: ...
async def reservation(db: Executor, /, *, tenant_id: str, id: UUID) -> Reservation | None: ...
async def active_for_cart(db: Executor, /, *, tenant_id: str, cart_id: UUID, rows: int) -> list[Reservation]: ...
async def held_by_carts(db: Executor, /, *, tenant_id: str, cart_ids: Sequence[UUID]) -> list[Held]: ...
async def expired(
    db: Executor, /, *, tenant_id: str, variant_ids: Sequence[UUID] | None = None, rows: int
) -> list[Held]: ...
async def tenants_with_expired(db: Executor, /, *, rows: int) -> list[str]: ...
async def demand_of_cart(db: Executor, /, *, tenant_id: str, cart_id: UUID) -> list[Demand]: ...
async def release(
    db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], sources: Sequence[ReservationStatus]
) -> int: ...
async def convert(
    db: Executor, /, *, tenant_id: str, ids: Sequence[UUID], order_id: UUID | None, sources: Sequence[ReservationStatus]
) -> int: ...
async def move(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    variant_id: UUID,
    kind: MovementKind,
    by: int,
    units_max: int,
    reason: str | None,
    order_id: UUID | None,
    actor_kind: str,
    actor_id: UUID | None,
) -> StockMovement | None: ...
async def movements(
    db: Executor,
    /,
    *,
    tenant_id: str,
    variant_id: UUID,
    before_at: datetime | None = None,
    before_id: UUID | None,
    rows: int,
) -> list[StockMovement]: ...
async def set_policy(
    db: Executor, /, *, tenant_id: str, variant_id: UUID, policy: StockPolicy, backorder_limit: int | None
) -> int: ...
