"""A shop behind its HTTP, and one who may do everything in it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from works import Works

from factories import open_shop
from serving import app_of
from storeroom.database.service import SYSTEM
from storeroom.identity import Proof, UserRole
from storeroom.room import Storeroom


@pytest.fixture(scope="session")
def app(room: Storeroom) -> Litestar:
    return app_of(room)


@pytest.fixture
async def works(
    room: Storeroom, app: Litestar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Works]:
    monkeypatch.setenv("STOREROOM_FILES_URL", str(tmp_path))
    shop = await open_shop(room, actor=SYSTEM)
    admin = await shop.users.create(email="ann@shop.example", role=UserRole.SUPER_ADMIN)
    signed_in = await shop.sessions.start(proof=Proof(user_id=admin.id))
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    headers = {"Authorization": f"Bearer {signed_in.access_token}", "X-Request-Id": "walk-1", "User-Agent": "walker"}
    with ExitStack() as stack:
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test", headers=headers) as http:
            yield Works(shop, admin.id, http, stack)
