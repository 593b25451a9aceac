"""Tokens of links to downloads: the shop in the clear, since no header comes with a link, and the rest sealed to it."""

from typing import Final

import msgspec

from storeroom.core.crypto import SealBroken
from storeroom.core.ids import OrderLineId, TenantId
from storeroom.downloads.errors import DownloadNotFound
from storeroom.downloads.model import Named
from storeroom.identity import TokenKeys

PURPOSE: Final = "download links, 1"
PATH: Final = "/v1/downloads/"
TOKEN_LENGTH_MAX: Final = 400


def token_of(keys: TokenKeys, *, tenant_id: TenantId, order_item_id: OrderLineId, generation: int) -> str:
    """What a link carries. How long it works stands in its row. Raises SigningSecretMissing."""
    text = msgspec.json.encode(Named(order_item_id, generation))
    return f"{tenant_id}.{keys.ring(PURPOSE).seal(text, bound_to=_place(tenant_id))}"


def named_by(keys: TokenKeys, token: str, *, tenant_id: TenantId) -> Named:
    """Which line it is for.

    Raises:
        DownloadNotFound: not one of ours, or of another shop.
        SigningSecretMissing: there is no secret to test it with.
    """
    tenant, _, sealed = token.partition(".")
    if len(token) > TOKEN_LENGTH_MAX or tenant != tenant_id:
        raise DownloadNotFound
    try:
        return msgspec.json.decode(keys.ring(PURPOSE).open(sealed, bound_to=_place(tenant_id)), type=Named)
    except (SealBroken, msgspec.MsgspecError):
        raise DownloadNotFound from None


def _place(tenant_id: TenantId) -> str:
    return f"{tenant_id}/downloads"
