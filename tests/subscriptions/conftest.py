"""A shop over HTTP, and a product that is subscribed to."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from club import Club, open_club
from litestar import Litestar

from serving import app_of
from storeroom.room import Shop, Storeroom


@pytest.fixture(scope="session")
def app(room: Storeroom) -> Litestar:
    return app_of(room)


@pytest.fixture
async def http(app: Litestar, room: Storeroom, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    name = f"{uuid.uuid4().hex}.test"
    await room.tenants.add_host(shop.tenant_id, name)
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
        yield client


@pytest.fixture
async def club(shop: Shop) -> Club:
    return await open_club(shop)
