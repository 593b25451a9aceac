"""What is queued arrives, whatever the receiver does in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from factories import open_shop
from ports import free_port
from receiver import Receiver, Request, drip, garbage, hang, ok, receiving, reset, status
from storeroom import outbox
from storeroom.core.clock import SystemClock
from storeroom.core.ids import WebhookId
from storeroom.database.executor import Executor
from storeroom.database.pool import Database
from storeroom.integration import (
    Courier,
    Dispatcher,
    Endpoint,
    EndpointChanges,
    WebhookNotRetriable,
    WebhookStatus,
    queries,
)
from storeroom.room import Shop, Storeroom


async def tell(shop: Shop, event_type: str = "order.placed", *, entity_id: object = None, n: int = 0) -> WebhookId:
    async with shop.transaction() as tx:
        return await outbox.enqueue(
            tx.context.db,
            tenant_id=shop.tenant_id,
            event_type=event_type,
            payload={"n": n},
            entity_type="order",
            entity_id=entity_id or uuid4(),  # type: ignore[arg-type]
        )


async def due_now(shop: Shop) -> None:
    """Let all that waits be due, and no endpoint rest."""
    db = shop.context.db
    await db.execute("UPDATE webhook_queue SET next_attempt_at = now() WHERE status = 'pending'")
    await db.execute("UPDATE webhook_endpoints SET paused_until = NULL")


async def endpoint(shop: Shop, receiver: Receiver, **settings: object) -> tuple[Endpoint, str]:
    made, secret = await shop.endpoints.create(name="there", url=receiver.url, **settings)  # type: ignore[arg-type]
    return made, secret.reveal()


@pytest.mark.requirement("CED-OP-040", "CED-WQ-02", "SBB-WOUT-04")
async def test_an_event_reaches_its_endpoint_signed(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving() as receiver:
        _, secret = await endpoint(outlet, receiver, event_types=["order.*"])
        event = await tell(outlet, n=7)
        await tell(outlet, "payment.completed")
        await dispatcher.run_once()
    assert [request.json["data"] for request in receiver.requests] == [{"n": 7}]
    request = receiver.requests[0]
    assert request.id == str(event)
    assert request.json["type"] == "order.placed"
    Verifier(secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(request.body.replace(b"7", b"8"), request.headers)
    page = await outlet.webhooks.list(status=WebhookStatus.SUCCESS)
    sent = next(row for row in page.items if row.endpoint_id is not None)
    assert (sent.response_status, sent.response_body, sent.attempts) == (200, "ok", 1)
    assert sent.completed_at is not None


@pytest.mark.requirement("SBB-WOUT-07")
async def test_what_is_rolled_back_is_told_to_nobody(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving() as receiver:
        await endpoint(outlet, receiver)
        with pytest.raises(ZeroDivisionError):
            async with outlet.transaction() as tx:
                await outbox.enqueue(
                    tx.context.db,
                    tenant_id=outlet.tenant_id,
                    event_type="order.placed",
                    payload={},
                    entity_type="order",
                    entity_id=uuid4(),
                )
                raise ZeroDivisionError
        await tell(outlet, n=1)
        await dispatcher.run_once()
        assert [request.json["data"]["n"] for request in receiver.requests] == [1]


async def test_each_endpoint_gets_what_it_asked_for_once(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving() as everything, receiving() as payments, receiving() as nothing:
        await endpoint(outlet, everything)
        await endpoint(outlet, payments, event_types=["payment.completed", "payment.refunded"])
        await endpoint(outlet, nothing, is_active=False)
        events = [await tell(outlet), await tell(outlet, "payment.completed")]
        await dispatcher.run_once()
        await dispatcher.run_once()
        assert sorted(everything.ids) == sorted(map(str, events))
        assert payments.ids == [str(events[1])]
        assert nothing.ids == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(500, b"no"), "answered 500"),
        (status(302, b"", "location: http://127.0.0.1:1/elsewhere"), "redirects are not followed"),
        (garbage, "Protocol"),
        (reset, "Error"),
        (hang, "no answer within 1 s"),
        (drip, "no answer within 1 s"),
    ],
    ids=["500", "redirect", "garbage", "reset", "hang", "drip"],
)
@pytest.mark.requirement("CED-OP-041", "CED-WQ-05")
async def test_a_receiver_that_fails_gets_it_again_under_the_same_id(
    outlet: Shop, dispatcher: Dispatcher, answer: object, said: str
) -> None:
    async with receiving(answer) as receiver:  # type: ignore[arg-type]
        made, _ = await endpoint(outlet, receiver, timeout_seconds=1 if answer in (hang, drip) else 30)
        event = await tell(outlet)
        await dispatcher.run_once()
        waiting = (await outlet.webhooks.list(status=WebhookStatus.PENDING)).items
        assert [row.attempts for row in waiting] == [1]
        assert said in str(waiting[0].last_error)
        assert waiting[0].next_attempt_at > waiting[0].created_at + timedelta(seconds=5)
        receiver.answer = status(204)
        await outlet.endpoints.update(endpoint_id=made.id, changes=EndpointChanges(timeout_seconds=30))
        await due_now(outlet)
        await dispatcher.run_once()
        assert receiver.ids == [str(event)] * 2
        row = await outlet.webhooks.get(webhook_id=waiting[0].id)
        assert (row.status, row.attempts, row.last_error) == (WebhookStatus.SUCCESS, 2, None)
        tries = await outlet.webhooks.attempts(webhook_id=row.id)
        assert [attempt.attempt for attempt in tries] == [1, 2]
        assert [attempt.error is None for attempt in tries] == [False, True]


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_worker_whose_clock_is_wrong_tries_and_rests_as_all_others(
    outlet: Shop, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """What is due, and until when an endpoint rests, is told by the clock of the database alone."""
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(hours=hours))
    db = outlet.context.db
    async with receiving(status(500)) as receiver:
        await endpoint(outlet, receiver)
        (direct,) = [await outlet.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})]
        leased = await outlet.webhooks.mark_processing(webhook_id=direct.id)
        await outlet.webhooks.mark_failed(webhook_id=direct.id, claim=leased.claim, error="no")
        await tell(outlet)
        await dispatcher.run_once()
        await dispatcher.run_once()
        assert len(receiver.requests) == 1
        in_a_minute = "SELECT count(*) FROM webhook_queue WHERE status = 'pending' AND next_attempt_at BETWEEN now() AND now() + interval '1 minute'"
        assert await db.fetchval(in_a_minute) == 2
        await due_now(outlet)
        await db.execute("UPDATE webhook_endpoints SET paused_until = now() + interval '1 hour'")
        await dispatcher.run_once()
        assert len(receiver.requests) == 2  # the one that goes to no endpoint


async def test_a_receiver_that_dies_and_comes_back(outlet: Shop, dispatcher: Dispatcher) -> None:
    port = free_port()  # nobody else begins to listen there meanwhile
    async with receiving(port=port) as receiver:
        await endpoint(outlet, receiver)
    await tell(outlet)
    await dispatcher.run_once()
    async with receiving(port=port) as receiver:
        await due_now(outlet)
        await dispatcher.run_once()
        assert len(receiver.requests) == 1


@pytest.mark.requirement("CED-OP-041", "SBB-WOUT-04", "CED-OP-044")
async def test_out_of_attempts_it_is_a_dead_letter_which_staff_send_again(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving(status(500, b"never")) as receiver:
        await endpoint(outlet, receiver, max_attempts=3)
        await tell(outlet)
        for _ in range(5):
            await due_now(outlet)
            await dispatcher.run_once()
        assert len(receiver.requests) == 3
        dead = (await outlet.webhooks.list(status=WebhookStatus.FAILED)).items[0]
        assert (dead.attempts, dead.response_status, dead.response_body) == (3, 500, "never")
        assert dead.completed_at is not None
        receiver.answer = status(200)
        again = await outlet.webhooks.retry(webhook_id=dead.id)
        assert (again.status, again.attempts) == (WebhookStatus.PENDING, 0)
        await dispatcher.run_once()
        assert (await outlet.webhooks.get(webhook_id=dead.id)).status is WebhookStatus.SUCCESS
        assert len(await outlet.webhooks.attempts(webhook_id=dead.id)) == 4


async def test_a_new_secret_signs_beside_the_one_before(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving() as receiver:
        made, old = await endpoint(outlet, receiver)
        new = await outlet.endpoints.change_secret(endpoint_id=made.id)
        await tell(outlet)
        await dispatcher.run_once()
        for secret in (old, new.reveal()):
            Verifier(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)
        await outlet.endpoints.drop_previous_secret(endpoint_id=made.id)
        await tell(outlet)
        await dispatcher.run_once()
        with pytest.raises(WebhookVerificationError):
            Verifier(old).verify(receiver.requests[1].body, receiver.requests[1].headers)
        Verifier(new.reveal()).verify(receiver.requests[1].body, receiver.requests[1].headers)


async def test_the_secret_stands_nowhere_in_clear(outlet: Shop) -> None:
    async with receiving() as receiver:
        _, secret = await endpoint(outlet, receiver)
    db = outlet.context.db
    for table in ("webhook_endpoints", "audit_logs"):
        written = await db.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} t")
        assert secret.removeprefix("whsec_") not in written


async def test_the_next_event_of_an_entity_waits_for_the_one_before(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving(status(500)) as receiver:
        await endpoint(outlet, receiver, keeps_order=True)
        order, other = uuid4(), uuid4()
        first, second = await tell(outlet, entity_id=order), await tell(outlet, "order.paid", entity_id=order)
        third = await tell(outlet, entity_id=other)
        await dispatcher.run_once()
        assert sorted(receiver.ids) == sorted([str(first), str(third)])
        receiver.answer = status(200)
        for _ in range(2):
            await due_now(outlet)
            await dispatcher.run_once()
        ids = receiver.ids
        assert ids.index(str(second)) > max(n for n, id_ in enumerate(ids) if id_ == str(first))


async def test_the_next_event_waits_while_another_worker_fans_out_the_one_before(
    house: Storeroom, outlet: Shop, dispatcher: Dispatcher
) -> None:
    async with receiving() as receiver:
        await endpoint(outlet, receiver, keeps_order=True)
        order = uuid4()
        first = await tell(outlet, entity_id=order)
        async with house.db.transaction() as other_worker:
            fanned_out = await queries.fan_out(
                other_worker, tenant_id=outlet.tenant_id, destinations=[], event_types=[], size=1
            )
            assert fanned_out == 1
            second = await tell(outlet, "order.paid", entity_id=order)
            await dispatcher.run_once()
            assert await house.db.fetchval("SELECT status::text FROM webhook_queue WHERE id = $1", second) == "success"
            assert receiver.requests == []
        await dispatcher.run_once()
        assert receiver.ids == [str(first), str(second)]


async def test_an_endpoint_that_keeps_failing_rests(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving(status(503)) as receiver:
        made, _ = await endpoint(outlet, receiver, in_flight_max=1)
        for n in range(8):
            await tell(outlet, n=n)
        await dispatcher.run_once()
        assert len(receiver.requests) == 5
        resting = await outlet.endpoints.get(endpoint_id=made.id)
        assert resting.failures == 5
        assert resting.paused_until is not None
        await dispatcher.run_once()
        assert len(receiver.requests) == 5
        receiver.answer = status(200)
        await outlet.endpoints.update(endpoint_id=made.id, changes=EndpointChanges(in_flight_max=4))
        await dispatcher.run_once()
        assert len(receiver.requests) == 8
        assert (await outlet.endpoints.get(endpoint_id=made.id)).failures == 0


@pytest.mark.parametrize("hanging", [1, 3])
async def test_some_that_hang_hold_up_no_other_of_their_destination(
    outlet: Shop, dispatcher: Dispatcher, hanging: int
) -> None:
    may_answer, stop = asyncio.Event(), asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.json["data"]["n"] < hanging:
            await may_answer.wait()
        await ok(request, writer)

    async with receiving(answer) as receiver:
        await endpoint(outlet, receiver, in_flight_max=4, timeout_seconds=60)
        running = asyncio.create_task(dispatcher.run(stop))
        for n in range(hanging):
            await tell(outlet, n=n)
        await receiver.heard(hanging)
        for n in range(hanging, 6):  # and one after the other, so that each is claimed by itself
            await tell(outlet, n=n)
            await receiver.heard(n + 1, within_s=30)  # and long before those that hang are given up
        stop.set()
        may_answer.set()
        await running
    page = await outlet.webhooks.list(status=WebhookStatus.SUCCESS)
    assert sum(row.endpoint_id is not None for row in page.items) == 6


@pytest.fixture
def reads_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is read again before each claim, not once a second."""
    monkeypatch.setattr("storeroom.integration.dispatcher.ENDPOINT_KEPT_S", 0.0)


@asynccontextmanager
async def held_at_the_first(outlet: Shop, dispatcher: Dispatcher) -> AsyncIterator[tuple[Receiver, Endpoint, str]]:
    """Four events for an endpoint that takes one at a time; the first is under way within, and answered at the end."""
    may_answer = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await ok(request, writer)

    async with receiving(answer) as receiver:
        made, secret = await endpoint(outlet, receiver, in_flight_max=1)
        await outlet.endpoints.change_secret(endpoint_id=made.id)
        for n in range(4):
            await tell(outlet, n=n)
        sending = asyncio.create_task(dispatcher.run_once())
        await receiver.heard(1)
        yield receiver, made, secret
        may_answer.set()
        await sending


@pytest.mark.usefixtures("reads_often")
async def test_an_endpoint_that_is_switched_off_gets_no_more_of_what_waits(
    outlet: Shop, dispatcher: Dispatcher
) -> None:
    async with held_at_the_first(outlet, dispatcher) as (receiver, made, _):
        await outlet.endpoints.update(endpoint_id=made.id, changes=EndpointChanges(is_active=False))
    assert len(receiver.requests) == 1
    assert len((await outlet.webhooks.list(status=WebhookStatus.PENDING)).items) == 3


@pytest.mark.usefixtures("reads_often")
async def test_a_new_address_and_a_dropped_secret_hold_for_what_waits(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving() as elsewhere:
        async with held_at_the_first(outlet, dispatcher) as (receiver, made, old):
            await outlet.endpoints.update(endpoint_id=made.id, changes=EndpointChanges(url=elsewhere.url))
            await outlet.endpoints.drop_previous_secret(endpoint_id=made.id)
        assert len(receiver.requests) == 1
        Verifier(old).verify(receiver.requests[0].body, receiver.requests[0].headers)
        assert len(elsewhere.requests) == 3
        for request in elsewhere.requests:
            with pytest.raises(WebhookVerificationError):
                Verifier(old).verify(request.body, request.headers)


async def test_ten_thousand_rows_for_a_dead_endpoint_delay_nobody(outlet: Shop, courier: Courier) -> None:
    """Another endpoint's event arrives at once while they are fanned out, while they are tried, and while they wait."""
    may_answer = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await ok(request, writer)

    async with receiving(answer) as dead, receiving() as alive:
        await endpoint(outlet, dead, event_types=["order.dead"], timeout_seconds=60)
        await endpoint(outlet, alive, event_types=["order.alive"])
        await outlet.context.db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload) "
            "SELECT $1, gen_random_uuid(), 'webhooks', 'order.dead', '{}' FROM generate_series(1, 10000)",
            outlet.tenant_id,
        )
        stop = asyncio.Event()
        sender = Dispatcher(outlet.context.db, courier, keys=outlet.endpoints._keys)  # type: ignore[arg-type]
        running = asyncio.create_task(sender.run(stop))
        await dead.heard(8)
        loop = asyncio.get_running_loop()
        waits = []
        for n in range(1, 10):
            began = loop.time()
            await tell(outlet, "order.alive")
            await alive.heard(n)
            waits.append(loop.time() - began)
        stop.set()
        may_answer.set()
        await running
    assert median(waits) < 1, waits
    assert max(waits) < 20, waits  # a machine may stand still once; of the 10,000 eight take 60 s


async def test_the_events_of_one_shop_keep_no_other_waiting_and_a_stop_is_heard(
    house: Storeroom, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand of the shop that comes first wait to be fanned out before the one of the other is told."""
    monkeypatch.setattr("storeroom.integration.dispatcher.FAN_OUT_SIZE", 50)  # many looks, one of which ends our wait
    busy, calm = sorted([await open_shop(house), await open_shop(house)], key=lambda shop: shop.tenant_id)
    stop, db = asyncio.Event(), house.db
    async with receiving() as receiver:
        await endpoint(busy, receiver, event_types=["order.unheard"])
        await endpoint(calm, receiver)
        await db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload) "
            "SELECT $1, gen_random_uuid(), 'webhooks', 'order.placed', '{}' FROM generate_series(1, 10000)",
            busy.tenant_id,
        )
        await tell(calm)
        running = asyncio.create_task(dispatcher.run(stop))
        await receiver.heard(1)
        stop.set()
        await running
    assert await db.fetchval("SELECT count(*) FROM webhook_queue WHERE status = 'pending'") > 0


async def test_many_that_hang_take_no_place_from_one_that_answers(house: Storeroom, dispatcher: Dispatcher) -> None:
    may_answer, stop = asyncio.Event(), asyncio.Event()

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await ok(_, writer)

    async with receiving(answer) as dead, receiving() as alive:
        for shop in [await open_shop(house) for _ in range(2)]:
            for n in range(40):
                url = f"{dead.url}/{n}"
                await shop.endpoints.create(name="there", url=url, timeout_seconds=60)
            await tell(shop)
        calm = await open_shop(house)
        await endpoint(calm, alive)
        running = asyncio.create_task(dispatcher.run(stop))
        await dead.heard(64)
        await tell(calm)
        await alive.heard(1, within_s=45)
        stop.set()
        may_answer.set()
        await running


async def test_what_does_not_fit_a_look_is_seen_by_the_next(
    outlet: Shop, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look sees one destination: two that are switched off, one that hangs and one that answers are due."""
    monkeypatch.setattr("storeroom.integration.dispatcher.DESTINATIONS_LOOKED_AT", 1)
    may_answer, stop = asyncio.Event(), asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/hooks/2":
            await may_answer.wait()
        await ok(request, writer)

    async with receiving(answer) as receiver:
        made = [
            (await outlet.endpoints.create(name="there", url=f"{receiver.url}/{n}", timeout_seconds=60))[0]
            for n in range(4)
        ]
        for switched_off in made[:2]:
            await outlet.endpoints.update(endpoint_id=switched_off.id, changes=EndpointChanges(is_active=False))
        await outlet.context.db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, endpoint_id, event_type, payload) "
            "SELECT tenant_id, gen_random_uuid(), 'endpoint:' || id, id, 'order.placed', '{}' FROM webhook_endpoints"
        )
        running = asyncio.create_task(dispatcher.run(stop))
        await receiver.heard(2, within_s=45)
        stop.set()
        may_answer.set()
        await running
        assert sorted(request.path for request in receiver.requests) == ["/hooks/2", "/hooks/3"]


async def test_staff_see_how_much_waits(outlet: Shop) -> None:
    assert list(await outlet.webhooks.depths()) == []
    await tell(outlet)
    depth = (await outlet.webhooks.depths())[0]
    assert (depth.status, depth.rows) == (WebhookStatus.PENDING, 1)
    assert depth.oldest is not None


async def test_whoever_watches_sees_how_much_waits_and_how_long(
    house: Storeroom, outlet: Shop, courier: Courier
) -> None:
    registry, stop, may_answer = CollectorRegistry(), asyncio.Event(), asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await ok(request, writer)

    def seen(what: str, state: str) -> float | None:
        return registry.get_sample_value(f"storeroom_queue_{what}", {"status": state})

    async with receiving(answer) as receiver:
        await outlet.webhooks.enqueue(url=receiver.url, event_type="order.placed", payload={})
        for _ in range(3):  # nobody here carries these
            await outlet.context.db.execute(
                "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload, next_attempt_at) "
                "VALUES ($1, gen_random_uuid(), 'elsewhere', 'order.placed', '{}', now() - interval '1 hour')",
                outlet.tenant_id,
            )
        await outlet.context.db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload, status, created_at, completed_at) "
            "VALUES ($1, gen_random_uuid(), 'elsewhere', 'order.placed', '{}', 'failed', now() - interval '1 day', now())",
            outlet.tenant_id,
        )
        sender = Dispatcher(house.db, courier, keys=house.token_keys, registry=registry)
        running = asyncio.create_task(sender.run(stop))
        await receiver.heard(1)
        async with asyncio.timeout(60):
            while seen("depth", "failed") is None:
                await asyncio.sleep(0.01)
        stop.set()
        may_answer.set()
        await running
    assert (seen("depth", "pending"), seen("depth", "failed")) in [(3, 1), (4, 1)]  # counted before or after the claim
    assert seen("oldest_seconds", "pending") == pytest.approx(3600, abs=60)
    assert seen("oldest_seconds", "failed") == pytest.approx(86400, abs=60)


async def test_removing_an_endpoint_gives_up_what_waits_for_it(outlet: Shop, dispatcher: Dispatcher) -> None:
    async with receiving(status(500)) as receiver:
        made, _ = await endpoint(outlet, receiver)
        await tell(outlet)
        await dispatcher.run_once()
        await outlet.endpoints.delete(endpoint_id=made.id)
        await due_now(outlet)
        await dispatcher.run_once()
    assert len(receiver.requests) == 1
    dead = (await outlet.webhooks.list(status=WebhookStatus.FAILED)).items[0]
    assert dead.last_error == "its endpoint was removed"
    with pytest.raises(WebhookNotRetriable):
        await outlet.webhooks.retry(webhook_id=dead.id)
    assert await outlet.webhooks.get(webhook_id=dead.id) == dead


async def test_a_row_whose_endpoint_is_gone_is_given_up_at_once(outlet: Shop, dispatcher: Dispatcher) -> None:
    db = outlet.context.db
    await db.execute(
        "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload) "
        "VALUES ($1, gen_random_uuid(), 'endpoint:' || gen_random_uuid(), 'order.placed', '{}')",
        outlet.tenant_id,
    )
    await dispatcher.run_once()
    (dead,) = (await outlet.webhooks.list()).items
    assert (dead.status, dead.attempts) == (WebhookStatus.FAILED, 1)


WAITS = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)"


async def waits_for_a_lock(db: Database) -> None:
    async with asyncio.timeout(60):
        while not await db.fetchval(WAITS):
            await asyncio.sleep(0.01)


async def fan_out(db: Executor, shop: Shop) -> int:
    return await queries.fan_out(db, tenant_id=shop.tenant_id, destinations=[], event_types=[], size=10)


async def test_a_row_for_a_receiver_is_made_of_its_event_and_lies_beside_it(house: Storeroom, outlet: Shop) -> None:
    """Ids that begin with the time are added at the end of an index; and one event is one row, however often it runs."""
    async with receiving() as receiver:
        await endpoint(outlet, receiver)
    await tell(outlet)
    ids = "SELECT event_id::text, id::text FROM webhook_queue WHERE tenant_id = $1 AND event_id IS NOT NULL"
    for _ in range(2):
        assert await fan_out(house.db, outlet) == 1
        (row,) = await house.db.fetch(ids, outlet.tenant_id)
        assert row["id"][:15] == row["event_id"][:15]
        assert row["id"] != row["event_id"]
        await house.db.execute(
            "UPDATE webhook_queue SET status = 'pending', completed_at = NULL WHERE tenant_id = $1 AND event_id IS NULL",
            outlet.tenant_id,
        )


async def test_an_endpoint_is_removed_while_events_are_fanned_out_to_it(house: Storeroom, outlet: Shop) -> None:
    async with receiving() as receiver:
        made, _ = await endpoint(outlet, receiver)
    await tell(outlet)
    async with house.db.transaction() as other_worker:
        assert await fan_out(other_worker, outlet) == 1
        removing = asyncio.create_task(outlet.endpoints.delete(endpoint_id=made.id))
        await waits_for_a_lock(house.db)
    await removing
    assert await outlet.endpoints.list() == []
    (dead,) = (await outlet.webhooks.list(status=WebhookStatus.FAILED)).items
    assert (dead.endpoint_id, dead.last_error) == (None, "its endpoint was removed")


async def test_events_are_fanned_out_while_an_endpoint_is_removed(house: Storeroom, outlet: Shop) -> None:
    async with receiving() as receiver:
        made, _ = await endpoint(outlet, receiver)
    event = await tell(outlet)
    async with outlet.transaction() as tx:
        await tx.endpoints.delete(endpoint_id=made.id)
        fanning_out = asyncio.create_task(fan_out(house.db, outlet))
        await waits_for_a_lock(house.db)
    assert await fanning_out == 1
    assert [row.id for row in (await outlet.webhooks.list()).items] == [event]
