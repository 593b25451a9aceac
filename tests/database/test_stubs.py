"""The stubs say what the database says, and the structs fit the columns."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from storeroom.database import stubs

MODEL = """
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

import msgspec

from storeroom.core.money import Money

ThingId = NewType("ThingId", UUID)


class ThingState(StrEnum):
    NEW = "new"
    DONE = "done"


class Thing(msgspec.Struct, frozen=True):
    id: ThingId
    state: ThingState
    states: list[ThingState]
    price: Money
    meta: dict[str, object]
    note: str | None


class Made(msgspec.Struct, frozen=True):
    id: ThingId
    made_at: datetime
"""
SCHEMA = """
CREATE TYPE thing_state AS ENUM ('new', 'done');
CREATE TYPE thing_kind AS ENUM ('big');
CREATE DOMAIN code AS text;
CREATE TABLE things (tenant_id text NOT NULL, id uuid NOT NULL, state thing_state NOT NULL,
                     states thing_state[] NOT NULL, price bigint NOT NULL, currency text NOT NULL, meta jsonb NOT NULL,
                     note text, kind thing_kind, code code, made_at timestamptz, amount numeric);
"""


@pytest.fixture(scope="module")
async def connection(postgres: Any) -> AsyncIterator[Any]:
    name = f"stub_tests_{os.getpid()}"  # each worker that has some of these tests makes its own
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name}")
    own = await asyncpg.connect(postgres.dsn(name))
    await own.execute(SCHEMA)
    yield own
    await own.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[stubs.Slice]]]:
    """A package of one slice, `things`, with these statements."""
    package = f"shop_{uuid4().hex}"

    def build(queries: str) -> list[stubs.Slice]:
        folder = tmp_path / package / "things"
        folder.mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
        (folder / "__init__.py").write_text("")
        (folder / "model.py").write_text(MODEL)
        (folder / "queries.sql").write_text(queries)
        monkeypatch.syspath_prepend(str(tmp_path))
        found, faults = stubs.slices(root=tmp_path / package, package=package)
        assert faults == []
        return found

    yield build
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


COLUMNS = "id, state, states, price, meta, note, currency"


async def test_a_stub_has_the_types_of_the_database(connection: Any, make: Callable[[str], list[stubs.Slice]]) -> None:
    found = make(
        f"-- name: thing(tenant_id, id) -> Thing?\nSELECT {COLUMNS} FROM {{things}}"
        " WHERE tenant_id = :tenant_id AND id = :id;\n"
        f"-- name: things(tenant_id, states, since, state?) -> Thing*\nSELECT {COLUMNS} FROM {{things}}\n"
        " WHERE tenant_id = :tenant_id AND state = ANY (:states) AND made_at > :since\n"
        "   AND state = :state -- if state\n;\n"
        "-- name: note(tenant_id, note?, kind, code, meta, amount) -> count\n"
        "UPDATE {things} SET note = :note, kind = :kind, code = :code, meta = :meta, amount = :amount"
        " WHERE tenant_id = :tenant_id;\n"
        "-- name: first(tenant_id) -> ThingId\nSELECT id FROM {things} WHERE tenant_id = :tenant_id;\n"
        "-- name: clear()\nDELETE FROM {things};\n"
        "-- name: meta() -> dict*\nSELECT meta FROM {things};\n"
    )
    report = await stubs.generate(connection, found)
    assert report.faults == []
    package = found[0].package
    assert report.stubs[found[0].stub] == (
        f"""{stubs.HEADING}

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from {package}.model import Thing, ThingId, ThingState
from storeroom.database.executor import Executor

async def thing(db: Executor, /, *, tenant_id: str, id: UUID) -> Thing | None: ...
async def things(
    db: Executor, /, *, tenant_id: str, states: Sequence[ThingState], since: datetime, state: ThingState | None = None
) -> list[Thing]: ...
async def note(
    db: Executor, /, *, tenant_id: str, note: str | None, kind: str, code: str, meta: Any, amount: Decimal
) -> int: ...
async def first(db: Executor, /, *, tenant_id: str) -> ThingId: ...
async def clear(db: Executor, /) -> None: ...
async def meta(db: Executor, /) -> list[dict[str, Any]]: ...
"""
    )
    assert stubs.differing(report) == [str(found[0].stub)]
    found[0].stub.write_text(report.stubs[found[0].stub])
    assert stubs.differing(report) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("-- name: q() -> Thing\nSELECT id, state FROM {things}", "the columns are id, state"),
        (
            f"-- name: q() -> Thing\nSELECT {COLUMNS.replace('id, state', 'state, id', 1)} FROM {{things}}",
            "the columns",
        ),
        (f"-- name: q() -> Thing\nSELECT {COLUMNS.replace('id', 'code AS id', 1)} FROM {{things}}", "id is UUID"),
        (f"-- name: q() -> Thing\nSELECT {COLUMNS.replace('note', '1 AS note')} FROM {{things}}", "its column int4"),
        (f"-- name: q() -> Thing\nSELECT {COLUMNS.replace('price', '1 AS price')} FROM {{things}}", "price is money"),
        (
            f"-- name: q() -> Thing\nSELECT {COLUMNS.replace(' state', ' kind AS state', 1)} FROM {{things}}",
            "state is ThingState, its column thing_kind",
        ),
        (
            f"-- name: q() -> Thing\nSELECT {COLUMNS.replace('states', 'state AS states')} FROM {{things}}",
            "states is list[ThingState], its column thing_state",
        ),
        ("-- name: q() -> int\nSELECT 1, 2", "but 2 columns"),
        ("-- name: q() -> int\nSELECT 'x'", "its column text"),
        ("-- name: q()\nSELECT 1", "promises nothing and returns columns"),
        ("-- name: q() -> Missing\nSELECT 1", "returns Missing, which"),
        ("-- name: q() -> int\nSELECT 1 FROM {nothing}", 'relation "nothing" does not exist'),
    ],
)
async def test_what_does_not_fit_is_reported(
    connection: Any, make: Callable[[str], list[stubs.Slice]], statement: str, fault: str
) -> None:
    report = await stubs.generate(connection, make(statement))
    assert any(fault in found for found in report.faults)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("SELECT id, made_at FROM {things}", "made_at may be null"),
        ("SELECT id, made_at FROM {things} WHERE made_at IS NOT NULL", None),
        ("SELECT id, coalesce(made_at, now()) AS made_at FROM {things}", None),
        (
            "SELECT t.id, now() AS made_at FROM (VALUES (1)) v (n) LEFT JOIN {things} t ON t.code = 'x'",
            "id may be null",
        ),
        ("UPDATE {things} SET code = 'x' WHERE tenant_id = 'x' RETURNING id, made_at", "made_at may be null"),
        ("UPDATE {things} SET code = 'x' WHERE tenant_id = 'x' RETURNING id, now() AS made_at", None),
    ],
)
async def test_a_column_that_may_be_null_needs_a_field_that_may_be_none(
    connection: Any, make: Callable[[str], list[stubs.Slice]], statement: str, fault: str | None
) -> None:
    report = await stubs.generate(connection, make(f"-- name: q() -> Made*\n{statement}"))
    assert [f.rpartition(": ")[2].partition(";")[0] for f in report.faults] == ([fault] if fault else [])


async def test_the_stubs_in_the_tree_are_up_to_date(dsn: str) -> None:
    """What `python -m storeroom.database.stubs --check` says, on the migrated database of the tests."""
    found, faults = stubs.slices()
    report = await stubs.generate_from(dsn, found)
    assert [*faults, *report.faults, *stubs.differing(report)] == []
