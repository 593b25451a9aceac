# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedCount
from storeroom.notices.model import SealedNotice

async def sealed_notices(db: Executor, /, *, after_tenant: str, after_id: UUID, size: int) -> list[SealedNotice]: ...
async def reseal_notice(db: Executor, /, *, tenant_id: str, id: UUID, known: str, sealed: str) -> int: ...
async def notice_seals(db: Executor, /) -> list[SealedCount]: ...
