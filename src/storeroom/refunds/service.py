"""Refunds: asked for, and looked at. What completing one brings about is in `flows.refunding`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from storeroom.audit import audited
from storeroom.core.ids import OrderId, PaymentId, RefundId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.payments import PaymentNotFound, PaymentStatus, StaffRequired
from storeroom.refunds import queries
from storeroom.refunds.errors import (
    InvalidRefund,
    PaymentNotRefundable,
    RefundExceedsLine,
    RefundExceedsPayment,
    RefundLineNotFound,
    RefundMoveRefused,
    RefundNotFound,
)
from storeroom.refunds.model import (
    REASON_DETAILS_LENGTH_MAX,
    REASON_LENGTH_MAX,
    REFERENCES_DRAWN_MAX,
    REFUND_ITEMS_MAX,
    REFUNDS_LISTED_MAX,
    ItemToRefund,
    Refund,
    RefundedPayment,
    RefundItem,
    RefundMethod,
    RefundStatus,
    details_fit,
    new_reference,
)

_REFUNDABLE: Final = frozenset({PaymentStatus.COMPLETED, PaymentStatus.PARTIALLY_REFUNDED})


class Refunds(Service):
    """The refunds of a shop, for its staff and for flows."""

    @audited("refunds.request", "refund")
    @transactional
    async def request(
        self,
        *,
        payment_id: PaymentId,
        amount: Money | None = None,
        reason: str,
        reason_details: str | None = None,
        items: Sequence[ItemToRefund] = (),
    ) -> Refund:
        """Promise that money of a payment goes back; return the pending refund.

        Pending refunds count: a shop does not promise more than it has. Sums, statuses and stock stay as they are until
        it is completed.

        Args:
            payment_id: of a payment that brought money.
            amount: None: all that neither went back nor is promised.
            reason: must not be empty; at most REASON_LENGTH_MAX characters.
            reason_details: at most REASON_DETAILS_LENGTH_MAX characters.
            items: the units that it is for, each line once; none: it is about money alone.

        Raises:
            StaffRequired: the actor is a customer.
            PaymentNotFound, PaymentNotRefundable: no such payment, or nothing came by it.
            InvalidRefund, CurrencyMismatch: as their names say.
            RefundExceedsPayment: more than is left. Of two who ask for the rest at once, one gets it.
            RefundLineNotFound, RefundExceedsLine: not a line of the order, or fewer of its units are left.

        A retry asks for another refund.
        """
        self._require_staff()
        why = _text("reason", reason, REASON_LENGTH_MAX)
        if why is None:
            raise InvalidRefund(field="reason", reason="say why")
        details = _text("reason_details", reason_details, REASON_DETAILS_LENGTH_MAX)
        payment = await self._held(payment_id)
        if payment.status not in _REFUNDABLE:
            raise PaymentNotRefundable(payment=payment.reference, status=payment.status.value)
        asked = payment.left if amount is None else amount
        if asked.currency != payment.left.currency:
            raise CurrencyMismatch(expected=payment.left.currency, actual=asked.currency, field="amount")
        if amount is not None and amount.amount < 1:
            raise InvalidRefund(field="amount", reason="must be more than nothing")
        if asked.amount < 1 or asked > payment.left:
            raise RefundExceedsPayment(payment=payment.reference, asked=asked, left=payment.left)
        await self._check_items(payment.order_id, items)
        refund = await self._insert(payment, asked, why, details)
        if items:
            await queries.insert_items(
                self.db,
                tenant_id=self.tenant_id,
                refund_id=refund.id,
                order_item_ids=[item.order_item_id for item in items],
                quantities=[item.quantity for item in items],
                restocks=[item.restock for item in items],
            )
        return refund

    @audited("refunds.fail", "refund", "refund_id")
    @transactional
    async def fail(self, *, refund_id: RefundId, reason: str) -> Refund:
        """Say that the money will not go back this way; what was promised is free for another refund.

        Raises:
            StaffRequired, RefundNotFound: as their names say.
            InvalidRefund: no reason is given.
            RefundMoveRefused: it was completed or failed before. Nothing was changed.
        """
        self._require_staff()
        why = _text("reason", reason, REASON_DETAILS_LENGTH_MAX)
        if why is None:
            raise InvalidRefund(field="reason", reason="say why")
        failed = await queries.fail_refund(
            self.db,
            tenant_id=self.tenant_id,
            refund_id=refund_id,
            failure_reason=why,
            processed_by=self.context.actor.user_id,
        )
        if failed is None:
            raise await self._refused(refund_id, RefundStatus.FAILED)
        return failed

    # --- For flows ----------------------------------------------------------------------------------------------------

    @transactional
    async def settle(
        self, *, refund_id: RefundId, method: RefundMethod, details: Mapping[str, Any] | None = None
    ) -> tuple[Refund, RefundedPayment]:
        """Lock order and payment, and complete the refund's own row; whoever calls this makes the rest follow.

        Raises:
            RefundNotFound, InvalidRefund: as their names say.
            RefundMoveRefused: it was completed or failed before.
        """
        kept = dict(details or {})
        if not details_fit(kept):
            raise InvalidRefund(field="details", reason="not JSON, or too much of it")
        if await queries.order_of_refund(self.db, tenant_id=self.tenant_id, refund_id=refund_id) is None:
            raise RefundNotFound(refund_id=refund_id)
        payment = await self._held((await self._refund(refund_id)).payment_id)
        settled = await queries.complete_refund(
            self.db,
            tenant_id=self.tenant_id,
            refund_id=refund_id,
            method=method,
            details=kept,
            processed_by=self.context.actor.user_id,
        )
        if settled is None:
            raise await self._refused(refund_id, RefundStatus.COMPLETED)
        return settled, payment

    @transactional
    async def promise_rest(
        self, *, payment_id: PaymentId, reason: str, at_most: Money | None = None, past_promises: bool = False
    ) -> Refund | None:
        """A pending refund of what is left of a payment, or of `at_most`; None where nothing is left.

        With `past_promises` other pending refunds do not count: the money is gone, and they will be refused.
        """
        payment = await self._held(payment_id)
        rest = payment.left + payment.promised_amount if past_promises else payment.left
        if at_most is not None and at_most < rest:
            rest = at_most
        if payment.status not in _REFUNDABLE or rest.amount < 1:
            return None
        return await self._insert(payment, rest, reason, None)

    @transactional
    async def return_units(self, *, refund_id: RefundId) -> int:
        """Count a completed refund's units as refunded; say how many of them are for sale again."""
        items = await queries.items_of_refund(self.db, tenant_id=self.tenant_id, refund_id=refund_id)
        if not items:
            return 0
        actor = self.context.actor
        return await queries.return_units(
            self.db,
            tenant_id=self.tenant_id,
            refund_id=refund_id,
            movement_ids=[new_id() for _ in items],
            actor_kind=actor.kind.value,
            actor_id=actor.user_id,
        )

    @operation
    async def credit_payments(self, *, order_id: OrderId) -> list[PaymentId]:
        """The payments of an order that were made from store credit and have not gone back whole."""
        return await queries.credit_payments(self.db, tenant_id=self.tenant_id, order_id=order_id)

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, refund_id: RefundId) -> Refund:
        """One refund. Raises RefundNotFound."""
        return await self._refund(refund_id)

    @operation
    async def items(self, *, refund_id: RefundId) -> list[RefundItem]:
        """The units that a refund is for. Raises RefundNotFound."""
        await self._refund(refund_id)
        return await queries.items_of_refund(self.db, tenant_id=self.tenant_id, refund_id=refund_id)

    @operation
    async def for_order(self, *, order_id: OrderId) -> list[Refund]:
        """The refunds of an order, oldest first; at most REFUNDS_LISTED_MAX."""
        return await queries.refunds_of_order(
            self.db, tenant_id=self.tenant_id, order_id=order_id, size=REFUNDS_LISTED_MAX
        )

    @operation
    async def for_payment(self, *, payment_id: PaymentId) -> list[Refund]:
        """The refunds of a payment, oldest first; at most REFUNDS_LISTED_MAX."""
        return await queries.refunds_of_payment(
            self.db, tenant_id=self.tenant_id, payment_id=payment_id, size=REFUNDS_LISTED_MAX
        )

    @operation
    async def list(
        self, *, status: RefundStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Refund]:
        """The shop's refunds, newest first."""
        size = page_size(limit)
        before = decode_cursor(cursor, (RefundId,))[0] if cursor else None
        rows = await queries.refunds_page(
            self.db, tenant_id=self.tenant_id, status=status, before=before, size=size + 1
        )
        return page_of(rows, size, lambda refund: (refund.id,))

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_staff(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired

    async def _insert(self, payment: RefundedPayment, amount: Money, reason: str, details: str | None) -> Refund:
        for _ in range(REFERENCES_DRAWN_MAX):
            refund = await queries.insert_refund(
                self.db,
                tenant_id=self.tenant_id,
                refund_id=new_id(),
                reference=new_reference(),
                payment_id=payment.id,
                order_id=payment.order_id,
                amount=amount.amount,
                currency=amount.currency,
                reason=reason,
                reason_details=details,
                requested_by=self.context.actor.user_id,
            )
            if refund is not None:
                return refund
        raise RuntimeError(f"{REFERENCES_DRAWN_MAX} references in a row were taken: is the randomness here sound?")

    async def _refund(self, refund_id: RefundId) -> Refund:
        refund = await queries.refund(self.db, tenant_id=self.tenant_id, refund_id=refund_id)
        if refund is None:
            raise RefundNotFound(refund_id=refund_id)
        return refund

    async def _held(self, payment_id: PaymentId) -> RefundedPayment:
        """The payment, with its order and itself locked in this order."""
        await queries.order_of_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        await queries.lock_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        payment = await queries.payment_to_refund(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        if payment is None:
            raise PaymentNotFound(payment=payment_id)
        return payment

    async def _check_items(self, order_id: OrderId, items: Sequence[ItemToRefund]) -> None:
        if not items:
            return
        if len(items) > REFUND_ITEMS_MAX or len({item.order_item_id for item in items}) != len(items):
            raise InvalidRefund(field="items", reason=f"at most {REFUND_ITEMS_MAX} lines, each of them once")
        lines = await queries.lines_to_refund(self.db, tenant_id=self.tenant_id, order_id=order_id)
        left = {line.id: line.left for line in lines}
        for item in items:
            if item.order_item_id not in left:
                raise RefundLineNotFound(order_item_id=item.order_item_id)
            if item.quantity < 1:
                raise InvalidRefund(field="items", reason="a quantity is at least 1")
            if item.quantity > left[item.order_item_id]:
                raise RefundExceedsLine(
                    order_item_id=item.order_item_id, asked=item.quantity, left=left[item.order_item_id]
                )

    async def _refused(self, refund_id: RefundId, to: RefundStatus) -> RefundMoveRefused:
        """Why an UPDATE gave no row: read anew, since a rival may have moved it a moment ago. Raises RefundNotFound."""
        refund = await self._refund(refund_id)
        return RefundMoveRefused(reference=refund.reference, status=refund.status.value, to=to.value)


def _text(field: str, text: str | None, length_max: int) -> str | None:
    kept = (text or "").strip()
    if len(kept) > length_max or "\x00" in kept:
        raise InvalidRefund(field=field, reason=f"text of at most {length_max} characters")
    return kept or None
