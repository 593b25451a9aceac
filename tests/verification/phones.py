"""What arrives on phones, and what is in the tables behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posted import posted
from storeroom.notices import NoticeFolder
from storeroom.room import Shop, Storeroom
from storeroom.verification import PhoneCodes

PHONE = "94771234567"


class Phones:
    def __init__(self, shop: Shop, folder: Path, room: Storeroom) -> None:
        self.shop = shop
        self.room = room
        self.folder = folder
        self.codes = PhoneCodes(shop.context, notices=NoticeFolder(folder))

    async def arrive(self) -> None:
        """Let what was queued over HTTP arrive, too."""
        for notice in await posted(self.room, self.shop.tenant_id):
            await NoticeFolder(self.folder).send(notice)

    def messages(self, phone: str = PHONE) -> list[dict[str, Any]]:
        """What arrived, oldest first."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: file.name[-41:])
        return [each for each in (json.loads(file.read_text()) for file in files) if each["to"] == phone]

    def code(self, phone: str = PHONE) -> str:
        """The code that arrived last."""
        return str(self.messages(phone)[-1]["facts"]["code"])

    def wrong(self) -> str:
        return f"{(int(self.code()) + 1) % 10**6:06}"

    async def one(self, sql: str, *args: object) -> Any:
        db = self.shop.context.db
        return await db.fetchval(db.names.render(sql), self.shop.tenant_id, *args)

    async def attempts(self) -> int:
        return int(await self.one("SELECT attempts FROM {otp_sessions} WHERE tenant_id = $1"))

    async def age(self, table: str, column: str) -> None:
        """Let the time of all rows of the shop be over since a moment."""
        await self.one(f"UPDATE {{{table}}} SET {column} = now() - interval '1 second' WHERE tenant_id = $1")
