"""A tenant to sell at, and its checkout."""

import pytest

from counter import Counter
from market import Market
from storeroom.database.pool import Database
from storeroom.flows.checkout import Checkout, CheckoutGroups


@pytest.fixture
async def market(database: Database) -> Market:
    return await Market.open(database)


@pytest.fixture(params=["alone", "grouped"])
def counter(request: pytest.FixtureRequest, market: Market, database: Database) -> Counter:
    """Every promise holds for an order placed by itself and for one placed in company."""
    groups = CheckoutGroups(database) if request.param == "grouped" else None
    return Counter(market, Checkout(market.context, groups))
