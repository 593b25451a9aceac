"""A message to one person, and the kinds there are."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
from typing_extensions import override

from storeroom.core.ids import TenantId, WebhookId
from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount"]

BCC_MAX: Final = 10
FACTS_BYTES_MAX: Final = 128 * 1024


class Channel(StrEnum):
    """How it gets there; the destination of its row in the queue."""

    SMS = "sms"
    MAIL = "mail"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said to whom. The words are the sender's affair, by kind and language."""

    tenant_id: TenantId
    kind: str  # such as phone_code: one of KINDS
    channel: Channel
    to: str  # a mail address, or a number in E.164 digits
    facts: dict[str, Any]  # what the words need; may hold a secret
    language: str | None = None  # of the receiver, as in `de` or `de-AT`; None: the shop's
    bcc: tuple[str, ...] = ()  # who gets a copy of a mail, unseen by the receiver
    expires_at: datetime | None = None  # from then on it is worth nothing, and is not sent

    @override
    def __repr__(self) -> str:
        return f"Notice({self.kind} by {self.channel})"


class Notices(Protocol):
    """Where notices go that are not queued. Called after the transaction of what they are about was committed."""

    async def send(self, notice: Notice) -> None:
        """Hand one over. Raises what makes that impossible."""
        ...


class Fact(StrEnum):
    """What a variable of a template is, and so how it is written."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105  # a text that opens something
    MONEY = "money"  # {"amount": 12950, "currency": "USD"}, written as the receiver writes amounts
    INSTANT = "instant"  # RFC 3339, written in the shop's time zone
    NUMBER = "number"
    FLAG = "flag"
    ROWS = "rows"  # a list; each row has the variables of `row`


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a template may say."""

    name: str
    fact: Fact
    says: str  # for who writes templates
    sample: Any  # for a preview
    optional: bool = False  # may be missing: empty then
    row: "tuple[Variable, ...]" = ()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of notice."""

    name: str
    says: str  # when it is sent
    channels: tuple[Channel, ...]
    variables: tuple[Variable, ...]
    switchable: bool = False  # whether a shop may turn it off
    event_types: tuple[str, ...] = ()  # that bring it about, where it comes from the outbox


class SealedNotice(msgspec.Struct, frozen=True):
    """A row that waits, for a rotation of keys."""

    tenant_id: str
    id: WebhookId
    sealed: str
