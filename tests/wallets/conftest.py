"""A shop that takes money from wallets."""

from __future__ import annotations

import pytest

from purse import Purse, open_purse
from storeroom.room import Storeroom


@pytest.fixture
async def purse(room: Storeroom, dsn: str) -> Purse:
    """A fresh tenant with one receiving account for USDC, called by the program that watches the chain."""
    return await open_purse(room, dsn)


@pytest.fixture
async def other(room: Storeroom, dsn: str) -> Purse:
    """Another tenant, with an account of its own."""
    return await open_purse(room, dsn)
