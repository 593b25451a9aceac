"""Notices that come from what happens to orders and payments: one for each event, however often it is brought.

It reads what the event is about when it brings it, so a mail says how things stand when it leaves, and queues the
notice under an id made of the event's.
"""

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid5

from storeroom.core.ids import OrderId, PaymentId, TenantId
from storeroom.core.money import Money
from storeroom.database.pool import Database
from storeroom.integration import Claimed, Outcome
from storeroom.messaging import options, queries
from storeroom.messaging.bureau import Bureau, NotSent
from storeroom.messaging.model import LINES_MAX, LOCALE_UNSET, OrderTold, label
from storeroom.notices import KINDS, Channel, Kind, Notice, queue

OF_EVENT: Final[Mapping[str, Kind]] = MappingProxyType(
    {event_type: kind for kind in KINDS.values() for event_type in kind.event_types}
)
_NAMES: Final = UUID("6f0e8a2a-5f0c-4a63-9f1e-4b6f1d0c9a11")  # of ids made from events


class HappeningsCarrier:
    """Hears of orders and payments, and queues what their customers are told."""

    destination = "notices"
    event_types: frozenset[str] = frozenset(OF_EVENT)
    keeps_order = False
    in_flight_max = 8

    def __init__(self, db: Database, bureau: Bureau, *, enabled: bool = True) -> None:
        """Nothing is heard yet.

        Args:
            db: of the room.
            bureau: knows shops and keys.
            enabled: whether customers are written to at all.
        """
        self._db, self._bureau, self._enabled = db, bureau, enabled

    async def wants(self, tenant_id: TenantId) -> bool:
        """Whether anybody of this shop's customers is written to."""
        return self._enabled and bool(tenant_id) and bool(self._bureau.keys)

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Queue the notice of one event; nothing where there is nobody to tell, or the shop does not want it."""
        began = time.monotonic()
        kind = OF_EVENT[row.event_type]
        try:
            await self._ask(tenant_id, kind)
            order, facts = await self._told(tenant_id, kind, row)
        except NotSent as reason:
            if reason.unwanted:
                return Outcome(duration_ms=_since(began), response_body=f"not sent: {reason.told}")
            return Outcome(duration_ms=_since(began), error=reason.told, final=reason.final)
        notice = Notice(
            tenant_id=tenant_id,
            kind=kind.name,
            channel=Channel.MAIL,
            to=order.customer_email,
            facts={"order_number": order.order_number, "name": order.customer_name, **facts},
            language=None if order.locale in {None, LOCALE_UNSET} else order.locale,
        )
        async with self._db.transaction() as tx:
            await queue(
                tx,
                keys=self._bureau.keys,
                notice=notice,
                entity_type="order",
                entity_id=order.id,
                notice_id=uuid5(_NAMES, f"{tenant_id}/{row.delivery_id}/{kind.name}"),
            )
        return Outcome(duration_ms=_since(began))

    async def _ask(self, tenant_id: TenantId, kind: Kind) -> None:
        configuration = await self._bureau.configuration(tenant_id)
        if not await self._bureau.value(configuration, options.SWITCHES[kind.name]):
            raise NotSent("the shop does not want it", unwanted=True)

    async def _told(self, tenant_id: TenantId, kind: Kind, row: Claimed) -> tuple[OrderTold, dict[str, Any]]:
        said = row.payload if isinstance(row.payload, dict) else {}
        match kind.name:
            case "order_placed":
                order = await self._order(tenant_id, said.get("id"))
                if order.cancelled:
                    raise NotSent("it was cancelled meanwhile", unwanted=True)
                return order, await self._placed(tenant_id, order)
            case "order_shipped":
                order = await self._order(tenant_id, said.get("id"))
                return order, {"carrier": said.get("carrier"), "tracking_number": said.get("tracking_number")}
            case "order_cancelled":
                order = await self._order(tenant_id, said.get("id"))
                paid = order.total_amount - order.amount_due
                return order, {
                    "total": _money(order.total_amount),
                    "reason": said.get("reason"),
                    **({"paid": _money(paid)} if paid.amount > 0 else {}),
                }
            case "refund_completed":
                if said.get("method") == "chargeback":
                    raise NotSent("the buyer's bank took it", unwanted=True)
                order = await self._order(tenant_id, said.get("order_id"))
                return order, {
                    "amount": {"amount": said["amount"], "currency": said["currency"]},
                    "reference": said.get("reference"),
                    "store_credit": said.get("method") == "store_credit",
                }
            case _:
                return await self._paid(tenant_id, kind, said)

    async def _paid(self, tenant_id: TenantId, kind: Kind, said: Mapping[str, Any]) -> tuple[OrderTold, dict[str, Any]]:
        payment = await queries.payment_told(self._db, tenant_id=tenant_id, payment_id=PaymentId(_id(said.get("id"))))
        if payment is None or not payment.tells:
            raise NotSent("this way to pay is told of with the order", unwanted=True)
        order = await self._order(tenant_id, payment.order_id)
        if kind.name == "payment_rejected":
            return order, {
                "reference": payment.reference,
                "amount": _money(payment.amount),
                "reason": said.get("reason"),
                "may_try_again": order.is_open,
            }
        return order, {
            "reference": payment.reference,
            "received": _money(payment.received_amount or payment.amount),
            "total": _money(order.total_amount),
            "cancelled": order.cancelled,
            **_due(order),
        }

    async def _order(self, tenant_id: TenantId, order_id: object) -> OrderTold:
        order = await queries.order_told(self._db, tenant_id=tenant_id, order_id=OrderId(_id(order_id)))
        if order is None:
            raise NotSent("there is no such order", unwanted=True)
        if order.closed:
            raise NotSent("its account was closed", unwanted=True)
        if not order.customer_email:
            raise NotSent("nobody is known who could be told", unwanted=True)
        return order

    async def _placed(self, tenant_id: TenantId, order: OrderTold) -> dict[str, Any]:
        lines = await queries.lines_told(self._db, tenant_id=tenant_id, order_id=order.id, size=LINES_MAX)
        facts: dict[str, Any] = {
            "lines": [
                {
                    "name": line.name,
                    "sku": line.sku,
                    "quantity": line.quantity,
                    "unit_price": _money(line.unit_price),
                    "total": _money(line.subtotal_amount),
                }
                for line in lines
            ],
            "more_lines": lines[0].all_lines - len(lines) if lines else 0,
            "subtotal": _money(order.subtotal_amount),
            "total": _money(order.total_amount),
            **{
                name: _money(amount)
                for name, amount in (
                    ("discount", order.discount_amount),
                    ("shipping", order.shipping_amount),
                    ("tax", order.tax_amount),
                )
                if amount.amount
            },
            **_due(order),
        }
        if "due" not in facts:
            return facts
        if order.is_open:
            facts["pay_until"] = order.payment_due_at
        payment = await queries.payment_asked(self._db, tenant_id=tenant_id, order_id=order.id)
        if payment is not None:
            facts |= {
                "payment_method": payment.method,
                "payment_reference": payment.reference,
                "instructions": payment.instructions,
                "payment_details": [
                    {"label": label(key), "value": str(value)}
                    for key, value in payment.payment_details.items()
                    if isinstance(value, str | int) and str(value).strip()
                ],
            }
            if payment.expires_at is None:  # at the door
                facts.pop("pay_until", None)
            elif order.is_open:
                facts["pay_until"] = min(payment.expires_at, order.payment_due_at)
        return facts


def _due(order: OrderTold) -> dict[str, Any]:
    return {"due": _money(order.amount_due)} if order.owes and order.amount_due.amount > 0 else {}


def _money(amount: Money) -> dict[str, Any]:
    return {"amount": amount.amount, "currency": amount.currency}


def _id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise NotSent("it names nothing that could be told of", final=True) from None


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
