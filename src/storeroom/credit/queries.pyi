# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from uuid import UUID

from storeroom.credit.model import CreditEntry, CreditReason
from storeroom.database.executor import Executor

async def lock_account(db: Executor, /, *, tenant_id: str, user_id: UUID) -> bool | None: ...
async def balance(db: Executor, /, *, tenant_id: str, user_id: UUID, currency: str) -> int | None: ...
async def add(
    db: Executor, /, *, tenant_id: str, user_id: UUID, currency: str, amount: int, balance_max: int
) -> int | None: ...
async def take(db: Executor, /, *, tenant_id: str, user_id: UUID, currency: str, amount: int) -> int | None: ...
async def insert_entry(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    currency: str,
    amount: int,
    reason: CreditReason,
    order_id: UUID | None,
    payment_id: UUID | None,
    refund_id: UUID | None,
    actor_kind: str,
    actor_id: UUID | None,
    note: str | None,
) -> CreditEntry: ...
async def entries(
    db: Executor, /, *, tenant_id: str, user_id: UUID, currency: str, before: UUID | None = None, size: int
) -> list[CreditEntry]: ...
