"""Priced offers: saved, read, paid by one wallet, and forgotten."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storeroom.audit import audited
from storeroom.core.ids import CartId
from storeroom.core.money import Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.pool import Transaction
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.wallets import queries
from storeroom.wallets.errors import (
    InvalidQuote,
    NotForCustomers,
    QuoteExpired,
    QuoteNotFound,
    QuotePaid,
    QuotePaidByAnother,
)
from storeroom.wallets.model import (
    BATCH_MAX,
    QUOTE_LIFE,
    QUOTES_READ_MAX,
    WALLET_LENGTH_MAX,
    CartQuote,
    NewQuote,
    QuoteItem,
    QuoteOutcome,
    checked_quote,
    is_code,
    normal_code,
)


class CartQuotes(Service):
    """Offers of one shop, by ids that the caller chooses."""

    @audited("cart_quotes.save", "cart_quote")
    @transactional
    async def save(
        self,
        *,
        id: str,  # noqa: A002 - as the document calls it
        items: Sequence[QuoteItem],
        total: Money,
        expires_at: datetime | None = None,
        cart_id: CartId | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> CartQuote:
        """Save an offer. The same id again replaces it as long as it is unpaid.

        A paid one keeps its payer and all that was agreed: another offer in its place would be one that nobody paid.

        Args:
            id: of the quote, 1 to QUOTE_ID_LENGTH_MAX characters.
            items: 1 to QUOTE_LINES_MAX lines, all in one asset.
            total: what is to be paid: the lines' sum, or less.
            expires_at: from then on it cannot be paid; None: QUOTE_LIFE from now, by the database's clock.
            cart_id: whose reservations an order takes over when this is paid.
            metadata: METADATA_BYTES_MAX at most.

        Raises:
            NotForCustomers: the actor is a customer, who does not make the price.
            InvalidQuote, UnknownCurrency: it is out of bounds.
            QuotePaid: it was paid. Nothing was changed.
        """
        self._require_seller()
        draft = NewQuote(
            id=id,
            items=list(items),
            total=total,
            expires_at=expires_at,
            cart_id=cart_id,
            metadata=dict(metadata or {}),
        )
        row = checked_quote(draft, self.context.clock.now())
        saved = await queries.save_quote(
            self.db,
            tenant_id=self.tenant_id,
            quote_id=row.id,
            items=row.items,
            total_amount=row.total_amount,
            total_asset=row.total_asset,
            metadata=row.metadata,
            cart_id=row.cart_id,
            expires_at=row.expires_at,
            life=QUOTE_LIFE,
        )
        if saved is None:
            raise QuotePaid(quote_ids=[id])
        return saved

    @audited("cart_quotes.save_many", "cart_quote")
    @transactional
    async def save_many(self, *, quotes: Sequence[NewQuote]) -> int:
        """Save offers, all of them or none, in one statement; return how many it were.

        Raises:
            NotForCustomers, InvalidQuote, UnknownCurrency: as `save`; also for an empty batch, one of more than
                BATCH_MAX, or an id that is in it twice.
            QuotePaid: some were paid; it says which. None was saved.
        """
        self._require_seller()
        if not 1 <= len(quotes) <= BATCH_MAX:
            raise InvalidQuote(field="quotes", reason=f"1 to {BATCH_MAX} quotes")
        now = self.context.clock.now()
        rows = [checked_quote(quote, now) for quote in quotes]
        ids = [row.id for row in rows]
        if len(set(ids)) < len(ids):
            raise InvalidQuote(field="quotes", reason="an id is in it twice")
        if not isinstance(self.db, Transaction):
            raise TypeError("a batch is saved inside a transaction")
        async with self.db.transaction() as whole:  # a savepoint: who catches the refusal keeps nothing of the attempt
            saved = await queries.save_quotes(whole, tenant_id=self.tenant_id, quotes=rows, life=QUOTE_LIFE)
            if saved < len(rows):
                raise QuotePaid(quote_ids=await queries.paid_quotes(whole, tenant_id=self.tenant_id, quote_ids=ids))
        return saved

    @operation
    async def get(self, *, quote_id: str) -> CartQuote:
        """One offer, an expired one too: `expired` says so. Raises QuoteNotFound."""
        for found in await queries.quotes(self.db, tenant_id=self.tenant_id, quote_ids=[quote_id]):
            return found
        raise QuoteNotFound(quote_id=quote_id)

    @operation
    async def get_many(self, *, quote_ids: Sequence[str]) -> Sequence[CartQuote]:
        """Those of these offers that there are, in the order asked for, in one query; QUOTES_READ_MAX at most.

        Raises:
            InvalidQuote: too many were asked for.
        """
        if len(quote_ids) > QUOTES_READ_MAX:
            raise InvalidQuote(field="ids", reason=f"{QUOTES_READ_MAX} at most")
        found = {
            quote.id: quote
            for quote in await queries.quotes(self.db, tenant_id=self.tenant_id, quote_ids=list(quote_ids))
        }
        return [found[quote_id] for quote_id in dict.fromkeys(quote_ids) if quote_id in found]

    @operation
    async def list(
        self, *, lapsed: bool = False, cursor: str | None = None, limit: int | None = None
    ) -> Page[CartQuote]:
        """Offers, newest first; or those whose time passed unpaid, the one that lapsed first comes first."""
        size = page_size(limit)
        at, quote_id = decode_cursor(cursor, (datetime, str)) if cursor else (None, None)
        if lapsed:
            rows = await queries.quotes_lapsed(
                self.db, tenant_id=self.tenant_id, after_at=at, after_id=quote_id, size=size + 1
            )
            return page_of(rows, size, lambda quote: (quote.expires_at, quote.id))
        rows = await queries.quotes_listed(
            self.db, tenant_id=self.tenant_id, before_at=at, before_id=quote_id, size=size + 1
        )
        return page_of(rows, size, lambda quote: (quote.created_at, quote.id))

    @audited("cart_quotes.mark_paid", "cart_quote")
    @transactional
    async def mark_paid(self, *, quote_id: str, wallet: str) -> QuoteOutcome:
        """Say that a wallet paid an offer; of several wallets one does. The outcome tells the five cases apart.

        `WalletPayments.record` does this together with the payment and the order.

        Raises:
            NotForCustomers: the actor is a customer.
            InvalidQuote: this is no wallet.
        """
        self._require_seller()
        return await queries.mark_quote_paid(
            self.db, tenant_id=self.tenant_id, quote_id=quote_id, wallet=_wallet(wallet)
        )

    @audited("cart_quotes.mark_paid", "cart_quote")
    @transactional
    async def pay(self, *, quote_id: str, wallet: str) -> QuoteOutcome:
        """The same, where an offer that cannot be paid is an error: PAID_NOW or ALREADY_PAID.

        Raises:
            QuoteNotFound, QuoteExpired, QuotePaidByAnother: nothing was changed.
            NotForCustomers, InvalidQuote: as `mark_paid`.
        """
        outcome = await self.mark_paid(quote_id=quote_id, wallet=wallet)
        match outcome:
            case QuoteOutcome.UNKNOWN:
                raise QuoteNotFound(quote_id=quote_id)
            case QuoteOutcome.EXPIRED:
                raise QuoteExpired(quote_id=quote_id)
            case QuoteOutcome.PAID_BY_ANOTHER:
                raise QuotePaidByAnother(quote_id=quote_id)
            case _:
                return outcome

    @operation
    async def has_access(self, *, quote_id: str, wallet: str) -> bool:
        """Whether this wallet has paid this offer."""
        return await queries.wallet_paid(
            self.db, tenant_id=self.tenant_id, quote_id=quote_id, wallet=normal_code(wallet)
        )

    def _require_seller(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise NotForCustomers


def _wallet(text: str) -> str:
    wallet = normal_code(text)
    if not is_code(wallet, WALLET_LENGTH_MAX):
        raise InvalidQuote(field="wallet", reason=f"1 to {WALLET_LENGTH_MAX} printable ASCII characters without spaces")
    return wallet
