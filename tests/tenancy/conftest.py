"""Two shops, made once: whatever is tried in the one with the ids of the other must leave both as they are."""

import pytest
from estate import Estate, build

from storeroom.room import Storeroom


@pytest.fixture(scope="session")
async def ours(room: Storeroom) -> Estate:
    return await build(room)


@pytest.fixture(scope="session")
async def theirs(room: Storeroom) -> Estate:
    return await build(room)
