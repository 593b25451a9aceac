"""The secrets of sources as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.inbox import queries

PURPOSE: Final = "webhook sources, 1"
_SECRET, _PREVIOUS = "secret", "previous_secret"


def place_of(tenant_id: str, code: str) -> str:
    """What a secret is bound to: moved to another source it does not open."""
    return f"{tenant_id}/webhook_sources/{code}"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    rows = []
    for row in await queries.sealed_sources(db, after_tenant=after[0], after_code=after[1], size=size):
        seals = {_SECRET: row.secret} | ({} if row.previous_secret is None else {_PREVIOUS: row.previous_secret})
        places = dict.fromkeys(seals, place_of(row.tenant_id, row.code))
        rows.append(SealedRow(tenant_id=row.tenant_id, id=row.code, seals=seals, places=places))
    return rows


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    known, now = row.seals, {**row.seals, **seals}
    return await queries.reseal_source(
        db,
        tenant_id=row.tenant_id,
        code=row.id,
        known=known[_SECRET],
        known_previous=known.get(_PREVIOUS),
        secret=now[_SECRET],
        previous_secret=now.get(_PREVIOUS),
    )


SOURCE_SEALS: Final = SealedTable(
    name="webhook sources", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.source_seals
)
