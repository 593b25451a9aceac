"""A shop with one of everything in it for each test, and a stranger's."""

import pytest

from tenancy.estate import Estate, build
from storeroom.room import Storeroom


@pytest.fixture
async def ours(room: Storeroom) -> Estate:
    return await build(room)


@pytest.fixture
async def theirs(room: Storeroom) -> Estate:
    return await build(room)
