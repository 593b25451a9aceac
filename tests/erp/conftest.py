"""A shop on a database of its own, since the worker looks after all of them; an ERP on loopback."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sync import LOOPBACK, ReferenceErp, Sync, reference_erp

from factories import SECRET, make_method, open_shop
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.pool import Database
from storeroom.integration import Courier
from storeroom.room import Storeroom


@pytest.fixture(scope="session")
async def erp_dsn(postgres: EmbeddedPostgres, template_database: str) -> str:
    """The worker looks after all shops of a database, so these have one where nobody else sells."""
    name = f"erp_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY")
    await admin.close()
    return postgres.dsn(name)


@pytest.fixture(scope="session")
async def erp_room(erp_dsn: str) -> AsyncIterator[Storeroom]:
    async with await Database.open(erp_dsn) as db:
        room = Storeroom(db, secret=SECRET, private_destinations=LOOPBACK)
        yield room
        await room.courier.close()


@pytest.fixture
async def sync(erp_room: Storeroom) -> AsyncIterator[Sync]:
    shop = await open_shop(erp_room)
    await make_method(shop)
    async with Courier(allowed=LOOPBACK) as courier:
        here = Sync(erp_room, shop, courier)
        yield here
        await here.run("DELETE FROM {erp_connections} WHERE tenant_id = $1")
        await here.forget_queue()


@pytest.fixture
def erp() -> Iterator[ReferenceErp]:
    with reference_erp() as serving:
        yield serving


@pytest.fixture
async def linked(sync: Sync, erp: ReferenceErp) -> Sync:
    """The shop with the ERP connected, and nothing queued."""
    await sync.connect(erp.url)
    await sync.forget_queue()
    return sync
