"""Keeping what other systems tell. What comes of it here is decided by `flows`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.executor import Executor
from storeroom.database.service import Service, operation, transactional
from storeroom.sources import queries
from storeroom.sources.errors import InvalidSourceMessage
from storeroom.sources.model import EXTERNAL_ID_LENGTH_MAX, SourceKind, SourceRecord, WaitingRecord, merged

CHILDREN_MAX: Final = 1_000  # addresses of one customer, and waiting records that are tried in one transaction


class Sources(Service):
    """The records of other systems, as one shop knows them. Each call names the system."""

    @transactional
    async def locked(self, *, source: str, kind: SourceKind, external_id: str) -> SourceRecord:
        """Take a record for the caller's transaction; one that nobody spoke of yet is opened.

        Raises:
            InvalidSourceMessage: this can be no id.
        """
        key = {"source": source, "kind": kind, "external_id": _external_id(external_id)}
        found = await queries.lock_record(self.db, tenant_id=self.tenant_id, **key)
        if found is None:
            await queries.open_record(self.db, tenant_id=self.tenant_id, **key)
            found = await queries.lock_record(self.db, tenant_id=self.tenant_id, **key)
        if found is None:
            raise AssertionError("a record that was opened is there")  # pragma: no cover  # nobody deletes records
        return found

    @operation
    async def get(self, *, source: str, kind: SourceKind, external_id: str) -> SourceRecord | None:
        """A record; None where nobody spoke of it."""
        return await queries.record(
            self.db, tenant_id=self.tenant_id, source=source, kind=kind, external_id=external_id
        )

    @transactional
    async def hear(
        self, record: SourceRecord, *, told: Mapping[str, Any], at: datetime
    ) -> tuple[SourceRecord, frozenset[str]]:
        """A locked record with what a message tells, and the names of the fields that are others now; keeps nothing.

        Raises:
            InvalidSourceMessage: it is more than a record holds.
        """
        fields, other = merged(record.fields, told, at)
        newest = at if record.changed_at is None else max(at, record.changed_at)
        return msgspec.structs.replace(record, fields=fields, changed_at=newest), other

    @transactional
    async def keep(self, record: SourceRecord, *, synced: bool) -> None:
        """Write down a record that the caller has locked.

        Args:
            record: as it is to be.
            synced: the row here agrees with it now.
        """
        keep = queries.keep_synced if synced else queries.keep_record
        await keep(
            self.db,
            tenant_id=self.tenant_id,
            source=record.source,
            kind=record.kind,
            external_id=record.external_id,
            parent_id=record.parent_id,
            local_id=record.local_id,
            fields=record.fields,
            waits_for=record.waits_for,
            changed_at=record.changed_at,
        )

    @transactional
    async def children(self, parent: SourceRecord, *, kind: SourceKind) -> list[SourceRecord]:
        """What belongs to a locked customer, locked as well, at most CHILDREN_MAX."""
        return await queries.lock_children(
            self.db,
            tenant_id=self.tenant_id,
            source=parent.source,
            parent_id=parent.external_id,
            kind=kind,
            rows=CHILDREN_MAX,
        )

    @operation
    async def waiting_children(self, parent: SourceRecord) -> list[SourceRecord]:
        """What of it waits, addresses first, at most CHILDREN_MAX."""
        return await queries.waiting_children(
            self.db,
            tenant_id=self.tenant_id,
            source=parent.source,
            parent_id=parent.external_id,
            rows=CHILDREN_MAX,
        )

    @operation
    async def waiting(self, *, source: str, cursor: str | None = None, limit: int | None = None) -> Page[SourceRecord]:
        """What is not here as the source says it, each with what it waits for."""
        size = page_size(limit)
        kind, external_id = decode_cursor(cursor, (str, str)) if cursor else (None, None)
        rows = await queries.waiting(
            self.db, tenant_id=self.tenant_id, source=source, after_kind=kind, after_id=external_id, rows=size + 1
        )
        return page_of(rows, size, lambda record: (record.kind.value, record.external_id))


async def records_to_try(db: Executor, *, source: str, every: timedelta, limit: int) -> list[WaitingRecord]:
    """What waits in all shops and was not tried for so long, the longest first."""
    return await queries.records_to_try(db, source=source, every=every, rows=limit)


def _external_id(given: str) -> str:
    if not 1 <= len(given) <= EXTERNAL_ID_LENGTH_MAX or not given.isprintable():
        raise InvalidSourceMessage(field="id", reason=f"text of 1 to {EXTERNAL_ID_LENGTH_MAX} characters")
    return given


async def note_tried(db: Executor, record: WaitingRecord, *, source: str) -> None:
    """Note that a record was tried again in vain, so that the others have their turn."""
    await queries.touch_record(
        db, tenant_id=record.tenant_id, source=source, kind=record.kind, external_id=record.external_id
    )
