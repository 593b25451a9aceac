"""A message to one person."""

from enum import StrEnum
from typing import Any, Protocol

import msgspec
from typing_extensions import override

from storeroom.core.ids import TenantId


class Channel(StrEnum):
    """How it gets there."""

    SMS = "sms"
    MAIL = "mail"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said to whom. The words are the sender's affair, by kind and language."""

    tenant_id: TenantId
    kind: str  # such as phone_code
    channel: Channel
    to: str  # a mail address, or a number in E.164 digits
    facts: dict[str, Any]  # what the words need; may hold a secret

    @override
    def __repr__(self) -> str:
        return f"Notice({self.kind} by {self.channel})"


class Notices(Protocol):
    """Where notices go. Called after the transaction of what they are about was committed."""

    async def send(self, notice: Notice) -> None:
        """Hand one over. Raises what makes that impossible."""
        ...
