"""The runner of migrations: in order, once, one at a time, and plain about what is wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from storeroom.database.migrations import (
    LOCK_KEY,
    DatabaseNewer,
    FunctionEdited,
    FunctionFileInvalid,
    MigrationBlocked,
    MigrationEdited,
    MigrationFailed,
    MigrationMissing,
    NotMigrated,
    Sources,
    migrate,
    require_migrated,
    status,
)
from storeroom.database.migrations import connection as waiting
from storeroom.database.names import TableNames
from storeroom.database.pool import Database

Fresh = Callable[..., Awaitable[str]]
DEADLINE_S = 120.0

SHELVES = """-- Shelves.
CREATE TABLE {shelves} (
    tenant_id  TEXT NOT NULL,
    id         INTEGER NOT NULL,
    CONSTRAINT {shelves_pkey} PRIMARY KEY (tenant_id, id)
);
"""
WIDTH = "ALTER TABLE {shelves} ADD COLUMN width_mm INTEGER;\n"
INDEX = """-- Looked up by width.
-- transaction: none
DROP INDEX CONCURRENTLY IF EXISTS {idx_shelves_width};
CREATE INDEX CONCURRENTLY {idx_shelves_width} ON {shelves} (tenant_id, width_mm); -- no lock

-- that is all
"""
COUNT_V1 = """-- How many shelves.

-- function: count_shelves_v1
-- Counts them.
CREATE FUNCTION {count_shelves_v1}(p_tenant TEXT) RETURNS BIGINT
LANGUAGE sql STABLE
AS $$
    -- a comment with 'quotes and {braces}
    SELECT count(*) FROM {shelves} WHERE tenant_id = p_tenant;
$$;
"""
COUNT_V2 = COUNT_V1.replace("_v1", "_v2").replace("count(*)", "count(*) + 0").removeprefix("-- How many shelves.\n")
SWEEP = """
CREATE OR REPLACE FUNCTION {sweep_shelves}() RETURNS TEXT LANGUAGE sql AS $$ SELECT 'broom' $$;
"""


class Folder:
    """A release of its own, in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "migrations").mkdir()

    def migration(self, name: str, text: str) -> "Folder":
        (self.root / "migrations" / name).write_text(text)
        return self

    def functions(self, room: str, text: str) -> "Folder":
        (self.root / room).mkdir(exist_ok=True)
        (self.root / room / "functions.sql").write_text(text)
        return self

    @property
    def sources(self) -> Sources:
        return Sources.read(self.root)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path).migration("0001_shelves.sql", SHELVES).migration("0002_width.sql", WIDTH)


async def columns(dsn: str, table: str = "shelves") -> list[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT attname::TEXT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum", table
    )
    await connection.close()
    return [row[0] for row in rows]


async def test_migrations_run_in_order_and_once(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    before = await status(dsn, sources=folder.sources)
    assert (before.database, before.newest, before.pending) == (0, 2, ["0001 shelves", "0002 width"])
    done = await migrate(dsn, sources=folder.sources)
    assert [(each.kind, each.version, each.name) for each in done] == [
        ("migration", 1, "shelves"),
        ("migration", 2, "width"),
    ]
    assert await columns(dsn) == ["tenant_id", "id", "width_mm"]
    assert await migrate(dsn, sources=folder.sources) == []
    after = await status(dsn, sources=folder.sources)
    assert after.up_to_date
    assert [each.name for each in after.applied] == ["shelves", "width"]
    assert all(each.duration.total_seconds() > 0 and each.applied_at.utcoffset() is not None for each in after.applied)


async def test_a_run_may_stop_at_a_migration(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    folder.functions("stock", COUNT_V1)
    assert [each.version for each in await migrate(dsn, sources=folder.sources, target=1)] == [1]
    assert await columns(dsn) == ["tenant_id", "id"]
    assert [each.name for each in await migrate(dsn, sources=folder.sources)] == ["width", "count_shelves_v1"]


async def test_a_failing_migration_leaves_the_ones_before_it(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    folder.migration("0003_broken.sql", "CREATE TABLE {ladders} (id INTEGER);\nALTER TABLE {shelfs} ADD x INTEGER;\n")
    with pytest.raises(MigrationFailed, match=r'0003_broken\.sql.*"shelfs" does not exist'):
        await migrate(dsn, sources=folder.sources)
    assert await columns(dsn) == ["tenant_id", "id", "width_mm"]
    assert await columns(dsn, "ladders") == []
    assert (await status(dsn, sources=folder.sources)).pending == ["0003 broken"]
    folder.migration("0003_broken.sql", "CREATE TABLE {ladders} (\n    id INTEGER,\n    id INTEGR\n);\n")
    with pytest.raises(MigrationFailed) as caught:
        await migrate(dsn, sources=folder.sources)
    assert caught.value.line == 3


async def test_an_edited_migration_is_refused(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=folder.sources)
    folder.migration("0001_shelves.sql", SHELVES.replace("INTEGER", "BIGINT"))
    folder.migration("0003_height.sql", "ALTER TABLE {shelves} ADD COLUMN height_mm INTEGER;")
    with pytest.raises(MigrationEdited, match="0001"):
        await migrate(dsn, sources=folder.sources)
    assert await columns(dsn) == ["tenant_id", "id", "width_mm"]
    assert (await status(dsn, sources=folder.sources)).edited == ["shelves"]
    folder.migration("0001_shelves.sql", SHELVES.replace("\n", "\r\n"))  # as a checkout on Windows has it
    assert [each.version for each in await migrate(dsn, sources=folder.sources)] == [3]


async def test_a_newer_database_is_refused(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=folder.sources)
    (folder.root / "migrations" / "0002_width.sql").unlink()
    with pytest.raises(DatabaseNewer) as caught:
        await migrate(dsn, sources=folder.sources)
    assert caught.value.facts() == {"database": 2, "newest": 1}


async def test_numbers_are_without_gaps(fresh_database: Fresh, folder: Folder) -> None:
    folder.migration("0004_later.sql", "SELECT 1;")
    with pytest.raises(MigrationMissing, match="0003"):
        _ = folder.sources
    folder.migration("0003_a.sql", "SELECT 1;").migration("0003_b.sql", "SELECT 1;")
    with pytest.raises(MigrationMissing, match="two files"):
        _ = folder.sources
    (folder.root / "migrations" / "0003_b.sql").rename(folder.root / "migrations" / "3_b.sql")
    with pytest.raises(MigrationMissing, match=r"3_b\.sql"):
        _ = folder.sources


async def test_a_migration_that_was_skipped_is_refused(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=folder.sources)
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM schema_migrations WHERE version = 1")
    await connection.close()
    with pytest.raises(MigrationMissing, match="later ones ran"):
        await migrate(dsn, sources=folder.sources)


async def test_of_two_at_once_one_migrates_and_the_other_finds_nothing(fresh_database: Fresh, folder: Folder) -> None:
    """Also with an index made CONCURRENTLY, which waits for every statement that is waiting somewhere."""
    dsn = await fresh_database(empty=True)
    folder.migration("0003_index.sql", INDEX).functions("stock", COUNT_V1)
    async with asyncio.timeout(DEADLINE_S):
        runs = await asyncio.gather(*(migrate(dsn, sources=folder.sources) for _ in range(4)))
    assert sorted(map(len, runs)) == [0, 0, 0, 4]
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_shelves_width'::REGCLASS")
    held = (
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "  # those of other tests are elsewhere
        "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
    )
    assert await connection.fetchval(held) == 0
    await connection.close()


async def test_a_run_without_news_takes_no_lock_on_a_table(fresh_database: Fresh) -> None:
    dsn = await fresh_database()
    busy = await asyncpg.connect(dsn)
    async with busy.transaction():
        await busy.execute("LOCK TABLE orders, products, tenants IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(DEADLINE_S):
            assert await migrate(dsn) == []
    await busy.close()


@pytest.mark.parametrize("alone", ["", "-- transaction: none\n"], ids=["in a transaction", "alone"])
async def test_a_migration_does_not_hold_up_the_shop(
    fresh_database: Fresh, folder: Folder, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=folder.sources)
    folder.migration("0003_height.sql", f"{alone}ALTER TABLE {{shelves}} ADD COLUMN height_mm INTEGER;\n")
    monkeypatch.setattr(waiting, "TABLE_LOCK_WAIT_S", 0.1)
    busy = await asyncpg.connect(dsn)
    async with busy.transaction():
        await busy.execute("SELECT count(*) FROM shelves")
        with pytest.raises(MigrationBlocked) as caught:
            await migrate(dsn, sources=folder.sources)
    assert caught.value.transient
    await busy.close()
    assert [each.version for each in await migrate(dsn, sources=folder.sources)] == [3]


async def test_an_index_that_a_broken_run_left_invalid_is_made_anew(fresh_database: Fresh, folder: Folder) -> None:
    """IF NOT EXISTS alone would take the invalid one for the one that was asked for."""
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=folder.sources)
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER TABLE shelves ADD COLUMN room INTEGER")
    await connection.execute("INSERT INTO shelves (tenant_id, id, room) VALUES ('t', 1, 7), ('t', 2, 7)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_shelves_room ON shelves (tenant_id, room)")
    await connection.execute("UPDATE shelves SET room = id")
    folder.migration(
        "0003_room.sql",
        "-- transaction: none\n"
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {idx_shelves_room} ON {shelves} (tenant_id, room);\n",
    )
    assert [each.version for each in await migrate(dsn, sources=folder.sources)] == [3]
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_shelves_room'::regclass")
    await connection.close()


async def test_another_run_is_waited_for_so_long(
    fresh_database: Fresh, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await fresh_database(empty=True)
    monkeypatch.setattr(waiting, "LOCK_WAIT_S", 0.1)
    holder = await asyncpg.connect(dsn)
    await holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    with pytest.raises(MigrationBlocked, match="another migrate"):
        await migrate(dsn, sources=folder.sources)
    await holder.close()
    assert await columns(dsn) == []


async def test_functions_are_made_once_and_frozen(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    folder.functions("stock", COUNT_V1)
    assert [each.name for each in await migrate(dsn, sources=folder.sources)][-1] == "count_shelves_v1"
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count_shelves_v1('t')") == 0
    assert await migrate(dsn, sources=folder.sources) == []

    folder.functions("stock", COUNT_V1.replace("-- Counts them.", "-- Counts them, empty ones too."))
    assert await migrate(dsn, sources=folder.sources) == []  # what is said about it may change

    folder.functions("stock", COUNT_V1.replace("count(*)", "count(*) + 1"))
    with pytest.raises(FunctionEdited, match="count_shelves_v2") as caught:
        await migrate(dsn, sources=folder.sources)
    assert caught.value.successor == "count_shelves_v2"
    assert await connection.fetchval("SELECT count_shelves_v1('t')") == 0

    folder.functions("stock", COUNT_V1 + COUNT_V2)
    assert [each.name for each in await migrate(dsn, sources=folder.sources)] == ["count_shelves_v2"]
    assert await connection.fetchval("SELECT count_shelves_v1('t') + count_shelves_v2('t')") == 0

    (folder.root / "stock" / "functions.sql").unlink()  # a release without it leaves it to those that call it
    assert await migrate(dsn, sources=folder.sources) == []
    assert await connection.fetchval("SELECT count_shelves_v1('t')") == 0
    await connection.close()


async def test_a_function_without_a_version_follows_its_text(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    folder.functions("stock", SWEEP)
    await migrate(dsn, sources=folder.sources)
    folder.functions("stock", SWEEP.replace("broom", "vacuum"))
    assert (await status(dsn, sources=folder.sources)).pending == ["sweep_shelves"]
    assert [each.name for each in await migrate(dsn, sources=folder.sources)] == ["sweep_shelves"]
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT sweep_shelves()") == "vacuum"
    await connection.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE FUNCTION {sweep}() RETURNS TEXT LANGUAGE sql AS $$ SELECT '' $$;", "a version ends in its name"),
        ("CREATE OR REPLACE FUNCTION {sweep_v1}() RETURNS TEXT LANGUAGE sql AS $$ SELECT '' $$;", "a version ends"),
        ("create function {sweep_v1}() RETURNS TEXT LANGUAGE sql AS $$ SELECT '' $$;", "begins a line"),
        ("CREATE FUNCTION sweep_v1() RETURNS TEXT LANGUAGE sql AS $$ SELECT '' $$;", "in braces"),
        ("CREATE TABLE {t} (id INTEGER);\n" + COUNT_V1, "only functions"),
        ("SELECT 1;", "only functions"),
        (COUNT_V1 + COUNT_V1, "defined twice"),
    ],
)
def test_a_functions_file_holds_functions(folder: Folder, text: str, reason: str) -> None:
    folder.functions("stock", text)
    with pytest.raises(FunctionFileInvalid, match=reason):
        _ = folder.sources


async def test_everything_is_called_as_the_installation_says(fresh_database: Fresh, folder: Folder) -> None:
    """Two installations in one schema: each with its names, its record and its functions."""
    dsn = await fresh_database(empty=True)
    folder.migration("0003_index.sql", INDEX).functions("stock", COUNT_V1)
    mine = TableNames(prefix="my_", tables={"shelves": "racks"})
    for names in (TableNames(), mine):
        assert len(await migrate(dsn, names=names, sources=folder.sources)) == 4
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO racks VALUES ('t', 1, 300)")
    assert await connection.fetchval("SELECT my_count_shelves_v1('t')") == 1
    assert await connection.fetchval("SELECT count_shelves_v1('t')") == 0
    assert await connection.fetchval("SELECT to_regclass('my_idx_shelves_width') IS NOT NULL")
    assert await connection.fetchval("SELECT count(*) FROM my_schema_migrations") == 3
    await connection.close()


async def test_an_unmigrated_database_is_refused_with_what_it_lacks(fresh_database: Fresh, folder: Folder) -> None:
    dsn = await fresh_database(empty=True)
    async with await Database.open(dsn, role=None) as db:
        with pytest.raises(NotMigrated, match="0001 shelves, 0002 width, count_shelves_v1") as caught:
            await require_migrated(db, sources=folder.functions("stock", COUNT_V1).sources)
        assert caught.value.missing == ["0001 shelves", "0002 width", "count_shelves_v1"]
        assert await columns(dsn) == []
        await migrate(dsn, sources=folder.sources)
        await require_migrated(db, sources=folder.sources)
        (folder.root / "migrations" / "0002_width.sql").unlink()
        with pytest.raises(DatabaseNewer):
            await require_migrated(db, sources=folder.sources)


async def test_the_schema_of_this_release_loads(fresh_database: Fresh) -> None:
    dsn = await fresh_database(empty=True)
    done = await migrate(dsn)
    assert len(done) == len(Sources.packaged().migrations) + len(Sources.packaged().functions)
    assert await migrate(dsn) == []
    assert (await status(dsn)).up_to_date
    renamed = TableNames(prefix="x_", tables={"orders": "sales"})
    assert len(await migrate(dsn, names=renamed)) == len(done)
    async with await Database.open(dsn, names=renamed) as db:
        await require_migrated(db)
