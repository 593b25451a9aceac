"""A domain: a site of the shop, with a name, a company and a country of its own."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import DomainId
from storeroom.database.rows import instant

HOST_LENGTH_MAX: Final = 253
DISPLAY_NAME_LENGTH_MAX: Final = 255
COMPANY_CODE_LENGTH_MAX: Final = 50
LEGACY_ID_MAX: Final = 2**63 - 1

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One site."""

    id: DomainId
    legacy_id: int | None  # the row's number in the system it came from
    domain_name: str
    display_name: str | None
    company_code: str | None
    country_code: str | None  # ISO 3166-1
    currency: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


def map_domain(row: Mapping[str, Any]) -> Domain:
    """The one way from a row to a Domain, whatever form a driver gives ids and instants."""
    return Domain(
        id=DomainId(UUID(str(row["id"]))),
        legacy_id=row["legacy_id"],
        domain_name=row["domain_name"],
        display_name=row["display_name"],
        company_code=row["company_code"],
        country_code=row["country_code"],
        currency=row["currency"],
        is_active=bool(row["is_active"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
    )


def host_name(host: str) -> str | None:
    """A host as domains are named: without blanks, port, the root's dot and capitals. None: no host name."""
    name, colon, port = host.strip().rpartition(":")
    plain = (name if colon and port.isdigit() else host.strip()).rstrip(".").lower()
    return plain if _HOST.fullmatch(plain) else None
