"""Brings what is queued for the ERP: each message made when it is sent, from the rows as they are then.

So no message is stale, and what is tried again says what is true by then. What an entity refers to goes before it: of a
payment its order, of an order its buyer and its products. The ids that come back are written by the rooms that own the
rows, in one transaction; whoever finds one there changes the record of the ERP and makes no second.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from storeroom.core.ids import TenantId
from storeroom.core.money import currency_digits
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database, Transaction
from storeroom.database.synced import SyncedTable
from storeroom.erp import queries
from storeroom.erp.boundary import DESTINATION, OUTBOUND, SWEPT, TRIGGERS, Outbound
from storeroom.erp.connector import Connector, ErpRefused, HttpConnector
from storeroom.erp.model import IN_FLIGHT_MAX, WANTED_KEPT, ConnectionRow, ErpAnswer, ErpMessage, Subject
from storeroom.erp.sealed import PURPOSE, place_of
from storeroom.identity import TokenKeys
from storeroom.integration import Claimed, Courier, Outcome

ANSWER_SHOWN_MAX: Final = 2_000  # characters that a row keeps
CONNECTORS: Final[Mapping[str, Callable[[Courier, ConnectionRow, Secret | None], Connector]]] = MappingProxyType(
    {"http": HttpConnector}
)


class _Held:
    """One entity while it is being sent; whoever waits sees whether what they would send was sent meanwhile."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.sent_as_of = 0.0  # when its rows were last read for a message that arrived


class ErpCarrier:
    """See `integration.Carrier`."""

    destination = DESTINATION
    event_types = TRIGGERS
    keeps_order = True
    in_flight_max = IN_FLIGHT_MAX

    def __init__(
        self, db: Database, courier: Courier, *, keys: TokenKeys, wanted_kept: timedelta = WANTED_KEPT
    ) -> None:
        """Nothing is sent yet.

        Args:
            db: of the room.
            courier: carries the requests.
            keys: open the credentials.
            wanted_kept: for so long it holds that a shop has an ERP; that it has none is asked each time.
        """
        self._db, self._courier, self._keys, self._wanted_kept = db, courier, keys, wanted_kept
        self._wanted: dict[TenantId, float] = {}  # until when
        self._held: WeakValueDictionary[tuple[str, UUID], _Held] = WeakValueDictionary()

    async def wants(self, tenant_id: TenantId) -> bool:
        """Whether the shop has an ERP, or had: what changes meanwhile is noted by `carry`, and sent later."""
        if self._wanted.get(tenant_id, 0.0) > time.monotonic():
            return True
        self._wanted.pop(tenant_id, None)
        if not await queries.was_connected(self._db, tenant_id=tenant_id, code=DESTINATION):
            return False
        self._wanted[tenant_id] = time.monotonic() + self._wanted_kept.total_seconds()
        return True

    async def carry(self, tenant_id: TenantId, row: Claimed) -> Outcome:
        """Send what the row is about, as it is now. What is not to be sent ends, with the reason as its answer."""
        began = time.monotonic()
        outbound = OUTBOUND.get(row.entity_type or "")
        if outbound is None or row.entity_id is None:
            return Outcome(duration_ms=0, error=f"{row.entity_type} is outside of the ERP's boundary", final=True)
        connection = await queries.connection(self._db, tenant_id=tenant_id, code=DESTINATION)
        if connection is None or not connection.is_active:
            # The sweep finds it once there is an ERP again; until then nothing piles up.
            await outbound.table.reset(self._db, tenant_id=tenant_id, id=row.entity_id)
            return _ended(began, "not sent: no ERP is connected")
        connector = CONNECTORS[connection.kind](self._courier, connection, opened(self._keys, tenant_id, connection))
        try:
            swept = row.event_type == SWEPT  # then only because it was not synced; a change would have its own row
            said = await self._bring(tenant_id, connector, outbound, row.entity_id, unless_synced=swept)
            return _ended(began, said)
        except ErpRefused as refused:
            answer = refused.outcome.response_body
            return msgspec.structs.replace(refused.outcome, response_body=answer and answer[:ANSWER_SHOWN_MAX])

    async def _bring(
        self, tenant_id: TenantId, connector: Connector, outbound: Outbound, id_: UUID, *, unless_synced: bool
    ) -> str:
        """Send one entity after what it refers to; say what was done. Raises ErpRefused."""
        held = self._held.setdefault((tenant_id, id_), _Held())  # two rows of ours may need the same order
        asked = time.monotonic()
        async with held.lock:
            if held.sent_as_of > asked:
                return f"sent: {outbound.sent_as}, with what needed it"
            as_of, subject = time.monotonic(), await outbound.subject(self._db, tenant_id=tenant_id, id=id_)
            if subject is not None and unless_synced and subject.synced:
                return f"sent before: {outbound.sent_as} {subject.erp_id}"
            if subject is not None and subject.refusal is None and subject.needs:
                for need in subject.needs:
                    await self._bring(tenant_id, connector, OUTBOUND[need.entity], need.id, unless_synced=True)
                as_of, subject = time.monotonic(), await outbound.subject(self._db, tenant_id=tenant_id, id=id_)
            if subject is None:
                return "not sent: it is not there any more"
            if subject.refusal is not None:
                return f"not sent: {subject.refusal}"
            message = message_of(tenant_id, outbound, id_, subject)
            answer = await connector.push(message)
            async with self._db.transaction() as tx:
                await _mark(tx, message, answer, outbound.table, subject.lines)
            held.sent_as_of = as_of
            return f"sent: {outbound.sent_as} {answer.id}"


async def _mark(
    tx: Transaction, message: ErpMessage, answer: ErpAnswer, table: SyncedTable, lines: Sequence[UUID]
) -> None:
    """Write down under which ids the ERP keeps it. Raises ErpRefused where it made a second of what it had."""
    if not await table.mark(tx, tenant_id=message.tenant_id, id=message.id, erp_id=answer.id):
        reason = f"the ERP keeps it as {answer.id}, and under another id as well"
        raise ErpRefused(Outcome(duration_ms=0, error=reason, final=True))
    if answer.line_ids and table.mark_lines is not None:
        await table.mark_lines(
            tx, tenant_id=message.tenant_id, order_id=message.id, line_ids=lines, erp_ids=answer.line_ids
        )


def opened(keys: TokenKeys, tenant_id: str, connection: ConnectionRow) -> Secret | None:
    """The credential of a connection. Raises SealBroken, SigningSecretMissing."""
    if connection.credential is None:
        return None
    ring = keys.ring(PURPOSE)
    return Secret(ring.open(connection.credential, bound_to=place_of(tenant_id, connection.code)).decode())


def message_of(tenant_id: str, outbound: Outbound, id_: UUID, subject: Subject) -> ErpMessage:
    """What the ERP is told."""
    return ErpMessage(
        tenant_id=tenant_id,
        entity=outbound.sent_as,
        path=outbound.path,
        id=id_,
        erp_id=subject.erp_id,
        key=f"{tenant_id}:{outbound.entity}:{id_}",
        currency=subject.currency,
        digits=None if subject.currency is None else currency_digits(subject.currency),
        lines=len(subject.lines),
        data=subject.data,
    )


def _ended(began: float, what: str) -> Outcome:
    return Outcome(duration_ms=int((time.monotonic() - began) * 1000), response_body=what[:ANSWER_SHOWN_MAX])
