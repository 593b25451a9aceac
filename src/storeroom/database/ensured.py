"""Helpers that make sure of a table before it is used: they ask that its migrations ran, once, and make nothing.

ensure_domains = Ensured("domains")
ensure_guest_audits = Ensured("domains", "guest_user_audits")   # the tables it refers to come first

await ensure_guest_audits(db)
"""

import asyncio
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

import asyncpg

from storeroom.database.executor import Executor
from storeroom.database.migrations import Migration, NotMigrated, Sources
from storeroom.database.pool import Transaction

_CHANGES: Final = r"\b(?:CREATE|ALTER) (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?\{%s\}"
_RAN: Final = "SELECT version FROM {schema_migrations} WHERE version = ANY ($1)"


class Ensured:
    """`await ensured(db)` passes where all migrations of some tables ran.

    Each database is asked once by a process, however many call at once. Only a yes is kept: after a failure, or
    before the migration, the next call asks again.
    """

    def __init__(self, *tables: str) -> None:
        """Name the tables as statements do, the ones that others refer to first."""
        self.tables = tables
        self._ran: WeakSet[Executor] = WeakSet()  # the databases that said yes
        self._asking: WeakKeyDictionary[Executor, asyncio.Lock] = WeakKeyDictionary()

    @cached_property
    def migrations(self) -> Sequence[Migration]:
        """Every migration that makes or alters one of the tables."""
        wanted = re.compile("|".join(_CHANGES % table for table in self.tables))
        return [each for each in Sources.packaged().migrations if wanted.search(each.text)]

    async def __call__(self, db: Executor) -> None:
        """Ask, unless this database has said yes.

        Raises:
            NotMigrated: names what is missing. Nothing was made.
        """
        whole = db.database if isinstance(db, Transaction) else db
        if whole in self._ran:
            return
        async with self._asking.setdefault(whole, asyncio.Lock()):
            if whole in self._ran:
                return
            missing = await self._missing(db)
            if missing:
                raise NotMigrated(missing=missing)
            self._ran.add(whole)

    async def _missing(self, db: Executor) -> list[str]:
        try:
            rows = await db.fetch(db.names.render(_RAN), [each.version for each in self.migrations])
        except asyncpg.UndefinedTableError:  # no migration ever ran
            rows = []
        ran = {row["version"] for row in rows}
        return [f"{each.version:04} {each.name}" for each in self.migrations if each.version not in ran]
