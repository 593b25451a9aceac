"""What is done with a message: once, or not at all; and where nobody can, it ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry
from reception import Desk, effect
from senders import body_of, mailgun, standard, timed

from factories import SECRET, open_shop
from serving import app_of
from storeroom.core.clock import FixedClock
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Context
from storeroom.identity import Permission, Proof, UserRole, UserStatus
from storeroom.inbox import (
    Handled,
    Handler,
    InboxMessage,
    InboxProcessor,
    InboxStatus,
    MessageForged,
    MessageNotReplayable,
)
from storeroom.inbox.jobs import return_lost
from storeroom.room import Storeroom

OTHER = "whsec_b3RoZXI=b3RoZXI=b3RoZXI=b3RoZXI="
ORDER, PAYMENT, FULFILMENT = (uuid.uuid4() for _ in range(3))


@pytest.mark.requirement("SBB-WIN-01", "SBB-WIN-03")
async def test_a_message_reaches_the_handler_of_its_type(desk: Desk) -> None:
    async def handle(context: Context, message: InboxMessage) -> Handled:
        done = await effect(context, message)
        return Handled(
            result={**done.result, "sku": message.payload["sku"], "of": message.event_id},
            order_id=ORDER,  # type: ignore[arg-type]
            payment_id=PAYMENT,  # type: ignore[arg-type]
            fulfillment_id=FULFILMENT,  # type: ignore[arg-type]
        )

    async def rest(_: Context, __: InboxMessage) -> Handled:
        return Handled(result={"rest": True})

    async def nothing(_: Context, __: InboxMessage) -> Handled:
        return Handled(result={"known": True}, skipped=True)

    desk.handlers.update({("epicor_propello", "Inventory"): handle, ("epicor_propello", "Ping"): nothing})
    desk.handlers["mailgun", "*"] = rest
    body = body_of(sku="A")
    first = await desk.take(body, standard(body, id="msg_1"))
    unknown, skipped = await desk.take(body_of(type="Weather")), await desk.take(body_of(type="Ping"))
    await desk.process()
    done = await desk.entry(first)
    assert (done.status, done.attempts, done.error_message) == (InboxStatus.COMPLETED, 1, None)
    assert done.result == {"actor": "webhook", "name": "epicor_propello", "attempt": 1, "sku": "A", "of": "msg_1"}
    assert done.processed_at is not None and done.processed_at >= done.received_at
    related = (done.related_order_id, done.related_payment_id, done.related_fulfillment_id)
    assert related == (ORDER, PAYMENT, FULFILMENT)
    assert await desk.applied() == 1
    for message, reason in ((unknown, {"reason": "nobody handles this type"}), (skipped, {"known": True})):
        left = await desk.entry(message)
        assert (left.status, left.result, left.attempts) == (InboxStatus.SKIPPED, reason, 1)
        assert left.processed_at is not None


@pytest.mark.requirement("SBB-WIN-04")
async def test_each_source_reaches_a_handler_of_its_own(desk: Desk) -> None:
    """Though the type is called the same."""

    def of(name: str) -> Handler:
        async def handle(_: Context, message: InboxMessage) -> Handled:
            return Handled(result={"handler": name, "source": message.source, "type": message.webhook_type})

        return handle

    bodies = {
        "epicor_propello": (body := body_of(type="failed"), standard(body)),
        "shippo": (parcel := b'{"event": "failed"}', timed(parcel, header="Shippo-Auth-Signature")),
        "mailgun": (mailgun("failed", "bo@buyer.example"), {}),
    }
    sent = {}
    for source, (said, headers) in bodies.items():
        if source != "epicor_propello":
            await desk.source(source)
        desk.handlers[source, "failed"] = of(source)
        sent[source] = await desk.take(said, headers, source=source)
    await desk.process()
    for source, message in sent.items():
        done = await desk.entry(message)
        assert (done.source, done.webhook_type) == (source, "failed")
        assert done.result == {"handler": source, "source": source, "type": "failed"}


@pytest.mark.requirement("SBB-WIN-03")
async def test_no_other_state_is_known_to_the_table(desk: Desk) -> None:
    message = await desk.take(body_of())
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await desk.room.db.execute("UPDATE webhooks_inbox SET status = 'lost' WHERE id = $1", message)
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.run("UPDATE {webhooks_inbox} SET signature_valid = FALSE WHERE tenant_id = $1 AND id = $2", message)


@pytest.mark.requirement("SBB-WIN-02", "SBB-WIN-03", "SBB-WIN-05", "SBB-IDX-14")
async def test_poison_is_tried_three_times_and_stays_failed_until_it_is_replayed(desk: Desk) -> None:
    good = False

    async def poison(context: Context, message: InboxMessage) -> Handled:
        done = await effect(context, message)
        if not good:
            raise ValueError(f"no \x00 {message.attempts}")
        return done

    desk.handlers["epicor_propello", "Inventory"] = poison
    waits: list[int] = []

    def wait(attempts: int) -> timedelta:
        waits.append(attempts)
        return timedelta(hours=1)

    body = body_of(sku="A")
    message = await desk.take(body)
    await desk.process(wait=wait)
    later = await desk.entry(message)
    assert (later.status, later.attempts, later.error_message) == (InboxStatus.PENDING, 1, "ValueError: no  1")
    assert later.next_attempt_at > later.received_at + timedelta(minutes=59)
    await desk.process()
    assert (await desk.entry(message)).attempts == 1, "its time has not come"
    await desk.run("UPDATE {webhooks_inbox} SET next_attempt_at = now() WHERE tenant_id = $1")
    await desk.process()
    failed = await desk.entry(message)
    assert (failed.status, failed.attempts, failed.error_message) == (InboxStatus.FAILED, 3, "ValueError: no  3")
    assert failed.processed_at is not None and failed.payload["sku"] == "A" and failed.headers["webhook-id"]
    assert waits == [1]
    await desk.process()
    assert (await desk.entry(message)).attempts == 3
    assert await desk.applied() == 0, "what a failing handler did is undone"
    good = True
    again = await desk.shop.inbox.replay(message_id=message)
    assert (again.status, again.attempts, again.error_message) == (InboxStatus.PENDING, 0, None)
    await desk.process()
    assert (await desk.entry(message)).status is InboxStatus.COMPLETED
    assert await desk.applied() == 1
    with pytest.raises(MessageNotReplayable):
        await desk.shop.inbox.replay(message_id=message)


@pytest.mark.requirement("SBB-WIN-02", "SBB-WIN-05")
async def test_a_message_made_pending_by_hand_has_one_more_try_and_holds_up_nobody(desk: Desk) -> None:
    async def poison(_: Context, __: InboxMessage) -> Handled:
        raise RuntimeError

    desk.handlers["epicor_propello", "Inventory"] = poison
    message = await desk.take(body_of())
    await desk.process()
    assert (await desk.entry(message)).status is InboxStatus.FAILED
    desk.handlers["epicor_propello", "Inventory"] = effect
    await desk.run("UPDATE {webhooks_inbox} SET status = 'pending', processed_at = NULL WHERE tenant_id = $1")
    behind = await desk.take(body_of(sku="behind"))
    await desk.process()
    assert [(each.status, each.attempts) for each in (await desk.entry(message), await desk.entry(behind))] == [
        (InboxStatus.COMPLETED, 3),
        (InboxStatus.COMPLETED, 1),
    ]


@pytest.mark.requirement("SBB-WIN-02")
async def test_what_waits_for_its_next_try_can_be_replayed_at_once(desk: Desk) -> None:
    async def poison(_: Context, __: InboxMessage) -> Handled:
        raise RuntimeError

    desk.handlers["epicor_propello", "Inventory"] = poison
    message = await desk.take(body_of())
    await desk.process(wait=lambda _: timedelta(hours=1))
    assert (await desk.entry(message)).attempts == 1
    desk.handlers["epicor_propello", "Inventory"] = effect
    again = await desk.shop.inbox.replay(message_id=message)
    assert (again.status, again.attempts) == (InboxStatus.PENDING, 0)
    await desk.process()
    assert (await desk.entry(message)).status is InboxStatus.COMPLETED


async def test_a_source_says_how_often_its_messages_are_tried(desk: Desk) -> None:
    async def poison(_: Context, __: InboxMessage) -> Handled:
        raise RuntimeError

    await desk.source("patient", max_attempts=5)
    desk.handlers["patient", "*"] = poison
    message = await desk.take(body_of(), source="patient")
    await desk.process()
    failed = await desk.entry(message)
    assert (failed.status, failed.attempts, failed.error_message) == (InboxStatus.FAILED, 5, "RuntimeError")


@pytest.mark.requirement("SBB-WIN-03", "SBB-WIN-05")
async def test_a_message_that_kills_its_workers_ends_as_well(desk: Desk) -> None:
    """Its attempt is counted when it is claimed, not when somebody is left to count it."""

    async def deadly(_: Context, __: InboxMessage) -> Handled:
        raise asyncio.CancelledError  # as far as anybody can tell, the worker is gone

    desk.handlers["epicor_propello", "*"] = deadly
    message = await desk.take(body_of())
    for attempt in (1, 2, 3):
        with pytest.raises(asyncio.CancelledError):
            await desk.process()
        held = await desk.entry(message)
        assert (held.status, held.attempts) == (InboxStatus.PROCESSING, attempt)
        await return_lost(desk.room.db, limit=100)
        assert (await desk.entry(message)).status is InboxStatus.PROCESSING, "its lease has not ended"
        await desk.run("UPDATE {webhooks_inbox} SET lease_until = now() WHERE tenant_id = $1")
        await return_lost(desk.room.db, limit=100)
    ended = await desk.entry(message)
    assert (ended.status, ended.error_message) == (InboxStatus.FAILED, "the worker that handled it went away")
    assert not await desk.processor().process_next(desk.shop.tenant_id)


@pytest.mark.requirement("SBB-WIN-10")
async def test_while_it_is_handled_nobody_takes_it_away(desk: Desk) -> None:
    """Its lease is over before the handler is: its transaction holds the message, and no rival begins."""
    entered, may_go = asyncio.Event(), asyncio.Event()

    async def slow(context: Context, message: InboxMessage) -> Handled:
        entered.set()
        await may_go.wait()
        return await effect(context, message)

    desk.handlers["epicor_propello", "*"] = slow
    message = await desk.take(body_of())
    late = asyncio.create_task(desk.process(lease=timedelta()))
    await entered.wait()
    await return_lost(desk.room.db, limit=100)
    assert (await desk.entry(message)).status is InboxStatus.PROCESSING
    assert not await desk.processor().process_next(desk.shop.tenant_id)
    may_go.set()
    await late
    assert (await desk.entry(message)).status is InboxStatus.COMPLETED
    assert await desk.applied() == 1


async def test_a_claim_that_is_gone_completes_nothing(desk: Desk) -> None:
    """Taken away before the handler's transaction began: it does nothing, and the message stays its new owner's."""
    desk.handlers["epicor_propello", "*"] = effect
    message = await desk.take(body_of())
    processor, handle = desk.processor(), InboxProcessor._handle

    async def robbed(self: InboxProcessor, tx: Any, **facts: Any) -> str:
        await desk.run("UPDATE {webhooks_inbox} SET claim = gen_random_uuid() WHERE tenant_id = $1")
        return await handle(self, tx, **facts)

    processor._handle = robbed.__get__(processor)  # type: ignore[method-assign]
    assert await processor.process_next(desk.shop.tenant_id)
    assert (await desk.entry(message)).status is InboxStatus.PROCESSING
    assert await desk.applied() == 0


@pytest.mark.requirement("SBB-WIN-08", "SBB-WIN-10")
async def test_workers_side_by_side_take_different_messages(desk: Desk) -> None:
    desk.handlers["epicor_propello", "*"] = effect
    for _ in range(30):
        await desk.take(body_of())
    await asyncio.gather(*(desk.process() for _ in range(5)))
    assert await desk.applied() == 30
    states = await desk.one(
        "SELECT count(*) FROM {webhooks_inbox} WHERE tenant_id = $1 AND status = 'completed' AND attempts = 1"
    )
    assert states == 30


async def test_a_suspended_shop_waits(desk: Desk) -> None:
    desk.handlers["epicor_propello", "*"] = effect
    message = await desk.take(body_of())
    await desk.room.tenants.suspend(desk.shop.tenant_id)
    await desk.processor().run_once()
    await desk.room.tenants.resume(desk.shop.tenant_id)
    assert (await desk.entry(message)).status is InboxStatus.PENDING
    await desk.processor().run_once()
    assert (await desk.entry(message)).status is InboxStatus.COMPLETED


@pytest.fixture
async def only_desk(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Desk]:
    """In a database of its own: a worker that runs takes what waits in all shops, also what other tests have left."""
    async with await Database.open(await fresh_database()) as db:
        room = Storeroom(db, secret=SECRET)
        made = Desk(room, await open_shop(room))
        await made.source()
        yield made


async def test_a_message_that_hangs_does_not_hold_up_those_that_come_after_it(only_desk: Desk) -> None:
    desk = only_desk
    hangs, free, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    done: asyncio.Queue[str] = asyncio.Queue()

    async def handle(context: Context, message: InboxMessage) -> Handled:
        if message.webhook_type == "Hang":
            hangs.set()
            await free.wait()
        else:
            done.put_nowait(message.event_id)
        return await effect(context, message)

    desk.handlers["epicor_propello", "*"] = handle
    held = await desk.take(body_of(type="Hang"))
    running = asyncio.create_task(desk.processor().run(stop))
    try:
        async with asyncio.timeout(30):  # less than a handler may take
            await hangs.wait()
            for round_ in range(3):  # the drain beside it had nothing more to do, and ended
                body = body_of(round=round_)
                await desk.take(body, standard(body, id=f"msg_{round_}"))
                assert await done.get() == f"msg_{round_}"
        assert (await desk.entry(held)).status is InboxStatus.PROCESSING
    finally:
        free.set()
        stop.set()
        await running
    assert await desk.applied() == 4


async def test_a_worker_whose_clock_is_behind_waits_as_long_as_others(desk: Desk) -> None:
    async def poison(_: Context, __: InboxMessage) -> Handled:
        raise RuntimeError

    desk.handlers["epicor_propello", "*"] = poison
    behind = FixedClock(datetime.now(UTC) - timedelta(hours=5))
    message = await desk.take(body_of())
    for _ in range(3):
        await desk.process(clock=behind, wait=lambda _: timedelta(minutes=1))
    assert (await desk.entry(message)).attempts == 1


async def test_what_nobody_signed_is_not_counted_as_failed(desk: Desk) -> None:
    """Else anybody could raise the alarm, and what did fail would not be seen among it."""

    async def poison(_: Context, __: InboxMessage) -> Handled:
        raise RuntimeError

    async def counted() -> dict[str, float]:
        registry = CollectorRegistry()
        await desk.processor(registry=registry)._count()
        gauges = (f"storeroom_inbox_{gauge}" if gauge else "" for gauge in ("depth", "oldest_seconds"))
        return {
            f"{gauge} {status}": registry.get_sample_value(gauge, {"status": status}) or 0
            for gauge in gauges
            for status in ("pending", "failed", "forged")
        }

    before = await counted()
    desk.handlers["epicor_propello", "*"] = poison
    await desk.take(body_of())
    for _ in range(3):
        await desk.process()
    for n in range(2):
        with pytest.raises(MessageForged):
            await desk.take(body_of(n=n), standard(body_of(n=n), secret=OTHER))
    await desk.run("UPDATE {webhooks_inbox} SET created_at = now() - interval '1 year' WHERE tenant_id = $1")
    after = await counted()
    more = {name: after[name] - before[name] for name in before if "depth" in name}
    assert more == {
        "storeroom_inbox_depth pending": 0,
        "storeroom_inbox_depth failed": 1,
        "storeroom_inbox_depth forged": 2,
    }
    assert after["storeroom_inbox_oldest_seconds forged"] >= 364 * 86_400
    assert {each.status: each.rows for each in await desk.shop.inbox.depths()} == {"failed": 1, "forged": 2}


@pytest.mark.parametrize(
    ("attempts", "ahead", "taken"),
    [(0, timedelta(hours=1), True), (1, timedelta(hours=1), False), (1, timedelta(hours=2), True)],
)
async def test_a_database_whose_clock_was_set_back_keeps_nothing_waiting(
    desk: Desk, attempts: int, ahead: timedelta, taken: bool
) -> None:
    """What is new is due whatever its row says, and so is what would wait longer than anything is made to."""
    desk.handlers["epicor_propello", "*"] = effect
    message = await desk.take(body_of())
    await desk.run(
        "UPDATE {webhooks_inbox} SET attempts = $2, next_attempt_at = now() + $3 WHERE tenant_id = $1", attempts, ahead
    )
    await desk.processor().run_once()
    assert ((await desk.entry(message)).status is InboxStatus.COMPLETED) is taken


async def test_a_running_worker_is_woken_counts_and_stops(only_desk: Desk) -> None:
    desk = only_desk
    registry, stop, handled = CollectorRegistry(), asyncio.Event(), asyncio.Event()

    async def handle(context: Context, message: InboxMessage) -> Handled:
        handled.set()
        return await effect(context, message)

    desk.handlers["epicor_propello", "*"] = handle
    processor = desk.processor(registry=registry)
    running = asyncio.create_task(processor.run(stop))
    message = await desk.take(body_of())
    async with asyncio.timeout(60):
        await handled.wait()
        stop.set()
        await running
    assert (await desk.entry(message)).status is InboxStatus.COMPLETED
    labels = {"source": "epicor_propello", "outcome": "completed"}
    assert registry.get_sample_value("storeroom_inbox_processed_total", labels) == 1
    assert registry.get_sample_value("storeroom_inbox_depth", {"status": "pending"}) is not None
    assert registry.get_sample_value("storeroom_inbox_oldest_seconds", {"status": "failed"}) is not None


# --- Over HTTP --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def web(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_of(desk.room), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.nobody.example") as http:
        yield http


async def test_staff_see_what_came_and_replay_it(desk: Desk) -> None:
    bare = desk.shop.acting(actor=SYSTEM)
    user = await bare.users.create(
        email="staff@shop.example", role=UserRole.STAFF, permissions=[Permission.WEBHOOKS_WRITE]
    )
    await bare.users.set_status(user_id=user.id, status=UserStatus.ACTIVE)
    token = (await bare.sessions.start(proof=Proof(user_id=user.id))).access_token
    staff, tenant = {"Authorization": f"Bearer {token}"}, desk.shop.tenant_id
    async with web(desk) as http:
        made = await http.post("/v1/admin/webhook-sources", json={"code": "vendure"}, headers=staff)
        assert (made.status_code, set(made.json())) == (201, {"source", "secret"})
        secret, source = made.json()["secret"], made.json()["source"]
        assert (source["scheme"], source["event_id_at"]) == ("standard_webhooks", "header:webhook-id")
        listed = await http.get("/v1/admin/webhook-sources", headers=staff)
        assert [each["code"] for each in listed.json()] == ["epicor_propello", "vendure"] and secret not in listed.text
        body = body_of(type="CustomerEvent")
        answers = [
            await http.post(f"/v1/webhooks/{tenant}/vendure", content=body, headers=headers)
            for headers in (
                standard(body, secret=secret, id="m"),
                standard(body, secret=secret, id="m"),
                standard(body),
            )
        ]
        assert [each.status_code for each in answers] == [202, 200, 401]
        assert [each.json().get("repeated") for each in answers] == [False, True, None]
        assert answers[2].json()["code"] == "inbox.signature_refused"
        for path in (f"/v1/webhooks/{tenant}/nobody", "/v1/webhooks/nobody/vendure"):
            assert (await http.post(path, content=body, headers=standard(body))).status_code == 404
        assert (await http.post(f"/v1/webhooks/{tenant}/vendure", content=b" " * 600_000)).status_code == 413
        no_json = await http.post(f"/v1/webhooks/{tenant}/vendure", content=b"x", headers=standard(b"x", secret=secret))
        assert (no_json.status_code, no_json.json()["code"]) == (422, "inbox.invalid_message")
        await desk.process()
        seen = (await http.get("/v1/admin/inbox", params={"status": "skipped"}, headers=staff)).json()["items"]
        (one,) = seen
        assert (one["source"], one["webhook_type"], one["event_id"]) == ("vendure", "CustomerEvent", "m")
        whole = (await http.get(f"/v1/admin/inbox/{one['id']}", headers=staff)).json()
        assert whole["payload"]["type"] == "CustomerEvent" and whole["result"] == {"reason": "nobody handles this type"}
        again = await http.post(f"/v1/admin/inbox/{one['id']}/replay", headers=staff)
        assert (again.status_code, again.json()["status"]) == (200, "pending")
        refused = await http.post(f"/v1/admin/inbox/{one['id']}/replay", headers=staff)
        assert (refused.status_code, refused.json()["code"]) == (409, "inbox.message_not_replayable")
        depths = (await http.get("/v1/admin/inbox/depths", headers=staff)).json()
        assert {each["status"]: each["rows"] for each in depths} == {"pending": 1, "forged": 1}
        turned = await http.post("/v1/admin/webhook-sources/vendure/secret", headers=staff)
        assert turned.status_code == 200 and turned.json()["secret"] != secret
        off = await http.patch("/v1/admin/webhook-sources/vendure", json={"is_active": False}, headers=staff)
        assert off.json()["is_active"] is False
        for path in ("vendure/previous-secret", "vendure"):
            assert (await http.delete(f"/v1/admin/webhook-sources/{path}", headers=staff)).status_code == 204
        assert (await http.get("/v1/admin/webhook-sources/vendure", headers=staff)).status_code == 404


async def test_a_source_whose_word_completes_payments_is_for_those_who_may_verify_them(desk: Desk) -> None:
    bare = desk.shop.acting(actor=SYSTEM)
    heads = []
    for name, permissions in (("clerk", []), ("verifier", [Permission.PAYMENTS_VERIFY])):
        user = await bare.users.create(
            email=f"{name}@shop.example",
            role=UserRole.STAFF,
            permissions=[Permission.WEBHOOKS_WRITE, *permissions],
        )
        await bare.users.set_status(user_id=user.id, status=UserStatus.ACTIVE)
        token = (await bare.sessions.start(proof=Proof(user_id=user.id))).access_token
        heads.append({"Authorization": f"Bearer {token}"})
    clerk, verifier = heads
    async with web(desk) as http:
        at = "/v1/admin/webhook-sources"
        asked: list[tuple[str, str, dict[str, Any] | None, int]] = [
            ("POST", f"{at}/epicor_propello/secret", {"secret": "d2hpc3BlcmVkIHRvIG1l"}, 200),
            ("PATCH", f"{at}/epicor_propello", {"max_attempts": 4}, 200),
            ("DELETE", f"{at}/epicor_propello/previous-secret", None, 204),
            ("DELETE", f"{at}/epicor_propello", None, 204),
            ("POST", at, {"code": "epicor_propello"}, 201),
            ("POST", at, {"code": "stripe"}, 201),
        ]
        for method, path, json, status in asked:
            refused = await http.request(method, path, json=json, headers=clerk)
            assert (refused.status_code, refused.json()["permission"]) == (403, "payments.verify"), path
            assert (await http.request(method, path, json=json, headers=verifier)).status_code == status, path
        assert (await http.get(f"{at}/stripe", headers=clerk)).status_code == 200
        assert (await http.post(at, json={"code": "shippo"}, headers=clerk)).status_code == 201
