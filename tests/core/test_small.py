"""Ids, clocks and secrets."""

import re
import traceback
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest

from storeroom.core.clock import FixedClock, NaiveInstant, SystemClock, utc
from storeroom.core.ids import CODE_ALPHABET, human_code, new_id
from storeroom.core.secrets import Secret, new_token, same, token_hash


def test_an_id_is_a_uuid_of_version_7_that_carries_its_time():
    before = datetime.now(UTC)
    made = new_id()
    after = datetime.now(UTC)
    assert type(made) is UUID
    assert made.version == 7
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=made.int >> 80)  # exact, as a float of 2026 is not
    assert before - timedelta(milliseconds=1) < at <= after
    assert len({new_id() for _ in range(1000)}) == 1000


def test_the_alphabet_holds_nothing_that_is_misread():
    assert len(CODE_ALPHABET) == len(set(CODE_ALPHABET)) == 30
    assert not set("0O1ILU") & set(CODE_ALPHABET)


@pytest.mark.parametrize(
    ("length", "group", "form"),
    [
        (8, 4, r"\w{4}-\w{4}"),
        (6, 3, r"\w{3}-\w{3}"),
        (5, 2, r"\w\w-\w\w-\w"),
        (6, 0, r"\w{6}"),
        (3, 9, r"\w{3}"),
        (1, 1, r"\w"),
    ],
)
def test_a_code_comes_in_groups(length, group, form):
    code = human_code(length, group)
    assert re.fullmatch(form, code)
    assert set(code) <= {*CODE_ALPHABET, "-"}


def test_codes_use_the_whole_alphabet():
    assert set("".join(human_code(64, 0) for _ in range(100))) == set(CODE_ALPHABET)


@pytest.mark.parametrize(("length", "group"), [(0, 4), (-1, 4), (65, 4), (8, -1)])
def test_a_code_has_bounds(length, group):
    with pytest.raises(ValueError, match="1 to 64"):
        human_code(length, group)


def test_the_system_clock_is_aware():
    before, now, after = datetime.now(UTC), SystemClock().now(), datetime.now(UTC)
    assert before <= now <= after
    assert now.tzinfo is UTC


def test_a_fixed_clock_stands_until_it_is_moved():
    clock = FixedClock(datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == clock.now() == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.move(timedelta(days=-1)) == clock.now() == datetime(2026, 2, 28, 12, tzinfo=UTC)


def test_an_instant_without_offset_is_refused():
    with pytest.raises(NaiveInstant) as refused:
        utc(datetime(2026, 3, 1, 12), field="starts_at")  # noqa: DTZ001  # it is the point
    assert refused.value.facts() == {"field": "starts_at"}
    with pytest.raises(NaiveInstant):
        FixedClock(datetime(2026, 3, 1, 12))  # noqa: DTZ001


def test_tokens():
    token = new_token()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token != new_token()
    assert token_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_comparing():
    assert same("grüße", "grüße")
    assert not same("grüße", "grüsse")
    assert not same("", "a")


def test_a_secret_shows_itself_only_when_asked():
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", repr([secret]), repr({"a": secret})]
    shown += traceback.format_exception_only(ValueError(secret))
    assert all("Secret(hidden)" in text and "hunter2" not in text for text in shown)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        vars(secret)


def test_secrets_compare_by_what_they_hide():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("a")} == {Secret("a")}
    assert Secret("a")
    assert not Secret("")
