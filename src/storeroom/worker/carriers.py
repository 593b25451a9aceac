"""What the worker brings besides webhooks, in one list."""

from storeroom.integration import Carrier, Courier
from storeroom.room import Storeroom
from storeroom.settings import Settings


def carriers(room: Storeroom, courier: Courier, settings: Settings) -> tuple[Carrier, ...]:
    """One for each destination of the queue that is ours to bring.

    Args:
        room: whose rows they are.
        courier: carries what goes over HTTP.
        settings: of the installation.
    """
    del room, courier, settings
    return ()
