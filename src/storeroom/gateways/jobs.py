"""Sealing the secrets of gateways again, when the installation's secret is replaced."""

from functools import partial
from typing import Any

from storeroom.core.crypto import KeyRing, Resealed, SealBroken
from storeroom.database.pool import Database, Transaction
from storeroom.gateways import queries
from storeroom.gateways.model import SEALED, SealedGateway, is_sealed, place_of


async def reseal_gateways(db: Database, ring: KeyRing, *, after: tuple[str, str] | None, size: int) -> Resealed:
    """Seal the next `size` gateways with the key in use; a row that somebody changes meanwhile is as new as theirs."""
    return await db.run(partial(_reseal, ring=ring, after=after or ("", ""), size=size))


async def _reseal(tx: Transaction, *, ring: KeyRing, after: tuple[str, str], size: int) -> Resealed:
    rows = await queries.sealed_gateways(tx, after_tenant=after[0], after_id=after[1], size=size)
    resealed = unreadable = 0
    for row in rows:
        try:
            config = _resealed(row, ring)
        except SealBroken:
            unreadable += 1
            continue
        if config != row.config:
            resealed += await queries.replace_config(
                tx, tenant_id=row.tenant_id, gateway_id=row.id, known=row.config, config=config
            )
    last = (rows[-1].tenant_id, rows[-1].id) if len(rows) == size else None
    return Resealed(resealed=resealed, unreadable=unreadable, after=last)


def _resealed(row: SealedGateway, ring: KeyRing) -> dict[str, Any]:
    return {
        name: {SEALED: ring.reseal(value[SEALED], bound_to=place_of(row.tenant_id, row.id, name))}
        if is_sealed(value)
        else value
        for name, value in row.config.items()
    }
