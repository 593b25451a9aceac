"""The configuration: one row a key, secrets sealed, the environment first, and the database hardly ever asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from factories import SECRET, open_shop
from rivals import race
from storeroom.configuration import (
    SUPPORT_EMAIL,
    ConfigCache,
    ConfigNotFound,
    ConfigUnreadable,
    Configuration,
    InvalidConfig,
    Setting,
    Source,
    choice,
    declare,
    number,
    switch,
    text,
)
from storeroom.configuration.cache import channel
from storeroom.core.crypto import SealBroken
from storeroom.database.pool import Database, Transaction
from storeroom.identity import SigningSecretMissing, TokenKeys
from storeroom.room import Shop, Storeroom

DEADLINE_S = 60.0
HIDDEN = "zebra-crossing-4711"
START = HIDDEN[:10]  # long enough to be in no seal by chance
LIMIT = declare(
    Setting(key="tests.limit", default=7, parse=number(1, 100), says="for tests", environment="STOREROOM_TEST_LIMIT")
)
TOKEN = declare(
    Setting(key="tests.mail_login", default=None, parse=text, says="for tests", secret=True, environment="TEST_LOGIN")
)


class Counting:
    """A database that counts what it is asked, and answers when it is let."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answered = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    async def fetchrow(self, sql: str, /, *args: object) -> Any:
        self.asked.append(sql)
        row = await self.db.fetchrow(sql, *args)
        self.answered.set()
        await self.may_answer.wait()
        return row


@pytest.fixture
def counting(database: Database) -> Counting:
    return Counting(database)


@pytest.fixture
async def cached(shop: Shop, counting: Counting) -> AsyncIterator[Configuration]:
    """The configuration of the shop, read as a process of its own does."""
    cache = ConfigCache(counting)  # type: ignore[arg-type]
    yield Configuration(shop.context, TokenKeys.of(SECRET), cache, {})
    await cache.close()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0)


async def row(shop: Shop, database: Database, key: str) -> Any:
    sql = "SELECT * FROM store_configs WHERE tenant_id = $1 AND key = $2"
    return await database.fetchrow(sql, shop.tenant_id, key)


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-CFG-01")
async def test_a_key_is_one_row_and_its_date_advances(shop: Shop, database: Database) -> None:
    first = await shop.configuration.set(key="store.name", value="Mine", group="general")
    assert await shop.configuration.get(key="store.name") == "Mine"
    second = await shop.configuration.set(key="store.name", value="Ours")
    assert await shop.configuration.get(key="store.name") == "Ours"
    assert first.updated_at is not None and second.updated_at is not None and second.updated_at > first.updated_at
    rows = await database.fetch("SELECT value, is_encrypted FROM store_configs WHERE tenant_id = $1", shop.tenant_id)
    assert [tuple(each) for each in rows] == [("Ours", False)]


@pytest.mark.requirement("STO-CFG-05")
async def test_a_group_lists_exactly_its_keys_and_hides_secrets(shop: Shop) -> None:
    for key, value, group in (
        ("store.name", "Shop", "general"),
        ("pixel", "G-1", "marketing"),
        ("mail.password", HIDDEN, "marketing"),
        ("receipt", "short", "payment"),
        ("stock.alarm", "on", "warehouse"),
    ):
        await shop.configuration.set(key=key, value=value, group=group)
    marketing = (await shop.configuration.list(group="marketing")).items
    assert [(each.key, each.value, each.is_encrypted) for each in marketing] == [
        ("mail.password", None, True),
        ("pixel", "G-1", False),
    ]
    assert [each.key for each in (await shop.configuration.list(group="warehouse")).items] == ["stock.alarm"]
    assert (await shop.configuration.list(group="nobody")).items == []
    page = await shop.configuration.list(limit=3)
    rest = await shop.configuration.list(limit=3, cursor=page.next_cursor)
    assert [each.key for each in [*page.items, *rest.items]] == [
        "mail.password",
        "pixel",
        "receipt",
        "stock.alarm",
        "store.name",
    ]
    assert (await shop.configuration.entry(key="mail.password")).value is None
    assert await shop.configuration.get(key="mail.password") == HIDDEN  # the server's own code reads it


@pytest.mark.parametrize(
    ("key", "group", "found"),
    [
        ("marketing.pixel", None, "marketing"),
        ("pixel", None, "general"),
        ("Odd.pixel", None, "general"),
        ("marketing.pixel", "payment", "payment"),
        ("general.support_phone", None, "general"),
    ],
)
async def test_a_key_without_a_group_gets_one(shop: Shop, key: str, group: str | None, found: str) -> None:
    assert (await shop.configuration.set(key=key, value="1", group=group)).group_name == found
    assert (await shop.configuration.set(key=key, value="2")).group_name == found  # which it keeps


@pytest.mark.parametrize(
    "given",
    [
        {"key": ""},
        {"key": "1st"},
        {"key": "a key"},
        {"key": "k" * 101},
        {"value": "\x00"},
        {"value": "v" * 10_001},
        {"group": "No Group"},
        {"group": "g" * 51},
        {"key": "tests.limit", "value": "101"},
        {"key": "tests.limit", "value": HIDDEN},
        {"key": "tests.mail_login", "is_encrypted": False},
        {"key": "tests.limit", "value": "9", "is_encrypted": True},
    ],
)
async def test_what_cannot_be_right_is_refused(shop: Shop, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig) as refused:
        await shop.configuration.set(**{"key": "key", "value": "value", **given})
    assert START not in str(refused.value)
    assert (await shop.configuration.list()).items == []


async def test_a_key_is_forgotten(shop: Shop) -> None:
    await shop.configuration.set(key="tests.limit", value="9")
    await shop.configuration.delete(key="tests.limit")
    assert await shop.configuration.value(LIMIT) == 7
    with pytest.raises(ConfigNotFound):
        await shop.configuration.delete(key="tests.limit")
    with pytest.raises(ConfigNotFound):
        await shop.configuration.entry(key="nobody")
    assert (await shop.configuration.entry(key="tests.limit")).source is Source.DEFAULT


async def test_two_who_set_one_key_leave_what_the_second_said(shop: Shop, database: Database) -> None:
    await shop.configuration.set(key="mail.password", value="0")

    async def first(tx: Transaction) -> None:
        await shop.configuration.bound(tx).set(key="mail.password", value="1", is_encrypted=False)

    before = (await row(shop, database, "mail.password"))["updated_at"]
    second = await race(database, first, lambda: shop.configuration.set(key="mail.password", value="2"))
    kept = await row(shop, database, "mail.password")
    assert (kept["value"], kept["is_encrypted"], second.is_encrypted) == ("2", False, False)  # it saw the first
    assert kept["updated_at"] > before
    assert await shop.configuration.get(key="mail.password") == "2"


async def test_many_who_set_a_new_key_at_once_leave_one_row(
    house: Shop, http: httpx.AsyncClient, database: Database
) -> None:
    answers = await asyncio.gather(
        *(http.put("/v1/admin/configuration/store.name", json={"value": f"Shop {n}"}) for n in range(8))
    )
    assert {answer.status_code for answer in answers} == {200}
    said = (await http.get("/v1/admin/configuration/store.name")).json()
    sql = "SELECT value FROM store_configs WHERE tenant_id = $1 AND key = 'store.name'"
    assert [each["value"] for each in await database.fetch(sql, house.tenant_id)] == [said["value"]]
    assert said["value"] in {answer.json()["value"] for answer in answers}


# --- Precedence -------------------------------------------------------------------------------------------------------


async def test_the_environment_comes_first_then_what_is_stored_then_the_default(shop: Shop) -> None:
    def within(**environment: str) -> Configuration:
        return Configuration(shop.context, TokenKeys.of(SECRET), None, environment)

    assert await within().value(LIMIT) == 7
    assert await within(STOREROOM_TEST_LIMIT="3").value(LIMIT) == 3
    await shop.configuration.set(key="tests.limit", value=" 9 ")
    assert await within().value(LIMIT) == 9
    assert await within(STOREROOM_TEST_LIMIT=" ").value(LIMIT) == 9
    by_environment = within(STOREROOM_TEST_LIMIT="3")
    assert await by_environment.value(LIMIT) == 3 and await by_environment.get(key="tests.limit") == "3"
    entry = await by_environment.entry(key="tests.limit")
    assert (entry.value, entry.source) == ("3", Source.ENVIRONMENT)
    assert (await within(TEST_LOGIN=HIDDEN).entry(key="tests.mail_login")).value is None
    with pytest.raises(ConfigUnreadable, match="a whole number from 1 to 100") as refused:
        await within(STOREROOM_TEST_LIMIT=HIDDEN).value(LIMIT)
    assert START not in str(refused.value)
    assert await within().value(SUPPORT_EMAIL) is None


def test_a_key_is_declared_once() -> None:
    assert declare(LIMIT) is LIMIT
    with pytest.raises(ValueError, match="declared already"):
        declare(Setting(key="tests.limit", default=8, parse=LIMIT.parse, says="another"))
    with pytest.raises(ValueError, match="cannot be a key"):
        declare(Setting(key="no key", default=8, parse=LIMIT.parse, says="another"))


def test_texts_mean_something() -> None:
    assert (switch(" On "), switch("0"), number(-5, 5)("-3"), choice("a", "b")("B"), text(" x ")) == (
        True,
        False,
        -3,
        "b",
        "x",
    )
    for parse, wrong in ((switch, "maybe"), (number(1, 5), "6"), (number(1, 5), "x"), (choice("a"), "b"), (text, " ")):
        with pytest.raises(ValueError, match=r".+"):
            parse(wrong)  # type: ignore[operator]


# --- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-CFG-04")
async def test_a_secret_is_sealed_for_its_place(shop: Shop, room: Storeroom, database: Database) -> None:
    other = await open_shop(room)
    for each in (shop, other):
        await each.configuration.set(key="mail.password", value=HIDDEN)
    await shop.configuration.set(key="another", value=HIDDEN, is_encrypted=True)
    kept = (await row(shop, database, "mail.password"))["value"]
    assert START not in kept
    plain = Configuration(shop.context, TokenKeys.of(SECRET))
    assert await plain.get(key="mail.password") == HIDDEN
    assert repr(await plain.secret(key="mail.password")) == "Secret(hidden)"

    wrong = Configuration(shop.context, TokenKeys.of("a secret of another installation altogether"))
    with pytest.raises(SealBroken):
        await wrong.get(key="mail.password")
    with pytest.raises(SigningSecretMissing):
        await Configuration(shop.context).get(key="mail.password")
    version, key, body = kept.split(".")
    letter = "A" if body[20] != "A" else "B"
    for place, moved in (
        (shop, f"{version}.{key}.{body[:20]}{letter}{body[21:]}"),  # a changed byte
        (shop, (await row(shop, database, "another"))["value"]),  # another key's
        (shop, (await row(other, database, "mail.password"))["value"]),  # another shop's
    ):
        sql = "UPDATE store_configs SET value = $3 WHERE tenant_id = $1 AND key = $2"
        await database.execute(sql, place.tenant_id, "mail.password", moved)
        with pytest.raises(SealBroken):
            await plain.get(key="mail.password")


async def test_a_secret_stays_one_until_it_is_said_otherwise(shop: Shop) -> None:
    assert (await shop.configuration.set(key="token", value="1")).is_encrypted  # its name sounds like it
    assert (await shop.configuration.set(key="token", value="2")).is_encrypted
    assert not (await shop.configuration.set(key="token", value="3", is_encrypted=False)).is_encrypted
    assert not (await shop.configuration.set(key="token", value="4")).is_encrypted
    assert (await shop.configuration.set(key="tests.mail_login", value="5")).is_encrypted  # the program knows


@pytest.mark.requirement("STO-CFG-05", "STO-CFG-07")
async def test_a_secret_is_nowhere_but_sealed(
    house: Shop, http: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url, answers = "/v1/admin/configuration", []
    for key, body in (
        ("mail.password", {"value": HIDDEN}),
        ("pixel", {"value": HIDDEN, "is_encrypted": True}),
        ("pixel", {"value": f"{HIDDEN}-2"}),
        ("tests.mail_login", {"value": HIDDEN}),
        ("tests.mail_login", {"value": HIDDEN, "is_encrypted": False}),
        ("tests.limit", {"value": HIDDEN}),
        ("a key", {"value": HIDDEN}),
        ("mail.password", {"value": HIDDEN, "group": "No Group"}),
        ("mail.password", {"value": [HIDDEN]}),
        ("mail.password", {"value": HIDDEN * 600}),
        ("visible-1", {"value": "visible-2", "is_encrypted": False}),
    ):
        answers.append(await http.put(f"{url}/{key}", json=body))
    assert [answer.is_success for answer in answers] == [True] * 4 + [False] * 6 + [True]
    answers += [await http.get(each) for each in (url, f"{url}/pixel", f"{url}/mail.password")]
    assert await house.configuration.get(key="pixel") == f"{HIDDEN}-2"
    rows = []
    for table in ("store_configs", "audit_logs", "webhook_queue", "events", "idempotency_keys"):
        found = await database.fetch(
            f"SELECT to_jsonb(t)::text AS row FROM {table} t WHERE tenant_id = $1", house.tenant_id
        )
        rows += [each["row"] for each in found]
    written = "\n".join(rows)
    assert "visible-2" in written and "configuration.set" in written
    for where in (written, caplog.text, "\n".join(f"{answer.headers} {answer.text}" for answer in answers)):
        assert START not in where


async def test_the_trail_has_what_is_no_secret(house: Shop, http: httpx.AsyncClient) -> None:
    await http.put("/v1/admin/configuration/pixel", json={"value": "G-1", "is_encrypted": False})
    (entry,) = (await house.audit.list()).items[:1]
    assert entry.new_values == {"key": "pixel", "value": "G-1", "is_encrypted": False}


# --- The cache --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-CFG-02")
async def test_a_second_read_asks_nothing(shop: Shop, cached: Configuration, counting: Counting) -> None:
    await shop.configuration.set(key="store.name", value="Mine")
    assert [await cached.get(key="store.name") for _ in range(3)] == ["Mine"] * 3
    assert len(counting.asked) == 1
    assert [await cached.get(key="nobody") for _ in range(3)] == [None] * 3  # that there is none is kept as well
    assert len(counting.asked) == 2


@pytest.mark.requirement("STO-CFG-02")
async def test_a_missing_key_is_read_once_by_many_at_once(cached: Configuration, counting: Counting) -> None:
    counting.may_answer.clear()
    readers = [asyncio.ensure_future(cached.get(key="nobody")) for _ in range(50)]
    await counting.answered.wait()
    readers[0].cancel()  # who began it gives up, and the others get their answer
    counting.may_answer.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError) and answers[1:] == [None] * 49
    assert len(counting.asked) == 1


@pytest.mark.requirement("STO-CFG-03")
async def test_a_thousand_reads_of_ten_keys_are_ten_questions(
    shop: Shop, cached: Configuration, counting: Counting
) -> None:
    for n in range(9):
        await shop.configuration.set(key=f"key{n}", value=str(n))
    found = await asyncio.gather(*(cached.get(key=f"key{n % 10}") for n in range(1000)))
    assert found == [str(n % 10) if n % 10 < 9 else None for n in range(1000)]
    assert len(counting.asked) == 10


@pytest.mark.requirement("STO-CFG-06")
async def test_what_another_process_writes_is_read(
    shop: Shop, room: Storeroom, cached: Configuration, counting: Counting
) -> None:
    """Two handles on one database, each with its cache: what one writes, the other hears of."""
    assert await cached.get(key="store.name") is None
    for value in ("One", "Two"):
        await shop.configuration.set(key="store.name", value=value)
        assert await shop.configuration.get(key="store.name") == value  # at once where it was written
        await heard(cached, shop, "store.name")
        assert await cached.get(key="store.name") == value
    await shop.configuration.delete(key="store.name")
    await heard(cached, shop, "store.name")
    assert await cached.get(key="store.name") is None
    assert len(counting.asked) == 4


async def heard(configuration: Configuration, shop: Shop, key: str) -> None:
    cache = configuration._cache
    assert cache is not None
    await until(lambda: (shop.tenant_id, key) not in cache._kept)


@pytest.mark.requirement("STO-CFG-06")
async def test_a_read_that_a_write_overtakes_is_not_kept(shop: Shop, cached: Configuration, counting: Counting) -> None:
    """The row was read before the write and would be kept after it was told of."""
    await shop.configuration.set(key="store.name", value="Old")
    counting.may_answer.clear()
    reading = asyncio.ensure_future(cached.get(key="store.name"))
    await counting.answered.wait()
    await shop.configuration.set(key="store.name", value="New")
    cache = cached._cache
    assert cache is not None
    await until(lambda: not cache._reading)
    counting.may_answer.set()
    assert await reading == "Old"
    assert await cached.get(key="store.name") == "New"


async def test_what_is_rolled_back_is_not_read(shop: Shop) -> None:
    await shop.configuration.set(key="store.name", value="Old")
    with pytest.raises(ZeroDivisionError):
        async with shop.transaction() as tx:
            await tx.configuration.set(key="store.name", value="New")
            assert await tx.configuration.get(key="store.name") == "New"  # the transaction reads its own
            assert await shop.configuration.get(key="store.name") == "Old"
            raise ZeroDivisionError
    assert await shop.configuration.get(key="store.name") == "Old"


async def test_old_values_end_where_nobody_tells_of_changes(shop: Shop, counting: Counting) -> None:
    """A row changed past the service is read when its time is over; for tests that is at once, or never."""
    kept = [ConfigCache(counting, keep_s=keep_s) for keep_s in (0.0, 1e9)]  # type: ignore[arg-type]
    caches = [Configuration(shop.context, None, cache, {}) for cache in kept]
    await shop.configuration.set(key="store.name", value="Old")
    assert [await each.get(key="store.name") for each in caches] == ["Old", "Old"]
    sql = "UPDATE store_configs SET value = 'New' WHERE tenant_id = $1"
    await counting.db.execute(sql, shop.tenant_id)
    assert [await each.get(key="store.name") for each in caches] == ["New", "Old"]
    for cache in kept:
        await cache.close()


async def test_after_a_lost_connection_everything_is_read_again(
    shop: Shop, database: Database, cached: Configuration
) -> None:
    await shop.configuration.set(key="store.name", value="Old")
    assert await cached.get(key="store.name") == "Old"
    sql = "UPDATE store_configs SET value = 'New' WHERE tenant_id = $1"
    await database.execute(sql, shop.tenant_id)
    assert await cached.get(key="store.name") == "Old"
    listening = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%{channel(database.names)}%' "
        "AND datname = current_database()"  # other workers go on listening
    )
    admin = await asyncpg_connect(database)
    try:
        assert await admin.fetch(listening)
    finally:
        await admin.close()
    await heard(cached, shop, "store.name")
    assert await cached.get(key="store.name") == "New"


async def asyncpg_connect(database: Database) -> Any:
    import asyncpg

    return await asyncpg.connect(database.direct_dsn)
