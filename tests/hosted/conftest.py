"""A stand of a fresh tenant for each test."""

import pytest
from stand import PROVIDER, Stand

from storeroom.room import Shop


@pytest.fixture
def stand(shop: Shop) -> Stand:
    """A fresh shop in USD, on whose tables a provider's word is taken."""
    return Stand(shop.acting(actor=PROVIDER))
