"""The secrets of endpoints as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from storeroom.core.ids import EndpointId
from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.integration import queries

PURPOSE: Final = "webhook secrets, 1"
_FIRST: Final = UUID(int=0)
_SECRET, _PREVIOUS = "secret", "previous_secret"


def place_of(tenant_id: str, endpoint_id: EndpointId) -> str:
    """What a secret is bound to: moved to another endpoint it does not open."""
    return f"{tenant_id}/webhook_endpoints/{endpoint_id}"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    last = UUID(after[1]) if after[1] else _FIRST
    rows = []
    for row in await queries.sealed_endpoints(db, after_tenant=after[0], after_id=last, size=size):
        seals = {_SECRET: row.secret} | ({} if row.previous_secret is None else {_PREVIOUS: row.previous_secret})
        places = dict.fromkeys(seals, place_of(row.tenant_id, row.id))
        rows.append(SealedRow(tenant_id=row.tenant_id, id=str(row.id), seals=seals, places=places))
    return rows


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    known, now = row.seals, {**row.seals, **seals}
    return await queries.reseal_endpoint(
        db,
        tenant_id=row.tenant_id,
        id=UUID(row.id),
        known=known[_SECRET],
        known_previous=known.get(_PREVIOUS),
        secret=now[_SECRET],
        previous_secret=now.get(_PREVIOUS),
    )


ENDPOINT_SEALS: Final = SealedTable(
    name="webhook endpoints", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.endpoint_seals
)
