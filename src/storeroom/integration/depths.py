"""How deep the queue is, for whoever watches the installation."""

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from storeroom.database.pool import Database
from storeroom.integration import queries

COUNT_EVERY_S: Final = 15.0  # how old the numbers are at most


class Depths:
    """Counts the queue now and then."""

    def __init__(self, db: Database, *, registry: CollectorRegistry | None) -> None:
        """Nothing is counted yet."""
        self._db, self._counted_at = db, float("-inf")
        self._rows = Gauge("storeroom_queue_depth", "Rows of the queue by state.", ["status"], registry=registry)
        self._oldest = Gauge(
            "storeroom_queue_oldest_seconds",
            "How long the oldest row of a state is due, under way, or given up.",
            ["status"],
            registry=registry,
        )

    async def count(self) -> None:
        """Anew, if that was long enough ago."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = now
        for depth in await queries.depths_of_all(self._db):
            self._rows.labels(depth.status.value).set(depth.rows)
            self._oldest.labels(depth.status.value).set(max(depth.oldest_seconds or 0, 0))
