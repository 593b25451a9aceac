"""What those ask who keep the server running: is it alive, can it work, how is it doing."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import REGISTRY, Collector
from typing_extensions import override

from storeroom.core.errors import StoreroomError, Unavailable
from storeroom.database.migrations import require_migrated
from storeroom.database.pool import Database
from storeroom.room import Storeroom
from storeroom.server.edge import Metrics

READY_TIMEOUT_S: Final = 3.0


class NotReady(Unavailable):
    """The server runs and cannot work: the database does not answer, or is not migrated."""

    code = "server.not_ready"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Alive(msgspec.Struct):
    """All is well."""

    status: str = "ok"


@get("/health", tags=["probes"], summary="The process is alive", include_in_schema=False)
async def health() -> Alive:
    """Asks nothing of the database: a server whose database is away must not be restarted for it."""
    return Alive()


@get("/ready", tags=["probes"], summary="The server can work", include_in_schema=False)
async def ready(room: NamedDependency[Storeroom]) -> Alive:
    """The database answers and is of this release. 503 otherwise."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await require_migrated(room.db)
    except TimeoutError as error:
        raise NotReady(reason="the database does not answer in time") from error
    except StoreroomError as error:
        raise NotReady(reason=f"{error.code}: {error}") from error
    except Exception as error:  # whatever it is, we cannot work
        raise NotReady(reason=str(error)) from error
    return Alive()


@get("/metrics", tags=["probes"], summary="For Prometheus", include_in_schema=False)
async def metrics(meter: NamedDependency[Metrics]) -> Response[bytes]:
    """Paths are templates: an id does not make a new series."""
    return Response(generate_latest(meter.registry) + generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


class Connections(Collector):
    """The pool, as it is when somebody looks."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @override
    def collect(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily("storeroom_database_connections", "Open connections.", labels=["state"])
        gauge.add_metric(["idle"], self._db.idle)
        gauge.add_metric(["used"], self._db.size - self._db.idle)
        yield gauge
