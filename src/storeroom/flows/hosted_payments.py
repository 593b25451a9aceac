"""Payments on a provider's page: opened for a payment, confirmed by the buyer's return, a message, or by asking.

Whichever of the three comes first completes the payment, and the others find it done. A provider is called between
transactions, never inside one.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.access import InvalidOrigin, Origins, normal_origin
from storeroom.audit import record
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import PaymentId, TenantId
from storeroom.core.money import Money
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, Service, transactional
from storeroom.domains import Domains
from storeroom.flows import queries
from storeroom.flows.model import EventTaken, HostedPage, HostedPayment
from storeroom.flows.refunding import DisputeOutcomes, Refunding
from storeroom.gateways import GatewayConfig, GatewayKind, GatewayNotFound, Gateways
from storeroom.hosted import (
    API_VERSION,
    MPGS_FELL_THROUGH,
    MPGS_LIFETIME,
    Asked,
    Due,
    Event,
    HostedSessionNotFound,
    HostedSessions,
    HostedSessionTaken,
    InvalidHostedPayment,
    MpgsProvider,
    MpgsResult,
    MpgsStatus,
    MpgsTransaction,
    MpgsTransactions,
    NotHosted,
    Outcome,
    ProviderDown,
    ProviderMisconfigured,
    RetryRefused,
    SignatureRefused,
    State,
    StripeProvider,
    StripeSession,
    TransactionNotFound,
    TransactionTaken,
    claim_due,
    from_stripe,
    read_event,
    read_session,
    require_signed,
)
from storeroom.identity import TokenKeys
from storeroom.inbox import Handled, InboxMessage
from storeroom.integration import Courier
from storeroom.orders import Orders
from storeroom.payments import (
    Payer,
    Payment,
    PaymentExpired,
    PaymentMoveRefused,
    PaymentNotFound,
    Payments,
    PaymentStatus,
)
from storeroom.refunds import DisputeStatus, RefundMethod, Refunds, RefundStatus
from storeroom.tenants import Tenants

URL_LENGTH_MAX: Final = 2_000
BY_GATEWAY: Final = "gateway:"  # before the gateway whose secret has signed a message
POLLED_MAX: Final = 20  # sessions and transactions asked about in one run, all at once
STRIPE_LIFE_MIN: Final = timedelta(minutes=31)  # Stripe keeps a session open for half an hour at least, a day at most
STRIPE_LIFE_MAX: Final = timedelta(hours=23, minutes=59)
EXPIRY_GRACE: Final = timedelta(minutes=10)  # a buyer who pays in the last second is heard of a little later

_POLLER: Final = Actor(kind=ActorKind.SYSTEM, name="poll_hosted")
_log: Final = logging.getLogger(__name__)


class HostedPayments(Service):
    """Payments of one shop that are made on a provider's page."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, courier: Courier | None = None) -> None:
        """Without keys no gateway's configuration can be read, and without a courier no provider is asked."""
        super().__init__(context)
        self._keys, self._courier = keys, courier

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._courier)

    # --- Opening ------------------------------------------------------------------------------------------------------

    async def start(
        self,
        *,
        reference: str,
        return_url: str,
        api_url: str,
        cancel_url: str | None = None,
        host: str | None = None,
        payer: Payer | None = None,
    ) -> HostedPage:
        """Open a page on which a pending payment is made; the same one as long as it is open.

        Args:
            reference: of a payment by a method behind a Stripe or MPGS gateway.
            return_url: where the buyer goes afterwards, at an origin that the shop allows or at `api_url`.
            api_url: where this API answers, as the buyer's browser reaches it.
            cancel_url: where a buyer goes who gives up; None: `return_url`.
            host: where it was bought; its domain is noted.
            payer: who asks, where it is not the account of the actor and not staff.

        Raises:
            PaymentNotFound: no such payment, or not the payer's.
            PaymentMoveRefused, PaymentExpired: it has ended, or its time is too short for a page.
            NotHosted: its method has no gateway with a page, or that is switched off.
            InvalidHostedPayment: an address is none, or at an origin that the shop does not allow.
            ProviderRefused, ProviderDown, ProviderMisconfigured: of the provider. The payment stays as it was.

        A retry opens no second page: Stripe knows the payment, and of two at once the first saved one counts.
        """
        self._outside()
        payment = await Payments(self.context).by_reference(reference=reference, payer=payer)
        back = await self._address("return_url", return_url, api_url)
        cancelled = await self._address("cancel_url", cancel_url, api_url) if cancel_url else back
        facts = await queries.payment_to_host(self.db, tenant_id=self.tenant_id, payment_id=payment.id)
        if facts is None or facts.gateway_id is None:
            raise NotHosted(reference=payment.reference)
        config = await self._gateways.config(gateway_id=facts.gateway_id)
        if config.kind not in (GatewayKind.STRIPE, GatewayKind.MPGS) or not config.is_active:
            raise NotHosted(reference=payment.reference)
        if payment.status is not PaymentStatus.PENDING:
            raise PaymentMoveRefused(reference=payment.reference, status=payment.status, to=PaymentStatus.PROCESSING)
        asked = Asked(
            tenant_id=self.tenant_id,
            payment_id=str(payment.id),
            reference=payment.reference,
            order_number=facts.order_number,
            amount=payment.amount,
            customer_email=facts.customer_email,
            return_url=back,
            cancel_url=cancelled,
            expires_at=None,
        )
        if config.kind is GatewayKind.STRIPE:
            return await self._start_stripe(payment, facts, config, asked)
        return await self._start_mpgs(payment, facts, config, asked, api_url=api_url, host=host)

    async def _start_stripe(
        self, payment: Payment, facts: HostedPayment, config: GatewayConfig, asked: Asked
    ) -> HostedPage:
        sessions = HostedSessions(self.context)
        session = await sessions.of_payment(payment_id=payment.id)
        if session is None:
            left = payment.expires_at - self.context.clock.now() if payment.expires_at is not None else None
            if left is not None and left < STRIPE_LIFE_MIN:
                raise PaymentExpired(reference=payment.reference)
            ends = payment.expires_at if left is not None and left < STRIPE_LIFE_MAX else None
            opened = await self._stripe(config).open_session(msgspec.structs.replace(asked, expires_at=ends))
            try:
                session = await sessions.save(
                    id=opened.session_id,
                    resource_id=facts.order_number,
                    amount=payment.amount,
                    customer_email=facts.customer_email,
                    metadata={"payment": payment.reference},
                    gateway_id=config.gateway_id,
                    payment_id=payment.id,
                    url=opened.url,
                    payment_intent=opened.payment_intent,
                    expires_at=opened.expires_at,
                )
            except HostedSessionTaken:
                session = await sessions.of_payment(payment_id=payment.id)
                if session is None:
                    raise
        return HostedPage(
            provider=config.kind,
            session_id=session.id,
            url=session.url,
            script_url=None,
            expires_at=session.expires_at,
        )

    async def _start_mpgs(
        self,
        payment: Payment,
        facts: HostedPayment,
        config: GatewayConfig,
        asked: Asked,
        *,
        api_url: str,
        host: str | None,
    ) -> HostedPage:
        transactions, provider = MpgsTransactions(self.context), self._mpgs(config)
        transaction = await transactions.of_payment(payment_id=payment.id)
        if transaction is None:
            now = self.context.clock.now()
            if payment.expires_at is not None and payment.expires_at <= now:
                raise PaymentExpired(reference=payment.reference)
            back = f"{api_url.rstrip('/')}/v1/returns/{self.tenant_id}/mpgs/{payment.reference}"
            opened = await provider.open_session(msgspec.structs.replace(asked, return_url=back))
            domain = await Domains(self.context).resolve(host=host) if host else None
            former = (await transactions.list(order_id=facts.order_id, limit=1)).items
            made: dict[str, Any] = {
                "session_id": opened.session_id,
                "amount": payment.amount,
                "success_indicator": opened.success_indicator,
                "session_version": opened.session_version,
                "order_id": facts.order_id,
                "payment_id": payment.id,
                "order_ref_id": opened.order_ref,
                "order_increment_id": facts.order_number,
                "transaction_reference": payment.reference,
                "gateway_id": config.gateway_id,
                "merchant_id": opened.merchant_id,
                "return_url": asked.return_url,
                "expires_at": now + MPGS_LIFETIME,
                "domain_id": domain.id if domain is not None else None,
            }
            again = former[0].id if former and former[0].payment_status in MPGS_FELL_THROUGH else None
            try:
                transaction = await transactions.create(**made, retry_of=again)
            except RetryRefused:  # a rival has tried it again
                transaction = await transactions.create(**made)
            except TransactionTaken:  # a rival has opened a page for this payment
                transaction = await transactions.of_payment(payment_id=payment.id)
                if transaction is None:
                    raise
        return HostedPage(
            provider=config.kind,
            session_id=transaction.session_id,
            url=None,
            script_url=provider.script_url,
            expires_at=transaction.expires_at,
        )

    # --- The buyer's return, from Mastercard's gateway ----------------------------------------------------------------

    async def returned(self, *, reference: str, result_indicator: str) -> MpgsTransaction:
        """Take the buyer's return. The right indicator completes the payment, once, for what the gateway says has come.

        Where the gateway does not answer just now, the indicator alone is its word, for the amount that was asked.

        Args:
            reference: of the payment.
            result_indicator: what the return brought.

        Raises:
            PaymentNotFound, TransactionNotFound: no such payment, or none that was sent to the gateway.
            IndicatorRefused: the buyer did not pay, or somebody made this up; it is recorded.
        """
        provider = self._as(Actor(kind=ActorKind.WEBHOOK, name=GatewayKind.MPGS.value))
        transactions, transaction = MpgsTransactions(provider.context), await self.transaction_of(reference=reference)
        result = None
        expected = await transactions.expects(session_id=transaction.session_id, result_indicator=result_indicator)
        if expected and transaction.paid_at is None:
            try:
                result = await provider._mpgs_result(transaction)  # noqa: SLF001  # our own
            except StoreroomError as error:
                _log.warning("the gateway could not be asked about %s: %s", transaction.id, error.code)
        return await transactions.confirm(
            session_id=transaction.session_id, result_indicator=result_indicator, result=result
        )

    async def transaction_of(self, *, reference: str) -> MpgsTransaction:
        """The transaction of a payment, for whoever comes back from the gateway.

        Raises PaymentNotFound, TransactionNotFound.
        """
        provider = self._as(Actor(kind=ActorKind.WEBHOOK, name=GatewayKind.MPGS.value))
        if not reference.isprintable():
            raise PaymentNotFound(payment=reference[:40])
        payment = await Payments(provider.context).by_reference(reference=reference)
        transaction = await MpgsTransactions(provider.context).of_payment(payment_id=payment.id)
        if transaction is None:
            raise TransactionNotFound(transaction=payment.reference)
        return transaction

    # --- Stripe's messages --------------------------------------------------------------------------------------------

    async def stripe_signed(self, *, body: bytes, signature: str | None) -> str:
        """The gateway whose webhook secret has signed a message of Stripe: the bytes as they came.

        Raises:
            GatewayNotFound: the shop has no Stripe gateway with a webhook secret.
            SignatureRefused: signed with another secret, or too long ago.
        """
        known = False
        for gateway in await self._gateways.list():
            if gateway.kind is not GatewayKind.STRIPE:
                continue
            secret = (await self._gateways.config(gateway_id=gateway.id)).secret("webhook_secret")
            if secret is None:
                continue
            known = True
            try:
                require_signed(body, signature, secret)
            except SignatureRefused:
                continue
            return gateway.id
        raise SignatureRefused if known else GatewayNotFound(gateway=GatewayKind.STRIPE)

    @transactional
    async def stripe_event(self, *, event: Event, gateway_id: str | None) -> EventTaken:
        """Do what a message of Stripe says, whose signature was right.

        The same again when it is repeated: a session that is paid is one completed payment. What concerns no payment of
        the shop, or is of no use to it, is recorded and left.

        Args:
            event: the message.
            gateway_id: whose secret has signed it; None: of no gateway.
        """
        provider = self._as(Actor(kind=ActorKind.WEBHOOK, name=GatewayKind.STRIPE.value))
        outcome, payment_id = await provider._handle(gateway_id, event)  # noqa: SLF001  # our own
        if outcome in ("ignored", "unmatched"):
            await record(
                self.db,
                provider.context,
                action="hosted.event",
                resource_type="stripe_event",
                new_values={"event": event.id, "type": event.type, "outcome": outcome, "of": event.object.get("id")},
            )
        return EventTaken(id=event.id, type=event.type, outcome=outcome, payment_id=payment_id)

    async def _handle(self, gateway_id: str | None, event: Event) -> tuple[str, PaymentId | None]:
        topic, _, what = event.type.rpartition(".")
        if event.type == "charge.refunded":
            return await self._refunded(event)
        if topic == "charge.dispute":
            return await self._disputed(event)
        if topic != "checkout.session" or event.object.get("mode") != "payment":
            return "ignored", None
        sessions, state = HostedSessions(self.context), read_session(event.object)
        session = await self._known_or_none(gateway_id, event.object)
        if session is None:
            return "unmatched", None
        match what:
            case "completed" | "async_payment_succeeded" if state.outcome is Outcome.PAID:
                session = await sessions.receive(
                    session_id=session.id, received=state.received, payment_intent=state.reference
                )
                return "completed", session.settled_payment_id or session.payment_id
            case "completed":
                await sessions.processing(session_id=session.id)
                return "processing", session.payment_id
            case "async_payment_failed":
                await sessions.expire(session_id=session.id, failed=True, reason="the payment failed")
                return "expired", session.payment_id
            case "expired":
                await sessions.expire(session_id=session.id)
                return "expired", session.payment_id
        return "ignored", None

    @transactional
    async def _refunded(self, event: Event) -> tuple[str, PaymentId | None]:
        """Money that was given back at Stripe. What it tells is the sum so far; what we do not have of it is recorded.

        A refund of that amount that staff had asked for is completed. One of another amount may be the same or not:
        then nothing is recorded here, and staff have the last word.
        """
        payment, back = await self._payment_of(event.object), _money(event.object, "amount_refunded")
        if payment is None or back is None or back.currency != payment.amount.currency:
            return "unmatched", None
        more = back - payment.refunded_amount
        if more.amount < 1:
            return "refunded", payment.id
        context = self.context.on(self.db)
        refunds = Refunds(context)
        known = await refunds.for_payment(payment_id=payment.id)
        promised = [each for each in known if each.status is RefundStatus.PENDING]
        if promised:
            refund = next((each for each in promised if each.amount == more), None)
        else:
            refund = await refunds.promise_rest(payment_id=payment.id, reason="refunded at Stripe", at_most=more)
        if refund is None:
            return "unmatched", None
        details = {"provider": GatewayKind.STRIPE, "charge": str(event.object.get("id"))[:255]}
        await Refunding(context).complete(refund_id=refund.id, method=RefundMethod.ORIGINAL_METHOD, details=details)
        return "refunded", payment.id

    @transactional
    async def _disputed(self, event: Event) -> tuple[str, PaymentId | None]:
        """What a buyer told the bank, and how it ended. Told of again, or after its end, it stays as it is."""
        said = event.object
        payment, amount = await self._payment_of(said), _money(said, "amount")
        if payment is None or amount is None or payment.received_amount is None:
            return "unmatched", None
        if amount.currency != payment.received_amount.currency or amount.amount < 1:
            return "unmatched", None
        disputes = DisputeOutcomes(self.context.on(self.db))
        opened = await disputes.open(
            payment_id=payment.id,
            provider=GatewayKind.STRIPE,
            provider_dispute=str(said.get("id"))[:255],
            amount=min(amount, payment.received_amount, key=lambda each: each.amount),
            reason=str(said.get("reason") or "general")[:255],
        )
        if opened.status is DisputeStatus.OPEN:
            match said.get("status"):
                case "won" | "warning_closed":
                    await disputes.won(dispute_id=opened.id)
                case "lost":
                    await disputes.lost(dispute_id=opened.id)
        return "disputed", payment.id

    async def _payment_of(self, said: Mapping[str, Any]) -> Payment | None:
        """The payment that holds the money of a charge. Its order is locked: of two who tell of it, one comes first."""
        intent = said.get("payment_intent")
        if not isinstance(intent, str) or not intent.isprintable():
            return None
        context = self.context.on(self.db)
        session = await HostedSessions(context).of_intent(payment_intent=intent)
        if session is None or session.settled_payment_id is None:
            return None
        payments = Payments(context)
        payment = await payments.get(payment_id=session.settled_payment_id)
        await Orders(context).lock(order_id=payment.order_id)
        return await payments.get(payment_id=payment.id)

    async def _known_or_none(self, gateway_id: str | None, said: Mapping[str, Any]) -> StripeSession | None:
        if not isinstance(self.db, Database | Transaction):
            raise TypeError("a message is handled on a Database or a Transaction")
        try:
            async with self.db.transaction() as tx:  # what is refused inside leaves the rest of the message alone
                return await self.bound(tx)._known(gateway_id, said)  # noqa: SLF001  # our own
        except (HostedSessionTaken, PaymentNotFound, InvalidHostedPayment):
            return None

    async def _known(self, gateway_id: str | None, said: Mapping[str, Any]) -> StripeSession | None:
        """The session of a message. One that comes before ours was saved is saved here, by what we had told Stripe.

        One that we opened through a gateway counts by the word of any gateway's secret, never by that of a source; one
        that we do not know, by that of the gateway its payment is made through.
        """
        sessions, session_id = HostedSessions(self.context), str(said.get("id"))
        try:
            session = await sessions.get(session_id=session_id)
        except HostedSessionNotFound:
            pass
        else:
            return None if gateway_id is None and session.gateway_id is not None else session
        metadata = said.get("metadata")
        if not isinstance(metadata, Mapping) or metadata.get("tenant_id") != self.tenant_id:
            return None
        payment_id = _uuid(metadata.get("payment_id"))
        if payment_id is None:
            return None
        payment = await Payments(self.context).get(payment_id=PaymentId(payment_id))
        facts = await queries.payment_to_host(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        if facts is None or facts.gateway_id is None or facts.gateway_id != gateway_id:
            return None
        return await sessions.save(
            id=session_id,
            resource_id=facts.order_number,
            amount=payment.amount,
            customer_email=facts.customer_email,
            metadata={"payment": payment.reference},
            gateway_id=gateway_id,
            payment_id=payment.id,
        )

    # --- Asking -------------------------------------------------------------------------------------------------------

    async def refresh_session(self, *, session_id: str) -> StripeSession:
        """Ask Stripe what has become of a session, and take its word.

        Raises:
            HostedSessionNotFound: no such session.
            NotHosted: it was opened through no gateway of the shop.
            ProviderRefused, ProviderDown, ProviderMisconfigured: of Stripe.
        """
        self._outside()
        await self.context.settings()  # a shop that is suspended leaves no entry
        try:
            session = await HostedSessions(self.context).get(session_id=session_id)
            state = await self._stripe(await self._config(session.gateway_id, session.id)).state(session.id)
            return await self._session_said(session, state)
        except StoreroomError as error:
            await self._refused("hosted.refresh_session", "hosted_session", {"session_id": session_id}, error)
            raise

    async def refresh_transaction(self, *, transaction_id: UUID) -> MpgsTransaction:
        """Ask Mastercard's gateway what has become of a transaction, and take its word.

        One whose buyer had time and never paid is expired.

        Raises:
            TransactionNotFound: no such transaction.
            NotHosted: it was opened through no gateway of the shop.
            ProviderRefused, ProviderDown, ProviderMisconfigured: of the gateway.
        """
        self._outside()
        await self.context.settings()
        try:
            transaction = await MpgsTransactions(self.context).get(transaction_id=transaction_id)
            return await self._transaction_said(transaction, await self._mpgs_result(transaction))
        except StoreroomError as error:
            asked = {"transaction_id": str(transaction_id)}
            await self._refused("hosted.refresh_transaction", "mpgs_transaction", asked, error)
            raise

    @transactional
    async def _session_said(self, session: StripeSession, state: State) -> StripeSession:
        sessions = HostedSessions(self._quiet())
        match state.outcome:
            case Outcome.PAID:
                session = await sessions.receive(
                    session_id=session.id, received=state.received, payment_intent=state.reference
                )
            case Outcome.PROCESSING:
                session = await sessions.processing(session_id=session.id)
            case Outcome.EXPIRED:
                session = await sessions.expire(session_id=session.id)
            case Outcome.FAILED:
                session = await sessions.expire(session_id=session.id, failed=True)
            case Outcome.OPEN:
                pass
        await self._told("hosted.refresh_session", "hosted_session", None, {"session_id": session.id})
        return session

    @transactional
    async def _transaction_said(self, transaction: MpgsTransaction, result: MpgsResult) -> MpgsTransaction:
        ends = transaction.expires_at
        unpaid = result.status in (MpgsStatus.INITIATED, MpgsStatus.PENDING)
        if unpaid and ends is not None and ends + EXPIRY_GRACE <= self.context.clock.now():
            result = msgspec.structs.replace(result, status=MpgsStatus.EXPIRED)
        transaction = await MpgsTransactions(self._quiet()).update(session_id=transaction.session_id, result=result)
        asked = {"transaction_id": str(transaction.id)}
        await self._told("hosted.refresh_transaction", "mpgs_transaction", transaction.id, asked)
        return transaction

    async def _mpgs_result(self, transaction: MpgsTransaction) -> MpgsResult:
        config = await self._config(transaction.gateway_id, transaction.session_id)
        if transaction.order_ref_id is None:
            raise NotHosted(reference=transaction.session_id)
        state = await self._mpgs(config).state(transaction.order_ref_id)
        if state.mpgs is None:
            raise ProviderDown(provider=GatewayKind.MPGS, reason="no order")
        return state.mpgs

    # --- Shared steps -------------------------------------------------------------------------------------------------

    @property
    def _gateways(self) -> Gateways:
        return Gateways(self.context, self._keys)

    def _as(self, actor: Actor) -> Self:
        return type(self)(msgspec.structs.replace(self.context, actor=actor), self._keys, self._courier)

    def _outside(self) -> None:
        if isinstance(self.db, Transaction):
            raise TypeError("a provider is called outside of any transaction: call this on the shop itself")

    async def _config(self, gateway_id: str | None, name: str) -> GatewayConfig:
        if gateway_id is None:
            raise NotHosted(reference=name)
        return await self._gateways.config(gateway_id=gateway_id)

    async def _address(self, field: str, url: str, api_url: str) -> str:
        """An address at our own origin, or at one that the shop allows: nobody is sent anywhere else from here."""
        try:
            parts = urlsplit(url)
            origin = normal_origin(f"{parts.scheme}://{parts.netloc}")
            fits = len(url) <= URL_LENGTH_MAX and url.isascii() and url.isprintable() and " " not in url
            if fits and origin in {normal_origin(api_url), *await Origins(self.context).list()}:
                return url
        except (ValueError, InvalidOrigin):
            pass
        raise InvalidHostedPayment(field=field, reason="an address at an origin that the shop allows")

    def _quiet(self) -> Context:
        """For what staff ask, which is recorded as a whole; what nobody asked for is recorded by its parts."""
        context = self.context.on(self.db)
        return msgspec.structs.replace(context, audited=True) if self._by_staff else context

    @property
    def _by_staff(self) -> bool:
        return self.context.actor.kind is ActorKind.ADMIN

    async def _told(self, action: str, resource: str, resource_id: UUID | None, asked: Mapping[str, Any]) -> None:
        if self._by_staff:
            await record(
                self.db,
                self.context,
                action=action,
                resource_type=resource,
                resource_id=resource_id,
                new_values=asked,
            )

    def _stripe(self, config: GatewayConfig) -> StripeProvider:
        return StripeProvider(
            secret_key=config.secret("secret_key"), base_url=config.endpoint, courier=self._carried_by("stripe")
        )

    def _mpgs(self, config: GatewayConfig) -> MpgsProvider:
        version = config.settings.get("api_version")
        return MpgsProvider(
            merchant_id=config.setting("merchant_id"),
            api_password=config.secret("api_password"),
            base_url=config.endpoint,
            courier=self._carried_by("mpgs"),
            merchant_name=config.setting("merchant_name") or "Shop",
            version=int(version) if version is not None and str(version).isdecimal() else API_VERSION,
        )

    def _carried_by(self, provider: str) -> Courier:
        if self._courier is None:
            raise ProviderMisconfigured(provider=provider, reason="there is no way to ask it from here")
        return self._courier

    async def _refused(self, action: str, resource: str, asked: Mapping[str, Any], error: StoreroomError) -> None:
        if not self._by_staff:
            return
        await record(
            self.db,
            self.context,
            action=action,
            resource_type=resource,
            new_values=asked,
            error_message=f"{error.code}: {(type(error).__doc__ or '').strip().partition(chr(10))[0]}",
        )


async def stripe_message(context: Context, message: InboxMessage) -> Handled:
    """What the inbox does with a message of Stripe.

    A refund or dispute of a payment that is not known yet is tried again until its attempts are used up, then skipped:
    messages come in any order. Raises PaymentNotFound.
    """
    _, _, gateway_id = (message.verified_by or "").partition(BY_GATEWAY)
    hosted = HostedPayments(context)
    try:
        event = read_event(message.payload)
    except ProviderDown:
        return Handled(result={"reason": "no event of the shape that we know"}, skipped=True)
    taken = await hosted.stripe_event(event=event, gateway_id=gateway_id or None)
    intent = event.object.get("payment_intent")
    if taken.outcome == "unmatched" and event.type.startswith("charge.") and isinstance(intent, str):
        session = await HostedSessions(context).of_intent(payment_intent=intent) if intent.isprintable() else None
        unknown = session is None or session.settled_payment_id is None
        if unknown and message.attempts < message.max_attempts:
            raise PaymentNotFound(payment=intent[:40])
    order_id = None
    if taken.payment_id is not None:
        order_id = (await Payments(context).get(payment_id=taken.payment_id)).order_id
    return Handled(
        result={"outcome": taken.outcome},
        payment_id=taken.payment_id,
        order_id=order_id,
        skipped=taken.outcome in ("ignored", "unmatched"),
    )


async def poll_hosted(db: Database, /, *, keys: TokenKeys, courier: Courier, limit: int = POLLED_MAX) -> int:
    """Ask the providers about what nobody has told us of, all at once; return how many were asked about.

    One that cannot be asked now is asked again later, and keeps the others waiting for its time-out at most.
    """
    tenants, due = Tenants(db).cache, await claim_due(db, limit=limit)

    async def ask(each: Due) -> None:
        context = Context(db=db, tenant_id=TenantId(each.tenant_id), tenants=tenants, actor=_POLLER)
        payments = HostedPayments(context, keys, courier)
        try:
            if each.transaction_id is not None:
                await payments.refresh_transaction(transaction_id=each.transaction_id)
            elif each.session_id is not None:
                await payments.refresh_session(session_id=each.session_id)
        except StoreroomError as error:
            _log.warning("%s could not be asked about: %s", each.session_id or each.transaction_id, error.code)

    async with asyncio.TaskGroup() as tasks:
        for each in due:
            tasks.create_task(ask(each))
    return len(due)


def _money(said: Mapping[str, Any], name: str) -> Money | None:
    """An amount of Stripe's; None where there is none."""
    amount, currency = said.get(name), said.get("currency")
    if not isinstance(amount, int) or isinstance(amount, bool) or not isinstance(currency, str):
        return None
    return from_stripe(amount, currency)


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
