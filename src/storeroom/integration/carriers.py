"""What brings rows of the queue to somewhere that is no endpoint: a mail server, a text message gateway, an ERP.

Their rows are queued like all others and get the same: leases, attempts that are kept, backoff, a dead letter that
staff see and send again.
"""

from typing import Protocol

from storeroom.core.ids import TenantId
from storeroom.integration.model import Claimed, Outcome


class Carrier(Protocol):
    """Brings the rows of one destination."""

    @property
    def destination(self) -> str:
        """Of its rows, as in `mail`; neither `webhooks`, nor with a colon."""
        ...

    @property
    def event_types(self) -> frozenset[str]:
        """Events of which it gets a row each, where `wants`; none: its rows are queued by name.

        `order.created:payment_received` are those `order.created` alone whose payload has that status.
        """
        ...

    @property
    def keeps_order(self) -> bool:
        """Whether of one entity's rows the next waits for the one before."""
        ...

    @property
    def in_flight_max(self) -> int:
        """Rows of one shop that are carried at a time."""
        ...

    async def wants(self, tenant_id: TenantId) -> bool:
        """Whether this shop uses it. Asked for each batch of events: the answer is kept for a while."""
        ...

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Bring one row, within CARRY_MAX.

        It may be called again for the same row: when it failed, and when its worker died before that was written down.
        `row.delivery_id` is the same each time. An exception is a failed attempt.
        """
        ...
