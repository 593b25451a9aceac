"""What calls the shop besides people: programs, by their keys, and the web pages of other origins."""

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec
from typing_extensions import override

from storeroom.access.errors import ApiKeyRefused, InvalidOrigin
from storeroom.core.ids import ApiKeyId, TenantId, UserId
from storeroom.core.secrets import new_token, token_hash
from storeroom.identity import Permission

KEY: Final = "sk_"  # begins every key, so that people and scanners of leaks know one when they see it
KEY_LENGTH_MAX: Final = 200
NAME_LENGTH_MAX: Final = 100
HINT_LENGTH: Final = 4
KEYS_MAX: Final = 100  # of one shop, not counting the revoked ones
CALLS_PER_MINUTE_MAX: Final = 1_000_000
TOUCH_EVERY: Final = timedelta(minutes=1)  # how exactly last_used_at is kept
ORIGINS_MAX: Final = 50  # of one shop
ORIGIN_LENGTH_MAX: Final = 255

# What no key may do: a program that changes accounts, or makes keys, could give itself everything.
PEOPLE_ONLY: Final = frozenset({Permission.KEYS_WRITE, Permission.USERS_WRITE})

_KEY: Final = re.compile(r"sk_(?P<tenant>[A-Za-z0-9_-]{1,64})\.(?P<secret>[A-Za-z0-9_-]{43})")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS: Final = {"http": 80, "https": 443}


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is listed. The text that opens doors was shown once, and is kept nowhere."""

    id: ApiKeyId
    name: str
    hint: str  # the last characters of the key
    permissions: list[str]
    calls_per_minute: int | None  # None: as many as the installation gives a key
    created_by: UserId | None
    created_by_name: str | None
    expires_at: datetime | None  # None: never by itself
    last_used_at: datetime | None  # to the minute
    revoked_at: datetime | None
    created_at: datetime


class KeyInUse(msgspec.Struct, frozen=True):
    """A key that still opens, and whether it is time to note its use."""

    id: ApiKeyId
    name: str
    permissions: list[str]
    calls_per_minute: int | None
    stale: bool


class KeyText(msgspec.Struct, frozen=True):
    """A key in its two parts: the shop, which needs no header then, and 256 random bits."""

    tenant_id: TenantId
    secret: str

    @classmethod
    def new(cls, tenant_id: TenantId) -> "KeyText":
        """One that nobody has."""
        return cls(tenant_id, new_token())

    @classmethod
    def read(cls, text: str) -> "KeyText":
        """Take one apart. Raises ApiKeyRefused where it has not the form of a key."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise ApiKeyRefused
        return cls(TenantId(found["tenant"]), found["secret"])

    @property
    def text(self) -> str:
        """As it is shown once, and sent ever after."""
        return f"{KEY}{self.tenant_id}.{self.secret}"

    @property
    def hash(self) -> str:
        """As it is kept."""
        return token_hash(self.secret)

    @property
    def hint(self) -> str:
        """Enough of it to tell it from others."""
        return self.secret[-HINT_LENGTH:]

    @override
    def __repr__(self) -> str:
        return f"KeyText({self.tenant_id}, …{self.hint})"


def normal_origin(text: str) -> str:
    """An origin as browsers send it: lower case, without the port that its scheme has anyway.

    Raises:
        InvalidOrigin: not scheme, host and port alone. `null` and `*` are no origins that one could trust.
    """
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None or len(text) > ORIGIN_LENGTH_MAX:
        raise InvalidOrigin
    port = int(found["port"] or 0)
    if found["port"] is not None and not 1 <= port <= 65535:
        raise InvalidOrigin
    shown = f":{port}" if port not in {0, _PORTS[found["scheme"]]} else ""
    return f"{found['scheme']}://{found['host']}{shown}"
