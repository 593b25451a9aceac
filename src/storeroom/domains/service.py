"""The sites of a shop: kept by staff, found by the host of a request."""

from typing import Any

import msgspec

from storeroom.audit import audited
from storeroom.core.contact import normal_country
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import DomainId, new_id
from storeroom.core.money import UnknownCurrency, currency_digits
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.ensured import Ensured
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.domains import queries
from storeroom.domains.errors import DomainNotFound, DomainTaken, InvalidDomain
from storeroom.domains.model import (
    COMPANY_CODE_LENGTH_MAX,
    DISPLAY_NAME_LENGTH_MAX,
    LEGACY_ID_MAX,
    Domain,
    host_name,
    map_domain,
)

ensure_domains = Ensured("domains")


class DomainChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays, what may be null is taken away by null."""

    legacy_id: int | msgspec.UnsetType | None = msgspec.UNSET
    domain_name: str | msgspec.UnsetType = msgspec.UNSET
    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    company_code: str | msgspec.UnsetType | None = msgspec.UNSET
    country_code: str | msgspec.UnsetType | None = msgspec.UNSET
    currency: str | msgspec.UnsetType | None = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET


class Domains(Service):
    """The domains of one shop. Which shop answers at a host is the operator's matter: see Tenants."""

    @audited("domains.create", "domain")
    @transactional
    async def create(
        self,
        *,
        domain_name: str,
        display_name: str | None = None,
        company_code: str | None = None,
        country_code: str | None = None,
        currency: str | None = None,
        is_active: bool = True,
        legacy_id: int | None = None,
    ) -> Domain:
        """Add a domain.

        Args:
            domain_name: a host name, in any case; a shop has it once.
            display_name: what people call the site.
            company_code: of the company that sells there, as other systems know it.
            country_code: ISO 3166-1.
            currency: ISO 4217.
            is_active: only then is it found by its host.
            legacy_id: the row's number in the system it came from; a shop has it once.

        Raises:
            InvalidDomain: a field is out of bounds.
            DomainTaken: another domain has the name or the number.
        """
        await ensure_domains(self.db)
        facts = _checked(
            domain_name=domain_name,
            display_name=display_name,
            company_code=company_code,
            country_code=country_code,
            currency=currency,
            is_active=is_active,
            legacy_id=legacy_id,
        )
        domain_id = DomainId(new_id())
        with self._taken(facts):
            await queries.insert_domain(self.db, tenant_id=self.tenant_id, id=domain_id, **facts)
        return await self._domain(domain_id)

    @operation
    async def get(self, *, domain_id: DomainId) -> Domain:
        """One domain, active or not. Raises DomainNotFound."""
        await ensure_domains(self.db)
        return await self._domain(domain_id)

    @operation
    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Domain]:
        """All domains by name, the inactive ones too."""
        await ensure_domains(self.db)
        size = page_size(limit)
        after = decode_cursor(cursor, (str,))[0] if cursor else ""
        rows = await queries.domains_after(self.db, tenant_id=self.tenant_id, after=after, rows=size + 1)
        return page_of([map_domain(row) for row in rows], size, lambda domain: (domain.domain_name.lower(),))

    @operation
    async def resolve(self, *, host: str) -> Domain | None:
        """The active domain of a request's host, in any case and with or without a port.

        None where the host is unknown, inactive, or no host name at all: there is no default, since prices and
        companies hang on it.
        """
        await ensure_domains(self.db)
        name = host_name(host)
        row = await queries.active_domain(self.db, tenant_id=self.tenant_id, host=name) if name else None
        return map_domain(row) if row is not None else None

    @audited("domains.update", "domain", "domain_id")
    @transactional
    async def update(self, *, domain_id: DomainId, changes: DomainChanges) -> Domain:
        """Change some fields.

        Raises:
            DomainNotFound, InvalidDomain, DomainTaken: nothing was changed.
        """
        await ensure_domains(self.db)
        row = await queries.lock_domain(self.db, tenant_id=self.tenant_id, domain_id=domain_id)
        if row is None:
            raise DomainNotFound(domain_id=domain_id)
        known, asked = msgspec.structs.asdict(map_domain(row)), msgspec.structs.asdict(changes)
        facts = _checked(**{name: known[name] if to is msgspec.UNSET else to for name, to in asked.items()})
        with self._taken(facts):
            await queries.update_domain(self.db, tenant_id=self.tenant_id, id=domain_id, **facts)
        return await self._domain(domain_id)

    @audited("domains.delete", "domain", "domain_id")
    @transactional
    async def delete(self, *, domain_id: DomainId) -> None:
        """Remove a domain. What happened there stays, and no longer names it. Raises DomainNotFound."""
        await ensure_domains(self.db)
        if not await queries.remove_domain(self.db, tenant_id=self.tenant_id, domain_id=domain_id):
            raise DomainNotFound(domain_id=domain_id)

    async def _domain(self, domain_id: DomainId) -> Domain:
        row = await queries.domain(self.db, tenant_id=self.tenant_id, domain_id=domain_id)
        if row is None:
            raise DomainNotFound(domain_id=domain_id)
        return map_domain(row)

    def _taken(self, facts: dict[str, Any]) -> Any:
        return violations(
            {
                "domains_name_unique": lambda: DomainTaken(field="domain_name", value=facts["domain_name"]),
                "domains_legacy_unique": lambda: DomainTaken(field="legacy_id", value=str(facts["legacy_id"])),
            },
            self.db.names,
        )


def _checked(**facts: Any) -> dict[str, Any]:
    name = host_name(facts["domain_name"])
    if name is None or ":" in facts["domain_name"]:
        raise InvalidDomain(field="domain_name", reason="not a host name, such as shop.example")
    facts["domain_name"] = name
    for field, longest in (("display_name", DISPLAY_NAME_LENGTH_MAX), ("company_code", COMPANY_CODE_LENGTH_MAX)):
        if facts[field] is not None:
            facts[field] = facts[field].strip()
            if not 1 <= len(facts[field]) <= longest or not facts[field].isprintable():
                raise InvalidDomain(field=field, reason=f"1 to {longest} printable characters")
    if facts["legacy_id"] is not None and not 0 <= facts["legacy_id"] <= LEGACY_ID_MAX:
        raise InvalidDomain(field="legacy_id", reason="0 to 2^63 - 1")
    for field, check in (("country_code", normal_country), ("currency", _currency)):
        if facts[field] is not None:
            try:
                facts[field] = check(facts[field])
            except StoreroomError as error:
                raise InvalidDomain(field=field, reason=str(error)) from error
    return facts


def _currency(text: str) -> str:
    code = text.strip().upper()
    currency_digits(code)
    if len(code) != 3:  # an asset, and no currency of ISO 4217
        raise UnknownCurrency(currency=code)
    return code
