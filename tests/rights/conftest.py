"""The whole application, and everybody who may stand at its door."""

import uuid
from collections.abc import AsyncIterator

import pytest
from door import SECRET, Door, client_of
from litestar import Litestar

from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings


@pytest.fixture(scope="session")
async def rights_room(dsn: str) -> AsyncIterator[Storeroom]:
    async with Storeroom.open(dsn, secret=SECRET) as opened:
        yield opened


@pytest.fixture(scope="session")
def rights_app(rights_room: Storeroom) -> Litestar:
    return create_app(rights_room, Settings(flood_requests=0))  # one address walks every route as everybody


@pytest.fixture
async def door(rights_room: Storeroom, rights_app: Litestar) -> AsyncIterator[Door]:
    tenant_id = f"t_{uuid.uuid4().hex[:12]}"
    await rights_room.tenants.create(tenant_id, name="A shop", currency="USD")
    host = f"{uuid.uuid4().hex}.test"
    await rights_room.tenants.add_host(tenant_id, host)
    async with client_of(rights_app, host) as http:
        yield Door(rights_room, rights_app, rights_room.tenant(tenant_id), host, http)
