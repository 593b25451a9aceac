"""Pages and cursors: what was written is read back, everything else is refused."""

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeroom.core.pages import (
    CURSOR_LENGTH_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    InvalidCursor,
    InvalidPageSize,
    Page,
    decode_cursor,
    encode_cursor,
    page_of,
    page_size,
)

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def cursor_of(json: str | bytes) -> str:
    raw = json.encode() if isinstance(json, str) else json
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_cursor_is_plain_to_read():
    assert encode_cursor(AT, ID) == cursor_of('["2026-03-01T12:00:00.123456Z","01890a5d-ac96-774b-bcce-b302099a8057"]')
    assert decode_cursor(encode_cursor(AT, ID), (datetime, UUID)) == (AT, ID)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
keys: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones),  # noqa: DTZ001
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=4),
}
keys |= {type_ | None: st.none() | values for type_, values in keys.items()}


@given(st.data())
def test_what_a_cursor_says_is_read_back(data):
    types = data.draw(st.lists(st.sampled_from(list(keys)), min_size=1, max_size=4))
    values = tuple(data.draw(keys[type_]) for type_ in types)
    read = decode_cursor(encode_cursor(*values), types)
    assert read == values
    assert [type(value) for value in read] == [type(value) for value in values]
    assert all(value.tzinfo is UTC for value in read if isinstance(value, datetime))


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("", (int,)),
        ("=", (int,)),
        ("A", (int,)),  # no base64 has this length
        ("WzFd=", (int,)),
        ("Wz Fd", (int,)),
        ("WzFd\n", (int,)),
        ("Wz+/", (int,)),
        ("\u0661", (int,)),
        (cursor_of("[1"), (int,)),
        (cursor_of("[1]x"), (int,)),
        (cursor_of("1"), (int,)),
        (cursor_of('{"0":1}'), (int,)),
        (cursor_of("[]"), (int,)),
        (cursor_of("[1,2]"), (int,)),
        (cursor_of("[1]"), (int, int)),
        (cursor_of('["1"]'), (int,)),
        (cursor_of("[1.5]"), (int,)),
        (cursor_of("[true]"), (int,)),
        (cursor_of("[null]"), (int,)),
        (cursor_of("[9223372036854775808]"), (int,)),
        (cursor_of("[-9223372036854775809]"), (int | None,)),
        (cursor_of("[1]"), (str,)),
        (cursor_of('["a\\u0000b"]'), (str,)),
        (cursor_of('["a\\u0000b"]'), (str | None,)),
        (cursor_of('["a\\nb\\u0000"]'), (str,)),
        (cursor_of('["\\ud800"]'), (str,)),
        (cursor_of(b'["\xff"]'), (str,)),
        (cursor_of('["no-uuid"]'), (UUID,)),
        (cursor_of('["2026-03-01T12:00:00"]'), (datetime,)),  # no offset
        (cursor_of('["2026-03-01T12:00:00"]'), (datetime | None,)),
        (cursor_of('["0001-01-01T00:00:00+14:00"]'), (datetime,)),  # before the first year in UTC
        (cursor_of('["NaN"]'), (Decimal,)),
        (cursor_of('["Infinity"]'), (Decimal | None,)),
        (cursor_of("[NaN]"), (float,)),
        (cursor_of("[1e999]"), (float,)),
        (cursor_of("[" * 500 + "]" * 500), (int,)),
        ("A" * (CURSOR_LENGTH_MAX + 1), (int,)),
    ],
)
def test_a_cursor_of_somebody_else_is_refused(text, types):
    with pytest.raises(InvalidCursor) as refused:
        decode_cursor(text, types)
    assert refused.value.facts() == {"field": "cursor"}


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_noise_is_refused_or_read_as_what_was_asked_for(noise):
    try:
        number, text = decode_cursor(cursor_of(noise), (int, str))
    except InvalidCursor:
        return
    assert type(number) is int
    assert type(text) is str


def test_a_cursor_too_long_to_be_read_back_is_not_written():
    longest = "x" * 1532  # with ["…"] 1536 bytes, 2048 characters
    assert decode_cursor(encode_cursor(longest), (str,)) == (longest,)
    with pytest.raises(ValueError, match="2048"):
        encode_cursor(longest + "x")


@pytest.mark.parametrize(
    ("rows", "items", "cursor"),
    [([], [], None), ([1, 2], [1, 2], None), ([1, 2, 3], [1, 2, 3], None), ([1, 2, 3, 4], [1, 2, 3], (3,))],
)
def test_one_row_too_many_means_a_next_page(rows, items, cursor):
    page = page_of(rows, 3, lambda row: (row,))
    assert page.items == items
    assert (page.next_cursor and decode_cursor(page.next_cursor, (int,))) == cursor


def test_a_query_without_its_limit_is_noticed():
    with pytest.raises(ValueError, match="LIMIT 3"):
        page_of([1, 2, 3, 4], 2, lambda row: (row,))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers()), unique_by=lambda row: row[1], max_size=30), st.integers(1, 7)
)
def test_walking_the_pages_gives_every_row_once(rows, size):
    rows = sorted(row for row in rows if abs(row[1]) < 2**63)
    seen, cursor, pages = [], None, 0
    while True:
        after = decode_cursor(cursor, (int, int)) if cursor else (-1, 0)
        page = page_of([row for row in rows if row > after][: size + 1], size, lambda row: row)
        seen += page.items
        pages += 1
        assert pages <= len(rows) + 1
        if (cursor := page.next_cursor) is None:
            break
    assert seen == rows
    assert pages == max(1, -(-len(rows) // size))


def test_page_size():
    assert page_size() == page_size(None) == PAGE_SIZE_DEFAULT == 24
    assert page_size(1) == 1
    assert page_size(100) == PAGE_SIZE_MAX == 100
    for size in (0, -1, 101):
        with pytest.raises(InvalidPageSize) as refused:
            page_size(size)
        assert refused.value.facts() == {"field": "limit", "size": size, "size_max": 100}


def test_a_page_is_typed_json():
    assert msgspec.json.encode(Page([1], "abc")) == b'{"items":[1],"next_cursor":"abc"}'
    assert msgspec.json.decode(b'{"items":[1]}', type=Page[int]) == Page([1], None)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"items":["1"]}', type=Page[int])
