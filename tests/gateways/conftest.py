"""A shop behind its HTTP, and one who may do everything in it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from factories import open_shop
from serving import app_of
from storeroom.database.service import SYSTEM
from storeroom.identity import Proof, UserRole
from storeroom.room import Shop, Storeroom


@pytest.fixture(scope="session")
def app(room: Storeroom) -> Litestar:
    return app_of(room)


@pytest.fixture
async def house(room: Storeroom) -> Shop:
    """A shop as the server's own code sees it."""
    return await open_shop(room, actor=SYSTEM)


@pytest.fixture
async def http(house: Shop, app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    admin = await house.users.create(email="ann@shop.example", role=UserRole.SUPER_ADMIN)
    signed_in = await house.sessions.start(proof=Proof(user_id=admin.id))
    headers = {"Authorization": f"Bearer {signed_in.access_token}"}
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test", headers=headers) as client:
        yield client
