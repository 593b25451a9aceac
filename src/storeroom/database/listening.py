"""Listening to a channel of PostgreSQL, and being there again after the server was away."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import asyncpg

from storeroom.database.connecting import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S
from storeroom.database.errors import DRIVER_ERRORS, DatabaseUnavailable, raise_translated

LISTEN_RETRY_S: Final = 0.1
LISTEN_RETRY_MAX_S: Final = 10.0

_log = logging.getLogger(__name__)


class Listener:
    """One channel listened to until closed. Made by `Database.listen`."""

    def __init__(
        self, dsn: str, channel: str, callback: Callable[[str], None], *, forget: Callable[["Listener"], None]
    ) -> None:
        """Use `Database.listen`."""
        self.channel = channel
        self._dsn = dsn
        self._forget = forget
        self._callback = callback
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening. Closing twice is closing once."""
        self._forget(self)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.remove_termination_listener(self._ended)
            connection.terminate()

    async def start(self) -> None:
        """Connect, and keep connected. Only the Database calls this."""
        await self._connect()
        self._task = asyncio.create_task(self._keep(), name=f"listen {self.channel}")

    async def _connect(self) -> None:
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                statement_cache_size=0,
            )
            self._connection = connection
            self._lost.clear()
            connection.add_termination_listener(self._ended)
            await connection.add_listener(self.channel, self._heard)
        except TimeoutError as error:
            raise DatabaseUnavailable(reason=f"no connection within {CONNECT_TIMEOUT_S:g} s") from error
        except DRIVER_ERRORS as error:
            raise_translated(error)

    async def _keep(self) -> None:
        wait_s = LISTEN_RETRY_S
        while True:
            await self._lost.wait()
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is, a worker must not go deaf for ever
                _log.warning("listening on %s: %s; next try in %g s", self.channel, error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LISTEN_RETRY_MAX_S)
                continue
            wait_s = LISTEN_RETRY_S
            self._call("")

    def _ended(self, _: object) -> None:
        self._lost.set()

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._call(str(payload))

    def _call(self, payload: str) -> None:
        try:
            self._callback(payload)
        except Exception:  # noqa: BLE001 - the next notification finds a listener again
            _log.exception("callback of the channel %s failed", self.channel)
