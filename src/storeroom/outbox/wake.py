"""Telling the workers that something waits: one NOTIFY for all that a process commits within a moment.

Inside a transaction a NOTIFY takes a lock of the whole database at commit, and halves the commits a second. So it is
sent apart, after the commit. One that is lost costs nothing but time: the workers look by themselves as well.
"""

import asyncio
import logging
from typing import Final
from weakref import WeakKeyDictionary, ref

from storeroom.core.errors import StoreroomError
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction

CHANNEL: Final = "storeroom_outbox"
TOGETHER_S: Final = 0.05
# Its commit waits for no disk: what a crash takes along is a wake-up, and the workers look by themselves as well.
_NOTIFY: Final = "SELECT set_config('synchronous_commit', 'off', TRUE), pg_notify($1, '')"

_log: Final = logging.getLogger(__name__)
_wakers: "Final[WeakKeyDictionary[Database, _Waker]]" = WeakKeyDictionary()


def wake(db: Executor) -> None:
    """Wake the workers once the transaction has committed; at once where there is none."""
    if isinstance(db, Transaction):
        db.after_commit(_waker(db.database).wake)
    elif isinstance(db, Database):
        _waker(db).wake()


def _waker(database: Database) -> "_Waker":
    waker = _wakers.get(database)
    if waker is None:
        waker = _wakers[database] = _Waker(database)
    return waker


class _Waker:
    def __init__(self, database: Database) -> None:
        self._database = ref(database)  # which the table of wakers does not keep alive
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._notify(), name="wake the workers")

    async def _notify(self) -> None:
        await asyncio.sleep(TOGETHER_S)
        task, self._task = self._task, None  # what commits from now on is told of anew
        database = self._database()
        try:
            if database is not None and not database.closed:
                await database.execute(_NOTIFY, CHANNEL)
        except StoreroomError as error:
            _log.debug("%s: nobody is woken: %s", task, error)
