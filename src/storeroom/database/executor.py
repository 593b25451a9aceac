"""What runs a statement: the database itself, or a transaction on it."""

from collections.abc import Sequence
from typing import Any, Protocol

from storeroom.database.names import TableNames


class Executor(Protocol):
    """Runs statements as asyncpg does, and knows what the tables are called."""

    @property
    def names(self) -> TableNames:
        """What `{orders}` is called here."""
        ...

    async def fetch(self, sql: str, /, *args: object) -> Sequence[Any]:
        """All rows, as asyncpg Records."""
        ...

    async def fetchrow(self, sql: str, /, *args: object) -> Any:
        """The first row, or None."""
        ...

    async def fetchval(self, sql: str, /, *args: object) -> Any:
        """The first column of the first row; None where there is no row."""
        ...

    async def execute(self, sql: str, /, *args: object) -> str:
        """The status, such as `UPDATE 3`."""
        ...
