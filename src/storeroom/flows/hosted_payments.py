"""Payments on a provider's page: opened for a payment, confirmed by the buyer's return, a message, or by asking.

Whichever of the three comes first completes the payment, and the others find it done. A provider is called between
transactions, never inside one. Messages are in `stripe_messages.py`, asking is in `hosted_polling.py`.
"""

import logging
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from storeroom.access import InvalidOrigin, Origins, normal_origin
from storeroom.core.errors import StoreroomError
from storeroom.database.service import Actor, ActorKind
from storeroom.domains import Domains
from storeroom.flows import queries
from storeroom.flows.hosted_polling import HostedPolling
from storeroom.flows.model import HostedPage, HostedPayment
from storeroom.flows.stripe_messages import StripeMessages
from storeroom.gateways import GatewayConfig, GatewayKind
from storeroom.hosted import (
    MPGS_FELL_THROUGH,
    MPGS_LIFETIME,
    Asked,
    HostedSessions,
    HostedSessionTaken,
    InvalidHostedPayment,
    MpgsTransaction,
    MpgsTransactions,
    NotHosted,
    RetryRefused,
    TransactionNotFound,
    TransactionTaken,
)
from storeroom.payments import (
    Payer,
    Payment,
    PaymentExpired,
    PaymentMoveRefused,
    PaymentNotFound,
    Payments,
    PaymentStatus,
)

URL_LENGTH_MAX: Final = 2_000
STRIPE_LIFE_MIN: Final = timedelta(minutes=31)  # Stripe keeps a session open for half an hour at least, a day at most
STRIPE_LIFE_MAX: Final = timedelta(hours=23, minutes=59)

_log: Final = logging.getLogger(__name__)


class HostedPayments(StripeMessages, HostedPolling):
    """Payments of one shop that are made on a provider's page."""

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
            AmountTooFine: the provider takes no such amount; it was not asked.
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
        confirmed = await transactions.confirm(
            session_id=transaction.session_id, result_indicator=result_indicator, result=result
        )
        if result is not None:
            await provider._given_back(confirmed, result)  # noqa: SLF001
        return confirmed

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
