"""Sends what is queued: for each destination a window of deliveries of its own, so a slow or dead one holds up nobody.

Rows are claimed under a lease and finished with the claim's token. A worker that dies leaves rows whose lease ends, and
`jobs.return_lost` makes them due again; one that comes back late can finish nothing. So everything arrives at least
once, repeats under the same id.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry

from storeroom.core.ids import TenantId, new_id
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database
from storeroom.identity import TokenKeys
from storeroom.integration import queries
from storeroom.integration.carriers import Carrier
from storeroom.integration.courier import Courier
from storeroom.integration.depths import Depths
from storeroom.integration.endpoints import secrets_of, secrets_ring
from storeroom.integration.model import (
    DIRECT,
    IN_FLIGHT_DEFAULT,
    LEASE,
    OF_ENDPOINT,
    Claimed,
    Destination,
    EndpointKeys,
    Outcome,
    pause,
)
from storeroom.integration.sending import Flight, Sender, say
from storeroom.outbox import CHANNEL

POLL_S: Final = 1.0  # between two looks, where nobody wakes us
REST_S: Final = 5.0  # before we ask again about an endpoint that takes nothing now
FAN_OUT_SIZE: Final = 500
TENANTS_AT_ONCE: Final = 200
DESTINATIONS_LOOKED_AT: Final = 1_000
SLICE_S: Final = 5.0  # a destination that has much goes on for so long while others wait for its place
SLOW_AFTER_S: Final = 0.5  # nothing came back for so long: it takes no place from those that answer
DELIVERIES_MAX: Final = 256  # under way over the web; a destination may have one beyond them
ENDPOINT_KEPT_S: Final = 1.0  # how old may be what a destination that is being sent to knows of its endpoint
STUCK_S: Final = 0.25  # nothing came back for so long: claims no longer wait for half of the window


class _Lane(msgspec.Struct, frozen=True):
    """Destinations that are served beside each other, and in nobody else's place."""

    name: str
    at_once: int  # of those that answer
    most: int  # with those that let us wait


_WEB: Final = _Lane("", 64, 128)


class _Drain:
    """One destination, while it is served."""

    def __init__(self, destination: Destination, lane: _Lane) -> None:
        """Nothing is under way there yet."""
        self.destination, self.lane, self.began_at = destination, lane, _now()
        self.key = (destination.tenant_id, destination.destination)
        self.flights: dict[Flight, UUID] = {}  # each with its claim
        self.claimed = 0
        self.landed_at = _now()
        self.nudged = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """More is due there: what is under way need not be waited for."""
        if not self.nudged.done():
            self.nudged.set_result(None)

    @property
    def is_slow(self) -> bool:
        """Whether it lets us wait."""
        return bool(self.flights) and _now() - self.landed_at >= SLOW_AFTER_S

    def heard(self) -> bool:
        """Whether there was a nudge since this was asked last."""
        heard = self.nudged.done()
        if heard:
            self.nudged = asyncio.get_running_loop().create_future()
        return heard

    async def landing(self, *, within: float | None) -> dict[Flight, UUID]:
        """What is back, once anything is, there was a nudge, or the time is over."""
        await asyncio.wait({*self.flights, self.nudged}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        done = {flight: claim for flight, claim in self.flights.items() if flight.done()}
        if done:
            self.landed_at = _now()
        return done


class _Terms:
    """How a destination is sent to."""

    def __init__(self, carrier: Carrier | None, endpoint: EndpointKeys | None, secrets: Sequence[Secret]) -> None:
        """As the endpoint is now; neither it nor a carrier: the row has an address of its own."""
        self.carrier, self.endpoint, self.secrets, self.read_at = carrier, endpoint, secrets, _now()
        of = carrier or endpoint
        self.ordered = of.keeps_order if of else False
        self.in_flight_max = of.in_flight_max if of else IN_FLIGHT_DEFAULT


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
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            db: of the room.
            courier: carries the requests; whoever made it closes it.
            keys: open the secrets of endpoints.
            carriers: bring what goes to no endpoint. Rows of a destination that has none here are left to others.
            lease: of a claim; longer than any endpoint may take to answer.
            registry: where the counters are shown.
        """
        self._db, self._keys, self._lease = db, keys, lease
        self._carriers = {carrier.destination: carrier for carrier in carriers}
        # By its carrier: they share what is behind it, a mail server that does not answer as much as one that does.
        self._lanes = {name: _Lane(name, 16, 64) for name in self._carriers}
        self._crowded: frozenset[_Lane] = frozenset()  # where somebody waited for a place when we last looked
        self._woken = asyncio.Event()
        self._looked_to: tuple[str | None, str | None] = (None, None)
        self._busy: dict[tuple[str, str], _Drain] = {}
        self._resting: dict[tuple[str, str], float] = {}
        self._refused: dict[tuple[str, str], int] = {}  # failures in a row of destinations that have no endpoint
        self._depths = Depths(db, registry=registry)
        self._sender = Sender(db, courier, lease=lease, registry=registry)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; then take no more, and finish what is under way."""
        listener = await self._db.listen(CHANNEL, lambda _: self._woken.set())
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    await self._look(stop)
                    await self._depths.count()
                except Exception as error:  # noqa: BLE001  # this is the edge: the next look may succeed
                    say("looking for what is due", error)
                await self._pause(stopping)
        finally:
            stopping.cancel()
            await listener.close()
            await asyncio.gather(*self._tasks(), return_exceptions=True)

    async def run_once(self) -> None:
        """Send all that is due now, once; what fails is due later."""
        self._resting.clear()
        stop = asyncio.Event()
        while await self._look(stop) or self._busy:
            await asyncio.gather(*self._tasks())

    def _tasks(self) -> "list[asyncio.Task[None]]":
        return [drain.task for drain in self._busy.values() if drain.task is not None]

    async def _pause(self, stopping: "asyncio.Task[bool]") -> None:
        """Until somebody wakes us, or POLL_S have passed."""
        waking = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({waking, stopping}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def _look(self, stop: asyncio.Event) -> bool:
        """Fan out some of what waits for that, and begin with each destination that is due; whether there is more."""
        more = False
        for tenant_id in await queries.tenants_with_events(self._db, size=TENANTS_AT_ONCE):
            if stop.is_set():
                break
            try:
                more = await self._fan_out(tenant_id) or more
            except Exception as error:  # noqa: BLE001  # one shop's trouble is not another's
                say("fanning out", error)
        due = await self._due()
        more = more or self._looked_to != (None, None)
        if more:
            self._woken.set()
        return (not stop.is_set() and self._begin(due, stop)) or more

    async def _due(self) -> Sequence[Destination]:
        """Where anything is due; where there are more than fit a look, the next one goes on there."""
        tenant_id, name = self._looked_to
        due = await queries.due_destinations(
            self._db, after_tenant=tenant_id, after_destination=name, size=DESTINATIONS_LOOKED_AT
        )
        full = len(due) == DESTINATIONS_LOOKED_AT
        self._looked_to = (due[-1].tenant_id, due[-1].destination) if full else (None, None)
        random.shuffle(due)  # where there are more than we can serve, each comes in its turn
        return sorted(due, key=lambda destination: destination.failures > 0)  # those that answer before the others

    def _begin(self, due: Sequence[Destination], stop: asyncio.Event) -> bool:
        """Begin with those that are not under way and have a place; whether there were any."""
        now, begun, crowded = _now(), False, set[_Lane]()
        here = Counter(drain.lane for drain in self._busy.values())
        brisk = Counter(drain.lane for drain in self._busy.values() if not drain.is_slow)
        for destination in due:
            key = (destination.tenant_id, destination.destination)
            if self._resting.get(key, 0) > now or not self._takes(destination):
                continue
            if busy := self._busy.get(key):
                busy.nudge()
                continue
            lane = self._lanes.get(destination.destination, _WEB)
            if here[lane] >= lane.most or brisk[lane] >= lane.at_once:
                crowded.add(lane)
                continue
            here[lane] += 1
            brisk[lane] += 1
            self._resting.pop(key, None)
            drain = self._busy[key] = _Drain(destination, lane)
            drain.task = asyncio.create_task(self._serve(drain, stop), name=f"deliver to {key[1]}")
            begun = True
        self._crowded = frozenset(crowded)
        return begun

    async def _fan_out(self, tenant_id: TenantId) -> bool:
        """One batch of a shop's events, so that no shop waits for another's; whether there may be more."""
        heard = [
            (carrier.destination, event_type)
            for carrier in self._carriers.values()
            if carrier.event_types and await self._wants(carrier, tenant_id)
            for event_type in sorted(carrier.event_types)
        ]
        done = await queries.fan_out(
            self._db,
            tenant_id=tenant_id,
            destinations=[destination for destination, _ in heard],
            event_types=[event_type for _, event_type in heard],
            size=FAN_OUT_SIZE,
        )
        return done == FAN_OUT_SIZE

    async def _wants(self, carrier: Carrier, tenant_id: TenantId) -> bool:
        """One that cannot say so now gets its rows: it is no reason to keep the shop's events from the others."""
        try:
            return await carrier.wants(tenant_id)
        except Exception as error:  # noqa: BLE001  # one carrier's trouble is not another's
            say(f"asking whether {tenant_id} uses {carrier.destination}", error)
            return True

    def _takes(self, destination: Destination) -> bool:
        return destination.destination in self._carriers or destination.destination.startswith((DIRECT, OF_ENDPOINT))

    async def _serve(self, drain: _Drain, stop: asyncio.Event) -> None:
        try:
            await self._drain(drain, stop)
        except Exception as error:  # noqa: BLE001  # one destination's trouble is not another's
            say(f"delivering to {drain.destination.destination}", error)
            self._rest(drain.key, REST_S)
        finally:
            del self._busy[drain.key]
            if drain.lane in self._crowded:
                self._woken.set()

    async def _drain(self, drain: _Drain, stop: asyncio.Event) -> None:
        """Send until nothing is due there, it has to rest, others wait for its place, or we stop."""
        flights = drain.flights
        terms = await self._terms(drain.destination)
        probing = terms.endpoint is not None and terms.endpoint.failures > 0  # one shows whether it is back
        going = True
        try:
            while going or flights or drain.nudged.done():
                over = stop.is_set() or (drain.lane in self._crowded and _now() - drain.began_at >= SLICE_S)
                going = (drain.heard() or going) and not over
                window = 1 if probing else terms.in_flight_max
                free = self._free(drain, window)
                if going and free > 0 and (len(flights) <= window // 2 or _now() - drain.landed_at >= STUCK_S):
                    if _now() - terms.read_at >= ENDPOINT_KEPT_S:
                        terms = await self._terms(drain.destination)
                    going = not self._rests(drain, terms) and await self._claimed(drain, terms, free) == free
                if not flights:
                    continue
                waits = going and window - len(flights) > 0
                done = await drain.landing(within=STUCK_S if waits else None)
                if not done:
                    continue
                outcomes = await self._sender.write_down(drain.destination, done)
                for flight in done:
                    del flights[flight]
                if await self._note(drain, terms.endpoint, outcomes, probing=probing):
                    going, probing = False, terms.endpoint is not None
                    terms.read_at = -ENDPOINT_KEPT_S
                else:
                    probing = False
                    going = going or terms.ordered  # what waited for these may go now
        except asyncio.CancelledError:
            await self._sender.let_go(drain.destination, flights)
            raise
        except Exception:
            if flights:  # what is on its way arrives, and is written down if that can be
                await asyncio.wait(flights)
                outcomes = await self._sender.write_down(drain.destination, flights)
                await self._note(drain, terms.endpoint, outcomes, probing=probing)
            raise

    def _free(self, drain: _Drain, window: int) -> int:
        """How many more it may have under way."""
        free = window - len(drain.flights)
        if drain.lane is not _WEB:
            return free
        flying = sum(len(other.flights) for other in self._busy.values() if other.lane is _WEB)
        return min(free, max(DELIVERIES_MAX - flying, 0 if drain.flights else 1))

    async def _terms(self, destination: Destination) -> _Terms:
        carrier = self._carriers.get(destination.destination)
        if destination.endpoint_id is None:
            return _Terms(carrier, None, ())
        endpoint = await queries.endpoint_keys(
            self._db, tenant_id=destination.tenant_id, endpoint_id=destination.endpoint_id
        )
        if endpoint is None:  # removed since; what waited for it was given up with it
            return _Terms(carrier, None, ())
        return _Terms(carrier, endpoint, secrets_of(secrets_ring(self._keys), destination.tenant_id, endpoint))

    def _rests(self, drain: _Drain, terms: _Terms) -> bool:
        endpoint, rest = terms.endpoint, 0.0
        if endpoint is not None and not endpoint.is_active:
            rest = REST_S
        elif endpoint is not None and endpoint.paused_for is not None:
            rest = min(endpoint.paused_for.total_seconds(), REST_S)
        if rest > 0:
            self._rest(drain.key, rest)
        return rest > 0

    async def _claimed(self, drain: _Drain, terms: _Terms, size: int) -> int:
        """Claim that many rows and send them; return how many there were."""
        claim, tenant_id = new_id(), drain.destination.tenant_id
        rows: Sequence[Claimed] = await (queries.claim_in_order if terms.ordered else queries.claim)(
            self._db,
            tenant_id=tenant_id,
            destination=drain.destination.destination,
            claim=claim,
            lease=self._lease,
            size=size,
        )
        if not rows and not drain.claimed:  # what is due waits for something before it, or a rival was faster
            self._rest(drain.key, POLL_S)
        if not drain.flights:
            drain.landed_at = _now()
        drain.claimed += len(rows)
        for row in rows:
            sending = (
                self._sender.carry(terms.carrier, tenant_id, row)
                if terms.carrier
                else self._sender.send(row, terms.endpoint, terms.secrets)
            )
            drain.flights[asyncio.create_task(sending)] = claim
        return len(rows)

    async def _note(
        self, drain: _Drain, endpoint: EndpointKeys | None, outcomes: Sequence[Outcome], *, probing: bool
    ) -> bool:
        """Keep count of failures in a row; True where the destination has to rest."""
        key, tenant_id = drain.key, drain.destination.tenant_id
        outcomes = [outcome for outcome in outcomes if not outcome.ours]
        if not outcomes:
            return probing
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
            return probing  # the one that was to show whether it is back
        if endpoint is not None:
            await queries.pause_endpoint(self._db, tenant_id=tenant_id, endpoint_id=endpoint.id, pause=rest)
            self._rest(key, min(rest.total_seconds(), REST_S))  # staff may end a pause, here or elsewhere
        else:
            self._rest(key, rest.total_seconds())
        return True

    def _rest(self, key: tuple[str, str], seconds: float) -> None:
        self._resting[key] = _now() + seconds


def _now() -> float:
    return asyncio.get_running_loop().time()
