"""Orders as they stand: one, for staff or for its buyer, lists of them, what was ever done to one."""

from datetime import datetime
from typing import Final
from uuid import UUID

from storeroom.core.clock import utc
from storeroom.core.contact import InvalidPhone, normal_phone
from storeroom.core.ids import OrderId, UserId
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation
from storeroom.guests import GuestAttempts, GuestMethod
from storeroom.orders import queries
from storeroom.orders.checks import checked_number, checked_text
from storeroom.orders.errors import InvalidOrderInput, OrderNotFound
from storeroom.orders.model import (
    HISTORY_MAX,
    OFFSET_MAX,
    SEARCH_LENGTH_MAX,
    SEARCH_PART_MIN,
    SEARCH_RESULTS_MAX,
    TRACKABLE_STAGES,
    TRACKING_LENGTH_MAX,
    CampaignRevenue,
    CustomerOrder,
    CustomerOrderItem,
    CustomerOrderSummary,
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
from storeroom.promotions import Coupons
from storeroom.tenants import settings_of
from storeroom.verification import PhoneCodes, PhoneProofRequired

_LAST: Final = "\U0010ffff"  # behind every text with the same beginning, in the C collation


class OrderReading(Service):
    """What is asked of the orders of one tenant; `Orders` has the rest."""

    # --- One order ----------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, order_id: OrderId) -> Order:
        """One order, as staff see it. Raises OrderNotFound."""
        return await self._read(order_id)

    @operation
    async def by_number(self, *, number: str) -> Order:
        """The order with this number, in capitals or not. Raises OrderNotFound."""
        found = await queries.order_id_of_number(self.db, tenant_id=self.tenant_id, order_number=checked_number(number))
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
            source=checked_text(source, "source"),
            purchase_id=checked_text(purchase_id, "purchase_id"),
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
        found = await queries.order_id_of_number(self.db, tenant_id=self.tenant_id, order_number=checked_number(number))
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
        known, asked = normal_phone(phone, tenant.country_code), checked_number(number)
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
        pattern = _pattern(checked_text(search, "search", SEARCH_LENGTH_MAX)) if search and search.strip() else None
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
        words = checked_text(text, "q", SEARCH_LENGTH_MAX)
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

    # --- What the above share -----------------------------------------------------------------------------------------

    async def _read(self, order_id: OrderId) -> Order:
        order = await queries.order(self.db, tenant_id=self.tenant_id, order_id=order_id)
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

    # Last, since inside the class its name hides the builtin from what follows.
    @operation
    async def list(
        self, *, status: OrderStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[OrderSummary]:
        """Recent orders, newest first; of one status if it is given."""
        return await self._page(status=status, user_id=None, cursor=cursor, limit=limit)


def _before(cursor: str | None) -> UUID | None:
    return decode_cursor(cursor, (UUID,))[0] if cursor else None


def _pattern(words: str) -> str:
    """A LIKE pattern for documents, which are in lower case, that contain the words as they are written."""
    literal = words.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{literal}%"
