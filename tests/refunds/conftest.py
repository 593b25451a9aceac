"""A shop with refunds to make, for each test."""

import pytest
from till_of_refunds import Desk, open_desk

from storeroom.room import Shop


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    return await open_desk(shop)
