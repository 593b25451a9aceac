"""Limits count in windows of the clock: who counts up to one stops it, else the window may end in between."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storeroom.core.clock import FixedClock


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a test counts falls into one window."""
    clock = FixedClock(datetime.now(UTC))
    monkeypatch.setattr("storeroom.web.limits.SystemClock", lambda: clock)
