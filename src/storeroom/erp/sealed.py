"""The credentials of connections as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.erp import queries

PURPOSE: Final = "erp credentials, 1"
_CREDENTIAL: Final = "credential"


def place_of(tenant_id: str, code: str) -> str:
    """What a credential is bound to: moved to another shop it does not open."""
    return f"{tenant_id}/erp_connections/{code}"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    return [
        SealedRow(
            tenant_id=row.tenant_id,
            id=row.code,
            seals={_CREDENTIAL: row.credential},
            places={_CREDENTIAL: place_of(row.tenant_id, row.code)},
        )
        for row in await queries.sealed_connections(db, after_tenant=after[0], after_code=after[1], size=size)
    ]


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.reseal_connection(
        db, tenant_id=row.tenant_id, code=row.id, known=row.seals[_CREDENTIAL], credential=seals[_CREDENTIAL]
    )


ERP_SEALS: Final = SealedTable(
    name="erp connections", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.connection_seals
)
