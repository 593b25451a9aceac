"""Hears of customers, new or changed, and lets those wait for SAP who have no row yet."""

from collections.abc import Callable
from typing import Final

from storeroom.configuration import Configuration
from storeroom.core.ids import TenantId, UserId
from storeroom.integration import Claimed, Outcome
from storeroom.sap.customers import CustomerSyncs
from storeroom.sap.port import SAP_ADDRESS


class SapCustomers:
    """A carrier that goes no further than our own table: the job sends from there, by its own attempts."""

    destination: Final = "sap"
    event_types: Final = frozenset({"customer.created", "customer.updated"})
    keeps_order: Final = False
    in_flight_max: Final = 4

    def __init__(self, configuration_of: Callable[[TenantId], Configuration]) -> None:
        """Say how the configuration of a shop is reached."""
        self._configuration_of = configuration_of

    async def wants(self, tenant_id: TenantId) -> bool:
        """A shop that has said where its SAP answers."""
        return await self._configuration_of(tenant_id).value(SAP_ADDRESS) is not None

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Again does nothing: a customer has one row."""
        if row.entity_id is not None:
            await CustomerSyncs(self._configuration_of(tenant_id).context).enrol(customer_id=UserId(row.entity_id))
        return Outcome(duration_ms=0)
