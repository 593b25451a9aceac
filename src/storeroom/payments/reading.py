"""Payments as they are looked at, by their customers and by staff."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from storeroom.core.ids import OrderId, PaymentId
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import operation
from storeroom.orders import OrderNotFound
from storeroom.payments import queries
from storeroom.payments.errors import PaymentNotFound, ProofNotFound
from storeroom.payments.model import (
    PAYMENTS_LISTED_MAX,
    CustomerPayment,
    Payer,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Proof,
    ReviewItem,
)
from storeroom.payments.steps import Steps


class Reading(Steps):
    """What is read of payments; `Payments` has the rest."""

    @operation
    async def get(self, *, payment_id: PaymentId, payer: Payer | None = None) -> Payment:
        """One payment. Raises PaymentNotFound, also where it is not the payer's."""
        return await self._seen(payment_id, payer)

    @operation
    async def customer_view(self, *, reference: str, payer: Payer | None = None) -> CustomerPayment:
        """A payment as its customer is told of it. Raises PaymentNotFound, also where it is not the payer's."""
        payment = await self._by_reference(reference, payer)
        view = await queries.customer_payment(self.db, tenant_id=self.tenant_id, payment_id=payment.id)
        if view is None:
            raise PaymentNotFound(payment=reference)
        return view

    @operation
    async def by_reference(self, *, reference: str, payer: Payer | None = None) -> Payment:
        """The payment that people call so. Raises PaymentNotFound, also where it is not the payer's."""
        return await self._by_reference(reference, payer)

    @operation
    async def for_order(self, *, order_id: OrderId, payer: Payer | None = None) -> list[Payment]:
        """The payments of an order, oldest first; at most PAYMENTS_LISTED_MAX. Raises OrderNotFound."""
        order = await queries.order_facts(self.db, tenant_id=self.tenant_id, order_id=order_id)
        await self._check_owner(order, payer, OrderNotFound(order=str(order_id)))
        return await queries.payments_of_order(
            self.db, tenant_id=self.tenant_id, order_id=order_id, size=PAYMENTS_LISTED_MAX
        )

    @operation
    async def list(
        self, *, status: PaymentStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Payment]:
        """The shop's payments, newest first."""
        size = page_size(limit)
        before = decode_cursor(cursor, (PaymentId,))[0] if cursor else None
        rows = await queries.payments_listed(
            self.db, tenant_id=self.tenant_id, status=status, before=before, size=size + 1
        )
        return page_of(rows, size, lambda payment: (payment.id,))

    @operation
    async def pending_review(self, *, cursor: str | None = None, limit: int | None = None) -> Page[ReviewItem]:
        """What waits for staff, oldest first, with what they need to decide."""
        size = page_size(limit)
        after = decode_cursor(cursor, (PaymentId,))[0] if cursor else None
        rows = await queries.payments_to_review(self.db, tenant_id=self.tenant_id, after=after, size=size + 1)
        return page_of(rows, size, lambda item: (item.id,))

    @operation
    async def attempts(self, *, payment_id: PaymentId) -> Sequence[PaymentAttempt]:
        """The log of a payment, from the first attempt on. Raises PaymentNotFound."""
        payment = await self._seen(payment_id, None)
        return await queries.attempts_of(
            self.db, tenant_id=self.tenant_id, payment_id=payment.id, size=PAYMENTS_LISTED_MAX
        )

    @operation
    async def recent_attempts(self, *, cursor: str | None = None, limit: int | None = None) -> Page[PaymentAttempt]:
        """What was tried lately, on whatever payment, the newest first. Raises InvalidCursor, InvalidPageSize."""
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.recent_attempts(
            self.db, tenant_id=self.tenant_id, before_at=before_at, before_id=before_id, size=size + 1
        )
        return page_of(rows, size, lambda attempt: (attempt.created_at, attempt.id))

    @operation
    async def open_proof(self, *, payment_id: PaymentId) -> Proof:
        """Open the file of a payment to read it.

        Raises:
            PaymentNotFound: no such payment.
            ProofNotFound: it has no file, or the store has lost it.
            FilesUnavailable: the store does not answer.
        """
        payment = await self.get(payment_id=payment_id)
        file = await queries.proof_of(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        opened = None if file is None else await self.files.open(file.path)
        if file is None or opened is None:
            raise ProofNotFound(reference=payment.reference)
        return Proof(content_type=file.content_type, size=opened[0], chunks=opened[1])
