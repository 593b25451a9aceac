"""The keys that the program knows. A slice declares its own beside the code that reads them.

LIMIT: Final = declare(Setting(key="payment.daily_limit", default=20, parse=number(1, 100), group="payment", says="…"))

limit = await shop.configuration.value(LIMIT)
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from storeroom.configuration.model import GROUP, KEY, Setting

T = TypeVar("T")
ADDRESS_LENGTH_MAX: Final = 200
_ADDRESS: Final = re.compile(
    r"(?:https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|http://(?:localhost|127\.0\.0\.1))(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
)
_declared: Final[dict[str, Setting[Any]]] = {}


def declare(setting: Setting[T]) -> Setting[T]:
    """Make a key known.

    Raises:
        ValueError: the key or its group is none, or somebody else has declared another meaning of it.
    """
    if not KEY.fullmatch(setting.key) or not GROUP.fullmatch(setting.group):
        raise ValueError(f"{setting.key!r} in {setting.group!r} cannot be a key in a group")
    if _declared.setdefault(setting.key, setting) != setting:
        raise ValueError(f"{setting.key} was declared already")
    return setting


def declared() -> Mapping[str, Setting[Any]]:
    """All of them, by key."""
    return MappingProxyType(_declared)


def text(value: str) -> str:
    """Anything, without blanks around it."""
    if not (tidy := value.strip()):
        raise ValueError("some text")
    return tidy


def switch(value: str) -> bool:
    """On or off."""
    words = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
    if (word := value.strip().lower()) not in words:
        raise ValueError("on or off")
    return words[word]


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds, both included."""

    def parse(value: str) -> int:
        tidy = value.strip()
        if not tidy.removeprefix("-").isdecimal() or len(tidy) > 20 or not low <= int(tidy) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(tidy)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(value: str) -> str:
        if (word := value.strip().lower()) not in words:
            raise ValueError(" or ".join(words))
        return word

    return parse


def address(value: str) -> str:
    """Where a site is: `https://shop.example`, with a path or without. Plain HTTP is for one's own machine."""
    tidy = value.strip().rstrip("/")
    if not _ADDRESS.fullmatch(tidy):
        raise ValueError("an address that begins with https://, without a question mark")
    if len(tidy) > ADDRESS_LENGTH_MAX:
        raise ValueError(f"an address of at most {ADDRESS_LENGTH_MAX} characters")
    return tidy


SUPPORT_EMAIL: Final[Setting[str | None]] = declare(
    Setting(
        key="general.support_email",
        environment="STOREROOM_SUPPORT_EMAIL",
        default=None,
        parse=text,
        says="where customers write to",
    )
)
SUPPORT_PHONE: Final[Setting[str | None]] = declare(
    Setting(
        key="general.support_phone",
        environment="STOREROOM_SUPPORT_PHONE",
        default=None,
        parse=text,
        says="where customers call",
    )
)
STOREFRONT_URL: Final[Setting[str | None]] = declare(
    Setting(
        key="general.storefront_url",
        environment="STOREROOM_STOREFRONT_URL",
        default=None,
        parse=address,
        says="where the shop's own pages are: what mails link to, unless a cart or an order names a domain of the shop",
    )
)
SERVICE_URL: Final[Setting[str | None]] = declare(
    Setting(
        key="general.service_url",
        environment="STOREROOM_SERVICE_URL",
        default=None,
        parse=address,
        says="where this service answers to customers: what links to downloads begin with",
    )
)
