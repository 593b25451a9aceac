"""Two shops with three customers, and SQL prompts as somebody who comes to the database directly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from town import As, Town, customer

from factories import make_method, make_product, open_shop
from storeroom.database.service import SYSTEM
from storeroom.room import Storeroom


@pytest.fixture
async def town(room: Storeroom) -> Town:
    here, there = await open_shop(room, actor=SYSTEM), await open_shop(room, actor=SYSTEM)
    found = []
    for name, shop in (("ann", here), ("ben", here), ("cat", there)):
        method = await make_method(shop, f"zelle-{name}")
        variant_id = await make_product(shop, stock=9)
        found.append(await customer(shop, name, method.code, variant_id))
    return Town(ann=found[0], ben=found[1], cat=found[2])


@pytest.fixture
async def admin(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser, who sees what is really there."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def prompt(dsn: str) -> As:
    """`async with prompt("storeroom_tenant", tenant_id=…)`, or with `claims=…`: a transaction that is undone."""

    @asynccontextmanager
    async def enter(
        role: str, *, tenant_id: str | None = None, claims: dict[str, str] | None = None
    ) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(f"SET SESSION AUTHORIZATION {role}")
            await connection.transaction().start()
            if tenant_id is not None:
                await connection.execute("SELECT set_config('storeroom.tenant_id', $1, TRUE)", tenant_id)
            if claims is not None:
                await connection.execute("SELECT set_config('request.jwt.claims', $1, TRUE)", json.dumps(claims))
            yield connection
        finally:
            await connection.close()

    return enter
