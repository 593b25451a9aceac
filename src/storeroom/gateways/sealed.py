"""The secrets of gateways as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.gateways import queries
from storeroom.gateways.model import SEALED, is_sealed, place_of

PURPOSE: Final = "payment gateways, 1"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    found = await queries.sealed_gateways(db, after_tenant=after[0], after_id=after[1], size=size)
    rows = []
    for row in found:
        seals = {name: str(value[SEALED]) for name, value in row.config.items() if is_sealed(value)}
        places = {name: place_of(row.tenant_id, row.id, name) for name in seals}
        rows.append(SealedRow(tenant_id=row.tenant_id, id=row.id, seals=seals, places=places))
    return rows


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.replace_seals(
        db,
        tenant_id=row.tenant_id,
        gateway_id=row.id,
        known={name: {SEALED: row.seals[name]} for name in seals},
        seals={name: {SEALED: sealed} for name, sealed in seals.items()},
    )


GATEWAY_SEALS: Final = SealedTable(
    name="payment gateways", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.gateway_seals
)
