"""What rows hold, in one form whatever the driver delivers."""

from datetime import UTC, datetime


def instant(value: datetime | str) -> datetime:
    """An instant of a row in UTC: a datetime, or a text in ISO 8601. Without an offset it is in UTC already.

    For rows alone. What comes from outside has to say its offset: `core.clock.utc`.
    """
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (at if at.utcoffset() is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
