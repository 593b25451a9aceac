"""Where orders come from: the campaign or the page that sent the buyer, by one name for each. Pure."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

DIRECT: Final = "direct"
TRAFFIC_SOURCES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {  # what utm_source says, or the host that sent the visitor, for each source
        "facebook": frozenset({"facebook", "fb", "meta", "facebook.com", "fb.com", "fb.me"}),
        "instagram": frozenset({"instagram", "ig", "instagram.com"}),
        "google": frozenset({"google", "adwords", "googleads", "googleadservices.com", "googlesyndication.com"}),
        "bing": frozenset({"bing", "bing.com"}),
        "tiktok": frozenset({"tiktok", "tiktok.com"}),
        "youtube": frozenset({"youtube", "yt", "youtube.com", "youtu.be"}),
        "pinterest": frozenset({"pinterest", "pinterest.com", "pin.it"}),
        "twitter": frozenset({"twitter", "x", "twitter.com", "x.com", "t.co"}),
        "whatsapp": frozenset({"whatsapp", "whatsapp.com", "wa.me"}),
    }
)
_SOURCE_OF: Final = MappingProxyType({name: source for source, names in TRAFFIC_SOURCES.items() for name in names})
_GOOGLE: Final = re.compile(r"google\.(?:com|[a-z]{2}|com?\.[a-z]{2})")  # google.de, google.co.uk; not google.evil.com


def traffic_source(utm_source: str | None, referrer: str | None) -> str:
    """Where a buyer came from: the campaign's parameter, else the host of the page before, else `direct`.

    A parameter or host that nobody listed in TRAFFIC_SOURCES counts as direct; the raw ones stay on the order's cart.
    """
    if utm_source and (source := _SOURCE_OF.get(utm_source.strip().lower())):
        return source
    try:
        host = (urlsplit(referrer.strip()).hostname or "") if referrer else ""
    except ValueError:  # "http://[": whatever a browser or a robot sends
        host = ""
    labels = host.rstrip(".").split(".")
    for start in range(len(labels) - 1):
        domain = ".".join(labels[start:])
        if source := _SOURCE_OF.get(domain):
            return source
        if _GOOGLE.fullmatch(domain):
            return "google"
    return DIRECT
