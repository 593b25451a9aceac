"""A shop in Sri Lanka, and the folder that its messages go to."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from phones import Phones

from factories import open_shop
from serving import app_of
from storeroom.database.service import SYSTEM
from storeroom.room import Storeroom


@pytest.fixture
async def phones(room: Storeroom, tmp_path: Path) -> Phones:
    shop = await open_shop(room, actor=SYSTEM, country_code="LK")
    return Phones(shop, tmp_path / "notices", room)


@pytest.fixture
async def http(room: Storeroom, phones: Phones) -> AsyncIterator[httpx.AsyncClient]:
    host = f"{secrets.token_hex(6)}.test"
    await room.tenants.add_host(phones.shop.tenant_id, host)
    transport = httpx.ASGITransport(app=app_of(room), client=(f"2001:db8::{secrets.token_hex(2)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client
