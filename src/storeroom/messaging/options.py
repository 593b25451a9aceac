"""What a shop may say about its messages: keys of its configuration.

They have no variables of the environment: what the environment says of mail (`STOREROOM_MAIL_FROM`) is for all shops of
an installation, and a shop that says something else goes before it.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from storeroom.configuration import Setting, declare, switch, text
from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.messaging.model import LANGUAGE_DEFAULT
from storeroom.messaging.words import language_of
from storeroom.notices import KINDS

MAIL, NOTICES = "mail", "notices"
BCC_MAX: Final = 5
URL_LENGTH_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 100


def _email(value: str) -> str:
    try:
        return normal_email(value)
    except InvalidEmail as error:
        raise ValueError(error.reason) from None


def _emails(value: str) -> tuple[str, ...]:
    found = tuple(_email(each) for each in value.split(",") if each.strip())
    if len(found) > BCC_MAX:
        raise ValueError(f"at most {BCC_MAX} addresses, between commas")
    return found


def _name(value: str) -> str:
    tidy = " ".join(text(value).split())
    if not tidy.isprintable() or len(tidy) > NAME_LENGTH_MAX:
        raise ValueError(f"1 to {NAME_LENGTH_MAX} printable characters")
    return tidy


def _language(value: str) -> str:
    if (found := language_of(value)) is None:
        raise ValueError("a language such as en or de-AT")
    return found


def _url(place: str | None = None) -> Callable[[str], str]:
    def parse(value: str) -> str:
        tidy = value.strip()
        plain = tidy.replace("{" + place + "}", "x") if place else tidy
        try:
            parts = urlsplit(plain)
        except ValueError:
            raise ValueError("a web address") from None
        fine = parts.scheme in {"https", "http"} and parts.hostname and len(tidy) <= URL_LENGTH_MAX
        if not fine or not plain.isascii() or not plain.isprintable() or " " in plain or "{" in plain:
            raise ValueError("a web address that begins with https://")
        if place and plain == tidy:
            raise ValueError(f"a web address with {{{place}}} in it")
        return tidy

    return parse


FROM_ADDRESS: Final[Setting[str | None]] = declare(
    Setting(key="mail.from_address", group=MAIL, default=None, parse=_email, says="who mail is from")
)
FROM_NAME: Final[Setting[str | None]] = declare(
    Setting(
        key="mail.from_name",
        group=MAIL,
        default=None,
        parse=_name,
        says="and its name; the shop's where neither says one",
    )
)
REPLY_TO: Final[Setting[str | None]] = declare(
    Setting(key="mail.reply_to", group=MAIL, default=None, parse=_email, says="who gets answers")
)
LOGO_URL: Final[Setting[str | None]] = declare(
    Setting(key="mail.logo_url", group=MAIL, default=None, parse=_url(), says="an image at the top of mails")
)
LANGUAGE: Final[Setting[str]] = declare(
    Setting(
        key="notices.language",
        group=NOTICES,
        default=LANGUAGE_DEFAULT,
        parse=_language,
        says="of messages to people who did not choose another",
    )
)
SHOP_NAME: Final[Setting[str | None]] = declare(
    Setting(key="notices.shop_name", group=NOTICES, default=None, parse=_name, says="what messages call the shop")
)
ORDER_URL: Final[Setting[str | None]] = declare(
    Setting(
        key="notices.order_url",
        group=NOTICES,
        default=None,
        parse=_url("number"),
        says="where a customer sees an order, with {number} in it",
    )
)
TOKEN_URLS: Final = MappingProxyType(
    {
        kind: declare(
            Setting[str | None](
                key=f"notices.{kind}_url",
                group=NOTICES,
                default=None,
                parse=_url("token"),
                says="the page that a message leads to, with {token} in it; without it the message says the token",
            )
        )
        for kind in ("verify_email", "reset_password")
    }
)
TOKEN_PAGES: Final = MappingProxyType({**TOKEN_URLS, "change_email": TOKEN_URLS["verify_email"]})  # by kind of notice
SWITCHES: Final = MappingProxyType(
    {
        kind.name: declare(
            Setting(
                key=f"notices.{kind.name}",
                group=NOTICES,
                default=True,
                parse=switch,
                says=f"a message when {kind.says}",
            )
        )
        for kind in KINDS.values()
        if kind.switchable
    }
)
COPIES: Final = MappingProxyType(
    {
        kind: declare(
            Setting[tuple[str, ...]](
                key=f"notices.{kind}_bcc",
                group=NOTICES,
                default=(),
                parse=_emails,
                says="addresses that get a copy of it, between commas",
            )
        )
        for kind in SWITCHES
    }
)
