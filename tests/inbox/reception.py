"""A shop that hears of a source, and the worker that processes what came for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from senders import SECRET, standard

from storeroom.core.ids import InboxId
from storeroom.database.service import Context
from storeroom.inbox import Handled, Handler, InboxEntry, InboxMessage, InboxProcessor
from storeroom.room import Shop, Storeroom


@dataclass
class Desk:
    """A shop with a source `epicor_propello`, and the handlers that a test registers."""

    room: Storeroom
    shop: Shop
    handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)

    async def source(self, code: str = "epicor_propello", **facts: Any) -> None:
        await self.shop.webhook_sources.create(code=code, **{"secret": SECRET, **facts})

    async def take(
        self, body: bytes, headers: dict[str, str] | None = None, *, source: str = "epicor_propello"
    ) -> InboxId:
        """A message that is stored; its id."""
        given = standard(body) if headers is None else headers
        receipt = await self.shop.inbound.receive(source=source, body=body, headers=given)
        assert receipt.id is not None
        return receipt.id

    def processor(self, **settings: Any) -> InboxProcessor:
        wait = settings.pop("wait", lambda _: timedelta())
        tenants = self.room.tenants.cache
        return InboxProcessor(self.room.db, handlers=self.handlers, tenants=tenants, wait=wait, **settings)

    async def process(self, **settings: Any) -> None:
        """All that is due in this shop; other tests' shops are left alone."""
        processor = self.processor(**settings)
        while await processor.process_next(self.shop.tenant_id):
            pass

    async def entry(self, message_id: InboxId) -> InboxEntry:
        return await self.shop.inbox.get(message_id=message_id)

    async def run(self, sql: str, *args: object) -> str:
        db = self.room.db
        return await db.execute(db.names.render(sql), self.shop.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        db = self.room.db
        return await db.fetchval(db.names.render(sql), self.shop.tenant_id, *args)

    async def rows(self) -> int:
        return int(await self.one("SELECT count(*) FROM {webhooks_inbox} WHERE tenant_id = $1"))

    async def applied(self) -> int:
        """How often the effect below was applied."""
        sql = "SELECT count(*) FROM {webhook_queue} WHERE tenant_id = $1 AND event_type = 'effect.applied'"
        return int(await self.one(sql))


async def effect(context: Context, message: InboxMessage) -> Handled:
    """Leaves a row for each time that it is committed."""
    await context.db.execute(
        context.db.names.render(
            "INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, next_attempt_at) "
            "VALUES ($1, gen_random_uuid(), 'effects', 'effect.applied', $2, now() + interval '1 day')"
        ),
        context.tenant_id,
        {"of": str(message.id)},
    )
    return Handled(result={"actor": context.actor.kind, "name": context.actor.name, "attempt": message.attempts})
