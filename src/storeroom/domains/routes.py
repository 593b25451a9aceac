"""Domains over HTTP, for staff."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.ids import DomainId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.domains.errors import DomainNotFound, DomainTaken, InvalidDomain
from storeroom.domains.model import (
    COMPANY_CODE_LENGTH_MAX,
    DISPLAY_NAME_LENGTH_MAX,
    HOST_LENGTH_MAX,
    LEGACY_ID_MAX,
    Domain,
)
from storeroom.domains.service import DomainChanges, Domains
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

_TAGS: Final = ["admin: domains"]
_WRITE: Final = [requires(Permission.DOMAINS_WRITE)]

HostName = Annotated[str, Meta(min_length=1, max_length=HOST_LENGTH_MAX, examples=["shop.example"])]
DisplayName = Annotated[str, Meta(min_length=1, max_length=DISPLAY_NAME_LENGTH_MAX)]
CompanyCode = Annotated[str, Meta(min_length=1, max_length=COMPANY_CODE_LENGTH_MAX)]
CountryCode = Annotated[str, Meta(min_length=2, max_length=2, examples=["AE"])]
CurrencyCode = Annotated[str, Meta(min_length=3, max_length=3, examples=["AED"])]
LegacyId = Annotated[int, Meta(ge=0, le=LEGACY_ID_MAX)]


class NewDomain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site of the shop."""

    domain_name: HostName
    display_name: DisplayName | None = None
    company_code: CompanyCode | None = None
    country_code: CountryCode | None = None
    currency: CurrencyCode | None = None
    is_active: bool = True
    legacy_id: LegacyId | None = None


class ChangedDomain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; null takes away."""

    domain_name: HostName | UnsetType = UNSET
    display_name: DisplayName | UnsetType | None = UNSET
    company_code: CompanyCode | UnsetType | None = UNSET
    country_code: CountryCode | UnsetType | None = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    legacy_id: LegacyId | UnsetType | None = UNSET


@get("/v1/admin/domains", summary="Sites of the shop", tags=_TAGS, guards=_WRITE, responses=says(InvalidCursor))
async def list_domains(
    domains: NamedDependency[Domains], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[Domain]:
    """By name, the inactive ones too."""
    return await domains.list(cursor=cursor, limit=limit)


@post(
    "/v1/admin/domains",
    summary="Add a site",
    tags=_TAGS,
    guards=_WRITE,
    opt=IDEMPOTENT,
    responses=says(InvalidDomain, DomainTaken),
)
async def create_domain(data: JSONBody[NewDomain], domains: NamedDependency[Domains]) -> Domain:
    """Its name is unique in the shop, whatever its case."""
    return await domains.create(**msgspec.structs.asdict(data))


@get(
    "/v1/admin/domains/{domain_id:uuid}", summary="One site", tags=_TAGS, guards=_WRITE, responses=says(DomainNotFound)
)
async def get_domain(domain_id: FromPath[UUID], domains: NamedDependency[Domains]) -> Domain:
    """Active or not."""
    return await domains.get(domain_id=DomainId(domain_id))


@patch(
    "/v1/admin/domains/{domain_id:uuid}",
    summary="Change a site",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(DomainNotFound, InvalidDomain, DomainTaken),
)
async def update_domain(
    domain_id: FromPath[UUID], data: JSONBody[ChangedDomain], domains: NamedDependency[Domains]
) -> Domain:
    """What is left out stays."""
    changes = DomainChanges(**msgspec.structs.asdict(data))
    return await domains.update(domain_id=DomainId(domain_id), changes=changes)


@delete(
    "/v1/admin/domains/{domain_id:uuid}",
    status_code=204,
    summary="Remove a site",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(DomainNotFound),
)
async def delete_domain(domain_id: FromPath[UUID], domains: NamedDependency[Domains]) -> None:
    """What happened there stays, and no longer names it."""
    await domains.delete(domain_id=DomainId(domain_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_domains,
    create_domain,
    get_domain,
    update_domain,
    delete_domain,
)
