from collections.abc import Callable

import asyncpg
import pytest

from market import Market
from storeroom.database import errors, pool
from storeroom.database.pool import Database
from storeroom.flows import checkout


@pytest.fixture
async def market(database: Database) -> Market:
    """A fresh tenant in USD."""
    return await Market.open(database)


@pytest.fixture
async def other(database: Database) -> Market:
    """Another tenant."""
    return await Market.open(database)


@pytest.fixture
def deadlocks(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The deadlocks that were met and hidden by running a transaction again; the server's own counter comes late."""
    met: list[BaseException] = []
    real: Callable[[BaseException], bool] = errors.lost_to_a_rival

    def noted(error: BaseException) -> bool:
        if isinstance(error, asyncpg.DeadlockDetectedError):
            met.append(error)
        return real(error)

    for module in (pool, checkout):
        monkeypatch.setattr(module, "lost_to_a_rival", noted)
    return met
