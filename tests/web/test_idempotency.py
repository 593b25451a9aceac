"""The same request with the same key happens once, whoever sends it how often and whatever dies meanwhile."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

import httpx
import pytest
from small_app import Clash, TestGate, Things, application, client_of

from storeroom.core.idempotency import (
    IdempotencyAnswerLost,
    IdempotencyClaimLost,
    IdempotencyInFlight,
    IdempotencyKeyReused,
)
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import Context
from storeroom.tenants import Tenants
from storeroom.web import StoredAnswer, delete_idempotency_key, get_idempotency_key, save_idempotency_key
from storeroom.web.idempotency import KeyClaim, claim
from storeroom.web.jobs import delete_expired_keys

KEY = {"Idempotency-Key": "a-key-nobody-guesses"}
ANSWER = StoredAnswer(status=201, headers={"content-type": "application/json"}, body='{"id":1}')


async def effects(db: Database, tenant: str) -> int:
    return await db.fetchval("SELECT count(*) FROM webhook_queue WHERE tenant_id = $1", tenant)


async def states(db: Database, tenant: str) -> list[str]:
    rows = await db.fetch("SELECT state::text FROM idempotency_keys WHERE tenant_id = $1 ORDER BY scope", tenant)
    return [row["state"] for row in rows]


async def lapse(db: Database, tenant: str) -> None:
    """Let every lease of the tenant be over."""
    await db.execute(
        "UPDATE idempotency_keys SET lease_until = now() - interval '1 second' WHERE tenant_id = $1", tenant
    )


async def expire(db: Database, tenant: str) -> None:
    await db.execute(
        "UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE tenant_id = $1", tenant
    )


@pytest.mark.requirement("CED-IDK-01")
async def test_the_second_gets_the_first_ones_answer_byte_for_byte(
    http: httpx.AsyncClient, database: Database, tenant: str
) -> None:
    first = await http.post("/things", json={"name": "a"}, headers=KEY)
    second = await http.post("/things", json={"name": "a"}, headers=KEY)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replay" not in first.headers
    assert second.headers["idempotency-replay"] == "true"
    assert await effects(database, tenant) == 1


async def test_without_a_key_each_request_is_its_own(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    for _ in range(2):
        await http.post("/things", json={"name": "a"})
    assert await effects(database, tenant) == 2
    assert await states(database, tenant) == []


async def test_twenty_at_once_have_one_effect(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    answers = await asyncio.gather(*(http.post("/things", json={"name": "a"}, headers=KEY) for _ in range(20)))
    done = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.content for answer in done}) == 1
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} <= {(409, "idempotency.in_flight")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert await effects(database, tenant) == 1


@pytest.mark.requirement("CED-IDK-01")
async def test_another_body_under_the_same_key_is_refused(
    http: httpx.AsyncClient, database: Database, tenant: str
) -> None:
    await http.post("/things", json={"name": "a"}, headers=KEY)
    for body, query in (({"name": "b"}, ""), ({"name": "a"}, "?x=1")):
        other = await http.post(f"/things{query}", json=body, headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
    assert await effects(database, tenant) == 1


async def test_another_visitor_route_or_shop_has_the_key_for_itself(
    http: httpx.AsyncClient, gate: TestGate, database: Database, tenant: str
) -> None:
    other = f"{tenant}-2"
    await Tenants(database).create(other, name="Other", currency="USD")
    tokens = (gate.account(tenant), gate.account(tenant), gate.account(other))
    answers = [
        await http.post("/things", json={"name": "a"}, headers={**KEY, "Authorization": f"Bearer {token}"})
        for token in tokens
    ]
    answers.append(await http.post("/things", json={"name": "a"}, headers=KEY))
    assert len({answer.json()["id"] for answer in answers}) == 4
    assert (await effects(database, tenant), await effects(database, other)) == (3, 1)
    async with client_of(application(gate), ip="198.51.100.1") as elsewhere:
        await elsewhere.post("/things", json={"name": "a"}, headers=KEY)
    assert await effects(database, tenant) == 4


async def test_a_refusal_frees_the_key(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    for _ in range(2):
        refused = await http.post("/things", json={"name": "refused"}, headers=KEY)
        assert (refused.status_code, refused.json()["code"]) == (409, "test.clash")
    assert await states(database, tenant) == []
    assert await effects(database, tenant) == 0
    assert (await http.post("/things", json={"name": "a"}, headers=KEY)).status_code == 201


async def test_a_malformed_body_frees_the_key(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    assert (await http.post("/things", content=b"{", headers=KEY)).status_code == 400
    assert (await http.post("/things", content=b"{" * 5000, headers=KEY)).status_code == 413
    assert await states(database, tenant) == []


@pytest.mark.parametrize("key", ["", "x" * 256, "a\u00e9", "short"])
async def test_a_key_that_is_none_is_refused(
    http: httpx.AsyncClient, database: Database, tenant: str, key: str
) -> None:
    refused = await http.post("/things", json={"name": "a"}, headers={"Idempotency-Key": key.encode("latin-1")})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency.invalid_key")
    assert refused.json()["field"] == "Idempotency-Key"
    assert await effects(database, tenant) == 0


async def test_a_caller_with_a_token_may_use_a_short_key(http: httpx.AsyncClient, gate: TestGate, tenant: str) -> None:
    headers = {"Idempotency-Key": "1", "Authorization": f"Bearer {gate.account(tenant)}"}
    assert (await http.post("/things", json={"name": "a"}, headers=headers)).status_code == 201


async def test_work_that_was_committed_before_the_crash_is_not_done_again(
    http: httpx.AsyncClient, database: Database, tenant: str
) -> None:
    assert (await http.post("/after", headers=KEY)).status_code == 500
    assert await states(database, tenant) == ["settled"]
    assert (await http.post("/after", headers=KEY)).json()["code"] == "idempotency.in_flight"
    await lapse(database, tenant)
    lost = await http.post("/after", headers=KEY)
    assert (lost.status_code, lost.json()["code"]) == (409, "idempotency.answer_lost")
    assert await effects(database, tenant) == 1


async def test_an_answer_too_large_to_keep_is_sent_once_and_the_work_done_once(
    http: httpx.AsyncClient, database: Database, tenant: str
) -> None:
    first = await http.post("/large", headers=KEY)
    assert (first.status_code, len(first.content)) == (201, 300_000)
    await lapse(database, tenant)
    assert (await http.post("/large", headers=KEY)).json()["code"] == "idempotency.answer_lost"
    assert await effects(database, tenant) == 1


async def test_a_new_guest_is_made_once_for_a_key(http: httpx.AsyncClient, gate: TestGate) -> None:
    first = await http.post("/arrivals", headers=KEY)
    http.cookies.clear()
    second = await http.post("/arrivals", headers=KEY)
    assert first.json()["token"] == second.json()["token"] is not None
    assert len(gate.guests) == 1


async def kept(db: Database, tenant: str) -> list[dict[str, Any]]:
    """The whole rows of the tenant's keys, as a backup has them."""
    rows = await db.fetch("SELECT to_jsonb(k) AS kept FROM idempotency_keys k WHERE tenant_id = $1", tenant)
    return [row["kept"] for row in rows]


async def test_a_new_guests_token_is_kept_sealed(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    first = await http.post("/arrivals", headers=KEY)
    token = first.json()["token"]
    [row] = await kept(database, tenant)
    assert row["state"] == "done"
    assert token.rpartition(".")[2] not in json.dumps(row)
    http.cookies.clear()
    assert (await http.post("/arrivals", headers=KEY)).content == first.content


async def test_a_sealed_answer_opens_for_its_own_key_alone(
    http: httpx.AsyncClient, database: Database, tenant: str
) -> None:
    other = {"Idempotency-Key": "another-key-of-somebody"}
    for headers in (KEY, other):
        await http.post("/arrivals", headers=headers)
        http.cookies.clear()
    await database.execute(
        "UPDATE idempotency_keys SET response = (SELECT response FROM idempotency_keys"
        " WHERE tenant_id = $1 AND key = $2) WHERE tenant_id = $1 AND key = $3",
        *(tenant, KEY["Idempotency-Key"], other["Idempotency-Key"]),
    )
    lost = await http.post("/arrivals", headers=other)
    assert (lost.status_code, lost.json()["code"]) == (409, "idempotency.answer_lost")


async def test_without_a_secret_a_token_is_not_kept_at_all(
    http: httpx.AsyncClient, gate: TestGate, database: Database, tenant: str
) -> None:
    gate.ring = None
    token = (await http.post("/arrivals", headers=KEY)).json()["token"]
    [row] = await kept(database, tenant)
    assert token.rpartition(".")[2] not in json.dumps(row)
    await lapse(database, tenant)
    http.cookies.clear()
    assert (await http.post("/arrivals", headers=KEY)).json()["code"] == "idempotency.answer_lost"
    assert len(gate.guests) == 1


CLAIMANT = """
import asyncio, sys
from datetime import timedelta
from storeroom.database.pool import Database
from storeroom.web.idempotency import claim

async def main(dsn, tenant, scope, key, fingerprint):
    async with await Database.open(dsn) as db:
        await claim(db, tenant_id=tenant, scope=scope, key=key, fingerprint=fingerprint)
        print("claimed", flush=True)
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_key_of_a_killed_process_is_free_when_its_lease_is_over(
    http: httpx.AsyncClient, database: Database, dsn: str, tenant: str
) -> None:
    body = b'{"name":"a"}'
    fingerprint = hashlib.sha256(b"\n" + body).hexdigest()
    arguments = (dsn, tenant, "address:203.0.113.9 POST /things", KEY["Idempotency-Key"], fingerprint)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLAIMANT, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"claimed\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    assert (await http.post("/things", content=body, headers=KEY)).json()["code"] == "idempotency.in_flight"
    await lapse(database, tenant)
    assert (await http.post("/things", content=body, headers=KEY)).status_code == 201
    assert await effects(database, tenant) == 1


class Key:
    """The functions, for one key."""

    def __init__(self, db: Database, tenant: str) -> None:
        self.db, self.tenant = db, tenant
        self.named: dict[str, Any] = {"tenant_id": tenant, "scope": "s", "key": "k"}

    async def claim(self, fingerprint: str = "f", **options: Any) -> KeyClaim:
        held = await claim(self.db, **self.named, fingerprint=fingerprint, **options)
        assert isinstance(held, KeyClaim)
        return held

    def things(self, held: KeyClaim) -> Things:
        tenants = Tenants(self.db).cache
        return Things(Context(db=self.db, tenant_id=TenantId(self.tenant), tenants=tenants, claim=held))


@pytest.fixture
def key(database: Database, tenant: str) -> Key:
    return Key(database, tenant)


async def test_who_comes_back_late_commits_nothing(key: Key, database: Database, tenant: str) -> None:
    slow = await key.claim()
    await lapse(database, tenant)
    quick = await key.claim()
    with pytest.raises(IdempotencyClaimLost):
        await key.things(slow).make(name="slow")
    assert await effects(database, tenant) == 0
    await key.things(quick).make(name="quick")
    assert await effects(database, tenant) == 1
    assert not await slow.answer(database, ANSWER)
    await slow.release(database)
    assert await states(database, tenant) == ["settled"]
    assert await quick.answer(database, ANSWER)
    assert await get_idempotency_key(database, **key.named) == ANSWER


async def test_a_claim_is_settled_with_the_work_or_not_at_all(key: Key, database: Database, tenant: str) -> None:
    held = await key.claim()
    with pytest.raises(Clash):
        await key.things(held).make(name="refused")
    assert await states(database, tenant) == ["in_flight"]
    await key.things(held).make(name="a")
    await key.things(held).make(name="b")  # a route may call two operations
    assert await states(database, tenant) == ["settled"]


async def test_nobody_takes_a_leased_a_settled_or_another_requests_key(
    key: Key, database: Database, tenant: str
) -> None:
    held = await key.claim()
    with pytest.raises(IdempotencyInFlight):
        await key.claim()
    with pytest.raises(IdempotencyKeyReused):
        await key.claim("other")
    await lapse(database, tenant)
    with pytest.raises(IdempotencyKeyReused):
        await key.claim("other")
    await key.things(held).make(name="a")
    await lapse(database, tenant)
    with pytest.raises(IdempotencyAnswerLost):
        await key.claim()


@pytest.mark.requirement("CED-OP-046")
async def test_of_parallel_saves_the_first_stays(key: Key, database: Database, tenant: str) -> None:
    answers = [StoredAnswer(status=200, headers={}, body=str(number)) for number in range(8)]
    saved = await asyncio.gather(
        *(
            save_idempotency_key(database, **key.named, fingerprint="f", answer=answer, ttl=timedelta(hours=1))
            for answer in answers
        )
    )
    assert saved.count(True) == 1
    assert await get_idempotency_key(database, **key.named) == answers[saved.index(True)]
    lives = await database.fetchval("SELECT expires_at - created_at FROM idempotency_keys WHERE tenant_id = $1", tenant)
    assert lives == timedelta(hours=1)


@pytest.mark.requirement("CED-OP-047")
@pytest.mark.parametrize("content", [b'{"a": "\\u0000 \xc3\xa9"}', b"\x00\xff\xfe", b"", "\u2028 \U0001f600".encode()])
async def test_an_answer_reads_back_unchanged_until_its_time_is_over(
    key: Key, database: Database, tenant: str, content: bytes
) -> None:
    answer = StoredAnswer.of(201, {"content-type": "application/json", "location": "/x"}, content)
    await save_idempotency_key(database, **key.named, fingerprint="f", answer=answer)
    known = await get_idempotency_key(database, **key.named)
    assert known == answer
    assert known.content == content
    await expire(database, tenant)
    assert await get_idempotency_key(database, **key.named) is None
    assert await save_idempotency_key(database, **key.named, fingerprint="g", answer=ANSWER)


@pytest.mark.requirement("CED-OP-048")
async def test_a_deleted_key_runs_anew(http: httpx.AsyncClient, database: Database, tenant: str) -> None:
    await http.post("/things", json={"name": "a"}, headers=KEY)
    scope = await database.fetchval("SELECT scope FROM idempotency_keys WHERE tenant_id = $1", tenant)
    named = {"tenant_id": tenant, "scope": scope, "key": KEY["Idempotency-Key"]}
    assert await delete_idempotency_key(database, **named)
    assert not await delete_idempotency_key(database, **named)
    assert (await http.post("/things", json={"name": "a"}, headers=KEY)).status_code == 201
    assert await effects(database, tenant) == 2


@pytest.mark.requirement("CED-OP-049", "CED-CLN-01")
async def test_the_job_deletes_what_is_past_its_time_and_says_how_many(fresh_database: Any) -> None:
    async with await Database.open(await fresh_database()) as db:
        for tenant, number in (("a", 0), ("a", 1), ("b", 2), ("b", 3), ("c", 4)):
            named = {"tenant_id": tenant, "scope": "s", "key": str(number)}
            await save_idempotency_key(db, **named, fingerprint="f", answer=ANSWER)
        await db.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE key <> '3'")
        assert await delete_expired_keys(db, limit=3) == 3
        assert await delete_expired_keys(db) == 1
        assert await delete_expired_keys(db) == 0
        assert [row["key"] for row in await db.fetch("SELECT key FROM idempotency_keys")] == ["3"]
