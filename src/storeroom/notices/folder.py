"""Notices as files: one JSON document each, readable by the service's own user only."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

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
        await asyncio.to_thread(self._write, notice)

    def _write(self, notice: Notice) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{notice.kind}-{new_id()}.json"
        # Made with its mode, not changed to it afterwards; never over a file that is there.
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(notice), indent=2))
