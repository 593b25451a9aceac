"""A fresh shop with a source for each test."""

import pytest
from reception import Desk

from factories import open_shop
from storeroom.room import Storeroom


@pytest.fixture
async def desk(room: Storeroom) -> Desk:
    """A shop that hears of `epicor_propello`."""
    made = Desk(room, await open_shop(room))
    await made.source()
    return made
