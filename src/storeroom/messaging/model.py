"""Templates, what they become, and what they are about."""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NewType
from uuid import UUID

import msgspec

from storeroom.core.ids import OrderId, UserId
from storeroom.core.money import Money
from storeroom.notices import Channel

TEMPLATES_MAX: Final = 500  # of one shop
SUBJECT_LENGTH_MAX: Final = 500
BODY_LENGTH_MAX: Final = 20_000
HTML_LENGTH_MAX: Final = 50_000
LINES_MAX: Final = 100  # of an order, in one mail
LANGUAGE_DEFAULT: Final = "en"
LOCALE_UNSET: Final = "en-US"  # what a profile says that nobody has asked
LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?")

TemplateId = NewType("TemplateId", UUID)


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says."""

    text: str
    subject: str = ""
    html: str | None = None


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The templates of one message."""

    body: str
    subject: str | None = None
    html: str | None = None


class NoticeTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's own words for one kind of notice, by one channel, in one language."""

    id: TemplateId
    kind: str
    channel: Channel
    language: str
    subject: str | None
    body: str
    html: str | None
    created_at: datetime
    updated_at: datetime


class Own(msgspec.Struct, frozen=True):
    """A shop's own template, as it is looked up."""

    language: str
    subject: str | None
    body: str
    html: str | None


class OrderTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice may say of an order."""

    id: OrderId
    order_number: str
    customer_email: str
    customer_name: str
    user_id: UserId | None
    closed: bool  # the account was closed
    locale: str | None
    is_open: bool  # money is still waited for
    cancelled: bool
    owes: bool  # what is due is the buyer's to pay: the order was not cancelled, and no money went back
    subtotal_amount: Money
    discount_amount: Money
    shipping_amount: Money
    tax_amount: Money
    total_amount: Money
    amount_due: Money
    payment_due_at: datetime


class LineTold(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order."""

    name: str
    sku: str | None
    quantity: int
    unit_price: Money
    subtotal_amount: Money
    all_lines: int  # of the order


class PaymentAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that is waited for, with how it is paid."""

    reference: str
    method: str
    instructions: str
    payment_details: dict[str, Any]
    expires_at: datetime | None


class PaymentTold(msgspec.Struct, frozen=True, kw_only=True):
    """A payment of which somebody is told."""

    reference: str
    order_id: OrderId
    amount: Money
    received_amount: Money | None
    tells: bool  # whether this way to pay has a message of its own


LABELS: Final[Mapping[str, str]] = MappingProxyType({"iban": "IBAN", "bic": "BIC", "swift": "SWIFT"})


def label(key: str) -> str:
    """A key of payment details, for people."""
    return LABELS.get(key.lower()) or key.replace("_", " ").strip().capitalize()
