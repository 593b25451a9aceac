"""A worker that is told to stop: what is under way may end, for so long; the rest is anybody's at once."""

import asyncio

import pytest

from receiver import hang, receiving, status
from storeroom.core.networks import networks
from storeroom.integration import Dispatcher, WebhookStatus
from storeroom.room import Shop, Storeroom
from storeroom.settings import Settings
from storeroom.worker import work

DRAIN_S = 0.5
LOOPBACK = networks("127.0.0.0/8")


@pytest.fixture
def settings_here() -> Settings:
    return Settings(private_destinations=LOOPBACK)


async def stopped(house: Storeroom, stop: asyncio.Event, working: "asyncio.Task[None]") -> float:
    now = asyncio.get_running_loop().time
    began = now()
    stop.set()
    await asyncio.wait_for(working, 60)
    return now() - began


async def test_what_does_not_end_in_time_is_given_back(
    house: Storeroom, outlet: Shop, dispatcher: Dispatcher, settings_here: Settings
) -> None:
    """The receiver hangs for longer than anyone waits: the worker ends, the row is due, and its attempt is not counted."""
    stop = asyncio.Event()
    async with receiving(hang) as receiver:
        sent = await outlet.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={"n": 1})
        working = asyncio.create_task(work(house, stop, settings=settings_here, drain_s=DRAIN_S))
        await receiver.heard(1)
        assert await stopped(house, stop, working) >= DRAIN_S
        row = await outlet.webhooks.get(webhook_id=sent.id)
        assert (row.status, row.attempts) == (WebhookStatus.PENDING, 0)
        (cut_off,) = await outlet.webhooks.attempts(webhook_id=sent.id)
        assert (cut_off.attempt, cut_off.error) == (1, "the worker that sent it stopped")
        assert cut_off.duration_ms >= DRAIN_S * 1000
        assert await house.db.fetchval("SELECT count(*) FROM scheduled_jobs WHERE claim IS NOT NULL") == 0
        receiver.answer = status(204)
        await dispatcher.run_once()
        assert receiver.ids == [str(sent.id)] * 2


async def test_what_ends_in_time_has_ended(house: Storeroom, outlet: Shop, settings_here: Settings) -> None:
    stop, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_: object, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        writer.write(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n")

    async with receiving(slow) as receiver:
        sent = await outlet.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})
        working = asyncio.create_task(work(house, stop, settings=settings_here))
        await receiver.heard(1)
        stop.set()
        may_answer.set()
        await stopped(house, stop, working)
    row = await outlet.webhooks.get(webhook_id=sent.id)
    assert (row.status, row.attempts) == (WebhookStatus.SUCCESS, 1)


async def test_a_part_that_cannot_begin_begins_again(house: Storeroom, outlet: Shop, settings_here: Settings) -> None:
    """Started while nobody may listen: the database refuses the connection, and takes the next one."""
    stop = asyncio.Event()
    direct, house.db.direct_dsn = house.db.direct_dsn, "postgresql://postgres@/x?host=/nonexistent"
    async with receiving() as receiver:
        await outlet.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})
        working = asyncio.create_task(work(house, stop, settings=settings_here))
        async with asyncio.timeout(60):
            while not await house.db.fetchval("SELECT sum(runs) > 5 FROM scheduled_jobs"):
                await asyncio.sleep(0.02)
        assert not working.done()
        assert receiver.requests == []
        house.db.direct_dsn = direct
        await receiver.heard(1)
        stop.set()
        await asyncio.wait_for(working, 60)
