"""What an entry says, and what of a call's values may stand in it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import UserId
from storeroom.database.service import ActorKind

__all__ = ["ActorKind"]

SEAL_ROWS_MAX: Final = 1_000  # of one link of the chain
SEALED_TENANTS_MAX: Final = 100  # of one run of the job
TEXT_LENGTH_MAX: Final = 500  # of one value; the rest is cut off
ITEMS_MAX: Final = 50  # of one list
FIELDS_MAX: Final = 100  # of one object
DEPTH_MAX: Final = 6
EMAIL_LENGTH_MAX: Final = 255
USER_AGENT_LENGTH_MAX: Final = 500
REQUEST_ID_LENGTH_MAX: Final = 100
ACTION_LENGTH_MAX: Final = 100
RESOURCE_LENGTH_MAX: Final = 50

SECRET: Final = "(secret)"  # noqa: S105 - stands where one was
# A field is a secret by any word of its name, a person's by its whole name.
_SECRET_WORDS: Final = frozenset(
    {"cvv", "hash", "hashes", "otp", "password", "passwords", "pin", "present", "replacement", "secret", "secrets"}
    | {"totp", "token", "tokens", "recovery"}
)
_NO_SECRETS: Final = frozenset({"crypto_token"})  # the name of an asset
_PERSONAL: Final = frozenset(
    {
        *("email", "customer_email", "phone", "customer_phone", "full_name", "first_name", "last_name", "display_name"),
        *("customer_name", "recipient_name", "date_of_birth", "street_line_1", "street_line_2", "company", "city"),
        *("postal_code", "shipping_address", "billing_address", "address", "ip_address", "customer_notes"),
        *("customer_reference", "birth_date", "bcc_emails", "details", "refund_details"),
    }
)
# Elsewhere these are words of the shop's own: names of products, notes of staff.
_PERSONAL_INSIDE: Final[Mapping[str, frozenset[str]]] = {"payment": frozenset({"name", "notes"})}
_PERSONAL_OF: Final[Mapping[str, frozenset[str]]] = {"address": frozenset({"label"})}
# What other systems keep with a record may be about a person, unless the record is about a thing.
_METADATA: Final = "metadata"
_THINGS: Final = frozenset({"batch", "category", "coupon", "product", "variant"})
_NOBODYS: Final[frozenset[str]] = frozenset()
_OF_EVERY_ROW: Final = frozenset({"tenant_id", "id", "created_at", "updated_at"})


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One action, done or refused."""

    id: UUID
    actor_kind: ActorKind
    user_id: UserId | None
    user_email: str | None  # as it was then, as is the role
    user_role: str | None
    action: str  # as in `orders.ship`
    resource_type: str
    resource_id: UUID | None
    old_values: dict[str, Any] | None  # of what has changed, before
    new_values: dict[str, Any] | None  # what was asked for, and what has changed, after
    ip_address: str | None
    user_agent: str | None
    request_id: str | None
    success: bool
    error_message: str | None  # code and meaning of what refused it
    created_at: datetime


class Link(msgspec.Struct, frozen=True):
    """The end of a tenant's chain."""

    number: int
    hash: bytes


class Unsealed(msgspec.Struct, frozen=True):
    """An entry that no seal holds yet."""

    audit_id: UUID
    row_created_at: datetime


class Hashed(msgspec.Struct, frozen=True):
    """An entry and the hash of all of it."""

    id: UUID
    row_hash: bytes


def shown(tenant_id: str, resource_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as an entry may hold them: no secrets, of persons only fingerprints, nothing without an end."""
    show = _Shown(tenant_id, resource_type)
    personal = _PERSONAL_OF.get(resource_type, _NOBODYS)
    return {name: show(name, value, 1, personal) for name, value in list(values.items())[:FIELDS_MAX]}


def changed(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns in which two states of a row differ, before and after; a row that is not there has none."""
    old, new = old or {}, new or {}
    differ = [name for name in {**old, **new} if name not in _OF_EVERY_ROW and old.get(name) != new.get(name)]
    return {name: old[name] for name in differ if name in old}, {name: new[name] for name in differ if name in new}


def chained(number: int, previous_hash: bytes, rows: list[tuple[UUID, bytes]]) -> bytes:
    """The hash of one link: its number, the link before, and its rows with theirs."""
    whole = hashlib.sha256(number.to_bytes(8) + previous_hash)
    for audit_id, row_hash in rows:
        whole.update(audit_id.bytes + row_hash)
    return whole.digest()


class _Shown:
    """Goes through the values of one entry."""

    def __init__(self, tenant_id: str, resource_type: str) -> None:
        self._tenant_id = tenant_id
        self._personal = _PERSONAL if resource_type in _THINGS else _PERSONAL | {_METADATA}

    def __call__(self, name: str, value: Any, depth: int, personal: frozenset[str] = _NOBODYS) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if name not in _NO_SECRETS and not _SECRET_WORDS.isdisjoint(name.lower().split("_")):
            return SECRET
        if name in self._personal or name in personal:
            text = msgspec.json.encode([self._tenant_id, value], order="deterministic")
            return f"sha256:{hashlib.sha256(text).hexdigest()[:32]}"
        if isinstance(value, dict | list) and depth >= DEPTH_MAX:
            return "…"
        if isinstance(value, dict):
            inside = _PERSONAL_INSIDE.get(name, _NOBODYS)
            return {str(key): self(str(key), each, depth + 1, inside) for key, each in list(value.items())[:FIELDS_MAX]}
        if isinstance(value, list):
            return [self("", each, depth + 1) for each in value[:ITEMS_MAX]]
        if isinstance(value, str):
            value = value.replace("\x00", "\ufffd")  # what was refused may hold what no column takes
            return value if len(value) <= TEXT_LENGTH_MAX else value[:TEXT_LENGTH_MAX] + "…"
        return value
