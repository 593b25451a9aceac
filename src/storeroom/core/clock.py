"""The time, as Python sees it: aware, in UTC, and asked for instead of taken.

The database has a clock of its own. The two are never mixed in one comparison.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from typing_extensions import override

from storeroom.core.errors import Invalid


class NaiveInstant(Invalid):
    """An instant came without its offset from UTC, so it does not say when it is."""

    code = "core.naive_instant"

    def __init__(self, *, field: str | None = None) -> None:
        super().__init__("an instant needs an offset from UTC, such as 2026-03-01T12:00:00Z", field=field)


class Clock(Protocol):
    """Where a service takes the time from."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock(Clock):
    """The clock of the machine."""

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self._at = utc(at)

    @override
    def now(self) -> datetime:
        return self._at

    def move(self, by: timedelta) -> datetime:
        """Move the hands by this much, back if it is negative; return the new time."""
        self._at += by
        return self._at


def utc(value: datetime, *, field: str | None = None) -> datetime:
    """The same instant in UTC.

    Raises:
        NaiveInstant: `value` has no offset; `field` is passed on.
    """
    if value.utcoffset() is None:
        raise NaiveInstant(field=field)
    return value.astimezone(UTC)
