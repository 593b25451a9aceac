"""Payments by hand: asked for, claimed with a proof, verified by staff, or rejected, cancelled and expired.

Whatever changes what an order has received locks the order first and then the payment. The log of attempts, the
order's sum and the outbox row are written in the transaction of the change.
"""

from typing import Final

import msgspec

from storeroom.audit import audited
from storeroom.core.ids import OrderId, PaymentId, new_id
from storeroom.core.money import Money
from storeroom.core.states import sources
from storeroom.database.pool import Transaction
from storeroom.database.service import ActorKind, transactional
from storeroom.orders import OrderNotFound, OrderStatus
from storeroom.payments import queries
from storeroom.payments.errors import (
    AmountOutsideLimits,
    InvalidPayment,
    OrderNotPayable,
    PaymentMethodInactive,
    PaymentMethodNotForCoupon,
    PaymentNotFound,
    StaffRequired,
    TooManyOpenPayments,
)
from storeroom.payments.model import (
    COMPLETABLE,
    CUSTOMER_REFERENCE_LENGTH_MAX,
    NOTES_LENGTH_MAX,
    OPEN_PAYMENTS_MAX,
    PAYMENT_MOVES,
    REFERENCES_DRAWN_MAX,
    VERIFIABLE,
    AttemptAction,
    AttemptStatus,
    Payer,
    Payment,
    PaymentMethodType,
    PaymentStatus,
    ProofFile,
    new_reference,
    window,
)
from storeroom.payments.proofs import content_type
from storeroom.payments.reading import Reading
from storeroom.payments.steps import facts_given, no_reference_left, positive_amount, refusal_of, tidy_text
from storeroom.promotions import ways_of

_NOT_CHASED: Final = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED, OrderStatus.PARTIALLY_REFUNDED})


class Payments(Reading):
    """What is done with the payments of a shop.

    Calls in a customer's name see the payments of that customer alone; a guest is known by a `Payer`. Verifying,
    rejecting and recording money need an actor of the kind `admin`.
    """

    # --- The customer's side ------------------------------------------------------------------------------------------

    @transactional
    async def start(
        self,
        *,
        method: str,
        order_id: OrderId | None = None,
        order_number: str | None = None,
        amount: Money | None = None,
        payer: Payer | None = None,
    ) -> Payment:
        """Ask for money for an order; return the `pending` payment, which waits as long as its method says.

        Args:
            method: the code of an active method.
            order_id: an order for which something is due; or
            order_number: its number, as people have it.
            amount: None: all that is due. Several payments may share an order.
            payer: who asks, where it is not the account of the actor and not staff.

        Raises:
            OrderNotFound: no such order, or not the payer's.
            OrderNotPayable: nothing is due, or it was cancelled or refunded.
            PaymentMethodNotFound, PaymentMethodInactive: the method does not exist, or is not offered for this order.
            InvalidPayment, CurrencyMismatch: the amount is not positive, or not in the order's currency.
            AmountOutsideLimits: the method takes no payment of this amount.
            PaymentMethodNotForCoupon: a coupon has lowered the price for those who pay another way.
            TooManyOpenPayments: OPEN_PAYMENTS_MAX wait already.

        A retry starts another payment.
        """
        order = await self._check_owner(
            await self._order_to_pay(order_id, order_number), payer, OrderNotFound(order=str(order_id or order_number))
        )
        if order.status in _NOT_CHASED or order.due.amount <= 0:
            raise OrderNotPayable(order=order.number, status=order.status)
        found = await self._method(method)
        asked = positive_amount(amount or order.due, order.due.currency)
        if not found.is_active or found.min_amount.currency != asked.currency or not await self._gateway_open(found):
            raise PaymentMethodInactive(method=method)
        if not found.takes(asked):
            raise AmountOutsideLimits(amount=asked, minimum=found.min_amount, maximum=found.max_amount)
        kinds = ways_of(method_type=found.method_type, is_manual=found.is_manual)
        ways = await queries.ways_asked_for(self.db, tenant_id=self.tenant_id, order_id=order.id)
        if not kinds.issuperset(ways):
            raise PaymentMethodNotForCoupon(method=method, ways=ways)
        if await queries.open_payments(self.db, tenant_id=self.tenant_id, order_id=order.id) >= OPEN_PAYMENTS_MAX:
            raise TooManyOpenPayments(maximum=OPEN_PAYMENTS_MAX)
        for _ in range(REFERENCES_DRAWN_MAX):
            payment = await queries.insert_payment(
                self.db,
                tenant_id=self.tenant_id,
                payment_id=new_id(),
                reference=new_reference(),
                order_id=order.id,
                user_id=order.user_id,
                payment_method_id=found.id,
                amount=asked.amount,
                currency=asked.currency,
                ip_address=self.context.ip,
                open_for=window(found),
            )
            if payment is not None:
                await self._note("payment.initiated", payment)
                return payment
        raise no_reference_left()

    async def submit_proof(
        self,
        *,
        reference: str,
        customer_reference: str | None = None,
        file: bytes | None = None,
        notes: str | None = None,
        payer: Payer | None = None,
    ) -> Payment:
        """Say that a payment was made; it then awaits verification.

        A file goes to the store between two transactions, the first of which logs that it is on its way. If the second
        refuses, a file without a row is left behind, which harms nobody.

        Args:
            reference: of the payment.
            customer_reference: the customer's transaction id; this or a file must be given.
            file: JPEG, PNG, WebP, HEIC or PDF, PROOF_BYTES_MAX at most.
            notes: for staff.
            payer: who asks, where it is not the account of the actor and not staff.

        Raises:
            PaymentNotFound: no such payment, or not the payer's.
            PaymentExpired: its window has passed.
            PaymentMoveRefused: it awaits verification already, or has ended.
            InvalidPayment, ProofNotAccepted: what was given cannot be a proof.
            PaymentAttemptsUsedUp: ATTEMPTS_MAX were made.
            FilesUnavailable: the file could not be stored.

        A retry after success is refused with PaymentMoveRefused.
        """
        given = tidy_text("customer_reference", customer_reference, CUSTOMER_REFERENCE_LENGTH_MAX)
        said = tidy_text("notes", notes, NOTES_LENGTH_MAX)
        if file is None:
            if given is None:
                raise InvalidPayment(field="customer_reference", reason="give your transaction id, or a file")
            return await self._submit(reference, payer, given, said, None)
        if isinstance(self.db, Transaction):
            raise TypeError("a file is stored outside of any transaction: call this on the shop itself")
        kind = content_type(file)
        # The idempotency claim of the call is settled by the second transaction, which is the one that counts.
        first = type(self)(msgspec.structs.replace(self.context, claim=None), files=self._files)
        payment_id = await first._begin_upload(reference, payer, kind, len(file))  # noqa: SLF001  # our own
        stored = await self.files.put(file, tenant_id=self.tenant_id, payment_id=payment_id)
        return await self._submit(reference, payer, given, said, stored)

    @transactional
    async def _begin_upload(self, reference: str, payer: Payer | None, kind: str, size: int) -> PaymentId:
        payment = await self._by_reference(reference, payer)
        locked = await queries.payment_to_submit(self.db, tenant_id=self.tenant_id, payment_id=payment.id)
        if locked is None:
            raise PaymentNotFound(payment=reference)
        if locked.status not in sources(PAYMENT_MOVES, PaymentStatus.AWAITING_VERIFICATION):
            raise refusal_of(locked, PaymentStatus.AWAITING_VERIFICATION)
        await self._attempt(
            locked,
            AttemptAction.CUSTOMER_SUBMIT,
            AttemptStatus.INITIATED,
            request_data={"content_type": kind, "size": size},
        )
        return locked.id

    @transactional
    async def _submit(
        self,
        reference: str,
        payer: Payer | None,
        customer_reference: str | None,
        notes: str | None,
        stored: ProofFile | None,
    ) -> Payment:
        payment = await self._by_reference(reference, payer)
        submitted = await queries.submit_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_id=payment.id,
            sources=sources(PAYMENT_MOVES, PaymentStatus.AWAITING_VERIFICATION),
            customer_reference=customer_reference,
            proof_file_path=stored.path if stored else None,
            proof_content_type=stored.content_type if stored else None,
            notes=notes,
        )
        if submitted is None:
            raise await self._refused(payment.id, PaymentStatus.AWAITING_VERIFICATION)
        await self._attempt(
            submitted,
            AttemptAction.CUSTOMER_SUBMIT,
            AttemptStatus.SUBMITTED,
            request_data=facts_given(
                customer_reference=customer_reference, notes=notes, file=stored and msgspec.to_builtins(stored)
            ),
        )
        await self._tell("payment.proof_uploaded", submitted)
        await self._note("payment.proof_uploaded", submitted)
        return submitted

    @audited("payments.cancel", "payment", "payment_id")
    @transactional
    async def cancel(self, *, payment_id: PaymentId, payer: Payer | None = None) -> Payment:
        """Withdraw a payment that was not made. A customer can do so until a proof was sent, staff also afterwards.

        Raises:
            PaymentNotFound: no such payment, or not the payer's.
            PaymentMoveRefused: it has ended, or a provider is at it.
        """
        payment = await self._seen(payment_id, payer)
        by_customer = payer is not None or self.context.actor.kind is ActorKind.CUSTOMER
        return await self._move(
            payment.id,
            PaymentStatus.CANCELLED,
            [PaymentStatus.PENDING] if by_customer else sources(PAYMENT_MOVES, PaymentStatus.CANCELLED),
            "payment.cancelled",
        )

    # --- The staff's side ---------------------------------------------------------------------------------------------

    @audited("payments.verify", "payment", "payment_id")
    @transactional
    async def verify(
        self, *, payment_id: PaymentId, received: Money | None = None, notes: str | None = None
    ) -> Payment:
        """Say that the money arrived: complete the payment and credit its order, which may then be fully paid.

        Args:
            payment_id: of a payment that is pending or awaits verification; a proof is not needed.
            received: what arrived, be it more or less than was asked; None: as asked.
            notes: for the record.

        Raises:
            StaffRequired: the actor is no administrator.
            PaymentNotFound: no such payment.
            InvalidPayment, CurrencyMismatch: what arrived is not positive, or in another currency than was asked.
            PaymentMoveRefused: it was verified, rejected, cancelled or expired before. Nothing was changed.

        All of it happens or nothing: status, attempt, the order's sum and status, outbox row. Of two who verify at once
        the second is refused.
        """
        self._require_staff()
        said = tidy_text("notes", notes, NOTES_LENGTH_MAX)
        order, payment = await self._with_order_locked(payment_id)
        arrived = positive_amount(received or payment.amount, payment.amount.currency, "received")
        verified = await queries.verify_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_id=payment_id,
            sources=VERIFIABLE,
            received_amount=arrived.amount,
            verified_by=self.context.actor.user_id,
            notes=said,
        )
        if verified is None:
            raise await self._refused(payment_id, PaymentStatus.COMPLETED)
        await self._attempt(
            verified,
            AttemptAction.ADMIN_VERIFY,
            AttemptStatus.VERIFIED,
            request_data=facts_given(
                received=msgspec.to_builtins(arrived), notes=said, by=self.context.actor.name or None
            ),
        )
        await self._credit(order, verified)
        return verified

    @audited("payments.reject", "payment", "payment_id")
    @transactional
    async def reject(self, *, payment_id: PaymentId, reason: str) -> Payment:
        """Say that the money did not arrive, or that the proof proves nothing; the customer may submit again.

        Args:
            payment_id: of a payment that did not end yet.
            reason: told to the customer; must not be empty.

        Raises:
            StaffRequired: the actor is no administrator.
            PaymentNotFound: no such payment.
            InvalidPayment: no reason is given.
            PaymentMoveRefused: it has ended. Nothing was changed.

        The order stays as it is.
        """
        self._require_staff()
        why = tidy_text("reason", reason, NOTES_LENGTH_MAX)
        if why is None:
            raise InvalidPayment(field="reason", reason="say why")
        rejected = await queries.fail_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_id=payment_id,
            sources=sources(PAYMENT_MOVES, PaymentStatus.FAILED),
        )
        if rejected is None:
            raise await self._refused(payment_id, PaymentStatus.FAILED)
        await self._attempt(
            rejected,
            AttemptAction.ADMIN_REJECT,
            AttemptStatus.FAILED,
            failure_reason=why,
            request_data=facts_given(by=self.context.actor.name or None),
        )
        await self._tell("payment.failed", rejected, reason=why)
        return rejected

    @audited("payments.record_received", "payment")
    @transactional
    async def record_received(
        self,
        *,
        order_id: OrderId,
        method: str,
        amount: Money,
        reference: str | None = None,
        notes: str | None = None,
    ) -> Payment:
        """Record money that came unasked or late, of any amount, whatever became of the order; it is completed at once.

        Money for a cancelled order makes it overpaid: it stays cancelled, and the amount is due back.

        Args:
            order_id: the order it was meant for.
            method: the code of a method, active or not; its limits do not count for what has come.
            amount: what arrived.
            reference: the customer's transaction id.
            notes: for the record.

        Raises:
            StaffRequired: the actor is no administrator.
            OrderNotFound, PaymentMethodNotFound: as their names say.
            PaymentMethodInactive: store credit does not come in; it is spent.
            InvalidPayment, CurrencyMismatch: the amount is not positive, or not in the order's currency.

        A retry records the money again.
        """
        self._require_staff()
        given = tidy_text("reference", reference, CUSTOMER_REFERENCE_LENGTH_MAX)
        said = tidy_text("notes", notes, NOTES_LENGTH_MAX)
        order = await queries.order_to_pay(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        arrived = positive_amount(amount, order.due.currency)
        found = await self._method(method)
        if found.method_type is PaymentMethodType.STORE_CREDIT:  # no money came: it is spent at checkout
            raise PaymentMethodInactive(method=method)
        for _ in range(REFERENCES_DRAWN_MAX):
            payment = await queries.insert_received(
                self.db,
                tenant_id=self.tenant_id,
                payment_id=new_id(),
                reference=new_reference(),
                order_id=order.id,
                user_id=order.user_id,
                payment_method_id=found.id,
                amount=arrived.amount,
                currency=arrived.currency,
                ip_address=self.context.ip,
                customer_reference=given,
                verified_by=self.context.actor.user_id,
                notes=said,
                meant_for_id=None,
            )
            if payment is not None:
                break
        else:
            raise no_reference_left()
        await self._attempt(
            payment,
            AttemptAction.ADMIN_VERIFY,
            AttemptStatus.VERIFIED,
            request_data=facts_given(
                received=msgspec.to_builtins(arrived),
                customer_reference=given,
                notes=said,
                by=self.context.actor.name or None,
            ),
        )
        await self._credit(order, payment)
        return payment

    # --- For programs: providers, and flows that end an order ---------------------------------------------------------

    @audited("payments.process", "payment", "payment_id")
    @transactional
    async def process(self, *, payment_id: PaymentId) -> Payment:
        """A provider has begun with a payment by an automatic method: `pending` becomes `processing`.

        Raises:
            PaymentNotFound, PaymentMethodIsManual, PaymentMoveRefused: as their names say.
        """
        await self._require_automatic(await self._seen(payment_id, None))
        return await self._move(
            payment_id, PaymentStatus.PROCESSING, sources(PAYMENT_MOVES, PaymentStatus.PROCESSING), None
        )

    @audited("payments.complete", "payment", "payment_id")
    @transactional
    async def complete(self, *, payment_id: PaymentId) -> Payment:
        """Complete a payment by an automatic method on its provider's word, and credit its order; see `verify`.

        Raises:
            StaffRequired: a customer's word is not enough.
            PaymentNotFound: no such payment.
            PaymentMethodIsManual: staff have to verify it.
            PaymentMoveRefused: it has ended. Nothing was changed.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired
        order, payment = await self._with_order_locked(payment_id)
        await self._require_automatic(payment)
        completed = await queries.complete_payment(
            self.db, tenant_id=self.tenant_id, payment_id=payment_id, sources=COMPLETABLE
        )
        if completed is None:
            raise await self._refused(payment_id, PaymentStatus.COMPLETED)
        await self._credit(order, completed)
        return completed

    @audited("payments.settle", "payment", "payment_id")
    @transactional
    async def settle(
        self, *, payment_id: PaymentId, received: Money | None = None, reference: str | None = None
    ) -> Payment:
        """Take a provider's word that the money of a payment arrived; return the payment that holds it.

        A payment that waits is completed and its order credited. One that had ended without money stays as it is: what
        came is recorded as a payment of its own, completed at once, and is due back where the order was cancelled. One
        that has its money already, because staff saw it first, is returned as it is. Whoever calls says each arrival
        once, under a lock of their own.

        Args:
            payment_id: of a payment that a provider was asked for.
            received: what arrived, be it more or less than was asked; None: as asked.
            reference: the provider's name of it.

        Raises:
            StaffRequired: a customer's word is not enough.
            PaymentNotFound: no such payment.
            InvalidPayment, CurrencyMismatch: nothing arrived, or another currency than was asked.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired
        order, payment = await self._with_order_locked(payment_id)
        arrived = positive_amount(received or payment.amount, payment.amount.currency, "received")
        named = tidy_text("reference", reference, CUSTOMER_REFERENCE_LENGTH_MAX)
        settled = await queries.settle_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_id=payment_id,
            sources=sources(PAYMENT_MOVES, PaymentStatus.COMPLETED),
            received_amount=arrived.amount,
            customer_reference=named,
        )
        if settled is None:
            payment = await self._seen(payment_id, None)
            if payment.received_amount is not None:
                return payment
            settled = await self._came_late(payment, order, arrived, named)
        await self._credit(order, settled)
        return settled

    @audited("payments.confirm", "payment", "payment_id")
    @transactional
    async def confirm(self, *, payment_id: PaymentId, received: Money) -> Payment | None:
        """Take the word of the books that the money of a payment arrived, as it was asked for; see `settle`.

        Of another amount or currency nothing is honoured: it stands among the attempts, for staff, and None comes back;
        so too where the payment had ended, and staff have recorded such money for its order since.
        Whoever calls says each arrival once, under a lock of their own.

        Raises:
            StaffRequired: a customer's word is not enough.
            PaymentNotFound: no such payment.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired
        order, payment = await self._with_order_locked(payment_id)
        said = msgspec.to_builtins(received)
        by = self.context.actor.name or None
        if received != payment.amount:
            await self._attempt(
                payment,
                AttemptAction.ADMIN_VERIFY,
                AttemptStatus.FAILED,
                failure_reason="another amount was confirmed than was asked",
                request_data=facts_given(received=said, by=by),
            )
            return None
        if payment.received_amount is not None:
            return payment
        settled = await queries.verify_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_id=payment_id,
            sources=sources(PAYMENT_MOVES, PaymentStatus.COMPLETED),
            received_amount=received.amount,
            verified_by=self.context.actor.user_id,
            notes=by,
        )
        if settled is None:
            known, unclear = await self._late_already(payment, received)
            if known is not None:
                return known
            if unclear:
                await self._attempt(
                    payment,
                    AttemptAction.ADMIN_VERIFY,
                    AttemptStatus.FAILED,
                    failure_reason="money of this amount was recorded for the order already; it may be the same",
                    request_data=facts_given(received=said, by=by),
                )
                return None
            settled = await self._came_late(payment, order, received, None)
        await self._attempt(
            settled, AttemptAction.ADMIN_VERIFY, AttemptStatus.VERIFIED, request_data=facts_given(received=said, by=by)
        )
        await self._credit(order, settled)
        return settled

    @audited("payments.fall_through", "payment", "payment_id")
    @transactional
    async def fall_through(self, *, payment_id: PaymentId, to: PaymentStatus, reason: str) -> Payment:
        """Take a provider's word that no money comes: `failed`, `cancelled` or `expired`; return the payment.

        One that the provider had begun with has failed, whatever the word. One that has ended already, or that the
        customer claims to have paid otherwise, stays as it is.

        Raises:
            StaffRequired: the customer has `cancel` for this.
            PaymentNotFound: no such payment.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired
        ended = None
        if to is not PaymentStatus.FAILED:
            ended = await queries.move_payment(
                self.db, tenant_id=self.tenant_id, payment_id=payment_id, status=to, sources=[PaymentStatus.PENDING]
            )
        if ended is None:
            begun = [PaymentStatus.PROCESSING, *([PaymentStatus.PENDING] if to is PaymentStatus.FAILED else [])]
            ended = await queries.fail_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id, sources=begun)
        if ended is None:
            return await self._seen(payment_id, None)
        if ended.status is PaymentStatus.EXPIRED:
            await self._attempt(ended, AttemptAction.AUTO_EXPIRE, AttemptStatus.FAILED, failure_reason=reason)
        await self._tell(f"payment.{ended.status}", ended, reason=reason)
        return ended

    @transactional
    async def cancel_open(self, *, order_id: OrderId) -> list[Payment]:
        """Cancel what an order that ends still asks for; return those payments.

        A payment that awaits verification stays: its money may have come, and then it is due back.
        """
        cancelled = await queries.cancel_unclaimed(self.db, tenant_id=self.tenant_id, order_id=order_id)
        for payment in cancelled:
            await self._tell("payment.cancelled", payment)
        return cancelled

    @transactional
    async def follow_refunds(self, *, payment_id: PaymentId) -> Payment | None:
        """Sum up what went back of a payment, and let its status say so; the caller has locked order and payment.

        None where more would have gone back than came: nothing was changed, and the caller undoes its refund.
        """
        return await queries.follow_refunds(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
