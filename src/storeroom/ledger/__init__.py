"""The ledger of money: what came in, what went back and what is due, from the facts."""

from storeroom.ledger.model import EntryKind, LedgerEntry, OrderLedger, ShopLedger
from storeroom.ledger.service import Ledger

__all__ = ["EntryKind", "Ledger", "LedgerEntry", "OrderLedger", "ShopLedger"]
