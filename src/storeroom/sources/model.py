"""How messages about one record of another system come together, in whatever order they arrive. Pure.

Every field is kept with the instant at which the source said it, and a later saying wins: the fields of a record are
the same whichever way round its messages come, however often, and also where each says only a part.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.clock import NaiveInstant, utc
from storeroom.core.ids import TenantId
from storeroom.sources.errors import InvalidSourceMessage

EXTERNAL_ID_LENGTH_MAX: Final = 100
RECORD_BYTES_MAX: Final = 256 * 1024  # of one record's fields as JSON
AHEAD_MAX: Final = timedelta(days=1)  # a clock of the source that is further ahead would silence it from then on
_BEFORE_ALL: Final = ("", b"")


class SourceKind(StrEnum):
    """What a record is."""

    CUSTOMER = "customer"
    ADDRESS = "address"
    ORDER = "order"
    ITEM = "item"  # the stock of a variant; its id is ours
    PAYMENT = "payment"  # the receipt of a payment; its id is ours


class Said(msgspec.Struct, frozen=True):
    """What a source said last of one field."""

    at: str  # ISO 8601 in UTC with microseconds, so that texts compare as instants do
    value: Any

    @property
    def instant(self) -> datetime:
        """When it was said, by the clock of the source."""
        return datetime.fromisoformat(self.at)


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of another system, as far as it is known here."""

    source: str
    kind: SourceKind
    external_id: str
    parent_id: str | None
    local_id: UUID | None  # the row here; None: not synced
    fields: dict[str, Any]
    waits_for: str | None  # what must come before the row here can be as it is said
    changed_at: datetime | None  # by the clock of the source; None: only another record named it
    last_synced_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def said(self) -> dict[str, Said]:
        """The fields, each with its instant."""
        return msgspec.convert(self.fields, dict[str, Said])

    def values(self) -> dict[str, Any]:
        """The fields as they were said last."""
        return {name: each["value"] for name, each in self.fields.items()}


class WaitingRecord(msgspec.Struct, frozen=True):
    """Which record is to be tried again."""

    tenant_id: TenantId
    kind: SourceKind
    external_id: str


def merged(
    known: Mapping[str, Any], told: Mapping[str, Any], at: datetime
) -> tuple[dict[str, dict[str, Any]], frozenset[str]]:
    """The fields with what a message tells, and the names of those whose value is another now.

    What was said later stands. Of two values of one instant the one whose JSON sorts last does: any rule will do that
    does not ask which came first.

    Raises:
        InvalidSourceMessage: more than RECORD_BYTES_MAX, or text that cannot be kept.
    """
    fields = dict(known)
    instant, other = _text(at), set()
    for name, value in told.items():
        before = fields.get(name)
        if (instant, _canonical(value)) <= (
            _BEFORE_ALL if before is None else (before["at"], _canonical(before["value"]))
        ):
            continue
        if before is None or before["value"] != value:
            other.add(name)
        fields[name] = {"at": instant, "value": value}
    written = msgspec.json.encode(fields)
    if len(written) > RECORD_BYTES_MAX:
        raise InvalidSourceMessage(field="data", reason=f"more than {RECORD_BYTES_MAX} bytes")
    if b"\\u0000" in written:
        raise InvalidSourceMessage(field="data", reason="text with a NUL in it")
    return fields, frozenset(other)


def source_instant(given: object, *, now: datetime | None = None, field: str = "occurred_at") -> datetime:
    """An instant of the source's clock; with `now`, one that is not far ahead of it. Raises InvalidSourceMessage."""
    try:
        at = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        at = utc(at)
    except (ValueError, OverflowError, NaiveInstant):
        raise InvalidSourceMessage(field=field, reason="an instant of ISO 8601 with its zone") from None
    if now is not None and at > now + AHEAD_MAX:
        raise InvalidSourceMessage(field=field, reason="lies in the future: is the clock of the source right?")
    return at


def _text(at: datetime) -> str:
    return utc(at).isoformat(timespec="microseconds")


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
