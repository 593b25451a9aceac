"""Giving money back, with all that hangs on it: the payment, the order, its lines, the stock, the buyer's credit."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from typing_extensions import override

from storeroom import outbox
from storeroom.analytics import note
from storeroom.audit import audited
from storeroom.configuration import Configuration, Setting, declare, switch
from storeroom.core.ids import DisputeId, OrderId, PaymentId, RefundId
from storeroom.core.money import Money
from storeroom.credit import CreditReason, StoreCredit
from storeroom.database.service import ActorKind, Service, transactional
from storeroom.hosted import tell_mismatch
from storeroom.orders import Orders
from storeroom.payments import PaymentMethodType, Payments, StaffRequired
from storeroom.refunds import (
    CreditNeedsAccount,
    Dispute,
    Disputes,
    InvalidRefund,
    Refund,
    RefundedPayment,
    RefundExceedsPayment,
    RefundMethod,
    RefundQuote,
    RefundQuoteExceedsPurchase,
    RefundQuotes,
    Refunds,
    RefundStatus,
)
from storeroom.verification import NonceRequired, Nonces

NONCE_REQUIRED: Final = declare(
    Setting(
        key="refunds.nonce_required",
        default=False,
        parse=switch,
        group="refunds",
        says="whether a refund is approved, sent or completed over HTTP with a nonce only",
    )
)
APPROVE: Final = "approve-refund"  # the purposes of these nonces
PROCESS: Final = "process-refund"
COMPLETE: Final = "complete-refund"


class Followed(StrEnum):
    """What became of a provider's word on how much has gone back."""

    RECORDED = "refunded"  # our refunds say the same, now or since before
    UNDECIDED = "undecided"  # a refund of another amount is pending, and may be the same one: nothing is recorded
    MISMATCH = "mismatch"  # less is left of the payment; what is left is recorded, and staff are told


class Refunding(Service):
    """What refunds bring about. Locks: the order, the payment, then the account, stock, and the statistics last."""

    @audited("refunds.complete", "refund", "refund_id")
    @transactional
    async def complete(
        self,
        *,
        refund_id: RefundId,
        method: RefundMethod,
        details: Mapping[str, Any] | None = None,
        nonce_token: str | None = None,
    ) -> Refund:
        """Say that the money went back, and let everything follow, in one transaction.

        The payment's refunded amount and status; the order's sum, status and history; the lines' refunded and returned
        units and the stock; the buyer's credit, where the money goes there; the customer's statistics; one message.

        Args:
            refund_id: of a pending refund.
            method: how. Store credit, or the original method of what was paid with credit, fills the buyer's balance;
                every other way is recorded only, since no provider is asked here.
            details: the number of the check, the account of the transfer; JSON of at most 10 KiB, without secrets.
            nonce_token: what a caller of HTTP sent, empty for nothing: a nonce of the purpose COMPLETE, which is used
                up with it. None: a program of the shop, which is not asked.

        Raises:
            StaffRequired, RefundNotFound: as their names say.
            InvalidRefund: the method is a chargeback, which no member of staff does, or the details are too long.
            RefundMoveRefused: it was completed or failed before.
            RefundExceedsPayment: more than the payment brought; a lost dispute may have taken it in between.
            CreditNeedsAccount: a guest bought, who has no balance.
            NonceRequired: the shop wants a nonce, and none was sent; or as `Nonces.consume`.

        Nothing is changed where it raises. Of two who complete one refund the second is refused.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired
        if method is RefundMethod.CHARGEBACK:
            raise InvalidRefund(field="method", reason="a chargeback comes of a lost dispute")
        await _admit(self, nonce_token, COMPLETE)
        return await self._complete(refund_id, method, details)

    @transactional
    async def charge_back(self, *, refund_id: RefundId, details: Mapping[str, Any]) -> Refund:
        """Complete the refund of a lost dispute; see `complete`. For `DisputeOutcomes`, in its transaction."""
        return await self._complete(refund_id, RefundMethod.CHARGEBACK, details)

    @transactional
    async def hold_balance(self, *, order_id: OrderId) -> None:
        """Lock an order, and its buyer's account where it was paid from store credit.

        For whoever ends the order and gives the credit back: a checkout of the same buyer holds the account before the
        stock, so it is held before the stock here too. Raises OrderNotFound.
        """
        context = self.context.on(self.db)
        await Orders(context).lock(order_id=order_id)
        if await Refunds(context).credit_payments(order_id=order_id):
            order = await Orders(context).get(order_id=order_id)
            if order.user_id is not None:
                await StoreCredit(context).hold(user_id=order.user_id)

    @transactional
    async def give_back_credit(self, *, order_id: OrderId, reason: str = "order cancelled") -> list[Refund]:
        """Return to the buyer's balance what an order was paid with from it; nothing where it was not.

        For whoever ends an order, in that transaction. What was promised of such a payment stays promised.
        """
        refunds = Refunds(self.context.on(self.db))
        promised = [
            await refunds.promise_rest(payment_id=payment_id, reason=reason)
            for payment_id in await refunds.credit_payments(order_id=order_id)
        ]
        return [await self._complete(each.id, RefundMethod.STORE_CREDIT, None) for each in promised if each is not None]

    @transactional
    async def follow_provider(
        self, *, payment_id: PaymentId, back: Money, reason: str, details: Mapping[str, Any]
    ) -> Followed:
        """Record what a provider says has gone back of a payment, which is the sum so far; say how that went.

        The sum is of what went through the provider: refunds by the original method. One of the missing amount that
        staff had asked for is completed, otherwise the rest is a refund of its own.

        Args:
            payment_id: of a payment that holds the provider's money.
            back: the sum, in the payment's currency.
            reason: of a refund of its own.
            details: kept with the refund.

        Raises PaymentNotFound.
        """
        context = self.context.on(self.db)
        payment = await Payments(context).get(payment_id=payment_id)
        await Orders(context).lock(order_id=payment.order_id)  # of two who tell of it, one comes first
        payment, refunds = await Payments(context).get(payment_id=payment_id), Refunds(context)
        known = await refunds.for_payment(payment_id=payment_id)
        missing = back - _through_provider(known, back.currency)
        if missing.amount < 1:
            return Followed.RECORDED
        promised = [each for each in known if each.status is RefundStatus.PENDING]
        refund = next((each for each in promised if each.amount == missing), None)
        if refund is not None and payment.refunded_amount + missing > (
            payment.received_amount or Money(0, back.currency)
        ):
            refund = None  # a lost dispute has taken what was promised
        elif refund is None and promised:
            return Followed.UNDECIDED
        elif refund is None:
            refund = await refunds.promise_rest(payment_id=payment_id, reason=reason, at_most=missing)
        if refund is not None:
            await self.complete(refund_id=refund.id, method=RefundMethod.ORIGINAL_METHOD, details=details)
        if refund is None or refund.amount < missing:
            await self.tell_unfollowed(payment_id=payment_id, back=back)
            return Followed.MISMATCH
        return Followed.RECORDED

    @transactional
    async def tell_unfollowed(self, *, payment_id: PaymentId, back: Money) -> None:
        """Leave it to staff that a provider gave back another sum than our refunds by it. Raises PaymentNotFound."""
        context = self.context.on(self.db)
        payment = await Payments(context).get(payment_id=payment_id)
        known = await Refunds(context).for_payment(payment_id=payment.id)
        ours = _through_provider(known, back.currency)
        await tell_mismatch(self, payment_id, refunded=ours, refunded_at_provider=back)

    # --- Inside -------------------------------------------------------------------------------------------------------

    async def _complete(self, refund_id: RefundId, method: RefundMethod, details: Mapping[str, Any] | None) -> Refund:
        context = self.context.on(self.db)
        refunds = Refunds(context)
        refund, payment = await refunds.settle(refund_id=refund_id, method=method, details=details)
        if await Payments(context).follow_refunds(payment_id=payment.id) is None:
            raise RefundExceedsPayment(
                payment=payment.reference, asked=refund.amount, left=payment.left + payment.promised_amount
            )
        await self._fill_balance(refund, payment, method)
        back = await refunds.return_units(refund_id=refund_id)
        order = await Orders(context).follow_refund(order_id=refund.order_id, reason=refund.reason)
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type="refund.completed",
            payload={
                "id": refund.id,
                "reference": refund.reference,
                "order_id": refund.order_id,
                "order_number": order.order_number,
                "order_status": order.status,
                "payment_id": refund.payment_id,
                "payment_reference": payment.reference,
                "method": method,
                "currency": refund.amount.currency,
                "amount": refund.amount.amount,
                "units_for_sale_again": back,
            },
            entity_type="refund",
            entity_id=refund.id,
        )
        await note(
            self.db,
            context,
            event_name="payment.refunded",
            user_id=payment.user_id,
            order_id=refund.order_id,
            payment_id=refund.payment_id,
        )
        return refund

    async def _fill_balance(self, refund: Refund, payment: RefundedPayment, method: RefundMethod) -> None:
        of_credit = payment.method_type is PaymentMethodType.STORE_CREDIT
        if method is not RefundMethod.STORE_CREDIT and not (of_credit and method is RefundMethod.ORIGINAL_METHOD):
            return
        if payment.user_id is None:
            raise CreditNeedsAccount(order=refund.order_id)
        await StoreCredit(self.context.on(self.db)).fill(
            user_id=payment.user_id,
            amount=refund.amount,
            reason=CreditReason.GIVEN_BACK if of_credit else CreditReason.REFUNDED,
            order_id=refund.order_id,
            payment_id=refund.payment_id,
            refund_id=refund.id,
        )


class RefundDecisions(RefundQuotes):
    """Refund quotes of a shop, with what processing one means for the payment of an order."""

    @audited("refunds.approve_quote", "refund_quote")
    @transactional
    @override
    async def approve(self, *, quote_id: str, nonce_token: str | None = None) -> RefundQuote:
        """Decide that it is sent. It no longer expires.

        Args:
            quote_id: of a pending quote.
            nonce_token: as for `Refunding.complete`, of the purpose APPROVE.

        Raises:
            StaffRequired, RefundQuoteNotFound: as their names say.
            RefundQuoteMoveRefused, RefundQuoteExpired: it was decided before, or too late for it. Nothing was changed.
            RefundQuoteExceedsPurchase, CurrencyMismatch: the purchase became known since, and has less left.
            NonceRequired: the shop wants a nonce, and none was sent; or as `Nonces.consume`.
        """
        await _admit(self, nonce_token, APPROVE)
        return await super().approve(quote_id=quote_id)

    @audited("refunds.process_quote", "refund_quote")
    @transactional
    @override
    async def mark_processed(
        self, *, quote_id: str, processed_by: str, signature: str, nonce_token: str | None = None
    ) -> RefundQuote:
        """Say that it was sent. What holds the purchase's money, payments of ours in the same asset, is refunded too.

        Args:
            quote_id: of a quote that is approved, or pending and in time.
            processed_by: who sent it.
            signature: of the transaction that did.
            nonce_token: as for `Refunding.complete`, of the purpose PROCESS.

        Raises:
            StaffRequired, RefundQuoteNotFound, InvalidRefundQuote: as their names say.
            RefundQuoteMoveRefused, RefundQuoteExpired: it was processed or denied before, or never approved in time.
            RefundSignatureUsed: another quote was sent by this transaction.
            RefundQuoteExceedsPurchase: less is left of the purchase, by other quotes or since some of its payment went
                back another way.
            CurrencyMismatch: as `approve`.
            NonceRequired: the shop wants a nonce, and none was sent; or as `Nonces.consume`.

        Of any number who say so at once, one succeeds. Nothing is changed where it raises.
        """
        await _admit(self, nonce_token, PROCESS)
        processed = await super().mark_processed(quote_id=quote_id, processed_by=processed_by, signature=signature)
        original = await self.original(purchase_id=processed.original_purchase_id)
        if original is not None and original.payment_ids:
            await self._give_back(processed, original.payment_ids)
        return processed

    async def _give_back(self, quote: RefundQuote, payment_ids: Sequence[PaymentId]) -> None:
        """Refund a quote's payments, one after the other, until it is used up."""
        context, left = self.context.on(self.db), quote.amount
        payments = [await Payments(context).get(payment_id=each) for each in payment_ids]
        ours = [payment for payment in payments if payment.amount.currency == left.currency]
        for payment in ours:
            if left.amount < 1:
                break
            refund = await Refunds(context).promise_rest(payment_id=payment.id, reason="refund quote", at_most=left)
            if refund is None:
                continue
            await Refunding(context).complete(
                refund_id=refund.id,
                method=RefundMethod.ORIGINAL_METHOD,
                details={"quote": quote.id, "signature": quote.signature},
            )
            left -= refund.amount
        if ours and left.amount > 0:
            raise RefundQuoteExceedsPurchase(
                purchase=quote.original_purchase_id, asked=quote.amount, left=quote.amount - left
            )


class DisputeOutcomes(Disputes):
    """The disputes of a shop, with what losing one means for the payment and its order."""

    @audited("refunds.lose_dispute", "dispute", "dispute_id")
    @transactional
    @override
    async def lost(self, *, dispute_id: DisputeId) -> Dispute:
        """The bank decided for the buyer and took the money: it went back by a refund of the method `chargeback`.

        The refund is for what is left of the payment, up to the disputed amount: a payment never gives back more than
        it brought. What was only promised does not stand in the way; such a refund is refused when it is completed.

        Raises:
            StaffRequired, DisputeNotFound: as their names say.
            DisputeClosed: it ended before. Nothing was changed.
        """
        dispute = await super().lost(dispute_id=dispute_id)
        context = self.context.on(self.db)
        refund = await Refunds(context).promise_rest(
            payment_id=dispute.payment_id, reason="dispute lost", at_most=dispute.amount, past_promises=True
        )
        if refund is None:
            return dispute
        details = {"provider": dispute.provider, "dispute": dispute.provider_dispute_id}
        await Refunding(context).charge_back(refund_id=refund.id, details=details)
        return await self.charge(dispute_id=dispute.id, refund_id=refund.id)


def _through_provider(refunds: Sequence[Refund], currency: str) -> Money:
    """What went back the way it came, which is all that the provider counts."""
    of_theirs = (RefundStatus.COMPLETED, RefundMethod.ORIGINAL_METHOD)
    done = [each.amount for each in refunds if (each.status, each.refund_method) == of_theirs]
    return sum(done, start=Money(0, currency))


async def _admit(service: Service, nonce_token: str | None, purpose: str) -> None:
    """Use up the nonce that was sent, or refuse where one had to be."""
    if nonce_token is None:
        return
    context = service.context.on(service.db)
    if nonce_token:
        await Nonces(context).consume(nonce_id=nonce_token, purpose=purpose)
    elif await Configuration(context).value(NONCE_REQUIRED):
        raise NonceRequired(purpose=purpose)
