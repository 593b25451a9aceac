"""A key of the configuration: what is set, by whom, and what it means."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec
from typing_extensions import override

from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount"]

KEYS_MAX: Final = 1_000  # of one tenant
VALUE_LENGTH_MAX: Final = 10_000
KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
GROUP: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
GENERAL: Final = "general"  # the documents name this group, `marketing` and `payment`; others may be used

T = TypeVar("T")


class Source(StrEnum):
    """Where a value comes from; the first of these that has one."""

    ENVIRONMENT = "environment"  # of the process, for all shops
    STORED = "stored"
    DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Setting(Generic[T]):
    """A key that the program knows: what it means where nobody has set it, and what a text of it means."""

    key: str
    default: T
    parse: Callable[[str], T]  # raises ValueError with what it takes
    says: str  # for the manual
    group: str = GENERAL
    environment: str | None = None  # the variable that comes before what is stored
    secret: bool = False  # always sealed


class ConfigRow(msgspec.Struct, frozen=True):
    """A row, its value sealed where it is a secret."""

    key: str
    value: str
    is_encrypted: bool
    group_name: str
    updated_at: datetime

    @override
    def __repr__(self) -> str:
        return f"ConfigRow({self.key!r})"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A key as staff see it: a secret is set, and that is all that is said of it."""

    key: str
    group_name: str
    value: str | None  # None: hidden, or nobody has set it
    is_encrypted: bool
    source: Source
    updated_at: datetime | None  # of what is stored


class SealedConfig(msgspec.Struct, frozen=True):
    """A sealed row, for a rotation of keys."""

    tenant_id: str
    key: str
    value: str

    @override
    def __repr__(self) -> str:
        return f"SealedConfig({self.key!r})"


def place_of(tenant_id: str, key: str) -> str:
    """What a secret is bound to: moved to another row it does not open."""
    return f"{tenant_id}/{key}"
