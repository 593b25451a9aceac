"""The secrets of authenticator apps as a rotation of keys sees them."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.verification import queries

PURPOSE: Final = "second factors, 1"
_FIRST: Final = UUID(int=0)
_SECRET: Final = "secret"  # noqa: S105 - the name of a column


def place_of(tenant_id: str, user_id: object) -> str:
    """What a secret is bound to: moved to another account it does not open."""
    return f"{tenant_id}/{user_id}"


async def _rows(db: Executor, after: tuple[str, str], size: int) -> list[SealedRow]:
    found = await queries.sealed_factors(
        db, after_tenant=after[0], after_id=UUID(after[1]) if after[1] else _FIRST, size=size
    )
    return [
        SealedRow(
            tenant_id=row.tenant_id,
            id=str(row.id),
            seals={_SECRET: row.secret},
            places={_SECRET: place_of(row.tenant_id, row.user_id)},
        )
        for row in found
    ]


async def _replace(db: Executor, row: SealedRow, seals: Mapping[str, str]) -> int:
    return await queries.reseal_factor(
        db, tenant_id=row.tenant_id, id=UUID(row.id), known=row.seals[_SECRET], secret=seals[_SECRET]
    )


FACTOR_SEALS: Final = SealedTable(
    name="second factors", purpose=PURPOSE, rows=_rows, replace=_replace, counts=queries.factor_seals
)
