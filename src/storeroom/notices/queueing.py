"""A notice into the queue, in the transaction of what it is about: sent if, and only if, that is committed.

Facts and receiver are sealed with a key of the installation and bound to their row: who reads the table, a backup or
the queue that staff see learns no code and no address. Another secret opens them as long as the one that sealed them is
known as well, and `storeroom secrets rotate` seals them again.
"""

from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from storeroom.core.crypto import KeyRing
from storeroom.core.ids import TenantId, WebhookId, new_id
from storeroom.database.executor import Executor
from storeroom.notices.errors import NoticeUnknown
from storeroom.notices.kinds import KINDS
from storeroom.notices.model import BCC_MAX, FACTS_BYTES_MAX, Notice
from storeroom.outbox import enqueue

PURPOSE: Final = "notices, 1"
SEALED: Final = "sealed"  # the only key of the payload


class Sealing(Protocol):
    """What `identity.TokenKeys` offers: keys to seal with."""

    def ring(self, purpose: str) -> KeyRing:
        """Keys of one purpose. Raises SigningSecretMissing where the installation has no secret."""
        ...

    def __bool__(self) -> bool:
        """Whether there is a secret at all."""
        ...


def place_of(tenant_id: str, webhook_id: UUID) -> str:
    """What a notice is bound to: moved to another row it does not open."""
    return f"{tenant_id}/webhook_queue/{webhook_id}"


async def queue(
    tx: Executor,
    *,
    keys: Sealing,
    notice: Notice,
    entity_type: str,
    entity_id: UUID,
    not_before: datetime | None = None,
    notice_id: UUID | None = None,
) -> WebhookId:
    """Queue a notice; return the id of its row, which is also what its Message-ID is made of.

    Args:
        tx: the transaction of the change. The notice commits or is undone with it.
        keys: seal it.
        notice: of a kind in KINDS. After its `expires_at` it is given up.
        entity_type: what it is about, as in `order`. Nothing is sent about, or to, an account that was closed.
        entity_id: its id.
        not_before: sent then at the earliest; None: at once.
        notice_id: made of what brought it about, where that may happen twice: the second one changes nothing.

    Raises:
        NoticeUnknown: no such kind, or not by that channel; too many receivers, too many facts.
        SigningSecretMissing: the installation has no secret to seal with. Nothing was written.
    """
    _check(notice)
    webhook_id = WebhookId(notice_id or new_id())
    sealed = keys.ring(PURPOSE).seal(msgspec.json.encode(notice), bound_to=place_of(notice.tenant_id, webhook_id))
    return await enqueue(
        tx,
        tenant_id=notice.tenant_id,
        webhook_id=webhook_id,
        event_type=notice.kind,
        payload={SEALED: sealed},
        entity_type=entity_type,
        entity_id=entity_id,
        destination=notice.channel,
        not_before=not_before,
    )


def opened(keys: Sealing, *, tenant_id: TenantId, webhook_id: UUID, payload: Any) -> Notice:
    """What `queue` has sealed.

    Raises:
        SealBroken, SigningSecretMissing: none of our keys opens it there.
    """
    text = keys.ring(PURPOSE).open(str(payload[SEALED]), bound_to=place_of(tenant_id, webhook_id))
    return msgspec.json.decode(text, type=Notice)


def _check(notice: Notice) -> None:
    kind = KINDS.get(notice.kind)
    if kind is None:
        raise NoticeUnknown(kind=notice.kind, reason="there is none")
    if notice.channel not in kind.channels:
        raise NoticeUnknown(kind=notice.kind, reason=f"does not go by {notice.channel}")
    required = {each.name for each in kind.variables if not each.optional}
    if missing := sorted(required - notice.facts.keys()):
        raise NoticeUnknown(kind=notice.kind, reason=f"says nothing of {', '.join(missing)}")
    if len(notice.bcc) > BCC_MAX or len(msgspec.json.encode(notice.facts)) > FACTS_BYTES_MAX:
        raise NoticeUnknown(kind=notice.kind, reason=f"{BCC_MAX} copies, {FACTS_BYTES_MAX} bytes of facts at most")
