"""A payment from a wallet, verified: it is recorded, and leads to its order, in one call of a database function."""

from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from storeroom.audit import audited
from storeroom.core.contact import Address, normal_address, normal_email, normal_phone
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import CartId, OrderId, PaymentId, UserId, human_code, new_id
from storeroom.core.money import Money
from storeroom.database.errors import constraint_of, lost_to_a_rival
from storeroom.database.pool import Transaction
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.flows import queries
from storeroom.flows.errors import (
    InvalidPurchase,
    LinesUnknown,
    MethodUnfit,
    PaidInOtherAsset,
    PaidTooLittle,
    SignatureUsed,
)
from storeroom.flows.model import PLACE_ATTEMPTS_MAX, Name
from storeroom.identity import UserNotFound
from storeroom.orders import OrderStatus, links_are_due
from storeroom.payments import new_reference
from storeroom.tenants import settings_of
from storeroom.wallets import (
    QUOTE_LINES_MAX,
    NewTransaction,
    NotForCustomers,
    NotOurAccount,
    QuoteExpired,
    QuoteItem,
    QuoteNotFound,
    QuotePaid,
    QuotePaidByAnother,
    check_lines,
    checked_transaction,
    normal_code,
)

SOURCE: Final = "wallet"
ORDER_CODE_LENGTH: Final = 8
_DRAWN: Final = frozenset({"orders_number_unique", "payments_reference_unique"})  # ours to draw again

Text = Annotated[str, Meta(min_length=1, max_length=255)]
Wallet = Annotated[str, Meta(min_length=1, max_length=128)]


class VerifiedPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that arrived from a wallet, what it was for, and whose order it makes."""

    signature: Text
    wallet: Wallet
    amount: Money  # what arrived
    account: Wallet | None = None  # where; a token must say it
    quote_id: Text | None = None  # the offer that it pays; or
    items: Annotated[list[QuoteItem], Meta(min_length=1, max_length=QUOTE_LINES_MAX)] | None = (
        None  # what was bought, and
    )
    total: Money | None = None  # what it came to; None: the lines' sum
    cart_id: CartId | None = None  # with items: whose reservations the order takes over
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    name: Name
    phone: Annotated[str, Meta(min_length=3, max_length=40)] | None = None
    user_id: UserId | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    source: Annotated[str, Meta(min_length=1, max_length=50)] = SOURCE  # one order for each purchase_id of a source
    purchase_id: Text | None = None  # None: the quote's id, else the signature
    resource_id: Text | None = None  # None: `cart:` and the quote's id, else the purchase id
    payment_method: Annotated[str, Meta(min_length=1, max_length=50)] | None = None  # None: `wallet-usdc` and the like
    notes: Annotated[str, Meta(max_length=2000)] | None = None
    metadata: dict[str, Any] = {}


class ShortUnits(msgspec.Struct, frozen=True, kw_only=True):
    """Units that the order promises and the shelf does not have."""

    variant_id: UUID
    sku: str | None
    missing: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a payment."""

    first: bool  # False: it was delivered before, and this is what came of it then
    placed: bool  # this call stored the order; False: it was there
    order_id: OrderId
    order_number: str
    order_status: OrderStatus
    payment_id: PaymentId
    payment_reference: str
    amount: Money
    short: list[ShortUnits] = []  # oversold by this order: fill them or give the money back


class WalletPayments(Service):
    """Payments from wallets of one shop, with their orders."""

    async def record(self, payment: VerifiedPayment) -> Settlement:
        """Honour a payment once: record it, mark its quote as paid, store its order, convert its cart's reservations.

        All of it or nothing, in one round trip; with one message in the outbox if the order is new. However often the
        same payment is delivered, all hear the order of the first. An order that has this (source, purchase_id) already
        gets the payment; what exceeds its total is due back. Staff also leave an entry in the audit trail.

        Args:
            payment: verified, by whoever watches the chain: nothing here asks it again.

        Raises:
            NotForCustomers: the actor is a customer.
            InvalidTransaction, InvalidPurchase, InvalidQuote, InvalidEmail, InvalidPhone, InvalidAddress,
            UnknownCurrency: the request cannot be right.
            NotOurAccount, QuoteNotFound, QuoteExpired, QuotePaidByAnother, PaidInOtherAsset, PaidTooLittle,
            LinesUnknown, MethodUnfit, UserNotFound: as their names say. Nothing was written: the signature may still be
                honoured.
            QuotePaid: its order is there, under another purchase id. Nothing was written.
            SignatureUsed: it was honoured for something else.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise NotForCustomers
        for attempt in range(1, PLACE_ATTEMPTS_MAX + 1):
            try:
                if self.context.actor.kind is ActorKind.ADMIN or self.context.claim is not None:
                    return await self._record_by_staff(payment=payment)
                return await self._record(payment)
            except asyncpg.PostgresError as error:
                drawn = constraint_of(error, self.db.names) in _DRAWN
                if attempt == PLACE_ATTEMPTS_MAX or isinstance(self.db, Transaction):
                    raise
                if not (drawn or lost_to_a_rival(error)):
                    raise
        raise AssertionError  # pragma: no cover  # the last attempt returns or raises

    @audited("wallet_payments.record", "payment")
    @transactional
    async def _record_by_staff(self, *, payment: VerifiedPayment) -> Settlement:
        return await self._record(payment)

    @operation
    async def _record(self, payment: VerifiedPayment) -> Settlement:
        asked = await self._asked(payment)
        said = await queries.record_verified_payment(self.db, tenant_id=self.tenant_id, payment=asked)
        answer = said.answer
        if said.verdict in _REFUSALS:
            raise _REFUSALS[said.verdict](answer)
        same = (answer["source"], answer["purchase_id"]) == (asked["source"], asked["purchase_id"])
        if answer["order_id"] is None or not same:
            raise SignatureUsed(signature=asked["signature"])
        first, placed, order_id = said.verdict == "recorded", answer.get("placed", False), UUID(answer["order_id"])
        if first and not placed:
            await links_are_due(self.db, tenant_id=self.tenant_id, order_id=OrderId(order_id))
        return Settlement(
            first=first,
            placed=placed,
            order_id=OrderId(order_id),
            order_number=answer["number"],
            order_status=OrderStatus(answer["status"]),
            payment_id=PaymentId(UUID(answer["payment_id"])),
            payment_reference=answer["reference"],
            amount=Money(answer["amount"], answer["currency"]),
            short=msgspec.convert(answer.get("short", []), list[ShortUnits]),
        )

    async def _asked(self, payment: VerifiedPayment) -> dict[str, Any]:
        """The payment as the function reads it; ids and codes are drawn anew for each attempt."""
        if (payment.quote_id is None) == (payment.items is None):
            raise InvalidPurchase(field="quote_id", reason="give a quote or items, one of the two")
        if not payment.name.strip():
            raise InvalidPurchase(field="name", reason="is empty")
        purchase_id = payment.purchase_id or payment.quote_id or normal_code(payment.signature)
        bought = f"cart:{payment.quote_id}"[:255] if payment.quote_id else purchase_id
        draft = checked_transaction(
            NewTransaction(
                signature=payment.signature,
                resource_id=payment.resource_id or bought,
                wallet=payment.wallet,
                amount=payment.amount,
                account=payment.account,
                metadata=payment.metadata,
            )
        )
        asset, items = payment.amount.currency, payment.items or []
        total = payment.total or sum((i.unit_price * i.quantity for i in items), start=Money(0, asset))
        if items:
            check_lines(items, total)
            if total.currency != asset:
                raise PaidInOtherAsset(asked=total.currency, paid=asset)
        tenant, actor, context = await settings_of(self.context), self.context.actor, self.context
        return {
            "signature": draft.signature,
            "wallet": draft.wallet,
            "account": draft.account,
            "amount": draft.amount.amount,
            "asset": asset,
            "resource_id": draft.resource_id,
            "metadata": draft.metadata,
            "quote_id": payment.quote_id,
            "items": items or None,
            "total": total.amount if items else None,
            "line_ids": [new_id() for _ in range(len(items) or QUOTE_LINES_MAX)],
            "cart_id": payment.cart_id,
            "source": payment.source,
            "purchase_id": purchase_id,
            "order_id": new_id(),
            "order_number": human_code(ORDER_CODE_LENGTH),
            "history_ids": [new_id(), new_id()],
            "payment_id": new_id(),
            "payment_reference": new_reference(),
            "method": payment.payment_method or f"wallet-{asset.lower()}",
            "method_id": None if payment.payment_method else new_id(),
            "webhook_ids": [new_id(), new_id()],
            "user_id": payment.user_id,
            "customer_email": normal_email(payment.email),
            "customer_name": payment.name.strip(),
            "customer_phone": normal_phone(payment.phone, tenant.country_code) if payment.phone else None,
            "shipping_address": normal_address(payment.shipping_address) if payment.shipping_address else None,
            "billing_address": normal_address(payment.billing_address) if payment.billing_address else None,
            "customer_notes": payment.notes,
            "ip_address": context.ip,
            "actor_kind": actor.kind,
            "actor_id": actor.user_id,
            "actor_name": actor.name or None,
            "request_id": context.request_id,
        }


_REFUSALS: Final[dict[str, Callable[[Any], StoreroomError]]] = {
    "account": lambda facts: NotOurAccount(account=facts["account"], asset=facts["asset"]),
    "quote_unknown": lambda facts: QuoteNotFound(quote_id=facts["quote_id"]),
    "quote_expired": lambda facts: QuoteExpired(quote_id=facts["quote_id"]),
    "quote_sold": lambda facts: QuotePaid(quote_ids=[facts["quote_id"]]),
    "quote_paid_by_another": lambda facts: QuotePaidByAnother(quote_id=facts["quote_id"]),
    "other_asset": lambda facts: PaidInOtherAsset(asked=facts["asked"], paid=facts["paid"]),
    "too_little": lambda facts: PaidTooLittle(
        asked=Money(facts["asked"], facts["asset"]), paid=Money(facts["paid"], facts["asset"])
    ),
    "method": lambda facts: MethodUnfit(method=facts["method"], asset=facts["asset"]),
    "user_unknown": lambda facts: UserNotFound(user_id=UUID(facts["user_id"])),
    "lines_unknown": lambda facts: LinesUnknown(lines=facts),
}
