"""What is done with what other systems tell the shop: the one place where handlers are registered, and the way in.

A handler runs in the transaction that completes its message: `context.db` is it, so what it writes is applied once. It
may be called again for a message whose transaction was undone, and messages come in any order.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

from typing_extensions import override

from storeroom.core.stripping import stripped
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service
from storeroom.flows.erp_intake import EPICOR, customer_message, inventory_message, payment_receipt_message
from storeroom.flows.hosted_payments import HostedPayments
from storeroom.flows.mail_failures import mail_complained, mail_failed
from storeroom.flows.parcels import track_updated
from storeroom.flows.stripe_messages import BY_GATEWAY, stripe_message
from storeroom.flows.vendure import customer_address_event, customer_event, order_event
from storeroom.flows.vendure_model import VENDURE
from storeroom.gateways import GatewayNotFound
from storeroom.hosted import SignatureRefused
from storeroom.identity import TokenKeys
from storeroom.inbox import Handlers, Inbox, Receipt, SourceNotFound, digest, read

STRIPE: Final = "stripe"
STRIPE_HEADER: Final = "stripe-signature"
STRIPE_ATTEMPTS: Final = 15  # over ten hours: once we have answered, Stripe does not tell it again

# By source and type; type "*" is the rest of that source. What is not here is stored, and skipped.
HANDLERS: Final[Handlers] = MappingProxyType(
    {
        (STRIPE, "*"): stripe_message,
        (EPICOR, "Inventory"): inventory_message,
        (EPICOR, "Payment Receipt"): payment_receipt_message,
        (EPICOR, "Customer"): customer_message,
        (VENDURE, "CustomerEvent"): customer_event,
        (VENDURE, "CustomerAddressEvent"): customer_address_event,
        (VENDURE, "OrderEvent"): order_event,
        ("shippo", "track_updated"): track_updated,
        ("mailgun", "failed"): mail_failed,
        ("mailgun", "complained"): mail_complained,
    }
)


class Inbound(Service):
    """Messages on their way in."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no secret can be read, and no message is taken."""
        super().__init__(context)
        self._keys = keys

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    async def receive(self, *, source: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Store what a source has signed; the worker does what it says.

        Stripe's messages are signed with the webhook secret of one of the shop's Stripe gateways; a shop without one
        may have a source `stripe`, as any other.

        Args:
            source: the code of the source.
            body: the bytes as they came.
            headers: names in any case.

        Raises:
            SourceNotFound, GatewayNotFound: the shop hears of no such source. Nothing was written.
            MessageForged, SignatureRefused: not signed with its secret, or too long ago.
            InvalidMessage: signed, and yet nothing that a handler could read. Nothing was written.
        """
        await self.context.settings()
        given = {name.lower(): value for name, value in headers.items()}
        inbox = Inbox(self.context, self._keys)
        if source != STRIPE:
            return await inbox.receive(source=source, body=body, headers=given)
        signature = given.get(STRIPE_HEADER)
        try:
            gateway_id = await HostedPayments(self.context, self._keys).stripe_signed(body=body, signature=signature)
        except SignatureRefused:
            await inbox.refuse(source=source, body=body, headers=given, signature=signature)
            raise
        except GatewayNotFound as missing:
            try:
                return await inbox.receive(source=source, body=body, headers=given)
            except SourceNotFound:
                raise missing from None
        payload = read(body)
        return await inbox.store(
            source=source,
            webhook_type=_text(payload.get("type")),
            event=_text(payload.get("id")) or digest(body),
            headers=given,
            payload=stripped(payload),  # what could be a card is not written down, here as anywhere
            signature=signature,
            verified_by=f"{BY_GATEWAY}{gateway_id}",
            max_attempts=STRIPE_ATTEMPTS,
        )


def _text(said: object) -> str | None:
    return said if isinstance(said, str) and said.strip() else None
