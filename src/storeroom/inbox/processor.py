"""Processes what came: each message by its handler, in one transaction with the mark that it is done.

A message is claimed under a lease, one at a time, and its attempt is counted there. The handler's transaction begins by
locking the message and ends by completing it: what the handler did is committed with that, or not at all. So a worker
that is killed leaves nothing half done, and one that comes back late finds that its claim is gone.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as Total

from storeroom.core.clock import Clock, SystemClock
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import TenantId, new_id
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, TenantLookup, TenantSettings
from storeroom.inbox import queries
from storeroom.inbox.model import (
    ERROR_LENGTH_MAX,
    HANDLING_MAX,
    LEASE,
    RESULT_BYTES_MAX,
    WAIT_MAX,
    CountedStatus,
    Handled,
    Handler,
    Handlers,
    InboxMessage,
    InboxStatus,
    backoff,
)
from storeroom.inbox.service import clean
from storeroom.outbox import CHANNEL

POLL_S: Final = 1.0  # between two looks, where nobody wakes us
COUNT_EVERY_S: Final = 15.0  # how old the depths in the metrics are at most
AT_ONCE: Final = 4  # messages in one process
OF_TENANT_AT_ONCE: Final = 2
TENANTS_AT_ONCE: Final = 200

_log: Final = logging.getLogger(__name__)


class _Lost(Exception):
    """Somebody else has the message by now."""


class InboxProcessor:
    """One processor. Any number may run on one database, in this process and in others."""

    def __init__(
        self,
        db: Database,
        *,
        handlers: Handlers,
        tenants: TenantLookup[TenantSettings],
        lease: timedelta = LEASE,
        clock: Clock | None = None,
        wait: Callable[[int], timedelta] = backoff,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Nothing is processed yet.

        Args:
            db: of the room.
            handlers: by source and type; what none is registered for is skipped.
            tenants: where the settings of shops are looked up.
            lease: of a claim; longer than any handler may take.
            clock: for tests.
            wait: how long after so many attempts.
            registry: where the counters are shown.
        """
        self._db, self._handlers, self._tenants, self._lease, self._wait = db, handlers, tenants, lease, wait
        self._clock = clock or SystemClock()
        self._sources = frozenset(source for source, _ in handlers)
        self._busy: dict[asyncio.Task[None], TenantId] = {}  # the drains that run, each with its shop
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._counted_at = float("-inf")
        self._done = Total(
            "storeroom_inbox_processed",
            "Messages by what became of an attempt.",
            ["source", "outcome"],
            registry=registry,
        )
        self._depth = Gauge("storeroom_inbox_depth", "Messages by state.", ["status"], registry=registry)
        self._oldest = Gauge(
            "storeroom_inbox_oldest_seconds", "Age of the oldest message of a state.", ["status"], registry=registry
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Process until `stop` is set; then take no more, and finish what is under way."""
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
                    _say("looking into the inbox", error)
                waking = asyncio.create_task(woken.wait())
                try:
                    await asyncio.wait({waking, stopping}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
        finally:
            stopping.cancel()
            await listener.close()
            await asyncio.gather(*self._busy, return_exceptions=True)

    async def run_once(self) -> None:
        """Process all that is due now, once; what fails is due later."""
        stop = asyncio.Event()
        while await self._look(stop) or self._busy:
            await asyncio.gather(*self._busy)

    async def _look(self, stop: asyncio.Event) -> int:
        """Give each shop that has something due as many drains as it may have; return how many were begun.

        Also where one runs already: it may sit in a handler that hangs, and what came meanwhile does not wait for it.
        """
        begun, due = 0, await queries.tenants_with_due(self._db, wait_max=WAIT_MAX, size=TENANTS_AT_ONCE)
        running = Counter(self._busy.values())
        for tenant_id in due if not stop.is_set() else ():
            for _ in range(OF_TENANT_AT_ONCE - running[tenant_id]):
                drain = asyncio.create_task(self._drain(tenant_id, stop), name=f"inbox of {tenant_id}")
                self._busy[drain] = tenant_id
                drain.add_done_callback(self._busy.pop)
                begun += 1
        return begun

    async def _drain(self, tenant_id: TenantId, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                async with self._slots:
                    if not await self.process_next(tenant_id):
                        return
        except Exception as error:  # noqa: BLE001  # one shop's trouble is not another's
            _say(f"the inbox of {tenant_id}", error)

    async def process_next(self, tenant_id: TenantId) -> bool:
        """Take the oldest message of a shop that is due, and have it handled; False where there is none."""
        claim = new_id()
        message = await queries.claim(self._db, tenant_id=tenant_id, claim=claim, lease=self._lease, wait_max=WAIT_MAX)
        if message is None:
            return False
        try:
            async with asyncio.timeout(HANDLING_MAX.total_seconds()):
                outcome = await self._db.run(partial(self._handle, tenant_id=tenant_id, claim=claim, message=message))
        except _Lost:
            outcome = "lost"
        except Exception as error:  # noqa: BLE001  # whatever a handler raises ends here, and is kept with its message
            _say(f"message {message.id} of {message.source}", error)
            status = await queries.give_back(
                self._db,
                tenant_id=tenant_id,
                message_id=message.id,
                claim=claim,
                error=_told(error),
                again_in=self._wait(message.attempts),
            )
            outcome = "lost" if status is None else "failed" if status is InboxStatus.FAILED else "retried"
        self._done.labels(message.source if message.source in self._sources else "other", outcome).inc()
        return True

    async def _handle(self, tx: Transaction, *, tenant_id: TenantId, claim: Any, message: InboxMessage) -> str:
        if not await queries.hold(tx, tenant_id=tenant_id, message_id=message.id, claim=claim):
            raise _Lost
        handler = self._handler(message)
        if handler is None:
            handled = Handled(result={"reason": "nobody handles this type"}, skipped=True)
        else:
            actor = Actor(kind=ActorKind.WEBHOOK, name=message.source)
            context = Context(db=tx, tenant_id=tenant_id, tenants=self._tenants, actor=actor, clock=self._clock)
            handled = await handler(context, message)
        status = InboxStatus.SKIPPED if handled.skipped else InboxStatus.COMPLETED
        if not await queries.complete(
            tx,
            tenant_id=tenant_id,
            message_id=message.id,
            claim=claim,
            status=status,
            result=_bounded(handled.result),
            order_id=handled.order_id,
            payment_id=handled.payment_id,
            fulfillment_id=handled.fulfillment_id,
        ):
            raise _Lost
        return status.value

    def _handler(self, message: InboxMessage) -> Handler | None:
        of_type = self._handlers.get((message.source, message.webhook_type))
        return of_type or self._handlers.get((message.source, "*"))

    async def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._counted_at < COUNT_EVERY_S:
            return
        self._counted_at = now
        found = {depth.status: depth for depth in await queries.depths_of_all(self._db)}
        for status in CountedStatus:
            depth = found.get(status)
            self._depth.labels(status.value).set(0 if depth is None else depth.rows)
            age_s = 0.0 if depth is None or depth.age is None else depth.age.total_seconds()
            self._oldest.labels(status.value).set(max(age_s, 0))


def _bounded(result: dict[str, Any]) -> Any:
    kept = msgspec.to_builtins(result)
    size = len(msgspec.json.encode(kept))
    return clean(kept) if size <= RESULT_BYTES_MAX else {"left_out": f"{size} bytes"}


def _told(error: Exception) -> str:
    kind = error.code if isinstance(error, StoreroomError) else type(error).__name__
    return f"{kind}: {error}".rstrip(": ").replace("\x00", "").encode("utf-8", "replace").decode()[:ERROR_LENGTH_MAX]


def _say(what: str, error: Exception) -> None:
    if isinstance(error, StoreroomError):  # said in one line; anything else is a fault of ours, with its place
        _log.error("%s: %s (%s)", what, error, error.code)
    else:
        _log.error("%s failed", what, exc_info=error)
