"""What a shop's row says, in the hands of the shop. The operator's face of the same row is `tenants.Tenants`."""

from typing import Any

from storeroom.audit import audited
from storeroom.database.pool import Transaction
from storeroom.database.service import Service, TenantCache, TenantUnknown, operation, transactional
from storeroom.tenants import Tenant, changed_settings, tenant_row


class ShopSettings(Service):
    """The settings of one shop."""

    @operation
    async def get(self) -> Tenant:
        """As they are now: not as they were some seconds ago, which is what the rest of the shop may go by."""
        found = await tenant_row(self.db, self.tenant_id)
        if found is None:
            raise TenantUnknown(tenant_id=self.tenant_id)
        return found

    @audited("tenants.update", "tenant")
    @transactional
    async def update(self, /, **changes: Any) -> Tenant:
        """Change settings by name; what is not named stays. See `Tenants.create` for what each may be.

        This process goes by them at once, the others within seconds. The id, the currency and the status are the
        operator's.

        Raises:
            InvalidTenant: an unknown setting, or one out of bounds. Nothing was written.
            InvalidAddress: no such country.
        """
        _, after = await changed_settings(self.db, self.tenant_id, changes)
        known = self.context.tenants
        if isinstance(known, TenantCache) and isinstance(self.db, Transaction):
            self.db.after_commit(lambda: known.forget(self.tenant_id))
        return after
