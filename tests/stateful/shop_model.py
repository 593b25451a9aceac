"""What a shop promises, in plain Python: units, carts, orders and money, without a database.

Nothing here is clever on purpose. Where the shop refuses, a method gives the class of the refusal and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from storeroom.carts import CartNotActive, LineTooLarge, NotForSale
from storeroom.catalog import StockPolicy
from storeroom.core.errors import StoreroomError
from storeroom.flows.errors import (
    CartClosed,
    CartUnknown,
    LineUnavailable,
    NothingToBuy,
    OutOfStock,
    PriceChanged,
    TooManyOpenOrders,
)
from storeroom.inventory import InsufficientStock, ReservationEnded, ReservedCartEnded, StockOutOfRange
from storeroom.orders import BEFORE_SHIPPING, ORDER_MOVES, NotOnHand, OrderMoveRefused, OrderStatus
from storeroom.payments import OrderNotPayable, PaymentExpired, PaymentMoveRefused, PaymentStatus
from storeroom.promotions import CouponNotApplicable, CouponNotFound, CouponUsedUp

Refusal = type[StoreroomError] | None
LINE_MAX: Final = 10_000
OPEN_ORDERS_MAX: Final = 2
S, P = OrderStatus, PaymentStatus
ENDING: Final = frozenset({S.CANCELLED, S.REFUNDED})


@dataclass(eq=False)
class Variant:
    id: UUID
    policy: StockPolicy
    on_hand: int
    price: int
    limit: int | None = None
    sold: bool = True

    @property
    def tracked(self) -> bool:
        return self.policy is not StockPolicy.UNTRACKED

    @property
    def below_zero(self) -> int | None:
        """Units that may be promised without being there; None: any number."""
        return {StockPolicy.DENY: 0, StockPolicy.BACKORDER: self.limit, StockPolicy.UNTRACKED: None}[self.policy]


@dataclass(eq=False)
class Hold:
    variant: Variant
    quantity: int
    cart: Cart | None
    id: UUID | None = None
    active: bool = True
    lapsed: bool = False


@dataclass(eq=False)
class Line:
    variant: Variant
    printed: str | None
    quantity: int
    price: int
    id: UUID | None = None


@dataclass(eq=False)
class Visitor:
    id: UUID
    account: bool


@dataclass(eq=False)
class Cart:
    id: UUID
    owner: Visitor
    lines: list[Line] = field(default_factory=list)
    status: str = "active"
    lapsed: bool = False
    order: Order | None = None

    @property
    def live(self) -> bool:
        return self.status == "active" and not self.lapsed

    @property
    def subtotal(self) -> int:
        return sum(line.quantity * line.price for line in self.lines)


@dataclass(eq=False)
class Payment:
    id: UUID
    reference: str
    order: Order
    amount: int
    status: PaymentStatus = P.PENDING
    received: int = 0
    lapsed: bool = False
    attempts: int = 0


@dataclass(eq=False)
class Use:
    order: Order
    buyer: Visitor | None
    given_back: bool = False


@dataclass(eq=False)
class Coupon:
    code: str
    percent: int | None
    fixed: int
    limit: int | None
    per_buyer: int | None
    first_order: bool
    active: bool = True
    uses: list[Use] = field(default_factory=list)

    @property
    def live(self) -> list[Use]:
        return [use for use in self.uses if not use.given_back]

    def off(self, left: int) -> int:
        """What it takes of what is left; half a cent of what stays is rounded up."""
        return min(self.fixed, left) if self.percent is None else left - (left * (100 - self.percent) * 2 + 100) // 200


@dataclass(eq=False)
class OrderLine:
    variant: Variant
    quantity: int
    price: int
    held: int
    shipped: int = 0
    cancelled: int = 0


@dataclass(eq=False)
class Order:
    id: UUID
    owner: Visitor | None
    lines: list[OrderLine]
    history: list[OrderStatus]
    paid: int = 0
    lapsed: bool = False
    discount: int = 0

    @property
    def status(self) -> OrderStatus:
        return self.history[-1]

    @property
    def total(self) -> int:
        return sum(line.quantity * line.price for line in self.lines) - self.discount


@dataclass
class ShopModel:
    variants: list[Variant] = field(default_factory=list)
    carts: list[Cart] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)

    # --- Stock --------------------------------------------------------------------------------------------------------

    def active(self, cart: Cart | None = None) -> list[Hold]:
        return [hold for hold in self.holds if hold.active and (cart is None or hold.cart is cart)]

    def held_by(self, cart: Cart, variant: Variant) -> int:
        return sum(hold.quantity for hold in self.active(cart) if hold.variant is variant)

    def reserved(self, variant: Variant) -> int:
        carts = sum(hold.quantity for hold in self.active() if hold.variant is variant)
        return carts + sum(line.held for order in self.orders for line in order.lines if line.variant is variant)

    def free(self, variant: Variant) -> int | None:
        """Units that may be promised, negative where too many are; None: any number."""
        below = variant.below_zero
        return None if below is None else variant.on_hand - self.reserved(variant) + below

    def give_back_lapsed(self, variant: Variant | None = None, but: Cart | None = None) -> int:
        found = [
            hold
            for hold in self.active()
            if hold.lapsed and (variant is None or hold.variant is variant) and (but is None or hold.cart is not but)
        ]
        for hold in found:
            hold.active = False
        return len(found)

    def reserve(self, variant: Variant, quantity: int, cart: Cart | None) -> tuple[Refusal, int]:
        """The refusal, or None, and the units that may be promised where it is refused."""
        if cart is not None and not cart.live:
            return ReservedCartEnded, 0
        free = self.free(variant)
        if free is not None and free < quantity:
            lapsed = [hold for hold in self.active() if hold.lapsed and hold.variant is variant]
            free += sum(hold.quantity for hold in lapsed)
            if free < quantity:
                return InsufficientStock, max(0, free)
            self.give_back_lapsed(variant)
        if variant.tracked:
            self.holds.append(Hold(variant, quantity, cart))
        return None, 0

    def reserve_cart(self, cart: Cart) -> Refusal:
        if not cart.live:
            return CartNotActive
        wanted = {line.variant for line in cart.lines if line.variant.tracked}
        short = [variant for variant in wanted if self._lacks(variant, cart, lapsed=False)]
        if any(self._lacks(variant, cart, lapsed=True) for variant in short):
            return InsufficientStock
        for variant in short:
            self.give_back_lapsed(variant, but=cart)
        self.release(cart)
        for variant in wanted:
            self.holds.append(Hold(variant, self._units(cart, variant), cart))
        return None

    def _units(self, cart: Cart, variant: Variant) -> int:
        return sum(line.quantity for line in cart.lines if line.variant is variant)

    def _lacks(self, variant: Variant, cart: Cart, *, lapsed: bool) -> bool:
        """Whether the cart wants more than there is, with what others let lapse or without it."""
        free = self.free(variant)
        if free is None:
            return False
        if lapsed:
            free += sum(
                hold.quantity
                for hold in self.active()
                if hold.lapsed and hold.variant is variant and hold.cart is not cart
            )
        return self._units(cart, variant) > max(0, free + self.held_by(cart, variant))

    def release(self, cart: Cart) -> int:
        held = self.active(cart)
        for hold in held:
            hold.active = False
        return len(held)

    def release_one(self, hold: Hold) -> Refusal:
        if not hold.active:
            return ReservationEnded
        hold.active = False
        return None

    def adjust(self, variant: Variant, by: int) -> Refusal:
        if variant.on_hand + by < 0:
            return StockOutOfRange
        variant.on_hand += by
        return None

    # --- Carts --------------------------------------------------------------------------------------------------------

    def cart_of(self, visitor: Visitor) -> Cart | None:
        """The visitor's live cart. One that has lapsed is abandoned on the way."""
        found = next((cart for cart in self.carts if cart.owner is visitor and cart.status == "active"), None)
        if found is not None and found.lapsed:
            self.abandon(found)
            return None
        return found

    def abandon(self, cart: Cart) -> None:
        cart.status = "abandoned"
        self.release(cart)

    def add(self, cart: Cart, variant: Variant, printed: str | None, quantity: int) -> tuple[Refusal, Line | None]:
        if not cart.live:
            return CartNotActive, None
        if not variant.sold:
            return NotForSale, None
        for line in cart.lines:
            if line.variant is variant and line.printed == printed:
                if line.quantity + quantity > LINE_MAX:
                    return LineTooLarge, None
                line.quantity += quantity
                return None, line
        cart.lines.append(Line(variant, printed, quantity, variant.price))
        return None, cart.lines[-1]

    def set_quantity(self, cart: Cart, line: Line, quantity: int) -> Refusal:
        if not cart.live:
            return CartNotActive
        line.quantity = quantity
        if not quantity:
            cart.lines.remove(line)
        return None

    def reprice(self, cart: Cart) -> Refusal:
        if not cart.live:
            return CartNotActive
        for line in cart.lines:
            line.price = line.variant.price
        return None

    def merge(self, account: Visitor, guest: Visitor) -> Cart | None:
        own = self.cart_of(account)
        theirs = next((cart for cart in self.carts if cart.owner is guest and cart.live), None)
        if theirs is None:
            return own
        if own is None:
            theirs.owner = account
            return theirs
        for line in theirs.lines:
            same = [mine for mine in own.lines if mine.variant is line.variant and mine.printed == line.printed]
            if same:
                same[0].quantity = min(LINE_MAX, same[0].quantity + line.quantity)
            else:
                own.lines.append(line)
        theirs.lines = []
        theirs.status = "merged"
        self.release(theirs)
        return own

    # --- Orders -------------------------------------------------------------------------------------------------------

    def open_orders(self, visitor: Visitor) -> int:
        return sum(order.owner is visitor and order.status is S.PENDING_PAYMENT for order in self.orders)

    def buy_cart(self, cart: Cart, visitor: Visitor) -> tuple[Refusal, Order | None]:
        if cart.order is not None and cart.owner is visitor:
            return None, cart.order
        if cart.order is None and self.open_orders(visitor) >= OPEN_ORDERS_MAX:
            return TooManyOpenOrders, None
        if cart.owner is not visitor:
            return CartUnknown, None
        if not cart.live:
            return CartClosed, None
        in_order = sorted(cart.lines, key=lambda line: str(line.id))  # of adding, also where two carts became one
        lines = [(line.variant, line.quantity, line.price) for line in in_order]
        refusal, order = self._buy(lines, visitor, cart)
        if order is not None:
            cart.status, cart.order = "converted", order
            self.release(cart)  # the order's lines hold the units from now on
        return refusal, order

    def buy(
        self, lines: list[tuple[Variant, int]], visitor: Visitor | None, typed: Sequence[Coupon] = ()
    ) -> tuple[Refusal, Order | None]:
        if visitor is not None and self.open_orders(visitor) >= OPEN_ORDERS_MAX:
            return TooManyOpenOrders, None
        return self._buy([(variant, quantity, variant.price) for variant, quantity in lines], visitor, None, typed)

    def unfit(self, typed: Sequence[Coupon], buyer: Visitor | None) -> Refusal:
        """Guests are known by their e-mail, which everybody here has, and so has every order."""
        account = buyer if buyer is not None and buyer.account else None
        bought = [order for order in self.orders if S.CANCELLED not in order.history]
        if not all(coupon.active for coupon in typed):
            return CouponNotFound
        for coupon in typed:
            if coupon.limit is not None and len(coupon.live) >= coupon.limit:
                return CouponUsedUp
            if coupon.first_order and any(account is None or order.owner is account for order in bought):
                return CouponNotApplicable
            own = [use for use in coupon.live if account is None or use.buyer is account]
            if coupon.per_buyer is not None and len(own) >= coupon.per_buyer:
                return CouponNotApplicable
        return None

    def _buy(
        self,
        lines: list[tuple[Variant, int, int]],
        visitor: Visitor | None,
        cart: Cart | None,
        typed: Sequence[Coupon] = (),
    ) -> tuple[Refusal, Order | None]:
        if not lines:
            return NothingToBuy, None
        if not all(variant.sold for variant, _, _ in lines):
            return LineUnavailable, None
        if any(variant.price != seen for variant, _, seen in lines):
            return PriceChanged, None
        if refusal := self.unfit(typed, visitor):
            return refusal, None
        if short := self.short(lines, cart):
            for variant in short:
                self.give_back_lapsed(variant, but=cart)
        if self.short(lines, cart):
            return OutOfStock, None
        made = [OrderLine(v, quantity, v.price, quantity if v.tracked else 0) for v, quantity, _ in lines]
        order = Order(UUID(int=0), visitor, made, [S.PENDING_PAYMENT])
        for coupon in sorted(dict.fromkeys(typed), key=lambda coupon: coupon.percent is None):
            if off := coupon.off(order.total):
                order.discount += off
                coupon.uses.append(Use(order, visitor))
        if order.total == 0:
            order.history.append(S.PAYMENT_RECEIVED)
        return None, order

    def short(self, lines: list[tuple[Variant, int, int]], cart: Cart | None) -> dict[Variant, int]:
        """The variants of which there are too few, and how many are left for this buyer."""
        units: Counter[Variant] = Counter()
        for variant, quantity, _ in lines:
            units[variant] += quantity
        found = {}
        for variant, quantity in units.items():
            free = self.free(variant)
            held = self.held_by(cart, variant) if cart is not None else 0
            if free is not None and quantity > held and quantity - held > free:
                found[variant] = max(0, free + held)
        return found

    def move(self, order: Order, to: OrderStatus) -> Refusal:
        if to not in ORDER_MOVES[order.status] or (to in BEFORE_SHIPPING and S.SHIPPED in order.history):
            return OrderMoveRefused
        if to is S.SHIPPED:
            for variant in self.variants:
                if sum(line.held for line in order.lines if line.variant is variant) > variant.on_hand:
                    return NotOnHand
            for line in order.lines:
                line.variant.on_hand -= line.held
                line.held, line.shipped = 0, line.quantity - line.cancelled
        if to in ENDING:
            for line in order.lines:
                line.held, line.cancelled = 0, line.quantity - line.shipped
        if to is S.CANCELLED:
            for use in (use for coupon in self.coupons for use in coupon.uses if use.order is order):
                use.given_back = True
        order.history.append(to)
        return None

    def cancel(self, order: Order) -> Refusal:
        refusal = self.move(order, S.CANCELLED)
        if refusal is None:
            for payment in self.payments_of(order):
                if payment.status is P.PENDING:
                    payment.status = P.CANCELLED
        return refusal

    def cancel_unpaid(self) -> int:
        done = 0
        for order in self.orders:
            coming = any(
                payment.status in (P.AWAITING_VERIFICATION, P.PROCESSING)
                or (payment.status is P.PENDING and not payment.lapsed)
                for payment in self.payments_of(order)
            )
            if order.status is S.PENDING_PAYMENT and order.lapsed and not coming:
                self.cancel(order)
                done += 1
        return done

    # --- Payments -----------------------------------------------------------------------------------------------------

    def payments_of(self, order: Order) -> list[Payment]:
        return [payment for payment in self.payments if payment.order is order]

    def start(self, order: Order) -> Refusal:
        chased = order.status not in (S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED)
        return None if chased and order.paid < order.total else OrderNotPayable

    def submit(self, payment: Payment) -> Refusal:
        if payment.status is P.EXPIRED or (payment.status is P.PENDING and payment.lapsed):
            return PaymentExpired
        return self._to(payment, P.AWAITING_VERIFICATION, P.PENDING, P.FAILED)

    def verify(self, payment: Payment, received: int) -> Refusal:
        refusal = self._to(payment, P.COMPLETED, P.PENDING, P.AWAITING_VERIFICATION)
        if refusal is None:
            self.credit(payment, received)
        return refusal

    def credit(self, payment: Payment, received: int) -> None:
        order = payment.order
        payment.received = received
        order.paid += received
        if order.status is S.PENDING_PAYMENT and order.paid >= order.total:
            order.history.append(S.PAYMENT_RECEIVED)

    def reject(self, payment: Payment) -> Refusal:
        return self._to(payment, P.FAILED, P.PENDING, P.AWAITING_VERIFICATION)

    def withdraw(self, payment: Payment) -> Refusal:
        if payment.status not in (P.PENDING, P.AWAITING_VERIFICATION):
            return PaymentMoveRefused
        payment.status = P.CANCELLED  # no attempt to pay, so none is counted
        return None

    def expire_payments(self) -> int:
        due = [payment for payment in self.payments if payment.status is P.PENDING and payment.lapsed]
        for payment in due:
            self._to(payment, P.EXPIRED, P.PENDING)
        return len(due)

    def _to(self, payment: Payment, to: PaymentStatus, *sources: PaymentStatus) -> Refusal:
        if payment.status not in sources:
            return PaymentMoveRefused
        payment.status = to
        payment.attempts += 1
        return None
