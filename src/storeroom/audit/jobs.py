"""What the worker does for the trail: months made ahead, and rows sealed."""

from functools import partial

from storeroom.audit import queries
from storeroom.audit.model import SEAL_ROWS_MAX, SEALED_TENANTS_MAX, chained
from storeroom.database.executor import Executor
from storeroom.database.partitions import ensure_months
from storeroom.database.pool import Database

TABLE = "audit_logs"


async def make_months(db: Database, *, limit: int = 1) -> int:
    """Make the partitions of this month and the next ones; return how many were missing."""
    made = await ensure_months(db, TABLE)
    return min(made, limit)


async def seal(db: Database, *, limit: int = 10 * SEAL_ROWS_MAX) -> int:
    """Link rows that have no seal into the chains of their tenants; return how many it were."""
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_unsealed(db, size=SEALED_TENANTS_MAX):
            size = min(SEAL_ROWS_MAX, limit - done)
            if size <= 0:
                break
            done += await db.run(partial(seal_tenant, tenant_id=tenant_id, size=size))
        if done == before:
            break
    return done


async def seal_tenant(tx: Executor, *, tenant_id: str, size: int) -> int:
    """One link of one tenant, in the caller's transaction; 0 where another worker is at it."""
    if not await queries.alone(tx, key=f"audit_seals {tenant_id}"):
        return 0
    waiting = await queries.take_unsealed(tx, tenant_id=tenant_id, size=size)
    if not waiting:
        return 0
    waiting.sort(key=lambda row: (row.row_created_at, row.audit_id))
    hashes = await queries.row_hashes(
        tx,
        tenant_id=tenant_id,
        ids=[row.audit_id for row in waiting],
        first_at=waiting[0].row_created_at,
        last_at=waiting[-1].row_created_at,
    )
    by_id = {row.id: row.row_hash for row in hashes}
    # A row that went before it could be sealed is sealed as missing, and the doctor tells of it for ever.
    rows = [(row.audit_id, by_id.get(row.audit_id, b"")) for row in waiting]
    last = await queries.last_seal(tx, tenant_id=tenant_id)
    number, previous = (last.number + 1, last.hash) if last is not None else (1, b"")
    await queries.seal(
        tx,
        tenant_id=tenant_id,
        number=number,
        previous_hash=previous,
        audit_ids=[audit_id for audit_id, _ in rows],
        rows_created_at=[row.row_created_at for row in waiting],
        row_hashes=[row_hash for _, row_hash in rows],
        hash=chained(number, previous, rows),
    )
    return len(rows)
