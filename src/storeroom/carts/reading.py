"""Carts as they stand: a visitor's own, one with its lines and what coupons take off it, those left behind."""

from datetime import datetime
from uuid import UUID

import msgspec

from storeroom.carts import queries
from storeroom.carts.errors import CartNotFound, InvalidVisitor
from storeroom.carts.model import Cart, CartLine, CartStatus, CartView, Discounted, LockedCart
from storeroom.core.ids import CartId, CartItemId
from storeroom.core.money import Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.visitor import Visitor
from storeroom.database.service import Service, operation
from storeroom.promotions import CouponNotApplicable, CouponNotFound, Coupons, CouponUsedUp


class CartReading(Service):
    """What is asked of the carts of one tenant; `Carts` has the rest."""

    @operation
    async def active(self, *, visitor: Visitor) -> Cart | None:
        """The visitor's active cart, if there is one that has not expired. Makes none."""
        if visitor.user_id is not None:
            cart = await queries.active_of_user(self.db, tenant_id=self.tenant_id, user_id=visitor.user_id)
        elif visitor.session_id is not None:
            cart = await queries.active_of_session(self.db, tenant_id=self.tenant_id, session_id=visitor.session_id)
        else:
            raise InvalidVisitor
        return None if cart is None or cart.expired else cart

    @operation
    async def for_anonymous(self, anonymous_id: str) -> Cart | None:
        """The active cart of a visitor, by the id that analytics knows; None where there is none. For programs."""
        return await queries.active_of_anonymous(self.db, tenant_id=self.tenant_id, anonymous_id=anonymous_id)

    @operation
    async def get(self, *, cart_id: CartId, visitor: Visitor | None = None) -> Cart:
        """A cart in whatever state.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
        """
        cart = await queries.cart(self.db, tenant_id=self.tenant_id, id=cart_id)
        if cart is None or not owns(visitor, cart):
            raise CartNotFound(cart_id=cart_id)
        return cart

    @operation
    async def lines(self, *, cart_id: CartId, visitor: Visitor | None = None) -> list[CartLine]:
        """What is in a cart, in the order of adding, with today's prices beside those of the lines.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
        """
        await self.get(cart_id=cart_id, visitor=visitor)
        return await queries.lines(self.db, tenant_id=self.tenant_id, cart_id=cart_id)

    @operation
    async def view(self, *, cart_id: CartId, visitor: Visitor | None = None) -> CartView:
        """A cart with its lines, and what coupons take off it now: one may have ended since it was applied.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
        """
        cart = await self.get(cart_id=cart_id, visitor=visitor)
        lines = await queries.lines(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        if cart.status is not CartStatus.ACTIVE:
            return CartView(cart, lines)
        discount = await self._discount(cart_id)
        taken = Money(discount.amount, cart.currency)
        cart = msgspec.structs.replace(cart, discount=taken, total=cart.total + cart.discount - taken)
        return CartView(cart, lines, discount.problem)

    @operation
    async def abandoned(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Cart]:
        """Carts that nobody came back to, the latest first."""
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor is not None else (None, None)
        rows = await queries.abandoned(
            self.db, tenant_id=self.tenant_id, before_at=before_at, before_id=before_id, rows=size + 1
        )
        return page_of(rows, size, lambda cart: (cart.updated_at, cart.id))

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _discount(self, cart_id: CartId) -> Discounted:
        """What coupons take now; one that does not apply any more takes nothing, and the cart keeps its code."""
        cart = await queries.discountable(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        if not cart.lines or not (cart.automatic or cart.discount_code):
            return Discounted(0)
        coupons, lines, problem = Coupons(self.context), cart.lines, None
        codes = [cart.discount_code] if cart.discount_code else []
        try:
            found = await coupons.preview(lines=lines, currency=cart.currency, codes=codes, user_id=cart.user_id)
        except (CouponNotFound, CouponUsedUp, CouponNotApplicable) as refusal:
            problem = refusal.code
            found = await coupons.preview(lines=lines, currency=cart.currency, user_id=cart.user_id)
        return Discounted(found.discount, problem)

    async def _cart(self, cart_id: CartId) -> Cart:
        return await self.get(cart_id=cart_id)

    async def _line(self, cart_id: CartId, line_id: CartItemId) -> CartLine:
        (line,) = await queries.lines(self.db, tenant_id=self.tenant_id, cart_id=cart_id, id=line_id)
        return line


def owns(visitor: Visitor | None, cart: Cart | LockedCart) -> bool:
    """Whose cart it is, as the checkout asks it too: the account's, or the session's while no account has it."""
    if visitor is None:
        return True
    if cart.user_id is not None:
        return cart.user_id == visitor.user_id
    return visitor.session_id is not None and cart.session_id == visitor.session_id
