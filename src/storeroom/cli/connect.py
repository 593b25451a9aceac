"""How a command comes to its database: the server that is configured, or the embedded one of the data folder.

The embedded server may run already, below `storeroom serve`: a command joins it and leaves it running. Otherwise it is
started for the command and stopped after it.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from storeroom.core.errors import Misconfigured
from storeroom.settings import DATABASE_NAME, Settings

if TYPE_CHECKING:
    import asyncpg

    from storeroom.room import Storeroom

CONNECT_TIMEOUT_S: Final = 10.0
R = TypeVar("R")


class NoDatabase(Misconfigured):
    """There is no database where the command looks for it."""

    code = "cli.no_database"

    def __init__(self, *, folder: str) -> None:
        super().__init__(
            f"no database in {folder}: set STOREROOM_DATA_DIR to another folder or STOREROOM_DATABASE_URL to a server, "
            "or make one here with `storeroom migrate`"
        )
        self.folder = folder


def run(work: Callable[[], Awaitable[R]]) -> R:
    """Run a command's work. SIGTERM ends it as Ctrl-C does: what is open is closed, and a transaction undone."""

    async def guarded() -> R:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work()

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


@asynccontextmanager
async def database(settings: Settings, *, make: bool = False) -> AsyncIterator[str]:
    """The address of the database.

    Args:
        settings: where it is.
        make: whether an embedded one may be made; most commands mean one that is there.

    Raises:
        NoDatabase: there is none, and none was made.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    from storeroom.database.embedded import EmbeddedPostgres  # noqa: PLC0415  # only where there is no other server

    postgres = EmbeddedPostgres(settings.postgres_dir)
    if not make and not (postgres.data / "PG_VERSION").exists():
        raise NoDatabase(folder=str(settings.data_dir.resolve()))
    await asyncio.to_thread(postgres.start)
    try:
        await asyncio.to_thread(postgres.ensure_database, DATABASE_NAME)
        yield postgres.dsn(DATABASE_NAME)
    finally:
        await asyncio.to_thread(postgres.stop)


def direct(settings: Settings, dsn: str) -> str:
    """The same database past a pooler."""
    return settings.direct_database_url or dsn


@asynccontextmanager
async def connection(settings: Settings) -> "AsyncIterator[asyncpg.Connection[Any]]":
    """One connection past a pooler, as the login itself: for what an operator does to the schema."""
    import asyncpg  # noqa: PLC0415

    from storeroom.database.errors import DRIVER_ERRORS, raise_translated  # noqa: PLC0415

    async with database(settings) as dsn:
        try:
            connected = await asyncpg.connect(direct(settings, dsn), timeout=CONNECT_TIMEOUT_S)
        except DRIVER_ERRORS as error:
            raise_translated(error)
        try:
            yield connected
        finally:
            await connected.close()


@asynccontextmanager
async def opened(settings: Settings, *, make: bool = False, require_secret: bool = False) -> "AsyncIterator[Storeroom]":
    """The room, on a database that is migrated.

    Args:
        settings: where it is.
        make: migrate it first.
        require_secret: refuse a database that holds something sealed where there is no secret to open it with.
    """
    from storeroom.database.migrations import migrate  # noqa: PLC0415
    from storeroom.room import Storeroom  # noqa: PLC0415

    secrets = settings.known_secrets()
    async with database(settings, make=make) as dsn:
        if make and settings.migrate:
            await migrate(direct(settings, dsn), names=settings.names)
        async with Storeroom.open(
            dsn,
            names=settings.names,
            pool_size=settings.pool_size,
            statement_cache=settings.statement_cache,
            direct_dsn=direct(settings, dsn),
            secret=secrets[0] if secrets else None,
            other_secrets=secrets[1:],
            require_secret=require_secret,
            private_destinations=settings.private_destinations,
        ) as room:
            yield room
