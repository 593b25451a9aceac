"""A shop with refunds to make, for each test."""

import pytest

from factories import open_shop
from refund_desk import Desk, open_desk
from storeroom.room import Shop, Storeroom


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    return await open_desk(shop)


@pytest.fixture
async def other(room: Storeroom) -> Shop:
    """Another tenant."""
    return await open_shop(room)
