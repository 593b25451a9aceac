"""What the room refuses."""

from uuid import UUID

from storeroom.conversions.model import PROVIDERS_MAX
from storeroom.core.errors import Conflict, Invalid, NotFound


class ProviderNotFound(NotFound):
    """The shop has no such provider."""

    code = "conversions.provider_not_found"

    def __init__(self, *, provider_id: UUID) -> None:
        super().__init__(f"no conversion provider {provider_id}")
        self.provider_id = provider_id


class ProviderTaken(Conflict):
    """The shop tells this account already."""

    code = "conversions.provider_taken"

    def __init__(self, *, kind: str, account_id: str) -> None:
        super().__init__(f"{account_id} of {kind} is there already")
        self.kind, self.account_id = kind, account_id


class TooManyProviders(Conflict):
    """The shop has as many as it may."""

    code = "conversions.too_many_providers"

    def __init__(self) -> None:
        super().__init__(f"a shop has {PROVIDERS_MAX} conversion providers at most")
        self.maximum = PROVIDERS_MAX


class InvalidProvider(Invalid):
    """A setting of a provider cannot be right; `field` names it."""

    code = "conversions.invalid_provider"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidSignal(Invalid):
    """What a browser is known by is none; `field` names it."""

    code = "conversions.invalid_signal"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class SessionNeeded(Invalid):
    """Consent is kept with a visit, and the caller has none."""

    code = "conversions.session_needed"

    def __init__(self) -> None:
        super().__init__("consent is said by a visitor: send the guest's token, or the access token of an account")


class ConversionNotFound(NotFound):
    """No such event waits: it was told, given up or dropped."""

    code = "conversions.not_found"

    def __init__(self, *, conversion_id: UUID) -> None:
        super().__init__(f"no conversion {conversion_id} waits")
        self.conversion_id = conversion_id
