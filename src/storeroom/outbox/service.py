"""Write down, in the caller's transaction, what others shall be told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from storeroom.core.clock import utc
from storeroom.core.ids import WebhookId, new_id
from storeroom.database.executor import Executor
from storeroom.outbox import queries
from storeroom.outbox.wake import wake

DESTINATION_DEFAULT: Final = "webhooks"


async def enqueue(
    tx: Executor,
    *,
    tenant_id: str,
    event_type: str,
    payload: Mapping[str, object],
    entity_type: str,
    entity_id: UUID,
    destination: str = DESTINATION_DEFAULT,
    webhook_id: WebhookId | None = None,
    not_before: datetime | None = None,
) -> WebhookId:
    """Queue one event; return the row's id, by which a receiver recognises a second delivery.

    Args:
        tx: the transaction of the change. The event commits or is undone with it.
        tenant_id: whose event it is.
        event_type: what happened to what, as in `payment.completed`.
        payload: what the receiver gets; JSON, without secrets.
        entity_type: of the row that changed, as in `payment`.
        entity_id: its id.
        destination: which sender takes it.
        webhook_id: of the row; None: a new one. What is queued a second time under one id is queued once.
        not_before: sent then at the earliest; None: at once.
    """
    webhook_id = webhook_id or WebhookId(new_id())
    await queries.enqueue(
        tx,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        destination=destination,
        event_type=event_type,
        payload=dict(payload),
        entity_type=entity_type,
        entity_id=entity_id,
        next_attempt_at=None if not_before is None else utc(not_before),
    )
    wake(tx)
    return webhook_id
