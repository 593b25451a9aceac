"""Bringing what people say about themselves into its stored form."""

import ipaddress
import re
import unicodedata
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from storeroom.core.money import UnknownCurrency, currency_digits
from storeroom.identity.errors import InvalidPerson, SearchRefused
from storeroom.identity.model import (
    BIRTH_YEAR_MIN,
    SEARCH_LENGTH_MAX,
    SEARCH_LENGTH_MIN,
    URL_LENGTH_MAX,
    UTM_LENGTH_MAX,
    Attribution,
)

_PHONE: Final = re.compile(r"[+\d\s().-]+")


def line(text: str | None, *, field: str, length_max: int) -> str | None:
    """One line of text, spaces tidied; nothing left is None.

    Raises:
        InvalidPerson: longer than `length_max`, or with characters that are no text.
    """
    tidied = " ".join(unicodedata.normalize("NFC", text or "").split())
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in tidied):
        raise InvalidPerson(field=field, reason="holds a control character")
    if len(tidied) > length_max:
        raise InvalidPerson(field=field, reason=f"longer than {length_max} characters")
    return tidied or None


def required(text: str | None, *, field: str, length_max: int) -> str:
    """The same of what must be there."""
    tidied = line(text, field=field, length_max=length_max)
    if tidied is None:
        raise InvalidPerson(field=field, reason="missing")
    return tidied


def cut(text: str | None, length_max: int) -> str | None:
    """What a browser sent along, as much of it as is kept. Nobody is refused for it."""
    kept = "".join(character for character in text or "" if unicodedata.category(character) not in {"Cc", "Cs"})
    return kept[:length_max].strip() or None


def ip_address(text: str | None) -> str | None:
    """Where a call came from, as far as the column takes it."""
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None  # a socket, or a proxy's nonsense


def attribution(given: Attribution | None) -> dict[str, str | None]:
    """The columns of where somebody came from."""
    given = given or Attribution()
    return {
        name: cut(getattr(given, name), UTM_LENGTH_MAX if name.startswith("utm_") else URL_LENGTH_MAX)
        for name in Attribution.__struct_fields__
    }


def birth_date(born: date | None, today: date) -> date | None:
    """A day somebody alive can be born on. Raises InvalidPerson."""
    if born is not None and not (born.year >= BIRTH_YEAR_MIN and born <= today):
        raise InvalidPerson(field="date_of_birth", reason=f"a day from {BIRTH_YEAR_MIN} to today")
    return born


def currency(code: str) -> str:
    """A currency of ISO 4217. Raises UnknownCurrency."""
    try:
        currency_digits(code)
    except UnknownCurrency as error:
        raise UnknownCurrency(currency=code, field="preferred_currency") from error
    return code


def time_zone(name: str) -> str:
    """A time zone of IANA. Raises InvalidPerson."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder, a path out of it, no such zone
        raise InvalidPerson(field="timezone", reason="no such time zone") from None
    return name


def locale(tag: str) -> str:
    """A language tag of BCP 47, as `en-US`. Raises InvalidPerson."""
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415  # slow to import

    try:
        return str(Locale.parse(tag.replace("_", "-"), sep="-")).replace("_", "-")
    except (UnknownLocaleError, ValueError, TypeError):
        raise InvalidPerson(field="locale", reason="write a language tag such as en-US") from None


def search_pattern(text: str) -> str:
    """What ILIKE takes to find a part of a name, an address or a number. Raises SearchRefused."""
    words = " ".join(text.split())
    if _PHONE.fullmatch(words):  # numbers are kept as digits with the country's code, so the 0 before them goes too
        words = re.sub(r"\D", "", words).lstrip("0")
    if not SEARCH_LENGTH_MIN <= len(words) <= SEARCH_LENGTH_MAX or not words.isprintable():
        raise SearchRefused
    return "%" + re.sub(r"([\\%_])", r"\\\1", words) + "%"
