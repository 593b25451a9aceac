"""What is taken out before anything is stored, and what has to stay."""

from __future__ import annotations

import random
from typing import Any

import pytest
from stand import CARD

from storeroom.core.stripping import luhn, stripped

# Test numbers that the schemes publish: 16, 15, 14, 13, 19 and 12 digits.
NUMBERS = [
    "4111111111111111",
    "378282246310005",
    "36227206271667",
    "4222222222222",
    "6304000000000000000",
    "501800000009",
]


@pytest.mark.requirement("RED-MPGS-11")
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", ["{}", "card {} declined", '{{"number":"{}"}}', "a,{},b", "({})"])
def test_a_card_number_in_a_text_keeps_its_last_four_digits(number: str, form: str) -> None:
    assert luhn(number)
    found = stripped(form.format(number))
    assert number not in found and number[:-4] not in found
    assert f"****{number[-4:]}" in found


@pytest.mark.requirement("RED-MPGS-11")
@pytest.mark.parametrize("between", [" ", "-", "."])
def test_it_is_found_as_it_is_printed(between: str) -> None:
    printed = between.join(CARD[place : place + 4] for place in range(0, 16, 4))
    assert stripped(f"<{printed}>") == "<****1111>"


@pytest.mark.requirement("RED-MPGS-11")
@pytest.mark.parametrize(
    "name", ["securityCode", "CVV", "cvv2", "card_cvc", "cvc", "csc", "Security-Code", "track2Data"]
)
def test_a_code_goes_with_its_field(name: str) -> None:
    found = stripped({"card": {name: "739", "brand": "VISA"}, "cards": [{name: 739}]})
    assert found == {"card": {"brand": "VISA"}, "cards": [{}]}


@pytest.mark.requirement("RED-MPGS-11")
@pytest.mark.parametrize(
    "text", ["cvv=739", "CVC: 739", 'the cvv2 was "739"', "security code 739", '{"securityCode":"739"}', "csc 7391"]
)
def test_a_code_that_a_text_names_goes(text: str) -> None:
    assert "739" not in stripped(text)


@pytest.mark.parametrize(
    "value",
    [
        "4111111111111112",  # no check digit of it
        "307512345678",  # a retrieval reference
        "1763650000000",  # milliseconds
        "0193b5a2-7c1d-7e33-8a4f-4111111111111111aa",  # inside of an id
        "cs_test_4111111111111111a",
        "2026-11-20T13:00:00.123456Z",
        {"amount": 144.5, "currency": "USD", "id": 12, "ok": True, "none": None},
        "512345xxxxxx2346",
        {"number": "512345xxxxxx2346"},
    ],
)
def test_what_is_no_card_stays(value: Any) -> None:
    assert stripped(value) == value


def test_a_field_that_is_called_so_is_masked_whatever_it_holds() -> None:
    found = stripped({"pan": "4111111111111112", "cardNumber": "123456", "accountNumber": "xxxx1111"})
    assert found == {"pan": "****1112", "cardNumber": "[removed]", "accountNumber": "xxxx1111"}


def test_nothing_of_any_number_survives_any_nesting() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(300):
        body = str(draw.choice("23456")) + "".join(
            draw.choice("0123456789") for _ in range(draw.choice([11, 13, 14, 17]))
        )
        check = next(digit for digit in "0123456789" if luhn(body + digit))
        number = body + check
        if len(number) == 12 and number[0] not in "56":
            continue
        value: Any = draw.choice([number, int(number), f"x {number} y", {"a": number}])
        for _ in range(draw.randrange(6)):
            value = [value] if draw.random() < 0.5 else {f"k{draw.randrange(9)}": value}
        assert number not in str(stripped(value))


def test_what_is_deeper_than_anything_is_left_out() -> None:
    value: Any = CARD
    for _ in range(50):
        value = [value]
    assert CARD not in str(stripped(value))
