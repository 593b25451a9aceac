"""What orders refuse."""

from collections.abc import Sequence

from storeroom.core.errors import Conflict, Invalid, NotFound


class OrderNotFound(NotFound):
    """No such order, or none that this caller may know of; a wrong phone looks like a wrong number."""

    code = "orders.not_found"

    def __init__(self, *, order: str) -> None:
        super().__init__(f"no order {order}")
        self.order = order


class OrderMoveRefused(Conflict):
    """The order is in a state from which it cannot go there; nothing was written."""

    code = "orders.move_refused"

    def __init__(self, *, order: str, from_status: str, to_status: str, allowed: Sequence[str]) -> None:
        super().__init__(f"order {order} is {from_status} and cannot become {to_status}")
        self.order, self.from_status, self.to_status, self.allowed = order, from_status, to_status, list(allowed)


class NotOnHand(Conflict):
    """Units that would have to leave the house are not there; nothing was written."""

    code, transient = "orders.not_on_hand", True

    def __init__(self, *, order: str, lines: Sequence[object]) -> None:
        super().__init__(f"order {order} cannot be shipped: {len(lines)} variants are short")
        self.order, self.lines = order, list(lines)


class NotesFull(Conflict):
    """The order has as many internal notes as fit."""

    code = "orders.notes_full"

    def __init__(self, *, order: str, length_max: int) -> None:
        super().__init__(f"the notes of order {order} would be longer than {length_max} characters")
        self.order, self.length_max = order, length_max


class OrderCodeTaken(Conflict):
    """An order that comes from elsewhere has the number of another order; nothing was written."""

    code = "orders.code_taken"

    def __init__(self, *, number: str) -> None:
        super().__init__(f"another order is called {number}")
        self.number = number


class InvalidOrderInput(Invalid):
    """An argument is out of its bounds; nothing was read or written."""

    code = "orders.invalid_input"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class UnknownStatusWord(Invalid):
    """No status goes by this word."""

    code = "orders.unknown_status"

    def __init__(self, *, word: str, known: Sequence[str]) -> None:
        super().__init__(f"no status is called {word!r}", field="status")
        self.word, self.known = word, list(known)


class ShippingRateNotFound(NotFound):
    """The tenant has no such shipping rate."""

    code = "orders.shipping_rate_not_found"

    def __init__(self, *, rate: str) -> None:
        super().__init__(f"no shipping rate {rate}")
        self.rate = rate


class ShippingRateTaken(Conflict):
    """A shipping rate has this code already."""

    code = "orders.shipping_rate_taken"

    def __init__(self, *, rate: str) -> None:
        super().__init__(f"a shipping rate {rate} exists")
        self.rate = rate


class InvalidShippingRate(Invalid):
    """A shipping rate cannot be like this; nothing was written."""

    code = "orders.invalid_shipping_rate"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
