"""Errors: a code is claimed once, a kind is not raised, facts are ready for a problem body."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import msgspec
import pytest

from storeroom.core.errors import Conflict, Invalid, StoreroomError, TooMany, Unavailable
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.core.secrets import Secret


@pytest.fixture
def codes(monkeypatch):
    """A register of codes for this test alone, so that its classes leave nothing behind."""
    register = {}
    monkeypatch.setattr(StoreroomError, "by_code", register)
    return register


def test_a_code_belongs_to_one_class(codes):
    class TooFew(Conflict):
        code = "test.too_few"

    with pytest.raises(TypeError, match=r"test\.too_few already belongs to TooFew"):
        type("TooFewAgain", (Conflict,), {"code": "test.too_few"})
    assert codes == {"test.too_few": TooFew}


@pytest.mark.parametrize("code", ["too_few", "Test.too_few", "test.too-few", "test.", "test.too_few "])
def test_a_code_has_one_form(codes, code):
    with pytest.raises(TypeError, match="write it as"):
        type("TooFew", (Conflict,), {"code": code})
    assert codes == {}


def test_a_kind_is_not_raised():
    with pytest.raises(TypeError, match="Conflict is a kind of error"):
        Conflict("no name")


def test_a_subclass_without_a_code_is_caught_as_its_parent(codes):
    class TooFew(Conflict):
        code = "test.too_few"

    class FarTooFew(TooFew):
        pass

    assert FarTooFew("none").code == "test.too_few"
    assert codes == {"test.too_few": TooFew}


def test_kinds_say_whether_a_second_try_may_help():
    assert TooMany.transient is Unavailable.transient is True
    assert Conflict.transient is Invalid.transient is False


def test_facts_are_what_a_problem_body_says(codes):
    class Size(StrEnum):
        LARGE = "large"

    class Refused(Invalid):
        code = "test.refused"

        def __init__(self):
            super().__init__("refused", field="size")
            self.price = Money(12950, "USD")
            self.lines = [Money(1, "JPY")]
            self.id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
            self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)
            self.size = Size.LARGE
            self.token = Secret("hunter2")
            self.note = None
            self._own = "not told"

    refused = Refused()
    refused.add_note("a note of a test runner")
    assert refused.facts() == {
        "field": "size",
        "price": {"amount": 12950, "currency": "USD"},
        "lines": [{"amount": 1, "currency": "JPY"}],
        "id": UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "size": "large",
        "token": "Secret(hidden)",
    }
    assert b'"at":"2026-03-01T12:00:00Z"' in msgspec.json.encode(refused.facts())


def test_too_many_says_when_to_come_back(codes):
    class Throttled(TooMany):
        code = "test.throttled"

    assert Throttled("later", retry_after_s=30).facts() == {"retry_after_s": 30}


def test_the_field_that_is_wrong_is_a_fact_unless_there_is_none():
    assert CurrencyMismatch(expected="USD", actual="EUR").facts() == {
        "expected": "USD",
        "actual": "EUR",
        "field": "currency",
    }
    assert CurrencyMismatch(expected="USD", actual="EUR", field=None).facts() == {"expected": "USD", "actual": "EUR"}
