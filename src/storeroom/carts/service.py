"""Filling carts, keeping their totals, and merging a guest's cart into an account's."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from storeroom import inventory
from storeroom.analytics import note
from storeroom.carts import queries
from storeroom.carts.errors import (
    CartAddressNotFound,
    CartContended,
    CartFull,
    CartLineNotFound,
    CartNotActive,
    CartNotFound,
    InvalidLine,
    InvalidLineQuantity,
    InvalidVisitor,
    LineTooLarge,
    NotForSale,
    ShippingUnavailable,
    VisitorNotFound,
)
from storeroom.carts.model import (
    CART_MOVES,
    DOMAIN_LENGTH_MAX,
    LINES_MAX,
    PLAIN,
    REFERRER_LENGTH_MAX,
    UTM_LENGTH_MAX,
    Attribution,
    Cart,
    CartLine,
    CartStatus,
    Customisation,
    LockedCart,
    Offer,
    PriceChange,
)
from storeroom.carts.reading import CartReading, owns
from storeroom.catalog import VariantNotFound
from storeroom.conversions import Item, added_to_cart
from storeroom.core.ids import AddressId, CartId, CartItemId, SessionId, TenantId, UserId, VariantId, new_id
from storeroom.core.states import sources
from storeroom.core.visitor import Visitor
from storeroom.database.executor import Executor
from storeroom.database.service import transactional
from storeroom.inventory import QUANTITY_MAX, Inventory, Reservation
from storeroom.promotions import Coupons, normal_code

TRIES_MAX: Final = 5  # a visitor's cart is looked for, made, and looked for again
_MERGEABLE: Final = sources(CART_MOVES, CartStatus.MERGED)
_ABANDONABLE: Final = sources(CART_MOVES, CartStatus.ABANDONED)


class Carts(CartReading):
    """The carts of one tenant.

    Where an operation takes a `visitor`, a cart of somebody else is not found. Without one the caller answers for it:
    staff, a job, a program. Whatever changes a cart locks its row, so a cart's lines and totals agree at any moment.
    """

    # --- One visitor, one active cart ---------------------------------------------------------------------------------

    @transactional
    async def create(
        self, *, visitor: Visitor, attribution: Attribution | None = None, domain: str | None = None
    ) -> Cart:
        """The visitor's active cart, made if there is none; two calls at once get the same.

        An account has one active cart, and so has a guest's session. One past its `expires_at` is abandoned, and the
        visitor gets another. Attribution, and the domain it is made at, count only where a cart is made.

        Raises:
            InvalidVisitor: neither an account nor a session.
            VisitorNotFound: no such account or session.
        """
        if visitor.user_id is not None:
            return await self._of_user(visitor.user_id, attribution or Attribution(), domain)
        if visitor.session_id is not None:
            return await self._of_session(visitor.session_id, attribution or Attribution(), domain)
        raise InvalidVisitor

    async def for_user(self, user_id: UserId, *, attribution: Attribution | None = None) -> Cart:
        """`create` for an account."""
        return await self.create(visitor=Visitor(user_id=user_id), attribution=attribution)

    async def for_session(self, session_id: SessionId, *, attribution: Attribution | None = None) -> Cart:
        """`create` for a guest."""
        return await self.create(visitor=Visitor(session_id=session_id), attribution=attribution)

    # --- Lines --------------------------------------------------------------------------------------------------------

    @transactional
    async def add(
        self,
        *,
        cart_id: CartId,
        variant_id: VariantId | None = None,
        sku: str | None = None,
        quantity: int = 1,
        customisation: Customisation = PLAIN,
        visitor: Visitor | None = None,
    ) -> CartLine:
        """Put units of a variant into a cart; return their line.

        What is in the cart already in the same customisation becomes more, at the price that its line has; a new line
        takes today's price. Stock is not looked at: that is `reserve`, or the checkout. A retry adds a second time; the
        HTTP layer's Idempotency-Key is what makes one safe.

        Args:
            cart_id: an active cart.
            variant_id: what to add; or
            sku: what to add.
            quantity: units, 1 to QUANTITY_MAX.
            customisation: patch, printed name and number.
            visitor: whose cart it has to be.

        Raises:
            InvalidLine: not exactly one of `variant_id` and `sku`.
            InvalidLineQuantity: `quantity` is out of range.
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
            VariantNotFound: no such variant.
            NotForSale: it is not offered.
            LineTooLarge: together more than QUANTITY_MAX units.
            CartFull: LINES_MAX lines are there.
        """
        if (variant_id is None) == (sku is None):
            raise InvalidLine
        _check_quantity(quantity, least=1)
        cart = await self._lock(cart_id, visitor)
        offer = await self._offer(variant_id, sku)
        if not offer.sellable or offer.currency != cart.currency:
            raise NotForSale(variant_id=offer.variant_id, sku=offer.sku)
        place = await queries.place(
            self.db,
            tenant_id=self.tenant_id,
            cart_id=cart_id,
            variant_id=offer.variant_id,
            patch_type=customisation.patch_type,
            print_name=customisation.print_name,
            print_number=customisation.print_number,
        )
        if place.quantity + quantity > QUANTITY_MAX:
            raise LineTooLarge(quantity=quantity, in_cart=place.quantity, quantity_max=QUANTITY_MAX)
        if place.quantity == 0 and place.lines >= LINES_MAX:
            raise CartFull(lines_max=LINES_MAX)
        line_id = await queries.add_line(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            cart_id=cart_id,
            product_id=offer.product_id,
            variant_id=offer.variant_id,
            quantity=quantity,
            unit_price=offer.price,
            patch_enabled=customisation.patch_type is not None,
            patch_type=customisation.patch_type,
            print_name=customisation.print_name,
            print_number=customisation.print_number,
        )
        await self._retotal(cart_id)
        await self._note("cart.add", cart, visitor, variant_id=offer.variant_id, quantity=quantity)
        line = await self._line(cart_id, CartItemId(line_id))
        await added_to_cart(
            self.context,
            item=Item(
                id=line.sku or str(line.variant_id),
                name=line.product_name,
                variant=line.variant_title,
                quantity=quantity,
                price=line.unit_price,
            ),
            user_id=cart.user_id,
            session_id=_session_of(cart, visitor),
        )
        return line

    @transactional
    async def set_quantity(
        self, *, cart_id: CartId, line_id: CartItemId, quantity: int, visitor: Visitor | None = None
    ) -> CartLine | None:
        """Say how many units a line has, 0 to QUANTITY_MAX; 0 removes it, and None comes back.

        Raises:
            InvalidLineQuantity: `quantity` is out of range.
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
            CartLineNotFound: the cart has no such line.
        """
        _check_quantity(quantity, least=0)
        cart = await self._lock(cart_id, visitor)
        if quantity == 0:
            touched = await queries.remove_line(self.db, tenant_id=self.tenant_id, cart_id=cart_id, id=line_id)
        else:
            touched = await queries.set_line(
                self.db, tenant_id=self.tenant_id, cart_id=cart_id, id=line_id, quantity=quantity
            )
        if not touched:
            raise CartLineNotFound(line_id=line_id)
        await self._retotal(cart_id)
        await self._note(
            "cart.update_quantity" if quantity else "cart.remove", cart, visitor, line_id=line_id, quantity=quantity
        )
        return await self._line(cart_id, line_id) if quantity else None

    async def _note(self, event: str, cart: LockedCart, visitor: Visitor | None, **properties: object) -> None:
        await note(
            self.db,
            self.context,
            event_name=event,
            user_id=cart.user_id,
            session_id=_session_of(cart, visitor),
            cart_id=cart.id,
            properties=properties,
        )

    async def remove(self, *, cart_id: CartId, line_id: CartItemId, visitor: Visitor | None = None) -> None:
        """Take a line out of a cart; raises what `set_quantity` does."""
        await self.set_quantity(cart_id=cart_id, line_id=line_id, quantity=0, visitor=visitor)

    @transactional
    async def reprice(self, *, cart_id: CartId, visitor: Visitor | None = None) -> list[PriceChange]:
        """The shop's repricing rule: every line takes today's price; return what changed.

        A line keeps its price until then, and the checkout refuses one that differs from today's. A line that is no
        longer sold in the cart's currency is left as it is.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
        """
        await self._lock(cart_id, visitor)
        changes = [
            PriceChange(
                line_id=line.id,
                variant_id=line.variant_id,
                sku=line.sku,
                before=line.unit_price,
                after=line.current_price,
            )
            for line in await queries.lines(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
            if line.current_price is not None and line.current_price != line.unit_price
        ]
        if changes:
            await queries.reprice(
                self.db,
                tenant_id=self.tenant_id,
                cart_id=cart_id,
                ids=[change.line_id for change in changes],
                prices=[change.after.amount for change in changes],
            )
        await self._retotal(cart_id)
        return changes

    # --- Coupons ------------------------------------------------------------------------------------------------------

    @transactional
    async def apply_coupon(self, *, cart_id: CartId, code: str, visitor: Visitor | None = None) -> Cart:
        """Put a coupon on a cart in the place of the one that is there; return the cart with what it comes to.

        Nothing is counted: a use is taken by the checkout, which refuses the order if the coupon does not apply then.
        A coupon for one way to pay is named at checkout, where that is chosen. A guest's uses before are not known yet.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
            CouponNotFound, CouponUsedUp, CouponNotApplicable: the cart keeps what it had.
        """
        cart = await self._lock(cart_id, visitor)
        facts = await queries.discountable(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        await Coupons(self.context).preview(
            lines=facts.lines, currency=cart.currency, codes=[code], user_id=cart.user_id
        )
        await queries.set_coupon(self.db, tenant_id=self.tenant_id, id=cart_id, code=normal_code(code))
        await self._retotal(cart_id)
        return await self._cart(cart_id)

    @transactional
    async def remove_coupon(self, *, cart_id: CartId, visitor: Visitor | None = None) -> Cart:
        """Take the coupon off a cart; one that has none stays as it is.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
        """
        await self._lock(cart_id, visitor)
        await queries.set_coupon(self.db, tenant_id=self.tenant_id, id=cart_id, code=None)
        await self._retotal(cart_id)
        return await self._cart(cart_id)

    # --- Shipping and stock -------------------------------------------------------------------------------------------

    @transactional
    async def set_shipping(
        self,
        *,
        cart_id: CartId,
        address_id: AddressId | None = None,
        method: str | None = None,
        visitor: Visitor | None = None,
    ) -> Cart:
        """Choose where the goods go and how; return the cart with what that costs. None takes a choice back.

        Without a method the shop's first rate that reaches the address counts. A guest has no stored address: the rate
        of the method is shown, and the checkout asks whether it reaches the address that is given there.

        Args:
            cart_id: an active cart.
            address_id: an address of the account that owns the cart.
            method: the code of a shipping rate.
            visitor: whose cart it has to be.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
            CartAddressNotFound: not an address of this account.
            ShippingUnavailable: no such rate, or none that reaches the address.
        """
        cart = await self._lock(cart_id, visitor)
        country = None
        if address_id is not None:
            if cart.user_id is not None:
                country = await queries.country_of(
                    self.db, tenant_id=self.tenant_id, id=address_id, user_id=cart.user_id
                )
            if country is None:
                raise CartAddressNotFound(address_id=address_id)
        if not await self._ships(cart.currency, country, method):
            raise ShippingUnavailable(country=country, method=method)
        await queries.set_shipping(self.db, tenant_id=self.tenant_id, id=cart_id, address_id=address_id, method=method)
        await self._retotal(cart_id)
        return await self._cart(cart_id)

    @transactional
    async def reserve(
        self, *, cart_id: CartId, hold_for: timedelta | None = None, visitor: Visitor | None = None
    ) -> list[Reservation]:
        """Hold the units that the cart's lines ask for, all or nothing; see `Inventory.reserve_cart`.

        Raises:
            CartNotFound: no such cart, or not this visitor's.
            CartNotActive: it can not be changed any more.
            InsufficientStock: of one variant there are too few.
        """
        await self._lock(cart_id, visitor)
        return await Inventory(self.context).reserve_cart(cart_id=cart_id, hold_for=hold_for)

    # --- A guest signs in ---------------------------------------------------------------------------------------------

    @transactional
    async def merge(self, *, user_id: UserId, session_id: SessionId) -> Cart | None:
        """Give what a guest has in the cart to the account that the guest turned out to be.

        Quantities of the same thing are summed, to QUANTITY_MAX at most; other lines change carts with the price they
        have, to LINES_MAX in all, and what finds no room stays in the old cart. That one is then MERGED. What it had
        reserved is given back: the account's cart reserves anew when its owner goes on. An account without a cart takes
        the guest's over as it is, reservations included. Doing it again, or twice at once, changes nothing more.

        Returns:
            The account's active cart; None where neither had one.

        Raises:
            VisitorNotFound: no such account.
        """
        if await queries.lock_user(self.db, tenant_id=self.tenant_id, user_id=user_id) is None:
            raise VisitorNotFound
        found = [
            await queries.active_of_user(self.db, tenant_id=self.tenant_id, user_id=user_id),
            await queries.active_of_session(self.db, tenant_id=self.tenant_id, session_id=session_id),
        ]
        locked = {cart.id: cart for cart in await self._lock_carts([cart.id for cart in found if cart is not None])}
        # Whatever happened to them before we had the locks is told by the locked rows.
        own, guest = (None if cart is None else locked.get(cart.id) for cart in found)
        if own is not None and own.expired:
            await self._abandon(own)
        if own is not None and not own.live:
            own = None
        if guest is not None and guest.live and guest.session_id == session_id:
            if own is None:
                await queries.adopt(self.db, tenant_id=self.tenant_id, id=guest.id, user_id=user_id)
                await self._retotal(guest.id)  # a coupon may look at whose cart it is
                return await self._cart(guest.id)
            if guest.currency == own.currency:  # else the shop changed it in between, and prices cannot be carried over
                if own.discount_code is None and guest.discount_code is not None:
                    code = guest.discount_code
                    await queries.set_coupon(self.db, tenant_id=self.tenant_id, id=own.id, code=code)
                await self._pour(guest.id, own.id)
        return None if own is None else await self._cart(own.id)

    async def _pour(self, guest_id: CartId, into_id: CartId) -> None:
        await queries.add_up_lines(
            self.db, tenant_id=self.tenant_id, guest_id=guest_id, into_id=into_id, quantity_max=QUANTITY_MAX
        )
        await queries.drop_added_lines(self.db, tenant_id=self.tenant_id, guest_id=guest_id, into_id=into_id)
        await queries.move_lines(
            self.db, tenant_id=self.tenant_id, guest_id=guest_id, into_id=into_id, lines_max=LINES_MAX
        )
        await inventory.release_carts(self.db, tenant_id=self.tenant_id, cart_ids=[guest_id])
        await queries.mark_merged(self.db, tenant_id=self.tenant_id, id=guest_id, into_id=into_id, sources=_MERGEABLE)
        await self._retotal(guest_id)
        await self._retotal(into_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _of_user(self, user_id: UserId, attribution: Attribution, domain: str | None) -> Cart:
        for _ in range(TRIES_MAX):
            cart = await queries.active_of_user(self.db, tenant_id=self.tenant_id, user_id=user_id)
            if cart is not None and not cart.expired:
                return cart
            if await queries.lock_user(self.db, tenant_id=self.tenant_id, user_id=user_id) is None:
                raise VisitorNotFound
            if cart is not None:
                await self._abandon_expired(cart.id)
            made = await queries.add_user_cart(
                self.db, tenant_id=self.tenant_id, id=new_id(), user_id=user_id, **_captured(attribution, domain)
            )
            if made is not None:
                return await self._cart(CartId(made))
        raise CartContended

    async def _of_session(self, session_id: SessionId, attribution: Attribution, domain: str | None) -> Cart:
        for _ in range(TRIES_MAX):
            cart = await queries.active_of_session(self.db, tenant_id=self.tenant_id, session_id=session_id)
            if cart is not None and not cart.expired:
                return cart
            if cart is not None:
                await self._abandon_expired(cart.id)
            made = await queries.add_guest_cart(
                self.db, tenant_id=self.tenant_id, id=new_id(), session_id=session_id, **_captured(attribution, domain)
            )
            if made is not None:
                return await self._cart(CartId(made))
            if not await queries.session_exists(self.db, tenant_id=self.tenant_id, session_id=session_id):
                raise VisitorNotFound
        raise CartContended

    async def _abandon_expired(self, cart_id: CartId) -> None:
        for cart in await self._lock_carts([cart_id]):
            if cart.status is CartStatus.ACTIVE and cart.expired:
                await self._abandon(cart)

    async def _abandon(self, cart: LockedCart) -> None:
        await inventory.release_carts(self.db, tenant_id=self.tenant_id, cart_ids=[cart.id])
        await queries.mark_abandoned(self.db, tenant_id=self.tenant_id, ids=[cart.id], sources=_ABANDONABLE)

    async def _lock_carts(self, ids: Sequence[CartId]) -> list[LockedCart]:
        return await queries.lock_carts(self.db, tenant_id=self.tenant_id, ids=ids) if ids else []

    async def _lock(self, cart_id: CartId, visitor: Visitor | None) -> LockedCart:
        locked = await self._lock_carts([cart_id])
        if not locked or not owns(visitor, locked[0]):
            raise CartNotFound(cart_id=cart_id)
        (cart,) = locked
        if not cart.live:
            raise CartNotActive(
                cart_id=cart_id, status="expired" if cart.status is CartStatus.ACTIVE else cart.status.value
            )
        return cart

    async def _offer(self, variant_id: VariantId | None, sku: str | None) -> Offer:
        offer = None
        if sku is None or "\x00" not in sku:  # which no text of the database can hold
            offer = await queries.offer(self.db, tenant_id=self.tenant_id, variant_id=variant_id, sku=sku)
        if offer is None:
            raise VariantNotFound(variant=sku if sku is not None else str(variant_id))
        return offer

    async def _ships(self, currency: str, country: str | None, method: str | None) -> bool:
        """Whether a rate reaches there by that method; a shop without rates ships anywhere for nothing."""
        if country is None and method is None:
            return True
        if method is not None and "\x00" in method:
            return False
        if await queries.rate_for(self.db, tenant_id=self.tenant_id, currency=currency, method=method, country=country):
            return True
        return method is None and not await queries.rate_for(self.db, tenant_id=self.tenant_id, currency=currency)

    async def _retotal(self, cart_id: CartId) -> None:
        discount = await self._discount(cart_id)
        await queries.retotal(self.db, tenant_id=self.tenant_id, id=cart_id, discount=discount.amount)


def _session_of(cart: LockedCart, visitor: Visitor | None) -> SessionId | None:
    return cart.session_id or (visitor.session_id if visitor is not None else None)


def _check_quantity(quantity: int, *, least: int) -> None:
    if not least <= quantity <= QUANTITY_MAX:
        raise InvalidLineQuantity(quantity=quantity, least=least, most=QUANTITY_MAX)


def _captured(attribution: Attribution, domain: str | None) -> dict[str, str | None]:
    return {
        "domain": _cut(domain, DOMAIN_LENGTH_MAX),
        "utm_source": _cut(attribution.utm_source, UTM_LENGTH_MAX),
        "utm_medium": _cut(attribution.utm_medium, UTM_LENGTH_MAX),
        "utm_campaign": _cut(attribution.utm_campaign, UTM_LENGTH_MAX),
        "referrer_url": _cut(attribution.referrer_url, REFERRER_LENGTH_MAX),
    }


def _cut(text: str | None, length: int) -> str | None:
    """Whatever a link carries must not keep anybody from getting a cart."""
    return text.replace("\x00", "")[:length] or None if text is not None else None


async def lock_cart(tx: Executor, *, tenant_id: TenantId, cart_id: CartId) -> None:
    """Keep the cart and its lines as they are for everybody else, until the caller's transaction ends."""
    await queries.lock_carts(tx, tenant_id=tenant_id, ids=[cart_id])
