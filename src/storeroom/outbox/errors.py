"""What the outbox refuses."""

from collections.abc import Collection

from storeroom.core.errors import Invalid


class SubjectRefused(Invalid):
    """What this is about is never told to this destination: nothing was queued."""

    code = "outbox.subject_refused"

    def __init__(self, *, destination: str, entity_type: str, allowed: Collection[str]) -> None:
        super().__init__(f"{entity_type[:50]} is never sent to {destination}", field="entity_type")
        self.destination, self.entity_type = destination, entity_type
        self.allowed = sorted(allowed)
