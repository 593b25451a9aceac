"""What the worker brings besides webhooks, in one list."""

from storeroom.integration import Carrier, Courier
from storeroom.room import Storeroom
from storeroom.sap import SapCustomers
from storeroom.settings import Settings


def carriers(room: Storeroom, courier: Courier, settings: Settings) -> tuple[Carrier, ...]:
    """One for each destination of the queue that is ours to bring.

    Args:
        room: whose rows they are.
        courier: carries what goes over HTTP.
        settings: of the installation.
    """
    del courier, settings
    return (SapCustomers(lambda tenant_id: room.tenant(tenant_id).configuration),)
