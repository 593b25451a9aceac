"""The secrets of providers as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from storeroom.conversions import queries
from storeroom.conversions.model import ProviderId
from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable

PURPOSE: Final = "conversion providers, 1"
_FIRST: Final = UUID(int=0)
_SECRET: Final = "secret"  # noqa: S105  # the name of a column


def place_of(tenant_id: str, provider_id: ProviderId) -> str:
    """What a secret is bound to: moved to another provider it does not open."""
    return f"{tenant_id}/conversion_providers/{provider_id}"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    last = UUID(after[1]) if after[1] else _FIRST
    return [
        SealedRow(
            tenant_id=row.tenant_id,
            id=str(row.id),
            seals={_SECRET: row.secret},
            places={_SECRET: place_of(row.tenant_id, row.id)},
        )
        for row in await queries.sealed_providers(db, after_tenant=after[0], after_id=last, size=size)
    ]


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.reseal_provider(
        db,
        tenant_id=row.tenant_id,
        id=UUID(row.id),
        known=row.seals[_SECRET],
        secret=seals.get(_SECRET, row.seals[_SECRET]),
    )


PROVIDER_SEALS: Final = SealedTable(
    name="conversion providers", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.provider_seals
)
