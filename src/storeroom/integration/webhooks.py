"""The queue of what leaves the shop, as staff and programs see it; `dispatcher` is what sends."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.audit import audited
from storeroom.core.clock import utc
from storeroom.core.ids import WebhookId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation, transactional
from storeroom.integration import queries
from storeroom.integration.destinations import checked_url
from storeroom.integration.errors import InvalidWebhook, LeaseLost, WebhookNotFound, WebhookNotRetriable
from storeroom.integration.model import (
    ATTEMPTS_DEFAULT,
    ATTEMPTS_MAX,
    CONNECTION_HEADERS,
    DIRECT,
    ENTITY_TYPE_LENGTH_MAX,
    ERROR_LENGTH_MAX,
    HEADER_LENGTH_MAX,
    HEADERS_MAX,
    LEASE,
    LISTED_MAX,
    OF_ENDPOINT,
    PAYLOAD_BYTES_MAX,
    Attempt,
    Claimed,
    Leased,
    Outcome,
    QueueDepth,
    Webhook,
    WebhookStatus,
    backoff,
)
from storeroom.notices import Channel
from storeroom.outbox import wake

EVENT_TYPE_LENGTH_MAX: Final = 100
NOTICES: Final = frozenset(Channel)  # destinations


class Webhooks(Service):
    """What is queued for other systems, with each attempt to bring it."""

    @audited("webhooks.enqueue", "webhook", hidden=("payload", "headers"))
    @transactional
    async def enqueue(
        self,
        *,
        url: str,
        event_type: str,
        payload: object,
        headers: Mapping[str, str] | None = None,
        max_attempts: int = ATTEMPTS_DEFAULT,
        entity_type: str | None = None,
        entity_id: UUID | None = None,
        not_before: datetime | None = None,
    ) -> Webhook:
        """Queue a message to an address of its own. Its id is what the receiver drops repeats by.

        Args:
            url: http or https. It is sent as it stands, with the headers given, and is not signed: an endpoint's are.
            event_type: as in `payment.completed`.
            payload: JSON; the body.
            headers: of the request, sent as they are given: `Content-Type` and its like go before ours. Those of the
                connection, such as `Host`, are refused.
            max_attempts: 1 to ATTEMPTS_MAX; then it is a dead letter.
            entity_type: what it is about, as in `order`; with entity_id.
            entity_id: its id.
            not_before: an instant; None: at once.

        Raises:
            InvalidWebhook: nothing was written.
        """
        parts = checked_url(url)
        if not 1 <= len(event_type) <= EVENT_TYPE_LENGTH_MAX or not event_type.isprintable():
            raise InvalidWebhook(field="event_type", reason=f"1 to {EVENT_TYPE_LENGTH_MAX} printable characters")
        if not 1 <= max_attempts <= ATTEMPTS_MAX:
            raise InvalidWebhook(field="max_attempts", reason=f"1 to {ATTEMPTS_MAX}")
        if (entity_type is None) != (entity_id is None):
            raise InvalidWebhook(field="entity_id", reason="comes with entity_type")
        if entity_type is not None and not (
            1 <= len(entity_type) <= ENTITY_TYPE_LENGTH_MAX and entity_type.isprintable()
        ):
            raise InvalidWebhook(field="entity_type", reason=f"1 to {ENTITY_TYPE_LENGTH_MAX} printable characters")
        try:
            body = msgspec.json.encode(payload)
        except (
            TypeError,
            ValueError,
            RecursionError,
        ) as error:  # an object of their own, half a surrogate pair, too deep
            raise InvalidWebhook(field="payload", reason=f"cannot be written as JSON: {error}") from None
        if len(body) > PAYLOAD_BYTES_MAX:
            raise InvalidWebhook(field="payload", reason=f"larger than {PAYLOAD_BYTES_MAX} bytes")
        if payload is None or b"\\u0000" in body:  # neither of which a row can hold
            raise InvalidWebhook(field="payload", reason="null, or a text with U+0000")
        webhook_id = WebhookId(new_id())
        await queries.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            webhook_id=webhook_id,
            destination=DIRECT + parts.netloc.lower(),
            url=url,
            event_type=event_type,
            payload=payload,
            headers=_headers(headers or {}),
            max_attempts=max_attempts,
            entity_type=entity_type,
            entity_id=entity_id,
            next_attempt_at=None if not_before is None else utc(not_before),
        )
        wake(self.db)
        return await self._webhook(webhook_id)

    # --- What a worker does -------------------------------------------------------------------------------------------

    @transactional
    async def dequeue(self, *, limit: int, lease: timedelta = LEASE, destination: str | None = None) -> Leased:
        """Take up to `limit` rows that are due, under a lease; each rival gets others. The attempt is counted now.

        As the dispatcher does: a row whose lease ended unfinished is due again, an endpoint that is switched off or
        paused gets nothing, and one that keeps the order has at most one row of an entity on its way. Events that wait
        to be fanned out, and what our own carriers bring (mail, the ERP), are not among them.

        Returns:
            The oldest first, each with the address it goes to. What is for an endpoint is not signed yet.
        """
        if not 1 <= limit <= LISTED_MAX:
            raise InvalidWebhook(field="limit", reason=f"1 to {LISTED_MAX}")
        if destination is not None and not destination.startswith((DIRECT, OF_ENDPOINT)):
            raise InvalidWebhook(field="destination", reason=f"begins with {DIRECT} or {OF_ENDPOINT}")
        claim, taken = new_id(), list[Claimed]()
        await queries.return_lost(self.db, tenant_id=self.tenant_id, size=LISTED_MAX)
        for there in await queries.open_destinations(
            self.db, tenant_id=self.tenant_id, destination=destination, size=LISTED_MAX
        ):
            rows: Sequence[Claimed] = await (queries.claim_in_order if there.keeps_order else queries.claim)(
                self.db,
                tenant_id=self.tenant_id,
                destination=there.destination,
                claim=claim,
                lease=lease,
                size=limit - len(taken),
            )
            taken += [msgspec.structs.replace(row, url=row.url or there.url) for row in rows]
            if len(taken) == limit:
                break
        taken.sort(key=lambda row: (row.created_at, row.delivery_id))
        return Leased(claim=claim, until=self.context.clock.now() + lease, webhooks=taken)

    @transactional
    async def mark_processing(self, *, webhook_id: WebhookId, lease: timedelta = LEASE) -> Leased:
        """Take one row that waits, or whose lease ended unfinished, whatever its endpoint takes now.

        Raises WebhookNotFound; LeaseLost where another has it, or it has ended.
        """
        claim = new_id()
        await queries.return_lost(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id, size=1)
        taken = await queries.mark_processing(
            self.db, tenant_id=self.tenant_id, webhook_id=webhook_id, claim=claim, lease=lease
        )
        if taken is None:
            await self._webhook(webhook_id)
            raise LeaseLost(webhook_id=webhook_id)
        if taken.endpoint_id is not None:
            endpoint = await queries.endpoint(self.db, tenant_id=self.tenant_id, endpoint_id=taken.endpoint_id)
            taken = msgspec.structs.replace(taken, url=endpoint.url if endpoint else None)
        return Leased(claim=claim, until=self.context.clock.now() + lease, webhooks=[taken])

    @transactional
    async def mark_success(self, *, webhook_id: WebhookId, claim: UUID) -> None:
        """It arrived. Raises LeaseLost where the row is not held under the claim, or its lease has ended."""
        await self._settle(webhook_id, claim, Outcome(duration_ms=0), None)

    @transactional
    async def mark_failed(
        self, *, webhook_id: WebhookId, claim: UUID, error: str, next_attempt_at: datetime | None = None
    ) -> None:
        """It did not arrive: due again then (None: by the usual backoff), or a dead letter after its last attempt.

        Raises:
            LeaseLost: the row is not held under the claim, or its lease has ended.
        """
        outcome = Outcome(duration_ms=0, error=error.replace("\x00", "")[:ERROR_LENGTH_MAX] or "failed")
        await self._settle(webhook_id, claim, outcome, None if next_attempt_at is None else utc(next_attempt_at))

    # --- Reading, and what staff may do -------------------------------------------------------------------------------

    @operation
    async def get(self, *, webhook_id: WebhookId) -> Webhook:
        """One row. Raises WebhookNotFound."""
        return await self._webhook(webhook_id)

    @operation
    async def list(
        self, *, status: WebhookStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Webhook]:
        """Newest first. Raises InvalidCursor, InvalidPageSize."""
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        after: dict[str, Any] = {"before_at": before_at, "before_id": before_id, "size": size + 1}
        if status is None:
            rows = await queries.webhooks_listed(self.db, tenant_id=self.tenant_id, **after)
        else:
            rows = await queries.webhooks_of_status(self.db, tenant_id=self.tenant_id, status=status, **after)
        return page_of([_shown(row) for row in rows], size, lambda row: (row.created_at, row.id))

    @operation
    async def of_entity(self, *, entity_type: str, entity_id: UUID) -> Sequence[Webhook]:
        """What was told of one order, payment or account; the newest LISTED_MAX."""
        rows = await queries.webhooks_of(
            self.db, tenant_id=self.tenant_id, entity_type=entity_type, entity_id=entity_id, size=LISTED_MAX
        )
        return [_shown(row) for row in rows]

    @operation
    async def attempts(self, *, webhook_id: WebhookId) -> Sequence[Attempt]:
        """Each try and what came of it, the first one first. Raises WebhookNotFound."""
        await self._webhook(webhook_id)
        return await queries.attempts_of(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id, size=ATTEMPTS_MAX)

    @operation
    async def depths(self) -> Sequence[QueueDepth]:
        """How much waits, is being sent, and was given up."""
        return await queries.depths(self.db, tenant_id=self.tenant_id)

    @audited("webhooks.retry", "webhook", "webhook_id")
    @transactional
    async def retry(self, *, webhook_id: WebhookId) -> Webhook:
        """Send it again, with all its attempts: a dead letter, or one that waits for its time.

        Raises:
            WebhookNotFound: no such row.
            WebhookNotRetriable: it arrived, is being sent, or its endpoint is gone.
        """
        if not await queries.retry(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id):
            found = await self._webhook(webhook_id)
            raise WebhookNotRetriable(webhook_id=webhook_id, status=found.status)
        wake(self.db)
        return await self._webhook(webhook_id)

    @audited("webhooks.delete", "webhook", "webhook_id")
    @transactional
    async def delete(self, *, webhook_id: WebhookId) -> None:
        """Remove it with its attempts; a worker that holds it can finish nothing. Raises WebhookNotFound."""
        if not await queries.delete(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id):
            raise WebhookNotFound(webhook_id=webhook_id)

    async def _webhook(self, webhook_id: WebhookId) -> Webhook:
        found = await queries.webhook(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id)
        if found is None:
            raise WebhookNotFound(webhook_id=webhook_id)
        return _shown(found)

    async def _settle(self, webhook_id: WebhookId, claim: UUID, outcome: Outcome, again_at: datetime | None) -> None:
        attempts = await queries.held(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id, claim=claim)
        if attempts is None:
            await self._webhook(webhook_id)
            raise LeaseLost(webhook_id=webhook_id)
        await queries.settle(
            self.db,
            tenant_id=self.tenant_id,
            claim=claim,
            ids=[webhook_id],
            delivered=[outcome.delivered],
            final=[outcome.final],
            errors=[outcome.error or ""],
            statuses=[outcome.response_status or 0],
            bodies=[outcome.response_body or ""],
            durations=[outcome.duration_ms],
            again_in=[backoff(attempts)],
        )
        if again_at is not None:
            await queries.put_off(self.db, tenant_id=self.tenant_id, webhook_id=webhook_id, next_attempt_at=again_at)


def _shown(row: Webhook) -> Webhook:
    """A notice is its receiver's: staff see that there is one, not what it says, not even sealed."""
    return msgspec.structs.replace(row, payload=None) if row.destination in NOTICES else row


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > HEADERS_MAX:
        raise InvalidWebhook(field="headers", reason=f"{HEADERS_MAX} at most")
    for name, value in given.items():
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            raise InvalidWebhook(field="headers", reason="a name has letters, digits and hyphens")
        if name.lower() in CONNECTION_HEADERS:
            raise InvalidWebhook(field=f"headers.{name}", reason="is the connection's")
        if not (len(value) <= HEADER_LENGTH_MAX and value.isascii() and value.isprintable()):
            raise InvalidWebhook(
                field=f"headers.{name}", reason=f"at most {HEADER_LENGTH_MAX} visible ASCII characters"
            )
    if len({name.lower() for name in given}) < len(given):
        raise InvalidWebhook(field="headers", reason="one name twice, in another case")
    return dict(given)
