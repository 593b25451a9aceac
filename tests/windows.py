"""Limits count in windows of the clock: who counts up to one stops it, else the window may end in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from storeroom.core.clock import Clock, FixedClock
from storeroom.database.pool import Database
from storeroom.web import limits


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a test counts falls into one window.

    Of the limits alone: an application that is made meanwhile, and kept for later tests, has the clock of the machine.
    """
    counted, still = limits._counted, FixedClock(datetime.now(UTC))

    async def in_one_window(db: Database, *, clock: Clock | None, **facts: Any) -> datetime:
        return await counted(db, clock=clock or still, **facts)

    monkeypatch.setattr(limits, "_counted", in_one_window)
