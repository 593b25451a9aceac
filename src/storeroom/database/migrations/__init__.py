"""Brings a database to the schema of this release, and says how far one is.

`migrations/NNNN_name.sql` run once each, in order, every one in its own transaction, and are never edited afterwards.
Then every `functions.sql` of the slices: `CREATE FUNCTION {place_orders_v1}` is made once and frozen as well, a change
is `_v2`; what a document gives a name without a version is written `CREATE OR REPLACE FUNCTION` and follows its text.
Roles come before (`roles.sql`), rights after (`access.sql`). `files.py` reads all of these, `comparing.py` holds them
against what a database remembers, `running.py` runs what is missing, `rights.py` says who may do what.

A migration whose first lines say `-- transaction: none` (CREATE INDEX CONCURRENTLY) runs statement by statement. It may
stop halfway and begins again from the top, so each of its statements must bear that; it holds no dollar quotes.
"""

from storeroom.database.migrations.comparing import Applied, Status, require_migrated, status
from storeroom.database.migrations.connection import LOCK_KEY
from storeroom.database.migrations.errors import (
    DatabaseNewer,
    ExtensionMissing,
    FunctionEdited,
    FunctionFileInvalid,
    MigrationBlocked,
    MigrationEdited,
    MigrationFailed,
    MigrationMissing,
    NotMigrated,
    RolesMissing,
)
from storeroom.database.migrations.files import RUNNERS_OWN, Function, Migration, Sources
from storeroom.database.migrations.rights import APPEND_ONLY, NEVER_DELETED, OWNER_ROLE, TENANT_READS
from storeroom.database.migrations.running import migrate

__all__ = [
    "APPEND_ONLY",
    "LOCK_KEY",
    "NEVER_DELETED",
    "OWNER_ROLE",
    "RUNNERS_OWN",
    "TENANT_READS",
    "Applied",
    "DatabaseNewer",
    "ExtensionMissing",
    "Function",
    "FunctionEdited",
    "FunctionFileInvalid",
    "Migration",
    "MigrationBlocked",
    "MigrationEdited",
    "MigrationFailed",
    "MigrationMissing",
    "NotMigrated",
    "RolesMissing",
    "Sources",
    "Status",
    "migrate",
    "require_migrated",
    "status",
]
