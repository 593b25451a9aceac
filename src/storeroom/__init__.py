"""Storeroom: the room behind every shop. A commerce backend on PostgreSQL.

from storeroom import Storeroom

async with Storeroom.open("postgresql://…") as room:
    shop = room.tenant("default")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storeroom.core.errors import StoreroomError
    from storeroom.core.money import Money
    from storeroom.room import Shop, Storeroom

__all__ = ["Money", "Shop", "Storeroom", "StoreroomError", "__version__"]

__version__ = "0.1.0"

# Loaded when asked for: a tool that needs one room of the package does not pay for all of them.
_HOMES = {
    "Money": "storeroom.core.money",
    "Shop": "storeroom.room",
    "Storeroom": "storeroom.room",
    "StoreroomError": "storeroom.core.errors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
