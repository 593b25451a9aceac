"""Tables that keep something sealed: what a rotation of keys and the doctor have to know of each."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from storeroom.database.executor import Executor


class SealedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row with what is sealed in it."""

    tenant_id: str
    id: str
    seals: dict[str, str]  # by the name of what was sealed
    places: dict[str, str]  # what each is bound to


class SealedCount(msgspec.Struct, frozen=True):
    """How many rows one key has sealed."""

    key_id: str
    rows: int


@dataclass(frozen=True)
class SealedTable:
    """One table that keeps something sealed. Its slice says how it is read and written."""

    name: str  # for people
    purpose: str  # of its keys: see core.crypto.KeyRing
    rows: Callable[[Executor, tuple[str, str], int], Awaitable[list[SealedRow]]]  # the next ones after a key, by key
    replace: Callable[[Executor, SealedRow, Mapping[str, str]], Awaitable[int]]  # 0: somebody changed it meanwhile
    counts: Callable[[Executor], Awaitable[list[SealedCount]]]
