"""Shops in a database of these tests' own: a sender looks at all shops, and what others have queued is not sent here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from stall import API_SECRET, LOOPBACK, TOKEN, Stall, google_takes, meta_takes

from factories import SECRET, make_method, make_product, open_shop
from receiver import receiving
from storeroom.conversions import ProviderKind
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.integration import Courier
from storeroom.room import Storeroom


@pytest.fixture(scope="session")
async def ground(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[Storeroom]:
    name = f"conversions_{os.getpid()}"
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY")
    try:
        async with await Database.open(postgres.dsn(name)) as db:
            yield Storeroom(db, secret=SECRET)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def stall(ground: Storeroom) -> AsyncIterator[Stall]:
    async with stall_on(ground) as stall:
        yield stall


@pytest.fixture
async def lonely_stall() -> AsyncIterator[Stall]:
    """On a server where nobody else looks at old versions, as an autovacuum does: they would stay meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="storeroom-lonely-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    with EmbeddedPostgres(folder / "postgres", settings={"fsync": "off", "autovacuum": "off"}) as server:
        server.ensure_database("storeroom")
        await migrate(server.dsn("storeroom"))
        async with (
            await Database.open(server.dsn("storeroom")) as db,
            stall_on(Storeroom(db, secret=SECRET)) as stall,
        ):
            yield stall
    shutil.rmtree(folder)


@asynccontextmanager
async def stall_on(ground: Storeroom) -> AsyncIterator[Stall]:
    async with (
        Courier(allowed=LOOPBACK) as courier,
        receiving(meta_takes) as meta,
        receiving(google_takes) as google,
    ):
        stall = Stall(ground, await open_shop(ground), courier, meta, google)
        shop = stall.shop
        stall.variant = await make_product(shop, stock=1_000, price=12_950)
        await make_method(shop)
        stall.pixel = await shop.conversions.create_provider(
            kind=ProviderKind.META, name="pixel", account_id="1234567890", secret=TOKEN
        )
        stall.stream = await shop.conversions.create_provider(
            kind=ProviderKind.GA4, name="stream", account_id="G-AB12CD34EF", secret=API_SECRET
        )
        yield stall
        await ground.db.execute("DELETE FROM analytics_events")  # of the next test's sender
        await ground.db.execute(
            "UPDATE webhook_queue SET status = 'failed', completed_at = now() WHERE status = 'pending'"
        )
