"""Distribution over many machines: said plainly where it cannot be had, and in an order that can work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from storeroom.database.distribution import CitusMissing, Distribution, NotDistributable, distribute, plan
from storeroom.database.migrations import Sources, migrate
from storeroom.database.names import TableNames

Fresh = Callable[..., Awaitable[str]]


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(dsn)
    yield opened
    await opened.close()


async def test_without_citus_it_says_so(connection: asyncpg.Connection) -> None:
    with pytest.raises(CitusMissing, match="Citus is not installed") as caught:
        await distribute(connection)
    assert caught.value.code == "database.citus_missing"


async def test_parents_come_before_their_children(connection: asyncpg.Connection) -> None:
    wanted = await plan(connection)
    assert wanted.tables[0] == "tenants"
    place = {table: n for n, table in enumerate(wanted.tables)}
    keys = await connection.fetch(
        "SELECT conrelid::REGCLASS::TEXT AS child, confrelid::REGCLASS::TEXT AS parent FROM pg_constraint "
        "WHERE contype = 'f' AND conrelid <> confrelid"
    )
    assert len(keys) > 20
    assert [tuple(key) for key in keys if place.get(key["parent"], -1) >= place[key["child"]]] == []


async def test_every_table_and_function_has_its_place(connection: asyncpg.Connection) -> None:
    wanted = await plan(connection)
    with_tenant = await connection.fetch(
        "SELECT attrelid::REGCLASS::TEXT FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE attname = 'tenant_id' AND relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = current_schema()::REGNAMESPACE"
    )
    assert sorted(wanted.tables) == sorted(row[0] for row in with_tenant)
    assert wanted.references == ["tenant_hosts"]  # the runner's own tables stay where they are, and the schedule
    assert any(function.startswith("place_orders_v2(text,") for function in wanted.functions)


def test_the_statements_of_citus() -> None:
    wanted = Distribution(references=["hosts"], tables=["tenants", "orders"], functions=["place_v1(text,jsonb)"])
    assert wanted.statements() == [
        "SELECT create_reference_table('hosts')",
        "SELECT create_distributed_table('tenants', 'tenant_id', colocate_with => 'none')",
        "SELECT create_distributed_table('orders', 'tenant_id', colocate_with => 'tenants')",
        (
            "SELECT create_distributed_function('place_v1(text,jsonb)', 'p_tenant', colocate_with => 'tenants', "
            "force_delegation => TRUE)"
        ),
    ]
    assert wanted.statements(done=frozenset({"hosts", "tenants", "place_v1(text,jsonb)"})) == [
        "SELECT create_distributed_table('orders', 'tenant_id', colocate_with => 'tenants')"
    ]


async def test_a_circle_of_keys_is_refused(fresh_database: Fresh, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_circle.sql").write_text(
        "CREATE TABLE {tenants} (tenant_id TEXT PRIMARY KEY);\n"
        "CREATE TABLE {hens} (tenant_id TEXT, id INTEGER, egg INTEGER, parent INTEGER, PRIMARY KEY (tenant_id, id),\n"
        "    FOREIGN KEY (tenant_id, parent) REFERENCES {hens} (tenant_id, id));\n"
        "CREATE TABLE {eggs} (tenant_id TEXT, id INTEGER, hen INTEGER, PRIMARY KEY (tenant_id, id),\n"
        "    FOREIGN KEY (tenant_id, hen) REFERENCES {hens} (tenant_id, id));\n"
    )
    sources, names = Sources.read(tmp_path), TableNames(prefix="farm_")
    dsn = await fresh_database(empty=True)
    await migrate(dsn, names=names, sources=sources)
    owner = await asyncpg.connect(dsn)
    straight = await plan(owner, names=names, sources=sources)
    assert straight.tables == ["farm_tenants", "farm_hens", "farm_eggs"]  # a key into its own table is none
    await owner.execute("ALTER TABLE farm_hens ADD FOREIGN KEY (tenant_id, egg) REFERENCES farm_eggs (tenant_id, id)")
    with pytest.raises(NotDistributable) as caught:
        await plan(owner, names=names, sources=sources)
    assert caught.value.tables == ["farm_eggs", "farm_hens"]
    with pytest.raises(NotDistributable, match="tenants"):
        await plan(owner, names=TableNames(prefix="other_"), sources=sources)
    await owner.close()
