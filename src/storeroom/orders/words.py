"""The words that other systems have for where an order is. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from storeroom.orders.errors import UnknownStatusWord
from storeroom.orders.model import OrderStatus

S = OrderStatus


class Vocabulary(StrEnum):
    """Systems that have words of their own for where an order is."""

    STORE = "store"  # pending, paid, processing, shipped, completed, cancelled
    PAY_SERVER = "pay_server"  # created, paid, processing, fulfilled, shipped, delivered, cancelled, refunded
    PRE_ORDER = "pre_order"  # pending, confirmed, processing, shipped, delivered


STATUS_WORDS: Final[Mapping[Vocabulary, Mapping[str, OrderStatus]]] = MappingProxyType(
    {
        Vocabulary.STORE: MappingProxyType(
            {
                "pending": S.PENDING_PAYMENT,
                "paid": S.PAYMENT_RECEIVED,
                "processing": S.PROCESSING,
                "shipped": S.SHIPPED,
                "completed": S.DELIVERED,
                "cancelled": S.CANCELLED,
            }
        ),
        Vocabulary.PAY_SERVER: MappingProxyType(
            {
                "created": S.PENDING_PAYMENT,
                "paid": S.PAYMENT_RECEIVED,
                "processing": S.PROCESSING,
                "fulfilled": S.READY_TO_SHIP,
                "shipped": S.SHIPPED,
                "delivered": S.DELIVERED,
                "cancelled": S.CANCELLED,
                "refunded": S.REFUNDED,
            }
        ),
        Vocabulary.PRE_ORDER: MappingProxyType(
            {
                "pending": S.PENDING_PAYMENT,
                "confirmed": S.PAYMENT_RECEIVED,
                "processing": S.PROCESSING,
                "shipped": S.SHIPPED,
                "delivered": S.DELIVERED,
            }
        ),
    }
)
# A vocabulary without a word for a state says the nearest that is still true.
_NEAREST: Final[Mapping[OrderStatus, OrderStatus]] = MappingProxyType(
    {S.READY_TO_SHIP: S.PROCESSING, S.PARTIALLY_REFUNDED: S.PAYMENT_RECEIVED, S.REFUNDED: S.CANCELLED}
)


def from_word(word: str, vocabulary: Vocabulary) -> OrderStatus:
    """The status that another system's word means; blanks around it and capitals do not matter.

    Raises:
        UnknownStatusWord: the vocabulary has no such word.
    """
    status = STATUS_WORDS[vocabulary].get(word.strip().lower())
    if status is None:
        raise UnknownStatusWord(word=word[:50], known=sorted(STATUS_WORDS[vocabulary]))
    return status


def to_word(status: OrderStatus, vocabulary: Vocabulary) -> str | None:
    """Another system's word for a status, or the nearest one; None where none of its words would be true."""
    words = {meant: word for word, meant in STATUS_WORDS[vocabulary].items()}
    return words.get(status) or words.get(_NEAREST.get(status, status))
