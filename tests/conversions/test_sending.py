"""What waits is told once, to whoever does not have it, whatever the providers answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from stall import API_SECRET, TOKEN, Stall, google_takes, meta_takes

from receiver import Request, garbage, hang, status
from storeroom.conversions import ConversionStatus, ProviderChanges, queries
from storeroom.conversions.model import RETRIES_MAX, backoff
from storeroom.conversions.sender import CLAIM_MAX, ConversionSender
from storeroom.core.clock import SystemClock
from storeroom.core.ids import new_id
from storeroom.database.errors import DatabaseUnavailable


def told_by_meta(stall: Stall) -> list[Any]:
    return [event for request in stall.meta.requests for event in request.json["data"]]


def told_by_google(stall: Stall) -> list[Any]:
    return [event for request in stall.google.requests for event in request.json["events"]]


@pytest.mark.requirement("STO-EVT-02", "STO-EVT-06")
async def test_what_was_queued_is_what_is_sent_and_then_gone(stall: Stall, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="storeroom")
    visitor = await stall.visitor(ga_client_id="11.22")
    await stall.adds(visitor, 2)
    await stall.buys(visitor)
    await stall.carried()
    queued = {row.event_name: row.payload for row in (await stall.shop.conversions.list()).items}
    await stall.told()
    assert {event["event_name"]: event for event in told_by_meta(stall)} == {
        name: payload["meta"] for name, payload in queued.items()
    }
    (request,) = stall.meta.requests
    assert request.path == "/v21.0/1234567890/events"
    assert request.json["access_token"] == TOKEN
    assert "test_event_code" not in request.json
    (request,) = stall.google.requests  # of one visitor: together
    assert request.path == f"/mp/collect?measurement_id=G-AB12CD34EF&api_secret={API_SECRET}"
    assert request.json["client_id"] == "11.22"
    sent = [event for name in ("AddToCart", "Purchase") for event in queued[name]["ga4"]["events"]]
    assert request.json["events"] == sent
    assert await stall.waiting() == []
    await stall.told()
    assert (len(stall.meta.requests), len(stall.google.requests)) == (1, 1)
    assert (await stall.shop.conversions.provider(provider_id=stall.pixel.id)).last_sent_at is not None
    assert TOKEN not in caplog.text and API_SECRET not in caplog.text


@pytest.mark.requirement("STO-EVT-02")
async def test_two_workers_send_each_event_once(stall: Stall) -> None:
    """They meet: the first one's call is answered only when the second one has called too, or has found nothing."""
    await stall.write(CLAIM_MAX + 500)
    both = asyncio.Event()

    async def together(request: Request, writer: Any) -> None:
        if len(stall.meta.requests) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 60)
        await meta_takes(request, writer)

    stall.meta.answer = together
    await asyncio.gather(stall.sender().run_once(), stall.sender().run_once())
    assert Counter(event["event_id"] for event in told_by_meta(stall)) == {str(n): 1 for n in range(1, CLAIM_MAX + 501)}
    assert Counter(event["params"]["value"] for event in told_by_google(stall)) == dict.fromkeys(
        range(1, CLAIM_MAX + 501), 1
    )
    assert await stall.waiting() == []


@pytest.mark.requirement("STO-EVT-03")
async def test_a_thousand_events_leave_an_empty_table_that_does_not_grow(lonely_stall: Stall) -> None:
    """Its pages go back to the system at once. Those of its indexes are used again once nobody can look at them any more."""
    stall = lonely_stall
    await stall.shop.conversions.delete_provider(provider_id=stall.stream.id)
    sizes: list[int] = []
    while len(sizes) < 5 or len(set(sizes[-3:])) > 1:
        assert len(sizes) < 30, sizes
        await stall.write(1_000)
        await stall.sender().run_once()
        assert await stall.room.db.fetchval("SELECT count(*) FROM analytics_events") == 0
        await vacuum(stall)  # what autovacuum does by itself: see the next test
        assert await stall.room.db.fetchval("SELECT pg_relation_size('analytics_events')") == 0
        sizes.append(await stall.room.db.fetchval("SELECT pg_total_relation_size('analytics_events')"))
    assert {len(request.json["data"]) for request in stall.meta.requests} == {1_000}
    await stall.write(1_000)
    await stall.write(1_000)
    grown = await stall.room.db.fetchval("SELECT pg_total_relation_size('analytics_events')")
    assert grown > sizes[-1]  # the control: two rounds that nobody drained


@pytest.mark.requirement("STO-EVT-03")
async def test_the_table_is_swept_before_it_has_grown(stall: Stall) -> None:
    """After so many dead rows, whatever its size: a share of the table would be more the larger it has become."""
    options = await stall.room.db.fetchval("SELECT reloptions FROM pg_class WHERE oid = 'analytics_events'::regclass")
    assert {"autovacuum_vacuum_threshold=200", "autovacuum_vacuum_scale_factor=0"} <= set(options)


@pytest.mark.requirement("STO-EVT-04", "STO-EVT-05", "STO-EVT-06")
async def test_what_one_provider_does_not_take_is_sent_to_that_one_again(stall: Stall) -> None:
    stall.meta.answer = status(503)
    await stall.adds(await stall.visitor())
    for failures in (1, 2, 3):
        await stall.told()
        (row,) = (await stall.shop.conversions.list(status=ConversionStatus.FAILED)).items
        assert (row.retry_count, row.providers_sent) == (failures, [str(stall.stream.id)])
        assert row.last_error == "answered 503: not taken"
    assert (len(stall.meta.requests), len(stall.google.requests)) == (3, 1)
    pixel = await stall.shop.conversions.provider(provider_id=stall.pixel.id)
    assert (pixel.failures, pixel.last_error) == (3, "answered 503: not taken")
    assert pixel.paused_until is not None
    await stall.adds(await stall.visitor(), 2)
    await stall.sender().run_once()  # while it rests, the other one is told
    assert (len(stall.meta.requests), len(stall.google.requests)) == (3, 2)
    stall.meta.answer = meta_takes
    await stall.told()
    assert await stall.waiting() == []
    assert (len(told_by_meta(stall)), len(stall.google.requests)) == (5, 2)


@pytest.mark.parametrize(
    "answer",
    [
        garbage,
        status(200, b"<html>sign in to the wireless</html>"),
        status(200, b'{"error":{"code":190}}'),
        status(200, b'{"events_received":0}'),
        status(302),
    ],
)
async def test_an_answer_that_says_nothing_is_no_success(stall: Stall, answer: Any) -> None:
    stall.meta.answer = answer
    await stall.adds(await stall.visitor())
    await stall.told()
    assert await stall.waiting() == [("AddToCart", "failed", 1)]


@pytest.mark.requirement("STO-EVT-02")
@pytest.mark.parametrize("body", [b"", b"{}", b"ok", b'{"success":true,"error":null}'])
async def test_an_answer_of_200_that_counts_nothing_is_success(stall: Stall, body: bytes) -> None:
    stall.meta.answer = status(200, body)
    await stall.write(3)
    await stall.told()
    assert await stall.waiting() == []
    assert len(stall.meta.requests) == 1


@pytest.mark.requirement("STO-EVT-02")
async def test_where_fewer_are_counted_than_were_sent_they_are_told_apart(stall: Stall) -> None:
    stall.meta.answer = status(200, b'{"events_received":1}')
    await stall.write(3)
    await stall.told()
    assert await stall.waiting() == []
    assert len(stall.meta.requests[-1].json["data"]) == 1


@pytest.mark.requirement("STO-EVT-02", "STO-EVT-03")
async def test_a_row_that_nobody_here_wrote_holds_up_no_other(stall: Stall) -> None:
    strange: list[dict[str, Any]] = [{}, {"value": 1}, {"ga4": 3, "meta": None}, {"ga4": {"client_id": 5}, "meta": [1]}]
    for payload in strange:
        await stall.room.db.execute(
            "INSERT INTO analytics_events (tenant_id, id, event_name, payload) "
            "VALUES ($1, gen_random_uuid(), 'Purchase', $2)",
            stall.shop.tenant_id,
            payload,
        )
    await stall.write(2)
    await stall.told()
    assert await stall.waiting() == []
    assert (len(told_by_meta(stall)), len(told_by_google(stall))) == (2, 2)


async def test_what_a_provider_refuses_is_found_among_the_others(
    stall: Stall, caplog: pytest.LogCaptureFixture
) -> None:
    """One wrong event has a whole call of Meta's refused; its answer repeats what had better not be repeated."""

    async def picky(request: Request, writer: Any) -> None:
        if any(event["event_id"] == "7" for event in request.json["data"]):
            body = json.dumps(
                {"error": {"code": 100, "error_subcode": 2804003, "message": f"Invalid parameter, token {TOKEN}"}}
            ).encode()
            await status(400, body)(request, writer)
        else:
            await meta_takes(request, writer)

    stall.meta.answer = picky
    await stall.write(40)
    await stall.told()
    assert await stall.waiting() == [("AddToCart", "failed", 1)]
    (row,) = (await stall.shop.conversions.list()).items
    assert row.payload["meta"]["event_id"] == "7"
    assert row.last_error is not None and "Invalid parameter" in row.last_error
    assert TOKEN not in row.last_error and TOKEN not in caplog.text
    taken = Counter(event["event_id"] for request in stall.meta.requests for event in request.json["data"])
    assert len(taken) == 40
    assert (await stall.shop.conversions.provider(provider_id=stall.pixel.id)).failures == 0  # it is well


@pytest.mark.parametrize(
    "fault",
    [
        b'"code":190,"message":"Malformed access token"',
        b'"code":100,"error_subcode":33,"message":"Object does not exist, or missing permissions"',
    ],
)
async def test_a_token_or_pixel_that_is_refused_is_no_fault_of_the_events(stall: Stall, fault: bytes) -> None:
    stall.meta.answer = status(400, b'{"error":{%b}}' % fault)
    await stall.write(40)
    await stall.told()
    assert len(stall.meta.requests) == 1  # not taken apart
    assert set(await stall.waiting()) == {("AddToCart", "failed", 1)}


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_worker_whose_clock_is_wrong_waits_as_long_as_others(
    stall: Stall, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """One behind would try again at once, one ahead would think that every pause is over."""
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(hours=hours))
    stall.google.answer = status(400)
    await stall.write(1)
    for _ in range(3):
        await stall.sender().run_once()
    assert await stall.waiting() == [("AddToCart", "failed", 1)]
    stall.meta.answer = status(503)
    for _ in range(2):
        await stall.write(1)
        await stall.sender().run_once()
    assert (len(stall.meta.requests), len(stall.google.requests)) == (2, 3)  # the one rests, the other does not
    due_in = await stall.room.db.fetchval("SELECT max(next_attempt_at) - now() FROM analytics_events")
    assert due_in < timedelta(minutes=1)


async def test_a_pause_from_before_the_database_was_set_back_is_over(stall: Stall) -> None:
    await stall.room.db.execute("UPDATE conversion_providers SET paused_until = now() + interval '1 hour'")
    await stall.write(1)
    await stall.sender().run_once()
    assert await stall.waiting() == []


async def test_who_does_not_answer_holds_up_nobody_else(stall: Stall) -> None:
    stall.meta.answer = hang
    await stall.write(30)
    sending = asyncio.create_task(stall.sender().run_once())
    await stall.meta.heard(1)
    while await stall.room.db.fetchval("SELECT count(*) FROM analytics_events WHERE providers_sent = '[]'"):
        await asyncio.sleep(0.01)
    assert len(told_by_google(stall)) == 30

    # It is cut off now. What it held is anybody's at once, and goes to the one that does not have it.
    before = asyncio.all_tasks()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert not [task for task in before if "_tell" in repr(task) and not task.done()]
    assert set(await stall.waiting()) == {("AddToCart", "pending", 0)}
    stall.meta.answer = meta_takes
    stall.meta.requests.clear()
    await stall.sender().run_once()
    assert await stall.waiting() == []
    assert (len(told_by_meta(stall)), len(told_by_google(stall))) == (30, 30)


async def test_what_was_taken_before_the_cut_is_not_told_again(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of calls side by side one is answered, the others hang; nobody has noted anything yet."""
    await stall.shop.conversions.delete_provider(provider_id=stall.pixel.id)
    answered, plain = asyncio.Event(), ConversionSender._ask

    async def asking(*args: Any) -> Any:
        outcome = await plain(*args)
        answered.set()
        return outcome

    async def one(request: Request, writer: Any) -> None:
        if request.json["client_id"] == "1":
            await google_takes(request, writer)
        else:
            await hang(request, writer)

    stall.google.answer = one
    await stall.write(30)
    monkeypatch.setattr(ConversionSender, "_ask", asking)
    sending = asyncio.create_task(stall.sender().run_once())
    await stall.google.heard(4)
    await answered.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert len(await stall.waiting()) == 30 - sum(n % 4 == 1 for n in range(1, 31))


async def test_who_is_to_stop_begins_no_further_call(stall: Stall) -> None:
    stop = asyncio.Event()

    async def last(request: Request, writer: Any) -> None:
        stop.set()
        await google_takes(request, writer)

    await stall.shop.conversions.delete_provider(provider_id=stall.pixel.id)
    stall.google.answer = last
    await stall.write(400)  # of 41 visitors
    await asyncio.wait_for(stall.sender().run(stop), 60)
    assert len(stall.google.requests) <= 8  # those that were on their way
    left = await stall.room.db.fetchval("SELECT count(*) FROM analytics_events WHERE claim IS NULL")
    assert left == 400 - len(told_by_google(stall))


async def test_a_row_that_kills_its_workers_ends(stall: Stall, caplog: pytest.LogCaptureFixture) -> None:
    await stall.write(1)
    await stall.room.db.execute(
        "UPDATE analytics_events SET retry_count = $1::int - 1, claim = gen_random_uuid()", RETRIES_MAX
    )
    await stall.write(1)
    await stall.sender().run_once()
    assert (len(told_by_meta(stall)), await stall.waiting()) == (1, [])
    assert "is given up" in caplog.text


async def test_a_row_that_kills_its_workers_costs_no_other_a_try(stall: Stall) -> None:
    """Twenty that wait, one of which kills whoever holds it, and a few that come while it does."""
    db, tenant_id = stall.room.db, stall.shop.tenant_id
    await stall.write(20)
    killer = await db.fetchval("SELECT id FROM analytics_events ORDER BY id OFFSET 3 LIMIT 1")
    held: list[int] = []  # how many were in the hands of each worker that died
    for _ in range(200):
        claim = new_id()
        rows = await queries.claim(db, tenant_id=tenant_id, claim=claim, lease=timedelta(minutes=1), size=100)
        if not rows:
            break
        if killer in (ids := [row.id for row in rows]):
            held.append(len(rows))
            await db.execute("UPDATE analytics_events SET next_attempt_at = now() WHERE claim = $1", claim)
            if len(held) == 1:
                await stall.write(5)
            if len(held) == 8:
                break
        else:
            assert {row.retry_count for row in rows} == {1 if row.on_trial else 0 for row in rows} and len(ids) < 20
            await queries.done(db, tenant_id=tenant_id, claim=claim, ids=ids)
    assert held == [20, 10, 5, 1, 1, 1, 1, 1]
    alone = await db.fetch("SELECT id, retry_count FROM analytics_events WHERE retry_count > 0")
    assert [(row["id"], row["retry_count"]) for row in alone] == [(killer, 5)]


async def test_who_comes_through_alone_has_lost_no_try(stall: Stall) -> None:
    await stall.write(1)
    await stall.room.db.execute("UPDATE analytics_events SET retry_count = 5, claim = gen_random_uuid()")
    stall.meta.answer = status(500)
    await stall.told()
    assert await stall.waiting() == [("AddToCart", "failed", 6)]


async def test_a_database_that_is_away_has_nothing_told_again(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, away = queries.done, [1, 2]

    async def done(*args: Any, **facts: Any) -> int:
        if away:
            away.pop()
            raise DatabaseUnavailable(reason="away")
        return await plain(*args, **facts)

    monkeypatch.setattr(queries, "done", done)
    await stall.write(2)
    await stall.sender().run_once()
    assert (await stall.waiting(), len(stall.meta.requests)) == ([], 1)


async def test_who_comes_back_after_its_lease_can_finish_nothing(stall: Stall) -> None:
    may_answer = asyncio.Event()

    async def late(request: Request, writer: Any) -> None:
        await may_answer.wait()
        await meta_takes(request, writer)

    stall.meta.answer = late
    await stall.write(1)
    slow = asyncio.create_task(stall.sender().run_once())
    await stall.meta.heard(1)
    stall.meta.answer = status(500)
    await stall.room.db.execute("UPDATE analytics_events SET next_attempt_at = now()")
    await stall.sender().run_once()
    may_answer.set()
    await slow
    assert await stall.waiting() == [("AddToCart", "failed", 1)]  # the lost claim was not its fault


async def test_what_is_too_old_is_told_to_nobody(stall: Stall, caplog: pytest.LogCaptureFixture) -> None:
    await stall.write(2)
    await age(stall, timedelta(hours=73))
    await stall.told()
    assert (len(told_by_meta(stall)), len(told_by_google(stall))) == (2, 0)
    assert await stall.waiting() == []
    await stall.write(1)
    await age(stall, timedelta(days=7, minutes=1))
    await stall.told()
    assert len(told_by_meta(stall)) == 2
    assert await stall.waiting() == []
    assert "too old" in caplog.text


async def test_an_event_is_given_up_after_its_tries(stall: Stall) -> None:
    stall.meta.answer = status(500)
    await stall.write(1)
    await stall.told()
    await stall.room.db.execute("UPDATE analytics_events SET retry_count = $1::int - 1", RETRIES_MAX)
    await stall.told()
    assert await stall.waiting() == []
    assert sum((backoff(n) for n in range(1, RETRIES_MAX)), timedelta()) < timedelta(days=9)


async def test_a_provider_that_is_gone_holds_up_nothing(stall: Stall) -> None:
    stall.meta.answer = status(500)
    await stall.write(2)
    await stall.told()
    assert set(await stall.waiting()) == {("AddToCart", "failed", 1)}
    await stall.shop.conversions.update_provider(provider_id=stall.pixel.id, changes=ProviderChanges(is_active=False))
    await stall.sender().run_once()
    assert await stall.waiting() == []
    await stall.write(1)
    await stall.shop.conversions.delete_provider(provider_id=stall.stream.id)
    await stall.sender().run_once()
    assert await stall.waiting() == []


async def test_a_test_goes_to_one_provider_by_the_way_of_all(stall: Stall) -> None:
    await stall.shop.conversions.update_provider(
        provider_id=stall.pixel.id, changes=ProviderChanges(test_event_code="TEST7", secret="another")
    )
    await stall.shop.conversions.test_provider(provider_id=stall.pixel.id)
    await stall.sender().run_once()
    (request,) = stall.meta.requests
    assert (request.json["test_event_code"], request.json["access_token"]) == ("TEST7", "another")
    assert [event["event_name"] for event in request.json["data"]] == ["StoreroomTest"]
    assert stall.google.requests == []


async def test_staff_drop_an_event(stall: Stall) -> None:
    await stall.write(2)
    first = (await stall.shop.conversions.list(limit=1)).items[0]
    await stall.shop.conversions.drop(conversion_id=first.id)
    (waits,) = await stall.shop.conversions.waiting()
    assert (waits.status, waits.rows) == ("pending", 1)
    stall.google.answer = google_takes
    await stall.told()
    assert len(told_by_meta(stall)) == 1


async def age(stall: Stall, by: timedelta) -> None:
    await stall.room.db.execute("UPDATE analytics_events SET created_at = now() - $1::interval", by)


async def vacuum(stall: Stall) -> None:
    owner = await asyncpg.connect(stall.room.db.direct_dsn)
    try:
        await owner.execute("VACUUM analytics_events")
    finally:
        await owner.close()
