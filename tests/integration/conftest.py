"""A shop on a database of its own, so that what other tests have queued is not sent here; and who sends."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from factories import LOOPBACK, SECRET, open_shop
from storeroom.database.pool import Database
from storeroom.integration import Courier, Dispatcher
from storeroom.room import Shop, Storeroom

JAVASCRIPT = Path(__file__).parents[2] / "build" / "javascript" / "node_modules"  # put there by .ci/run
collect_ignore = [] if shutil.which("node") and (JAVASCRIPT / "standardwebhooks").is_dir() else ["test_javascript.py"]


@pytest.fixture
async def house(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Storeroom]:
    async with await Database.open(await fresh_database()) as db:
        yield Storeroom(db, secret=SECRET)


@pytest.fixture
async def outlet(house: Storeroom) -> Shop:
    return await open_shop(house)


@pytest.fixture
async def courier() -> AsyncIterator[Courier]:
    async with Courier(allowed=LOOPBACK) as courier:
        yield courier


@pytest.fixture
def dispatcher(house: Storeroom, courier: Courier) -> Dispatcher:
    return Dispatcher(house.db, courier, keys=house.token_keys)
