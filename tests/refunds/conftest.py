"""A shop with refunds to make, for each test."""

import pytest
from till_of_refunds import Desk, open_desk

from factories import open_shop
from storeroom.room import Shop, Storeroom


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    return await open_desk(shop)


@pytest.fixture
async def other(room: Storeroom) -> Shop:
    """Another tenant."""
    return await open_shop(room)
