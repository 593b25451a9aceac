"""What the inbox refuses."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from storeroom.core.ids import InboxId
from storeroom.inbox.model import SOURCES_MAX, InboxStatus


class InvalidSource(Invalid):
    """A source that cannot be right."""

    code = "inbox.invalid_source"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidMessage(Invalid):
    """A message that no handler could read: nothing of it was kept."""

    code = "inbox.invalid_message"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceNotFound(NotFound):
    """The shop hears of no such source."""

    code = "inbox.source_not_found"

    def __init__(self, *, source: str) -> None:
        super().__init__(f"no source {source[:50]!r}")
        self.source = source[:50]


class SourceTaken(Conflict):
    """The shop has a source of this code."""

    code = "inbox.source_taken"

    def __init__(self, *, source: str) -> None:
        super().__init__(f"there is a source {source!r} already")
        self.source = source


class TooManySources(Conflict):
    """The shop has as many sources as it may."""

    code = "inbox.too_many_sources"

    def __init__(self) -> None:
        super().__init__(f"a shop has {SOURCES_MAX} sources at most")
        self.sources_max = SOURCES_MAX


class MessageForged(Unauthenticated):
    """The message is not signed with the secret of its source, or too long ago."""

    code = "inbox.signature_refused"

    def __init__(self, *, source: str) -> None:
        super().__init__(f"not signed by {source}, or too long ago")
        self.source = source


class MessageNotFound(NotFound):
    """No message of this id."""

    code = "inbox.message_not_found"

    def __init__(self, *, message_id: InboxId) -> None:
        super().__init__(f"there is no message {message_id}")
        self.message_id: UUID = message_id


class MessageNotReplayable(Conflict):
    """It was processed, is about to be, or was never signed by its source."""

    code = "inbox.message_not_replayable"

    def __init__(self, *, message_id: InboxId, status: InboxStatus, signature_valid: bool) -> None:
        why = f"is in state {status}" if signature_valid else "has a wrong signature"
        super().__init__(f"message {message_id} {why} and is not processed again")
        self.message_id: UUID = message_id
        self.status, self.signature_valid = status, signature_valid
