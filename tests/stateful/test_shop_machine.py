"""A shop is driven in random order beside a model of it; after each step the two agree, and the doctor is content."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from shop_model import OPEN_ORDERS_MAX, Cart, Coupon, Hold, Line, Order, Payment, Refusal, ShopModel, Variant, Visitor

from factories import SECRET, make_coupon, make_method, make_product, open_shop, place, purchase, usd
from storeroom.carts import Customisation
from storeroom.carts.jobs import abandon_carts
from storeroom.catalog import StockPolicy
from storeroom.core import visitor as who
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import CartId, CartItemId, OrderId, PaymentId, ReservationId, SessionId, UserId, VariantId
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.doctor import examine
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.flows.errors import OutOfStock
from storeroom.flows.model import Placement
from storeroom.inventory import InsufficientStock
from storeroom.inventory.jobs import expire_reservations
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus, expire_payments
from storeroom.room import Storeroom

R = TypeVar("R")
T = TypeVar("T")

PICK = st.integers(0, 30)  # counted from the newest, so that what was made last is what most happens to
UNITS = st.integers(1, 6)
LINES = st.lists(st.tuples(PICK, UNITS), min_size=1, max_size=3)
_numbers = itertools.count(1)


class ShopMachine(RuleBasedStateMachine):
    """One shop in a database of its own, and the model beside it."""

    postgres: ClassVar[EmbeddedPostgres]
    template: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = ShopModel()
        self.guests: list[Visitor] = []
        self.accounts: list[Visitor] = []
        self.name = f"machine_{os.getpid()}_{next(_numbers)}"
        self.run(self.admin(f"CREATE DATABASE {self.name} TEMPLATE {self.template} STRATEGY FILE_COPY"))
        self.db = self.run(Database.open(self.postgres.dsn(self.name)))
        self.room = Storeroom(self.db, secret=SECRET)
        self.shop = self.run(open_shop(self.room, open_orders_max=OPEN_ORDERS_MAX))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self.runner.run(work)

    async def admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.dsn("postgres"))
        await connection.execute(statement)
        await connection.close()

    def tell(self, work: Coroutine[Any, Any, R], refusal: Refusal) -> R | StoreroomError:
        """Let the shop do it, and see that it does or refuses as the model says."""
        try:
            result: R | StoreroomError = self.run(work)
        except StoreroomError as error:
            result = error
        if refusal is None:
            assert not isinstance(result, StoreroomError), f"refused: {result!r}"
        else:
            assert type(result) is refusal, f"expected {refusal.__name__}, not {result!r}"
        return result

    def of(self, visitor: Visitor) -> who.Visitor:
        if visitor.account:
            return who.Visitor(user_id=UserId(visitor.id))
        return who.Visitor(session_id=SessionId(visitor.id))

    @initialize(stock=st.integers(0, 12), limit=st.integers(0, 4))
    def open(self, stock: int, limit: int) -> None:
        """Three kinds of stock, two guests and two accounts, one way to pay, two coupons."""
        offers = [
            Variant(UUID(int=0), StockPolicy.UNTRACKED, 0, 300),
            Variant(UUID(int=0), StockPolicy.BACKORDER, 2, 900, limit),
            Variant(UUID(int=0), StockPolicy.DENY, 20, 700),
            Variant(UUID(int=0), StockPolicy.DENY, stock, 1000),
        ]

        async def fill() -> None:
            for offer in offers:
                offer.id = await make_product(self.shop, stock=offer.on_hand, price=offer.price)
                if offer.policy is not StockPolicy.DENY:
                    await self.shop.inventory.set_policy(
                        variant_id=VariantId(offer.id), policy=offer.policy, backorder_limit=offer.limit
                    )
            await make_method(self.shop)
            for number in range(2):
                session, _ = await self.shop.sessions.guest()
                self.guests.append(Visitor(session.id, account=False))
                user = await self.shop.acting(actor=SYSTEM).users.create(email=f"buyer{number}@buyer.example")
                self.accounts.append(Visitor(user.id, account=True))

        self.run(fill())
        self.model.variants = offers
        self.offer(Coupon("TENTH", 10, 0, None, None, first_order=False))
        self.offer(Coupon("TWICE", None, 500, 2, None, first_order=False))

    def visitor(self, pick: int) -> Visitor:
        return newest([*self.accounts, *self.guests], pick)

    # --- Carts --------------------------------------------------------------------------------------------------------

    def cart(self, visitor: Visitor) -> Cart:
        """The visitor's cart, in the shop and in the model."""
        known = self.model.cart_of(visitor)
        made = self.run(self.shop.carts.create(visitor=self.of(visitor)))
        if known is None:
            known = Cart(made.id, visitor)
            self.model.carts.append(known)
        assert made.id == known.id
        return known

    def add_to(self, cart: Cart, variant: Variant, printed: str | None, quantity: int) -> None:
        refusal, line = self.model.add(cart, variant, printed, quantity)
        added = self.tell(
            self.shop.carts.add(
                cart_id=CartId(cart.id),
                variant_id=VariantId(variant.id),
                quantity=quantity,
                customisation=Customisation(print_name=printed),
            ),
            refusal,
        )
        if line is not None:
            assert not isinstance(added, StoreroomError)
            line.id = added.id

    @rule(visitor=PICK, things=st.lists(st.tuples(PICK, UNITS, st.sampled_from([None, "ANN"])), min_size=1, max_size=3))
    def fill_cart(self, visitor: int, things: list[tuple[int, int, str | None]]) -> None:
        cart = self.cart(self.visitor(visitor))
        for pick, quantity, printed in things:
            self.add_to(cart, newest(self.model.variants, pick), printed, quantity)

    @rule(visitor=PICK, quantity=st.sampled_from([9_990, 10_000]))
    def fill_to_the_brim(self, visitor: int, quantity: int) -> None:
        self.add_to(self.cart(self.visitor(visitor)), self.model.variants[0], None, quantity)

    @precondition(lambda self: self.model.carts)
    @rule(pick=PICK, variant=PICK)
    def add_to_any_cart(self, pick: int, variant: int) -> None:
        """Ended ones among them."""
        self.add_to(newest(self.model.carts, pick), newest(self.model.variants, variant), None, 1)

    @precondition(lambda self: any(cart.lines for cart in self.model.carts))
    @rule(pick=PICK, line=PICK, quantity=st.integers(0, 12))
    def set_quantity(self, pick: int, line: int, quantity: int) -> None:
        cart = newest([cart for cart in self.model.carts if cart.lines], pick)
        chosen: Line = newest(cart.lines, line)
        assert chosen.id is not None
        self.tell(
            self.shop.carts.set_quantity(
                cart_id=CartId(cart.id), line_id=CartItemId(chosen.id), quantity=quantity, visitor=self.of(cart.owner)
            ),
            self.model.set_quantity(cart, chosen, quantity),
        )

    @precondition(lambda self: self.model.carts)
    @rule(pick=PICK)
    def reprice(self, pick: int) -> None:
        cart = newest(self.model.carts, pick)
        self.tell(self.shop.carts.reprice(cart_id=CartId(cart.id)), self.model.reprice(cart))

    @rule(account=PICK, guest=PICK)
    def sign_in(self, account: int, guest: int) -> None:
        user, visitor = newest(self.accounts, account), newest(self.guests, guest)
        expected = self.model.merge(user, visitor)
        cart = self.run(self.shop.carts.merge(user_id=UserId(user.id), session_id=SessionId(visitor.id)))
        assert (cart and cart.id) == (expected and expected.id)
        if expected is not None:  # lines that were not in both carts took their ids along
            lines = self.run(self.shop.carts.lines(cart_id=CartId(expected.id)))
            found = {(line.variant_id, line.print_name): line.id for line in lines}
            for line in expected.lines:
                line.id = found[VariantId(line.variant.id), line.printed]

    # --- Stock --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.carts)
    @rule(pick=PICK)
    def reserve_cart(self, pick: int) -> None:
        self.hold_cart(newest(self.model.carts, pick))

    def hold_cart(self, cart: Cart) -> None:
        refusal = self.model.reserve_cart(cart)
        held = self.tell(self.shop.carts.reserve(cart_id=CartId(cart.id)), refusal)
        if not isinstance(held, StoreroomError):
            ids = {VariantId(each.variant_id): each.id for each in held}
            for hold in self.model.active(cart):
                hold.id = ids.pop(VariantId(hold.variant.id))
            assert not ids

    @rule(variant=PICK, quantity=UNITS, cart=st.none() | PICK)
    def reserve(self, variant: int, quantity: int, cart: int | None) -> None:
        """Some units, for a cart or for nobody in particular."""
        chosen = newest(self.model.variants, variant)
        held_for = newest(self.model.carts, cart) if cart is not None and self.model.carts else None
        before = len(self.model.holds)
        refusal, left = self.model.reserve(chosen, quantity, held_for)
        made = self.tell(
            self.shop.inventory.reserve(
                variant_id=VariantId(chosen.id), quantity=quantity, cart_id=CartId(held_for.id) if held_for else None
            ),
            refusal,
        )
        if isinstance(made, InsufficientStock):
            assert (made.requested, made.available) == (quantity, left)
        elif not isinstance(made, StoreroomError):
            assert (made is None) == (len(self.model.holds) == before)
            if made is not None:
                self.model.holds[-1].id = made.id

    @precondition(lambda self: self.model.carts)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        cart = newest(self.model.carts, pick)
        assert self.run(self.shop.inventory.release(cart_id=CartId(cart.id))) == self.model.release(cart)

    @precondition(lambda self: self.model.holds)
    @rule(pick=PICK)
    def release_one(self, pick: int) -> None:
        hold: Hold = newest(self.model.holds, pick)
        assert hold.id is not None
        self.tell(self.shop.inventory.release_one(reservation_id=ReservationId(hold.id)), self.model.release_one(hold))

    @rule(variant=PICK, by=st.integers(-8, 8).filter(bool))
    def adjust(self, variant: int, by: int) -> None:
        chosen = newest(self.model.variants, variant)
        self.tell(
            self.shop.inventory.adjust(variant_id=VariantId(chosen.id), by=by, reason="found or broken"),
            self.model.adjust(chosen, by),
        )

    @rule(variant=PICK, on_hand=st.integers(0, 15))
    def count(self, variant: int, on_hand: int) -> None:
        chosen = newest(self.model.variants, variant)
        chosen.on_hand = on_hand
        self.run(self.shop.inventory.count(variant_id=VariantId(chosen.id), on_hand=on_hand))

    @rule(variant=PICK, policy=st.sampled_from(StockPolicy), limit=st.none() | st.integers(0, 5))
    def set_policy(self, variant: int, policy: StockPolicy, limit: int | None) -> None:
        chosen = newest(self.model.variants, variant)
        chosen.policy, chosen.limit = policy, limit if policy is StockPolicy.BACKORDER else None
        self.run(
            self.shop.inventory.set_policy(variant_id=VariantId(chosen.id), policy=policy, backorder_limit=chosen.limit)
        )

    @rule(variant=PICK, price=st.sampled_from([0, 500, 1000]), sold=st.booleans())
    def change_offer(self, variant: int, price: int, sold: bool) -> None:
        chosen = newest(self.model.variants, variant)
        chosen.price, chosen.sold = price, sold
        self.run(self.shop.products.update_variant(variant_id=VariantId(chosen.id), price=usd(price), is_active=sold))

    # --- Checkout -----------------------------------------------------------------------------------------------------

    def placed(self, order: Order, placement: Placement, *, paying: bool) -> None:
        """Write down what the shop called the order that the model has decided on."""
        assert placement.new is (order not in self.model.orders)
        if not placement.new:
            assert placement.order.id == order.id
            return
        assert (placement.order.status, placement.order.total.amount) == (order.status, order.total)
        assert (placement.order.payment is not None) is (paying and order.total > 0)
        order.id = placement.order.id
        self.model.orders.append(order)
        if placement.order.payment is not None:
            payment = placement.order.payment
            self.model.payments.append(Payment(payment.id, payment.reference, order, order.total))

    @precondition(lambda self: self.model.carts)
    @rule(pick=PICK, stranger=st.none() | PICK, paying=st.booleans())
    def buy_cart(self, pick: int, stranger: int | None, paying: bool) -> None:
        """Live ones most often; ended ones, ordered ones and somebody else's too."""
        cart = newest(self.model.carts, pick)
        self.order_cart(cart, cart.owner if stranger is None or stranger % 4 else self.visitor(stranger), paying=paying)

    def order_cart(self, cart: Cart, visitor: Visitor, *, paying: bool) -> None:
        lines = [(line.variant, line.quantity, line.price) for line in cart.lines]
        refusal, order = self.model.buy_cart(cart, visitor)
        answer = self.tell(
            place(
                self.shop,
                cart_id=CartId(cart.id),
                visitor=self.of(visitor),
                payment_method="zelle" if paying else None,
            ),
            refusal,
        )
        if order is not None:
            assert isinstance(answer, Placement)
            self.placed(order, answer, paying=paying)
        elif isinstance(answer, OutOfStock):
            self.told_of_shortage(answer, lines, cart)

    @rule(lines=LINES, visitor=st.none() | PICK, paying=st.booleans())
    def buy(self, lines: list[tuple[int, int]], visitor: int | None, paying: bool) -> None:
        """Straight from lines, one variant in several of them perhaps."""
        wanted = [(newest(self.model.variants, pick), quantity) for pick, quantity in lines]
        buyer = self.visitor(visitor) if visitor is not None else None
        refusal, order = self.model.buy(wanted, buyer)
        answer = self.tell(
            place(
                self.shop,
                *((VariantId(variant.id), quantity) for variant, quantity in wanted),
                visitor=self.of(buyer) if buyer else None,
                payment_method="zelle" if paying else None,
            ),
            refusal,
        )
        if order is not None:
            assert isinstance(answer, Placement)
            self.placed(order, answer, paying=paying)
        elif isinstance(answer, OutOfStock):
            self.told_of_shortage(answer, [(variant, quantity, variant.price) for variant, quantity in wanted], None)

    @rule(
        percent=st.none() | st.sampled_from([1, 10, 33, 100]),
        fixed=st.integers(1, 2_500),
        limit=st.none() | st.integers(1, 3),
        per_buyer=st.none() | st.integers(1, 2),
        first_order=st.booleans(),
    )
    def make_coupon(
        self, percent: int | None, fixed: int, limit: int | None, per_buyer: int | None, first_order: bool
    ) -> None:
        self.offer(Coupon(f"C{len(self.model.coupons)}", percent, fixed, limit, per_buyer, first_order))

    def offer(self, coupon: Coupon) -> None:
        self.model.coupons.append(coupon)
        off = f"{coupon.percent} %" if coupon.percent else f"{usd(coupon.fixed).decimal()} USD"
        rules = {"usage_limit": coupon.limit, "usage_limit_per_user": coupon.per_buyer}
        self.run(make_coupon(self.shop, off, coupon.code, first_order_only=coupon.first_order, **rules))

    @rule(pick=PICK)
    def take_coupon_out(self, pick: int) -> None:
        coupon = newest(self.model.coupons, pick)
        coupon.active = False
        self.run(self.shop.coupons.delete(code=coupon.code))

    @rule(
        lines=LINES,
        visitor=st.none() | PICK,
        typed=st.lists(PICK, min_size=1, max_size=3),
        paying=st.booleans(),
        regretted=st.booleans(),
    )
    def buy_with_coupons(
        self, lines: list[tuple[int, int]], visitor: int | None, typed: list[int], paying: bool, regretted: bool
    ) -> None:
        """One of them perhaps typed twice, one perhaps used up; and the order perhaps cancelled at once."""
        wanted = [(newest(self.model.variants, pick), quantity) for pick, quantity in lines]
        buyer = self.visitor(visitor) if visitor is not None else None
        coupons = [newest(self.model.coupons, pick) for pick in typed]
        refusal, order = self.model.buy(wanted, buyer, coupons)
        answer = self.tell(
            place(
                self.shop,
                *((VariantId(variant.id), quantity) for variant, quantity in wanted),
                visitor=self.of(buyer) if buyer else None,
                payment_method="zelle" if paying else None,
                coupons=[coupon.code for coupon in coupons],
            ),
            refusal,
        )
        if order is not None:
            assert isinstance(answer, Placement)
            self.placed(order, answer, paying=paying)
            if regretted:
                self.tell(
                    self.shop.cancellation.cancel(order_id=OrderId(order.id), reason="too dear"),
                    self.model.cancel(order),
                )

    def told_of_shortage(self, refusal: OutOfStock, lines: list[tuple[Variant, int, int]], cart: Cart | None) -> None:
        expected = {variant.id: left for variant, left in self.model.short(lines, cart).items()}
        assert {line.variant_id: line.available for line in refusal.lines} == expected

    @rule(variant=PICK, quantities=st.lists(UNITS, min_size=2, max_size=5))
    def buy_together(self, variant: int, quantities: list[int]) -> None:
        """Checkouts that arrive at one moment go in one group, and come out as if they had come one by one."""
        chosen = newest(self.model.variants, variant)

        async def all_at_once() -> list[Placement | BaseException]:
            self.room.tenants.cache.forget(self.shop.tenant_id)
            await self.shop.context.settings()  # known for seconds, so that nobody looks it up and falls behind
            return await asyncio.gather(
                *(self.shop.checkout.place(purchase((VariantId(chosen.id), n))) for n in quantities),
                return_exceptions=True,
            )

        answers = self.run(all_at_once())
        for quantity, answer in zip(quantities, answers, strict=True):
            refusal, order = self.model.buy([(chosen, quantity)], None)
            if order is None:
                assert type(answer) is refusal, answer
            else:
                assert isinstance(answer, Placement), answer
                self.placed(order, answer, paying=False)

    # --- Orders -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.orders)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        order = newest(self.model.orders, pick)
        self.tell(
            self.shop.cancellation.cancel(order_id=OrderId(order.id), reason="changed my mind"),
            self.model.cancel(order),
        )

    @precondition(lambda self: self.model.orders)
    @rule(pick=PICK, to=st.sampled_from(OrderStatus))
    def move(self, pick: int, to: OrderStatus) -> None:
        order = newest(self.model.orders, pick)
        self.tell(self.shop.orders.move(order_id=OrderId(order.id), to=to), self.model.move(order, to))

    # --- Payments -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.orders)
    @rule(pick=PICK, amount=st.none() | st.integers(1, 4000))
    def start_payment(self, pick: int, amount: int | None) -> None:
        order = newest(self.model.orders, pick)
        asked = amount or order.total - order.paid
        refusal = self.model.start(order)
        made = self.tell(
            self.shop.payments.start(
                order_id=OrderId(order.id), method="zelle", amount=usd(amount) if amount else None
            ),
            refusal,
        )
        if not isinstance(made, StoreroomError):
            assert made.amount.amount == asked
            self.model.payments.append(Payment(made.id, made.reference, order, asked))

    @precondition(lambda self: self.model.payments)
    @rule(pick=PICK)
    def submit_proof(self, pick: int) -> None:
        payment = newest(self.model.payments, pick)
        self.tell(
            self.shop.payments.submit_proof(reference=payment.reference, customer_reference="TX-1"),
            self.model.submit(payment),
        )

    @precondition(lambda self: self.model.payments)
    @rule(pick=PICK, less=st.sampled_from([0, 0, -250, 1]))
    def verify(self, pick: int, less: int) -> None:
        """What was asked, more, or less."""
        payment = newest(self.model.payments, pick)
        received = max(1, payment.amount - less)
        self.tell(
            self.shop.payments.verify(payment_id=PaymentId(payment.id), received=usd(received)),
            self.model.verify(payment, received),
        )

    @precondition(lambda self: self.model.payments)
    @rule(pick=PICK, withdraw=st.booleans())
    def reject(self, pick: int, withdraw: bool) -> None:
        payment = newest(self.model.payments, pick)
        id_ = PaymentId(payment.id)
        if withdraw:
            self.tell(self.shop.payments.cancel(payment_id=id_), self.model.withdraw(payment))
        else:
            self.tell(self.shop.payments.reject(payment_id=id_, reason="not there"), self.model.reject(payment))

    @precondition(lambda self: self.model.orders)
    @rule(pick=PICK, amount=st.integers(1, 4000))
    def money_comes_unasked(self, pick: int, amount: int) -> None:
        """Late, or for an order that ended."""
        self.receive(newest(self.model.orders, pick), amount)

    def receive(self, order: Order, amount: int) -> None:
        made = self.run(
            self.shop.payments.record_received(order_id=OrderId(order.id), method="zelle", amount=usd(amount))
        )
        payment = Payment(made.id, made.reference, order, amount, PaymentStatus.COMPLETED, attempts=1)
        self.model.payments.append(payment)
        self.model.credit(payment, amount)

    # --- Whole ways, so that much happens -----------------------------------------------------------------------------

    @rule(visitor=PICK, things=st.lists(st.tuples(PICK, UNITS), min_size=1, max_size=2), reserving=st.booleans())
    def shop_with_a_cart(self, visitor: int, things: list[tuple[int, int]], reserving: bool) -> None:
        buyer = self.visitor(visitor)
        cart = self.cart(buyer)
        for pick, quantity in things:
            self.add_to(cart, newest(self.model.variants, pick), None, quantity)
        if reserving:
            self.hold_cart(cart)
        self.order_cart(cart, buyer, paying=True)

    @precondition(lambda self: self.model.orders)
    @rule(pick=PICK, far=st.integers(0, 3))
    def serve(self, pick: int, far: int) -> None:
        """Take what is due for an order, and bring it on its way, as far as it goes."""
        order = newest(self.model.orders, pick)
        id_, due = OrderId(order.id), order.total - order.paid
        if due > 0 and order.status is OrderStatus.PENDING_PAYMENT:
            self.receive(order, due)
        steps: list[tuple[OrderStatus, Coroutine[Any, Any, object]]] = [
            (OrderStatus.PROCESSING, self.shop.orders.move(order_id=id_, to=OrderStatus.PROCESSING)),
            (OrderStatus.SHIPPED, self.shop.orders.ship(order_id=id_, carrier="UPS", tracking_number="1Z")),
            (OrderStatus.DELIVERED, self.shop.orders.deliver(order_id=id_)),
        ]
        for to, work in steps[:far]:
            self.tell(work, self.model.move(order, to))
        for _, unused in steps[far:]:
            unused.close()

    # --- Time -----------------------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["carts", "inventory_reservations", "orders", "payments"]), pick=PICK)
    def time_is_up(self, what: str, pick: int) -> None:
        """For one cart, hold, order or payment. Rows are dated back; nobody waits."""
        things: dict[str, Sequence[Cart | Hold | Order | Payment]] = {
            "carts": [cart for cart in self.model.carts if cart.live],
            "inventory_reservations": self.model.active(),
            "orders": [order for order in self.model.orders if order.status is OrderStatus.PENDING_PAYMENT],
            "payments": [payment for payment in self.model.payments if payment.status is PaymentStatus.PENDING],
        }
        if things[what]:
            lapsed = newest(things[what], pick)
            lapsed.lapsed = True
            column = "payment_due_at" if what == "orders" else "expires_at"
            statement = f"UPDATE {what} SET {column} = now() - INTERVAL '1 s' WHERE tenant_id = $1 AND id = $2"
            self.run(self.db.execute(statement, self.shop.tenant_id, lapsed.id))

    @rule()
    def the_worker_comes_by(self) -> None:
        """Each job does exactly what is due, and a second time nothing."""
        assert self.run(expire_payments(self.db)) == self.model.expire_payments()
        assert self.run(cancel_unpaid(self.db)) == self.model.cancel_unpaid()
        due = [cart for cart in self.model.carts if cart.status == "active" and cart.lapsed]
        for cart in due:
            self.model.abandon(cart)
        assert self.run(abandon_carts(self.db)) == len(due)
        assert self.run(expire_reservations(self.db)) == self.model.give_back_lapsed()

    # --- What must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def the_shop_is_as_the_model_says(self) -> None:
        model = self.model
        assert self.rows("SELECT variant_id, on_hand, reserved FROM stock_levels WHERE tenant_id = $1") == {
            (v.id, v.on_hand, model.reserved(v)) for v in model.variants
        }
        assert self.rows("SELECT id, status::text, subtotal_amount FROM carts WHERE tenant_id = $1") == {
            (cart.id, cart.status, cart.subtotal) for cart in model.carts
        }
        assert self.rows("SELECT id, status::text, amount_paid, total_amount FROM orders WHERE tenant_id = $1") == {
            (order.id, order.status.value, order.paid, order.total) for order in model.orders
        }
        assert self.rows(
            "SELECT id, status::text, coalesce(received_amount, 0) FROM payments WHERE tenant_id = $1"
        ) == {(payment.id, payment.status.value, payment.received) for payment in model.payments}
        assert self.rows("SELECT code, usage_count FROM coupons WHERE tenant_id = $1") == {
            (coupon.code, len(coupon.live)) for coupon in model.coupons
        }

    def rows(self, query: str) -> set[tuple[Any, ...]]:
        return {tuple(row) for row in self.run(self.db.fetch(query, self.shop.tenant_id))}

    def teardown(self) -> None:
        try:
            if self.model.variants:
                self.look_at_everything()
        finally:
            self.run(self.db.close())
            self.run(self.admin(f"DROP DATABASE {self.name} WITH (FORCE)"))
            self.runner.close()

    def look_at_everything(self) -> None:
        model = self.model
        results = self.run(examine(self.db))
        assert [finding for result in results if result.broken for finding in result.findings] == []
        notes = {result.name: result.count for result in results if result.count}
        oversold = [v for v in model.variants if v.policy is StockPolicy.DENY and model.reserved(v) > v.on_hand]
        owed = [
            order
            for order in model.orders
            if order.paid > order.total or (order.status is OrderStatus.CANCELLED and order.paid)
        ]
        expected = {"units_are_oversold": len(oversold), "money_is_due_back": len(owed)}
        assert notes == {name: count for name, count in expected.items() if count}
        assert self.rows(
            "SELECT cart_id, variant_id, print_name, quantity, unit_price FROM cart_items WHERE tenant_id = $1"
        ) == {
            (cart.id, line.variant.id, line.printed, line.quantity, line.price)
            for cart in model.carts
            for line in cart.lines
        }
        assert self.rows("SELECT order_id, sum(amount) FROM order_discounts WHERE tenant_id = $1 GROUP BY 1") == {
            (order.id, order.discount) for order in model.orders if order.discount
        }
        lines = "order_id, position, variant_id, quantity, unit_price, quantity_held, quantity_fulfilled"
        assert self.rows(f"SELECT {lines}, quantity_cancelled FROM order_items WHERE tenant_id = $1") == {
            (order.id, place, line.variant.id, line.quantity, line.price, line.held, line.shipped, line.cancelled)
            for order in model.orders
            for place, line in enumerate(order.lines, start=1)
        }
        assert self.rows(
            "SELECT order_id, sequence, to_status::text FROM order_status_history WHERE tenant_id = $1"
        ) == {
            (order.id, place, status.value)
            for order in model.orders
            for place, status in enumerate(order.history, start=1)
        }
        assert self.rows("SELECT payment_id, count(*) FROM payment_attempts WHERE tenant_id = $1 GROUP BY 1") == {
            (payment.id, payment.attempts) for payment in model.payments if payment.attempts
        }


def newest(things: Sequence[T], pick: int) -> T:
    return things[-1 - pick % len(things)]


@pytest.fixture
def machine(postgres: EmbeddedPostgres, template_database: str) -> type[ShopMachine]:
    ShopMachine.postgres, ShopMachine.template = postgres, template_database
    return ShopMachine


def drive(machine: type[ShopMachine], *, runs: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(900)
def test_whatever_happens_the_shop_keeps_its_promises(machine: type[ShopMachine]) -> None:
    drive(machine, runs=30, steps=50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long(machine: type[ShopMachine]) -> None:
    drive(machine, runs=600, steps=80)
