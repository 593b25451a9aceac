"""A shop that answers over HTTP, beside the shops of the other tests."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from serving import app_of
from storeroom.room import Shop, Storeroom


@pytest.fixture(scope="session")
def app(room: Storeroom) -> Litestar:
    return app_of(room)


@pytest.fixture
async def host(room: Storeroom, shop: Shop) -> str:
    name = f"{uuid.uuid4().hex}.test"
    await room.tenants.add_host(shop.tenant_id, name)
    return name


@pytest.fixture
async def http(app: Litestar, host: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: it keeps cookies."""
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client
