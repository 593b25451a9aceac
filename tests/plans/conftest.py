"""A filled database, made once in a run, and what the server means to do with every statement."""

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from filled import Plan, fill, plans_of_queries
from storeroom.database.embedded import EmbeddedPostgres

FILLED = "storeroom_filled"


@pytest.fixture(scope="session")
async def filled(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a copy of the filled database that this worker has alone, as its owner.

    What a test writes there is rolled back, and leaves dead rows, by which the server plans otherwise than before.
    """
    own = f"{FILLED}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
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
        await admin.execute(f"CREATE DATABASE {own} TEMPLATE {FILLED} STRATEGY FILE_COPY")
    finally:
        await admin.close()
    connection = await asyncpg.connect(postgres.dsn(own))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def plans(filled: asyncpg.Connection) -> list[Plan]:
    """The plan of every variant of every named statement. What writes to the database first asks for these."""
    return await plans_of_queries(filled)
