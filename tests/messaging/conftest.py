"""A shop on a database of its own, so that what other tests have queued is not sent here."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from postbox import Postbox, mailing
from sending import Office

from factories import SECRET, open_shop
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.room import Storeroom


@pytest.fixture
async def office(fresh_database: Callable[..., Awaitable[str]], tmp_path: Path) -> AsyncIterator[Office]:
    async with await Database.open(await fresh_database()) as db:
        room = Storeroom(db, secret=SECRET)
        yield Office(room, await open_shop(room, actor=SYSTEM), tmp_path / "data")


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    async with mailing() as box:
        yield box
