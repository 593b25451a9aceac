"""Secrets of the configuration as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final

from storeroom.configuration import queries
from storeroom.configuration.model import place_of
from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable

PURPOSE: Final = "store configuration, 1"
_VALUE: Final = "value"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    found = await queries.sealed_configs(db, after_tenant=after[0], after_key=after[1], size=size)
    return [
        SealedRow(
            tenant_id=row.tenant_id,
            id=row.key,
            seals={_VALUE: row.value},
            places={_VALUE: place_of(row.tenant_id, row.key)},
        )
        for row in found
    ]


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.reseal_config(
        db, tenant_id=row.tenant_id, key=row.id, known=row.seals[_VALUE], value=seals[_VALUE]
    )


CONFIG_SEALS: Final = SealedTable(
    name="store configuration", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.config_seals
)
