"""All that a worker does, side by side: the schedule, asking providers, sending what waits, processing what came."""

import asyncio

from prometheus_client import CollectorRegistry

from storeroom.flows.inbound import HANDLERS
from storeroom.inbox import InboxProcessor
from storeroom.integration import Dispatcher
from storeroom.room import Storeroom
from storeroom.settings import Settings
from storeroom.worker.carriers import carrying
from storeroom.worker.model import Outcome
from storeroom.worker.schedule import asking, schedule
from storeroom.worker.service import Meters, Worker


async def work(
    room: Storeroom,
    stop: asyncio.Event,
    *,
    settings: Settings | None = None,
    registry: CollectorRegistry | None = None,
) -> None:
    """Work until `stop` is set, then finish what is under way.

    Args:
        room: any number of workers may work on one, in this process and in others.
        stop: set by whoever wants it to end.
        settings: of the installation (which jobs run, where mail goes, where webhooks may go); None: the defaults.
        registry: where the counters are shown; a registry takes one worker.
    """
    settings = settings or Settings()
    async with carrying(room, settings) as (courier, ours), asyncio.TaskGroup() as tasks:
        meters = Meters(registry)
        tasks.create_task(Worker(room.db, schedule=schedule(settings), meters=meters).run(stop), name="schedule")
        # By itself: a provider that does not answer keeps no reservation and no payment from expiring.
        asked = asking(room.token_keys, room.courier)
        tasks.create_task(Worker(room.db, schedule=asked, meters=meters).run(stop), name="asking")
        dispatcher = Dispatcher(room.db, courier, keys=room.token_keys, carriers=ours, registry=registry)
        tasks.create_task(dispatcher.run(stop), name="dispatcher")
        tasks.create_task(_inbox(room, registry).run(stop), name="inbox")


async def work_once(room: Storeroom, stop: asyncio.Event, *, settings: Settings | None = None) -> list[Outcome]:
    """Run each job once, process what came and send what is due; return what the jobs came to."""
    settings = settings or Settings()
    outcomes = await Worker(room.db, schedule=(*schedule(settings), *asking(room.token_keys, room.courier))).run_once(
        stop
    )
    if not stop.is_set():
        await _inbox(room).run_once()
        async with carrying(room, settings) as (courier, ours):
            await Dispatcher(room.db, courier, keys=room.token_keys, carriers=ours).run_once()
    return outcomes


def _inbox(room: Storeroom, registry: CollectorRegistry | None = None) -> InboxProcessor:
    return InboxProcessor(room.db, handlers=HANDLERS, tenants=room.tenants.cache, registry=registry)
