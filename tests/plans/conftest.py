"""A filled database, made once in a run, and what the server means to do with every statement."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from filled import Plan, fill, plans_of_queries
from storeroom.database.embedded import EmbeddedPostgres

FILLED = "storeroom_filled"


@pytest.fixture(scope="session")
async def filled(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the filled database, as its owner. Nobody writes there."""
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await admin.execute("SELECT pg_advisory_lock(2)")  # of the session; ends with it
        if not await admin.fetchval("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", FILLED):
            await admin.execute(f"CREATE DATABASE {FILLED}_raw TEMPLATE {template_database}")
            connection = await asyncpg.connect(postgres.dsn(f"{FILLED}_raw"))
            try:
                await fill(connection)
            finally:
                await connection.close()
            await admin.execute(f"ALTER DATABASE {FILLED}_raw RENAME TO {FILLED}")
    finally:
        await admin.close()
    connection = await asyncpg.connect(postgres.dsn(FILLED))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def plans(filled: asyncpg.Connection) -> list[Plan]:
    """The plan of every variant of every named statement."""
    return await plans_of_queries(filled)
