"""A shop, and a worker that sends what it has queued."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from postbox import Postbox

from storeroom.core.ids import new_id
from storeroom.core.networks import networks
from storeroom.core.senders import Mailbox, SmsGateway, SmtpServer
from storeroom.integration import Dispatcher, Webhook
from storeroom.notices import Channel, Notice, queue
from storeroom.room import Shop, Storeroom
from storeroom.settings import Settings
from storeroom.worker.carriers import carrying

FROM = Mailbox(name="The shop", address="mail@shop.example")
ANN = "ann@example.com"


@dataclass
class Office:
    room: Storeroom
    shop: Shop
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def notices(self) -> Path:
        return self.folder / "notices"

    def by_mail(self, box: Postbox, url: str = "smtp://127.0.0.1:{port}") -> Office:
        """The same, with a mail server."""
        server = SmtpServer.parse(url.format(port=box.port))
        return Office(self.room, self.shop, self.folder, {**self.settings, "smtp": server, "mail_from": FROM})

    def by_sms(self, gateway: SmsGateway) -> Office:
        """The same, with a gateway."""
        return Office(self.room, self.shop, self.folder, {**self.settings, "sms": gateway.check()})

    async def work(self) -> None:
        """Bring what is due, once."""
        settings = Settings(data_dir=self.folder, private_destinations=networks("127.0.0.0/8"), **self.settings)
        async with carrying(self.room, settings) as (courier, carriers):
            await Dispatcher(self.room.db, courier, keys=self.room.token_keys, carriers=carriers).run_once()

    async def again(self) -> None:
        """Bring it once more, now."""
        await self.run("UPDATE {webhook_queue} SET next_attempt_at = now() WHERE status = 'pending'")
        await self.work()

    async def queue(
        self,
        kind: str = "password_changed",
        *,
        to: str = ANN,
        channel: Channel = Channel.MAIL,
        entity: tuple[str, UUID] | None = None,
        expires_at: datetime | None = None,
        bcc: tuple[str, ...] = (),
        language: str | None = None,
        facts: dict[str, Any] | None = None,
        not_before: datetime | None = None,
        **more: Any,
    ) -> UUID:
        facts = {**(facts or {}), **more} or {"name": "Ann", "changed_at": "2026-01-31T12:00:00Z"}
        notice = Notice(
            tenant_id=self.shop.tenant_id,
            kind=kind,
            channel=channel,
            to=to,
            facts=facts,
            expires_at=expires_at,
            bcc=bcc,
            language=language,
        )
        entity_type, entity_id = entity or ("test", new_id())
        async with self.room.db.transaction() as tx:
            return await queue(
                tx,
                keys=self.room.token_keys,
                notice=notice,
                entity_type=entity_type,
                entity_id=entity_id,
                not_before=not_before,
            )

    async def set(self, key: str, value: str) -> None:
        await self.shop.configuration.set(key=key, value=value)

    async def rows(self, destination: str = "mail") -> list[Webhook]:
        """The oldest first."""
        page = await self.shop.webhooks.list(limit=100)
        return [row for row in reversed(page.items) if row.destination == destination]

    async def run(self, sql: str, *args: object) -> Any:
        return await self.room.db.fetch(self.room.db.names.render(sql), *args)

    def files(self) -> list[dict[str, Any]]:
        found = sorted(self.notices.iterdir(), key=lambda file: file.name[-41:]) if self.notices.exists() else []
        return [json.loads(file.read_text()) for file in found]
