"""All that a worker does, side by side: the schedule, asking providers, and sending what is queued."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from storeroom.core.networks import Network
from storeroom.integration import Courier, Dispatcher
from storeroom.room import Storeroom
from storeroom.worker.model import Job, Outcome
from storeroom.worker.schedule import SCHEDULE, asking
from storeroom.worker.service import Worker


async def work(
    room: Storeroom,
    stop: asyncio.Event,
    *,
    jobs: Sequence[Job] = SCHEDULE,
    allowed: Sequence[Network] = (),
    registry: CollectorRegistry | None = None,
) -> None:
    """Work until `stop` is set, then finish what is under way.

    Args:
        room: any number of workers may work on one, in this process and in others.
        stop: set by whoever wants it to end.
        jobs: what to run, and how often: `schedule(settings)`.
        allowed: networks that webhooks may be sent to although they are not public.
        registry: where the counters are shown; a registry takes one worker.
    """
    async with Courier(allowed=allowed) as courier, asyncio.TaskGroup() as tasks:
        tasks.create_task(Worker(room.db, schedule=jobs, registry=registry).run(stop), name="schedule")
        # By itself: a provider that does not answer keeps no reservation and no payment from expiring.
        tasks.create_task(Worker(room.db, schedule=asking(room.token_keys)).run(stop), name="asking")
        dispatcher = Dispatcher(room.db, courier, keys=room.token_keys, registry=registry)
        tasks.create_task(dispatcher.run(stop), name="dispatcher")


async def work_once(
    room: Storeroom, stop: asyncio.Event, *, jobs: Sequence[Job] = SCHEDULE, allowed: Sequence[Network] = ()
) -> list[Outcome]:
    """Run each job once and send what is due; return what the jobs came to."""
    outcomes = await Worker(room.db, schedule=(*jobs, *asking(room.token_keys))).run_once(stop)
    if not stop.is_set():
        async with Courier(allowed=allowed) as courier:
            await Dispatcher(room.db, courier, keys=room.token_keys).run_once()
    return outcomes
