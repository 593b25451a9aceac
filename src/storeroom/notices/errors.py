"""What queueing a notice may refuse."""

from storeroom.core.errors import Invalid


class NoticeUnknown(Invalid):
    """There is no such kind of notice, not by this channel, or not with these facts."""

    code = "notices.unknown"

    def __init__(self, *, kind: str, reason: str) -> None:
        super().__init__(f"a notice of kind {kind!r}: {reason}", field="kind")
        self.kind, self.reason = kind, reason
