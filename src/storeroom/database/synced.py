"""Tables whose rows an ERP keeps as well: what the one who sends has to know of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from storeroom.database.executor import Executor


class Mark(Protocol):
    """Note under which id the ERP keeps a row, and when it was sent."""

    async def __call__(self, db: Executor, /, *, tenant_id: str, id: UUID, erp_id: str) -> int:  # noqa: A002
        """0: the row is gone, or the ERP keeps it under another id."""
        ...


class Reset(Protocol):
    """Let a row that the ERP has be sent once more."""

    async def __call__(self, db: Executor, /, *, tenant_id: str, id: UUID) -> int:  # noqa: A002
        """0: there is no such row."""
        ...


class ResetSome(Protocol):
    """Let rows that the ERP has be sent once more, the longest ago first."""

    async def __call__(self, db: Executor, /, *, tenant_id: str, size: int) -> int:
        """How many; fewer than `size`: there are no more."""
        ...


class MarkLines(Protocol):
    """Note under which ids the ERP keeps the lines of an order."""

    async def __call__(
        self, db: Executor, /, *, tenant_id: str, order_id: UUID, line_ids: Sequence[UUID], erp_ids: Sequence[str]
    ) -> int:
        """How many lines."""
        ...


@dataclass(frozen=True)
class SyncedTable:
    """One table with `erp_*_id` and `erp_synced_at`. Its slice writes them, and nobody else."""

    mark: Mark
    reset: Reset
    reset_some: ResetSome
    mark_lines: MarkLines | None = None
