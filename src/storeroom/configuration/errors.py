"""What is refused of the configuration. None of these carries a value."""

from storeroom.core.errors import Conflict, Invalid, Misconfigured, NotFound


class ConfigNotFound(NotFound):
    """Nothing is set under this key, and no default is known."""

    code = "configuration.not_found"

    def __init__(self, *, key: str) -> None:
        super().__init__(f"nothing is set as {key[:100]!r}")
        self.key = key[:100]


class InvalidConfig(Invalid):
    """A key, a group or a value cannot be right; nothing was written."""

    code = "configuration.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class ConfigUnreadable(Misconfigured):
    """What the environment or the table says of a key means nothing."""

    code = "configuration.unreadable"

    def __init__(self, *, key: str, source: str, reason: str) -> None:
        super().__init__(f"{key}, from {source}: {reason}")
        self.key, self.source, self.reason = key, source, reason


class TooManyConfigs(Conflict):
    """The shop has as many keys as a shop may have."""

    code = "configuration.too_many"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"a shop has {maximum} keys at most")
        self.maximum = maximum
