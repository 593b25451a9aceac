"""Where a service's notices go."""

from os import environ
from typing import Final
from uuid import UUID

from storeroom.database.executor import Executor
from storeroom.notices.folder import NoticeFolder
from storeroom.notices.model import Notice, Notices
from storeroom.notices.queueing import Sealing, queue


class Post:
    """The queue, where the installation has a secret to seal with; else the folder of notices, after the commit.

    A program that sends by itself gives its own sender, which is called after the commit as well. So no secret ever
    stands in the queue unsealed, and a library without a secret behaves as it always did.
    """

    def __init__(self, keys: Sealing, notices: Notices | None = None) -> None:
        self.keys: Final = keys
        self.notices: Final = notices

    @property
    def queues(self) -> bool:
        """Whether notices go with the transaction."""
        return self.notices is None and bool(self.keys)

    async def within(self, tx: Executor, notice: Notice, *, entity_type: str, entity_id: UUID) -> Notice | None:
        """Queue it; or give it back for `after`."""
        if not self.queues:
            return notice
        await queue(tx, keys=self.keys, notice=notice, entity_type=entity_type, entity_id=entity_id)
        return None

    async def after(self, notice: Notice | None) -> None:
        """Send what `within` gave back, once the transaction is committed."""
        if notice is not None:
            await (self.notices or NoticeFolder.from_environment(environ)).send(notice)
