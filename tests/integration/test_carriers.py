"""What our own carriers bring is queued, tried and given up like a webhook."""

import asyncio
from uuid import uuid4

import msgspec
from test_delivery import due_now, tell

from storeroom.core.ids import TenantId
from storeroom.integration import Claimed, Courier, Dispatcher, Outcome, WebhookStatus
from storeroom.room import Shop, Storeroom

SOON_S = 60.0  # eight failures in a row make a destination rest for twice as long


class Basket(msgspec.Struct):
    """Keeps what it is brought, and answers as told."""

    destination: str = "basket"
    event_types: frozenset[str] = frozenset({"order.placed"})
    keeps_order: bool = False
    in_flight_max: int = 4
    wanted: bool | None = True  # None: it cannot say
    answers: list[Outcome | Exception] = msgspec.field(default_factory=list)
    brought: list[Claimed] = msgspec.field(default_factory=list)

    async def wants(self, tenant_id: TenantId) -> bool:
        assert tenant_id
        if self.wanted is None:
            raise ZeroDivisionError("in a carrier")
        return self.wanted

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        assert tenant_id
        self.brought.append(row)
        answer = self.answers.pop(0) if self.answers else Outcome(duration_ms=1)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sends(house: Storeroom, courier: Courier, *baskets: Basket) -> Dispatcher:
    return Dispatcher(house.db, courier, keys=house.token_keys, carriers=baskets)


async def test_a_carrier_gets_the_events_it_hears_of_once(house: Storeroom, outlet: Shop, courier: Courier) -> None:
    hears, deaf = Basket(), Basket(destination="deaf", wanted=False)
    dispatcher = sends(house, courier, hears, deaf)
    event = await tell(outlet, n=7)
    await tell(outlet, "payment.completed")
    await dispatcher.run_once()
    await dispatcher.run_once()
    assert [(row.delivery_id, row.event_type, row.payload, row.entity_type) for row in hears.brought] == [
        (event, "order.placed", {"n": 7}, "order")
    ]
    assert deaf.brought == []


async def test_what_fails_is_brought_again_and_what_cannot_help_is_given_up(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    fault = ZeroDivisionError("in a carrier")
    basket = Basket(
        answers=[fault, Outcome(duration_ms=1, error="not now"), Outcome(duration_ms=1, error="never", final=True)]
    )
    dispatcher = sends(house, courier, basket)
    await tell(outlet)
    for _ in range(5):
        await dispatcher.run_once()
        await due_now(outlet)
    given_up = (await outlet.webhooks.list(status=WebhookStatus.FAILED)).items
    assert [(row.destination, row.attempts, row.last_error) for row in given_up] == [("basket", 3, "never")]
    errors = [each.error for each in await outlet.webhooks.attempts(webhook_id=given_up[0].id)]
    assert errors == ["ZeroDivisionError", "not now", "never"]
    assert len(basket.brought) == 3


async def test_whatever_a_carrier_was_told_is_written_down(house: Storeroom, outlet: Shop, courier: Courier) -> None:
    said = "no\ud800\x00t now" + "x" * 100_000
    basket = Basket(
        answers=[
            Outcome(duration_ms=1, error=said, response_body=said),
            RuntimeError("in a carrier"),
            Outcome(duration_ms=1, response_body=said),
        ]
    )
    await tell(outlet)
    for _ in range(4):
        await sends(house, courier, basket).run_once()
        await due_now(outlet)
    assert len(basket.brought) == 3
    page = await outlet.webhooks.list(status=WebhookStatus.SUCCESS)
    (row,) = (each for each in page.items if each.destination == "basket")
    assert row.response_body == "no?t now" + "x" * 1_992


async def test_rows_of_a_carrier_are_left_to_those_who_have_it(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    """Neither a dispatcher without it nor a program that takes webhooks gets them."""
    basket = Basket(answers=[Outcome(duration_ms=1, error="not now")])
    event = await tell(outlet)
    await sends(house, courier, basket).run_once()
    await due_now(outlet)
    await sends(house, courier).run_once()
    assert (await outlet.webhooks.dequeue(limit=10)).webhooks == []
    assert len(basket.brought) == 1
    await sends(house, courier, basket).run_once()
    assert [row.delivery_id for row in basket.brought] == [event, event]


async def test_rows_of_one_entity_keep_their_order_where_the_carrier_asks(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    basket = Basket(keeps_order=True, answers=[Outcome(duration_ms=1, error="not now")])
    entity = uuid4()
    for n in range(3):
        await tell(outlet, entity_id=entity, n=n)
    dispatcher = sends(house, courier, basket)
    await dispatcher.run_once()
    await due_now(outlet)
    await dispatcher.run_once()
    assert [row.payload["n"] for row in basket.brought] == [0, 0, 1, 2]


async def test_a_carrier_that_cannot_say_whether_it_is_wanted_holds_up_nobody(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    torn, sound = Basket(destination="torn", wanted=None), Basket()
    event = await tell(outlet)
    await sends(house, courier, torn, sound).run_once()
    assert [row.delivery_id for row in torn.brought] == [row.delivery_id for row in sound.brought] == [event]


async def test_a_database_that_was_away_is_nothing_against_the_destination(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    """Everything under way fails with it; once it is back, nothing rests."""
    together = asyncio.Barrier(8)

    class Cut(Basket):
        async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
            if len(self.brought) < together.parties:
                self.brought.append(row)
                await together.wait()
                await house.db.execute(
                    "SELECT set_config('role', 'none', TRUE), pg_terminate_backend(pg_backend_pid())"
                )
            return await super().carry(tenant_id, row)

    async def rows(status: WebhookStatus, attempts: int) -> int:
        found = (await outlet.webhooks.list(status=status)).items
        return sum((each.destination, each.attempts) == ("basket", attempts) for each in found)

    basket, stop = Cut(in_flight_max=8), asyncio.Event()
    for _ in range(8):
        await tell(outlet)
    running = asyncio.create_task(sends(house, courier, basket).run(stop))
    async with asyncio.timeout(SOON_S):
        while await rows(WebhookStatus.PENDING, attempts=1) < 8:
            await asyncio.sleep(0.01)
        await due_now(outlet)
        while await rows(WebhookStatus.SUCCESS, attempts=2) < 8:
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert len(basket.brought) == 16
