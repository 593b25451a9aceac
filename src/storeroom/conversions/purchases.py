"""Purchases: an order's event of the outbox, written in the transaction of the order, becomes one event that waits."""

import time
from datetime import datetime
from typing import Final

import msgspec

from storeroom.conversions import queries
from storeroom.conversions.model import (
    AGE_MAX,
    ITEMS_MAX,
    PAID,
    Bought,
    Event,
    Known,
    Occasion,
    Order,
    Person,
    Policy,
)
from storeroom.conversions.queueing import may_tell, policy_of, queue
from storeroom.conversions.shapes import knows
from storeroom.core.ids import OrderId, TenantId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Context, TenantLookup, TenantSettings
from storeroom.integration import Claimed, Outcome

CREATED: Final = "order.created"
PAYMENT_RECEIVED: Final = "order.payment_received"


class Purchases:
    """Carries orders to those that wait, each order once, whatever is brought twice."""

    destination = "conversions"
    event_types = frozenset({CREATED, PAYMENT_RECEIVED})
    keeps_order = False
    in_flight_max = 8

    def __init__(self, db: Database, tenants: TenantLookup[TenantSettings]) -> None:
        """Of all shops of one database."""
        self._db, self._tenants = db, tenants

    async def wants(self, tenant_id: TenantId) -> bool:
        """Whether the shop tells anybody."""
        return await policy_of(self._context(tenant_id, self._db)) is not None

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Queue the purchase, if it is one that is told. The mark and the event are one transaction."""
        began = time.monotonic()
        policy = await policy_of(self._context(tenant_id, self._db))
        if policy is not None and row.entity_id is not None:
            order_id = OrderId(row.entity_id)

            async def bring(tx: Transaction) -> None:
                await self._queue(self._context(tenant_id, tx), policy, order_id, row)

            await self._db.run(bring)
        return Outcome(duration_ms=int((time.monotonic() - began) * 1000))

    async def _queue(self, context: Context, policy: Policy, order_id: OrderId, row: Claimed) -> None:
        tx, tenant_id = context.db, context.tenant_id
        order = await queries.bought(tx, tenant_id=tenant_id, order_id=order_id)
        if order is None or not knows(order.total_amount.currency):
            return
        at = _moment(order, policy, row.event_type)
        if at is None or context.clock.now() - at >= AGE_MAX:
            return
        known = await queries.known(tx, tenant_id=tenant_id, session_id=order.session_id, user_id=order.user_id)
        if not may_tell(known, policy):
            return
        if not await queries.mark_order(tx, tenant_id=tenant_id, order_id=order_id, webhook_id=row.id):
            return
        items = await queries.items_of(tx, tenant_id=tenant_id, order_id=order_id, size=ITEMS_MAX)
        event = Event(
            occasion=Occasion.PURCHASE,
            id=str(order.id),
            at=at,
            value=order.total_amount,
            items=items,
            person=Person(
                user_id=order.user_id,
                email=order.customer_email,
                phone=order.customer_phone,
                name=order.customer_name,
                address=order.shipping_address,
            ),
            known=_at_order(known, order),
            source_url=policy.source_url,
            order=Order(
                number=order.order_number,
                shipping=order.shipping_amount,
                tax=order.tax_amount,
                coupon=order.discount_code,
            ),
        )
        await queue(context, event, session_id=order.session_id)

    def _context(self, tenant_id: TenantId, db: Database | Transaction) -> Context:
        return Context(db=db, tenant_id=tenant_id, tenants=self._tenants)


def _moment(order: Bought, policy: Policy, event_type: str) -> datetime | None:
    """When it became a purchase, as the shop counts; None: this event does not make it one."""
    if policy.purchase_on == PAID:
        return order.paid_at  # one that was paid at once has but the one event
    return order.created_at if event_type == CREATED else None


def _at_order(known: Known, order: Bought) -> Known:
    """An order that no visitor placed has the address of whoever typed it in."""
    return msgspec.structs.replace(known, ip=order.ip or known.ip) if order.session_id else known
