"""Checkout sessions of Stripe: saved when they open, completed once, whatever is said of them and in which order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from storeroom import outbox
from storeroom.audit import audited, record
from storeroom.core.ids import PaymentId
from storeroom.core.money import Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.core.stripping import stripped, stripped_text
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.gateways import GatewayNotFound
from storeroom.hosted import queries
from storeroom.hosted.errors import (
    HostedSessionExpired,
    HostedSessionNotFound,
    HostedSessionTaken,
    InvalidHostedPayment,
)
from storeroom.hosted.model import (
    METADATA_BYTES_MAX,
    RESOURCE_LENGTH_MAX,
    SESSION_ID_LENGTH_MAX,
    STRIPE_SESSION_MOVES,
    TEXT_LENGTH_MAX,
    URL_LENGTH_MAX,
    StripeSession,
    StripeSessionStatus,
    map_stripe_session,
)
from storeroom.payments import Payment, PaymentNotFound, Payments, PaymentStatus

S = StripeSessionStatus
_COMPLETABLE: Final = sources(STRIPE_SESSION_MOVES, S.COMPLETED)
_EXPIRABLE: Final = sources(STRIPE_SESSION_MOVES, S.EXPIRED)


class HostedSessions(Service):
    """The checkout sessions of one shop."""

    @transactional
    async def save(
        self,
        *,
        id: str,  # noqa: A002 - as the row's column
        resource_id: str,
        amount: Money,
        customer_email: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        gateway_id: str | None = None,
        payment_id: PaymentId | None = None,
        url: str | None = None,
        payment_intent: str | None = None,
        expires_at: datetime | None = None,
    ) -> StripeSession:
        """Keep a session that was opened; saved again with the same facts, it is returned as it stands.

        Args:
            id: Stripe's.
            resource_id: what is paid for.
            amount: what is asked.
            customer_email: as it was told to Stripe.
            metadata: an object of 10 KiB at most; no secrets.
            gateway_id: through which it was opened.
            payment_id: the payment that it is for, which has no other session.
            url: the page.
            payment_intent: Stripe's name of the payment, where it is known.
            expires_at: from then on nobody can pay there.

        Raises:
            InvalidHostedPayment: a field is out of its bounds.
            HostedSessionTaken: the session has other facts, or the payment another session.
            PaymentNotFound, GatewayNotFound: no such payment or gateway.
        """
        kept = stripped(dict(metadata or {}))
        _bounded("id", id, SESSION_ID_LENGTH_MAX)
        _bounded("resource_id", resource_id, RESOURCE_LENGTH_MAX)
        if url is not None:
            _bounded("url", url, URL_LENGTH_MAX)
        if amount.amount < 0:
            raise InvalidHostedPayment(field="amount", reason="must not be less than nothing")
        if len(msgspec.json.encode(kept)) > METADATA_BYTES_MAX:
            raise InvalidHostedPayment(field="metadata", reason=f"{METADATA_BYTES_MAX} bytes at most")
        with violations(
            {
                "stripe_sessions_payment_fkey": lambda: PaymentNotFound(payment=payment_id),
                "stripe_sessions_gateway_fkey": lambda: GatewayNotFound(gateway=str(gateway_id)),
            },
            self.db.names,
        ):
            new = await queries.insert_session(
                self.db,
                tenant_id=self.tenant_id,
                id=id,
                resource_id=resource_id,
                amount=amount.amount,
                currency=amount.currency,
                customer_email=customer_email and stripped_text(customer_email)[:TEXT_LENGTH_MAX],
                metadata=kept,
                gateway_id=gateway_id,
                payment_id=payment_id,
                url=url,
                payment_intent=payment_intent,
                expires_at=expires_at,
            )
        row = await queries.session(self.db, tenant_id=self.tenant_id, id=id)
        if row is None:  # its payment has another one
            raise HostedSessionTaken(session=id)
        session = map_stripe_session(row)
        if not new and (session.resource_id, session.amount, session.payment_id) != (resource_id, amount, payment_id):
            raise HostedSessionTaken(session=id)
        return session

    @operation
    async def get(self, *, session_id: str) -> StripeSession:
        """One session. Raises HostedSessionNotFound."""
        return await self._session(session_id)

    @operation
    async def of_payment(self, *, payment_id: PaymentId) -> StripeSession | None:
        """The session of a payment, if it has one."""
        row = await queries.session_of_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        return map_stripe_session(row) if row is not None else None

    @operation
    async def of_intent(self, *, payment_intent: str) -> StripeSession | None:
        """The session that Stripe's name of a payment belongs to, as refunds and disputes bear it."""
        row = await queries.session_of_intent(self.db, tenant_id=self.tenant_id, payment_intent=payment_intent)
        return map_stripe_session(row) if row is not None else None

    @operation
    async def list(
        self,
        *,
        resource_id: str | None = None,
        status: StripeSessionStatus | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[StripeSession]:
        """Sessions, newest first: all, of one resource, in one status, or both."""
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, str)) if cursor else (None, None)
        rows = await queries.sessions_newest(
            self.db,
            tenant_id=self.tenant_id,
            resource_id=resource_id,
            status=status,
            before_at=before_at,
            before_id=before_id,
            rows=size + 1,
        )
        return page_of([map_stripe_session(row) for row in rows], size, lambda each: (each.created_at, each.id))

    @audited("hosted.complete", "hosted_session")
    @transactional
    async def complete(
        self, *, session_id: str, received: Money | None = None, payment_intent: str | None = None
    ) -> StripeSession:
        """Complete a session; its payment is completed with it, once. Again, it is returned as it stands.

        Args:
            session_id: Stripe's.
            received: what arrived; None: as asked.
            payment_intent: Stripe's name of the payment.

        Raises:
            HostedSessionNotFound: no such session.
            HostedSessionExpired: it has expired; nothing was changed. What Stripe says of money goes to `receive`.
        """
        session = await self._locked(session_id)
        if session.status is S.EXPIRED:
            raise HostedSessionExpired(session=session_id)
        return await self._receive(session, received, payment_intent)

    @audited("hosted.receive", "hosted_session")
    @transactional
    async def receive(
        self, *, session_id: str, received: Money | None = None, payment_intent: str | None = None
    ) -> StripeSession:
        """The same on Stripe's word that money came: of a session that had expired it is kept as well.

        What came is compared with what was asked, and `remark` says where they differ. Money in another currency is
        credited to nothing: staff have to look.
        """
        return await self._receive(await self._locked(session_id), received, payment_intent)

    @audited("hosted.processing", "hosted_session")
    @transactional
    async def processing(self, *, session_id: str) -> StripeSession:
        """The buyer is through with the page and the money is on its way: the payment waits for it.

        Raises HostedSessionNotFound.
        """
        session = await self._locked(session_id)
        if session.status is S.PENDING:
            await begin(self, session.payment_id)
        return session

    @audited("hosted.expire", "hosted_session")
    @transactional
    async def expire(self, *, session_id: str, failed: bool = False, reason: str | None = None) -> StripeSession:
        """End a session that brought nothing; its payment ends too. One that has ended stays as it is.

        Args:
            session_id: Stripe's.
            failed: a slow payment did not come, rather than nobody paid.
            reason: for the record.

        Raises:
            HostedSessionNotFound: no such session.
        """
        session = await self._locked(session_id)
        if session.status is not S.PENDING:
            return session
        said = stripped_text(reason)[:TEXT_LENGTH_MAX] if reason else None
        await queries.expire_session(self.db, tenant_id=self.tenant_id, id=session_id, sources=_EXPIRABLE, remark=said)
        if session.payment_id is not None:
            await Payments(self.context.on(self.db)).fall_through(
                payment_id=session.payment_id,
                to=PaymentStatus.FAILED if failed else PaymentStatus.EXPIRED,
                reason=said or ("the payment failed" if failed else "nobody paid in time"),
            )
        return await self._session(session_id)

    async def _receive(
        self, session: StripeSession, received: Money | None, payment_intent: str | None
    ) -> StripeSession:
        if session.status is S.COMPLETED or session.received is not None:
            return session
        arrived = received or session.amount
        settled, remark = await settle(
            self, payment_id=session.payment_id, asked=session.amount, arrived=arrived, reference=payment_intent
        )
        facts: dict[str, Any] = {
            "tenant_id": self.tenant_id,
            "id": session.id,
            "received_amount": arrived.amount,
            "received_currency": arrived.currency,
            "payment_intent": payment_intent,
            "settled_payment_id": settled.id if settled is not None else None,
        }
        if session.status is S.PENDING:
            await queries.complete_session(self.db, sources=_COMPLETABLE, remark=remark, **facts)
        else:
            late = "the session had expired"
            await queries.keep_arrival(self.db, remark=f"{late}; {remark}" if remark else late, **facts)
        return await self._session(session.id)

    async def _session(self, session_id: str) -> StripeSession:
        known = session_id.isprintable()  # what is not could not be asked for: no row has it
        row = await queries.session(self.db, tenant_id=self.tenant_id, id=session_id) if known else None
        if row is None:
            raise HostedSessionNotFound(session=session_id)
        return map_stripe_session(row)

    async def _locked(self, session_id: str) -> StripeSession:
        known = session_id.isprintable()
        row = await queries.lock_session(self.db, tenant_id=self.tenant_id, id=session_id) if known else None
        if row is None:
            raise HostedSessionNotFound(session=session_id)
        return map_stripe_session(row)


async def settle(
    service: Service, *, payment_id: PaymentId | None, asked: Money, arrived: Money, reference: str | None
) -> tuple[Payment | None, str | None]:
    """Credit what arrived; say which payment holds it, and what is worth a remark.

    Money in another currency, or none at all, is credited to nothing: it stands in the audit trail and in the outbox.
    """
    if payment_id is None:
        return None, None if arrived == asked else _differs(asked, arrived)
    context = service.context.on(service.db)
    if arrived.currency != asked.currency or arrived.amount < 1:
        remark = f"{_differs(asked, arrived)}; credited to no payment"
        await tell_mismatch(service, payment_id, asked=asked, received=arrived)
        return None, remark
    settled = await Payments(context).settle(
        payment_id=payment_id, received=arrived, reference=reference and reference[:100]
    )
    remarks = []
    if settled.id != payment_id:
        remarks.append(f"the payment had ended; {settled.reference} holds what came")
    elif settled.verified_at is not None:
        remarks.append("staff had seen the money before")
    if arrived != asked:
        remarks.append(_differs(asked, arrived))
    return settled, "; ".join(remarks) or None


async def tell_mismatch(service: Service, payment_id: PaymentId, **sums: Money) -> None:
    """Leave to staff what a provider says and our books do not: in the audit trail and in the outbox."""
    said = {name: msgspec.to_builtins(each) for name, each in sums.items()}
    await record(
        service.db,
        service.context.on(service.db),
        action="hosted.mismatch",
        resource_type="payment",
        resource_id=payment_id,
        new_values=said,
    )
    await outbox.enqueue(
        service.db,
        tenant_id=service.tenant_id,
        event_type="payment.mismatch",
        payload={"id": payment_id, **said},
        entity_type="payment",
        entity_id=payment_id,
    )


async def begin(service: Service, payment_id: PaymentId | None) -> None:
    """A provider is at a payment; one that is past `pending` stays as it is."""
    if payment_id is None:
        return
    payments = Payments(service.context.on(service.db))
    payment = await payments.get(payment_id=payment_id)
    if payment.status is PaymentStatus.PENDING:
        await payments.process(payment_id=payment_id)


def _differs(asked: Money, arrived: Money) -> str:
    return f"asked {asked.decimal()} {asked.currency}, received {arrived.decimal()} {arrived.currency}"


def _bounded(field: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest or not text.isprintable():
        raise InvalidHostedPayment(field=field, reason=f"1 to {longest} printable characters")
