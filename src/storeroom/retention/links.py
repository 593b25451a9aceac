"""Links that name a kept cart: sealed, so that nobody makes one, bound to the shop, and good for LINK_LIFETIME."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote
from uuid import UUID

import msgspec

from storeroom.core.crypto import SealBroken
from storeroom.core.ids import TenantId
from storeroom.identity import TokenKeys
from storeroom.retention.errors import CartReminderNotFound
from storeroom.retention.model import LINK_LIFETIME

PURPOSE: Final = "cart links, 1"
TOKEN_LENGTH_MAX: Final = 400
PATH: Final = "/cart/restore"  # of a storefront; it sends what it finds there to POST /v1/carts/restore
STOP_PATH: Final = "/cart/stop"  # the same, to POST /v1/cart-reminders/stop


class _Named(msgspec.Struct, frozen=True, array_like=True):
    reminder_id: UUID
    expires_s: int


def link_token(keys: TokenKeys, *, tenant_id: TenantId, reminder_id: UUID, now: datetime) -> str:
    """What a link carries. Raises SigningSecretMissing."""
    named = _Named(reminder_id, int((now + LINK_LIFETIME).timestamp()))
    return keys.ring(PURPOSE).seal(msgspec.json.encode(named), bound_to=_place(tenant_id))


def reminder_of(keys: TokenKeys, token: str, *, tenant_id: TenantId, now: datetime) -> UUID:
    """Whose link it is.

    Raises:
        CartReminderNotFound: not one of ours, of another shop, or its time is over.
        SigningSecretMissing: there is no secret to test it with.
    """
    if len(token) > TOKEN_LENGTH_MAX:
        raise CartReminderNotFound
    try:
        named = msgspec.json.decode(keys.ring(PURPOSE).open(token, bound_to=_place(tenant_id)), type=_Named)
    except (SealBroken, msgspec.MsgspecError):
        raise CartReminderNotFound from None
    if datetime.fromtimestamp(named.expires_s, UTC) <= now:
        raise CartReminderNotFound
    return named.reminder_id


def link(site: str, path: str, token: str) -> str:
    """The whole of it, below a storefront's address."""
    return f"{site}{path}?token={quote(token, safe='')}"


def _place(tenant_id: TenantId) -> str:
    return f"{tenant_id}/cart_reminders"
