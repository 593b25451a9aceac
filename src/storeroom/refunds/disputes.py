"""Disputes: what buyers told their banks, and how it ended."""

from datetime import datetime

from storeroom import outbox
from storeroom.audit import audited
from storeroom.core.clock import utc
from storeroom.core.ids import DisputeId, PaymentId, RefundId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.payments import PaymentNotFound, StaffRequired
from storeroom.refunds import queries
from storeroom.refunds.errors import (
    DisputeClosed,
    DisputeNotFound,
    DisputeTaken,
    InvalidDispute,
    PaymentNotRefundable,
)
from storeroom.refunds.model import (
    DISPUTE_REASON_LENGTH_MAX,
    DISPUTES_LISTED_MAX,
    PROVIDER_DISPUTE_LENGTH_MAX,
    PROVIDER_LENGTH_MAX,
    Dispute,
    DisputeStatus,
)


class Disputes(Service):
    """The disputes of a shop, recorded by staff or by what a provider sends."""

    @audited("refunds.open_dispute", "dispute")
    @transactional
    async def open(
        self,
        *,
        payment_id: PaymentId,
        provider: str,
        provider_dispute_id: str,
        amount: Money,
        reason: str,
        opened_at: datetime | None = None,
    ) -> Dispute:
        """Record that a payment is disputed. Told of again, the same dispute comes back as it is now.

        The money stays in the sums until it is lost: a provider may hold it back, and nobody has decided yet.

        Args:
            payment_id: of a payment that brought money.
            provider: who tells of it, as in `stripe`.
            provider_dispute_id: its name there; a shop has it once.
            amount: at most what the payment brought.
            reason: as the provider words it.
            opened_at: None: now.

        Raises:
            StaffRequired: the actor is a customer.
            PaymentNotFound, PaymentNotRefundable: no such payment, or nothing came by it.
            InvalidDispute, CurrencyMismatch: as their names say.
            DisputeTaken: the provider told of it for another payment.
        """
        self._require_staff()
        who = _text("provider", provider, PROVIDER_LENGTH_MAX)
        named = _text("provider_dispute_id", provider_dispute_id, PROVIDER_DISPUTE_LENGTH_MAX)
        why = _text("reason", reason, DISPUTE_REASON_LENGTH_MAX)
        payment = await queries.payment_to_refund(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        if payment is None:
            raise PaymentNotFound(payment=payment_id)
        if payment.received_amount is None:
            raise PaymentNotRefundable(payment=payment.reference, status=payment.status.value)
        if amount.currency != payment.received_amount.currency:
            raise CurrencyMismatch(expected=payment.received_amount.currency, actual=amount.currency, field="amount")
        if not 1 <= amount.amount <= payment.received_amount.amount:
            raise InvalidDispute(field="amount", reason="more than nothing, and at most what the payment brought")
        dispute = await queries.insert_dispute(
            self.db,
            tenant_id=self.tenant_id,
            dispute_id=new_id(),
            provider=who,
            provider_dispute_id=named,
            payment_id=payment_id,
            amount=amount.amount,
            currency=amount.currency,
            reason=why,
            opened_at=self.context.clock.now() if opened_at is None else utc(opened_at, field="opened_at"),
        )
        if dispute is None:
            known = await queries.dispute_of_provider(
                self.db, tenant_id=self.tenant_id, provider=who, provider_dispute_id=named
            )
            if known is None or known.payment_id != payment_id:
                raise DisputeTaken(provider=who, dispute=named)
            return known
        await self._tell("dispute.opened", dispute)
        return dispute

    @audited("refunds.win_dispute", "dispute", "dispute_id")
    @transactional
    async def won(self, *, dispute_id: DisputeId) -> Dispute:
        """The bank decided for the shop: the money stays.

        Raises:
            StaffRequired, DisputeNotFound: as their names say.
            DisputeClosed: it ended before. Nothing was changed.
        """
        return await self._close(dispute_id, DisputeStatus.WON)

    @audited("refunds.lose_dispute", "dispute", "dispute_id")
    @transactional
    async def lost(self, *, dispute_id: DisputeId) -> Dispute:
        """The bank decided for the buyer. Raises as `won`. What that does to the payment is in `flows.refunding`."""
        return await self._close(dispute_id, DisputeStatus.LOST)

    @transactional
    async def charge(self, *, dispute_id: DisputeId, refund_id: RefundId) -> Dispute:
        """Name the refund by which a lost dispute took its money. Raises DisputeNotFound."""
        charged = await queries.charge_dispute(
            self.db, tenant_id=self.tenant_id, dispute_id=dispute_id, refund_id=refund_id
        )
        if charged is None:
            raise DisputeNotFound(dispute_id=dispute_id)
        return charged

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, dispute_id: DisputeId) -> Dispute:
        """One dispute. Raises DisputeNotFound."""
        return await self._dispute(dispute_id)

    @operation
    async def for_payment(self, *, payment_id: PaymentId) -> list[Dispute]:
        """The disputes of a payment, oldest first; at most DISPUTES_LISTED_MAX."""
        return await queries.disputes_of_payment(
            self.db, tenant_id=self.tenant_id, payment_id=payment_id, size=DISPUTES_LISTED_MAX
        )

    @operation
    async def list(
        self, *, status: DisputeStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Dispute]:
        """The shop's disputes, newest first."""
        size = page_size(limit)
        before = decode_cursor(cursor, (DisputeId,))[0] if cursor else None
        rows = await queries.disputes_page(
            self.db, tenant_id=self.tenant_id, status=status, before=before, size=size + 1
        )
        return page_of(rows, size, lambda dispute: (dispute.id,))

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_staff(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired

    async def _dispute(self, dispute_id: DisputeId) -> Dispute:
        dispute = await queries.dispute(self.db, tenant_id=self.tenant_id, dispute_id=dispute_id)
        if dispute is None:
            raise DisputeNotFound(dispute_id=dispute_id)
        return dispute

    async def _close(self, dispute_id: DisputeId, status: DisputeStatus) -> Dispute:
        self._require_staff()
        closed = await queries.close_dispute(self.db, tenant_id=self.tenant_id, dispute_id=dispute_id, status=status)
        if closed is None:
            dispute = await self._dispute(dispute_id)
            raise DisputeClosed(dispute_id=dispute_id, status=dispute.status.value)
        await self._tell("dispute.closed", closed)
        return closed

    async def _tell(self, event: str, dispute: Dispute) -> None:
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=event,
            payload={
                "id": dispute.id,
                "provider": dispute.provider,
                "provider_dispute_id": dispute.provider_dispute_id,
                "payment_id": dispute.payment_id,
                "status": dispute.status,
                "reason": dispute.reason,
                "currency": dispute.amount.currency,
                "amount": dispute.amount.amount,
            },
            entity_type="dispute",
            entity_id=dispute.id,
        )


def _text(field: str, text: str, length_max: int) -> str:
    kept = text.strip()
    if not 1 <= len(kept) <= length_max or "\x00" in kept:
        raise InvalidDispute(field=field, reason=f"1 to {length_max} characters")
    return kept
