"""Which addresses we send to. Asked after the name was resolved, and that very address is then connected to.

So a name that says one thing when it is checked and another when it is used (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import itertools
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from storeroom.core.networks import Address, Network, is_public
from storeroom.integration.errors import DestinationRefused, InvalidWebhook, NoAnswer
from storeroom.integration.model import URL_LENGTH_MAX

RESOLVE_TIMEOUT_S: Final = 5.0
ADDRESSES_MAX: Final = 8  # of one name are tried


def checked_url(url: str) -> SplitResult:
    """A web address that can be sent to. What its host means is asked when it is used. Raises InvalidWebhook."""
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidWebhook(field="url", reason=f"at most {URL_LENGTH_MAX} visible ASCII characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidWebhook(field="url", reason="not a web address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidWebhook(field="url", reason="begins with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidWebhook(field="url", reason="carries no name and password; the signature says who sends")
    if parts.fragment:
        raise InvalidWebhook(field="url", reason="has no fragment")
    return parts


async def resolve(host: str, port: int, *, allowed: Sequence[Network] = ()) -> list[Address]:
    """The addresses to connect to, in the order in which to try them: the first of each family, then the second ones.

    Args:
        host: a name, or an address.
        port: of the service.
        allowed: networks of the operator's that may be sent to although they are not public.

    Raises:
        DestinationRefused: one of its addresses is not public, or its name can be none. All are looked at, so that a
            name with a public and a private address is no way in.
        NoAnswer: its name is not known, or was not found out in time. It may be later.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise DestinationRefused(host=host, reason="is no name of a host") from error
    except OSError as error:  # a time-out too
        raise NoAnswer(reason=f"{host}: its name is not known") from error
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    if not addresses:
        raise NoAnswer(reason=f"{host}: its name is not known")
    for address in addresses:
        if not is_public(address) and not any(address in network for network in allowed):
            raise DestinationRefused(host=host, reason="is not an address of the public Internet")
    families: dict[int, list[Address]] = {}  # with the one that the system would try first in front
    for address in addresses:
        families.setdefault(address.version, []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None][:ADDRESSES_MAX]
