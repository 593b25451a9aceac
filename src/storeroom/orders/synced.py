"""Orders that were placed elsewhere: they become rows here as their source says, and follow it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from storeroom.core.ids import OrderId, OrderLineId, new_id
from storeroom.database.service import Service, transactional
from storeroom.orders import queries
from storeroom.orders.errors import OrderCodeTaken
from storeroom.orders.model import OrderStatus, SyncedLine, SyncedOrder
from storeroom.outbox import enqueue

NEVER_CHASED: Final = timedelta(days=36_500)  # the source asks for its money; nobody here cancels for want of it
_ONCE: Final = frozenset({"source", "external_id", "number", "lines"})  # stays, or is no column


class SyncedOrders(Service):
    """For `flows`, in the name of another system; no route leads here.

    The source has reserved what it sold and asked for its money, so nothing is reserved here and nothing asked for. Its
    states need not follow ours: each is taken as it is said, with a row of history.
    """

    @transactional
    async def put(self, *, order: SyncedOrder, order_id: OrderId | None) -> OrderId | None:
        """Make an order say what its source says; make it where there is none.

        A line of a variant that was there stays the same row. None, and nothing written, where money went back here for
        units that the source has no more.

        Args:
            order: all of it.
            order_id: the order that it is known to be here; None: none yet.

        Raises:
            OrderCodeTaken: another order has its number.
        """
        facts = {
            **{name: getattr(order, name) for name in order.__struct_fields__ if name not in _ONCE},
            "shipping_address": _plain(order.shipping_address),
            "billing_address": _plain(order.billing_address),
        }
        before = (
            await queries.synced_order(self.db, tenant_id=self.tenant_id, order_id=order_id)
            if order_id is not None
            else None
        )
        lines = order.lines
        if before is None:
            order_id = OrderId(new_id())
            await self._check_free(order)
            await queries.insert_synced(
                self.db,
                tenant_id=self.tenant_id,
                order_id=order_id,
                order_number=order.number,
                source=order.source,
                vendure_order_id=order.external_id,
                payment_due_at=order.placed_at + NEVER_CHASED,
                **facts,
            )
        else:
            order_id = before.id
            known = await queries.synced_lines(self.db, tenant_id=self.tenant_id, order_id=order_id)
            lines = _same_rows(order.lines, known)
            if await queries.refunds_forbid_lines(
                self.db,
                tenant_id=self.tenant_id,
                order_id=order_id,
                line_ids=[line.id for line in lines],
                quantities=[line.quantity for line in lines],
            ):
                return None
            await queries.update_synced(
                self.db,
                tenant_id=self.tenant_id,
                order_id=order_id,
                status_updated_at=before.now if before.status is not order.status else None,
                **facts,
            )
        await self._put_lines(order_id, order, lines)
        await queries.open_search(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if before is None or before.status is not order.status:
            await self._note(order_id, before.status if before else None, order)
        for user_id in sorted({each for each in (order.user_id, before and before.user_id) if each}):
            await queries.recount_customer(self.db, tenant_id=self.tenant_id, customer_id=user_id)
        await self._tell(order_id, before.order_number if before else order.number, order)
        return order_id

    async def _check_free(self, order: SyncedOrder) -> None:
        taken = await queries.order_id_of_number(self.db, tenant_id=self.tenant_id, order_number=order.number)
        if taken is not None:
            raise OrderCodeTaken(number=order.number)

    async def _put_lines(self, order_id: OrderId, order: SyncedOrder, lines: list[SyncedLine]) -> None:
        await queries.delete_synced_lines(
            self.db, tenant_id=self.tenant_id, order_id=order_id, line_ids=[line.id for line in lines]
        )
        await queries.put_synced_lines(
            self.db,
            tenant_id=self.tenant_id,
            order_id=order_id,
            currency=order.currency,
            placed_at=order.placed_at,
            lines=[msgspec.to_builtins(line) for line in lines],
        )

    async def _note(self, order_id: OrderId, before: OrderStatus | None, order: SyncedOrder) -> None:
        actor = self.context.actor
        await queries.add_history(
            self.db,
            tenant_id=self.tenant_id,
            history_id=new_id(),
            order_id=order_id,
            from_status=before,
            to_status=order.status,
            reason=order.source,
            changed_by=actor.user_id,
            changed_by_type=actor.kind,
            changed_by_name=actor.name or None,
            request_id=self.context.request_id,
        )

    async def _tell(self, order_id: OrderId, number: str, order: SyncedOrder) -> None:
        """A word of its own: nobody is to write to the buyer, or to the ERP, as if the order had been placed here."""
        await enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type="order.synced",
            payload={
                "id": order_id,
                "number": number,
                "source": order.source,
                "source_id": order.external_id,
                "status": order.status,
                "currency": order.currency,
                "total": order.total_amount,
                "paid": order.paid_at_source,
            },
            entity_type="order",
            entity_id=order_id,
        )


def _plain(address: Any) -> Any:
    return None if address is None else msgspec.to_builtins(address)


def _same_rows(lines: Sequence[SyncedLine], known: Sequence[SyncedLine]) -> list[SyncedLine]:
    """The lines with the ids of the rows that they are here: of their variant, and of their place where several are."""
    ids: dict[int, OrderLineId] = {}
    left = list(known)
    for same_place in (True, False):
        for line in lines:
            if line.position in ids:
                continue
            for row in left:
                if row.variant_id == line.variant_id and (row.position == line.position or not same_place):
                    ids[line.position] = row.id
                    left.remove(row)
                    break
    return [msgspec.structs.replace(line, id=ids.get(line.position, line.id)) for line in lines]
