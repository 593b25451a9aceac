"""Lists that grow are read page by page, each page from the key where the last one ended.

A cursor is that key: the sort values of the last row, as JSON in base64url. It comes back from outside, so it is read
as strictly as any input: the expected types in the expected number, and nothing the database would choke on.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from storeroom.core.clock import utc
from storeroom.core.errors import Invalid

PAGE_SIZE_DEFAULT: Final = 24
PAGE_SIZE_MAX: Final = 100
CURSOR_LENGTH_MAX: Final = 2048  # characters

T = TypeVar("T")

_CURSOR: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{CURSOR_LENGTH_MAX}}}")

# What PostgreSQL cannot hold must not reach it: integers past bigint, NUL in a text, an instant without offset.
_NARROWED: Final[dict[Any, Any]] = {
    int: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    str: Annotated[str, Meta(pattern=r"^[^\x00]*\Z")],
    datetime: Annotated[datetime, Meta(tz=True)],
}


class InvalidCursor(Invalid):
    """The cursor is not one that this list handed out."""

    code = "core.invalid_cursor"

    def __init__(self, *, field: str = "cursor") -> None:
        super().__init__("this cursor does not belong to this list; start again without one", field=field)


class InvalidPageSize(Invalid):
    """A page of this many rows is not given."""

    code = "core.invalid_page_size"

    def __init__(self, *, size: int, size_max: int, field: str = "limit") -> None:
        super().__init__(f"a page has 1 to {size_max} rows, not {size}", field=field)
        self.size, self.size_max = size, size_max


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows of a list, and where the next ones begin; `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None = None


def page_size(asked: int | None = None) -> int:
    """The number of rows to give: what was asked for, or PAGE_SIZE_DEFAULT.

    Raises:
        InvalidPageSize: fewer than 1 or more than PAGE_SIZE_MAX.
    """
    size = PAGE_SIZE_DEFAULT if asked is None else asked
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise InvalidPageSize(size=size, size_max=PAGE_SIZE_MAX)
    return size


def page_of(rows: Sequence[T], size: int, key: Callable[[T], tuple[object, ...]]) -> Page[T]:
    """Make the page of `size` rows out of a query that asked for one more.

    The row too many is how we know that there is a next page, without counting.

    Args:
        rows: at most `size + 1`, in the list's order.
        size: rows on a page.
        key: the sort values of a row, in the order of ORDER BY; together they must be unique.
    """
    if len(rows) > size + 1:
        raise ValueError(f"the query gave {len(rows)} rows for a page of {size}; it needs LIMIT {size + 1}")
    items = list(rows[:size])
    return Page(items, encode_cursor(*key(items[-1])) if len(rows) > size else None)


def encode_cursor(*keys: object) -> str:
    """Write sort values (int, str, bool, float, Decimal, UUID, date, aware datetime, enum or None) as a cursor."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(keys)).rstrip(b"=").decode()
    if len(text) > CURSOR_LENGTH_MAX:
        raise ValueError(f"a cursor has at most {CURSOR_LENGTH_MAX} characters: sort by shorter keys")
    return text


def decode_cursor(text: str, types: Sequence[Any]) -> tuple[Any, ...]:
    """Read the sort values back, one for each of `types`; write `str | None` for one that may be null.

    Raises:
        InvalidCursor: anything else than `encode_cursor` writes for these types.
    """
    if not _CURSOR.fullmatch(text):
        raise InvalidCursor
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return tuple(_checked(value) for value in _decoder(tuple(types)).decode(raw))
    except (binascii.Error, msgspec.MsgspecError, OverflowError, UnicodeError) as error:
        raise InvalidCursor from error


def _checked(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, Decimal) and not value.is_finite():
        raise InvalidCursor
    return value


@lru_cache(maxsize=256)  # one for each list, and lists are written by us
def _decoder(types: tuple[Any, ...]) -> msgspec.json.Decoder[tuple[Any, ...]]:
    return msgspec.json.Decoder(tuple[tuple(_narrowed(each) for each in types)])  # type: ignore[misc]  # built at run time


def _narrowed(type_: Any) -> Any:
    parts = getattr(type_, "__args__", ())
    if type(None) in parts:
        (given,) = (part for part in parts if part is not type(None))
        return _NARROWED.get(given, given) | None
    return _NARROWED.get(type_, type_)
