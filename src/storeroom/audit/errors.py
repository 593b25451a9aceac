"""What reading the trail refuses."""

from storeroom.core.errors import Invalid


class InvalidAuditQuery(Invalid):
    """A filter of the audit trail cannot be right."""

    code = "audit.invalid_query"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
