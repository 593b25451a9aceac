"""Write down, in the caller's transaction, what others shall be told."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from storeroom.core.clock import utc
from storeroom.core.ids import WebhookId, new_id
from storeroom.database.executor import Executor
from storeroom.outbox import queries
from storeroom.outbox.errors import SubjectRefused
from storeroom.outbox.wake import wake

DESTINATION_DEFAULT: Final = "webhooks"
_SUBJECTS: Final[dict[str, frozenset[str]]] = {}


def restrict(destination: str, entity_types: Collection[str]) -> None:
    """Say what may be queued for a destination by name; everything else is refused from now on.

    For a room that draws a boundary around a system, when it is loaded.
    """
    _SUBJECTS[destination] = frozenset(entity_types)


def _check_subject(destination: str, entity_type: str) -> None:
    allowed = _SUBJECTS.get(destination)
    if allowed is not None and entity_type not in allowed:
        raise SubjectRefused(destination=destination, entity_type=entity_type, allowed=allowed)


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

    Raises:
        SubjectRefused: the destination is never told of such a thing. Nothing was queued.
    """
    _check_subject(destination, entity_type)
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


async def enqueue_many(
    tx: Executor, *, tenant_id: str, entity_type: str, events: Sequence[tuple[str, UUID, Mapping[str, Any]]]
) -> None:
    """Queue one event for each of many entities, in one statement: for imports.

    Args:
        tx: the transaction of the changes.
        tenant_id: whose events they are.
        entity_type: of all of them.
        events: of each its type, the id of the entity, and the payload.
    """
    if not events:
        return
    rows = [
        {"id": new_id(), "event_type": event_type, "entity_id": entity_id, "payload": payload}
        for event_type, entity_id, payload in events
    ]
    await queries.enqueue_many(tx, tenant_id=tenant_id, entity_type=entity_type, rows=rows)
    wake(tx)


async def enqueue_missing(
    tx: Executor, *, tenant_id: str, destination: str, event_type: str, entity_type: str, entity_ids: Sequence[UUID]
) -> int:
    """Queue for a destination by name those entities of which no row waits there; return how many.

    Called by whoever holds the rows of the entities: of two rivals the second then sees what the first has queued.

    Raises:
        SubjectRefused: the destination is never told of such a thing. Nothing was queued.
    """
    _check_subject(destination, entity_type)
    if not entity_ids:
        return 0
    queued = await queries.enqueue_missing(
        tx,
        tenant_id=tenant_id,
        destination=destination,
        event_type=event_type,
        entity_type=entity_type,
        ids=[new_id() for _ in entity_ids],
        entity_ids=list(entity_ids),
    )
    if queued:
        wake(tx)
    return queued
