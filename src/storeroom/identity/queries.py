"""The statements of `queries.sql` as coroutines; their types are in the stub beside this file."""

from storeroom.database.queries import load

load(__name__)
