"""Counting stock, and holding units of it for those who are about to buy."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from storeroom.audit import audited
from storeroom.catalog import StockPolicy, VariantNotFound
from storeroom.core.ids import CartId, OrderId, ReservationId, TenantId, VariantId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.executor import Executor
from storeroom.database.service import Service, operation, transactional
from storeroom.inventory import queries
from storeroom.inventory.errors import (
    InsufficientStock,
    InvalidHold,
    InvalidPolicy,
    InvalidQuantity,
    ReasonRequired,
    ReservationEnded,
    ReservationNotFound,
    ReservedCartEnded,
    ReservedCartNotFound,
    StockOutOfRange,
)
from storeroom.inventory.model import (
    HOLD_MAX,
    HOLD_MIN,
    QUANTITY_MAX,
    REASON_LENGTH_MAX,
    RESERVATION_MOVES,
    UNITS_MAX,
    Held,
    LockedLevel,
    MovementKind,
    Reservation,
    ReservationStatus,
    StockLevel,
    StockMovement,
)

LAPSED_MAX: Final = 1_000  # expired reservations given back by one who finds too little
CART_RESERVATIONS_MAX: Final = 1_000  # listed of one cart
_RELEASABLE: Final = sources(RESERVATION_MOVES, ReservationStatus.RELEASED)
_CONVERTIBLE: Final = sources(RESERVATION_MOVES, ReservationStatus.CONVERTED)


class Inventory(Service):
    """The stock of one tenant."""

    # --- Looking ------------------------------------------------------------------------------------------------------

    @operation
    async def level(self, *, variant_id: VariantId) -> StockLevel:
        """How much of a variant there is.

        Raises:
            VariantNotFound: the shop has no such variant.
        """
        level = await queries.level(self.db, tenant_id=self.tenant_id, variant_id=variant_id)
        if level is None:
            raise VariantNotFound(variant=variant_id)
        return level

    @operation
    async def levels(
        self, *, variant_ids: Sequence[VariantId] | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[StockLevel]:
        """The stock of all variants, or of those that are named; an unknown id is simply not among them."""
        size = page_size(limit)
        rows = await queries.levels(
            self.db, tenant_id=self.tenant_id, after=_after(cursor), variant_ids=variant_ids, rows=size + 1
        )
        return page_of(rows, size, _level_key)

    @operation
    async def low_stock(self, *, cursor: str | None = None, limit: int | None = None) -> Page[StockLevel]:
        """Tracked variants of which no more are available than their threshold."""
        size = page_size(limit)
        rows = await queries.low_stock(self.db, tenant_id=self.tenant_id, after=_after(cursor), rows=size + 1)
        return page_of(rows, size, _level_key)

    @operation
    async def oversold(self, *, cursor: str | None = None, limit: int | None = None) -> Page[StockLevel]:
        """Variants of which more is promised than their policy allows: a count or an adjustment found too few."""
        size = page_size(limit)
        rows = await queries.oversold(self.db, tenant_id=self.tenant_id, after=_after(cursor), rows=size + 1)
        return page_of(rows, size, _level_key)

    @operation
    async def movements(
        self, *, variant_id: VariantId, cursor: str | None = None, limit: int | None = None
    ) -> Page[StockMovement]:
        """Why there are as many on the shelf as there are, newest first.

        Raises:
            VariantNotFound: the shop has no such variant.
        """
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor is not None else (None, None)
        rows = await queries.movements(
            self.db,
            tenant_id=self.tenant_id,
            variant_id=variant_id,
            before_at=before_at,
            before_id=before_id,
            rows=size + 1,
        )
        if not rows:
            await self.level(variant_id=variant_id)
        return page_of(rows, size, lambda movement: (movement.created_at, movement.id))

    @operation
    async def active_for_cart(self, *, cart_id: CartId) -> list[Reservation]:
        """What a cart holds now, newest first; expired reservations are not among it."""
        return await queries.active_for_cart(
            self.db, tenant_id=self.tenant_id, cart_id=cart_id, rows=CART_RESERVATIONS_MAX
        )

    # --- Changing what is on the shelf --------------------------------------------------------------------------------

    @audited("inventory.adjust", "stock", "variant_id")
    @transactional
    async def adjust(self, *, variant_id: VariantId, by: int, reason: str) -> StockMovement:
        """Add units to the shelf or, where `by` is negative, take some off; the row says who and why.

        More may be promised than is left afterwards; the oversold list then has the variant.

        Raises:
            InvalidQuantity: `by` is 0 or past UNITS_MAX.
            ReasonRequired: no reason, or one longer than REASON_LENGTH_MAX.
            VariantNotFound: the shop has no such variant.
            StockOutOfRange: fewer than 0 units would be left. Nothing was written.
        """
        if by == 0 or abs(by) > UNITS_MAX:
            raise InvalidQuantity(quantity=by, least=-UNITS_MAX, most=UNITS_MAX, field="by")
        return await self._move(variant_id, MovementKind.ADJUSTMENT, by, _reason(reason))

    @audited("inventory.count", "stock", "variant_id")
    @transactional
    async def count(
        self,
        *,
        variant_id: VariantId,
        on_hand: int,
        reason: str | None = None,
        kind: MovementKind = MovementKind.COUNT,
    ) -> StockMovement:
        """Say how many there are: a stocktaking, an import, the first number of a new variant.

        It may be fewer than are promised: that is a fact and no error; the oversold list then has the variant. A count
        that finds what was known is recorded as well, with a quantity of 0.

        Args:
            variant_id: of any stock policy.
            on_hand: 0 to UNITS_MAX.
            reason: at most REASON_LENGTH_MAX characters.
            kind: of the movement.

        Raises:
            InvalidQuantity: `on_hand` is out of range.
            VariantNotFound: the shop has no such variant.
        """
        if not 0 <= on_hand <= UNITS_MAX:
            raise InvalidQuantity(quantity=on_hand, least=0, most=UNITS_MAX, field="on_hand")
        (level,) = await self._lock([variant_id])
        return await self._move(
            variant_id, kind, on_hand - level.on_hand, _reason(reason) if reason is not None else None
        )

    @audited("inventory.set_policy", "variant", "variant_id")
    @transactional
    async def set_policy(
        self, *, variant_id: VariantId, policy: StockPolicy, backorder_limit: int | None = None
    ) -> StockLevel:
        """Choose what happens when more is asked for than is there. What is held stays held.

        Args:
            variant_id: the variant.
            policy: deny, backorder or untracked.
            backorder_limit: units below zero; None for no bound. Only with backorder.

        Raises:
            InvalidPolicy: a limit without backorder, or one out of range.
            VariantNotFound: the shop has no such variant.
        """
        if backorder_limit is not None and policy is not StockPolicy.BACKORDER:
            raise InvalidPolicy(reason=f"a backorder limit means nothing with the policy {policy}")
        if backorder_limit is not None and not 0 <= backorder_limit <= UNITS_MAX:
            raise InvalidPolicy(reason=f"a backorder limit is 0 to {UNITS_MAX} units")
        if not await queries.set_policy(
            self.db, tenant_id=self.tenant_id, variant_id=variant_id, policy=policy, backorder_limit=backorder_limit
        ):
            raise VariantNotFound(variant=variant_id)
        return await self.level(variant_id=variant_id)

    # --- Holding units ------------------------------------------------------------------------------------------------

    @transactional
    async def reserve(
        self,
        *,
        variant_id: VariantId,
        quantity: int,
        cart_id: CartId | None = None,
        hold_for: timedelta | None = None,
    ) -> Reservation | None:
        """Set units of one variant aside for a limited time; return the ACTIVE reservation.

        Of an untracked variant there is always enough, so nothing is set aside and None comes back. Where there are too
        few, the variant's expired reservations are given back first. A retry holds a second time; the HTTP layer's
        Idempotency-Key, or `reserve_cart`, is what makes one safe.

        Args:
            variant_id: the variant.
            quantity: units, 1 to QUANTITY_MAX.
            cart_id: an active cart, whose checkout will take these units; None: held for nobody in particular.
            hold_for: 1 minute to 24 hours by the database's clock; None: as long as the tenant's setting says.

        Raises:
            InvalidQuantity: `quantity` is out of range.
            InvalidHold: `hold_for` is.
            VariantNotFound: the shop has no such variant.
            ReservedCartNotFound: no such cart.
            ReservedCartEnded: the cart is not active any more.
            InsufficientStock: too few; carries how many there are. Nothing was written but what had expired.
        """
        if not 1 <= quantity <= QUANTITY_MAX:
            raise InvalidQuantity(quantity=quantity)
        _check_hold(hold_for)
        if cart_id is not None:
            await self._lock_cart(cart_id)
        held = await self._hold(variant_id, quantity, cart_id, hold_for)
        if held is not None:
            return held
        (level,) = await self._lock([variant_id])
        if level.stock_policy is StockPolicy.UNTRACKED:
            return None
        await self._give_back_expired([variant_id])
        held = await self._hold(variant_id, quantity, cart_id, hold_for)
        if held is not None:
            return held
        (level,) = await self._lock([variant_id])
        raise InsufficientStock(
            variant_id=variant_id, sku=level.sku, requested=quantity, available=level.promisable() or 0
        )

    @transactional
    async def reserve_cart(self, *, cart_id: CartId, hold_for: timedelta | None = None) -> list[Reservation]:
        """Hold exactly what the lines of a cart ask for, all of it or nothing new; return what is held.

        What the cart held before is given back and held anew, so calling again after a change of the lines, or to gain
        time, is right. Lines of untracked variants hold nothing. It decides before it writes: after a refusal the cart
        holds what it held before, even inside a transaction of the caller that goes on.

        Raises:
            InvalidHold: `hold_for` is not 1 minute to 24 hours.
            ReservedCartNotFound: no such cart.
            ReservedCartEnded: the cart is not active any more.
            InsufficientStock: the first variant, in the order of the ids, of which there are too few.
        """
        _check_hold(hold_for)
        await self._lock_cart(cart_id)
        wanted = {
            demand.variant_id: demand.quantity
            for demand in await queries.demand_of_cart(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        }
        before = await queries.held_by_carts(self.db, tenant_id=self.tenant_id, cart_ids=[cart_id])
        levels = await self._lock({*wanted, *(held.variant_id for held in before)})
        # Read again under the locks: the cleaner may just have given some of them back.
        before = await queries.held_by_carts(self.db, tenant_id=self.tenant_id, cart_ids=[cart_id])
        own = Counter[VariantId]()
        for held in before:
            own[held.variant_id] += held.quantity
        if short := _short(levels, wanted, own):
            await self._give_back_expired([level.variant_id for level in short], but=before)
            levels = await self._lock(wanted)
            for level in _short(levels, wanted, own)[:1]:
                raise InsufficientStock(
                    variant_id=level.variant_id,
                    sku=level.sku,
                    requested=wanted[level.variant_id],
                    available=level.promisable(own[level.variant_id]) or 0,
                )
        await self._release(before)
        now_held = [
            await self._hold(variant_id, wanted[variant_id], cart_id, hold_for) for variant_id in sorted(wanted)
        ]
        return [reservation for reservation in now_held if reservation is not None]

    @transactional
    async def release(self, *, cart_id: CartId) -> int:
        """Give back all that a cart holds; return how many reservations that were, 0 if it held nothing.

        What was released or converted before stays as it is, so a second call changes nothing. A cart that went with
        its session may still hold units; those are given back too.

        Raises:
            ReservedCartNotFound: no such cart, and nothing held for it.
        """
        status = await queries.lock_cart(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        released = await release_carts(self.db, tenant_id=self.tenant_id, cart_ids=[cart_id])
        if status is None and not released:
            raise ReservedCartNotFound(cart_id=cart_id)
        return released

    @transactional
    async def release_one(self, *, reservation_id: ReservationId) -> Reservation:
        """Give back one reservation; return it, RELEASED.

        Raises:
            ReservationNotFound: no such reservation.
            ReservationEnded: it was released or converted before.
        """
        held = await self._reservation(reservation_id)
        if held.cart_id is not None:
            await queries.lock_cart(self.db, tenant_id=self.tenant_id, cart_id=held.cart_id)
        await self._lock([held.variant_id])
        if not await queries.release(self.db, tenant_id=self.tenant_id, ids=[reservation_id], sources=_RELEASABLE):
            raise ReservationEnded(
                reservation_id=reservation_id, status=(await self._reservation(reservation_id)).status
            )
        return await self._reservation(reservation_id)

    @transactional
    async def convert(self, *, cart_id: CartId, order_id: OrderId | None = None) -> int:
        """Turn all that a cart holds into a sale; return how many reservations that were.

        The units stay in `reserved` and belong to the order from now on: shipping takes them off the shelf, cancelling
        gives them back. A second call changes nothing. Checkout does the same inside its own function.

        Raises:
            ReservedCartNotFound: no such cart.
        """
        if await queries.lock_cart(self.db, tenant_id=self.tenant_id, cart_id=cart_id) is None:
            raise ReservedCartNotFound(cart_id=cart_id)
        held = await queries.held_by_carts(self.db, tenant_id=self.tenant_id, cart_ids=[cart_id])
        if not held:
            return 0
        await self._lock({each.variant_id for each in held})
        return await queries.convert(
            self.db,
            tenant_id=self.tenant_id,
            ids=[each.id for each in held],
            order_id=order_id,
            sources=_CONVERTIBLE,
        )

    @transactional
    async def expire(self, *, limit: int = LAPSED_MAX) -> int:
        """Give back what has expired, the oldest `limit` of it; return how many reservations that were.

        Checkout and `reserve` do it themselves where they would find too little; this keeps the numbers honest where
        nobody asks.
        """
        return await release_expired(self.db, tenant_id=self.tenant_id, limit=limit)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _lock_cart(self, cart_id: CartId) -> None:
        status = await queries.lock_cart(self.db, tenant_id=self.tenant_id, cart_id=cart_id)
        if status is None:
            raise ReservedCartNotFound(cart_id=cart_id)
        if status != "active":
            raise ReservedCartEnded(cart_id=cart_id, status=status)

    async def _lock(self, variant_ids: Iterable[VariantId]) -> list[LockedLevel]:
        """Lock stock rows in key order, making those that nobody needed before."""
        asked = sorted(variant_ids)
        levels = await queries.lock_levels(self.db, tenant_id=self.tenant_id, variant_ids=asked)
        if len(levels) < len(asked):
            await queries.open_levels(self.db, tenant_id=self.tenant_id, variant_ids=asked)
            levels = await queries.lock_levels(self.db, tenant_id=self.tenant_id, variant_ids=asked)
        found = {level.variant_id for level in levels}
        for variant_id in asked:
            if variant_id not in found:
                raise VariantNotFound(variant=variant_id)
        return levels

    async def _hold(
        self, variant_id: VariantId, quantity: int, cart_id: CartId | None, hold_for: timedelta | None
    ) -> Reservation | None:
        return await queries.hold(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            variant_id=variant_id,
            cart_id=cart_id,
            quantity=quantity,
            hold_for=hold_for,
        )

    async def _reservation(self, reservation_id: ReservationId) -> Reservation:
        found = await queries.reservation(self.db, tenant_id=self.tenant_id, id=reservation_id)
        if found is None:
            raise ReservationNotFound(reservation_id=reservation_id)
        return found

    async def _give_back_expired(self, variant_ids: Sequence[VariantId], but: Sequence[Held] = ()) -> None:
        """Of variants whose stock rows are locked; `but` are ours and count as held whatever their time."""
        kept = {held.id for held in but}
        expired = await queries.expired(
            self.db, tenant_id=self.tenant_id, variant_ids=variant_ids, rows=LAPSED_MAX + len(kept)
        )
        await self._release([held for held in expired if held.id not in kept])

    async def _release(self, held: Sequence[Held]) -> None:
        if held:
            await queries.release(
                self.db, tenant_id=self.tenant_id, ids=[each.id for each in held], sources=_RELEASABLE
            )

    async def _move(self, variant_id: VariantId, kind: MovementKind, by: int, reason: str | None) -> StockMovement:
        (level,) = await self._lock([variant_id])
        actor = self.context.actor
        moved = await queries.move(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            variant_id=variant_id,
            kind=kind,
            by=by,
            units_max=UNITS_MAX,
            reason=reason,
            order_id=None,
            actor_kind=actor.kind,
            actor_id=actor.user_id,
        )
        if moved is None:
            raise StockOutOfRange(sku=level.sku, on_hand=level.on_hand, by=by)
        return moved


async def release_carts(tx: Executor, *, tenant_id: TenantId, cart_ids: Sequence[CartId]) -> int:
    """Give back all that these carts hold; return how many reservations that were.

    Args:
        tx: the caller's transaction, in which the carts are locked.
        tenant_id: their tenant.
        cart_ids: carts that end.
    """
    held = await queries.held_by_carts(tx, tenant_id=tenant_id, cart_ids=cart_ids)
    return await _release_locked(tx, tenant_id, held)


async def release_expired(tx: Executor, *, tenant_id: TenantId, limit: int) -> int:
    """Give back what has expired in one tenant, the oldest `limit`; two who do it at once give each back once."""
    held = await queries.expired(tx, tenant_id=tenant_id, rows=limit)
    return await _release_locked(tx, tenant_id, held)


async def _release_locked(tx: Executor, tenant_id: TenantId, held: Sequence[Held]) -> int:
    if not held:
        return 0
    await queries.lock_levels(tx, tenant_id=tenant_id, variant_ids=sorted({each.variant_id for each in held}))
    return await queries.release(tx, tenant_id=tenant_id, ids=[each.id for each in held], sources=_RELEASABLE)


def _short(levels: Sequence[LockedLevel], wanted: dict[VariantId, int], own: Counter[VariantId]) -> list[LockedLevel]:
    """The rows that cannot cover what is wanted of them, in key order."""
    found = []
    for level in levels:
        promisable = level.promisable(own[level.variant_id])
        if promisable is not None and wanted.get(level.variant_id, 0) > promisable:
            found.append(level)
    return found


def _check_hold(hold_for: timedelta | None) -> None:
    if hold_for is not None and not HOLD_MIN <= hold_for <= HOLD_MAX:
        raise InvalidHold


def _reason(text: str) -> str:
    reason = text.strip()
    if not 1 <= len(reason) <= REASON_LENGTH_MAX or "\x00" in reason:
        raise ReasonRequired
    return reason


def _after(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    (after,) = decode_cursor(cursor, (UUID,))
    return UUID(str(after))


def _level_key(level: StockLevel) -> tuple[object, ...]:
    return (level.variant_id,)
