"""Refund quotes: what is to go back of a purchase made in another system, decided by staff and sent once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from storeroom.audit import audited
from storeroom.core.money import CurrencyMismatch, Money, currency_digits
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.errors import violations
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.payments import StaffRequired
from storeroom.refunds import queries
from storeroom.refunds.errors import (
    InvalidRefundQuote,
    RefundQuoteExceedsPurchase,
    RefundQuoteExpired,
    RefundQuoteMoveRefused,
    RefundQuoteNotFound,
    RefundSignatureUsed,
)
from storeroom.refunds.model import (
    METADATA_BYTES_MAX,
    QUOTE_ID_LENGTH_MAX,
    QUOTE_LIFETIME_MAX,
    QUOTES_BATCH_MAX,
    REASON_DETAILS_LENGTH_MAX,
    REFUND_QUOTE_MOVES,
    SIGNATURE_LENGTH_MAX,
    TOKEN_LENGTH_MAX,
    WALLET_LENGTH_MAX,
    OriginalPurchase,
    RefundQuote,
    RefundQuoteDraft,
    RefundQuoteStatus,
)
from storeroom.wallets import normal_code

_DECIMALS_MAX: Final = 9


class RefundQuotes(Service):
    """The refund quotes of a shop, for its staff and its programs."""

    @audited("refunds.save_quote", "refund_quote")
    @transactional
    async def save(self, *, quote: RefundQuoteDraft) -> RefundQuote:
        """Keep a quote, pending; the same id again replaces it as long as it is pending.

        Where we know the purchase, as a signature of the ledger or as what an order came from, its quotes together stay
        within what was paid, in the asset in which it was paid: those processed, approved, or pending in time count.

        Raises:
            StaffRequired: the actor is a customer.
            InvalidRefundQuote, CurrencyMismatch: as their names say.
            RefundQuoteExceedsPurchase: less is left of the purchase. Of two who ask for the rest at once one gets it.
            RefundQuoteMoveRefused: it was decided before.
        """
        return await self._save(_checked(quote))

    @audited("refunds.save_quotes", "refund_quote")
    @transactional
    async def save_many(self, *, quotes: Sequence[RefundQuoteDraft]) -> list[RefundQuote]:
        """Keep up to QUOTES_BATCH_MAX quotes, or none of them. Raises as `save`."""
        if not 1 <= len(quotes) <= QUOTES_BATCH_MAX or len({quote.id for quote in quotes}) != len(quotes):
            raise InvalidRefundQuote(field="quotes", reason=f"1 to {QUOTES_BATCH_MAX}, each id once")
        checked = [_checked(quote) for quote in quotes]
        for purchase_id in sorted({quote.original_purchase_id for quote in checked}):  # in one order, whoever calls
            await self._lock(purchase_id)
        return [await self._save(quote) for quote in checked]

    @audited("refunds.approve_quote", "refund_quote")
    @transactional
    async def approve(self, *, quote_id: str) -> RefundQuote:
        """Decide that it is sent. It no longer expires.

        Raises:
            StaffRequired, RefundQuoteNotFound: as their names say.
            RefundQuoteMoveRefused, RefundQuoteExpired: it was decided before, or too late for it. Nothing was changed.
            RefundQuoteExceedsPurchase, CurrencyMismatch: the purchase was not known when the quote was saved, and has
                less left, or was paid in another asset.
        """
        self._require_staff()
        quote = await self._quote(quote_id)
        await self._lock(quote.original_purchase_id)
        approved = await self._decide(quote_id, RefundQuoteStatus.APPROVED)
        await self._require_left(approved, (RefundQuoteStatus.APPROVED, RefundQuoteStatus.PROCESSED))
        return approved

    @audited("refunds.deny_quote", "refund_quote")
    @transactional
    async def deny(self, *, quote_id: str) -> RefundQuote:
        """Decide that it is not sent.

        Raises:
            StaffRequired, RefundQuoteNotFound: as their names say.
            RefundQuoteMoveRefused, RefundQuoteExpired: it was decided before, or too late for it. Nothing was changed.
        """
        return await self._decide(quote_id, RefundQuoteStatus.DENIED)

    @audited("refunds.process_quote", "refund_quote")
    @transactional
    async def mark_processed(self, *, quote_id: str, processed_by: str, signature: str) -> RefundQuote:
        """Say that it was sent: who did it, when, and by which transaction, set together and once.

        Raises:
            StaffRequired, RefundQuoteNotFound, InvalidRefundQuote: as their names say.
            RefundQuoteMoveRefused, RefundQuoteExpired: it was processed or denied before, or never approved in time.
            RefundSignatureUsed: another quote was sent by this transaction.
            RefundQuoteExceedsPurchase, CurrencyMismatch: as `approve`.

        Of any number who say so at once, one succeeds. Nothing is changed where it raises.
        """
        self._require_staff()
        by = _text("processed_by", processed_by, SIGNATURE_LENGTH_MAX)
        sent = normal_code(_text("signature", signature, SIGNATURE_LENGTH_MAX))
        quote = await self._quote(quote_id)
        await self._lock(quote.original_purchase_id)
        approved = (await self._quote(quote_id)).status is RefundQuoteStatus.APPROVED
        with violations({"refund_quotes_signature_unique": RefundSignatureUsed}, self.db.names):
            processed = await queries.process_quote(
                self.db,
                tenant_id=self.tenant_id,
                quote_id=quote_id,
                sources=sources(REFUND_QUOTE_MOVES, RefundQuoteStatus.PROCESSED),
                processed_by=by,
                signature=sent,
            )
        if processed is None:
            raise await self._refused(quote_id, RefundQuoteStatus.PROCESSED)
        before = (
            (RefundQuoteStatus.PROCESSED,) if approved else (RefundQuoteStatus.PROCESSED, RefundQuoteStatus.APPROVED)
        )
        await self._require_left(processed, before)
        return processed

    @audited("refunds.delete_quote", "refund_quote")
    @transactional
    async def delete(self, *, quote_id: str) -> None:
        """Remove a quote that was not processed. Raises StaffRequired, RefundQuoteNotFound, RefundQuoteMoveRefused."""
        self._require_staff()
        if not await queries.delete_quote(self.db, tenant_id=self.tenant_id, quote_id=quote_id):
            quote = await self._quote(quote_id)
            raise RefundQuoteMoveRefused(quote=quote_id, status=quote.status.value, to="deleted")

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, quote_id: str) -> RefundQuote:
        """One quote, also when it has expired: see `expired`. Raises RefundQuoteNotFound."""
        return await self._quote(quote_id)

    @operation
    async def by_original_purchase(self, *, purchase_id: str) -> RefundQuote:
        """The newest quote of a purchase. Raises RefundQuoteNotFound where it has none."""
        quote = await queries.newest_quote(self.db, tenant_id=self.tenant_id, purchase_id=normal_code(purchase_id))
        if quote is None:
            raise RefundQuoteNotFound(quote=purchase_id)
        return quote

    @operation
    async def original(self, *, purchase_id: str) -> OriginalPurchase | None:
        """What was paid for a purchase: by its signature in our ledger, else by the `purchase_id` of one order."""
        name = normal_code(purchase_id)
        paid = await queries.original_purchase(self.db, tenant_id=self.tenant_id, purchase_id=name)
        if paid is not None:
            return paid
        orders = await queries.purchases_of_orders(self.db, tenant_id=self.tenant_id, purchase_id=name)
        return orders[0] if len(orders) == 1 else None  # of two sources neither is meant more than the other

    @operation
    async def list_pending(self, *, cursor: str | None = None, limit: int | None = None) -> Page[RefundQuote]:
        """What somebody has to decide or to send, oldest first: approved, or pending and in time."""
        size = page_size(limit)
        after_at, after_id = decode_cursor(cursor, (datetime, str)) if cursor else (None, None)
        rows = await queries.open_quotes(
            self.db, tenant_id=self.tenant_id, after_at=after_at, after_id=after_id, size=size + 1
        )
        return page_of(rows, size, lambda quote: (quote.created_at, quote.id))

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_staff(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired

    async def _lock(self, purchase_id: str) -> None:
        await queries.lock_purchase(self.db, key=f"refund_quotes\x1f{self.tenant_id}\x1f{purchase_id}")

    async def _save(self, quote: RefundQuoteDraft) -> RefundQuote:
        self._require_staff()
        await self._lock(quote.original_purchase_id)
        original = await self.original(purchase_id=quote.original_purchase_id)
        if original is not None:
            if original.amount.currency != quote.amount.currency:
                raise CurrencyMismatch(expected=original.amount.currency, actual=quote.amount.currency, field="amount")
            taken = await queries.quoted(
                self.db, tenant_id=self.tenant_id, purchase_id=quote.original_purchase_id, except_id=quote.id
            )
            left = original.amount - Money(taken, quote.amount.currency)
            if quote.amount > left:
                raise RefundQuoteExceedsPurchase(purchase=quote.original_purchase_id, asked=quote.amount, left=left)
        asset = quote.amount.currency
        saved = await queries.save_quote(
            self.db,
            tenant_id=self.tenant_id,
            quote_id=quote.id,
            purchase_id=quote.original_purchase_id,
            recipient_wallet=quote.recipient_wallet,
            amount=quote.amount.amount,
            asset=asset,
            token=quote.token or asset,
            token_mint=quote.token_mint,
            token_decimals=currency_digits(asset) if quote.token_decimals is None else quote.token_decimals,
            reason=quote.reason,
            metadata=quote.metadata,
            open_for=quote.expires_in,
        )
        if saved is None:
            raise await self._refused(quote.id, RefundQuoteStatus.PENDING)
        return saved

    async def _require_left(self, quote: RefundQuote, before: Sequence[RefundQuoteStatus]) -> None:
        """What a quote takes is left of its purchase, which may have become known since the quote was saved.

        Asked under the purchase's lock, so of two quotes of the rest the second is refused.
        """
        await self._lock(quote.original_purchase_id)  # held already, unless a rival has just saved it for another one
        purchase_id = quote.original_purchase_id
        original = await self.original(purchase_id=purchase_id)
        if original is None:
            return
        if original.amount.currency != quote.amount.currency:
            raise CurrencyMismatch(expected=original.amount.currency, actual=quote.amount.currency, field="amount")
        taken = await queries.quoted_as(
            self.db, tenant_id=self.tenant_id, purchase_id=purchase_id, except_id=quote.id, statuses=before
        )
        left = Money(max(0, original.amount.amount - taken), quote.amount.currency)
        if quote.amount > left:
            raise RefundQuoteExceedsPurchase(purchase=purchase_id, asked=quote.amount, left=left)

    async def _decide(self, quote_id: str, to: RefundQuoteStatus) -> RefundQuote:
        self._require_staff()
        decided = await queries.decide_quote(
            self.db,
            tenant_id=self.tenant_id,
            quote_id=quote_id,
            status=to,
            sources=sources(REFUND_QUOTE_MOVES, to),
        )
        if decided is None:
            raise await self._refused(quote_id, to)
        return decided

    async def _quote(self, quote_id: str) -> RefundQuote:
        quote = await queries.quote(self.db, tenant_id=self.tenant_id, quote_id=quote_id)
        if quote is None:
            raise RefundQuoteNotFound(quote=quote_id)
        return quote

    async def _refused(self, quote_id: str, to: RefundQuoteStatus) -> RefundQuoteMoveRefused | RefundQuoteExpired:
        """Why a statement gave no row: read anew, since a rival may have moved it. Raises RefundQuoteNotFound."""
        quote = await self._quote(quote_id)
        if quote.expired:
            return RefundQuoteExpired(quote=quote_id)
        return RefundQuoteMoveRefused(quote=quote_id, status=quote.status.value, to=to.value)


def _checked(quote: RefundQuoteDraft) -> RefundQuoteDraft:
    """The quote without blanks around its words, or the first thing that cannot be right."""
    if quote.amount.amount < 1:
        raise InvalidRefundQuote(field="amount", reason="must be more than nothing")
    currency_digits(quote.amount.currency)
    if quote.token_decimals is not None and not 0 <= quote.token_decimals <= _DECIMALS_MAX:
        raise InvalidRefundQuote(field="token_decimals", reason=f"0 to {_DECIMALS_MAX}")
    if not timedelta(seconds=1) <= quote.expires_in <= QUOTE_LIFETIME_MAX:
        raise InvalidRefundQuote(field="expires_in", reason=f"one second to {QUOTE_LIFETIME_MAX}")
    try:
        encoded = msgspec.json.encode(quote.metadata)
    except TypeError:
        raise InvalidRefundQuote(field="metadata", reason="is not JSON") from None
    if len(encoded) > METADATA_BYTES_MAX or rb"\u0000" in encoded:
        raise InvalidRefundQuote(field="metadata", reason=f"JSON of at most {METADATA_BYTES_MAX} bytes")
    return msgspec.structs.replace(
        quote,
        id=_text("id", quote.id, QUOTE_ID_LENGTH_MAX),
        original_purchase_id=normal_code(
            _text("original_purchase_id", quote.original_purchase_id, QUOTE_ID_LENGTH_MAX)
        ),
        recipient_wallet=_text("recipient_wallet", quote.recipient_wallet, WALLET_LENGTH_MAX),
        token=None if quote.token is None else _text("token", quote.token, TOKEN_LENGTH_MAX),
        token_mint=None if quote.token_mint is None else _text("token_mint", quote.token_mint, WALLET_LENGTH_MAX),
        reason=None if quote.reason is None else _text("reason", quote.reason, REASON_DETAILS_LENGTH_MAX),
    )


def _text(field: str, text: str, length_max: int) -> str:
    kept = text.strip()
    if not 1 <= len(kept) <= length_max or "\x00" in kept:
        raise InvalidRefundQuote(field=field, reason=f"1 to {length_max} characters")
    return kept
