"""What refunds refuse."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound
from storeroom.core.money import Money


class RefundNotFound(NotFound):
    """The shop knows no such refund."""

    code = "refunds.not_found"

    def __init__(self, *, refund_id: UUID) -> None:
        super().__init__(f"no refund {refund_id}")
        self.refund_id = refund_id


class InvalidRefund(Invalid):
    """What was said about the refund cannot be right; nothing was written."""

    code = "refunds.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class PaymentNotRefundable(Conflict):
    """Nothing came in by this payment, or all of it went back."""

    code = "refunds.payment_not_refundable"

    def __init__(self, *, payment: str, status: str) -> None:
        super().__init__(f"payment {payment} is {status}")
        self.payment, self.status = payment, status


class RefundExceedsPayment(Conflict):
    """With what went back and what is promised, it would be more than the payment brought."""

    code = "refunds.exceeds_payment"

    def __init__(self, *, payment: str, asked: Money, left: Money) -> None:
        super().__init__(f"less than that is left of payment {payment}")
        self.payment, self.asked, self.left = payment, asked, left


class RefundExceedsLine(Conflict):
    """Fewer units of the line are left to be refunded."""

    code = "refunds.exceeds_line"

    def __init__(self, *, order_item_id: UUID, asked: int, left: int) -> None:
        super().__init__(f"{asked} units asked for, {left} of the line are left")
        self.order_item_id, self.asked, self.left = order_item_id, asked, left


class RefundLineNotFound(NotFound):
    """The order of the payment has no such line."""

    code = "refunds.line_not_found"

    def __init__(self, *, order_item_id: UUID) -> None:
        super().__init__(f"the order has no line {order_item_id}")
        self.order_item_id = order_item_id


class RefundUndecided(Conflict):
    """A provider gave money back while staff's own refund of another amount is pending: whose it is they decide."""

    code, transient = "refunds.undecided", True

    def __init__(self, *, payment: str) -> None:
        super().__init__(f"a refund of payment {payment} is pending, of another amount than the provider gave back")
        self.payment = payment


class RefundMoveRefused(Conflict):
    """The refund was completed or failed before; nothing was changed."""

    code = "refunds.move_refused"

    def __init__(self, *, reference: str, status: str, to: str) -> None:
        super().__init__(f"refund {reference} is {status} and cannot become {to}")
        self.reference, self.status, self.to = reference, status, to


class CreditNeedsAccount(Conflict):
    """A guest bought: there is no account whose balance could hold the credit."""

    code = "refunds.credit_needs_account"

    def __init__(self, *, order: UUID) -> None:
        super().__init__(f"order {order} belongs to no account")
        self.order = order


class RefundQuoteNotFound(NotFound):
    """The shop knows no such refund quote."""

    code = "refunds.quote_not_found"

    def __init__(self, *, quote: str) -> None:
        super().__init__(f"no refund quote {quote[:60]!r}")
        self.quote = quote[:60]


class InvalidRefundQuote(Invalid):
    """What the quote says cannot be right; nothing was written, of its whole batch neither."""

    code = "refunds.invalid_quote"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class RefundQuoteMoveRefused(Conflict):
    """The quote was decided before; nothing was changed."""

    code = "refunds.quote_move_refused"

    def __init__(self, *, quote: str, status: str, to: str) -> None:
        super().__init__(f"refund quote {quote!r} is {status} and cannot become {to}")
        self.quote, self.status, self.to = quote, status, to


class RefundQuoteExpired(Conflict):
    """Nobody approved it in time: save it again."""

    code = "refunds.quote_expired"

    def __init__(self, *, quote: str) -> None:
        super().__init__(f"refund quote {quote!r} has expired")
        self.quote = quote


class RefundQuoteExceedsPurchase(Conflict):
    """With the other quotes of the purchase it would be more than was paid for it."""

    code = "refunds.quote_exceeds_purchase"

    def __init__(self, *, purchase: str, asked: Money, left: Money) -> None:
        super().__init__("less than that is left of the purchase")
        self.purchase, self.asked, self.left = purchase, asked, left


class RefundSignatureUsed(Conflict):
    """Another quote was processed with this signature."""

    code = "refunds.signature_used"

    def __init__(self) -> None:
        super().__init__("another refund has this signature")


class DisputeNotFound(NotFound):
    """The shop knows no such dispute."""

    code = "refunds.dispute_not_found"

    def __init__(self, *, dispute_id: UUID) -> None:
        super().__init__(f"no dispute {dispute_id}")
        self.dispute_id = dispute_id


class InvalidDispute(Invalid):
    """What was said of the dispute cannot be right; nothing was written."""

    code = "refunds.invalid_dispute"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class DisputeTaken(Conflict):
    """The provider told of this dispute for another payment."""

    code = "refunds.dispute_taken"

    def __init__(self, *, provider: str, dispute: str) -> None:
        super().__init__(f"{provider} told of {dispute!r} for another payment")
        self.provider, self.dispute = provider, dispute


class DisputeClosed(Conflict):
    """The dispute ended before; nothing was changed."""

    code = "refunds.dispute_closed"

    def __init__(self, *, dispute_id: UUID, status: str) -> None:
        super().__init__(f"dispute {dispute_id} is {status}")
        self.dispute_id, self.status = dispute_id, status
