"""What is refused about payments from wallets."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound


class InvalidTransaction(Invalid):
    """The payment cannot be recorded like that; nothing was written."""

    code = "wallets.invalid_transaction"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class TransactionNotFound(NotFound):
    """No payment of this shop has the signature."""

    code = "wallets.transaction_not_found"

    def __init__(self, *, signature: str) -> None:
        super().__init__(f"no payment {signature[:40]!r}")
        self.signature = signature


class NotOurAccount(Conflict):
    """The money arrived at an account that does not take money for this shop; nothing was recorded."""

    code = "wallets.not_our_account"

    def __init__(self, *, account: str, asset: str) -> None:
        super().__init__(f"{account} takes no {asset} for this shop")
        self.account, self.asset = account, asset


class NotForCustomers(Forbidden):
    """Who pays does not say whether it arrived."""

    code = "wallets.not_for_customers"

    def __init__(self) -> None:
        super().__init__("this is said by staff or by the program that verified the payment")


class InvalidAccount(Invalid):
    """A receiving account cannot be like that; nothing was written."""

    code = "wallets.invalid_account"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class ReceivingAccountNotFound(NotFound):
    """The shop has no such account."""

    code = "wallets.account_not_found"

    def __init__(self, *, account_id: UUID) -> None:
        super().__init__(f"no receiving account {account_id}")
        self.account_id = account_id


class ReceivingAccountTaken(Conflict):
    """The shop has this address for this asset already."""

    code = "wallets.account_taken"

    def __init__(self, *, asset: str, address: str) -> None:
        super().__init__(f"{address} is already an account for {asset}")
        self.asset, self.address = asset, address


class TooManyReceivingAccounts(Conflict):
    """The shop has as many accounts as one may."""

    code = "wallets.too_many_accounts"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"a shop has at most {maximum} receiving accounts")
        self.maximum = maximum


class InvalidQuote(Invalid):
    """An offer cannot be like that; nothing was written."""

    code = "wallets.invalid_quote"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class QuoteNotFound(NotFound):
    """The shop has no such quote, or its time was over so long ago that it was removed."""

    code = "wallets.quote_not_found"

    def __init__(self, *, quote_id: str) -> None:
        super().__init__(f"no quote {quote_id[:60]!r}")
        self.quote_id = quote_id


class QuotePaid(Conflict):
    """A quote that was paid is what was agreed: it is neither saved over nor sold again. Nothing was written."""

    code = "wallets.quote_paid"

    def __init__(self, *, quote_ids: Sequence[str]) -> None:
        super().__init__(f"paid already: {', '.join(quote_ids)}")
        self.quote_ids = list(quote_ids)


class QuoteExpired(Conflict):
    """The quote's time to be paid is over."""

    code = "wallets.quote_expired"

    def __init__(self, *, quote_id: str) -> None:
        super().__init__(f"the quote {quote_id} can no longer be paid")
        self.quote_id = quote_id


class QuotePaidByAnother(Conflict):
    """Another wallet has paid the quote."""

    code = "wallets.quote_paid_by_another"

    def __init__(self, *, quote_id: str) -> None:
        super().__init__(f"the quote {quote_id} was paid by another wallet")
        self.quote_id = quote_id
