import pytest

from market import Market
from storeroom.database.pool import Database


@pytest.fixture
async def market(database: Database) -> Market:
    """A fresh tenant in USD."""
    return await Market.open(database)


@pytest.fixture
async def other(database: Database) -> Market:
    """Another tenant."""
    return await Market.open(database)
