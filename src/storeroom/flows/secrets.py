"""The installation's secret replaced while shops are at work: everything sealed is sealed again, row by row.

Every server first learns the new secret beside the old one, then uses it, and what the old one sealed is sealed again
by `rotate`. Until then each opens what the other has sealed, so nothing stands still; `docs/configuration.md` has the
steps.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Final

import msgspec

from storeroom.configuration import CONFIG_SEALS
from storeroom.conversions import PROVIDER_SEALS
from storeroom.core.crypto import KeyRing, SealBroken, key_id
from storeroom.core.errors import Misconfigured
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.sealed import SealedRow, SealedTable
from storeroom.erp import ERP_SEALS
from storeroom.gateways import GATEWAY_SEALS
from storeroom.identity import TokenKeys
from storeroom.inbox import SOURCE_SEALS
from storeroom.integration import ENDPOINT_SEALS
from storeroom.notices import NOTICE_SEALS
from storeroom.verification import FACTOR_SEALS

SEALED_TABLES: Final = (
    FACTOR_SEALS,
    GATEWAY_SEALS,
    CONFIG_SEALS,
    ENDPOINT_SEALS,
    NOTICE_SEALS,
    SOURCE_SEALS,
    PROVIDER_SEALS,
    ERP_SEALS,
)
BATCH_ROWS: Final = 100  # in one transaction; they are locked for as long


class SecretNeeded(Misconfigured):
    """The database holds what was sealed, and there is no secret to open it with."""

    code = "secrets.needed"

    def __init__(self, *, sealed: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(sealed)} are sealed here, and there is no secret to open them with: set STOREROOM_SECRET "
            "(or APP_SECRET, or STOREROOM_SECRET_FILE) to the one they were sealed with"
        )
        self.sealed = list(sealed)


class KeyStanding(StrEnum):
    """What a key is to this process."""

    CURRENT = "current"  # seals
    OTHER = "other"  # opens what it has sealed: before a rotation, or until one is through
    UNKNOWN = "unknown"  # of a secret that this process does not have


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much one key holds."""

    what: str
    key_id: str
    standing: KeyStanding
    rows: int


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one table."""

    what: str
    resealed: int
    unreadable: int  # rows that no key of ours opens; they are as they were


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A row that no key of ours opens."""

    tenant_id: str
    what: str
    id: str
    fields: list[str]


async def rotate(
    db: Database, keys: TokenKeys, *, on_progress: Callable[[Rotation], None] | None = None
) -> list[Rotation]:
    """Seal with the key in use whatever another one has sealed. Again is no error, and finds less to do.

    Batches are transactions of their own, so what a killed rotation has done stays done, and the next one goes on. A
    row that somebody writes meanwhile is left to them: they seal with the key in use.

    Raises:
        SigningSecretMissing: there is no secret.
    """
    keys.require()
    done = []
    for table in SEALED_TABLES:
        ring, after, total = keys.ring(table.purpose), ("", ""), Rotation(what=table.name, resealed=0, unreadable=0)
        while True:
            batch = await db.run(partial(_reseal, table=table, ring=ring, after=after))
            total = Rotation(
                what=table.name,
                resealed=total.resealed + batch.resealed,
                unreadable=total.unreadable + batch.unreadable,
            )
            if on_progress is not None:
                on_progress(total)
            if batch.after is None:
                break
            after = batch.after
        done.append(total)
    return done


async def uses(db: Executor, keys: TokenKeys) -> list[KeyUse]:
    """How many rows each key holds, by what is sealed; a key in use that holds nothing is told as well."""
    found = []
    for table in SEALED_TABLES:
        known = list(keys.ring(table.purpose).key_ids) if keys else []
        counts = {count.key_id: count.rows for count in await table.counts(db)}
        for each in [*known, *(key for key in counts if key not in known)]:
            standing = KeyStanding.UNKNOWN
            if each in known:
                standing = KeyStanding.CURRENT if each == known[0] else KeyStanding.OTHER
            found.append(KeyUse(what=table.name, key_id=each, standing=standing, rows=counts.get(each, 0)))
    return found


async def unreadable(db: Executor, keys: TokenKeys, *, size: int) -> list[Unreadable]:
    """Rows that do not open: of another secret, moved to another place, or changed. At most `size`; all are opened."""
    found: list[Unreadable] = []
    for table in SEALED_TABLES:
        ring, after = keys.ring(table.purpose) if keys else None, ("", "")
        while len(found) < size:
            rows = await table.rows(db, after, BATCH_ROWS)
            found += [
                Unreadable(tenant_id=row.tenant_id, what=table.name, id=row.id, fields=fields)
                for row in rows
                if (fields := [name for name in row.seals if ring is None or not _opens(ring, row, name)])
            ]
            if len(rows) < BATCH_ROWS:
                break
            after = (rows[-1].tenant_id, rows[-1].id)
    return found[:size]


async def require_nothing_sealed(db: Executor) -> None:
    """For who starts without a secret. Raises SecretNeeded where something is sealed."""
    sealed = [table.name for table in SEALED_TABLES if await table.rows(db, ("", ""), 1)]
    if sealed:
        raise SecretNeeded(sealed=sealed)


class _Batch(msgspec.Struct, frozen=True):
    resealed: int
    unreadable: int
    after: tuple[str, str] | None  # the last row looked at; None: there are no more


async def _reseal(tx: Transaction, *, table: SealedTable, ring: KeyRing, after: tuple[str, str]) -> _Batch:
    rows = await table.rows(tx, after, BATCH_ROWS)
    resealed = broken = 0
    for row in rows:
        old = [name for name, sealed in row.seals.items() if key_id(sealed) != ring.current]
        readable = [name for name in old if _opens(ring, row, name)]
        broken += len(readable) < len(old)
        if readable:
            seals = {name: ring.reseal(row.seals[name], bound_to=row.places[name]) for name in readable}
            resealed += await table.replace(tx, row, seals)
    last = rows[-1] if len(rows) == BATCH_ROWS else None
    return _Batch(resealed, broken, (last.tenant_id, last.id) if last else None)


def _opens(ring: KeyRing, row: SealedRow, name: str) -> bool:
    try:
        ring.open(row.seals[name], bound_to=row.places[name])
    except SealBroken:
        return False
    return True
