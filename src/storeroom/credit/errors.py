"""What store credit refuses."""

from storeroom.core.errors import Conflict, Invalid
from storeroom.core.money import Money


class CreditShort(Conflict):
    """The balance is smaller than what is to be taken; nothing was."""

    code = "credit.short"

    def __init__(self, *, asked: Money, balance: Money) -> None:
        super().__init__("the balance is smaller than that")
        self.asked, self.balance = asked, balance


class CreditTooLarge(Conflict):
    """The balance would not fit into 64 bits."""

    code = "credit.too_large"

    def __init__(self) -> None:
        super().__init__("the balance would be larger than an amount can be")


class InvalidCredit(Invalid):
    """What was said about the credit cannot be right; nothing was written."""

    code = "credit.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
