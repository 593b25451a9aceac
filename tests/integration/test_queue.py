"""The operations on queued rows, one by one and against rivals."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from factories import open_shop
from serving import app_of
from storeroom.core.errors import Invalid
from storeroom.core.ids import WebhookId, new_id
from storeroom.database.executor import Executor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission
from storeroom.integration import (
    InvalidWebhook,
    LeaseLost,
    WebhookNotFound,
    WebhookNotRetriable,
    WebhookStatus,
    queries,
)
from storeroom.integration.jobs import purge, return_lost
from storeroom.room import Shop, Storeroom

Claim = Callable[..., Awaitable[list[Any]]]

URL = "http://receiver.example/hooks"


async def queue(shop: Shop, count: int = 1, **facts: object) -> list[WebhookId]:
    return [
        (await shop.webhooks.enqueue(url=URL, event_type="order.placed", payload={"n": n}, **facts)).id  # type: ignore[arg-type]
        for n in range(count)
    ]


async def run(shop: Shop, sql: str, *args: object) -> str:
    return await shop.context.db.execute(sql, *args)


@pytest.mark.requirement("CED-OP-037", "CED-OP-042", "CED-WQ-01", "SBB-WOUT-01")
async def test_a_queued_row_reads_back(outlet: Shop) -> None:
    order = uuid4()
    queued = await outlet.webhooks.enqueue(
        url=URL,
        event_type="order.placed",
        payload={"a": [1, None, {"b": "ü"}]},
        headers={"X-Shop": "one"},
        max_attempts=3,
        entity_type="order",
        entity_id=order,
    )
    row = await outlet.webhooks.get(webhook_id=queued.id)
    assert row == queued
    assert (row.url, row.event_type, row.headers, row.max_attempts) == (URL, "order.placed", {"X-Shop": "one"}, 3)
    assert row.payload == {"a": [1, None, {"b": "ü"}]}
    assert (row.status, row.attempts, row.last_error) == (WebhookStatus.PENDING, 0, None)
    assert (row.entity_type, row.entity_id) == ("order", order)
    assert row.next_attempt_at == row.created_at
    with pytest.raises(WebhookNotFound):
        await outlet.webhooks.get(webhook_id=WebhookId(new_id()))


@pytest.mark.requirement("CED-OP-037")
async def test_rolled_back_it_was_never_queued(outlet: Shop) -> None:
    made: list[WebhookId] = []
    with pytest.raises(ZeroDivisionError):
        async with outlet.transaction() as tx:
            made += await queue(tx)
            raise ZeroDivisionError
    with pytest.raises(WebhookNotFound):
        await outlet.webhooks.get(webhook_id=made[0])


@pytest.mark.parametrize(
    "facts",
    [
        {"url": "ftp://receiver.example/"},
        {"url": "https://user:word@receiver.example/"},
        {"url": "https:///hooks"},
        {"url": "https://receiver.example/" + "x" * 2000},
        {"event_type": ""},
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"Host": "elsewhere.example"}},
        {"headers": {"content-length": "1"}},
        {"headers": {"X-Shop": "one", "x-shop": "another"}},
        {"payload": {"x": "half a pair: \ud800"}},
        {"payload": {"x": object}},  # the class: its name is the same in every worker, as the name of a test has to be
        {"payload": {"x": "y" * 300_000}},
        {"payload": None},
        {"payload": {"x": ["a text with \x00 in it"]}},
        {"entity_type": "order"},
        {"entity_type": "or\x00der", "entity_id": UUID(int=1)},
    ],
    ids=str,
)
async def test_what_cannot_be_sent_is_not_queued(outlet: Shop, facts: dict[str, object]) -> None:
    asked = {"url": URL, "event_type": "order.placed", "payload": {}, **facts}
    with pytest.raises(InvalidWebhook):
        await outlet.webhooks.enqueue(**asked)  # type: ignore[arg-type]
    assert (await outlet.webhooks.list()).items == []


@pytest.mark.requirement("CED-OP-038", "SBB-WOUT-03", "SBB-WOUT-05")
async def test_only_what_is_due_is_taken_and_each_worker_takes_others(outlet: Shop) -> None:
    ids = await queue(outlet, 40)
    later = await queue(outlet, not_before=outlet.context.clock.now() + timedelta(hours=1))
    busy = await queue(outlet)
    await outlet.webhooks.mark_processing(webhook_id=busy[0])
    taken = await asyncio.gather(*(outlet.webhooks.dequeue(limit=10) for _ in range(4)))
    found = [row.id for leased in taken for row in leased.webhooks]
    assert sorted(found) == sorted(set(found))
    assert set(found) <= set(ids)
    rest = await outlet.webhooks.dequeue(limit=100)
    assert sorted(found + [row.id for row in rest.webhooks]) == sorted(ids)
    assert later[0] not in found
    await run(outlet, "UPDATE webhook_queue SET next_attempt_at = now() WHERE id = $1", later[0])
    assert [row.id for row in (await outlet.webhooks.dequeue(limit=10)).webhooks] == later


@pytest.mark.requirement("CED-OP-038", "CED-OP-039", "CED-WQ-05")
async def test_what_a_dead_worker_held_is_due_again_and_it_can_finish_nothing(house: Storeroom, outlet: Shop) -> None:
    """At once, whether the job ran or not."""
    ids = await queue(outlet)
    leased = await outlet.webhooks.dequeue(limit=1)
    assert (await outlet.webhooks.dequeue(limit=1)).webhooks == []
    assert await return_lost(house.db, limit=10) == 0
    await run(outlet, "UPDATE webhook_queue SET lease_until = now() - interval '1 second'")
    with pytest.raises(LeaseLost):
        await outlet.webhooks.mark_success(webhook_id=ids[0], claim=leased.claim)
    with pytest.raises(LeaseLost):
        await outlet.webhooks.mark_failed(webhook_id=ids[0], claim=leased.claim, error="late")
    again = await outlet.webhooks.dequeue(limit=1)
    assert [row.id for row in again.webhooks] == ids
    assert again.webhooks[0].attempts == 2
    with pytest.raises(LeaseLost):
        await outlet.webhooks.mark_success(webhook_id=ids[0], claim=leased.claim)
    with pytest.raises(LeaseLost):
        await outlet.webhooks.mark_failed(webhook_id=ids[0], claim=leased.claim, error="late")
    assert (await outlet.webhooks.get(webhook_id=ids[0])).status is WebhookStatus.PROCESSING
    await outlet.webhooks.mark_success(webhook_id=ids[0], claim=again.claim)
    assert (await outlet.webhooks.get(webhook_id=ids[0])).status is WebhookStatus.SUCCESS


@pytest.mark.requirement("CED-OP-039")
async def test_a_lease_that_ends_within_the_finishing_transaction_finishes_nothing(outlet: Shop) -> None:
    ids = await queue(outlet)
    async with outlet.transaction() as tx:
        leased = await tx.webhooks.dequeue(limit=1, lease=timedelta(microseconds=1))
        with pytest.raises(LeaseLost):
            await tx.webhooks.mark_success(webhook_id=ids[0], claim=leased.claim)


@pytest.mark.requirement("CED-OP-038", "CED-OP-039")
async def test_a_row_whose_lease_ended_may_be_taken_by_its_id(outlet: Shop) -> None:
    (webhook_id,) = await queue(outlet, max_attempts=2)
    for attempt in (1, 2):
        leased = await outlet.webhooks.mark_processing(webhook_id=webhook_id)
        assert leased.webhooks[0].attempts == attempt
        with pytest.raises(LeaseLost):
            await outlet.webhooks.mark_processing(webhook_id=webhook_id)
        await run(outlet, "UPDATE webhook_queue SET lease_until = now() - interval '1 second'")
    with pytest.raises(LeaseLost):  # that was its last attempt
        await outlet.webhooks.mark_processing(webhook_id=webhook_id)


async def test_whoever_takes_rows_gets_what_the_dispatcher_would_send(outlet: Shop) -> None:
    """In order where the endpoint asks for that, nothing for one that is switched off or paused, and the address."""
    made = {}
    for name in ("ordered", "closed", "paused"):
        url = f"https://{name}.example/"
        made[name], _ = await outlet.endpoints.create(name=name, url=url, keeps_order=name == "ordered")
    await run(outlet, "UPDATE webhook_endpoints SET is_active = FALSE WHERE name = 'closed'")
    await run(outlet, "UPDATE webhook_endpoints SET paused_until = now() + interval '1 hour' WHERE name = 'paused'")
    order, events = uuid4(), [new_id() for _ in range(2)]
    for event in reversed(events):
        for endpoint in made.values():
            await run(
                outlet,
                "INSERT INTO webhook_queue (tenant_id, id, event_id, destination, endpoint_id, event_type, payload, entity_type, "
                "entity_id) VALUES ($1, gen_random_uuid(), $2, 'endpoint:' || $3::uuid, $3::uuid, 'order.paid', '{}', 'order', $4)",
                outlet.tenant_id,
                event,
                endpoint.id,
                order,
            )
    (direct,) = await queue(outlet)
    taken = (await outlet.webhooks.dequeue(limit=10)).webhooks
    assert [(row.event_id, row.endpoint_id, row.url) for row in taken] == [
        (events[0], made["ordered"].id, "https://ordered.example/"),
        (None, None, URL),
    ]
    assert taken[1].id == direct
    for name in ("closed", "paused"):
        leased = await outlet.webhooks.dequeue(limit=10, destination=f"endpoint:{made[name].id}")
        assert leased.webhooks == []


@pytest.mark.parametrize("claim", [queries.claim, queries.claim_in_order])
async def test_a_claim_takes_what_it_asks_for_and_is_planned_once(
    fresh_database: Callable[..., Awaitable[str]], claim: Claim
) -> None:
    """Where much waits the planner takes a limit that it does not know for a large one, and would plan each time."""
    async with await Database.open(await fresh_database(), max_size=2) as db:
        await db.execute(
            "INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload, entity_type, entity_id) "
            "SELECT 'full', gen_random_uuid(), 'erp', 'order.placed', '{}', 'order', gen_random_uuid() "
            "FROM generate_series(1, 3000)"
        )
        owner = await asyncpg.connect(db.direct_dsn)
        await owner.execute("ANALYZE webhook_queue")
        await owner.close()

        async def claimed(tx: Executor, size: int) -> set[WebhookId]:
            rows = await claim(
                tx, tenant_id="full", destination="erp", claim=new_id(), lease=timedelta(minutes=1), size=size
            )
            return {row.id for row in rows}

        async with db.transaction() as rival:
            taken = [await claimed(rival, size) for size in (1, 2, 4, 64, 1, 2, 4, 64)]
            async with db.transaction() as other:
                taken.append(await claimed(other, 100))
            plans = await rival.fetchrow(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH due AS%'"
            )
        assert plans is not None
        assert tuple(plans) == (3, 5), "five times it is planned to see what that gains"
        assert [len(each) for each in taken] == [1, 2, 4, 64, 1, 2, 4, 64, 100]
        assert len(set.union(*taken)) == 242
        waiting = "SELECT count(*) FROM webhook_queue WHERE status = 'pending'"
        assert await db.fetchval(waiting) == 3000 - 242


async def test_a_row_that_kills_its_workers_ends(house: Storeroom, outlet: Shop) -> None:
    ids = await queue(outlet, max_attempts=2)
    for _ in range(2):
        await outlet.webhooks.dequeue(limit=1)
        await run(outlet, "UPDATE webhook_queue SET lease_until = now() - interval '1 second'")
        await return_lost(house.db, limit=10)
    row = await outlet.webhooks.get(webhook_id=ids[0])
    assert (row.status, row.attempts) == (WebhookStatus.FAILED, 2)
    attempts = await outlet.webhooks.attempts(webhook_id=ids[0])
    assert [(each.attempt, each.error) for each in attempts] == [
        (1, "the worker that sent it went away"),
        (2, "the worker that sent it went away"),
    ]
    assert (await outlet.webhooks.dequeue(limit=1)).webhooks == []


async def test_a_clock_that_is_set_back_hides_nothing_for_long(house: Storeroom, outlet: Shop) -> None:
    """An hour after which what was queued before is of the future; what was put off stays so."""
    at_once, later = await queue(outlet), await queue(outlet, not_before=datetime.now(UTC) + timedelta(hours=2))
    await run(
        outlet,
        "UPDATE webhook_queue SET created_at = created_at + interval '1 hour', next_attempt_at = next_attempt_at + interval '1 hour'",
    )
    assert (await outlet.webhooks.dequeue(limit=10)).webhooks == []
    assert await return_lost(house.db, limit=10) == 1
    assert await return_lost(house.db, limit=10) == 0
    assert [row.id for row in (await outlet.webhooks.dequeue(limit=10)).webhooks] == at_once
    assert (await outlet.webhooks.get(webhook_id=later[0])).status is WebhookStatus.PENDING


@pytest.mark.requirement("CED-OP-039")
async def test_one_of_two_marks_it_as_processing(outlet: Shop) -> None:
    ids = await queue(outlet)
    told = await asyncio.gather(
        *(outlet.webhooks.mark_processing(webhook_id=ids[0]) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in told) == ["LeaseLost", "Leased"]
    row = await outlet.webhooks.get(webhook_id=ids[0])
    assert (row.status, row.attempts) == (WebhookStatus.PROCESSING, 1)
    assert row.last_attempt_at is not None


@pytest.mark.requirement("CED-OP-040")
async def test_what_arrived_is_never_taken_again(outlet: Shop) -> None:
    ids = await queue(outlet)
    leased = await outlet.webhooks.dequeue(limit=1)
    await outlet.webhooks.mark_success(webhook_id=ids[0], claim=leased.claim)
    row = await outlet.webhooks.get(webhook_id=ids[0])
    assert row.status is WebhookStatus.SUCCESS
    assert row.completed_at is not None
    assert (await outlet.webhooks.dequeue(limit=1)).webhooks == []
    with pytest.raises(WebhookNotRetriable):
        await outlet.webhooks.retry(webhook_id=ids[0])


@pytest.mark.requirement("CED-OP-041", "CED-OP-044")
async def test_a_failure_is_due_at_the_time_given_and_the_last_one_for_good(outlet: Shop) -> None:
    ids = await queue(outlet, max_attempts=2)
    leased = await outlet.webhooks.dequeue(limit=1)
    at = outlet.context.clock.now() + timedelta(minutes=7)
    await outlet.webhooks.mark_failed(webhook_id=ids[0], claim=leased.claim, error="no", next_attempt_at=at)
    row = await outlet.webhooks.get(webhook_id=ids[0])
    assert (row.status, row.last_error, row.next_attempt_at) == (WebhookStatus.PENDING, "no", at)
    assert (await outlet.webhooks.dequeue(limit=1)).webhooks == []
    leased = await outlet.webhooks.mark_processing(webhook_id=ids[0])
    await outlet.webhooks.mark_failed(webhook_id=ids[0], claim=leased.claim, error="no again", next_attempt_at=at)
    row = await outlet.webhooks.get(webhook_id=ids[0])
    assert (row.status, row.attempts, row.last_error) == (WebhookStatus.FAILED, 2, "no again")
    again = await outlet.webhooks.retry(webhook_id=ids[0])
    assert (again.status, again.attempts) == (WebhookStatus.PENDING, 0)
    assert [row.id for row in (await outlet.webhooks.dequeue(limit=1)).webhooks] == ids


@pytest.mark.requirement("CED-OP-043")
async def test_lists_by_state_and_page(outlet: Shop) -> None:
    ids = await queue(outlet, 7)
    leased = await outlet.webhooks.mark_processing(webhook_id=ids[3])
    await outlet.webhooks.mark_success(webhook_id=ids[3], claim=leased.claim)
    first = await outlet.webhooks.list(limit=5)
    assert len(first.items) == 5
    second = await outlet.webhooks.list(limit=5, cursor=first.next_cursor)
    assert [row.id for row in first.items + second.items] == ids[::-1]
    assert [row.id for row in (await outlet.webhooks.list(status=WebhookStatus.SUCCESS)).items] == [ids[3]]
    assert len((await outlet.webhooks.list(status=WebhookStatus.PENDING)).items) == 6
    held = await outlet.webhooks.mark_processing(webhook_id=ids[5])
    assert [row.id for row in (await outlet.webhooks.list(status=WebhookStatus.PROCESSING)).items] == [ids[5]]
    await outlet.webhooks.mark_failed(webhook_id=ids[5], claim=held.claim, error="no")
    first = await outlet.webhooks.list(status=WebhookStatus.PENDING, limit=4)
    second = await outlet.webhooks.list(status=WebhookStatus.PENDING, limit=4, cursor=first.next_cursor)
    assert [row.id for row in first.items + second.items] == [ids[n] for n in (6, 5, 4, 2, 1, 0)]
    await run(outlet, "UPDATE webhook_queue SET status = 'failed', completed_at = now() WHERE id = $1", ids[6])
    assert [row.id for row in (await outlet.webhooks.list(status=WebhookStatus.FAILED)).items] == [ids[6]]
    assert [(depth.status, depth.rows) for depth in await outlet.webhooks.depths()] == [
        (WebhookStatus.PENDING, 5),
        (WebhookStatus.FAILED, 1),
    ]


@pytest.mark.requirement("SBB-WOUT-04")
async def test_every_attempt_is_shown_and_only_the_failed_ones_cost_a_row(outlet: Shop) -> None:
    (webhook_id,) = await queue(outlet)
    for _ in range(2):
        leased = await outlet.webhooks.mark_processing(webhook_id=webhook_id)
        await outlet.webhooks.mark_failed(
            webhook_id=webhook_id, claim=leased.claim, error="down", next_attempt_at=datetime.now(UTC)
        )
    leased = await outlet.webhooks.mark_processing(webhook_id=webhook_id)
    await outlet.webhooks.mark_success(webhook_id=webhook_id, claim=leased.claim)
    attempts = await outlet.webhooks.attempts(webhook_id=webhook_id)
    assert [(each.attempt, each.error) for each in attempts] == [(1, "down"), (2, "down"), (3, None)]
    assert attempts[2].created_at == (await outlet.webhooks.get(webhook_id=webhook_id)).completed_at
    assert await run(outlet, "SELECT FROM webhook_attempts WHERE webhook_id = $1", webhook_id) == "SELECT 2"
    # As a worker of the release before writes it: beside the row, and not in it.
    await run(outlet, "UPDATE webhook_queue SET duration_ms = NULL WHERE id = $1", webhook_id)
    await run(
        outlet,
        "INSERT INTO webhook_attempts (tenant_id, webhook_id, attempt, duration_ms, response_status) VALUES ($1, $2, 3, 1, 200)",
        outlet.tenant_id,
        webhook_id,
    )
    assert [each.attempt for each in await outlet.webhooks.attempts(webhook_id=webhook_id)] == [1, 2, 3]


@pytest.mark.requirement("CED-OP-045")
async def test_what_is_deleted_is_gone_for_its_worker_too(outlet: Shop) -> None:
    ids = await queue(outlet)
    leased = await outlet.webhooks.dequeue(limit=1)
    await outlet.webhooks.delete(webhook_id=ids[0])
    with pytest.raises(WebhookNotFound):
        await outlet.webhooks.mark_success(webhook_id=ids[0], claim=leased.claim)
    with pytest.raises(WebhookNotFound):
        await outlet.webhooks.delete(webhook_id=ids[0])


@pytest.mark.requirement("SBB-WOUT-02", "SBB-WOUT-06")
async def test_what_was_told_of_one_order_and_to_whom(outlet: Shop) -> None:
    order = uuid4()
    mine = await queue(outlet, 2, entity_type="order", entity_id=order)
    await queue(outlet, entity_type="order", entity_id=uuid4())
    other = await outlet.webhooks.enqueue(url="http://other.example/", event_type="order.paid", payload={})
    found = await outlet.webhooks.of_entity(entity_type="order", entity_id=order)
    assert sorted(row.id for row in found) == sorted(mine)
    taken = await outlet.webhooks.dequeue(limit=10, destination="url:other.example")
    assert [row.id for row in taken.webhooks] == [other.id]


@pytest.mark.requirement("CED-TEN-02")
async def test_a_tenants_queue_is_invisible_to_another(house: Storeroom, outlet: Shop) -> None:
    other = await open_shop(house)
    ids = await queue(outlet)
    assert (await other.webhooks.dequeue(limit=10)).webhooks == []
    for call in (other.webhooks.get, other.webhooks.delete, other.webhooks.retry, other.webhooks.mark_processing):
        with pytest.raises(WebhookNotFound):
            await call(webhook_id=ids[0])
    assert (await outlet.webhooks.get(webhook_id=ids[0])).status is WebhookStatus.PENDING


async def test_only_what_arrived_long_ago_is_removed(house: Storeroom, outlet: Shop) -> None:
    ids = await queue(outlet, 3)
    for webhook_id in ids[:2]:
        leased = await outlet.webhooks.mark_processing(webhook_id=webhook_id)
        await outlet.webhooks.mark_success(webhook_id=webhook_id, claim=leased.claim)
    await run(outlet, "UPDATE webhook_queue SET completed_at = now() - interval '8 days' WHERE id = $1", ids[0])
    assert await purge(house.db, limit=100) == 1
    assert sorted(row.id for row in (await outlet.webhooks.list()).items) == sorted(ids[1:])


async def test_a_limit_has_bounds(outlet: Shop) -> None:
    for limit in (0, 101):
        with pytest.raises(Invalid):
            await outlet.webhooks.dequeue(limit=limit)


@pytest.mark.requirement("SBB-WOUT-02", "SBB-WOUT-03")
async def test_staff_queue_for_later_and_look_up_by_entity_over_http(house: Storeroom, outlet: Shop) -> None:
    made = await outlet.acting(actor=SYSTEM).api_keys.create(name="staff", permissions=[Permission.WEBHOOKS_WRITE])
    order, at = str(uuid4()), datetime.now(UTC) + timedelta(hours=1)
    headers = {"Authorization": f"Bearer {made[1]}"}
    transport = httpx.ASGITransport(app_of(house))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test", headers=headers) as http:
        asked = {"url": URL, "event_type": "order.told", "payload": {}}
        later = {**asked, "not_before": at.isoformat(), "entity_type": "order", "entity_id": order}
        told = (await http.post("/v1/admin/webhooks", json=later)).json()
        assert datetime.fromisoformat(told["next_attempt_at"]) == at
        other = (await http.post("/v1/admin/webhooks", json=asked)).json()
        of_order = {"entity_type": "order", "entity_id": order}
        found = (await http.get("/v1/admin/webhooks", params=of_order)).json()
        assert [row["id"] for row in found["items"]] == [told["id"]]
        for params in ({"entity_id": order}, {"entity_type": "order"}, {**of_order, "status": "pending"}):
            refused = await http.get("/v1/admin/webhooks", params=params)
            assert (refused.status_code, refused.json()["code"]) == (422, "integration.invalid_webhook")
    assert [str(row.id) for row in (await outlet.webhooks.dequeue(limit=10)).webhooks] == [other["id"]]
