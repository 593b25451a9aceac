"""What a request with an Idempotency-Key may hear: from the web, and from a checkout that keeps its key itself."""

from storeroom.core.errors import Conflict, Invalid


class IdempotencyInFlight(Conflict):
    """A request with this Idempotency-Key is being worked on; ask again soon for its answer."""

    code, transient = "idempotency.in_flight", True

    def __init__(self, *, retry_after_s: int = 1) -> None:
        super().__init__("a request with this Idempotency-Key is in flight")
        self.retry_after_s = retry_after_s


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency.key_reused"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request", field="Idempotency-Key")


class IdempotencyAnswerLost(Conflict):
    """The request with this Idempotency-Key did its work, and its answer is kept no more; look at what there is."""

    code = "idempotency.answer_lost"

    def __init__(self) -> None:
        super().__init__("the work was done, its answer was lost; look at what there is instead of sending it again")


class IdempotencyClaimLost(Conflict):
    """The request outlived its lease and another with the same Idempotency-Key took over; this one wrote nothing."""

    code, transient = "idempotency.claim_lost", True

    def __init__(self) -> None:
        super().__init__("another request with this Idempotency-Key took over; ask again with the same key")


class InvalidIdempotencyKey(Invalid):
    """An Idempotency-Key has 1 to 255 printable characters, and at least 16 where the caller sends no token."""

    code = "idempotency.invalid_key"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason, field="Idempotency-Key")
