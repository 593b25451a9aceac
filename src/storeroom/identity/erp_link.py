"""What the ERP keeps of accounts as well."""

from typing import Final

from storeroom.database.synced import SyncedTable
from storeroom.identity import queries

USERS_SYNCED: Final = SyncedTable(
    mark=queries.mark_synced, reset=queries.reset_synced, reset_some=queries.reset_some_synced
)
