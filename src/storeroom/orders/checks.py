"""What is asked of the words that an order is looked for by, or changed with."""

from storeroom.orders.errors import InvalidOrderInput
from storeroom.orders.model import REASON_LENGTH_MAX


def checked_text(text: str | None, field: str, length_max: int = 255) -> str:
    """The text without blanks around it; empty for none. Raises InvalidOrderInput."""
    stripped = (text or "").strip()
    if len(stripped) > length_max:
        raise InvalidOrderInput(field=field, reason=f"longer than {length_max} characters")
    if "\x00" in stripped:
        raise InvalidOrderInput(field=field, reason="has a NUL in it")
    return stripped


def checked_number(text: str) -> str:
    """The number of an order, in the capitals in which it is kept. Raises InvalidOrderInput."""
    return checked_text(text, "number").upper()


def checked_reason(text: str | None) -> str | None:
    """Why something was done, as it is kept in the history; None where nothing is said. Raises InvalidOrderInput."""
    return checked_text(text, "reason", REASON_LENGTH_MAX) or None
