"""The statements of queries.sql."""

from storeroom.database.queries import load

load(__name__)
