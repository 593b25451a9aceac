"""What is done with orders once they are placed. Placing them is the checkout's (`storeroom.flows`)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from storeroom.audit import audited
from storeroom.catalog import Batches
from storeroom.core.ids import OrderId, OrderLineId, ProductId, UserId, new_id
from storeroom.core.states import sources
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import operation, transactional
from storeroom.orders import queries
from storeroom.orders.checks import checked_reason, checked_text
from storeroom.orders.errors import InvalidOrderInput, NotesFull, NotOnHand, OrderMoveRefused, OrderNotFound
from storeroom.orders.model import (
    BEFORE_SHIPPING,
    CARRIER_LENGTH_MAX,
    CASH_ON_DELIVERY_MOVES,
    NOTE_LENGTH_MAX,
    NOTES_LENGTH_MAX,
    ORDER_MOVES,
    TRACKING_LENGTH_MAX,
    DeliveryStage,
    HeldOrder,
    Order,
    OrderStatus,
)
from storeroom.orders.reading import OrderReading
from storeroom.outbox import enqueue

_STAGES: Final = {OrderStatus.SHIPPED: DeliveryStage.DISPATCHED, OrderStatus.DELIVERED: DeliveryStage.DELIVERED}
_CLOSING: Final = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED})  # what is still held goes back to the shelf
UNPAID: Final = "unpaid"
_Batches: TypeAlias = list[dict[str, object]]


class Orders(OrderReading):
    """Orders of one tenant."""

    @audited("orders.move", "order", "order_id")
    @transactional
    async def move(
        self,
        *,
        order_id: OrderId,
        to: OrderStatus,
        reason: str | None = None,
        metadata: Mapping[str, object] | None = None,
        entry_id: UUID | None = None,
    ) -> Order:
        """Bring an order into another state, with all that belongs to it.

        Cancelling and refunding give back the units that are still held, shipping takes them off the shelf, whichever
        door is taken: `move(to=shipped)` is `ship` without a parcel's number.

        Args:
            order_id: which one.
            to: the new state.
            reason: kept in the history, at most REASON_LENGTH_MAX characters.
            metadata: kept with it.
            entry_id: the id of the history row; a second call with the same one changes nothing.

        Raises:
            OrderNotFound: the tenant has no such order.
            OrderMoveRefused: ORDER_MOVES has no such move from where the order is, or it leads back before the goods
                left; nothing was written.
            NotOnHand, BatchesShort: it is to be shipped, and units are missing; nothing was written.
        """
        order = await self._hold(order_id)
        if entry_id is not None and await queries.entry_exists(self.db, tenant_id=self.tenant_id, entry_id=entry_id):
            return await self._read(order_id)
        if to is OrderStatus.SHIPPED:
            return await self._ship(order, reason=checked_reason(reason), metadata=metadata, entry_id=entry_id)
        return await self._move(order, to, reason=checked_reason(reason), metadata=metadata, entry_id=entry_id)

    @audited("orders.cancel", "order", "order_id")
    @transactional
    async def cancel(self, *, order_id: OrderId, reason: str) -> Order:
        """End an order that was not shipped: the units it holds are free again, its payments stay as they are.

        A step of `shop.cancellation`, which also closes the payments that were still asked for and gives back
        coupons and credit.

        Raises:
            OrderNotFound: the tenant has no such order.
            OrderMoveRefused: shipped, or ended before; a second call gives nothing back.
        """
        order = await self._hold(order_id)
        return await self._move(order, OrderStatus.CANCELLED, reason=checked_reason(reason))

    @audited("orders.ship", "order", "order_id")
    @transactional
    async def ship(
        self,
        *,
        order_id: OrderId,
        carrier: str | None = None,
        tracking_number: str | None = None,
        estimated_delivery: date | None = None,
        reason: str | None = None,
    ) -> Order:
        """Send the whole order on its way: what it held leaves `on_hand` and `reserved`, the customer may follow it.

        Lines of products that are made in batches are taken from the usable batches that expire first, and keep their
        number. Where one batch does not suffice, the line keeps the id of the first and the numbers of all; the history
        row says how many units came of each.

        Raises:
            OrderNotFound: the tenant has no such order.
            OrderMoveRefused: it is not in a state from which things are shipped.
            NotOnHand: units are missing (a backorder whose goods did not come); `lines` says which.
                Nothing was written.
            BatchesShort: the verified, unexpired batches of a product do not suffice. Nothing was written.
        """
        carrier = checked_text(carrier, "carrier", CARRIER_LENGTH_MAX) or None
        tracking_number = checked_text(tracking_number, "tracking_number", TRACKING_LENGTH_MAX) or None
        return await self._ship(
            await self._hold(order_id),
            carrier=carrier,
            tracking_number=tracking_number,
            estimated_delivery=estimated_delivery,
            reason=checked_reason(reason),
        )

    @audited("orders.deliver", "order", "order_id")
    @transactional
    async def deliver(self, *, order_id: OrderId, reason: str | None = None) -> Order:
        """The parcel arrived. Raises OrderNotFound, OrderMoveRefused."""
        return await self._move(await self._hold(order_id), OrderStatus.DELIVERED, reason=checked_reason(reason))

    @audited("orders.set_tracking", "order", "order_id")
    @operation
    async def set_tracking(
        self,
        *,
        order_id: OrderId,
        carrier: str | None = None,
        tracking_number: str | None = None,
        estimated_delivery: date | None = None,
    ) -> Order:
        """Change what is known of the parcel, whatever the status; what is not given stays. Raises OrderNotFound."""
        changed = await queries.set_tracking(
            self.db,
            tenant_id=self.tenant_id,
            order_id=order_id,
            carrier=checked_text(carrier, "carrier", CARRIER_LENGTH_MAX) or None,
            tracking_number=checked_text(tracking_number, "tracking_number", TRACKING_LENGTH_MAX) or None,
            estimated_delivery=estimated_delivery,
        )
        if not changed:
            raise OrderNotFound(order=str(order_id))
        return await self._read(order_id)

    @audited("orders.add_note", "order", "order_id")
    @transactional
    async def add_note(self, *, order_id: OrderId, note: str) -> Order:
        """Add a line to the internal notes, with its time and author; customers never see them.

        Raises:
            InvalidOrderInput: empty, or longer than NOTE_LENGTH_MAX.
            OrderNotFound: the tenant has no such order.
            NotesFull: the notes would pass NOTES_LENGTH_MAX; nothing was written.
        """
        text = checked_text(note, "note", NOTE_LENGTH_MAX)
        if not text:
            raise InvalidOrderInput(field="note", reason="is empty")
        order = await self._hold(order_id)
        author = self.context.actor.name or self.context.actor.kind.value
        line = f"{order.now:%Y-%m-%d %H:%M} {author}: {text}"
        added = await queries.append_note(
            self.db, tenant_id=self.tenant_id, order_id=order_id, note=line, length_max=NOTES_LENGTH_MAX
        )
        if not added:
            raise NotesFull(order=order.order_number, length_max=NOTES_LENGTH_MAX)
        return await self._read(order_id)

    @transactional
    async def lock(self, *, order_id: OrderId) -> HeldOrder:
        """Take the order's row for the caller's transaction. Raises OrderNotFound.

        Who locks an order and rows that hang on it, such as payments, takes the order first.
        """
        return await self._hold(order_id)

    @transactional
    async def recompute_paid(self, *, order_id: OrderId) -> Order:
        """Sum up what arrived and went back; an order that waits for money and has all of it becomes payment_received.

        Called by payments in the transaction in which one of them changed. Money for an order in any other state is
        kept and changes nothing but the sum. Raises OrderNotFound.
        """
        await self._hold(order_id)
        await queries.recompute_paid(self.db, tenant_id=self.tenant_id, order_id=order_id)
        await queries.recount_buyer_refunded(self.db, tenant_id=self.tenant_id, order_id=order_id)
        order = await self._hold(order_id)
        if order.status is OrderStatus.PENDING_PAYMENT and order.amount_paid >= order.total_amount:
            return await self._move(order, OrderStatus.PAYMENT_RECEIVED, reason="paid")
        return await self._read(order_id)

    @transactional
    async def follow_refund(self, *, order_id: OrderId, reason: str | None = None) -> Order:
        """Sum up what arrived and went back, after a refund was completed; the status follows.

        Where everything went back the order is `refunded` and gives back the units it holds; where less is left than it
        comes to, `partially_refunded`. What was paid beyond the total changes no status, nor does money of an order
        that still waits for its payment, or was cancelled: that is final. Raises OrderNotFound.
        """
        await self._hold(order_id)
        await queries.recompute_paid(self.db, tenant_id=self.tenant_id, order_id=order_id)
        order = await self._hold(order_id)
        to = OrderStatus.PARTIALLY_REFUNDED if order.amount_paid.amount > 0 else OrderStatus.REFUNDED
        if order.amount_paid < order.total_amount and to in order.moves:
            await self._move(order, to, reason=checked_reason(reason))
        await queries.recount_buyer_refunded(self.db, tenant_id=self.tenant_id, order_id=order_id)
        return await self._read(order_id)

    @transactional
    async def claim_guest_orders(self, *, user_id: UserId) -> int:
        """Make the orders that a guest placed with an account's verified mail address the account's; say how many."""
        claimed = await queries.claim_guest_orders(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if claimed:
            await queries.recount_customer(self.db, tenant_id=self.tenant_id, customer_id=user_id)
        return claimed

    @transactional
    async def cancel_if_unpaid(self, *, order_id: OrderId) -> bool:
        """Cancel an order whose time to pay is over, unless money is on its way after all; say whether it was done."""
        order = await self._hold(order_id)
        if order.status is not OrderStatus.PENDING_PAYMENT:
            return False
        if await queries.money_on_its_way(self.db, tenant_id=self.tenant_id, order_id=order_id):
            return False
        await self._move(order, OrderStatus.CANCELLED, reason=UNPAID)
        return True

    # --- What the above share -----------------------------------------------------------------------------------------

    async def _hold(self, order_id: OrderId) -> HeldOrder:
        order = await queries.hold_order(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        return order

    async def _move(
        self,
        order: HeldOrder,
        to: OrderStatus,
        *,
        reason: str | None,
        metadata: Mapping[str, object] | None = None,
        entry_id: UUID | None = None,
    ) -> Order:
        """The move of an order whose row is locked: state, history, stock and outbox, in the caller's transaction."""
        actor, now = self.context.actor, order.now
        moves = ORDER_MOVES
        if to in BEFORE_SHIPPING and order.goods_left:
            raise _refusal(order, to)
        if to not in moves[order.status] and to in CASH_ON_DELIVERY_MOVES[order.status]:
            at_the_door = await queries.pays_on_delivery(self.db, tenant_id=self.tenant_id, order_id=order.id)
            moves = CASH_ON_DELIVERY_MOVES if at_the_door else ORDER_MOVES
        moved = await queries.move_order(
            self.db,
            tenant_id=self.tenant_id,
            order_id=order.id,
            from_status=order.status,
            to_status=to,
            sources=sources(moves, to),
            delivery_stage=_STAGES.get(to),
            paid_at=now if to is OrderStatus.PAYMENT_RECEIVED else None,
            shipped_at=now if to is OrderStatus.SHIPPED else None,
            delivered_at=now if to is OrderStatus.DELIVERED else None,
            cancelled_at=now if to is OrderStatus.CANCELLED else None,
            cancellation_reason=reason if to is OrderStatus.CANCELLED else None,
            history_id=entry_id or new_id(),
            reason=reason,
            changed_by=actor.user_id,
            changed_by_type=actor.kind,
            changed_by_name=actor.name or None,
            request_id=self.context.request_id,
            metadata=dict(metadata) if metadata is not None else None,
        )
        if not moved:
            raise _refusal(order, to)
        if order.status is OrderStatus.PENDING_PAYMENT and to not in _CLOSING:
            await links_are_due(self.db, tenant_id=self.tenant_id, order_id=order.id)
        if to in _CLOSING:
            await queries.release_units(self.db, tenant_id=self.tenant_id, order_id=order.id)
            await queries.recount_buyer(self.db, tenant_id=self.tenant_id, order_id=order.id)
        after = await self._read(order.id)
        await self._tell(after, order.status, reason)
        return after

    async def _ship(
        self,
        order: HeldOrder,
        *,
        carrier: str | None = None,
        tracking_number: str | None = None,
        estimated_delivery: date | None = None,
        reason: str | None,
        metadata: Mapping[str, object] | None = None,
        entry_id: UUID | None = None,
    ) -> Order:
        if OrderStatus.SHIPPED not in order.moves:
            raise _refusal(order, OrderStatus.SHIPPED)
        if not isinstance(self.db, Transaction):
            raise TypeError("an order is shipped inside a transaction")
        async with self.db.transaction() as whole:  # a savepoint: who catches the refusal keeps nothing of the attempt
            here = self.bound(whole)
            batches = await here._take_units(order)  # noqa: SLF001  # our own
            if carrier or tracking_number or estimated_delivery:
                await queries.set_tracking(
                    whole,
                    tenant_id=self.tenant_id,
                    order_id=order.id,
                    carrier=carrier,
                    tracking_number=tracking_number,
                    estimated_delivery=estimated_delivery,
                )
            told = {**(metadata or {}), **({"batches": batches} if batches else {})}
            return await here._move(  # noqa: SLF001  # our own
                order, OrderStatus.SHIPPED, reason=reason, metadata=told or None, entry_id=entry_id
            )

    async def _take_units(self, order: HeldOrder) -> _Batches:
        """Take what the order holds from the shelf, and its lines from their batches; say from which."""
        lines = await queries.lines(self.db, tenant_id=self.tenant_id, order_id=order.id)
        short = await queries.ship_units(
            self.db,
            tenant_id=self.tenant_id,
            order_id=order.id,
            movement_ids=[new_id() for _ in lines],
            actor_kind=self.context.actor.kind.value,
            actor_id=self.context.actor.user_id,
        )
        if short:
            raise NotOnHand(order=order.order_number, lines=short)
        batches, told = Batches(self.context.on(self.db)), []
        for line in sorted(lines, key=lambda line: (line.product_id, line.position)):  # batches are locked by product
            units = line.quantity - line.quantity_fulfilled - line.quantity_cancelled
            taken = await batches.allocate(product_id=line.product_id, quantity=units) if units else []
            if taken:
                await queries.set_line_batch(
                    self.db,
                    tenant_id=self.tenant_id,
                    line_id=line.id,
                    batch_id=taken[0].batch_id,
                    batch_number=", ".join(each.batch_number for each in taken),
                )
            told += [{"line": line.position, **msgspec.to_builtins(each)} for each in taken]
        return told

    async def _tell(self, order: Order, before: OrderStatus, reason: str | None) -> None:
        await enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=f"order.{order.status.value}",
            payload={
                "id": order.id,
                "number": order.order_number,
                "status": order.status,
                "previous_status": before,
                "reason": reason,
                "email": order.customer_email,
                "currency": order.currency,
                "total": order.total_amount.amount,
                "paid": order.amount_paid.amount,
                "delivery_stage": order.delivery_stage,
                "carrier": order.shipping_carrier,
                "tracking_number": order.tracking_number,
                "changed_at": order.status_updated_at,
            },
            entity_type="order",
            entity_id=order.id,
        )


def _refusal(order: HeldOrder, to: OrderStatus) -> OrderMoveRefused:
    return OrderMoveRefused(
        order=order.order_number,
        from_status=order.status.value,
        to_status=to.value,
        allowed=[state.value for state in OrderStatus if state in order.moves],
    )


async def mark_links_queued(tx: Executor, *, tenant_id: str, line_ids: Sequence[OrderLineId]) -> None:
    """Note, in the transaction that queues their mail, that links of digital lines are on their way."""
    await queries.set_links_queued(tx, tenant_id=tenant_id, line_ids=line_ids)


async def mark_links_sent(tx: Executor, *, tenant_id: str, line_ids: Sequence[OrderLineId]) -> int:
    """Note that the mail with the links of digital lines was taken; return of how many."""
    return await queries.set_links_sent(tx, tenant_id=tenant_id, line_ids=line_ids)


async def put_links_off(tx: Executor, *, tenant_id: str, until: Mapping[OrderLineId, datetime | None]) -> None:
    """Note when the links of digital lines are looked at again; None: not any more. The caller holds the lines."""
    later = {line_id: at for line_id, at in until.items() if at is not None}
    if later:
        await queries.put_links_off(tx, tenant_id=tenant_id, line_ids=[*later], until=[*later.values()])
    if over := [line_id for line_id, at in until.items() if at is None]:
        await queries.leave_links(tx, tenant_id=tenant_id, line_ids=over)


async def links_are_due(tx: Executor, *, tenant_id: str, order_id: OrderId) -> None:
    """The links of an order may be sent now: it was paid, in the caller's transaction."""
    await queries.make_links_due(tx, tenant_id=tenant_id, order_id=order_id)


async def links_of_product_are_due(
    tx: Executor, *, tenant_id: str, product_id: ProductId, since: timedelta, rows: int
) -> None:
    """The links of a product may be sent now: it got a file. Of its newest lines, `rows` at most."""
    await queries.make_links_of_product_due(tx, tenant_id=tenant_id, product_id=product_id, since=since, rows=rows)
