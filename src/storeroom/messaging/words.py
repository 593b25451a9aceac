"""Which templates a message is made from: the shop's own, or those that come with the program, in the best language."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec
from jinja2 import Environment, Template
from markupsafe import Markup

from storeroom.messaging.model import LANGUAGE, LANGUAGE_DEFAULT, Own, Sources
from storeroom.notices import Channel

SUBJECT: Final = "Subject: "
_FOLDER: Final = resources.files("storeroom.messaging") / "templates"


def languages(*wanted: str | None) -> list[str]:
    """The languages to look in, the best one first: each before what it is a form of, and at last our own."""
    found: dict[str, None] = {}
    for each in (*wanted, LANGUAGE_DEFAULT):
        while each:
            found.setdefault(each)
            each = each.rpartition("-")[0]  # noqa: PLW2901  # de-AT, then de
    return list(found)


def language_of(locale: str | None) -> str | None:
    """A locale of whatever spelling, as a language of ours; None where it is none."""
    tag = (locale or "").strip().replace("_", "-")
    first, *rest = tag.split("-")
    tag = "-".join([first.lower(), *(each.title() if len(each) == 4 else each.upper() for each in rest)])
    return tag if LANGUAGE.fullmatch(tag) else None


def chosen(kind: str, channel: Channel, wanted: Sequence[str], own: Sequence[Own]) -> tuple[str, Sources] | None:
    """The language and the templates; None where there are none at all."""
    mine: Mapping[str, Own] = {each.language: each for each in own}
    for language in wanted:
        if (found := mine.get(language)) is not None:
            return language, Sources(subject=found.subject, body=found.body, html=found.html)
        if (packaged := shipped(kind, channel, language)) is not None:
            return language, packaged
    return None


@cache
def shipped(kind: str, channel: Channel, language: str) -> Sources | None:
    """The templates of the program: a file for the text, its first line the subject of a mail, and one for HTML."""
    if not LANGUAGE.fullmatch(language):
        return None
    folder = _FOLDER / language
    file = folder / f"{kind}.{channel}.txt"
    if not file.is_file():
        return None
    text = file.read_text("utf-8")
    if channel is Channel.SMS:
        return Sources(body=text)
    subject, _, body = text.partition("\n")
    html = folder / f"{kind}.{channel}.html"
    return Sources(
        subject=subject.removeprefix(SUBJECT), body=body, html=html.read_text("utf-8") if html.is_file() else None
    )


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around the HTML of every mail of a shop."""

    language: str
    shop_name: str
    support_email: str | None = None
    support_phone: str | None = None
    logo_url: str | None = None


def framed(html: str, subject: str, frame: Frame) -> str:
    """The whole document. What stands inside was escaped when it was rendered."""
    return _layout().render(content=Markup(html), subject=subject, **msgspec.structs.asdict(frame))  # noqa: S704


@cache
def _layout() -> Template:
    return Environment(autoescape=True, trim_blocks=True).from_string((_FOLDER / "layout.html").read_text("utf-8"))
