"""Store credit: what a shop owes its accounts, spent like any payment."""

from storeroom.credit.errors import CreditShort, CreditTooLarge, InvalidCredit
from storeroom.credit.model import CREDIT_METHOD, CreditEntry, CreditReason, CreditStatement
from storeroom.credit.service import StoreCredit

__all__ = [
    "CREDIT_METHOD",
    "CreditEntry",
    "CreditReason",
    "CreditShort",
    "CreditStatement",
    "CreditTooLarge",
    "InvalidCredit",
    "StoreCredit",
]
