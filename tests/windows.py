"""Limits count in windows of the clock: who counts up to one stops it, else the window may end in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storeroom.web import limits

CLOCK_SET = timedelta(seconds=30)  # so far away is only a clock that a test has set


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a test counts falls into one window.

    Of the limits alone: an application that is made meanwhile, and kept for later tests, has the clock of the machine.
    """
    window_at, still = limits._window_at, datetime.now(UTC)

    def in_one_window(now: datetime, window: timedelta) -> datetime:
        return window_at(still if abs(now - still) < CLOCK_SET else now, window)

    monkeypatch.setattr(limits, "_window_at", in_one_window)
