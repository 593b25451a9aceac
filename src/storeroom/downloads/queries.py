"""The statements of queries.sql; their types are in queries.pyi."""

from storeroom.database.queries import load

load(__name__)
