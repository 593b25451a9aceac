"""Tells the providers what waits: claimed by tenant under a lease, each provider told what it does not have yet.

A row is deleted when all have it. One provider's failure is that provider's alone: the others have the row noted, and
what is tried again goes to the failing one. Rows whose worker died are due again when their lease ends, in halves: one
that kills its workers costs no other its tries. A worker that is cut off gives them back at once.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from storeroom.conversions import queries
from storeroom.conversions.model import (
    ERROR_LENGTH_MAX,
    PAUSE_MAX,
    PROVIDERS_MAX,
    RETRIES_MAX,
    Ask,
    ClaimedConversion,
    ProviderId,
    ProviderKeys,
    ProviderKind,
    backoff,
    pause,
)
from storeroom.conversions.providers import INTERFACES, Target, Verdict, halves
from storeroom.conversions.sealed import PURPOSE, place_of
from storeroom.core.errors import StoreroomError, Unavailable
from storeroom.core.ids import TenantId, new_id
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database
from storeroom.identity import TokenKeys
from storeroom.integration import Courier, Outcome
from storeroom.outbox import CHANNEL

T = TypeVar("T")

POLL_S: Final = 1.0  # between two looks, where nobody wakes us
GAUGES_S: Final = 15.0  # between two counts of what waits
REST_S: Final = 5.0  # of a shop with which something of ours went wrong
CLAIM_MAX: Final = 1_000
TENANTS_LOOKED_AT: Final = 200
TENANTS_AT_ONCE: Final = 16
CALLS_MAX: Final = 200  # to one provider for one claim; what is not sent by then is due at once
WITHIN: Final = timedelta(seconds=15)  # for an answer
SENDING_S: Final = 60.0  # no call is begun later after a claim
LEASE: Final = timedelta(minutes=2)  # longer than SENDING_S and WITHIN together
WRITE_AGAIN_S: Final = 0.5  # what came of it, while the database is away

_log: Final = logging.getLogger(__name__)


class _Told(msgspec.Struct):
    """What came of telling one provider."""

    provider: ProviderKeys
    sent: set[UUID] = msgspec.field(default_factory=set)
    refused: dict[UUID, str] = msgspec.field(default_factory=dict)  # with what it said
    rests_until: float | None = None  # by the clock that nobody sets
    late: set[UUID] = msgspec.field(default_factory=set)  # older than it takes them
    silent: set[UUID] = msgspec.field(default_factory=set)  # there are no words for them


class ConversionSender:
    """One sender. Any number may run on one database, in this process and in others."""

    def __init__(
        self,
        db: Database,
        courier: Courier,
        *,
        keys: TokenKeys,
        bases: Mapping[ProviderKind, str] | None = None,
        lease: timedelta = LEASE,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            db: of the room.
            courier: carries the requests; whoever made it closes it.
            keys: open the secrets of providers.
            bases: where the interface of a kind is, instead of where the provider has it.
            lease: of a claim.
            registry: where the counters are shown.
        """
        self._db, self._courier, self._keys, self._lease = db, courier, keys, lease
        self._bases = dict(bases or {})
        self._busy: dict[TenantId, asyncio.Task[None]] = {}
        self._resting: dict[TenantId, float] = {}
        self._counted_at = 0.0
        self._told = Counter("storeroom_conversions", "Events told.", ["kind", "outcome"], registry=registry)
        self._waiting = Gauge("storeroom_conversions_waiting", "Events that wait.", registry=registry)
        self._oldest = Gauge("storeroom_conversions_oldest_seconds", "Age of the oldest that waits.", registry=registry)

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
                    await self._count()
                except Exception as error:  # noqa: BLE001  # this is the edge: the next look may succeed
                    _say("looking for conversions", error)
                waking = asyncio.create_task(woken.wait())
                await asyncio.wait({waking, stopping}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        except asyncio.CancelledError:
            for task in self._busy.values():
                task.cancel()
            raise
        finally:
            stopping.cancel()
            await listener.close()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def run_once(self) -> None:
        """Tell all that is due now, once; what fails is due later."""
        self._resting.clear()
        stop = asyncio.Event()
        while await self._look(stop) or self._busy:
            await asyncio.gather(*self._busy.values())

    async def _look(self, stop: asyncio.Event) -> int:
        """Begin with each shop that has something due; return how many were begun."""
        due = await queries.tenants_due(self._db, size=TENANTS_LOOKED_AT)
        random.shuffle(due)
        now, begun = asyncio.get_running_loop().time(), 0
        for tenant_id in due:
            if tenant_id in self._busy or self._resting.get(tenant_id, 0) > now:
                continue
            if len(self._busy) >= TENANTS_AT_ONCE or stop.is_set():
                break
            self._resting.pop(tenant_id, None)
            self._busy[tenant_id] = asyncio.create_task(
                self._serve(tenant_id, stop), name=f"conversions of {tenant_id}"
            )
            begun += 1
        return begun

    async def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted_at < GAUGES_S:
            return
        self._counted_at = now
        depth = await queries.depth(self._db)
        self._waiting.set(depth.rows)
        self._oldest.set(0 if depth.age is None else depth.age.total_seconds())

    async def _serve(self, tenant_id: TenantId, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                claim = new_id()
                rows = await queries.claim(
                    self._db, tenant_id=tenant_id, claim=claim, lease=self._lease, size=CLAIM_MAX
                )
                if not rows:
                    break
                if not await self._tell(tenant_id, claim, rows, stop):
                    self._rest(tenant_id, POLL_S)
                    break
        except Exception as error:  # noqa: BLE001  # one shop's trouble is not another's
            _say(f"telling conversions of {tenant_id}", error)
            self._rest(tenant_id, REST_S)
        finally:
            del self._busy[tenant_id]

    def _rest(self, tenant_id: TenantId, seconds: float) -> None:
        self._resting[tenant_id] = asyncio.get_running_loop().time() + seconds

    # --- One claim ----------------------------------------------------------------------------------------------------

    async def _tell(
        self, tenant_id: TenantId, claim: UUID, rows: Sequence[ClaimedConversion], stop: asyncio.Event
    ) -> bool:
        """Tell each provider what it does not have, all at the same time, and settle; False: all of it waits.

        Cut off, it cuts off what is on its way, notes what came until then and gives back the rest.
        """
        rows = sorted(rows, key=lambda row: (row.created_at, row.id))
        seen_at, began = rows[0].seen_at, time.monotonic()
        until = began + SENDING_S

        def now() -> datetime:  # by the database's clock
            return seen_at + timedelta(seconds=time.monotonic() - began)

        def goes_on() -> bool:
            return not stop.is_set() and time.monotonic() < until

        if worn := [row for row in rows if row.retry_count >= RETRIES_MAX]:  # they may be what kills their workers
            for row in worn:
                _log.warning("%s: event %s is given up: %d workers or tries failed", tenant_id, row.id, row.retry_count)
            await queries.done(self._db, tenant_id=tenant_id, claim=claim, ids=[row.id for row in worn])
            rows = [row for row in rows if row.retry_count < RETRIES_MAX]
        providers = await queries.provider_keys(self._db, tenant_id=tenant_id, pause_max=PAUSE_MAX, size=PROVIDERS_MAX)
        told = [_Told(each, rests_until=_in(each.rests)) for each in providers]
        telling = {asyncio.create_task(self._tell_one(tenant_id, one, rows, goes_on)): one for one in told}
        try:
            await self._noted(tenant_id, claim, telling)
            return await self._settle(tenant_id, claim, rows, told, now()) or bool(worn)
        except asyncio.CancelledError:
            await _cut_off(telling)
            try:
                async with asyncio.timeout(POLL_S):
                    await self._settle(tenant_id, claim, rows, told, now())
            except Exception as error:  # noqa: BLE001  # then they are due when the lease is over
                _say(f"giving back conversions of {tenant_id}", error)
            raise
        finally:
            await _cut_off(telling)

    async def _noted(self, tenant_id: TenantId, claim: UUID, telling: "dict[asyncio.Task[None], _Told]") -> None:
        """Note what each provider has as soon as it is through with it. One that fails does not cut off the others."""
        fault: BaseException | None = None
        while telling:
            done, _ = await asyncio.wait(telling, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                one = telling.pop(task)
                fault = task.exception() or fault
                if one.sent and (telling or fault):
                    await self._written(
                        lambda one=one: queries.note_sent(  # type: ignore[misc]
                            self._db,
                            tenant_id=tenant_id,
                            claim=claim,
                            ids=list(one.sent),
                            provider=[str(one.provider.id)],
                        )
                    )
        if fault is not None:
            raise fault

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write; while the database is away try again, for as long as the rows may be ours."""
        now = asyncio.get_running_loop().time
        until = now() + self._lease.total_seconds() / 2
        while True:
            try:
                return await write()
            except Unavailable as error:
                if now() >= until:
                    raise
                _say("writing down what providers answered", error)
            await asyncio.sleep(WRITE_AGAIN_S)

    async def _tell_one(
        self,
        tenant_id: TenantId,
        told: _Told,
        rows: Sequence[ClaimedConversion],
        goes_on: Callable[[], bool],
    ) -> None:
        provider = told.provider
        interface = INTERFACES[provider.kind]
        wanted = [row for row in rows if str(provider.id) not in row.providers_sent]
        told.late = {row.id for row in wanted if row.age >= interface.age_max}
        wanted = [row for row in wanted if row.id not in told.late]
        if told.late:
            self._told.labels(provider.kind, "expired").inc(len(told.late))
            _log.warning("%s: %s does not take %d events any more: too old", tenant_id, provider.id, len(told.late))
        if told.rests_until is not None:
            return
        try:
            target = self._target(tenant_id, provider)
        except StoreroomError as error:  # the secret does not open: a matter for staff, and of this provider alone
            told.refused = {row.id: str(error) for row in wanted}
            await self._note(tenant_id, told, str(error), trouble=True)
            return
        asks = deque(interface.asks(target, wanted))
        told.silent.update(row.id for row in wanted)
        told.silent.difference_update(row.id for ask in asks for row in ask.rows)
        await self._ask_all(tenant_id, target, asks, told, goes_on)

    async def _ask_all(
        self,
        tenant_id: TenantId,
        target: Target,
        asks: deque[Ask[ClaimedConversion]],
        told: _Told,
        goes_on: Callable[[], bool],
    ) -> None:
        """Call until all is said, the provider is in trouble, or it shall not go on."""
        kind, calls, trouble, refused = told.provider.kind, 0, "", ""
        interface = INTERFACES[kind]
        while asks and not trouble and calls < CALLS_MAX and goes_on():
            now = [asks.popleft() for _ in range(min(interface.at_once, len(asks), CALLS_MAX - calls))]
            calls += len(now)
            for ask, outcome in zip(now, await asyncio.gather(*(self._ask(ask, told) for ask in now)), strict=True):
                verdict = interface.verdict(outcome, len(ask.rows))
                ids = [row.id for row in ask.rows]
                if verdict is Verdict.TAKEN:
                    self._told.labels(kind, "sent").inc(len(ids))
                    continue
                if verdict is Verdict.REFUSED and len(ids) > 1:
                    asks.extendleft(reversed(halves(interface, target, ask)))
                    continue
                error = _error(outcome, target.secret)
                told.refused |= dict.fromkeys(ids, error)
                self._told.labels(kind, "failed").inc(len(ids))
                if verdict is Verdict.TROUBLE:
                    trouble = error
                else:
                    refused = error
        if calls:
            await self._note(tenant_id, told, trouble or refused, trouble=bool(trouble))

    async def _ask(self, ask: Ask[ClaimedConversion], told: _Told) -> Outcome:
        outcome = await self._courier.post(ask.url, ask.body, within=WITHIN)
        if INTERFACES[told.provider.kind].verdict(outcome, len(ask.rows)) is Verdict.TAKEN:
            told.sent.update(row.id for row in ask.rows)  # at once: the calls beside it may be cut off
        return outcome

    async def _note(self, tenant_id: TenantId, told: _Told, error: str, *, trouble: bool) -> None:
        """Keep with the provider how it went."""
        provider_id = told.provider.id
        if trouble:
            _log.warning("%s: %s is in trouble: %s", tenant_id, provider_id, error)
            rest = pause(told.provider.failures + 1)
            told.rests_until = _in(rest)
            await self._written(
                lambda: queries.provider_failed(
                    self._db, tenant_id=tenant_id, provider_id=provider_id, error=error, pause=rest
                )
            )
        elif error:
            await self._written(
                lambda: queries.refused_by_provider(self._db, tenant_id=tenant_id, provider_id=provider_id, error=error)
            )
        else:
            await self._written(
                lambda: queries.provider_answered(self._db, tenant_id=tenant_id, provider_id=provider_id)
            )

    async def _settle(
        self, tenant_id: TenantId, claim: UUID, rows: Sequence[ClaimedConversion], told: Sequence[_Told], now: datetime
    ) -> bool:
        done: list[UUID] = []
        later: list[_Later] = []
        for row in rows:
            later_of = self._later(row, told)
            if later_of is None:
                done.append(row.id)
            elif later_of.retries >= RETRIES_MAX:
                done.append(row.id)
                for one in told:
                    if row.id in one.refused:
                        self._told.labels(one.provider.kind, "given_up").inc()
                _log.warning(
                    "%s: event %s is given up after %d tries: %s", tenant_id, row.id, RETRIES_MAX, later_of.error
                )
            else:
                later.append(later_of)
        if done:
            await self._written(lambda: queries.done(self._db, tenant_id=tenant_id, claim=claim, ids=done))
        if later:
            await self._written(
                lambda: queries.again(
                    self._db,
                    tenant_id=tenant_id,
                    claim=claim,
                    ids=[each.id for each in later],
                    failed=[each.failed for each in later],
                    sent=[each.sent for each in later],
                    retries=[each.retries for each in later],
                    errors=[each.error for each in later],
                    again_at=[now + each.again_in for each in later],
                )
            )
        return bool(done) or any(one.sent or one.refused for one in told)

    def _later(self, row: ClaimedConversion, told: Sequence[_Told]) -> "_Later | None":
        """When a row is tried again, and with whom; None: everybody has it who shall."""
        sent, error = list(row.providers_sent), ""
        failed, waits, again_in = False, False, timedelta(0)
        for one in told:
            own = str(one.provider.id)
            if own in sent or row.id in one.late or row.id in one.silent:
                continue
            if row.id in one.sent:
                sent.append(own)
                continue
            waits = True
            if row.id in one.refused:
                failed, error = True, one.refused[row.id]
            if one.rests_until is not None:
                again_in = max(again_in, timedelta(seconds=one.rests_until - time.monotonic()))
        if not waits:
            return None
        retries = row.retry_count - row.on_trial + failed  # we are alive: it is not what kills its workers
        if failed:
            again_in = max(again_in, backoff(retries))
        return _Later(
            id=row.id,
            failed=failed,
            sent=msgspec.json.encode(sent).decode(),
            retries=retries,
            error=error,
            again_in=again_in,
        )

    def _target(self, tenant_id: TenantId, provider: ProviderKeys) -> Target:
        """Raises SealBroken, SigningSecretMissing."""
        place = place_of(tenant_id, ProviderId(provider.id))
        return Target(
            base=self._bases.get(provider.kind, INTERFACES[provider.kind].base).rstrip("/"),
            account_id=provider.account_id,
            secret=Secret(self._keys.ring(PURPOSE).open(provider.secret, bound_to=place).decode()),
            test_event_code=provider.test_event_code,
        )


class _Later(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    failed: bool
    sent: str
    retries: int
    error: str
    again_in: timedelta


def _in(rest: timedelta | None) -> float | None:
    return None if rest is None else time.monotonic() + rest.total_seconds()


async def _cut_off(telling: "dict[asyncio.Task[None], _Told]") -> None:
    for task in telling:
        task.cancel()
    if telling:
        await asyncio.wait(telling)


def _error(outcome: Outcome, secret: Secret) -> str:
    """What went wrong, for staff. Some answers repeat the token that they refuse."""
    said = f"{outcome.error or 'its answer was not understood'}: {outcome.response_body or ''}".rstrip(": ")
    return said.replace(secret.reveal(), "…")[:ERROR_LENGTH_MAX]


def _say(what: str, error: Exception) -> None:
    if isinstance(error, StoreroomError):  # said in one line; anything else is a fault of ours, with its place
        _log.error("%s: %s (%s)", what, error, error.code)
    else:
        _log.error("%s failed", what, exc_info=error)
