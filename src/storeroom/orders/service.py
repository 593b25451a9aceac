"""What is done with orders once they are placed. Placing them is the checkout's (`storeroom.flows`)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from storeroom.audit import audited
from storeroom.catalog import Batches
from storeroom.core.clock import utc
from storeroom.core.contact import InvalidPhone, normal_phone
from storeroom.core.ids import OrderId, OrderLineId, UserId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Service, operation, transactional
from storeroom.guests import GuestAttempts, GuestMethod
from storeroom.orders import queries
from storeroom.orders.errors import InvalidOrderInput, NotesFull, NotOnHand, OrderMoveRefused, OrderNotFound
from storeroom.orders.model import (
    CARRIER_LENGTH_MAX,
    CASH_ON_DELIVERY_MOVES,
    HISTORY_MAX,
    NOTE_LENGTH_MAX,
    NOTES_LENGTH_MAX,
    OFFSET_MAX,
    ORDER_MOVES,
    REASON_LENGTH_MAX,
    SEARCH_LENGTH_MAX,
    SEARCH_PART_MIN,
    SEARCH_RESULTS_MAX,
    TRACKABLE_STAGES,
    TRACKING_LENGTH_MAX,
    CampaignRevenue,
    CustomerOrder,
    CustomerOrderItem,
    CustomerOrderSummary,
    DeliveryStage,
    HeldOrder,
    Order,
    OrderLine,
    OrdersFound,
    OrderStatus,
    OrderSummary,
    OrderTracking,
    RefundDue,
    StatusChange,
    StatusLabel,
    customer_view,
)
from storeroom.outbox import enqueue
from storeroom.promotions import Coupons
from storeroom.tenants import settings_of
from storeroom.verification import PhoneCodes, PhoneProofRequired

_LAST: Final = "\U0010ffff"  # behind every text with the same beginning, in the C collation
_STAGES: Final = {OrderStatus.SHIPPED: DeliveryStage.DISPATCHED, OrderStatus.DELIVERED: DeliveryStage.DELIVERED}
_CLOSING: Final = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED})  # what is still held goes back to the shelf
UNPAID: Final = "unpaid"
_Batches: TypeAlias = list[dict[str, object]]


class Orders(Service):
    """Orders of one tenant."""

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, order_id: OrderId) -> Order:
        """One order, as staff see it. Raises OrderNotFound."""
        return await self._read(order_id)

    @operation
    async def by_number(self, *, number: str) -> Order:
        """The order with this number, in capitals or not. Raises OrderNotFound."""
        found = await queries.order_id_of_number(self.db, tenant_id=self.tenant_id, order_number=_number(number))
        if found is None:
            raise OrderNotFound(order=number)
        return await self._read(found)

    @operation
    async def by_tracking(self, *, tracking_number: str) -> Order:
        """The newest order whose parcel has this number. Raises OrderNotFound."""
        asked = tracking_number.strip()
        found = None
        if asked.isprintable():
            found = await queries.order_of_parcel(self.db, tenant_id=self.tenant_id, tracking_number=asked)
        if found is None:
            raise OrderNotFound(order=asked[:TRACKING_LENGTH_MAX])
        return await self._read(found)

    @operation
    async def by_purchase(self, *, source: str, purchase_id: str) -> Order:
        """The order that came of a purchase elsewhere. Raises OrderNotFound."""
        found = await queries.order_id_of_purchase(
            self.db,
            tenant_id=self.tenant_id,
            source=_text(source, "source"),
            purchase_id=_text(purchase_id, "purchase_id"),
        )
        if found is None:
            raise OrderNotFound(order=f"{source}/{purchase_id}")
        return await self._read(found)

    @operation
    async def items(self, *, order_id: OrderId) -> list[OrderLine]:
        """The lines of an order, in their order. Raises OrderNotFound."""
        lines = await queries.lines(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if not lines:  # every order has one
            raise OrderNotFound(order=str(order_id))
        return lines

    @operation
    async def for_customer(self, *, user_id: UserId, number: str) -> CustomerOrder:
        """An account's own order, as its buyer sees it. Raises OrderNotFound, for somebody else's order as well."""
        found = await queries.order_id_of_number(self.db, tenant_id=self.tenant_id, order_number=_number(number))
        order = await self._read(found) if found is not None else None
        if order is None or order.user_id != user_id:
            raise OrderNotFound(order=number)
        lines = await queries.lines(self.db, tenant_id=self.tenant_id, order_id=order.id)
        return customer_view(order, lines, await Coupons(self.context).discounts_of(order_id=order.id))

    @operation
    async def lookup(
        self, *, number: str, phone: str, phone_session_id: UUID | None = None, host: str | None = None
    ) -> OrderTracking:
        """Where an order is, for whoever knows its number and the phone it was placed with.

        Carrier and tracking number are given from the dispatch on. Every lookup is kept among the attempts of guests.

        Args:
            number: as it was told to the buyer.
            phone: in the customs of the tenant's country, or with its country code.
            phone_session_id: of a code that was sent to that phone and was right, where the tenant asks for one.
            host: where it is asked.

        Raises:
            InvalidPhone: this is no telephone number, whatever the order.
            PhoneProofRequired: the tenant asks for a code, and none was right lately; whatever the order.
            OrderNotFound: no such order, or another phone: the two look the same.
            TooManyAttempts: this phone or this number was asked for wrongly so often.
        """
        tenant = await settings_of(self.context)
        known, asked = normal_phone(phone, tenant.country_code), _number(number)
        if tenant.lookup_code_required and phone_session_id is None:  # so a client learns of it: no attempt yet
            raise PhoneProofRequired
        attempts = GuestAttempts(self.context.on(self.db))
        async with attempts.watched(GuestMethod.ORDER_LOOKUP, phone=known, order_reference=asked, host=host):
            if tenant.lookup_code_required:  # before the order is looked for, so that nobody learns whether it exists
                await PhoneCodes(self.context).require(session_id=phone_session_id, phone=known)
            tracking = await queries.tracking(self.db, tenant_id=self.tenant_id, order_number=asked, phone=known)
            if tracking is None:
                raise OrderNotFound(order=number)
        if tracking.delivery_stage in TRACKABLE_STAGES:
            return tracking
        return OrderTracking(
            order_number=tracking.order_number,
            status=tracking.status,
            delivery_stage=tracking.delivery_stage,
            created_at=tracking.created_at,
            estimated_delivery=tracking.estimated_delivery,
            shipping_carrier=None,
            tracking_number=None,
        )

    # --- Lists --------------------------------------------------------------------------------------------------------

    @operation
    async def list_for_user(
        self, *, user_id: UserId, cursor: str | None = None, limit: int | None = None
    ) -> Page[OrderSummary]:
        """An account's orders, newest first."""
        return await self._page(status=None, user_id=user_id, cursor=cursor, limit=limit)

    @operation
    async def awaiting_payment(self, *, cursor: str | None = None, limit: int | None = None) -> Page[OrderSummary]:
        """Orders that were not paid yet, oldest first."""
        size = page_size(limit)
        after_at, after_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.orders_awaiting_payment(
            self.db, tenant_id=self.tenant_id, after_at=after_at, after_id=after_id, size=size + 1
        )
        return page_of(rows, size, lambda order: (order.created_at, order.id))

    @operation
    async def list_filtered(
        self,
        *,
        status: OrderStatus | None = None,
        search: str | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> OrdersFound:
        """A page by number, newest first, and the number of all orders that the filters let through.

        Args:
            status: only of this one.
            search: a part of number, mail address, name, phone, purchase id or id; `%` and `_` mean themselves.
            created_before: placed before this instant, exclusive.
            created_after: placed after this instant, exclusive.
            limit: 1 to PAGE_SIZE_MAX.
            offset: 0 to OFFSET_MAX; `list` goes further.
        """
        size = page_size(limit)
        if not 0 <= offset <= OFFSET_MAX:
            raise InvalidOrderInput(field="offset", reason=f"0 to {OFFSET_MAX}; page by cursor to go further")
        pattern = _pattern(_text(search, "search", SEARCH_LENGTH_MAX)) if search and search.strip() else None
        before = utc(created_before, field="created_before") if created_before is not None else None
        after = utc(created_after, field="created_after") if created_after is not None else None
        items = await queries.orders_filtered(
            self.db,
            tenant_id=self.tenant_id,
            status=status,
            pattern=pattern,
            created_before=before,
            created_after=after,
            size=size,
            skip=offset,
        )
        total = await queries.orders_counted(
            self.db,
            tenant_id=self.tenant_id,
            status=status,
            pattern=pattern,
            created_before=before,
            created_after=after,
        )
        return OrdersFound(items=items, total=total)

    @operation
    async def search(self, *, text: str, limit: int = SEARCH_RESULTS_MAX) -> list[OrderSummary]:
        """Orders that the text names: exactly if there are any, else by beginning, then by part; newest first in each.

        Exact is a whole number, mail address or phone. A beginning is one of a number or mail address. A part, of
        SEARCH_PART_MIN characters at least, is looked for in names and purchase ids as well, where the worker has
        filled the search table (orders of the last seconds may be missing).
        """
        size = min(max(limit, 1), SEARCH_RESULTS_MAX)
        words = _text(text, "q", SEARCH_LENGTH_MAX)
        if not words:
            return []
        try:
            phone = normal_phone(words, (await settings_of(self.context)).country_code)
        except InvalidPhone:
            phone = None
        number, email = words.upper(), words.lower()
        found = await queries.orders_exactly(
            self.db, tenant_id=self.tenant_id, order_number=number, email=email, phone=phone, size=size
        )
        if found:
            return found
        found = await queries.orders_beginning(
            self.db,
            tenant_id=self.tenant_id,
            number_from=number,
            number_to=number + _LAST,
            email_from=email,
            email_to=email + _LAST,
            size=size,
        )
        if len(found) < size and len(words) >= SEARCH_PART_MIN:
            known = {order.id for order in found}
            more = await queries.orders_containing(
                self.db, tenant_id=self.tenant_id, pattern=_pattern(words), size=size
            )
            found += [order for order in more if order.id not in known][: size - len(found)]
        return found

    @operation
    async def needing_refund(self, *, cursor: str | None = None, limit: int | None = None) -> Page[RefundDue]:
        """Orders that hold money which is due back: paid beyond their total, or paid and then cancelled."""
        size = page_size(limit)
        rows = await queries.orders_needing_refund(
            self.db, tenant_id=self.tenant_id, before=_before(cursor), size=size + 1
        )
        return page_of(rows, size, lambda order: (order.id,))

    @operation
    async def revenue_by_campaign(self, *, since: datetime, until: datetime) -> list[CampaignRevenue]:
        """What the orders of each campaign came to, cancelled and refunded ones left out: since <= placed < until."""
        return await queries.revenue_by_campaign(
            self.db, tenant_id=self.tenant_id, since=utc(since, field="since"), until=utc(until, field="until")
        )

    @operation
    async def history(self, *, order_id: OrderId, limit: int = HISTORY_MAX) -> list[StatusChange]:
        """The changes of an order's status, newest first, at most HISTORY_MAX. Raises OrderNotFound."""
        rows = await queries.history(
            self.db, tenant_id=self.tenant_id, order_id=order_id, size=min(max(limit, 1), HISTORY_MAX)
        )
        if not rows:  # the first is written with the order
            raise OrderNotFound(order=str(order_id))
        return rows

    @operation
    async def changes(self, *, cursor: str | None = None, limit: int | None = None) -> Page[StatusChange]:
        """Changes of all orders, newest first."""
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.changes_page(
            self.db, tenant_id=self.tenant_id, before_at=before_at, before_id=before_id, size=size + 1
        )
        return page_of(rows, size, lambda change: (change.created_at, change.id))

    @operation
    async def summaries(
        self, *, customer_id: UserId, cursor: str | None = None, limit: int | None = None
    ) -> Page[CustomerOrderSummary]:
        """The rows of `customer_orders_summary` of one customer, newest first."""
        size = page_size(limit)
        rows = await queries.customer_summaries(
            self.db, tenant_id=self.tenant_id, customer_id=customer_id, before=_before(cursor), size=size + 1
        )
        return page_of(rows, size, lambda order: (order.id,))

    @operation
    async def summary_items(self, *, order_id: OrderId) -> list[CustomerOrderItem]:
        """The rows of `customer_order_items` of one order."""
        return await queries.customer_summary_items(self.db, tenant_id=self.tenant_id, order_id=order_id)

    @operation
    async def status_labels(self) -> list[StatusLabel]:
        """What each status is called for people; a plain form of its name where nobody named it."""
        named = {label.status: label for label in await queries.status_labels(self.db, tenant_id=self.tenant_id)}
        return [
            named.get(status) or StatusLabel(status=status, label=status.replace("_", " ").capitalize(), description="")
            for status in OrderStatus
        ]

    # --- Changes ------------------------------------------------------------------------------------------------------

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
            OrderMoveRefused: ORDER_MOVES has no such move from where the order is; nothing was written.
            NotOnHand, BatchesShort: it is to be shipped, and units are missing; nothing was written.
        """
        order = await self._hold(order_id)
        if entry_id is not None and await queries.entry_exists(self.db, tenant_id=self.tenant_id, entry_id=entry_id):
            return await self._read(order_id)
        if to is OrderStatus.SHIPPED:
            return await self._ship(order, reason=_reason(reason), metadata=metadata, entry_id=entry_id)
        return await self._move(order, to, reason=_reason(reason), metadata=metadata, entry_id=entry_id)

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
        return await self._move(order, OrderStatus.CANCELLED, reason=_reason(reason))

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
        carrier = _text(carrier, "carrier", CARRIER_LENGTH_MAX) or None
        tracking_number = _text(tracking_number, "tracking_number", TRACKING_LENGTH_MAX) or None
        return await self._ship(
            await self._hold(order_id),
            carrier=carrier,
            tracking_number=tracking_number,
            estimated_delivery=estimated_delivery,
            reason=_reason(reason),
        )

    @audited("orders.deliver", "order", "order_id")
    @transactional
    async def deliver(self, *, order_id: OrderId, reason: str | None = None) -> Order:
        """The parcel arrived. Raises OrderNotFound, OrderMoveRefused."""
        return await self._move(await self._hold(order_id), OrderStatus.DELIVERED, reason=_reason(reason))

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
            carrier=_text(carrier, "carrier", CARRIER_LENGTH_MAX) or None,
            tracking_number=_text(tracking_number, "tracking_number", TRACKING_LENGTH_MAX) or None,
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
        text = _text(note, "note", NOTE_LENGTH_MAX)
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
        if order.amount_paid < order.total_amount and to in ORDER_MOVES[order.status]:
            await self._move(order, to, reason=_reason(reason))
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

    async def _read(self, order_id: OrderId) -> Order:
        order = await queries.order(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        return order

    async def _hold(self, order_id: OrderId) -> HeldOrder:
        order = await queries.hold_order(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        return order

    async def _page(
        self, *, status: OrderStatus | None, user_id: UserId | None, cursor: str | None, limit: int | None
    ) -> Page[OrderSummary]:
        size = page_size(limit)
        rows = await queries.orders_page(
            self.db, tenant_id=self.tenant_id, status=status, user_id=user_id, before=_before(cursor), size=size + 1
        )
        return page_of(rows, size, lambda order: (order.id,))

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
        if OrderStatus.SHIPPED not in ORDER_MOVES[order.status]:
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

    # Last, since inside the class its name hides the builtin from what follows.
    @operation
    async def list(
        self, *, status: OrderStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[OrderSummary]:
        """Recent orders, newest first; of one status if it is given."""
        return await self._page(status=status, user_id=None, cursor=cursor, limit=limit)


def _refusal(order: HeldOrder, to: OrderStatus) -> OrderMoveRefused:
    return OrderMoveRefused(
        order=order.order_number,
        from_status=order.status.value,
        to_status=to.value,
        allowed=[state.value for state in OrderStatus if state in ORDER_MOVES[order.status]],
    )


def _before(cursor: str | None) -> UUID | None:
    return decode_cursor(cursor, (UUID,))[0] if cursor else None


def _text(text: str | None, field: str, length_max: int = 255) -> str:
    """The text without blanks around it; empty for none."""
    stripped = (text or "").strip()
    if len(stripped) > length_max:
        raise InvalidOrderInput(field=field, reason=f"longer than {length_max} characters")
    if "\x00" in stripped:
        raise InvalidOrderInput(field=field, reason="has a NUL in it")
    return stripped


def _number(text: str) -> str:
    return _text(text, "number").upper()


def _reason(text: str | None) -> str | None:
    return _text(text, "reason", REASON_LENGTH_MAX) or None


def _pattern(words: str) -> str:
    """A LIKE pattern for documents, which are in lower case, that contain the words as they are written."""
    literal = words.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{literal}%"


async def mark_links_sent(tx: Executor, *, tenant_id: str, line_ids: Sequence[OrderLineId]) -> int:
    """Note, in the transaction that queues them, that the links of digital lines are sent; return of how many."""
    return await queries.set_links_sent(tx, tenant_id=tenant_id, line_ids=line_ids)
