"""A shop with one of everything in it for each test, and a stranger's."""

import pytest

from storeroom.room import Storeroom
from tenancy.estate import Estate, build


@pytest.fixture
async def ours(room: Storeroom) -> Estate:
    return await build(room)


@pytest.fixture
async def theirs(room: Storeroom) -> Estate:
    return await build(room)
