"""`storeroom serve`: PostgreSQL if it has to be ours, the schema, the room, the application, the worker; then down."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from prometheus_client.registry import REGISTRY

from storeroom.core.errors import Misconfigured
from storeroom.core.loading import lasting
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.room import Storeroom
from storeroom.server.app import create_app
from storeroom.server.logs import configure_logs
from storeroom.settings import DATABASE_NAME, Settings
from storeroom.worker import work

STOP_TIMEOUT_S: Final = 30.0  # for requests in flight, and again for the worker
POSTGRES_WATCH_S: Final = 5.0
BACKLOG: Final = 1024

Prepare = Callable[[Storeroom], Awaitable[None]]
_log = structlog.get_logger("storeroom.server")


class PortTaken(Misconfigured):
    """Something else listens at the address."""

    code = "server.port_taken"

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port} ({reason}); set STOREROOM_HOST or STOREROOM_PORT")
        self.host, self.port, self.reason = host, port, reason


def run(settings: Settings, *, prepare: Prepare | None = None) -> None:
    """`serve` in a loop of its own; the whole life of the process."""
    configure_logs()
    uvloop.run(serve(settings, prepare=prepare))


async def serve(settings: Settings, *, prepare: Prepare | None = None) -> None:
    """Serve until SIGTERM or SIGINT: then take no more requests, finish those that run, and put everything away.

    Args:
        settings: see Settings.
        prepare: called once the room is open, before the first request; plants the demonstration shop.

    Raises:
        Misconfigured: the port is taken, the database cannot be used, no secret in production.
        Unavailable: the database does not answer.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        settings.signing_secret()  # before anything is started
        _check_port(settings.host, settings.port)
        async with opened(settings) as room:
            if prepare is not None:
                await prepare(room)
            await _serve(settings, room, stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    _log.info("stopped")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Storeroom]:
    """The room that the settings mean, migrated; with its embedded PostgreSQL, where there is no other."""
    async with contextlib.AsyncExitStack() as stack:
        dsn = settings.database_url
        if dsn is None:
            dsn = await stack.enter_async_context(_embedded(settings))
        direct = settings.direct_database_url or dsn
        if settings.migrate:
            applied = await migrate(direct, names=settings.names)
            if applied:
                _log.info("migrated", names=[each.name for each in applied])
        yield await stack.enter_async_context(
            Storeroom.open(
                dsn,
                names=settings.names,
                pool_size=settings.pool_size,
                statement_cache=settings.statement_cache,
                direct_dsn=direct,
                secret=settings.signing_secret(),
                other_secrets=settings.known_secrets()[1:],
                private_destinations=settings.private_destinations,
            )
        )


@asynccontextmanager
async def _embedded(settings: Settings) -> AsyncIterator[str]:
    """A server of our own: started if it does not run, brought back if it dies, stopped if nobody else needs it."""
    postgres = EmbeddedPostgres(settings.postgres_dir)
    await asyncio.to_thread(postgres.start)
    watch = asyncio.create_task(_bring_back(postgres))
    try:
        await asyncio.to_thread(postgres.ensure_database, DATABASE_NAME)
        yield postgres.dsn(DATABASE_NAME)
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await asyncio.to_thread(postgres.stop)


async def _bring_back(postgres: EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(POSTGRES_WATCH_S)
        try:
            if not await asyncio.to_thread(postgres.running):
                _log.warning("postgres is gone, starting it again")
                await asyncio.to_thread(postgres.start)
        except Misconfigured as error:
            _log.error("postgres does not start", code=error.code, detail=str(error))


async def _serve(settings: Settings, room: Storeroom, stop: asyncio.Event) -> None:
    with lasting():
        server = _server(create_app(room, settings), settings)
    serving = asyncio.create_task(server.serve())
    working = None
    if settings.worker:
        working = asyncio.create_task(work(room, stop, settings=settings, registry=REGISTRY))
    stopping = asyncio.create_task(stop.wait())
    _log.info("serving", url=f"http://{settings.host}:{settings.port}")
    try:
        tasks = {task for task in (serving, working, stopping) if task is not None}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping")
    finally:
        stop.set()
        stopping.cancel()
        server.stop()  # type: ignore[no-untyped-call]
        await _ended(serving, "requests")
        if working is not None:
            await _ended(working, "worker")


async def _ended(task: "asyncio.Task[Any]", what: str) -> None:
    """Wait for a task, but not for ever; its error is raised."""
    try:
        await asyncio.wait_for(task, STOP_TIMEOUT_S)
    except TimeoutError:
        _log.warning("cut off", what=what, waited_s=STOP_TIMEOUT_S)


def _server(app: Litestar, settings: Settings) -> Server:
    return Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
    )


def _check_port(host: str, port: int) -> None:
    """The server would fail in a task of its own, and late."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise PortTaken(host=host, port=port, reason=error.strerror or str(error)) from None
