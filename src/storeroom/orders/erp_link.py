"""What the ERP keeps of orders as well."""

from typing import Final

from storeroom.database.synced import SyncedTable
from storeroom.orders import queries

ORDERS_SYNCED: Final = SyncedTable(
    mark=queries.mark_synced,
    reset=queries.reset_synced,
    reset_some=queries.reset_some_synced,
    mark_lines=queries.mark_lines_synced,
)
