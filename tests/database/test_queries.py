"""Statements become coroutines, rows become structs; on a real PostgreSQL."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NewType
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from storeroom.core.clock import NaiveInstant
from storeroom.core.money import Money
from storeroom.database.names import TableNames
from storeroom.database.pool import Database
from storeroom.database.queries import (
    FILTERS_MAX,
    QueryFileError,
    QueryReturnedNothing,
    Rows,
    compile_query,
    load,
    parse,
)

ThingId = NewType("ThingId", UUID)


class State(StrEnum):
    NEW = "new"
    DONE = "done"


class Part(msgspec.Struct, frozen=True):
    sku: str
    price: Money
    made_at: datetime


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    id: ThingId
    state: State
    before: State | None
    states: tuple[State, ...]
    price: Money
    discount: Money | None
    rate: Decimal
    meta: dict[str, object]
    parts: list[Part]
    main: Part | None
    made_at: datetime


class Pair(msgspec.Struct, frozen=True):
    a: int
    b: str | None


SCHEMA = """
CREATE TYPE q_state AS ENUM ('new', 'done');
CREATE TABLE q_things (tenant_id text NOT NULL, id uuid NOT NULL, state q_state NOT NULL, before q_state,
    states q_state[] NOT NULL, price bigint NOT NULL, discount bigint, currency text NOT NULL, rate numeric NOT NULL,
    meta jsonb NOT NULL, parts jsonb NOT NULL, main jsonb, made_at timestamptz NOT NULL, PRIMARY KEY (tenant_id, id));
"""


@pytest.fixture(scope="module")
async def db(postgres: Any) -> AsyncIterator[Database]:
    name = f"query_tests_{os.getpid()}"  # each worker that has some of these tests makes its own
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name}")
    opened = await Database.open(postgres.dsn(name), names=TableNames("q_"), role=None, min_size=1)
    await opened.execute(SCHEMA)
    yield opened
    await opened.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def made(text: str, result: Any = None) -> Callable[..., Awaitable[Any]]:
    (query,) = parse(text)
    return compile_query(query, result, "tests.queries")


INSERT = """-- name: add(tenant_id, id, state, before?, states, price, discount?, currency, meta, parts, main?, made_at)
INSERT INTO {things} (tenant_id, id, state, before, states, price, discount, currency, rate, meta, parts, main, made_at)
VALUES (:tenant_id, :id, :state, :before, :states, :price, :discount, :currency, 1.50, :meta, :parts, :main, :made_at);
"""
SELECT = """-- name: things(tenant_id) -> Thing*
SELECT id, state, before, states, price, discount, rate, meta, parts, main, made_at, currency
  FROM {things}
 WHERE tenant_id = :tenant_id
 ORDER BY made_at;
"""


async def test_a_row_goes_in_and_comes_out_as_its_struct(db: Database) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    part = Part("a-1", Money(250, "EUR"), at)
    whole = Thing(
        id=ThingId(uuid4()),
        state=State.NEW,
        before=None,
        states=(State.NEW, State.DONE),
        price=Money(1295, "EUR"),
        discount=None,
        rate=Decimal("1.50"),
        meta={"quote": "it's {x} :y", "list": [1, None]},
        parts=[part, part],
        main=None,
        made_at=at,
    )
    bare = msgspec.structs.replace(
        whole, id=ThingId(uuid4()), before=State.DONE, states=(), discount=Money(5, "EUR"), parts=[], main=part
    )
    tenant, add, things = str(uuid4()), made(INSERT), made(SELECT, Thing)
    for thing in (whole, bare):
        given = {name: getattr(thing, name) for name in ("id", "state", "before", "states", "meta", "parts", "main")}
        amounts = {"price": thing.price.amount, "discount": thing.discount and thing.discount.amount, "currency": "EUR"}
        assert await add(db, tenant_id=tenant, made_at=at, **given, **amounts) is None
    found = await things(db, tenant_id=tenant)
    assert {thing.id: thing for thing in found} == {whole.id: whole, bare.id: bare}
    assert isinstance(found[0].state, State)
    assert await things(db, tenant_id="nobody") == []


async def test_how_many_rows_come_back(db: Database) -> None:
    one = made("-- name: q(a) -> Pair\nSELECT i AS a, 'x' AS b FROM generate_series(1, :a::int) i", Pair)
    maybe = made("-- name: q(a) -> Pair?\nSELECT i AS a, NULL AS b FROM generate_series(1, :a::int) i", Pair)
    many = made("-- name: q(a) -> Pair*\nSELECT i AS a, 'x' AS b FROM generate_series(1, :a::int) i", Pair)
    assert await one(db, a=1) == Pair(1, "x")
    with pytest.raises(QueryReturnedNothing, match=r"tests\.queries\.q promises exactly one row"):
        await one(db, a=0)
    assert await maybe(db, a=1) == Pair(1, None)
    assert await maybe(db, a=0) is None
    assert await many(db, a=2) == [Pair(1, "x"), Pair(2, "x")]
    assert await many(db, a=0) == []


async def test_single_values(db: Database) -> None:
    assert await made("-- name: q() -> int\nSELECT 7", int)(db) == 7
    assert await made("-- name: q() -> int?\nSELECT NULL::int", int)(db) is None
    assert await made("-- name: q() -> int?\nSELECT 1 WHERE false", int)(db) is None
    assert await made("-- name: q() -> str*\nSELECT unnest(ARRAY['a', 'b'])", str)(db) == ["a", "b"]
    state = await made("-- name: q() -> State?\nSELECT 'done'::{state}", State)(db)
    assert state is State.DONE
    with pytest.raises(QueryReturnedNothing):
        await made("-- name: q() -> int\nSELECT NULL::int", int)(db)


@pytest.mark.parametrize("name", ["scope", "row", "rows", "make", "texts", "nothing", "suspects", "variants", "given"])
@pytest.mark.parametrize("rows", ["", "?", "*"])
async def test_an_argument_hides_nothing_of_the_generated_coroutine(db: Database, name: str, rows: str) -> None:
    query = made(f"-- name: {name}({name}) -> Pair{rows}\nSELECT 1 AS a, :{name}::text AS b", Pair)
    assert await query(db, **{name: "x"}) in (Pair(1, "x"), [Pair(1, "x")])


async def test_count_is_the_number_of_rows_touched(db: Database) -> None:
    delete = made("-- name: q(tenant_id) -> count\nDELETE FROM {things} WHERE tenant_id = :tenant_id")
    tenant = str(uuid4())
    for _ in range(3):
        await made(INSERT)(
            db,
            tenant_id=tenant,
            id=uuid4(),
            state="new",
            before=None,
            states=[],
            price=1,
            discount=None,
            currency="EUR",
            meta={},
            parts=[],
            main=None,
            made_at=datetime.now(UTC),
        )
    assert await delete(db, tenant_id=tenant) == 3
    assert await delete(db, tenant_id=tenant) == 0


async def test_a_condition_stands_only_where_its_argument_is_given(db: Database) -> None:
    numbers = made(
        """-- name: numbers(most, least?, odd?) -> int*
SELECT i
  FROM generate_series(1, :most::int) i
 WHERE true
   AND i >= :least -- if least
   AND (i % 2 = 1) = :odd   -- if odd
 ORDER BY i;
""",
        int,
    )
    assert await numbers(db, most=5) == [1, 2, 3, 4, 5]
    assert await numbers(db, most=5, least=3) == [3, 4, 5]
    assert await numbers(db, most=5, odd=True) == [1, 3, 5]
    assert await numbers(db, most=5, odd=False) == [2, 4]  # False is given; only None is not
    assert await numbers(db, most=5, least=3, odd=True) == [3, 5]


async def test_placeholders_are_numbered_as_declared_and_strings_are_left_alone(db: Database) -> None:
    query = made(
        "-- name: q(a, b) -> Pair\n"
        "SELECT :b::int + :b AS a,\n"
        "       :a::text || ':b {x} ' || '{}'::jsonb::text || ((ARRAY[1, 2, 3])[1:2])::text AS b -- :c",
        Pair,
    )
    assert await query(db, a="x", b=10) == Pair(20, "x:b {x} {}{1,2}")
    (parsed,) = parse("-- name: q(a, b) -> int\nSELECT :b, :a, :b")
    assert parsed.variants[0].sql == "SELECT $2, $1, $2"


async def test_a_naive_instant_is_refused_before_it_is_sent(db: Database) -> None:
    query = made("-- name: q(at) -> datetime\nSELECT :at::timestamptz", datetime)
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - the point of this test
    with pytest.raises(NaiveInstant) as refused:
        await query(db, at=naive)
    assert refused.value.field == "at"
    many = made("-- name: q(at) -> int\nSELECT cardinality(:at::timestamptz[])", int)
    with pytest.raises(NaiveInstant):
        await many(db, at=[datetime.now(UTC), naive])
    assert await many(db, at=[datetime.now(UTC)]) == 1
    assert await query(db, at=datetime.now(UTC) + timedelta(days=1))


async def test_columns_that_are_not_the_fields_are_refused(db: Database) -> None:
    for columns in ("1 AS b, 'x' AS a", "1 AS a", "1 AS a, 'x' AS b, 2 AS c", "1 AS a, 'x' AS b, 'y' AS b"):
        for mark in ("", "?", "*"):
            with pytest.raises(TypeError, match="has the fields a, b; the columns are"):
                await made(f"-- name: q() -> Pair{mark}\nSELECT {columns}", Pair)(db)
    with pytest.raises(TypeError, match="returns one value"):
        await made("-- name: q() -> int\nSELECT 1 AS a, 2 AS b", int)(db)


async def test_money_needs_its_currency(db: Database) -> None:
    class Priced(msgspec.Struct, frozen=True):
        currency: str
        price: Money

    class Bare(msgspec.Struct, frozen=True):
        price: Money

    both = made("-- name: q() -> Priced\nSELECT 'USD' AS currency, 5::bigint AS price", Priced)
    assert await both(db) == Priced("USD", Money(5, "USD"))
    assert await made("-- name: q() -> Bare\nSELECT 5::bigint AS price, 'USD' AS currency", Bare)(db) == Bare(
        Money(5, "USD")
    )
    with pytest.raises(TypeError, match="currency"):
        await made("-- name: q() -> Bare\nSELECT 5::bigint AS price", Bare)(db)


async def test_a_label_the_enum_does_not_know_is_named(db: Database) -> None:
    with pytest.raises(ValueError, match="'gone', which State does not know"):
        await made("-- name: q() -> State\nSELECT 'gone'", State)(db)


async def test_one_statement_serves_two_namings(db: Database) -> None:
    class Recorder:
        def __init__(self, prefix: str) -> None:
            self.names, self.sent = TableNames(prefix), list[str]()

        async def execute(self, sql: str, /, *_: object) -> str:
            self.sent.append(sql)
            return "DELETE 0"

    query, one, other = made("-- name: q() -> count\nDELETE FROM {things}"), Recorder("a_"), Recorder("b_")
    for recorder in (one, other, one):
        await query(recorder)
    assert one.sent == ["DELETE FROM a_things"] * 2
    assert other.sent == ["DELETE FROM b_things"]


async def test_arguments_are_keywords_and_all_are_needed(db: Database) -> None:
    query = made("-- name: q(a, note?) -> int\nSELECT :a::int + coalesce(:note::int, 0)", int)
    assert await query(db, a=1, note=None) == 1
    for wrong in ({"a": 1}, {"a": 1, "note": 1, "x": 1}):
        with pytest.raises(TypeError):
            await query(db, **wrong)
    with pytest.raises(TypeError):
        await query(db, 1, None)


def test_the_header_says_everything() -> None:
    (query,) = parse(
        "-- The file's own words.\n\n"
        "-- name: late(a,\n--       b?) -> Pair*\n"
        "-- Newest first.\n-- scope: all tenants\n-- bounded offset\n-- Two lines.\n"
        "SELECT :a,\n\n  -- a remark\n  :b;\n\n-- What follows belongs to the next one.\n"
    )
    assert (query.name, query.type_name, query.rows) == ("late", "Pair", Rows.MANY)
    assert [(a.name, a.nullable) for a in query.arguments] == [("a", False), ("b", True)]
    assert query.doc == "Newest first.\nTwo lines."
    assert query.all_tenants
    assert query.bounded_offset
    assert query.variants[0].sql == "SELECT $1,\n\n  -- a remark\n  $2"
    assert query.where == "queries.sql:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: q(a) -> int\nSELECT 1", "declares a and does not use it"),
        ("-- name: q(a) -> int\nSELECT 1 -- :a", "declares a and does not use it"),
        ("-- name: q(a) -> int\nSELECT ':a'", "declares a and does not use it"),
        ("-- name: q() -> int\nSELECT :a", "uses a and does not declare it"),
        ("-- name: q(a, a) -> int\nSELECT :a", "declares a twice"),
        ("-- name: q(a b) -> int\nSELECT :a", "'a b' is no argument"),
        ("-- name: q(a,) -> int\nSELECT :a", "'' is no argument"),
        ("-- name: q(class) -> int\nSELECT :class", "'class' is no argument"),
        ("-- name: q -> int\nSELECT 1", "write `-- name:"),
        ("-- name: q() int\nSELECT 1", "write `-- name:"),
        ("-- name: q() -> list[int]\nSELECT 1", "write `-- name:"),
        ("-- name: q() -> count?\nSELECT 1", "a count is one number"),
        ("-- name: q() -> int\n", "has no statement"),
        ("-- name: q() -> int\n-- only words\n", "has no statement"),
        ("-- name: load() -> int\nSELECT 1", "cannot be called load"),
        ("-- name: import() -> int\nSELECT 1", "cannot be called import"),
        ("-- name: q() -> int\nSELECT 1;\n-- name: q() -> int\nSELECT 2", "q is already at queries.sql:1"),
        ("-- name: q() -> int\nSELECT 1\n AND true -- if a", "declare it as a?"),
        ("-- name: q(a) -> int\nSELECT 1\n AND :a -- if a", "declare it as a?"),
        (
            "-- name: q(" + ", ".join(f"a{i}?" for i in range(7)) + ")\nSELECT 1"
            "\n" + "\n".join(f":a{i} -- if a{i}" for i in range(7)),
            f"more than {FILTERS_MAX} optional conditions",
        ),
    ],
)
def test_a_file_that_does_not_add_up_is_refused(text: str, message: str) -> None:
    with pytest.raises(QueryFileError) as refused:
        parse(text)
    assert message in str(refused.value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A slice on disk: `package(queries=..., model=...)` is its name."""

    def make(**files: str) -> str:
        name = f"slice_{uuid4().hex}"
        folder = tmp_path / name
        folder.mkdir()
        for file in ("__init__.py", "model.py"):
            (folder / file).write_text(files.get(file.removesuffix(".py"), ""))
        (folder / "queries.sql").write_text(files["queries"])
        (folder / "queries.py").write_text(
            "from storeroom.database.queries import load\n\n__all__ = ()\nload(__name__)\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        return name

    return make


async def test_a_slice_loads_its_file(db: Database, package: Callable[..., str]) -> None:
    name = package(
        model="import msgspec\n\n\nclass Sum(msgspec.Struct):\n    total: int\n",
        queries="-- name: add(a, b) -> Sum\n-- Adds.\nSELECT :a::int + :b::int AS total;\n"
        "-- name: one() -> int\nSELECT 1",
    )
    module = __import__(f"{name}.queries").queries
    assert (await module.add(db, a=1, b=2)).total == 3
    assert await module.one(db) == 1
    assert module.add.__doc__ == "Adds."
    assert module.add.__module__ == f"{name}.queries"


def test_a_type_that_nobody_knows_is_refused_when_the_file_is_loaded(package: Callable[..., str]) -> None:
    name = package(queries="-- name: one() -> Nothing\nSELECT 1")
    with pytest.raises(QueryFileError, match="Nothing"):
        __import__(f"{name}.queries")
    assert f"{name}.queries" not in sys.modules
    assert load.__module__ == "storeroom.database.queries"
