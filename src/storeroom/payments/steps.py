"""What every operation of payments rests on: whose a payment is, the log of its attempts, what is told of it."""

from collections.abc import Mapping, Sequence
from os import environ
from typing import Any, Final, Self

import msgspec
from typing_extensions import override

from storeroom import outbox
from storeroom.analytics import note
from storeroom.core.contact import normal_phone
from storeroom.core.ids import OrderId, PaymentId, new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.database.executor import Executor
from storeroom.database.service import ActorKind, Context, Service
from storeroom.orders import OrderNotFound, Orders
from storeroom.payments import queries
from storeroom.payments.errors import (
    InvalidPayment,
    PaymentAttemptsUsedUp,
    PaymentExpired,
    PaymentMethodIsManual,
    PaymentMethodNotFound,
    PaymentMoveRefused,
    PaymentNotFound,
    StaffRequired,
)
from storeroom.payments.model import (
    ATTEMPTS_MAX,
    PAYMENTS_LISTED_MAX,
    REFERENCES_DRAWN_MAX,
    AttemptAction,
    AttemptActor,
    AttemptStatus,
    OrderFacts,
    Payer,
    Payment,
    PaymentMethod,
    PaymentStatus,
    new_reference,
)
from storeroom.payments.proofs import ProofStore
from storeroom.retention import keep_order_cart
from storeroom.tenants import settings_of

_ACTORS: Final[Mapping[ActorKind, AttemptActor]] = {
    ActorKind.ADMIN: AttemptActor.ADMIN,
    ActorKind.CUSTOMER: AttemptActor.CUSTOMER,
    ActorKind.SYSTEM: AttemptActor.SYSTEM,
    ActorKind.WEBHOOK: AttemptActor.SYSTEM,
}


class Steps(Service):
    """Shared steps; `Payments` has the operations."""

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
        return PaymentNotFound(payment=payment_id) if payment is None else refusal_of(payment, to)

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
                meant_for_id=payment.id,
            )
            if late is not None:
                return late
        raise no_reference_left()

    async def _late_already(self, payment: Payment, arrived: Money) -> tuple[Payment | None, bool]:
        """What holds the late money of a payment that had ended, and whether some of staff's records might.

        The order is locked, so none is added meanwhile.
        """
        unclear = False
        for each in await queries.payments_of_order(
            self.db, tenant_id=self.tenant_id, order_id=payment.order_id, size=PAYMENTS_LISTED_MAX
        ):
            if each.expires_at is not None or each.received_amount != arrived or each.created_at < payment.created_at:
                continue  # it was asked for, or is other money
            if each.meant_for_id is not None:
                if each.meant_for_id == payment.id:
                    return each, False
            elif each.verified_by is not None or each.payment_method_id == payment.payment_method_id:
                unclear = True
        return None, unclear

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
    """Put into the outbox what became of a payment; without the proof and the notes, which stay in the house.

    Where it came to nothing, the cart of its order is kept for the buyer.
    """
    if payment.status in (PaymentStatus.FAILED, PaymentStatus.EXPIRED):
        await keep_order_cart(db, tenant_id=tenant_id, order_id=payment.order_id)
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


def refusal_of(payment: Payment, to: PaymentStatus) -> PaymentExpired | PaymentMoveRefused:
    """Why a payment does not move there."""
    # A pending payment takes a proof unless its window has passed; the job that says so may not have come by yet.
    lapsed = payment.status in (PaymentStatus.EXPIRED, PaymentStatus.PENDING)
    if to is PaymentStatus.AWAITING_VERIFICATION and lapsed:
        return PaymentExpired(reference=payment.reference)
    return PaymentMoveRefused(reference=payment.reference, status=payment.status, to=to)


def positive_amount(amount: Money, currency: str, field: str = "amount") -> Money:
    """The amount, if it is one and in this currency."""
    if amount.currency != currency:
        raise CurrencyMismatch(expected=currency, actual=amount.currency, field=field)
    if amount.amount < 1:
        raise InvalidPayment(field=field, reason="must be more than nothing")
    return amount


def tidy_text(field: str, text: str | None, length_max: int) -> str | None:
    """Without the space around it; None where nothing is left."""
    kept = (text or "").strip()
    if len(kept) > length_max or "\x00" in kept:
        raise InvalidPayment(field=field, reason=f"text of at most {length_max} characters")
    return kept or None


def facts_given(**facts: object) -> dict[str, Any] | None:
    """Those that are there; None where none is."""
    return {name: fact for name, fact in facts.items() if fact is not None} or None


def no_reference_left() -> RuntimeError:
    """What no luck explains."""
    return RuntimeError(
        f"{REFERENCES_DRAWN_MAX} references in a row were taken: is the randomness of this machine sound?"
    )
