"""One room and one application for the run; each test has a shop at a host of its own."""

import sys
import uuid
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar
from served import SECRET, Place, client_of

from market import Market
from serving import app_of
from storeroom.room import Storeroom
from storeroom.server.logs import configure_logs


@pytest.fixture(scope="session")
async def room(dsn: str) -> AsyncIterator[Storeroom]:
    async with Storeroom.open(dsn, secret=SECRET) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _logs() -> None:
    """As a server writes them; pytest shows them where a test fails."""
    configure_logs(sys.stderr, json=True)


@pytest.fixture(scope="session")
def app(room: Storeroom) -> Litestar:
    return app_of(room)


@pytest.fixture
async def place(room: Storeroom, app: Litestar) -> AsyncIterator[Place]:
    market = await Market.open(room.db)
    host = f"{uuid.uuid4().hex}.test"
    await room.tenants.add_host(market.tenant_id, host)
    await market.rate("standard", 500)
    async with client_of(app, host) as http:
        yield Place(room, app, market, host, http)
