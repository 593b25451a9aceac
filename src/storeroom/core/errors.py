"""The base of every error storeroom raises on purpose, and the few kinds of it.

Callers branch on the class or on `code`, never on the text. The HTTP layer maps each kind to one status; an error knows
nothing of HTTP. A concrete error names its code, takes its facts by keyword and keeps them as attributes:

    class InsufficientStock(Conflict):
        code, transient = "inventory.insufficient_stock", True

        def __init__(self, *, sku: str, requested: int, available: int) -> None:
            super().__init__(f"{requested} of {sku} requested, {available} available")
            self.sku, self.requested, self.available = sku, requested, available
"""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, cast
from uuid import UUID

import msgspec
from typing_extensions import override

CODE_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_KEPT: Final = (UUID, datetime, date, time, timedelta, Decimal)  # msgspec writes these itself, so facts keep their type


class StoreroomError(Exception):
    """Base of every error this package raises on purpose."""

    code: ClassVar[str]  # published; never renamed, never reused
    transient: ClassVar[bool] = False  # True: the same call, unchanged, may succeed later
    by_code: ClassVar[dict[str, type["StoreroomError"]]] = {}

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        code = cls.__dict__.get("code")  # kinds such as Conflict carry none of their own
        if code is None:
            return
        if not CODE_PATTERN.fullmatch(code):
            raise TypeError(f"{code!r} is not a code: write it as room.what_was_refused")
        if cls.by_code.setdefault(code, cls) is not cls:
            raise TypeError(f"{code} already belongs to {cls.by_code[code].__name__}")

    def __init__(self, message: str) -> None:
        if not hasattr(self, "code"):  # a kind raised bare would reach the caller as an error without a name
            raise TypeError(f"{type(self).__name__} is a kind of error; raise a class that has a code")
        super().__init__(message)

    def facts(self) -> dict[str, object]:
        """What the error knows, ready for `msgspec.json.encode`: its public attributes, the unset ones left out.

        Structs such as Money become dicts; ids, instants and decimals keep their type.
        """
        public = {name: fact for name, fact in vars(self).items() if fact is not None and not name.startswith("_")}
        kept = cast("Any", _KEPT)
        return cast("dict[str, object]", msgspec.to_builtins(public, builtin_types=kept, enc_hook=str))


class Invalid(StoreroomError):
    """The input cannot be right, whatever the state of the shop; `field` names the part of it that is wrong."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(StoreroomError):
    """No such thing, or none that this caller may know of."""


class Conflict(StoreroomError):
    """The input is sound, the state of the shop refuses it."""


class Forbidden(StoreroomError):
    """The caller is known and may not do this."""


class Unauthenticated(StoreroomError):
    """The caller did not prove who they are."""


class TooMany(StoreroomError):
    """A limit is used up; the same call may succeed after `retry_after_s` seconds."""

    transient = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(StoreroomError):
    """Something storeroom depends on does not answer now."""

    transient = True


class Misconfigured(StoreroomError):
    """The installation is set up wrongly; an operator has to act, no caller can."""
