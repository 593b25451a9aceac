"""What is refused of gateways. None of these carries a value of a configuration: only names of its fields."""

from collections.abc import Sequence

from storeroom.core.errors import Conflict, Invalid, NotFound


class GatewayNotFound(NotFound):
    """The shop has no such gateway."""

    code = "gateways.not_found"

    def __init__(self, *, gateway: str) -> None:
        super().__init__(f"no gateway {gateway[:60]!r}")
        self.gateway = gateway[:60]


class GatewayTaken(Conflict):
    """Another gateway of the shop has this id."""

    code = "gateways.taken"

    def __init__(self, *, gateway: str) -> None:
        super().__init__(f"there is a gateway {gateway!r}")
        self.gateway = gateway


class GatewayInUse(Conflict):
    """Something refers to the gateway, a way to pay or what was paid through it: deactivate it instead."""

    code = "gateways.in_use"

    def __init__(self, *, gateway: str) -> None:
        super().__init__(f"ways to pay or payments refer to {gateway!r}; deactivate it instead")
        self.gateway = gateway


class GatewayIncomplete(Conflict):
    """An active gateway must know all that its provider asks for."""

    code = "gateways.incomplete"

    def __init__(self, *, gateway: str, missing: Sequence[str]) -> None:
        super().__init__(f"{gateway!r} lacks {', '.join(missing)}")
        self.gateway, self.missing = gateway, list(missing)


class InvalidGateway(Invalid):
    """A setting cannot be right; nothing was written."""

    code = "gateways.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class TooManyGateways(Conflict):
    """The shop has as many gateways as a shop may have."""

    code = "gateways.too_many"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"a shop has {maximum} gateways at most")
        self.maximum = maximum
