"""Brings claimed rows to where they go, and writes down what came of it."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Final
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from storeroom.core.errors import StoreroomError, Unavailable
from storeroom.core.ids import TenantId
from storeroom.core.secrets import Secret
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Database
from storeroom.integration import queries
from storeroom.integration.carriers import Carrier
from storeroom.integration.courier import Courier
from storeroom.integration.model import (
    BODY_KEPT_MAX,
    CARRY_MAX,
    ERROR_LENGTH_MAX,
    TIMEOUT_DEFAULT,
    Claimed,
    Destination,
    EndpointKeys,
    Outcome,
    backoff,
)

RELEASE_S: Final = 1.0  # to give back what is cut off
WRITE_AGAIN_S: Final = 0.5  # what came of a delivery, while the database is away

_log: Final = logging.getLogger(__name__)
Flight = asyncio.Task[tuple[Claimed, Outcome]]


class Sender:
    """Carries rows; what comes of one is an outcome, never an error."""

    def __init__(self, db: Database, courier: Courier, *, lease: timedelta, registry: CollectorRegistry | None) -> None:
        """Nothing is sent yet; the arguments are the dispatcher's."""
        self._db, self._courier, self._lease = db, courier, lease
        self._sent = Counter("storeroom_webhooks", "Deliveries tried.", ["outcome"], registry=registry)
        self._carried = Counter(
            "storeroom_carried", "Rows brought by our own carriers.", ["destination", "outcome"], registry=registry
        )
        self._seconds = Counter("storeroom_webhook_seconds", "Time spent waiting for receivers.", registry=registry)
        self._flying = Gauge("storeroom_webhooks_in_flight", "Deliveries under way.", registry=registry)

    async def send(
        self, row: Claimed, endpoint: EndpointKeys | None, secrets: Sequence[Secret]
    ) -> tuple[Claimed, Outcome]:
        """To an endpoint, signed; or to the row's own address as it stands."""
        url = row.url if endpoint is None else endpoint.url
        if url is None:
            return row, Outcome(duration_ms=0, error="it has no address, and its endpoint is gone", final=True)
        body = msgspec.json.encode(row.payload if endpoint is None else _event(row))
        within = TIMEOUT_DEFAULT if endpoint is None else timedelta(seconds=endpoint.timeout_seconds)
        began = time.monotonic()
        with self._flying.track_inprogress():
            try:
                outcome = await self._courier.send(
                    url, body, delivery_id=row.delivery_id, secrets=secrets, headers=row.headers, within=within
                )
            except Exception as error:  # noqa: BLE001  # one row's trouble is not another's
                outcome = _fault(began, f"sending {row.id}", error)
        self._sent.labels("delivered" if outcome.delivered else "failed").inc()
        self._seconds.inc(outcome.duration_ms / 1000)
        return row, outcome

    async def carry(self, carrier: Carrier, tenant_id: TenantId, row: Claimed) -> tuple[Claimed, Outcome]:
        """By one of our own carriers, within CARRY_MAX."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(CARRY_MAX.total_seconds()):
                outcome = await carrier.carry(tenant_id, row)
        except Exception as error:  # noqa: BLE001  # one row's trouble is not another's
            outcome = _fault(began, f"{carrier.destination}: {row.event_type} {row.id}", error)
        self._carried.labels(carrier.destination, "delivered" if outcome.delivered else "failed").inc()
        return row, outcome

    async def write_down(self, destination: Destination, done: Mapping[Flight, UUID]) -> Sequence[Outcome]:
        """What came of the flights, each with its claim; return it.

        While the database is away it is tried again, for as long as the rows are surely ours.
        """
        now = asyncio.get_running_loop().time
        until = now() + self._lease.total_seconds() / 2
        while True:
            try:
                return await self._settle(destination, done)
            except Unavailable as error:
                if now() >= until:
                    raise
                say(f"writing down what {destination.destination} answered", error)
            await asyncio.sleep(WRITE_AGAIN_S)

    async def _settle(self, destination: Destination, done: Mapping[Flight, UUID]) -> Sequence[Outcome]:
        by_claim: dict[UUID, list[tuple[Claimed, Outcome]]] = {}
        for flight, claim in done.items():
            by_claim.setdefault(claim, []).append(flight.result())
        for claim, results in by_claim.items():
            await queries.settle(
                self._db,
                tenant_id=destination.tenant_id,
                claim=claim,
                ids=[row.id for row, _ in results],
                delivered=[outcome.delivered for _, outcome in results],
                final=[outcome.final for _, outcome in results],
                errors=[_writable(outcome.error, ERROR_LENGTH_MAX) for _, outcome in results],
                statuses=[outcome.response_status or 0 for _, outcome in results],
                bodies=[_writable(outcome.response_body, BODY_KEPT_MAX) for _, outcome in results],
                durations=[outcome.duration_ms for _, outcome in results],
                again_in=[backoff(row.attempts) for row, _ in results],
            )
        return [outcome for results in by_claim.values() for _, outcome in results]

    async def let_go(self, destination: Destination, flights: Mapping[Flight, UUID]) -> None:
        """Cut off what is on its way, and give it back: whoever comes next may send it at once."""
        for task in flights:
            task.cancel()
        try:
            async with asyncio.timeout(RELEASE_S):
                if flights:
                    await asyncio.wait(flights)
                for claim in set(flights.values()):
                    await queries.release(self._db, tenant_id=destination.tenant_id, claim=claim)
        except Exception as error:  # noqa: BLE001  # then it is due when the lease is over
            say(f"giving back what was for {destination.destination}", error)


def _event(row: Claimed) -> dict[str, object]:
    """The body of an event, in the form that the Standard Webhooks scheme advises."""
    return {"type": row.event_type, "timestamp": row.created_at.astimezone(UTC), "data": row.payload}


def _fault(began: float, what: str, error: Exception) -> Outcome:
    say(what, error)
    told = "not done in time" if isinstance(error, TimeoutError) else type(error).__name__
    if isinstance(error, StoreroomError):
        told = f"{error} ({error.code})"
    ours = isinstance(error, DatabaseUnavailable)
    return Outcome(duration_ms=int((time.monotonic() - began) * 1000), error=told, ours=ours)


def _writable(said: str | None, longest: int) -> str:
    """As the database takes it, whatever a server answered: what cannot be written would be sent again for ever."""
    return (said or "").encode("utf-8", "replace").decode().replace("\x00", "")[:longest]


def say(what: str, error: Exception) -> None:
    """Into the log; anything but an error of ours is a fault, with its place."""
    if isinstance(error, StoreroomError):
        _log.error("%s: %s (%s)", what, error, error.code)
    else:
        _log.error("%s failed", what, exc_info=error)
