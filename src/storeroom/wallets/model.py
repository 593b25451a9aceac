"""What wallets paid, where it arrived, and what they were asked for. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from storeroom.core.ids import CartId, PaymentId, VariantId
from storeroom.core.money import AMOUNT_MAX, ASSET_DIGITS, Money, currency_digits
from storeroom.wallets.errors import InvalidAccount, InvalidQuote, InvalidTransaction

SIGNATURE_LENGTH_MAX: Final = 255
RESOURCE_LENGTH_MAX: Final = 255
WALLET_LENGTH_MAX: Final = 128
LABEL_LENGTH_MAX: Final = 100
METADATA_BYTES_MAX: Final = 10_240
BATCH_MAX: Final = 1_000  # payments, or quotes, recorded in one call
ACCOUNTS_MAX: Final = 100  # of one tenant
ARCHIVE_BATCH_MAX: Final = 10_000
QUOTE_ID_LENGTH_MAX: Final = 255
QUOTE_LINES_MAX: Final = 100
QUOTE_QUANTITY_MAX: Final = 10_000
QUOTES_READ_MAX: Final = 100  # in one call
QUOTE_LIFE: Final = timedelta(minutes=15)
QUOTE_LIFE_MAX: Final = timedelta(days=30)
QUOTE_KEPT: Final = timedelta(days=1)  # after its expiry: so long it is called expired, and not unknown

_HEXADECIMAL: Final = re.compile(r"0[xX][0-9a-fA-F]+")  # an address or hash that means the same in any case
_CODE: Final = re.compile(r"[\x21-\x7e]+")
_QUOTE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]+")  # it stands in addresses


class ReceivingAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An address at which money counts as paid to the shop."""

    id: UUID
    asset: str
    address: str
    label: str
    is_active: bool  # money that arrives there counts
    created_at: datetime
    updated_at: datetime


class NewTransaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verified payment to record."""

    signature: Annotated[str, Meta(min_length=1, max_length=SIGNATURE_LENGTH_MAX)]
    resource_id: Annotated[str, Meta(min_length=1, max_length=RESOURCE_LENGTH_MAX)]
    wallet: Annotated[str, Meta(min_length=1, max_length=WALLET_LENGTH_MAX)]
    amount: Money
    account: Annotated[str, Meta(min_length=1, max_length=WALLET_LENGTH_MAX)] | None = None
    metadata: dict[str, Any] = {}


class PaymentTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A payment whose signature was honoured."""

    signature: str
    resource_id: str  # what was paid for
    wallet: str  # who paid
    amount: Money
    account: str | None  # where it arrived; None: a provider vouches for it
    payment_id: PaymentId | None  # the payment of an order that it led to
    metadata: dict[str, Any]
    created_at: datetime
    archived: bool  # old enough to have left the ledger; its signature stays refused


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one signature."""

    first: bool  # False: it was honoured before, and nothing was written


class RecordedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    first: bool  # all of them were; False: nothing was written
    replayed: list[str]  # the signatures that stood in the way


class Recording(msgspec.Struct, frozen=True):
    """What the statement says."""

    first: bool
    counts: bool  # it arrived at an account of the shop


class Obstacle(msgspec.Struct, frozen=True):
    """Why record_payments_v1 wrote nothing."""

    signature: str
    reason: str  # `account` or `replay`


class QuoteItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of an offer: a variant, named by its id or its sku, at a price of the offer's own."""

    variant_id: VariantId | None = None
    sku: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    quantity: Annotated[int, Meta(ge=1, le=QUOTE_QUANTITY_MAX)] = 1
    unit_price: Money


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An offer to save."""

    id: Annotated[str, Meta(min_length=1, max_length=QUOTE_ID_LENGTH_MAX)]
    items: Annotated[list[QuoteItem], Meta(min_length=1, max_length=QUOTE_LINES_MAX)]
    total: Money  # the lines' sum, or less where something was taken off
    expires_at: datetime | None = None  # None: QUOTE_LIFE from now, by the database's clock
    cart_id: CartId | None = None  # whose reservations the order takes over
    metadata: dict[str, Any] = {}


class CartQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A priced offer, which one wallet pays."""

    id: str
    items: list[QuoteItem]
    total: Money
    metadata: dict[str, Any]
    cart_id: CartId | None
    expires_at: datetime
    expired: bool  # it can no longer be paid, unless it was
    wallet_paid_by: str | None
    paid_at: datetime | None
    created_at: datetime
    updated_at: datetime


class QuoteOutcome(StrEnum):
    """What became of the wish to mark a quote as paid."""

    PAID_NOW = "paid_now"
    ALREADY_PAID = "already_paid_by_this_wallet"  # said twice: as good as the first time
    PAID_BY_ANOTHER = "paid_by_another"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class SavedQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote as save_quotes reads it."""

    id: str
    items: list[QuoteItem]
    total_amount: int
    total_asset: str
    metadata: dict[str, Any]
    cart_id: UUID | None
    expires_at: datetime | None


def normal_code(text: str) -> str:
    """A signature, wallet or account as it is compared: without the space around it, hexadecimal in lower case.

    One transaction may be written 0xAB and 0xab; kept as written, it would count twice. Other alphabets tell the cases
    apart.
    """
    code = text.strip()
    return code.lower() if _HEXADECIMAL.fullmatch(code) else code


def is_code(text: str, length_max: int) -> bool:
    """Whether it is printable ASCII without spaces, and not too long."""
    return len(text) <= length_max and _CODE.fullmatch(text) is not None


def checked_transaction(draft: NewTransaction) -> NewTransaction:
    """The same, as it is kept.

    Raises:
        InvalidTransaction, UnknownCurrency: a field is out of bounds.
    """
    signature, wallet = normal_code(draft.signature), normal_code(draft.wallet)
    account = None if draft.account is None else normal_code(draft.account)
    for field, code, longest in (
        ("signature", signature, SIGNATURE_LENGTH_MAX),
        ("wallet", wallet, WALLET_LENGTH_MAX),
        ("account", "-" if account is None else account, WALLET_LENGTH_MAX),
    ):
        if not is_code(code, longest):
            raise InvalidTransaction(field=field, reason=f"1 to {longest} printable ASCII characters without spaces")
    if not 1 <= len(draft.resource_id) <= RESOURCE_LENGTH_MAX or not draft.resource_id.isprintable():
        raise InvalidTransaction(field="resource_id", reason=f"1 to {RESOURCE_LENGTH_MAX} printable characters")
    currency_digits(draft.amount.currency)
    if draft.amount.amount < 1:
        raise InvalidTransaction(field="amount", reason="must be more than nothing")
    if account is None and is_asset(draft.amount.currency):
        raise InvalidTransaction(field="account", reason=f"say at which account the {draft.amount.currency} arrived")
    if not fits(draft.metadata):
        raise InvalidTransaction(field="metadata", reason=f"larger than {METADATA_BYTES_MAX} bytes")
    return msgspec.structs.replace(draft, signature=signature, wallet=wallet, account=account)


def checked_quote(draft: NewQuote, now: datetime) -> SavedQuote:
    """The quote as it is stored.

    Raises:
        InvalidQuote, UnknownCurrency: it is out of bounds, or speaks of two assets.
    """
    if len(draft.id) > QUOTE_ID_LENGTH_MAX or not _QUOTE_ID.fullmatch(draft.id):
        raise InvalidQuote(field="id", reason=f"1 to {QUOTE_ID_LENGTH_MAX} letters, digits, '_', '.', ':' or '-'")
    if not 1 <= len(draft.items) <= QUOTE_LINES_MAX:
        raise InvalidQuote(field="items", reason=f"1 to {QUOTE_LINES_MAX} lines")
    asset = draft.total.currency
    currency_digits(asset)
    check_lines(draft.items, draft.total)
    if draft.expires_at is not None:
        if draft.expires_at.utcoffset() is None:
            raise InvalidQuote(field="expires_at", reason="an instant needs an offset from UTC")
        if draft.expires_at > now + QUOTE_LIFE_MAX:
            raise InvalidQuote(field="expires_at", reason=f"within {QUOTE_LIFE_MAX.days} days")
    if not fits(draft.metadata):
        raise InvalidQuote(field="metadata", reason=f"larger than {METADATA_BYTES_MAX} bytes")
    return SavedQuote(
        id=draft.id,
        items=draft.items,
        total_amount=draft.total.amount,
        total_asset=asset,
        metadata=draft.metadata,
        cart_id=draft.cart_id,
        expires_at=draft.expires_at,
    )


def check_lines(items: Sequence[QuoteItem], total: Money) -> None:
    """That the lines can come to this total.

    Raises:
        InvalidQuote: two assets, a quantity or price out of bounds, or a total that is nothing or more than the lines.
    """
    summed = 0
    for number, item in enumerate(items):
        where = f"items[{number}]"
        if (item.variant_id is None) == (item.sku is None):
            raise InvalidQuote(field=where, reason="name a variant_id or a sku, one of the two")
        if not 1 <= item.quantity <= QUOTE_QUANTITY_MAX:
            raise InvalidQuote(field=f"{where}.quantity", reason=f"1 to {QUOTE_QUANTITY_MAX} units")
        if item.unit_price.currency != total.currency:
            raise InvalidQuote(
                field=f"{where}.unit_price", reason=f"a quote has one asset, this one is {total.currency}"
            )
        if item.unit_price.amount < 0:
            raise InvalidQuote(field=f"{where}.unit_price", reason="0 or more")
        summed += item.quantity * item.unit_price.amount
    if not 1 <= total.amount <= summed <= AMOUNT_MAX:
        raise InvalidQuote(
            field="total", reason=f"from 1 to what the lines come to, {summed}, which is {AMOUNT_MAX} at most"
        )


def checked_account(asset: str, address: str, label: str) -> tuple[str, str, str]:
    """The three as they are kept.

    Raises:
        InvalidAccount, UnknownCurrency: one of them is out of bounds.
    """
    code, place, called = asset.strip().upper(), normal_code(address), " ".join(label.split())
    currency_digits(code)
    if not is_code(place, WALLET_LENGTH_MAX):
        raise InvalidAccount(
            field="address", reason=f"1 to {WALLET_LENGTH_MAX} printable ASCII characters without spaces"
        )
    if not 1 <= len(called) <= LABEL_LENGTH_MAX or not called.isprintable():
        raise InvalidAccount(field="label", reason=f"1 to {LABEL_LENGTH_MAX} printable characters")
    return code, place, called


def is_asset(currency: str) -> bool:
    """Whether it is a token, which anybody can send anywhere, and no money of a bank."""
    return currency in ASSET_DIGITS


def fits(metadata: dict[str, Any]) -> bool:
    """Whether it is not too large."""
    return len(msgspec.json.encode(metadata)) <= METADATA_BYTES_MAX
