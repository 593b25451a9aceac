"""A shop where nothing is wrong, in a database of its own, and the hand that plants faults in it."""

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from ward import Ward, open_ward

from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.pool import Database, Transaction


@pytest.fixture(scope="session")
async def ward(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[Ward]:
    name = f"ward_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
    await admin.close()
    async with await Database.open(postgres.dsn(name)) as db:
        yield await open_ward(db, postgres.dsn(name))


@pytest.fixture
async def surgeon(ward: Ward) -> AsyncIterator[Transaction]:
    """A transaction that may do anything, and is undone: whoever comes past the service, with the server's rights."""
    async with await Database.open(ward.dsn, role="postgres", max_size=1) as db:
        with pytest.raises(Undone):
            async with db.transaction() as tx:
                yield tx
                raise Undone


class Undone(Exception):
    """Roll back."""
