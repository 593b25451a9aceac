"""What payments refuse."""

from collections.abc import Sequence

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from storeroom.core.money import Money


class PaymentNotFound(NotFound):
    """No such payment, or none that this caller may know of."""

    code = "payments.not_found"

    def __init__(self, *, payment: object) -> None:
        super().__init__(f"no payment {payment}")
        self.payment = str(payment)


class PaymentMethodNotFound(NotFound):
    """The shop knows no such method."""

    code = "payments.method_not_found"

    def __init__(self, *, method: object) -> None:
        super().__init__(f"no payment method {str(method)[:60]!r}")
        self.method = str(method)[:60]


class PaymentMethodTaken(Conflict):
    """Another method has this code."""

    code = "payments.method_taken"

    def __init__(self, *, method: str) -> None:
        super().__init__(f"there is a payment method {method!r}")
        self.method = method


class PaymentMethodInUse(Conflict):
    """Payments were made by it: deactivate it instead."""

    code = "payments.method_in_use"

    def __init__(self, *, method: str) -> None:
        super().__init__(f"payments were made by {method!r}; deactivate it instead")
        self.method = method


class TooManyPaymentMethods(Conflict):
    """The shop has as many methods as it may."""

    code = "payments.too_many_methods"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"a shop has at most {maximum} payment methods")
        self.maximum = maximum


class PaymentMethodInactive(Conflict):
    """The method is not offered now, or not in the order's currency."""

    code = "payments.method_inactive"

    def __init__(self, *, method: str) -> None:
        super().__init__(f"{method!r} is not offered for this order")
        self.method = method


class PaymentMethodIsManual(Conflict):
    """A payment by this method is completed by staff who saw the money, by nobody else."""

    code = "payments.method_is_manual"

    def __init__(self, *, method: str) -> None:
        super().__init__(f"a payment by {method!r} is completed by staff who verify it")
        self.method = method


class PaymentMethodNotForCoupon(Conflict):
    """The order's price was lowered by a coupon for those who pay another way."""

    code = "payments.method_not_for_coupon"

    def __init__(self, *, method: str, ways: Sequence[str]) -> None:
        super().__init__(f"a coupon of this order asks for payment by {' and '.join(ways)}, which {method} is not")
        self.method, self.ways = method, list(ways)


class AmountOutsideLimits(Conflict):
    """One payment by this method may not be so small or so large."""

    code = "payments.amount_outside_limits"

    def __init__(self, *, amount: Money, minimum: Money, maximum: Money | None) -> None:
        super().__init__("the amount is outside the limits of the payment method")
        self.amount, self.minimum, self.maximum = amount, minimum, maximum


class OrderNotPayable(Conflict):
    """Nothing is due: the order is paid, cancelled or given back."""

    code = "payments.order_not_payable"

    def __init__(self, *, order: str, status: str) -> None:
        super().__init__(f"nothing is due for order {order}, which is {status}")
        self.order, self.status = order, status


class TooManyOpenPayments(Conflict):
    """The order has as many open payments as it may; cancel one, or wait until one expires."""

    code = "payments.too_many_open"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"an order has at most {maximum} open payments")
        self.maximum = maximum


class PaymentMoveRefused(Conflict):
    """The payment's status does not allow it; nothing was changed."""

    code = "payments.move_refused"

    def __init__(self, *, reference: str, status: str, to: str) -> None:
        super().__init__(f"payment {reference} is {status} and cannot become {to}")
        self.reference, self.status, self.to = reference, status, to


class PaymentExpired(Conflict):
    """Its window has passed: start another payment for the order."""

    code = "payments.expired"

    def __init__(self, *, reference: str) -> None:
        super().__init__(f"the window of payment {reference} has passed; start another one")
        self.reference = reference


class PaymentAttemptsUsedUp(Conflict):
    """So often nobody needs to try: talk to the shop."""

    code = "payments.attempts_used_up"

    def __init__(self, *, reference: str, maximum: int) -> None:
        super().__init__(f"payment {reference} was tried {maximum} times")
        self.reference, self.maximum = reference, maximum


class StaffRequired(Forbidden):
    """Only a member of staff may say that money arrived, or did not."""

    code = "payments.staff_required"

    def __init__(self) -> None:
        super().__init__("only staff may decide this")


class InvalidPaymentMethod(Invalid):
    """A setting of the method cannot be right."""

    code = "payments.invalid_method"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidPayment(Invalid):
    """What was said about the payment cannot be right."""

    code = "payments.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class ProofNotAccepted(Invalid):
    """The file is too large, or not a picture or PDF by what it contains."""

    code = "payments.proof_not_accepted"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the proof is not accepted: {reason}", field="file")
        self.reason = reason


class ProofNotFound(NotFound):
    """The payment has no file, or the store has lost it."""

    code = "payments.proof_not_found"

    def __init__(self, *, reference: str) -> None:
        super().__init__(f"no proof for payment {reference}")
        self.reference = reference


class FilesUnavailable(Unavailable):
    """The file store does not answer."""

    code, transient = "payments.files_unavailable", True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the file store does not answer: {reason}")
        self.reason = reason
