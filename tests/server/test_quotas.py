"""How many calls a minute somebody has, whichever server they ask."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import SECRET, Place

from factories import open_shop
from process import ServerProcess
from storeroom.core.clock import FixedClock
from storeroom.core.ids import TenantId, new_id
from storeroom.database.pool import Database
from storeroom.identity import Permission, Proof, UserRole
from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.server.gate import RoomGate
from storeroom.settings import Settings
from storeroom.web import QUOTA_BLOCKS, Principal, PrincipalKind, Quotas, RateLimited

LISTED = "/v1/admin/orders"
NOON = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
ATTEMPTS_MAX = 5  # of a test that must not meet the end of a minute


@pytest.fixture
def servers(dsn: str) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two processes on the database of this worker; what comes from our own proxy tells whom it comes from."""
    variables = {
        "STOREROOM_DATABASE_URL": dsn,
        "STOREROOM_SECRET": SECRET,
        "STOREROOM_WORKER": "off",
        "STOREROOM_TRUSTED_PROXIES": "1",
        "STOREROOM_ACCOUNT_CALLS": "15",
        "STOREROOM_ADDRESS_CALLS": "25",
    }
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            folder = Path(tempfile.mkdtemp(prefix="storeroom-quotas-"))
            stack.callback(shutil.rmtree, folder)
            process = ServerProcess(folder, **variables)
            stack.callback(lambda server: server.process and server.stop(), process)
            process.start()
            made.append(process)
        yield made[0], made[1]


async def within_a_minute(ask: Callable[[], Awaitable[Counter[int]]]) -> Counter[int]:
    """What was answered, in one window: where it ended meanwhile, once more from the beginning of the next."""
    for _ in range(ATTEMPTS_MAX):
        begun = int(time.time() // 60)
        answers = await ask()
        if int(time.time() // 60) == begun:
            return answers
        await asyncio.sleep(60 - time.time() % 60)
    raise AssertionError("every attempt met the end of a minute")


async def asked(urls: list[str], times: int, path: str, **headers: str) -> Counter[int]:
    """So many calls to each server, all at once; and each refusal says until when."""
    async with httpx.AsyncClient(timeout=30, headers=headers) as http:
        answers = await asyncio.gather(*(http.get(url + path) for url in urls for _ in range(times)))
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "request.rate_limited"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
    return Counter(answer.status_code for answer in answers)


async def test_two_servers_share_the_quota_of_a_key(
    servers: tuple[ServerProcess, ServerProcess], database: Database
) -> None:
    """A key has its own number, whoever its address is; then the account and the address have theirs."""
    room = Storeroom(database, secret=SECRET)
    shop = room.tenant((await open_shop(room)).tenant_id)
    urls = [server.url for server in servers]
    numbers = iter(range(1000))

    async def by_key() -> Counter[int]:
        _, text = await shop.api_keys.create(name="x", permissions=[Permission.ORDERS_READ], calls_per_minute=30)
        return await asked(urls, 25, LISTED, Authorization=f"Bearer {text}")

    async def by_account() -> Counter[int]:
        admin = await shop.users.create(email=f"a{next(numbers)}@shop.example", role=UserRole.ADMIN)
        token = (await shop.sessions.start(proof=Proof(user_id=admin.id))).access_token
        address = f"2001:db8:0:{next(numbers)}::1"
        return await asked(urls, 14, LISTED, Authorization=f"Bearer {token}", **{"X-Forwarded-For": address})

    async def by_address() -> Counter[int]:
        _, guest = await shop.sessions.guest()
        token, address = f"guest_{shop.tenant_id}.{guest}", f"2001:db8:0:{next(numbers)}::1"
        return await asked(
            urls, 20, f"/v1/carts/{new_id()}", **{"Storeroom-Session": token, "X-Forwarded-For": address}
        )

    assert await within_a_minute(by_key) == {200: 30, 429: 20}
    assert await within_a_minute(by_account) == {200: 15, 429: 13}
    assert await within_a_minute(by_address) == {404: 25, 429: 15}, "the visitor has no such cart"


async def test_one_writes_for_many_and_never_too_many_pass(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await open_shop(Storeroom(database))
    servers = [Quotas(database, clock=FixedClock(NOON)) for _ in range(3)]
    times, written = 20 * QUOTA_BLOCKS, 0
    plain = Database.fetchrow

    async def counted(self: Database, sql: str, *args: object) -> Any:
        nonlocal written
        written += "rate_counters" in sql
        return await plain(self, sql, *args)

    monkeypatch.setattr(Database, "fetchrow", counted)
    passed = 0
    for call in range(times + 200):
        with contextlib.suppress(RateLimited):
            await servers[call % 3].take(tenant_id=shop.tenant_id, bucket="calls_key:x", times=times)
            passed += 1
    assert times - 3 * 20 <= passed <= times
    assert written <= QUOTA_BLOCKS + 3, "a write for each part, and one for each server that learns that it is over"


async def test_callers_at_once_get_no_more_than_there_is(database: Database) -> None:
    shop = await open_shop(Storeroom(database))
    servers = [Quotas(database, clock=FixedClock(NOON)) for _ in range(2)]
    outcomes = await asyncio.gather(
        *(servers[call % 2].take(tenant_id=shop.tenant_id, bucket="calls_key:y", times=100) for call in range(160)),
        return_exceptions=True,
    )
    passed = outcomes.count(None)
    assert 100 - 2 * (100 // QUOTA_BLOCKS) <= passed <= 100
    assert all(isinstance(outcome, RateLimited) for outcome in outcomes if outcome is not None)


async def test_the_next_minute_and_another_shop_begin_anew(database: Database) -> None:
    one, other = [(await open_shop(Storeroom(database))).tenant_id for _ in range(2)]
    now = NOON
    quotas = Quotas(database, clock=FixedClock(now))
    await quotas.take(tenant_id=one, bucket="calls_key:z", times=1)
    with pytest.raises(RateLimited) as refused:
        await quotas.take(tenant_id=one, bucket="calls_key:z", times=1)
    assert refused.value.retry_after_s == 30
    await quotas.take(tenant_id=other, bucket="calls_key:z", times=1)
    quotas._clock = FixedClock(now + timedelta(seconds=30))
    await quotas.take(tenant_id=one, bucket="calls_key:z", times=1)


async def test_addresses_of_one_line_share_its_quota(place: Place) -> None:
    """Of IPv6 that is 64 bits; an IPv4 address is the same one where it comes mapped. The loopback has no quota."""
    gate = RoomGate(place.room, Settings(address_calls=1000))
    nobody = Principal(kind=PrincipalKind.NONE, tenant_id=TenantId(place.market.context.tenant_id))
    for ip in (
        "2001:db8:7::1",
        "2001:db8:7::2:1",
        "2001:db8:7:1::1",
        "203.0.113.7",
        "::ffff:203.0.113.7",
        "::ffff:127.0.0.1",
        "::1",
    ):
        await gate.admit(nobody, ip)
    buckets = await place.market.rows("SELECT DISTINCT bucket FROM {rate_counters} WHERE tenant_id = $1")
    assert {bucket for (bucket,) in buckets} == {
        "calls_address:2001:db8:7:1::/64",
        "calls_address:2001:db8:7::/64",
        "calls_address:203.0.113.7",
    }


async def test_what_has_no_number_is_not_counted(place: Place) -> None:
    app = create_app(place.room, Settings(flood_requests=0, key_calls=0, account_calls=0, address_calls=0))
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{place.host}") as http:
        assert (await http.post("/v1/carts")).status_code == 201
    assert await place.count("rate_counters") == 0
