"""A shop in Sri Lanka, and the folder that its messages go to."""

from pathlib import Path

import pytest
from phones import Phones

from factories import open_shop
from storeroom.database.service import SYSTEM
from storeroom.room import Storeroom


@pytest.fixture
async def phones(room: Storeroom, tmp_path: Path) -> Phones:
    shop = await open_shop(room, actor=SYSTEM, country_code="LK")
    return Phones(shop, tmp_path / "notices")
