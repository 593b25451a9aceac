import pytest
from house import House

from storeroom.database.pool import Database


@pytest.fixture
async def house(database: Database) -> House:
    """A fresh shop."""
    return await House.open(database)


@pytest.fixture
async def other(database: Database) -> House:
    """Another tenant, of the same installation."""
    return await House.open(database)
