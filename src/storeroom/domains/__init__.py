"""The sites of a shop: what a host name means for prices, companies and histories inside a tenant."""

from storeroom.domains.errors import DomainNotFound, DomainTaken, InvalidDomain
from storeroom.domains.model import Domain, host_name, map_domain
from storeroom.domains.service import DomainChanges, Domains, ensure_domains

__all__ = [
    "Domain",
    "DomainChanges",
    "DomainNotFound",
    "DomainTaken",
    "Domains",
    "InvalidDomain",
    "ensure_domains",
    "host_name",
    "map_domain",
]
