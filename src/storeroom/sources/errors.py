"""What is refused of a message of another system."""

from storeroom.core.errors import Invalid


class InvalidSourceMessage(Invalid):
    """The message cannot be right; `field` names what is wrong with it. Nothing was changed."""

    code = "sources.invalid_message"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
