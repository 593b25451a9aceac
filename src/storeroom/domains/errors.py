"""What the domains refuse."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound


class DomainNotFound(NotFound):
    """The shop has no such domain."""

    code = "domains.not_found"

    def __init__(self, *, domain_id: UUID) -> None:
        super().__init__(f"no domain {domain_id}")
        self.domain_id = domain_id


class DomainTaken(Conflict):
    """The shop has a domain of this name, in whatever case, or of this number of the former system."""

    code = "domains.taken"

    def __init__(self, *, field: str, value: str) -> None:
        super().__init__(f"another domain has the {field} {value!r}")
        self.field, self.value = field, value


class InvalidDomain(Invalid):
    """A field is out of its bounds; nothing was written."""

    code = "domains.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
