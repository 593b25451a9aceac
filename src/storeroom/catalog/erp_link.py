"""What the ERP keeps of products as well."""

from typing import Final

from storeroom.catalog import queries
from storeroom.database.synced import SyncedTable

PRODUCTS_SYNCED: Final = SyncedTable(
    mark=queries.mark_synced, reset=queries.reset_synced, reset_some=queries.reset_some_synced
)
