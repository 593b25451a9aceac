"""What Stripe tells of payments on its page: whose signature a message bears, and what is done with it."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from storeroom.audit import record
from storeroom.core.ids import PaymentId
from storeroom.core.money import Money
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind, Context, transactional
from storeroom.flows import queries
from storeroom.flows.hosted_steps import HostedSteps
from storeroom.flows.model import EventTaken
from storeroom.flows.refunding import DisputeOutcomes, Followed, Refunding
from storeroom.flows.stripe_subscriptions import StripeSubscriptions, stripe_subscription_of
from storeroom.gateways import GatewayKind, GatewayNotFound
from storeroom.hosted import (
    Event,
    HostedSessionNotFound,
    HostedSessions,
    HostedSessionTaken,
    InvalidHostedPayment,
    Outcome,
    ProviderDown,
    SignatureRefused,
    StripeSession,
    from_stripe,
    read_event,
    read_session,
    require_signed,
)
from storeroom.inbox import Handled, InboxMessage
from storeroom.orders import Orders
from storeroom.payments import (
    Payment,
    PaymentNotFound,
    Payments,
)
from storeroom.refunds import DisputeStatus, RefundUndecided
from storeroom.subscriptions import SubscriptionNotFound

BY_GATEWAY: Final = "gateway:"  # before the gateway whose secret has signed a message


class StripeMessages(HostedSteps):
    """Messages of Stripe to one shop."""

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
        if stripe_subscription_of(event) is not None:
            return await StripeSubscriptions(self.context.on(self.db)).follow(event=event), None
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
        """Money that was given back at Stripe, which tells the sum so far: see `Refunding.follow_provider`."""
        payment, back = await self._payment_of(event.object), _money(event.object, "amount_refunded")
        if payment is None or back is None or back.currency != payment.amount.currency:
            return "unmatched", None
        details = {"provider": GatewayKind.STRIPE, "charge": str(event.object.get("id"))[:255]}
        followed = await Refunding(self.context.on(self.db)).follow_provider(
            payment_id=payment.id, back=back, reason="refunded at Stripe", details=details
        )
        return followed.value, payment.id

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
            provider_dispute_id=str(said.get("id"))[:255],
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


async def stripe_message(context: Context, message: InboxMessage) -> Handled:
    """What the inbox does with a message of Stripe.

    A refund or dispute of a payment that is not known yet is tried again until its attempts are used up, then skipped:
    messages come in any order; so are those of a subscription that is not known yet. So is a refund while staff's own
    of another amount is pending; in the end they are told.
    Raises PaymentNotFound, SubscriptionNotFound, RefundUndecided.
    """
    _, _, gateway_id = (message.verified_by or "").partition(BY_GATEWAY)
    try:
        event = read_event(message.payload)
    except ProviderDown:
        return Handled(result={"reason": "no event of the shape that we know"}, skipped=True)
    taken = await StripeMessages(context).stripe_event(event=event, gateway_id=gateway_id or None)
    intent = event.object.get("payment_intent")
    if taken.outcome == "unmatched" and event.type.startswith("charge.") and isinstance(intent, str):
        session = await HostedSessions(context).of_intent(payment_intent=intent) if intent.isprintable() else None
        unknown = session is None or session.settled_payment_id is None
        if unknown and message.attempts < message.max_attempts:
            raise PaymentNotFound(payment=intent[:40])
    subscription = stripe_subscription_of(event)
    if taken.outcome == "unmatched" and subscription is not None and message.attempts < message.max_attempts:
        raise SubscriptionNotFound(subscription=subscription)
    if taken.outcome == Followed.UNDECIDED and taken.payment_id is not None:
        back = _money(event.object, "amount_refunded")
        if message.attempts < message.max_attempts or back is None:
            raise RefundUndecided(payment=str(taken.payment_id))
        await Refunding(context).tell_unfollowed(payment_id=taken.payment_id, back=back)
    order_id = None
    if taken.payment_id is not None:
        order_id = (await Payments(context).get(payment_id=taken.payment_id)).order_id
    return Handled(
        result={"outcome": taken.outcome},
        payment_id=taken.payment_id,
        order_id=order_id,
        skipped=taken.outcome in ("ignored", "unmatched", Followed.UNDECIDED, Followed.MISMATCH),
    )


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
