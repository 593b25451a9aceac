"""What is refused about reminders."""

from uuid import UUID

from storeroom.core.errors import Invalid, NotFound


class InvalidRetainCart(Invalid):
    """A setting of reminders is out of its bounds; nothing was written."""

    code = "retention.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class CartReminderNotFound(NotFound):
    """The link is none of ours, or its time is over."""

    code = "retention.link_not_found"

    def __init__(self, *, reminder_id: UUID | None = None) -> None:
        super().__init__("no reminder of a cart belongs to this link, or its time is over")
        self.reminder_id = reminder_id
