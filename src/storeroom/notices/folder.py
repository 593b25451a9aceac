"""Notices as files: one JSON document each, readable by the service's own user only."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import msgspec

from storeroom.core.ids import new_id
from storeroom.notices.model import Notice

DATA_DIR: Final = "STOREROOM_DATA_DIR"
DATA_DIR_DEFAULT: Final = "data"
NOTICES_FOLDER: Final = "notices"  # in the data folder


class NoticeFolder:
    """Keeps what would have been sent, for development and until a provider is set up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The folder `notices` in STOREROOM_DATA_DIR."""
        return cls(Path(environment.get(DATA_DIR, "").strip() or DATA_DIR_DEFAULT).absolute() / NOTICES_FOLDER)

    async def send(self, notice: Notice) -> None:
        """Write one file; its name says when and what kind."""
        await self.keep(notice, {}, notice_id=new_id(), at=datetime.now(UTC))

    async def keep(self, notice: Notice, words: Mapping[str, str], *, notice_id: UUID, at: datetime) -> None:
        """Write what would have been sent and what it says; a second time writes nothing."""
        name = f"{at.astimezone(UTC):%Y%m%dT%H%M%S}-{notice.kind}-{notice_id}.json"
        told = {**msgspec.to_builtins(notice), **words}
        await asyncio.to_thread(self._write, name, msgspec.json.format(msgspec.json.encode(told), indent=2))

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Under another name until it is whole, so that who looks for files finds no half of one, and who writes a file
        # again finds it there. Made with its mode, not changed to it afterwards.
        half = self._folder / f".{name}.{os.getpid()}"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.link(half, self._folder / name)
        except FileExistsError:
            pass
        finally:
            half.unlink()
