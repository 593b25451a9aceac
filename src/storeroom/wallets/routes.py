"""HTTP of payments from wallets: staff and pay servers record them and make offers; customers look at an offer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.ids import CartId
from storeroom.core.money import Money, UnknownCurrency
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.wallets import errors
from storeroom.wallets.accounts import ReceivingAccounts
from storeroom.wallets.model import (
    BATCH_MAX,
    LABEL_LENGTH_MAX,
    QUOTE_ID_LENGTH_MAX,
    QUOTE_LINES_MAX,
    QUOTES_READ_MAX,
    SIGNATURE_LENGTH_MAX,
    WALLET_LENGTH_MAX,
    CartQuote,
    NewQuote,
    NewTransaction,
    PaymentTransaction,
    QuoteItem,
    QuoteOutcome,
    ReceivingAccount,
    Recorded,
    RecordedBatch,
)
from storeroom.wallets.quotes import CartQuotes
from storeroom.wallets.transactions import Transactions
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: wallets"]
_SETTINGS: Final = [requires(Permission.SETTINGS_WRITE)]
_READ: Final = [requires(Permission.PAYMENTS_READ)]
_RECORD: Final = [requires(Permission.PAYMENTS_RECORD)]

Asset = Annotated[str, Meta(min_length=3, max_length=10, examples=["USDC"])]
Wallet = Annotated[
    str,
    Meta(min_length=1, max_length=WALLET_LENGTH_MAX, examples=["4Nd1mYvKfZ3wzYz7S8pXkDkq9m1hFq2B3dYt6oR5uA1x"]),
]
Label = Annotated[str, Meta(min_length=1, max_length=LABEL_LENGTH_MAX, examples=["Main"])]
Signature = Annotated[str, Meta(min_length=1, max_length=SIGNATURE_LENGTH_MAX, examples=["5h3kQ9"])]
QuoteId = Annotated[str, Meta(min_length=1, max_length=QUOTE_ID_LENGTH_MAX, examples=["cart_5f2b"])]


class NewReceivingAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address at which money counts."""

    asset: Asset
    address: Wallet
    label: Label


class ReceivingAccountPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    label: Label | None = None
    is_active: bool | None = None


class ReceivingAccountList(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, by asset and address."""

    items: Sequence[ReceivingAccount]


class TransactionBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payments to record, all or none."""

    payments: Annotated[list[NewTransaction], Meta(min_length=1, max_length=BATCH_MAX)]


class Processed(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a signature was honoured."""

    processed: bool


class QuoteDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An offer. Its id is what a customer reads it by: one that cannot be guessed."""

    id: QuoteId
    items: Annotated[list[QuoteItem], Meta(min_length=1, max_length=QUOTE_LINES_MAX)]
    total: Money
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    cart_id: CartId | None = None
    metadata: dict[str, Any] = {}


class QuoteBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offers to save, all or none."""

    quotes: Annotated[list[QuoteDraft], Meta(min_length=1, max_length=BATCH_MAX)]


class SavedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """How many were saved."""

    saved: int


class QuoteList(msgspec.Struct, frozen=True, kw_only=True):
    """Those that there are, in the order asked for."""

    items: Sequence[CartQuote]


class QuotePayer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who paid."""

    wallet: Wallet


class QuoteMarked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: `paid_now`, or `already_paid_by_this_wallet`."""

    outcome: QuoteOutcome


class QuoteAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the wallet has paid the offer."""

    has_access: bool


class OfferedQuote(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as its customer sees it: what, how much, until when, and where to send it."""

    id: str
    items: list[QuoteItem]
    total: Money
    expires_at: datetime
    expired: bool
    paid: bool
    accounts: list[str]  # of the shop for this asset: what arrives at one of them counts


# --- Where money counts -----------------------------------------------------------------------------------------------


@get(
    "/v1/admin/receiving-accounts",
    summary="Accounts that take money from wallets",
    tags=_TAGS,
    guards=_READ,
    responses=says(),
)
async def list_receiving_accounts(receiving_accounts: NamedDependency[ReceivingAccounts]) -> ReceivingAccountList:
    """The inactive ones too."""
    return ReceivingAccountList(items=await receiving_accounts.list())


@post(
    "/v1/admin/receiving-accounts",
    summary="Add an account that takes money from wallets",
    tags=_TAGS,
    guards=_SETTINGS,
    opt=IDEMPOTENT,
    responses=says(
        errors.InvalidAccount, UnknownCurrency, errors.ReceivingAccountTaken, errors.TooManyReceivingAccounts
    ),
)
async def create_receiving_account(
    data: JSONBody[NewReceivingAccount], receiving_accounts: NamedDependency[ReceivingAccounts]
) -> ReceivingAccount:
    """What arrives there counts from now on; what arrives anywhere else is no payment to the shop."""
    return await receiving_accounts.create(asset=data.asset, address=data.address, label=data.label)


@patch(
    "/v1/admin/receiving-accounts/{account_id:uuid}",
    summary="Rename an account, or stop or resume it",
    tags=_TAGS,
    guards=_SETTINGS,
    responses=says(errors.ReceivingAccountNotFound, errors.InvalidAccount),
)
async def update_receiving_account(
    account_id: FromPath[UUID],
    data: JSONBody[ReceivingAccountPatch],
    receiving_accounts: NamedDependency[ReceivingAccounts],
) -> ReceivingAccount:
    """What was recorded before stays."""
    return await receiving_accounts.update(account_id=account_id, label=data.label, is_active=data.is_active)


# --- The ledger -------------------------------------------------------------------------------------------------------


@get(
    "/v1/admin/payment-transactions",
    summary="Payments from wallets",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor),
)
async def list_transactions(
    transactions: NamedDependency[Transactions],
    wallet: FromQuery[Wallet | None] = None,
    resource_id: FromQuery[Annotated[str, Meta(min_length=1, max_length=255)] | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[PaymentTransaction]:
    """Newest first; the archived ones are found by their signature."""
    return await transactions.list(wallet=wallet, resource_id=resource_id, cursor=cursor, limit=limit)


@get(
    "/v1/admin/payment-transactions/by-signature",
    summary="One payment from a wallet",
    tags=_TAGS,
    guards=_READ,
    responses=says(errors.TransactionNotFound),
)
async def get_transaction(
    signature: FromQuery[Signature], transactions: NamedDependency[Transactions]
) -> PaymentTransaction:
    """Archived or not."""
    return await transactions.get(signature=signature)


@get(
    "/v1/admin/payment-transactions/processed",
    summary="Whether a signature was honoured",
    tags=_TAGS,
    guards=_READ,
    responses=says(),
)
async def transaction_processed(
    signature: FromQuery[Signature], transactions: NamedDependency[Transactions]
) -> Processed:
    """True for ever once it was."""
    return Processed(processed=await transactions.has_been_processed(signature=signature))


@post(
    "/v1/admin/payment-transactions",
    status_code=200,
    summary="Record a verified payment, and learn whether it is the first time",
    tags=_TAGS,
    guards=_RECORD,
    opt=IDEMPOTENT,
    responses=says(errors.InvalidTransaction, UnknownCurrency, errors.NotOurAccount),
)
async def record_transaction(data: JSONBody[NewTransaction], transactions: NamedDependency[Transactions]) -> Recorded:
    """Of any number of calls with one signature one hears `first`; the others honour nothing."""
    return await transactions.record(
        signature=data.signature,
        resource_id=data.resource_id,
        wallet=data.wallet,
        amount=data.amount,
        account=data.account,
        metadata=data.metadata,
    )


@post(
    "/v1/admin/payment-transactions/batch",
    status_code=200,
    summary="Record payments, all or none",
    tags=_TAGS,
    guards=_RECORD,
    opt=IDEMPOTENT,
    responses=says(errors.InvalidTransaction, UnknownCurrency, errors.NotOurAccount),
)
async def record_transactions(
    data: JSONBody[TransactionBatch], transactions: NamedDependency[Transactions]
) -> RecordedBatch:
    """Where one was honoured before, none is recorded, and `replayed` names it."""
    return await transactions.record_many(data.payments)


# --- Offers -----------------------------------------------------------------------------------------------------------


@get("/v1/admin/cart-quotes", summary="Offers", tags=_TAGS, guards=_READ, responses=says(InvalidCursor))
async def list_quotes(
    cart_quotes: NamedDependency[CartQuotes],
    lapsed: FromQuery[bool] = False,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[CartQuote]:
    """Newest first; `lapsed=true` gives those whose time passed unpaid, from the first on."""
    return await cart_quotes.list(lapsed=lapsed, cursor=cursor, limit=limit)


@get(
    "/v1/admin/cart-quotes/by-ids",
    summary="Some offers",
    tags=_TAGS,
    guards=_READ,
    responses=says(errors.InvalidQuote),
)
async def get_quotes(
    ids: FromQuery[Annotated[list[str], Meta(max_length=QUOTES_READ_MAX)]], cart_quotes: NamedDependency[CartQuotes]
) -> QuoteList:
    """Those that there are; `ids` comes once for each."""
    return QuoteList(items=await cart_quotes.get_many(quote_ids=ids))


@get(
    "/v1/admin/cart-quotes/{cart_quote_id:str}",
    summary="One offer",
    tags=_TAGS,
    guards=_READ,
    responses=says(errors.QuoteNotFound),
)
async def get_quote(cart_quote_id: FromPath[str], cart_quotes: NamedDependency[CartQuotes]) -> CartQuote:
    """An expired one too, which says so."""
    return await cart_quotes.get(quote_id=cart_quote_id)


@post(
    "/v1/admin/cart-quotes",
    summary="Save an offer",
    tags=_TAGS,
    guards=_RECORD,
    opt=IDEMPOTENT,
    responses=says(errors.InvalidQuote, UnknownCurrency, errors.QuotePaid),
)
async def save_quote(data: JSONBody[QuoteDraft], cart_quotes: NamedDependency[CartQuotes]) -> CartQuote:
    """The same id again replaces it, until it is paid."""
    return await cart_quotes.save(
        id=data.id,
        items=data.items,
        total=data.total,
        expires_at=data.expires_at,
        cart_id=data.cart_id,
        metadata=data.metadata,
    )


@post(
    "/v1/admin/cart-quotes/batch",
    summary="Save offers, all or none",
    tags=_TAGS,
    guards=_RECORD,
    opt=IDEMPOTENT,
    responses=says(errors.InvalidQuote, UnknownCurrency, errors.QuotePaid),
)
async def save_quotes(data: JSONBody[QuoteBatch], cart_quotes: NamedDependency[CartQuotes]) -> SavedBatch:
    """Where one cannot be saved, none is."""
    drafts = [NewQuote(**msgspec.structs.asdict(draft)) for draft in data.quotes]
    return SavedBatch(saved=await cart_quotes.save_many(quotes=drafts))


@post(
    "/v1/admin/cart-quotes/{cart_quote_id:str}/mark-paid",
    status_code=200,
    summary="Say which wallet paid an offer",
    tags=_TAGS,
    guards=_RECORD,
    opt=IDEMPOTENT,
    responses=says(errors.QuoteNotFound, errors.QuoteExpired, errors.QuotePaidByAnother, errors.InvalidQuote),
)
async def mark_quote_paid(
    cart_quote_id: FromPath[str], data: JSONBody[QuotePayer], cart_quotes: NamedDependency[CartQuotes]
) -> QuoteMarked:
    """One wallet pays it, before its time is over. `POST /v1/admin/wallet-payments` does this with the order."""
    return QuoteMarked(outcome=await cart_quotes.pay(quote_id=cart_quote_id, wallet=data.wallet))


@get(
    "/v1/admin/cart-quotes/{cart_quote_id:str}/access",
    summary="Whether a wallet has paid an offer",
    tags=_TAGS,
    guards=_READ,
    responses=says(),
)
async def quote_access(
    cart_quote_id: FromPath[str], wallet: FromQuery[Wallet], cart_quotes: NamedDependency[CartQuotes]
) -> QuoteAccess:
    """False for an unknown offer as well."""
    return QuoteAccess(has_access=await cart_quotes.has_access(quote_id=cart_quote_id, wallet=wallet))


@get(
    "/v1/cart-quotes/{cart_quote_id:str}",
    summary="An offer, for its customer",
    tags=["wallets"],
    responses=says(errors.QuoteNotFound),
)
async def offered_quote(
    cart_quote_id: FromPath[str],
    cart_quotes: NamedDependency[CartQuotes],
    receiving_accounts: NamedDependency[ReceivingAccounts],
) -> OfferedQuote:
    """Whoever knows its id sees what is to be paid, until when, and to which accounts; not who paid it."""
    quote = await cart_quotes.get(quote_id=cart_quote_id)
    accounts = await receiving_accounts.list(asset=quote.total.currency, active=True)
    return OfferedQuote(
        id=quote.id,
        items=quote.items,
        total=quote.total,
        expires_at=quote.expires_at,
        expired=quote.expired,
        paid=quote.wallet_paid_by is not None,
        accounts=[account.address for account in accounts],
    )


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_receiving_accounts,
    create_receiving_account,
    update_receiving_account,
    list_transactions,
    get_transaction,
    transaction_processed,
    record_transaction,
    record_transactions,
    list_quotes,
    get_quotes,
    get_quote,
    save_quote,
    save_quotes,
    mark_quote_paid,
    quote_access,
    offered_quote,
)
