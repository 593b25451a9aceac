"""Sends what is queued: for each destination a window of deliveries of its own, so a slow or dead one holds up nobody.

Rows are claimed under a lease and finished with the claim's token. A worker that dies leaves rows whose lease ends, and
`jobs.return_lost` makes them due again; one that comes back late can finish nothing. So everything arrives at least
once, repeats under the same id.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Final
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from storeroom.core.clock import Clock, SystemClock
from storeroom.core.crypto import KeyRing
from storeroom.core.errors import StoreroomError, Unavailable
from storeroom.core.ids import TenantId, new_id
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database
from storeroom.identity import TokenKeys
from storeroom.integration import queries
from storeroom.integration.carriers import Carrier
from storeroom.integration.courier import Courier
from storeroom.integration.endpoints import secrets_of, secrets_ring
from storeroom.integration.model import (
    BODY_KEPT_MAX,
    CARRY_MAX,
    DIRECT,
    ERROR_LENGTH_MAX,
    IN_FLIGHT_DEFAULT,
    LEASE,
    OF_ENDPOINT,
    TIMEOUT_DEFAULT,
    Claimed,
    Destination,
    EndpointKeys,
    Outcome,
    backoff,
    pause,
)
from storeroom.outbox import CHANNEL

POLL_S: Final = 1.0  # between two looks, where nobody wakes us
REST_S: Final = 5.0  # before we ask again about an endpoint that takes nothing now
FAN_OUT_SIZE: Final = 500
TENANTS_AT_ONCE: Final = 200
DESTINATIONS_LOOKED_AT: Final = 1_000
DESTINATIONS_AT_ONCE: Final = 64
WRITE_AGAIN_S: Final = 0.5  # what came of a delivery, while the database is away

_log: Final = logging.getLogger(__name__)
_Flight = asyncio.Task[tuple[Claimed, Outcome]]


class Dispatcher:
    """One sender. Any number may run on one database, in this process and in others."""

    def __init__(
        self,
        db: Database,
        courier: Courier,
        *,
        keys: TokenKeys,
        carriers: Sequence[Carrier] = (),
        lease: timedelta = LEASE,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            db: of the room.
            courier: carries the requests; whoever made it closes it.
            keys: open the secrets of endpoints.
            carriers: bring what goes to no endpoint. Rows of a destination that has none here are left to others.
            lease: of a claim; longer than any endpoint may take to answer.
            clock: for tests.
            registry: where the counters are shown.
        """
        self._db, self._courier, self._keys, self._lease = db, courier, keys, lease
        self._clock = clock or SystemClock()
        self._carriers = {carrier.destination: carrier for carrier in carriers}
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._resting: dict[tuple[str, str], float] = {}
        self._refused: dict[tuple[str, str], int] = {}  # failures in a row of destinations that have no endpoint
        self._sent = Counter("storeroom_webhooks", "Deliveries tried.", ["outcome"], registry=registry)
        self._carried = Counter(
            "storeroom_carried", "Rows brought by our own carriers.", ["destination", "outcome"], registry=registry
        )
        self._seconds = Counter("storeroom_webhook_seconds", "Time spent waiting for receivers.", registry=registry)
        self._flying = Gauge("storeroom_webhooks_in_flight", "Deliveries under way.", registry=registry)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; then take no more, and finish what is under way."""
        woken = asyncio.Event()
        listener = await self._db.listen(CHANNEL, lambda _: woken.set())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                woken.clear()
                try:
                    await self._look(stop)
                except Exception as error:  # noqa: BLE001  # this is the edge: the next look may succeed
                    _say("looking for what is due", error)
                await self._pause(woken, stopping)
        finally:
            stopping.cancel()
            await listener.close()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def run_once(self) -> None:
        """Send all that is due now, once; what fails is due later."""
        self._resting.clear()
        stop = asyncio.Event()
        while await self._look(stop) or self._busy:
            await asyncio.gather(*self._busy.values())

    async def _pause(self, woken: asyncio.Event, stopping: "asyncio.Task[bool]") -> None:
        """Until somebody wakes us, a destination is done, or POLL_S have passed."""
        waking = asyncio.create_task(woken.wait())
        try:
            await asyncio.wait({waking, stopping}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def _look(self, stop: asyncio.Event) -> int:
        """Fan out what waits for that, and begin with each destination that is due; return how many were begun."""
        for tenant_id in await queries.tenants_with_events(self._db, size=TENANTS_AT_ONCE):
            try:
                await self._fan_out(tenant_id)
            except Exception as error:  # noqa: BLE001  # one shop's trouble is not another's
                _say("fanning out", error)
        due = await queries.due_destinations(self._db, size=DESTINATIONS_LOOKED_AT)
        random.shuffle(due)  # where there are more than we can serve, each comes in its turn
        now, begun = asyncio.get_running_loop().time(), 0
        for destination in due:
            key = (destination.tenant_id, destination.destination)
            if key in self._busy or self._resting.get(key, 0) > now or not self._takes(destination):
                continue
            if len(self._busy) >= DESTINATIONS_AT_ONCE or stop.is_set():
                break
            self._resting.pop(key, None)
            self._busy[key] = asyncio.create_task(self._serve(destination, stop), name=f"deliver to {key[1]}")
            begun += 1
        return begun

    async def _fan_out(self, tenant_id: TenantId) -> None:
        heard = [
            (carrier.destination, event_type)
            for carrier in self._carriers.values()
            if carrier.event_types and await self._wants(carrier, tenant_id)
            for event_type in sorted(carrier.event_types)
        ]
        done = FAN_OUT_SIZE
        while done == FAN_OUT_SIZE:
            done = await queries.fan_out(
                self._db,
                tenant_id=tenant_id,
                destinations=[destination for destination, _ in heard],
                event_types=[event_type for _, event_type in heard],
                size=FAN_OUT_SIZE,
            )

    async def _wants(self, carrier: Carrier, tenant_id: TenantId) -> bool:
        """One that cannot say so now gets its rows: it is no reason to keep the shop's events from the others."""
        try:
            return await carrier.wants(tenant_id)
        except Exception as error:  # noqa: BLE001  # one carrier's trouble is not another's
            _say(f"asking whether {tenant_id} uses {carrier.destination}", error)
            return True

    def _takes(self, destination: Destination) -> bool:
        return destination.destination in self._carriers or destination.destination.startswith((DIRECT, OF_ENDPOINT))

    async def _serve(self, destination: Destination, stop: asyncio.Event) -> None:
        key = (destination.tenant_id, destination.destination)
        try:
            await self._drain(destination, stop)
        except Exception as error:  # noqa: BLE001  # one destination's trouble is not another's
            _say(f"delivering to {destination.destination}", error)
            self._rest(key, REST_S)
        finally:
            del self._busy[key]

    async def _drain(self, destination: Destination, stop: asyncio.Event) -> None:
        """Send until nothing is due there, it has to rest, or we stop."""
        key = (destination.tenant_id, destination.destination)
        endpoint, secrets = await self._endpoint(destination)
        carrier = self._carriers.get(destination.destination)
        ordered = carrier.keeps_order if carrier else endpoint is not None and endpoint.keeps_order
        if endpoint is not None and (rest := self._rest_of(endpoint)) > 0:
            self._rest(key, rest)
            return
        window = carrier.in_flight_max if carrier else endpoint.in_flight_max if endpoint else IN_FLIGHT_DEFAULT
        if endpoint is not None and endpoint.failures:
            window = 1  # it failed last: one is enough to see whether it is back
        going = True
        flights: dict[_Flight, UUID] = {}
        try:
            while going or flights:
                if going and not stop.is_set() and len(flights) <= window // 2:
                    claim = new_id()
                    rows = await self._claim(destination, ordered, claim, window - len(flights))
                    going = len(rows) == window - len(flights)
                    if not rows and not flights:  # what is due waits for something before it, or a rival was faster
                        self._rest(key, POLL_S)
                    for row in rows:
                        sending = (
                            self._carry(carrier, destination.tenant_id, row)
                            if carrier
                            else self._send(row, endpoint, secrets)
                        )
                        flights[asyncio.create_task(sending)] = claim
                if stop.is_set():
                    going = False
                if not flights:
                    break
                done, _ = await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
                rested = await self._written(destination, endpoint, {task: flights[task] for task in done})
                for task in done:
                    del flights[task]
                if rested:
                    going = False
                elif ordered:
                    going = True  # what waited for these may go now
                elif window == 1 and endpoint is not None:
                    window = endpoint.in_flight_max  # it is back
        except asyncio.CancelledError:
            await self._let_go(destination, flights)
            raise
        except Exception:
            if flights:  # what is on its way arrives, and is written down if that can be
                await asyncio.wait(flights)
                await self._written(destination, endpoint, flights)
            raise

    async def _let_go(self, destination: Destination, flights: dict[_Flight, UUID]) -> None:
        """Cut off what is on its way, and give it back: whoever comes next may send it at once."""
        for task in flights:
            task.cancel()
        try:
            async with asyncio.timeout(POLL_S):
                if flights:
                    await asyncio.wait(flights)
                for claim in set(flights.values()):
                    await queries.release(self._db, tenant_id=destination.tenant_id, claim=claim)
        except Exception as error:  # noqa: BLE001  # then it is due when the lease is over
            _say(f"giving back what was for {destination.destination}", error)

    async def _written(
        self, destination: Destination, endpoint: EndpointKeys | None, done: dict[_Flight, UUID]
    ) -> bool:
        """As _settle; while the database is away it is tried again, for as long as the rows are surely ours."""
        now = asyncio.get_running_loop().time
        until = now() + self._lease.total_seconds() / 2
        while True:
            try:
                return await self._settle(destination, endpoint, done)
            except Unavailable as error:
                if now() >= until:
                    raise
                _say(f"writing down what {destination.destination} answered", error)
            await asyncio.sleep(WRITE_AGAIN_S)

    async def _endpoint(self, destination: Destination) -> tuple[EndpointKeys | None, Sequence[Secret]]:
        if destination.endpoint_id is None:
            return None, ()
        endpoint = await queries.endpoint_keys(
            self._db, tenant_id=destination.tenant_id, endpoint_id=destination.endpoint_id
        )
        if endpoint is None:  # removed since; what waited for it was given up with it
            return None, ()
        ring: KeyRing = secrets_ring(self._keys)
        return endpoint, secrets_of(ring, destination.tenant_id, endpoint)

    def _rest_of(self, endpoint: EndpointKeys) -> float:
        if not endpoint.is_active:
            return REST_S
        if endpoint.paused_until is None:
            return 0
        return min((endpoint.paused_until - self._clock.now()).total_seconds(), REST_S)

    async def _claim(self, destination: Destination, ordered: bool, claim: UUID, size: int) -> Sequence[Claimed]:
        return await (queries.claim_in_order if ordered else queries.claim)(
            self._db,
            tenant_id=destination.tenant_id,
            destination=destination.destination,
            claim=claim,
            lease=self._lease,
            size=size,
        )

    async def _send(
        self, row: Claimed, endpoint: EndpointKeys | None, secrets: Sequence[Secret]
    ) -> tuple[Claimed, Outcome]:
        url = row.url if endpoint is None else endpoint.url
        if url is None:
            return row, Outcome(duration_ms=0, error="it has no address, and its endpoint is gone")
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

    async def _carry(self, carrier: Carrier, tenant_id: TenantId, row: Claimed) -> tuple[Claimed, Outcome]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(CARRY_MAX.total_seconds()):
                outcome = await carrier.carry(tenant_id, row)
        except Exception as error:  # noqa: BLE001  # one row's trouble is not another's
            outcome = _fault(began, f"{carrier.destination}: {row.event_type} {row.id}", error)
        self._carried.labels(carrier.destination, "delivered" if outcome.delivered else "failed").inc()
        return row, outcome

    async def _settle(self, destination: Destination, endpoint: EndpointKeys | None, done: dict[_Flight, UUID]) -> bool:
        """Write down what came of it; True where the destination has to rest."""
        now = self._clock.now()
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
                again_at=[now + backoff(row.attempts) for row, _ in results],
            )
        outcomes = [outcome for results in by_claim.values() for _, outcome in results]
        return await self._note(destination, endpoint, outcomes)

    async def _note(self, destination: Destination, endpoint: EndpointKeys | None, outcomes: Sequence[Outcome]) -> bool:
        """Keep count of failures in a row; True where the destination has to rest."""
        key, tenant_id = (destination.tenant_id, destination.destination), destination.tenant_id
        failed = sum(not outcome.delivered and not outcome.final for outcome in outcomes)
        if failed < len(outcomes):
            if endpoint is not None:
                await queries.endpoint_answered(self._db, tenant_id=tenant_id, endpoint_id=endpoint.id)
            self._refused.pop(key, None)
            return False
        if endpoint is None:
            failures = self._refused[key] = self._refused.get(key, 0) + failed
        else:
            failures = (
                await queries.endpoint_failed(self._db, tenant_id=tenant_id, endpoint_id=endpoint.id, failures=failed)
                or 0
            )
        rest = pause(failures)
        if rest is None:
            return endpoint is not None and endpoint.failures > 0  # the one that was to show whether it is back
        if endpoint is not None:
            await queries.pause_endpoint(self._db, tenant_id=tenant_id, endpoint_id=endpoint.id, pause=rest)
            self._rest(key, min(rest.total_seconds(), REST_S))  # staff may end a pause, here or elsewhere
        else:
            self._rest(key, rest.total_seconds())
        return True

    def _rest(self, key: tuple[str, str], seconds: float) -> None:
        self._resting[key] = asyncio.get_running_loop().time() + seconds


def _event(row: Claimed) -> dict[str, object]:
    """The body of an event, in the form that the Standard Webhooks scheme advises."""
    return {"type": row.event_type, "timestamp": row.created_at.astimezone(UTC), "data": row.payload}


def _fault(began: float, what: str, error: Exception) -> Outcome:
    _say(what, error)
    told = "not done in time" if isinstance(error, TimeoutError) else type(error).__name__
    if isinstance(error, StoreroomError):
        told = f"{error} ({error.code})"
    return Outcome(duration_ms=int((time.monotonic() - began) * 1000), error=told)


def _writable(said: str | None, longest: int) -> str:
    """As the database takes it, whatever a server answered: what cannot be written would be sent again for ever."""
    return (said or "").encode("utf-8", "replace").decode().replace("\x00", "")[:longest]


def _say(what: str, error: Exception) -> None:
    if isinstance(error, StoreroomError):  # said in one line; anything else is a fault of ours, with its place
        _log.error("%s: %s (%s)", what, error, error.code)
    else:
        _log.error("%s failed", what, exc_info=error)
