"""A till of a fresh tenant for each test."""

from pathlib import Path

import pytest
from till import Till, open_till

from storeroom.database.pool import Database


@pytest.fixture
async def till(database: Database, tmp_path: Path) -> Till:
    """A fresh tenant in USD, with an administrator at work."""
    return await open_till(database, tmp_path / "files")


@pytest.fixture
async def other_till(database: Database, tmp_path: Path) -> Till:
    """Another tenant, whose store is the same folder."""
    return await open_till(database, tmp_path / "files")
