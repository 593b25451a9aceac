"""What must never be stored of what others say: card numbers and security codes.

Everything a provider of payments, or a buyer, says passes through here before it is written: by the names of fields,
and by what stands in texts, since gateways echo what they were sent in messages too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

DEPTH_MAX: Final = 20  # deeper than any gateway nests; what lies below is left out

# Names without what is not a letter or digit, in lower case.
CODES: Final = frozenset(
    """
    cvv cvv2 cvc cvc2 cid csc cav cav2 cvn cvnumber cvvnumber cvvcode cvccode securitycode cardsecuritycode
    verificationvalue cardverificationvalue cardverificationcode pin pinblock encryptedpin
    track track1 track2 track3 trackdata track1data track2data magneticstripe
    """.split()  # noqa: SIM905 - easier to read than forty quotes
)
_ENDINGS: Final = ("cvv", "cvv2", "cvc", "cvc2", "securitycode")  # as in card_cvc
NUMBERS: Final = frozenset("pan cardnumber accountnumber primaryaccountnumber ccnumber cardno".split())  # noqa: SIM905

# 13 to 19 digits, as they are written or printed; ids with letters in them are none.
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ \-.]?[0-9]){11,18}(?![0-9A-Za-z])")
_SAID: Final = re.compile(
    r"\b(?P<name>cvv2?|cvc2?|csc|cvn|security\s?code|securityCode|card\s?verification\s?(?:value|code))"
    r"(?P<gap>[^0-9A-Za-z]{0,5}(?:is|was|of)?[^0-9A-Za-z]{0,5})[0-9]{3,4}\b",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"[^a-z0-9]")
_HIDDEN: Final = "[removed]"


def stripped(value: Any, *, depth: int = DEPTH_MAX) -> Any:
    """The same JSON without card numbers (the last four digits stay) and without security codes."""
    if depth == 0:
        return None
    if isinstance(value, str):
        return stripped_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        text = str(value)
        return stripped_text(text) if _is_card(text) else value
    if isinstance(value, Mapping):
        kept = {}
        for name, inside in value.items():
            plain = _PLAIN.sub("", str(name).lower())
            if plain in CODES or plain.endswith(_ENDINGS):
                continue
            if plain in NUMBERS and isinstance(inside, str | int):
                kept[stripped_text(str(name))] = _masked(str(inside))
            else:
                kept[stripped_text(str(name))] = stripped(inside, depth=depth - 1)
        return kept
    if isinstance(value, Sequence):
        return [stripped(each, depth=depth - 1) for each in value]
    return value if isinstance(value, float) else stripped_text(str(value))


def stripped_text(text: str) -> str:
    """A text without card numbers and without what it calls a security code."""
    text = _DIGITS.sub(lambda found: _masked(found[0]) if _is_card(found[0]) else found[0], text.replace("\x00", ""))
    return _SAID.sub(lambda found: f"{found['name']}{found['gap']}{_HIDDEN}", text)


def bounded(raw: Mapping[str, Any] | None, bytes_max: int) -> dict[str, Any] | None:
    """An answer as it may be stored; one that is too long leaves only that it was."""
    if raw is None:
        return None
    kept: dict[str, Any] = stripped(raw)
    size = len(msgspec.json.encode(kept))
    return kept if size <= bytes_max else {"left_out": f"{size} bytes"}


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _is_card(text: str) -> bool:
    """Whether the digits may be a card's: 13 to 19 of them from 2 to 6, or 12 of Maestro's, with their check digit."""
    digits = re.sub(r"[^0-9]", "", text)
    if not 12 <= len(digits) <= 19 or len(text) > 2 * len(digits):
        return False
    begins = "56" if len(digits) == 12 else "23456"
    return digits[0] in begins and luhn(digits)


def _masked(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text)
    return f"****{digits[-4:]}" if len(digits) >= 12 else text if "x" in text.lower() or "*" in text else _HIDDEN
