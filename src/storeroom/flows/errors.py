"""Why a checkout places nothing. Each refusal leaves no trace of the order."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound, StoreroomError
from storeroom.core.idempotency import IdempotencyKeyReused
from storeroom.core.money import Money
from storeroom.promotions import CouponNotApplicable, CouponNotFound, CouponRefusal, CouponUsedUp


class InvalidPurchase(Invalid):
    """The request itself cannot be right."""

    code = "checkout.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)


class NothingToBuy(Invalid):
    """There are no lines, or the cart is empty."""

    code = "checkout.empty"

    def __init__(self) -> None:
        super().__init__("there is nothing to buy", field="lines")


class ShortLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that cannot be filled."""

    line: int  # counted from 1
    sku: str | None
    variant_id: UUID
    requested: int
    available: int


class OutOfStock(Conflict):
    """Some lines ask for more than there is; `lines` says which and how many are left."""

    code, transient = "checkout.out_of_stock", True

    def __init__(self, *, lines: list[ShortLine]) -> None:
        super().__init__(
            "; ".join(
                f"{line.sku or line.variant_id}: {line.requested} wanted, {line.available} left" for line in lines
            )
        )
        self.lines = lines


class LineUnavailable(Conflict):
    """Some lines name nothing that can be bought: unknown, not published, or withdrawn."""

    code = "checkout.line_unavailable"

    def __init__(self, *, lines: list[dict[str, Any]]) -> None:
        super().__init__(f"cannot be bought: {', '.join(str(line['asked']) for line in lines)}")
        self.lines = lines


class PriceChanged(Conflict):
    """A price is not the one the buyer saw; `lines` has both. Reprice the cart, show it, and ask again."""

    code = "checkout.price_changed"

    def __init__(self, *, lines: list[dict[str, Any]]) -> None:
        super().__init__(f"the price changed: {', '.join(str(line['sku']) for line in lines)}")
        self.lines = lines


class CurrencyNotSold(Conflict):
    """A line is priced in another currency than the shop's."""

    code = "checkout.currency"

    def __init__(self, *, currency: str) -> None:
        super().__init__(f"the shop sells in {currency}")
        self.currency = currency


class AgeRequired(Conflict):
    """A product may be sold to adults only: a guest must attest the age, an account must be verified."""

    code = "checkout.age_required"

    def __init__(self, *, guest: bool) -> None:
        super().__init__("attest your age" if guest else "the account's age is not verified")
        self.guest = guest


class KycRequired(Conflict):
    """A product may be sold to approved accounts only."""

    code = "checkout.kyc_required"

    def __init__(self, *, guest: bool) -> None:
        super().__init__("an account with an approved identity check is needed")
        self.guest = guest


class ComplianceRequired(Conflict):
    """The shop or a product demands an acknowledgement with its version."""

    code = "checkout.compliance_required"

    def __init__(self) -> None:
        super().__init__("the terms must be acknowledged, with the version that was shown")


class AddressRequired(Invalid):
    """Something has to be shipped, and there is no address."""

    code = "checkout.address_required"

    def __init__(self) -> None:
        super().__init__("a shipping address is needed", field="shipping_address")


class Restricted(Conflict):
    """A product may not be sent to the address; `lines` says which."""

    code = "checkout.restricted"

    def __init__(self, *, country: str, state: str | None, lines: list[dict[str, Any]]) -> None:
        place = f"{country}-{state}" if state else country
        super().__init__(f"cannot be sent to {place}: {', '.join(str(line['sku']) for line in lines)}")
        self.country, self.state, self.lines = country, state, lines


class ShippingUnavailable(Conflict):
    """No shipping rate, or not the one that was asked for, reaches the address."""

    code = "checkout.shipping_unavailable"

    def __init__(self, *, method: str | None) -> None:
        super().__init__(f"{method} does not reach this address" if method else "nothing ships to this address")
        self.method = method


class PaymentMethodRefused(Conflict):
    """The method is unknown, switched off, or not for this amount."""

    code = "checkout.payment_method"

    def __init__(self, *, method: str, minimum: Money | None = None, maximum: Money | None = None) -> None:
        super().__init__(f"cannot be paid by {method}")
        self.method, self.minimum, self.maximum = method, minimum, maximum


class CartUnknown(NotFound):
    """No such cart, or one of another visitor."""

    code = "checkout.cart_not_found"

    def __init__(self, *, cart_id: UUID) -> None:
        super().__init__(f"no cart {cart_id}")
        self.cart_id = cart_id


class CartClosed(Conflict):
    """The cart was merged, abandoned, or its time is over."""

    code = "checkout.cart_not_active"

    def __init__(self, *, cart_id: UUID, status: str) -> None:
        super().__init__(f"the cart is {status}")
        self.cart_id, self.status = cart_id, status


class TooManyOpenOrders(Conflict):
    """The visitor holds as many unpaid orders as the shop allows."""

    code, transient = "checkout.too_many_open_orders", True

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"{maximum} unpaid orders are open already")
        self.maximum = maximum


class BuyerNotActive(Conflict):
    """The account may not buy: suspended, banned or deleted."""

    code = "checkout.buyer_not_active"

    def __init__(self) -> None:
        super().__init__("the account may not buy")


def refusal(verdict: str, answer: Any, currency: str) -> StoreroomError:
    """The error for a verdict of place_orders_v2."""
    match verdict:
        case "short":
            return OutOfStock(lines=msgspec.convert(answer, list[ShortLine]))
        case "unavailable":
            return LineUnavailable(lines=answer)
        case "price_changed":
            return PriceChanged(
                lines=[
                    {**line, "seen": Money(line["seen"], currency), "now": Money(line["now"], currency)}
                    for line in answer
                ]
            )
        case "payment_method":
            known = answer.get("currency") == currency
            return PaymentMethodRefused(
                method=answer["method"],
                minimum=Money(answer["minimum"], currency) if known else None,
                maximum=Money(answer["maximum"], currency) if known and answer["maximum"] is not None else None,
            )
        case "cart_not_found":
            return CartUnknown(cart_id=UUID(answer["cart_id"]))
        case "cart_not_active":
            return CartClosed(cart_id=UUID(answer["cart_id"]), status=answer["status"])
        case "too_many_open":
            return TooManyOpenOrders(maximum=answer["maximum"])
        case "key_reused":
            return IdempotencyKeyReused()
        case "coupon_refused" if answer["reason"] == "used_up":
            return CouponUsedUp(coupon=answer["coupon"])
        case "coupon_refused":
            return CouponNotApplicable(coupon=answer["coupon"], reason=CouponRefusal(answer["reason"]))
        case "user_not_active":
            return BuyerNotActive()
        case _:
            return _PLAIN[verdict](**(answer or {}))


_PLAIN: dict[str, Callable[..., StoreroomError]] = {
    "empty": NothingToBuy,
    "currency": CurrencyNotSold,
    "age_required": AgeRequired,
    "kyc_required": KycRequired,
    "compliance_required": ComplianceRequired,
    "address_required": AddressRequired,
    "restricted": Restricted,
    "shipping_unavailable": ShippingUnavailable,
    "coupon_not_found": CouponNotFound,
}


class SignatureUsed(Conflict):
    """The payment was honoured for something else; once is all it counts."""

    code = "wallet_payments.signature_used"

    def __init__(self, *, signature: str) -> None:
        super().__init__(f"the payment {signature[:40]} was honoured before, for something else")
        self.signature = signature


class PaidTooLittle(Conflict):
    """Less arrived than was asked; nothing was recorded."""

    code = "wallet_payments.too_little"

    def __init__(self, *, asked: Money, paid: Money) -> None:
        super().__init__(f"{paid.amount} of {asked.amount} {asked.currency} arrived")
        self.asked, self.paid = asked, paid


class PaidInOtherAsset(Conflict):
    """What arrived is no payment in the asset that was asked for; nothing was recorded."""

    code = "wallet_payments.other_asset"

    def __init__(self, *, asked: str, paid: str) -> None:
        super().__init__(f"{asked} was asked for, {paid} arrived")
        self.asked, self.paid = asked, paid


class LinesUnknown(Conflict):
    """Some lines name no variant of the shop; nothing was recorded."""

    code = "wallet_payments.lines_unknown"

    def __init__(self, *, lines: list[str]) -> None:
        super().__init__(f"no such variants: {', '.join(lines)}")
        self.lines = lines


class MethodUnfit(Conflict):
    """The payment method does not exist, is verified by hand, or is for another asset; nothing was recorded."""

    code = "wallet_payments.method_unfit"

    def __init__(self, *, method: str, asset: str) -> None:
        super().__init__(f"{method!r} takes no {asset} from a wallet by itself")
        self.method, self.asset = method, asset


class SourceForStaff(Forbidden):
    """What other systems say is taken from them and from staff, not from customers."""

    code = "sources.for_staff"

    def __init__(self) -> None:
        super().__init__("customers do not speak for other systems")


class ErpReferenceUnknown(NotFound):
    """The ERP names something that is not here, or that is not one thing here; it may be by the next attempt."""

    code, transient = "erp.reference_unknown", True

    def __init__(self, *, field: str, reference: str, found: int) -> None:
        super().__init__(f"{field} {reference[:50]!r} names {found or 'nothing'} here")
        self.field, self.reference, self.found = field, reference[:50], found
