"""Rows kept in the process: read once, forgotten when anybody writes them."""

import asyncio
import logging
import time
from typing import Final, TypeAlias

from storeroom.configuration import queries
from storeroom.configuration.model import ConfigRow
from storeroom.core.errors import StoreroomError
from storeroom.database.listening import Listener
from storeroom.database.names import TableNames
from storeroom.database.pool import Database

KEEP_S: Final = 30.0  # how old a value may be where a notification was lost
LISTEN_AGAIN_S: Final = 5.0  # after the database let nobody listen
ROWS_MAX: Final = 10_000

Place: TypeAlias = tuple[str, str]  # tenant, key
_log: Final = logging.getLogger(__name__)


def channel(names: TableNames) -> str:
    """Where changes are told, so that installations in one database do not hear each other."""
    return names.resolve("store_configs")


def message(tenant_id: str, key: str) -> str:
    """What is told."""
    return f"{tenant_id}\n{key}"


class ConfigCache:
    """The rows that this process has read.

    A missing key is kept as well. Of many who ask for one row at once, one asks the database. What was being read while
    a change was told of is given to those who asked before, and not kept.
    """

    def __init__(self, db: Database, *, keep_s: float = KEEP_S) -> None:
        """Nothing is read, and nobody listened to, before the first question."""
        self._db = db
        self._keep_s = keep_s
        self._kept: dict[Place, tuple[ConfigRow | None, float]] = {}
        self._reading: dict[Place, asyncio.Task[ConfigRow | None]] = {}
        self._listening = asyncio.Lock()
        self._listener: Listener | None = None
        self._listen_after = 0.0

    async def row(self, tenant_id: str, key: str) -> ConfigRow | None:
        """The row as it was at most a moment ago, where notifications arrive, and KEEP_S where they do not."""
        place = (tenant_id, key)
        kept = self._kept.get(place)
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        reading = self._reading.get(place)
        if reading is None:
            reading = self._reading[place] = asyncio.create_task(self._read(place), name=f"read {key}")
            reading.add_done_callback(_heed)
        return await asyncio.shield(reading)  # one who gives up does not take it from the others

    def forget(self, tenant_id: str, key: str) -> None:
        """Ask again next time."""
        self._kept.pop((tenant_id, key), None)
        self._reading.pop((tenant_id, key), None)

    def forget_all(self) -> None:
        """Ask for everything again: changes may have been missed."""
        self._kept.clear()
        self._reading.clear()

    async def close(self) -> None:
        """Stop listening. Closing the database does the same."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()

    async def _read(self, place: Place) -> ConfigRow | None:
        task = asyncio.current_task()
        try:
            await self._listen()  # before the question: a change after it is heard of
            row = await queries.config(self._db, tenant_id=place[0], key=place[1])
            if self._reading.get(place) is task:
                self._kept.pop(place, None)
                if len(self._kept) >= ROWS_MAX:
                    del self._kept[next(iter(self._kept))]  # the one read longest ago
                self._kept[place] = (row, time.monotonic() + self._keep_s)
            return row
        finally:
            if self._reading.get(place) is task:
                del self._reading[place]

    async def _listen(self) -> None:
        async with self._listening:
            if self._listener is not None or time.monotonic() < self._listen_after:
                return
            try:
                self._listener = await self._db.listen(channel(self._db.names), self._heard)
            except StoreroomError as error:
                _log.warning("changes of the configuration are not heard of: %s", error)
                self._listen_after = time.monotonic() + LISTEN_AGAIN_S

    def _heard(self, changed: str) -> None:
        tenant_id, line, key = changed.partition("\n")
        if line:
            self.forget(tenant_id, key)
        else:  # the connection was lost and is back
            self.forget_all()


def _heed(reading: "asyncio.Task[ConfigRow | None]") -> None:
    """So that an error is not reported as lost where everybody who waited has gone."""
    if not reading.cancelled():
        reading.exception()
