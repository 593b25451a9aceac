"""What the ERP keeps of payments as well."""

from typing import Final

from storeroom.database.synced import SyncedTable
from storeroom.payments import queries

PAYMENTS_SYNCED: Final = SyncedTable(
    mark=queries.mark_synced, reset=queries.reset_synced, reset_some=queries.reset_some_synced
)
