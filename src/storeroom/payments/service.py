"""Payments by hand: asked for, claimed with a proof, verified by staff, or rejected, cancelled and expired.

Whatever changes what an order has received locks the order first and then the payment. The log of attempts, the
order's sum and the outbox row are written in the transaction of the change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from os import environ
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom import outbox
from storeroom.analytics import note
from storeroom.audit import audited
from storeroom.core.contact import normal_phone
from storeroom.core.ids import OrderId, PaymentId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import ActorKind, Context, Service, operation, transactional
from storeroom.orders import OrderNotFound, Orders, OrderStatus
from storeroom.payments import queries
from storeroom.payments.errors import (
    AmountOutsideLimits,
    InvalidPayment,
    OrderNotPayable,
    PaymentAttemptsUsedUp,
    PaymentExpired,
    PaymentMethodInactive,
    PaymentMethodIsManual,
    PaymentMethodNotFound,
    PaymentMoveRefused,
    PaymentNotFound,
    ProofNotFound,
    StaffRequired,
    TooManyOpenPayments,
)
from storeroom.payments.model import (
    ATTEMPTS_MAX,
    COMPLETABLE,
    CUSTOMER_REFERENCE_LENGTH_MAX,
    NOTES_LENGTH_MAX,
    OPEN_PAYMENTS_MAX,
    PAYMENT_MOVES,
    PAYMENTS_LISTED_MAX,
    REFERENCES_DRAWN_MAX,
    VERIFIABLE,
    AttemptAction,
    AttemptActor,
    AttemptStatus,
    CustomerPayment,
    OrderFacts,
    Payer,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    PaymentMethodType,
    PaymentStatus,
    Proof,
    ProofFile,
    ReviewItem,
    new_reference,
    window,
)
from storeroom.payments.proofs import ProofStore, content_type
from storeroom.tenants import settings_of

_ACTORS: Final[Mapping[ActorKind, AttemptActor]] = {
    ActorKind.ADMIN: AttemptActor.ADMIN,
    ActorKind.CUSTOMER: AttemptActor.CUSTOMER,
    ActorKind.SYSTEM: AttemptActor.SYSTEM,
    ActorKind.WEBHOOK: AttemptActor.SYSTEM,
}
_NOT_CHASED: Final = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED, OrderStatus.PARTIALLY_REFUNDED})


class Payments(Service):
    """What is done with the payments of a shop.

    Calls in a customer's name see the payments of that customer alone; a guest is known by a `Payer`. Verifying,
    rejecting and recording money need an actor of the kind `admin`.
    """

    def __init__(self, context: Context, *, files: ProofStore | None = None) -> None:
        """Without a store, proofs are kept where STOREROOM_FILES_URL says."""
        super().__init__(context)
        self._files = files

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), files=self._files)

    @property
    def files(self) -> ProofStore:
        """Where proofs are kept."""
        return self._files or ProofStore.from_environment(environ)

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
            TooManyOpenPayments: OPEN_PAYMENTS_MAX wait already.

        A retry starts another payment.
        """
        order = await self._check_owner(
            await self._order_to_pay(order_id, order_number), payer, OrderNotFound(order=str(order_id or order_number))
        )
        if order.status in _NOT_CHASED or order.due.amount <= 0:
            raise OrderNotPayable(order=order.number, status=order.status)
        found = await self._method(method)
        asked = _positive(amount or order.due, order.due.currency)
        if not found.is_active or found.min_amount.currency != asked.currency or not await self._gateway_open(found):
            raise PaymentMethodInactive(method=method)
        if not found.takes(asked):
            raise AmountOutsideLimits(amount=asked, minimum=found.min_amount, maximum=found.max_amount)
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
        raise _no_reference()

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
        given = _text("customer_reference", customer_reference, CUSTOMER_REFERENCE_LENGTH_MAX)
        said = _text("notes", notes, NOTES_LENGTH_MAX)
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
            raise _refusal(locked, PaymentStatus.AWAITING_VERIFICATION)
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
            request_data=_given(
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
        said = _text("notes", notes, NOTES_LENGTH_MAX)
        order, payment = await self._with_order_locked(payment_id)
        arrived = _positive(received or payment.amount, payment.amount.currency, "received")
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
            request_data=_given(received=msgspec.to_builtins(arrived), notes=said, by=self.context.actor.name or None),
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
        why = _text("reason", reason, NOTES_LENGTH_MAX)
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
            request_data=_given(by=self.context.actor.name or None),
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
        given = _text("reference", reference, CUSTOMER_REFERENCE_LENGTH_MAX)
        said = _text("notes", notes, NOTES_LENGTH_MAX)
        order = await queries.order_to_pay(self.db, tenant_id=self.tenant_id, order_id=order_id)
        if order is None:
            raise OrderNotFound(order=str(order_id))
        arrived = _positive(amount, order.due.currency)
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
            )
            if payment is not None:
                break
        else:
            raise _no_reference()
        await self._attempt(
            payment,
            AttemptAction.ADMIN_VERIFY,
            AttemptStatus.VERIFIED,
            request_data=_given(
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
        arrived = _positive(received or payment.amount, payment.amount.currency, "received")
        named = _text("reference", reference, CUSTOMER_REFERENCE_LENGTH_MAX)
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

    # --- Reading ------------------------------------------------------------------------------------------------------

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

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_staff(self) -> None:
        if self.context.actor.kind is not ActorKind.ADMIN:
            raise StaffRequired

    async def _check_owner(
        self, order: OrderFacts | None, payer: Payer | None, refusal: OrderNotFound | PaymentNotFound
    ) -> OrderFacts:
        """Refuse an order that is not there, and in a customer's name one that is not theirs, in the same words."""
        if order is None:
            raise refusal
        actor = self.context.actor
        if payer is None and actor.kind is not ActorKind.CUSTOMER:
            return order
        asking = payer or Payer(user_id=actor.user_id)
        if asking.phone is not None:
            tenant = await settings_of(self.context)
            asking = msgspec.structs.replace(asking, phone=normal_phone(asking.phone, tenant.country_code))
        if not asking.owns(order):
            raise refusal
        return order

    async def _order_to_pay(self, order_id: OrderId | None, order_number: str | None) -> OrderFacts | None:
        if (order_id is None) == (order_number is None):
            raise InvalidPayment(field="order_number", reason="name the order by its id or its number, one of the two")
        if order_id is not None:
            return await queries.order_to_pay(self.db, tenant_id=self.tenant_id, order_id=order_id)
        number = str(order_number).strip().upper()
        return await queries.order_to_pay_by_number(self.db, tenant_id=self.tenant_id, order_number=number)

    async def _gateway_open(self, method: PaymentMethod) -> bool:
        """Whether the provider behind a method is active; most have none, and then nothing is asked."""
        return method.gateway_id is None or bool(
            await queries.gateway_is_active(self.db, tenant_id=self.tenant_id, gateway_id=method.gateway_id)
        )

    async def _method(self, code: str) -> PaymentMethod:
        found = await queries.method_by_code(self.db, tenant_id=self.tenant_id, code=code)
        if found is None:
            raise PaymentMethodNotFound(method=code)
        return found

    async def _require_automatic(self, payment: Payment) -> None:
        method = await queries.method(self.db, tenant_id=self.tenant_id, method_id=payment.payment_method_id)
        if method is None or method.is_manual:
            raise PaymentMethodIsManual(method=method.code if method else "")

    async def _seen(self, payment_id: PaymentId, payer: Payer | None) -> Payment:
        payment = await queries.payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        return await self._shown(payment, payer, PaymentNotFound(payment=payment_id))

    async def _by_reference(self, reference: str, payer: Payer | None) -> Payment:
        named = reference.strip().upper()
        payment = await queries.payment_by_reference(self.db, tenant_id=self.tenant_id, reference=named)
        return await self._shown(payment, payer, PaymentNotFound(payment=named[:40]))

    async def _shown(self, payment: Payment | None, payer: Payer | None, refusal: PaymentNotFound) -> Payment:
        if payment is None:
            raise refusal
        if payer is not None or self.context.actor.kind is ActorKind.CUSTOMER:
            order = await queries.order_facts(self.db, tenant_id=self.tenant_id, order_id=payment.order_id)
            await self._check_owner(order, payer, refusal)
        return payment

    async def _with_order_locked(self, payment_id: PaymentId) -> tuple[OrderFacts, Payment]:
        order = await queries.order_of_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        payment = await queries.payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        if order is None or payment is None:
            raise PaymentNotFound(payment=payment_id)
        return order, payment

    async def _move(
        self, payment_id: PaymentId, to: PaymentStatus, allowed: Sequence[PaymentStatus], event: str | None
    ) -> Payment:
        moved = await queries.move_payment(
            self.db, tenant_id=self.tenant_id, payment_id=payment_id, status=to, sources=allowed
        )
        if moved is None:
            raise await self._refused(payment_id, to)
        if event is not None:
            await self._tell(event, moved)
        return moved

    async def _refused(
        self, payment_id: PaymentId, to: PaymentStatus
    ) -> PaymentNotFound | PaymentExpired | PaymentMoveRefused:
        """Why a move's UPDATE gave no row: read anew, since a rival may have moved it a moment ago."""
        payment = await queries.payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        return PaymentNotFound(payment=payment_id) if payment is None else _refusal(payment, to)

    async def _attempt(
        self,
        payment: Payment,
        action: AttemptAction,
        status: AttemptStatus,
        *,
        failure_reason: str | None = None,
        request_data: dict[str, Any] | None = None,
    ) -> None:
        """Log an attempt on a payment whose row this transaction has locked."""
        actor = self.context.actor
        number = await queries.add_attempt(
            self.db,
            tenant_id=self.tenant_id,
            attempt_id=new_id(),
            payment_id=payment.id,
            status=status,
            action=action,
            performed_by=actor.user_id,
            performed_by_type=AttemptActor.CUSTOMER
            if action is AttemptAction.CUSTOMER_SUBMIT and actor.kind is not ActorKind.ADMIN
            else _ACTORS[actor.kind],
            success=status is not AttemptStatus.FAILED,
            failure_reason=failure_reason,
            request_data=request_data,
            ip_address=self.context.ip,
            user_agent=self.context.user_agent,
        )
        if number > ATTEMPTS_MAX and action is AttemptAction.CUSTOMER_SUBMIT:
            raise PaymentAttemptsUsedUp(reference=payment.reference, maximum=ATTEMPTS_MAX)

    async def _came_late(self, payment: Payment, order: OrderFacts, arrived: Money, reference: str | None) -> Payment:
        """Money for a payment that had ended, as a payment of its own by the same method."""
        for _ in range(REFERENCES_DRAWN_MAX):
            late = await queries.insert_received(
                self.db,
                tenant_id=self.tenant_id,
                payment_id=new_id(),
                reference=new_reference(),
                order_id=order.id,
                user_id=order.user_id,
                payment_method_id=payment.payment_method_id,
                amount=arrived.amount,
                currency=arrived.currency,
                ip_address=self.context.ip,
                customer_reference=reference,
                verified_by=None,
                notes=f"meant for {payment.reference}, which was {payment.status}",
            )
            if late is not None:
                return late
        raise _no_reference()

    async def _credit(self, order: OrderFacts, payment: Payment) -> None:
        """What a completed payment brings about. The order's row is locked."""
        await Orders(self.context).recompute_paid(order_id=order.id)
        await self._tell("payment.completed", payment, order_number=order.number)
        await self._note("payment.completed", payment)

    async def _note(self, event: str, payment: Payment) -> None:
        await note(
            self.db,
            self.context,
            event_name=event,
            user_id=payment.user_id,
            order_id=payment.order_id,
            payment_id=payment.id,
        )

    async def _tell(self, event: str, payment: Payment, **more: object) -> None:
        await tell(self.db, self.tenant_id, event, payment, **more)


async def tell(db: Executor, tenant_id: str, event: str, payment: Payment, **more: object) -> None:
    """Put into the outbox what became of a payment; without the proof and the notes, which stay in the house."""
    await outbox.enqueue(
        db,
        tenant_id=tenant_id,
        event_type=event,
        payload={
            "id": payment.id,
            "reference": payment.reference,
            "order_id": payment.order_id,
            "status": payment.status,
            "currency": payment.amount.currency,
            "amount": payment.amount.amount,
            "received": None if payment.received_amount is None else payment.received_amount.amount,
            **more,
        },
        entity_type="payment",
        entity_id=payment.id,
    )


def _refusal(payment: Payment, to: PaymentStatus) -> PaymentExpired | PaymentMoveRefused:
    # A pending payment takes a proof unless its window has passed; the job that says so may not have come by yet.
    lapsed = payment.status in (PaymentStatus.EXPIRED, PaymentStatus.PENDING)
    if to is PaymentStatus.AWAITING_VERIFICATION and lapsed:
        return PaymentExpired(reference=payment.reference)
    return PaymentMoveRefused(reference=payment.reference, status=payment.status, to=to)


def _positive(amount: Money, currency: str, field: str = "amount") -> Money:
    if amount.currency != currency:
        raise CurrencyMismatch(expected=currency, actual=amount.currency, field=field)
    if amount.amount < 1:
        raise InvalidPayment(field=field, reason="must be more than nothing")
    return amount


def _text(field: str, text: str | None, length_max: int) -> str | None:
    """Without the space around it; None where nothing is left."""
    kept = (text or "").strip()
    if len(kept) > length_max or "\x00" in kept:
        raise InvalidPayment(field=field, reason=f"text of at most {length_max} characters")
    return kept or None


def _given(**facts: object) -> dict[str, Any] | None:
    return {name: fact for name, fact in facts.items() if fact is not None} or None


def _no_reference() -> RuntimeError:
    return RuntimeError(
        f"{REFERENCES_DRAWN_MAX} references in a row were taken: is the randomness of this machine sound?"
    )
