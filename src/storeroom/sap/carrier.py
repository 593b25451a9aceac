"""Hears of customers, new or changed, and lets those wait for SAP who have no row yet."""

from collections.abc import Callable
from typing import Final

from storeroom.configuration import ConfigUnreadable, Configuration
from storeroom.core.crypto import SealBroken
from storeroom.core.ids import TenantId, UserId
from storeroom.database.pool import Database
from storeroom.database.service import Context, TenantSuspended, TenantUnknown
from storeroom.identity import SigningSecretMissing
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
        """A shop that says where its SAP answers, also while it is suspended, or where we cannot read it.

        What is asked for each event of each shop must not raise: that would hold up the events of all.
        """
        configuration = self._configuration_of(tenant_id)
        try:
            try:
                return await configuration.value(SAP_ADDRESS) is not None
            except TenantSuspended:
                async with _database(configuration.context).transaction() as tx:  # where that is not asked
                    return await configuration.bound(tx).value(SAP_ADDRESS) is not None
        except TenantUnknown:
            return False
        except (ConfigUnreadable, SealBroken, SigningSecretMissing):
            return True

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Again does nothing: a customer has one row. Those of a suspended shop wait until it is resumed."""
        if row.entity_id is not None:
            context, customer_id = self._configuration_of(tenant_id).context, UserId(row.entity_id)
            await _database(context).run(lambda tx: CustomerSyncs(context.on(tx)).enrol(customer_id=customer_id))
        return Outcome(duration_ms=0)


def _database(context: Context) -> Database:
    if not isinstance(context.db, Database):
        raise TypeError("a carrier needs a Database")
    return context.db
