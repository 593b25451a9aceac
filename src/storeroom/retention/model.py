"""Reminders of carts: after how long, how often, with a copy to whom, and what became of each."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import CartId, DomainId, OrderId, UserId, VariantId
from storeroom.core.money import Money
from storeroom.core.states import Moves, declare_moves
from storeroom.database.rows import instant

RETRY_TIME_DEFAULT_S: Final = 7_200
RETRY_TIME_MAX_S: Final = 30 * 86_400
RETRIES_DEFAULT: Final = 1
RETRIES_MAX: Final = 10
BCC_MAX: Final = 10
LATE_MAX: Final = timedelta(days=7)  # overdue so long, and nobody was reminded: nobody is any more
NOTED_WITHIN: Final = timedelta(days=1)  # how late a cart that was left is still noticed
LINK_LIFETIME: Final = timedelta(days=14)
LINES_TOLD_MAX: Final = 20  # of a cart, in a mail


class RetainCartConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain says about reminders; without a domain, what holds for carts of no known one."""

    id: UUID
    domain_id: DomainId | None
    retry_time_seconds: int
    max_retries: int
    bcc_emails: list[str]
    is_active: bool
    created_at: datetime
    updated_at: datetime


def map_retain_cart_config(row: Mapping[str, Any]) -> RetainCartConfig:
    """The one way from a row to a configuration, whatever form a driver gives ids, instants and lists."""
    domain_id = row["domain_id"]
    return RetainCartConfig(
        id=UUID(str(row["id"])),
        domain_id=DomainId(UUID(str(domain_id))) if domain_id is not None else None,
        retry_time_seconds=int(row["retry_time_seconds"]),
        max_retries=int(row["max_retries"]),
        bcc_emails=_texts(row["bcc_emails"]),
        is_active=bool(row["is_active"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
    )


def _texts(value: Any) -> list[str]:
    """A list of texts, also where it is JSON, or missing."""
    if isinstance(value, str | bytes):
        value = msgspec.json.decode(value)
    return [str(each) for each in value or ()]


class RetainCartRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the carts of a domain, configured or not."""

    retry_time_seconds: int = RETRY_TIME_DEFAULT_S
    max_retries: int = RETRIES_DEFAULT
    bcc_emails: list[str] = []  # msgspec gives each its own
    reminds: bool = True  # False: the configuration is inactive, and nobody is reminded
    configured: bool = False


class CartReminderKind(StrEnum):
    """Why a cart is kept."""

    PAYMENT_FAILED = "payment_failed"  # it became an order, and nobody has paid that
    ABANDONED = "abandoned"  # an account with consent to be written to has left it


class CartReminderStatus(StrEnum):
    """What became of it."""

    WAITING = "waiting"  # for the domain's time, or for a payment that is under way
    EXHAUSTED = "exhausted"  # reminded as often as the domain allows
    PAID = "paid"
    CANCELLED = "cancelled"  # the order by somebody, the consent by the owner, or the reminders by their link
    RETURNED = "returned"  # the cart was bought, emptied, merged or restored, or its owner has another by now
    LAPSED = "lapsed"  # nobody could be reminded in time: the domain reminds nobody, or no worker ran


S = CartReminderStatus
CART_REMINDER_MOVES: Final[Moves[CartReminderStatus]] = declare_moves(
    CartReminderStatus,
    {
        S.WAITING: [S.EXHAUSTED, S.PAID, S.CANCELLED, S.RETURNED, S.LAPSED],
        # The cart that was left was bought after all, and that payment failed.
        S.EXHAUSTED: [S.WAITING],
        S.CANCELLED: [S.WAITING],
        S.RETURNED: [S.WAITING],
        S.LAPSED: [S.WAITING],
    },
)


class CartReminder(msgspec.Struct, frozen=True, kw_only=True):
    """A cart that is kept for its owner."""

    id: UUID
    cart_id: CartId
    order_id: OrderId | None
    kind: CartReminderKind
    status: CartReminderStatus
    domain: str | None  # the host
    reminders: int  # queued by now
    waiting_since: datetime
    ended_at: datetime | None
    created_at: datetime


class DueReminder(msgspec.Struct, frozen=True, kw_only=True):
    """One whose time has come, with all that decides what becomes of it."""

    id: UUID
    cart_id: CartId
    order_id: OrderId | None
    kind: CartReminderKind
    domain: str | None
    domain_known: bool  # the host is an active domain of the shop
    reminders: int
    max_retries: int
    bcc_emails: list[str]
    reminds: bool
    late: bool  # see LATE_MAX
    touched: bool  # the cart, since it was left
    touched_at: datetime
    now: datetime  # of the database
    lines: int
    cart_total: Money
    open_cart: bool  # active or abandoned
    order_number: str | None
    order_status: str | None
    ended_by_us: bool  # the order was cancelled because nobody paid in time
    money_came: bool  # any of it
    money_coming: bool  # a payment waits for its verification, or a provider is at it
    user_id: UserId | None
    email: str | None  # where the owner may be written to
    name: str | None
    locale: str | None
    moved_on: bool  # the owner has ordered since, or fills another cart


class ReminderLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says of a line."""

    name: str
    variant: str | None  # None: there is nothing to choose
    quantity: int
    total: Money


class KeptCart(msgspec.Struct, frozen=True, kw_only=True):
    """What a link leads to."""

    id: UUID
    cart_id: CartId
    kind: CartReminderKind
    status: CartReminderStatus
    user_id: UserId | None
    order_id: OrderId | None
    order_number: str | None
    payable: bool  # the order still waits for its money
    currency: str


class KeptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a kept cart."""

    variant_id: VariantId
    quantity: int
    patch_type: str | None
    print_name: str | None
    print_number: str | None


def verdict(due: DueReminder) -> CartReminderStatus | None:
    """What ends it; None where it goes on."""
    if due.kind is CartReminderKind.PAYMENT_FAILED:
        if due.order_status not in ("pending_payment", "cancelled") or due.money_came:
            return CartReminderStatus.PAID
        if due.order_status == "cancelled" and not due.ended_by_us:
            return CartReminderStatus.CANCELLED
    else:
        if not due.open_cart or not due.lines:
            return CartReminderStatus.RETURNED
        if due.email is None:
            return CartReminderStatus.CANCELLED
    if due.moved_on:
        return CartReminderStatus.RETURNED
    if due.reminders >= due.max_retries:
        return CartReminderStatus.EXHAUSTED
    return CartReminderStatus.LAPSED if due.late else None
