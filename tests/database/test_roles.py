"""Who may do what: roles made by any database, history that stays, and one tenant's rows for that tenant."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import APPEND_ONLY, NEVER_DELETED, RolesMissing, Sources, migrate
from storeroom.database.names import TableNames
from storeroom.database.pool import Database

Fresh = Callable[..., Awaitable[str]]
ROLES = ["storeroom_app", "storeroom_authenticated", "storeroom_owner", "storeroom_tenant"]


@pytest.fixture
def shelves(tmp_path: Path) -> Sources:
    """A small release: tables, history, a lookup without a tenant, partitions, a view, a function."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_shelves.sql").write_text(
        """
CREATE TABLE {shelves} (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE {orders} (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE {audit_logs} (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE {hosts} (host TEXT PRIMARY KEY);
CREATE TABLE {events} (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tenant_id, id))
    PARTITION BY RANGE (id);
CREATE TABLE {events_first} PARTITION OF {events} FOR VALUES FROM (0) TO (100);
CREATE VIEW {shelf_ids} AS SELECT tenant_id, id FROM {shelves};
"""
    )
    (tmp_path / "stock").mkdir()
    (tmp_path / "stock" / "functions.sql").write_text(
        "CREATE FUNCTION {count_shelves_v1}(p_tenant TEXT) RETURNS BIGINT LANGUAGE sql AS $$\n"
        "    SELECT count(*) FROM {shelves} WHERE tenant_id = p_tenant\n$$;\n"
    )
    return Sources.read(tmp_path)


@pytest.fixture
async def other_server() -> AsyncIterator[EmbeddedPostgres]:
    """A server on which the roles do not exist yet."""
    folder = Path(os.environ["STOREROOM_TEST_RUN_FOLDER"]) / f"roles-{uuid.uuid4().hex[:8]}"
    with EmbeddedPostgres(folder, settings={"fsync": "off"}, binaries=_binaries()) as server:
        yield server


def _binaries() -> Path | None:
    named = os.environ.get("STOREROOM_TEST_POSTGRES_BIN")
    return Path(named) if named else None


def login_dsn(dsn: str, login: str) -> str:
    return dsn.replace("postgres@", f"{login}@", 1)


async def test_several_databases_make_the_roles_at_once(other_server: EmbeddedPostgres, shelves: Sources) -> None:
    databases = [f"d{n}" for n in range(8)]
    for name in databases:
        other_server.ensure_database(name)
    runs = await asyncio.gather(*(migrate(other_server.dsn(name), sources=shelves) for name in databases))
    assert [len(run) for run in runs] == [2] * len(databases)
    connection = await asyncpg.connect(other_server.dsn("d0"))
    made = await connection.fetch(
        "SELECT rolname::TEXT, rolcanlogin FROM pg_roles WHERE rolname ~ '^storeroom_' ORDER BY 1"
    )
    assert [tuple(row) for row in made] == [(role, False) for role in ROLES]
    await connection.close()


async def test_a_login_that_may_make_roles_needs_no_superuser(other_server: EmbeddedPostgres, shelves: Sources) -> None:
    admin = await asyncpg.connect(other_server.dsn("postgres"))
    await admin.execute("CREATE ROLE shopkeeper LOGIN CREATEROLE CREATEDB")
    await admin.execute("CREATE DATABASE shop OWNER shopkeeper")
    dsn = login_dsn(other_server.dsn("shop"), "shopkeeper")
    assert len(await migrate(dsn, sources=shelves)) == 2
    assert await migrate(dsn, sources=shelves) == []
    async with await Database.open(dsn) as db:
        await db.execute("INSERT INTO audit_logs VALUES ('t', 1)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("DELETE FROM audit_logs")
    async with await Database.open(dsn, statement_cache=False) as pooled:  # as behind PgBouncer: rights are inherited
        assert await pooled.fetchval("SELECT current_user::TEXT") == "shopkeeper"
        assert await pooled.fetchval("SELECT count(*) FROM audit_logs") == 1
        if await pooled.fetchval("SELECT current_setting('server_version_num')::INTEGER >= 160000"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):  # but not the owner's
                await pooled.execute("DELETE FROM audit_logs")
    await admin.close()


async def test_a_login_that_may_not_is_told_what_to_ask_for(other_server: EmbeddedPostgres, shelves: Sources) -> None:
    admin = await asyncpg.connect(other_server.dsn("postgres"))
    await admin.execute("CREATE ROLE clerk LOGIN")
    await admin.execute("CREATE DATABASE shop OWNER clerk")
    dsn = login_dsn(other_server.dsn("shop"), "clerk")
    with pytest.raises(RolesMissing, match="Let a superuser run") as caught:
        await migrate(dsn, sources=shelves)
    assert [line for line in caught.value.statements if line.startswith("CREATE ROLE")] == [
        "CREATE ROLE storeroom_owner NOLOGIN",
        "CREATE ROLE storeroom_app NOLOGIN",
        "CREATE ROLE storeroom_tenant NOLOGIN",
        "CREATE ROLE storeroom_authenticated NOLOGIN",
    ]
    there = await asyncpg.connect(other_server.dsn("shop"))
    assert await there.fetchval("SELECT to_regclass('shelves') IS NULL")
    for statement in caught.value.statements:
        await there.execute(statement)
    await there.close()
    assert len(await migrate(dsn, sources=shelves)) == 2
    await admin.close()


@pytest.mark.parametrize("step", ["CREATE ROLE storeroom_app NOLOGIN", "GRANT storeroom_app TO shopkeeper"])
async def test_what_another_database_does_at_the_same_moment_is_not_done_twice(
    other_server: EmbeddedPostgres, shelves: Sources, step: str
) -> None:
    """The other's step is open when ours comes to it, waits, and finds it committed."""
    admin = await asyncpg.connect(other_server.dsn("postgres"))
    await admin.execute("CREATE ROLE shopkeeper LOGIN CREATEROLE CREATEDB")
    await admin.execute("CREATE DATABASE shop OWNER shopkeeper")
    shopkeeper = login_dsn(other_server.dsn("shop"), "shopkeeper")
    other = await asyncpg.connect(login_dsn(other_server.dsn("postgres"), "shopkeeper"))
    if step.startswith("GRANT"):
        await other.execute("CREATE ROLE storeroom_app NOLOGIN")
    async with asyncio.timeout(120):
        transaction = other.transaction()
        await transaction.start()
        await other.execute(step)
        ours = asyncio.create_task(migrate(shopkeeper, sources=shelves))
        while not await admin.fetchval("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"):
            await asyncio.sleep(0)
            assert not ours.done()
        await transaction.commit()
        assert len(await ours) == 2
    await other.close()
    await admin.close()


@pytest.mark.requirement("SIG-SEC-02")
async def test_the_service_sees_every_row_and_cannot_change_history(fresh_database: Fresh, shelves: Sources) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=shelves)
    async with await Database.open(dsn) as db:
        for table in ("shelves", "orders", "audit_logs", "events"):
            await db.execute(f"INSERT INTO {table} VALUES ('a', 1), ('b', 2)")
            assert await db.fetchval(f"SELECT count(*) FROM {table}") == 2
        await db.execute("INSERT INTO hosts VALUES ('a.example')")
        await db.execute("UPDATE orders SET id = 3 WHERE id = 2")
        assert await db.execute("DELETE FROM shelves WHERE id = 2") == "DELETE 1"
        assert await db.fetchval("SELECT count(*) FROM shelf_ids") == 1
        assert await db.fetchval("SELECT count_shelves_v1('a')") == 1
        for refused in (
            "UPDATE audit_logs SET id = 9",
            "DELETE FROM audit_logs",
            "TRUNCATE shelves",
            "DELETE FROM orders",
            "DELETE FROM schema_migrations",
            "UPDATE schema_functions SET checksum = ''",
            "CREATE TABLE own (id INTEGER)",
            "DROP TABLE shelves",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(refused)
        assert await db.fetchval("SELECT count(*) FROM audit_logs WHERE id < 3") == 2


async def test_history_of_this_release_cannot_be_changed(database: Database) -> None:
    """Of the real schema, for every table that is history or keeps its rows; the lists know later ones, too."""
    tables = Sources.packaged().tables()
    assert {"order_status_history", "stock_movements", "payment_attempts"} <= APPEND_ONLY & tables
    assert {"users", "orders", "payments", "tenants"} <= NEVER_DELETED & tables
    for table in sorted((APPEND_ONLY | NEVER_DELETED) & tables):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(f"DELETE FROM {table} WHERE tenant_id = 'nobody'")
        assert await database.fetchval("SELECT has_table_privilege($1, 'INSERT')", table)
    for table in sorted(APPEND_ONLY & tables):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(f"UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = 'nobody'")


async def test_a_tenants_role_sees_and_writes_its_own_rows(fresh_database: Fresh, shelves: Sources) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=shelves)
    async with await Database.open(dsn) as db:
        await db.execute("INSERT INTO shelves VALUES ('a', 1), ('b', 2)")
    async with await Database.open(dsn, role="storeroom_tenant", max_size=1) as tenant:
        assert await tenant.fetch("SELECT id FROM shelves") == []
        async with tenant.transaction() as tx:
            await tx.execute("SET LOCAL storeroom.tenant_id = 'a'")
            assert [row["id"] for row in await tx.fetch("SELECT id FROM shelves")] == [1]
            assert [row["id"] for row in await tx.fetch("SELECT id FROM shelf_ids")] == [1]  # views, too
            assert await tx.fetchval("SELECT count_shelves_v1('b')") == 0  # and functions
            await tx.execute("INSERT INTO shelves VALUES ('a', 3)")
            assert await tx.execute("UPDATE shelves SET id = 9 WHERE id = 2") == "UPDATE 0"
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                async with tx.transaction() as inner:
                    await inner.execute("INSERT INTO shelves VALUES ('b', 4)")
            for refused in ("SELECT 1 FROM hosts", "DELETE FROM orders", "UPDATE audit_logs SET id = 9"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                    async with tx.transaction() as inner:
                        await inner.execute(refused)
        # The same connection serves the next caller, and knows nothing of the one before.
        assert await tenant.fetch("SELECT id FROM shelves") == []


@pytest.mark.requirement("SIG-SEC-01")
async def test_a_role_without_a_policy_sees_no_rows(fresh_database: Fresh) -> None:
    """Every tenant's table has row level security, so even a grant by mistake opens nothing."""
    dsn = await fresh_database()
    admin = await asyncpg.connect(dsn)
    async with await Database.open(dsn) as app:
        await app.execute("INSERT INTO tenants (tenant_id, name, currency) VALUES ('a', 'A', 'USD')")
        assert await app.fetchval("SELECT count(*) FROM tenants") == 1
    tables = await admin.fetch(
        "SELECT c.relname::TEXT, c.relrowsecurity FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'"
    )
    assert len(tables) > 20
    assert [name for name, secured in tables if not secured] == []
    async with await Database.open(dsn, role="storeroom_authenticated") as visitor:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await visitor.fetchval("SELECT count(*) FROM tenants")
        await admin.execute("GRANT SELECT ON tenants TO storeroom_authenticated")
        assert await visitor.fetchval("SELECT count(*) FROM tenants") == 0
    await admin.close()


async def test_partitions_are_reached_through_their_table(fresh_database: Fresh, shelves: Sources) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn, sources=shelves)
    admin = await asyncpg.connect(dsn)
    await admin.execute(
        "SET ROLE storeroom_owner; CREATE TABLE events_second PARTITION OF events FOR VALUES FROM (100) TO (200)"
    )
    await migrate(dsn, sources=shelves)
    assert await admin.fetchval("SELECT relrowsecurity FROM pg_class WHERE relname = 'events_second'")
    await admin.close()
    async with await Database.open(dsn) as db:
        await db.execute("INSERT INTO events VALUES ('a', 150)")
        assert await db.fetchval("SELECT count(*) FROM events") == 1
        for partition in ("events_first", "events_second"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.fetchval(f"SELECT count(*) FROM {partition}")


async def test_rights_are_restored_by_the_next_run(fresh_database: Fresh, shelves: Sources) -> None:
    """Also under other names; what somebody else keeps in the schema is not touched."""
    dsn = await fresh_database(empty=True)
    names = TableNames(prefix="s_", tables={"audit_logs": "ledger"})
    await migrate(dsn, names=names, sources=shelves)
    admin = await asyncpg.connect(dsn)
    await admin.execute(
        "CREATE TABLE shelves (tenant_id TEXT);"
        "REVOKE INSERT ON s_shelves FROM storeroom_app; GRANT DELETE ON ledger TO storeroom_app;"
        "GRANT EXECUTE ON FUNCTION s_count_shelves_v1 TO PUBLIC; DROP POLICY storeroom_tenant ON s_shelves;"
        "ALTER VIEW s_shelf_ids RESET (security_invoker)"
    )
    await migrate(dsn, names=names, sources=shelves)
    assert await admin.fetchval("SELECT has_table_privilege('storeroom_app', 's_shelves', 'INSERT')")
    assert not await admin.fetchval("SELECT has_table_privilege('storeroom_app', 'ledger', 'DELETE')")
    assert not await admin.fetchval(
        "SELECT has_function_privilege('storeroom_authenticated', 's_count_shelves_v1(text)', 'EXECUTE')"
    )
    assert await admin.fetchval("SELECT count(*) FROM pg_policy WHERE polrelid = 's_shelves'::REGCLASS") == 2
    assert await admin.fetchval("SELECT reloptions FROM pg_class WHERE relname = 's_shelf_ids'") == [
        "security_invoker=true"
    ]
    assert not await admin.fetchval("SELECT relrowsecurity FROM pg_class WHERE relname = 'shelves'")
    assert not await admin.fetchval("SELECT has_table_privilege('storeroom_app', 'shelves', 'SELECT')")
    await admin.close()
