"""All that a worker does, side by side: the schedule, asking providers, sending what waits, processing what came."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry

from storeroom.conversions import ConversionSender, ProviderKind
from storeroom.core.errors import StoreroomError
from storeroom.flows.inbound import HANDLERS
from storeroom.inbox import InboxProcessor
from storeroom.integration import Courier, Dispatcher
from storeroom.room import Storeroom
from storeroom.settings import Settings
from storeroom.worker.carriers import carrying
from storeroom.worker.model import Outcome
from storeroom.worker.schedule import asking, asking_sap, schedule
from storeroom.worker.service import Meters, Worker

DRAIN_S: Final = 20.0  # what is under way may end by itself so long; then it is cut off and given back
BEGIN_AGAIN_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


async def work(
    room: Storeroom,
    stop: asyncio.Event,
    *,
    settings: Settings | None = None,
    registry: CollectorRegistry | None = None,
    drain_s: float = DRAIN_S,
) -> None:
    """Work until `stop` is set, then finish what is under way. A database that is away is waited for.

    Args:
        room: any number of workers may work on one, in this process and in others.
        stop: set by whoever wants it to end.
        settings: of the installation (which jobs run, where mail goes, where webhooks may go); None: the defaults.
        registry: where the counters are shown; a registry takes one worker.
        drain_s: what is under way when `stop` is set may last so long; then it is cut off, and is anybody's at once.
    """
    settings = settings or Settings()
    async with carrying(room, settings) as (courier, ours):
        meters = Meters(registry)
        jobs = {
            "schedule": schedule(settings, room.token_keys),
            # By itself: a provider that does not answer keeps no reservation and no payment from expiring.
            "asking": asking(room.token_keys, room.courier),
            # And a SAP that does not answer keeps no payment from being asked for.
            "asking_sap": asking_sap(room.token_keys, room.courier),
        }
        all_jobs = [job for part in jobs.values() for job in part]
        parts: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
            **{name: Worker(room.db, schedule=part, meters=meters, beside=all_jobs).run for name, part in jobs.items()},
            "dispatcher": Dispatcher(room.db, courier, keys=room.token_keys, carriers=ours, registry=registry).run,
            "inbox": _inbox(room, registry).run,
            "conversions": _sender(room, courier, settings, registry).run,
        }
        tasks = [asyncio.create_task(_again(name, run, stop), name=name) for name, run in parts.items()]
        try:
            await stop.wait()
            await asyncio.wait(tasks, timeout=drain_s)
        finally:
            late = [task for task in tasks if task.cancel()]
            if late:
                _log.warning("cut off after %g s: %s", drain_s, ", ".join(task.get_name() for task in late))
                await asyncio.wait(late)


async def _again(name: str, run: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    """A part that fails as a whole, as one that cannot listen to a database that is away, begins again."""
    while not stop.is_set():
        try:
            await run(stop)
        except StoreroomError as error:
            _log.error("%s: %s (%s)", name, error, error.code)
        except Exception:  # noqa: BLE001  # this is the edge: the other parts go on
            _log.exception("%s failed", name)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEGIN_AGAIN_S)


async def work_once(room: Storeroom, stop: asyncio.Event, *, settings: Settings | None = None) -> list[Outcome]:
    """Run each job once, process what came and send what is due; return what the jobs came to."""
    settings = settings or Settings()
    asked = (*asking(room.token_keys, room.courier), *asking_sap(room.token_keys, room.courier))
    jobs = (*schedule(settings, room.token_keys), *asked)
    outcomes = await Worker(room.db, schedule=jobs).run_once(stop)
    if not stop.is_set():
        await _inbox(room).run_once()
        async with carrying(room, settings) as (courier, ours):
            await Dispatcher(room.db, courier, keys=room.token_keys, carriers=ours).run_once()
            await _sender(room, courier, settings, None).run_once()
    return outcomes


def _inbox(room: Storeroom, registry: CollectorRegistry | None = None) -> InboxProcessor:
    return InboxProcessor(room.db, handlers=HANDLERS, tenants=room.tenants.cache, registry=registry)


def _sender(
    room: Storeroom, courier: Courier, settings: Settings, registry: CollectorRegistry | None
) -> ConversionSender:
    given = {ProviderKind.META: settings.meta_url, ProviderKind.GA4: settings.ga4_url}
    bases = {kind: url for kind, url in given.items() if url is not None}
    return ConversionSender(room.db, courier, keys=room.token_keys, bases=bases, registry=registry)
