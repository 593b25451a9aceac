"""A gateway: a provider's account of the shop, what is told to it, and where it answers."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

from storeroom.core.secrets import Secret, sounds_secret
from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount"]

GATEWAYS_MAX: Final = 50  # of one tenant
NAME_LENGTH_MAX: Final = 100
FIELDS_MAX: Final = 50  # of one configuration
TEXT_LENGTH_MAX: Final = 4_000  # of one value
LIST_LENGTH_MAX: Final = 50
NUMBER_MAX: Final = 2**53 - 1  # what every JSON reader takes whole
ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
SEALED: Final = "$sealed"  # the one member of the object that stands for a secret in the row
SET: Final = "set"  # and of the one that stands for it in answers
TEST_ENDPOINT: Final = "test_endpoint"  # fields of any configuration, instead of what is known of the kind
LIVE_ENDPOINT: Final = "live_endpoint"

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class GatewayKind(StrEnum):
    """Whose interface a gateway speaks."""

    SSLCOMMERZ = "sslcommerz"
    AMARPAY = "amarpay"
    COD = "cod"  # cash on delivery: nobody is asked
    STRIPE = "stripe"
    MPGS = "mpgs"
    PAYHERE = "payhere"
    OTHER = "other"


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of gateway asks for, and where it answers."""

    required: tuple[str, ...] = ()  # before it may be active
    secret: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()  # no secrets, though their names sound like it
    test_endpoint: str | None = None
    live_endpoint: str | None = None
    endpoint_needed: bool = True
    live_keys: tuple[str, ...] = ()  # how secrets of the live mode begin, where the key and not the host decides
    test_keys: tuple[str, ...] = ()


K = GatewayKind
# Endpoints as the providers document them; `test_endpoint` and `live_endpoint` in a configuration come before them.
INTERFACES: Final[Mapping[GatewayKind, Interface]] = MappingProxyType(
    {
        K.SSLCOMMERZ: Interface(
            required=("store_id", "store_passwd"),
            secret=frozenset({"store_passwd"}),
            test_endpoint="https://sandbox.sslcommerz.com",
            live_endpoint="https://securepay.sslcommerz.com",
        ),
        K.AMARPAY: Interface(
            required=("store_id", "signature_key"),
            secret=frozenset({"signature_key"}),
            test_endpoint="https://sandbox.aamarpay.com",
            live_endpoint="https://secure.aamarpay.com",
        ),
        K.COD: Interface(endpoint_needed=False),
        K.STRIPE: Interface(
            required=("secret_key",),
            secret=frozenset({"secret_key", "webhook_secret"}),
            plain=frozenset({"publishable_key"}),
            test_endpoint="https://api.stripe.com",  # one host: the key says which mode
            live_endpoint="https://api.stripe.com",
            live_keys=("sk_live_", "rk_live_"),
            test_keys=("sk_test_", "rk_test_"),
        ),
        K.MPGS: Interface(
            required=("merchant_id", "api_password"),
            secret=frozenset({"api_password", "webhook_secret"}),
            test_endpoint="https://test-gateway.mastercard.com",  # live: each bank says which region's
        ),
        K.PAYHERE: Interface(
            required=("merchant_id", "merchant_secret"),
            secret=frozenset({"merchant_secret", "app_secret"}),
            test_endpoint="https://sandbox.payhere.lk",
            live_endpoint="https://www.payhere.lk",
        ),
        K.OTHER: Interface(endpoint_needed=False),
    }
)


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway as staff see it. Of a secret in `config` it says that it is set, nothing else."""

    id: str
    kind: GatewayKind
    name: str
    config: dict[str, Any]
    is_test_mode: bool
    is_active: bool
    position: int
    created_at: datetime
    updated_at: datetime


class GatewayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway as it is kept; secrets are sealed."""

    id: str
    kind: GatewayKind
    name: str
    config: dict[str, Any]
    is_test_mode: bool
    is_active: bool
    position: int
    created_at: datetime
    updated_at: datetime


class OfferedGateway(msgspec.Struct, frozen=True, kw_only=True):
    """An active gateway, without its configuration."""

    id: str
    kind: GatewayKind
    name: str
    is_test_mode: bool
    position: int


class SealedGateway(msgspec.Struct, frozen=True):
    """What a rotation of keys needs of a row."""

    tenant_id: str
    id: str
    config: dict[str, Any]


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that the server needs to speak to a provider, opened. It goes into no answer: nothing of it shows itself."""

    gateway_id: str
    kind: GatewayKind
    is_test_mode: bool
    is_active: bool
    endpoint: str | None  # of the mode it is in, without a slash at its end; None: nobody is called
    settings: dict[str, Any]
    secrets: dict[str, Secret]

    def setting(self, name: str) -> str | None:
        """A text that is no secret; None where it is not set."""
        value = self.settings.get(name)
        return None if value is None else str(value)

    def secret(self, name: str) -> Secret | None:
        """A secret; None where it is not set."""
        return self.secrets.get(name)

    @override
    def __repr__(self) -> str:
        return f"GatewayConfig({self.gateway_id!r}, hidden)"


def is_secret(kind: GatewayKind, field: str) -> bool:
    """Whether a field is sealed: the kind says so, or its name sounds like it."""
    interface = INTERFACES[kind]
    return field in interface.secret or (field not in interface.plain and sounds_secret(field))


def is_sealed(value: object) -> bool:
    """Whether a value of a row is a secret."""
    return isinstance(value, dict) and SEALED in value


def place_of(tenant_id: str, gateway_id: str, field: str) -> str:
    """What a secret is bound to: moved to another row or field it does not open. Ids and fields hold no slash."""
    return f"{tenant_id}/{gateway_id}/{field}"


def shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it may leave the server."""
    return {name: {SET: True} if is_sealed(value) else value for name, value in config.items()}


def endpoint(kind: GatewayKind, settings: Mapping[str, Any], *, is_test_mode: bool) -> str | None:
    """Where the provider answers in this mode."""
    interface = INTERFACES[kind]
    name, known = (TEST_ENDPOINT, interface.test_endpoint) if is_test_mode else (LIVE_ENDPOINT, interface.live_endpoint)
    chosen = settings.get(name) or known
    return None if chosen is None else str(chosen).rstrip("/")


def unsafe_endpoint(field: str, url: object) -> str | None:
    """Why an address may not be called; None: it may. Plain HTTP is for a stand-in of this machine, in tests."""
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() else None
        host, port = (parts.hostname, parts.port) if parts else (None, None)
    except ValueError:
        parts = host = port = None
    if parts is None or not host or parts.username or parts.query or parts.fragment or port == 0:
        return "an address such as https://gateway.example, without user, query and fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK and field == TEST_ENDPOINT):
        return None
    return "begins with https://"


def host_of(url: str | None) -> str | None:
    """The host that an address means."""
    return urlsplit(url).hostname if url else None
