"""What payments on a provider's page refuse. No text here carries a key, a provider's own message or a buyer's data."""

from storeroom.core.errors import Conflict, Invalid, Misconfigured, NotFound, Unauthenticated, Unavailable
from storeroom.core.money import Money


class HostedSessionNotFound(NotFound):
    """The shop has no such checkout session."""

    code = "hosted.session_not_found"

    def __init__(self, *, session: str) -> None:
        super().__init__(f"no session {session[:60]!r}")
        self.session = session[:60]


class HostedSessionTaken(Conflict):
    """The session was saved before, for something else or another amount."""

    code = "hosted.session_taken"

    def __init__(self, *, session: str) -> None:
        super().__init__(f"session {session[:60]!r} was saved with other facts")
        self.session = session[:60]


class HostedSessionExpired(Conflict):
    """An expired session cannot complete; nothing was changed."""

    code = "hosted.session_expired"

    def __init__(self, *, session: str) -> None:
        super().__init__(f"session {session[:60]!r} has expired")
        self.session = session[:60]


class TransactionNotFound(NotFound):
    """The shop has no such transaction of Mastercard's gateway."""

    code = "hosted.transaction_not_found"

    def __init__(self, *, transaction: object) -> None:
        super().__init__(f"no transaction {str(transaction)[:60]!r}")
        self.transaction = str(transaction)[:60]


class TransactionTaken(Conflict):
    """Another transaction has this session, this payment or this number of the former system."""

    code = "hosted.transaction_taken"

    def __init__(self, *, field: str) -> None:
        super().__init__(f"another transaction has this {field}")
        self.field = field


class IndicatorRefused(Conflict):
    """The buyer's return does not bring what a paid one brings; nothing is paid by it."""

    code = "hosted.indicator_refused"

    def __init__(self) -> None:
        super().__init__("the result indicator is not that of a payment")


class RetryRefused(Conflict):
    """Only a transaction that fell through is tried again, and once."""

    code = "hosted.retry_refused"

    def __init__(self, *, status: str) -> None:
        super().__init__(f"a transaction that is {status} is not tried again, or was already")
        self.status = status


class InvalidHostedPayment(Invalid):
    """A field is out of its bounds; nothing was written."""

    code = "hosted.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class NotHosted(Conflict):
    """The payment's method has no page of a provider."""

    code = "hosted.not_hosted"

    def __init__(self, *, reference: str) -> None:
        super().__init__(f"payment {reference} is not taken on a provider's page")
        self.reference = reference


class AmountTooFine(Conflict):
    """The provider takes amounts in greater steps than the currency has; it was not asked."""

    code = "hosted.amount_too_fine"

    def __init__(self, *, provider: str, amount: Money, step: Money) -> None:
        super().__init__(f"{provider} takes multiples of {step.decimal()} {step.currency}")
        self.provider, self.amount, self.step = provider, amount, step


class ProviderRefused(Conflict):
    """The provider refuses what it is asked; `reason` is its code, for the shop's staff."""

    code = "hosted.provider_refused"

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"{provider} refuses: {reason[:100]}")
        self.provider, self.reason = provider, reason[:100]


class ProviderDown(Unavailable):
    """The provider does not answer, or not in time, or not in its own shape."""

    code, transient = "hosted.provider_unavailable", True

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"{provider} does not answer: {reason[:100]}")
        self.provider, self.reason = provider, reason[:100]


class ProviderMisconfigured(Misconfigured):
    """The gateway lacks what the provider needs, or the provider does not know its key."""

    code = "hosted.misconfigured"

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"{provider}: {reason[:200]}")
        self.provider, self.reason = provider, reason[:200]


class SignatureRefused(Unauthenticated):
    """The message is not signed by the provider, or too long ago."""

    code = "hosted.signature_refused"

    def __init__(self) -> None:
        super().__init__("not signed with a secret of this shop, or too long ago")
