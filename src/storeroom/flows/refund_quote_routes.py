"""Refund quotes over HTTP, for staff and programs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency
from storeroom.core.pages import InvalidCursor, Page
from storeroom.flows.refunding import RefundDecisions
from storeroom.flows.refunding_routes import NONCE_REFUSALS, NonceParameter
from storeroom.identity import Permission
from storeroom.refunds import (
    QUOTES_BATCH_MAX,
    InvalidRefundQuote,
    RefundQuote,
    RefundQuoteDraft,
    RefundQuoteExceedsPurchase,
    RefundQuoteExpired,
    RefundQuoteMoveRefused,
    RefundQuoteNotFound,
    RefundSignatureUsed,
)
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: refund quotes"]
_READ: Final = [requires(Permission.PAYMENTS_READ)]
_WRITE: Final = [requires(Permission.REFUNDS_WRITE)]
_LIFETIME_S: Final = 900
_LIFETIME_S_MAX: Final = 30 * 86_400

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Wallet = Annotated[str, Meta(min_length=1, max_length=128)]
PurchaseParameter = Annotated[
    str, QueryParameter(name="purchase_id", description="The original purchase.", min_length=1, max_length=255)
]


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to go back, and where to."""

    id: Name
    original_purchase_id: Name
    recipient_wallet: Wallet
    amount: Money
    token: Annotated[str, Meta(min_length=1, max_length=50)] | None = None  # None: the asset
    token_mint: Wallet | None = None
    token_decimals: Annotated[int, Meta(gt=-1, le=9)] | None = None  # ge=0 would not reach the OpenAPI document
    reason: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    metadata: dict[str, Any] = {}
    expires_in_s: Annotated[int, Meta(ge=1, le=_LIFETIME_S_MAX)] = _LIFETIME_S

    def draft(self) -> RefundQuoteDraft:
        """The quote as the service takes it."""
        facts = msgspec.structs.asdict(self)
        return RefundQuoteDraft(expires_in=timedelta(seconds=facts.pop("expires_in_s")), **facts)


class NewQuotes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several, all of them or none."""

    quotes: Annotated[list[NewQuote], Meta(min_length=1, max_length=QUOTES_BATCH_MAX)]


class SentQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who sent it, and by which transaction."""

    processed_by: Name
    signature: Name


@post(
    "/v1/admin/refund-quotes",
    summary="Keep a refund quote",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        InvalidRefundQuote, CurrencyMismatch, UnknownCurrency, RefundQuoteExceedsPurchase, RefundQuoteMoveRefused
    ),
)
async def save_quote(data: JSONBody[NewQuote], refund_quotes: NamedDependency[RefundDecisions]) -> RefundQuote:
    """The same id again replaces it as long as nobody decided it."""
    return await refund_quotes.save(quote=data.draft())


@post(
    "/v1/admin/refund-quotes/batch",
    summary="Keep several refund quotes, or none",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        InvalidRefundQuote, CurrencyMismatch, UnknownCurrency, RefundQuoteExceedsPurchase, RefundQuoteMoveRefused
    ),
)
async def save_quotes(
    data: JSONBody[NewQuotes], refund_quotes: NamedDependency[RefundDecisions]
) -> Sequence[RefundQuote]:
    """In the order in which they came."""
    return await refund_quotes.save_many(quotes=[quote.draft() for quote in data.quotes])


@get(
    "/v1/admin/refund-quotes",
    summary="Refund quotes to decide or to send, oldest first",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def pending_quotes(
    refund_quotes: NamedDependency[RefundDecisions],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[RefundQuote]:
    """Approved, or pending and in time."""
    return await refund_quotes.list_pending(cursor=cursor, limit=limit)


@get(
    "/v1/admin/refund-quotes/newest",
    summary="The newest refund quote of a purchase",
    tags=_TAGS,
    guards=_READ,
    responses=says(RefundQuoteNotFound),
)
async def newest_quote(purchase_id: PurchaseParameter, refund_quotes: NamedDependency[RefundDecisions]) -> RefundQuote:
    """Whatever became of it."""
    return await refund_quotes.by_original_purchase(purchase_id=purchase_id)


@get(
    "/v1/admin/refund-quotes/{quote_id:str}",
    summary="One refund quote",
    tags=_TAGS,
    guards=_READ,
    responses=says(RefundQuoteNotFound),
)
async def get_quote(quote_id: FromPath[str], refund_quotes: NamedDependency[RefundDecisions]) -> RefundQuote:
    """Also when it has expired, as long as it is kept."""
    return await refund_quotes.get(quote_id=quote_id)


@post(
    "/v1/admin/refund-quotes/{quote_id:str}/approve",
    status_code=200,
    summary="Decide that it is sent",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        RefundQuoteNotFound,
        RefundQuoteMoveRefused,
        RefundQuoteExpired,
        RefundQuoteExceedsPurchase,
        CurrencyMismatch,
        *NONCE_REFUSALS,
    ),
)
async def approve_quote(
    quote_id: FromPath[str], refund_quotes: NamedDependency[RefundDecisions], nonce: NonceParameter = ""
) -> RefundQuote:
    """It no longer expires."""
    return await refund_quotes.approve(quote_id=quote_id, nonce_token=nonce)


@post(
    "/v1/admin/refund-quotes/{quote_id:str}/deny",
    status_code=200,
    summary="Decide that it is not sent",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(RefundQuoteNotFound, RefundQuoteMoveRefused, RefundQuoteExpired),
)
async def deny_quote(quote_id: FromPath[str], refund_quotes: NamedDependency[RefundDecisions]) -> RefundQuote:
    """That is final; another quote may be saved."""
    return await refund_quotes.deny(quote_id=quote_id)


@post(
    "/v1/admin/refund-quotes/{quote_id:str}/process",
    status_code=200,
    summary="Say that it was sent",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(
        RefundQuoteNotFound,
        InvalidRefundQuote,
        RefundQuoteMoveRefused,
        RefundQuoteExpired,
        RefundSignatureUsed,
        RefundQuoteExceedsPurchase,
        CurrencyMismatch,
        *NONCE_REFUSALS,
    ),
)
async def process_quote(
    quote_id: FromPath[str],
    data: JSONBody[SentQuote],
    refund_quotes: NamedDependency[RefundDecisions],
    nonce: NonceParameter = "",
) -> RefundQuote:
    """Once, whoever says so. A payment of ours that it goes back of is refunded with it."""
    return await refund_quotes.mark_processed(
        quote_id=quote_id, processed_by=data.processed_by, signature=data.signature, nonce_token=nonce
    )


@delete(
    "/v1/admin/refund-quotes/{quote_id:str}",
    status_code=204,
    summary="Remove a refund quote",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(RefundQuoteNotFound, RefundQuoteMoveRefused),
)
async def delete_quote(quote_id: FromPath[str], refund_quotes: NamedDependency[RefundDecisions]) -> None:
    """One that was processed is kept."""
    await refund_quotes.delete(quote_id=quote_id)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    save_quote,
    save_quotes,
    pending_quotes,
    newest_quote,
    get_quote,
    approve_quote,
    deny_quote,
    process_quote,
    delete_quote,
)
