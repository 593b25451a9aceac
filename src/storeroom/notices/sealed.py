"""Notices that wait, as a rotation of keys sees them. What was sent is not opened again."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.notices import queries
from storeroom.notices.queueing import PURPOSE, SEALED, place_of

_FIRST: Final = UUID(int=0)


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    last = UUID(after[1]) if after[1] else _FIRST
    return [
        SealedRow(
            tenant_id=row.tenant_id,
            id=str(row.id),
            seals={SEALED: row.sealed},
            places={SEALED: place_of(row.tenant_id, row.id)},
        )
        for row in await queries.sealed_notices(db, after_tenant=after[0], after_id=last, size=size)
    ]


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.reseal_notice(
        db, tenant_id=row.tenant_id, id=UUID(row.id), known=row.seals[SEALED], sealed=seals[SEALED]
    )


NOTICE_SEALS: Final = SealedTable(
    name="notices", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.notice_seals
)
