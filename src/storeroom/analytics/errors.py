"""What analytics refuses."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.core.errors import Invalid, NotFound


class NoEventKept(Invalid):
    """Not one of the events that were sent can be kept; `refused` says of each why."""

    code = "analytics.no_event_kept"

    def __init__(self, *, refused: Sequence[object]) -> None:
        super().__init__(f"none of {len(refused)} events can be kept", field="events")
        self.refused = list(refused)


class InvalidEventBatch(Invalid):
    """A batch has no events, or too many."""

    code = "analytics.invalid_batch"

    def __init__(self, *, events: int, events_max: int) -> None:
        super().__init__(f"a batch has 1 to {events_max} events, not {events}", field="events")
        self.events, self.events_max = events, events_max


class InvalidEvent(Invalid):
    """An event breaks the naming convention or a bound. Nothing was written."""

    code = "analytics.invalid_event"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidPeriod(Invalid):
    """Events are listed of a period that begins before it ends, and is not longer than PERIOD_MAX."""

    code = "analytics.invalid_period"

    def __init__(self, *, days_max: int) -> None:
        super().__init__(f"a period begins before it ends and has at most {days_max} days", field="since")
        self.days_max = days_max


class EventUserNotFound(NotFound):
    """An event is said to be of an account that the shop does not have. Nothing was written."""

    code = "analytics.user_not_found"

    def __init__(self, *, user_id: UUID) -> None:
        super().__init__(f"no account {user_id}")
        self.user_id = str(user_id)
