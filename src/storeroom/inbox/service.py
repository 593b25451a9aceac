"""The inbox of one shop: what came is stored before anything else, and staff see what became of it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.audit import audited
from storeroom.core.ids import InboxId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.secrets import Secret
from storeroom.core.stripping import stripped
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.identity import TokenKeys
from storeroom.inbox import queries
from storeroom.inbox.errors import (
    InvalidMessage,
    InvalidSource,
    MessageForged,
    MessageNotFound,
    MessageNotReplayable,
    SourceNotFound,
)
from storeroom.inbox.model import (
    ATTEMPTS_DEFAULT,
    BODY_BYTES_MAX,
    CODE_LENGTH_MAX,
    EVENT_ID_LENGTH_MAX,
    FORGED_BYTES_MAX,
    FORGED_MAX,
    FORGED_WINDOW,
    HEADER_LENGTH_MAX,
    HEADERS_KEPT_MAX,
    SIGNATURE_LENGTH_MAX,
    TYPE_LENGTH_MAX,
    UNKEPT_HEADERS,
    UNKEPT_WORDS,
    UNKNOWN_TYPE,
    InboxDepth,
    InboxEntry,
    InboxStatus,
    InboxSummary,
    Receipt,
    Scheme,
    SourceKeys,
)
from storeroom.inbox.sealed import PURPOSE, place_of
from storeroom.inbox.signatures import signature_of, signed
from storeroom.outbox import wake
from storeroom.web import RateLimited, limit

_UNTEXT: Final = "\x00"  # no column holds it


class Inbox(Service):
    """What other systems told the shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no source's secret can be read."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    # --- Receiving ----------------------------------------------------------------------------------------------------

    @operation
    async def receive(self, *, source: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Store a message that one of the shop's sources has signed; the worker processes it.

        The same event again is stored once, however many come at the same time. A message that its source has not
        signed is stored as well, up to FORGED_MAX an hour, and never processed.

        Args:
            source: the code of its source.
            body: as it came, BODY_BYTES_MAX at most.
            headers: names in lower case. What might be a secret is not kept.

        Raises:
            SourceNotFound: the shop has no such source, or it is switched off. Nothing was written.
            MessageForged: not signed with the secret of the source, or too long ago.
            InvalidMessage: signed, and yet no JSON object, or too long. Nothing was written.
            SealBroken, SigningSecretMissing: the secret of the source cannot be read.
        """
        found = None
        if len(source) <= CODE_LENGTH_MAX and source.isascii() and source.isprintable():
            found = await queries.source_keys(self.db, tenant_id=self.tenant_id, code=source)
        if found is None or not found.is_active:
            raise SourceNotFound(source=source)
        verified_by = self._verified_by(found, body, headers)
        signature = signature_of(found, body, headers)
        if verified_by is None:
            webhook_type = _said(found.event_type_at, headers, _object(body) or {}) or UNKNOWN_TYPE
            await self._keep_forged(source, body, headers, webhook_type, signature)
            raise MessageForged(source=source)
        payload = read(body)
        if found.scheme is Scheme.STRIPE:
            payload = stripped(payload)  # others may have numbers of goods that look like a card's
        return await self.store(
            source=source,
            webhook_type=_said(found.event_type_at, headers, payload),
            event=_said(found.event_id_at, headers, payload) or digest(body),
            headers=headers,
            payload=payload,
            signature=signature,
            verified_by=verified_by,
            max_attempts=found.max_attempts,
        )

    @operation
    async def store(
        self,
        *,
        source: str,
        webhook_type: str | None,
        event: str,
        headers: Mapping[str, str],
        payload: Mapping[str, Any],
        signature: str | None,
        verified_by: str,
        max_attempts: int = ATTEMPTS_DEFAULT,
    ) -> Receipt:
        """Store a message whose signature the caller has checked, once for each event of a source.

        Args:
            source: the code for which its handlers are registered.
            webhook_type: the provider's name of what happened; None: it does not say.
            event: the provider's id of it; the second message with it changes nothing.
            headers: names in lower case. What might be a secret is not kept.
            payload: what it says.
            signature: as it came.
            verified_by: which secret it was signed with.
            max_attempts: how often it is tried.
        """
        message_id = InboxId(new_id())
        stored = await queries.store(
            self.db,
            tenant_id=self.tenant_id,
            id=message_id,
            source=source,
            webhook_type=_text(webhook_type or UNKNOWN_TYPE, TYPE_LENGTH_MAX) or UNKNOWN_TYPE,
            event_id=_short(event),
            max_attempts=max_attempts,
            headers=_kept(headers),
            payload=clean(dict(payload)),
            signature=None if signature is None else _text(signature, SIGNATURE_LENGTH_MAX),
            verified_by=verified_by,
        )
        if not stored:
            return Receipt(id=None, repeated=True)
        wake(self.db)
        return Receipt(id=message_id, repeated=False)

    async def refuse(self, *, source: str, body: bytes, headers: Mapping[str, str], signature: str | None) -> None:
        """Keep a message whose signature the caller has found to be wrong; of a flood of them only some are kept."""
        payload = _object(body) or {}
        said = payload.get("type")
        await self._keep_forged(source, body, headers, said if isinstance(said, str) else UNKNOWN_TYPE, signature)

    async def _keep_forged(
        self, source: str, body: bytes, headers: Mapping[str, str], webhook_type: str, signature: str | None
    ) -> None:
        db, bucket = self.db, f"inbox_forged:{source}"
        counting = db.database if isinstance(db, Transaction) else db
        if not isinstance(counting, Database):
            raise TypeError("messages are received on a Database or a Transaction")
        try:
            await limit(counting, tenant_id=self.tenant_id, bucket=bucket, times=FORGED_MAX, window=FORGED_WINDOW)
        except RateLimited:
            return
        payload = _object(body)
        if payload is None or len(body) > FORGED_BYTES_MAX:
            payload = {"left_out": f"{len(body)} bytes"}
        await queries.store_forged(
            self.db,
            tenant_id=self.tenant_id,
            id=InboxId(new_id()),
            source=source,
            webhook_type=_text(webhook_type, TYPE_LENGTH_MAX) or UNKNOWN_TYPE,
            headers=_kept(headers),
            payload=clean(stripped(payload)),
            signature=None if signature is None else _text(signature, SIGNATURE_LENGTH_MAX),
            error="the signature is wrong, or too old",
        )

    def _verified_by(self, source: SourceKeys, body: bytes, headers: Mapping[str, str]) -> str | None:
        ring, place, now = self._keys.ring(PURPOSE), place_of(self.tenant_id, source.code), self.context.clock.now()
        for name, sealed in (("secret", source.secret), ("previous_secret", source.previous_secret)):
            if sealed is not None:
                secret = Secret(ring.open(sealed, bound_to=place).decode())
                if signed(source, secret, body, headers, now=now):
                    return name
        return None

    # --- Reading, and what staff may do -------------------------------------------------------------------------------

    @operation
    async def get(self, *, message_id: InboxId) -> InboxEntry:
        """One message, with all it said. Raises MessageNotFound."""
        return await self._entry(message_id)

    @operation
    async def list(
        self,
        *,
        status: InboxStatus | None = None,
        source: str | None = None,
        webhook_type: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[InboxSummary]:
        """What came, the newest first. A type is asked for together with its source.

        Raises InvalidSource, InvalidCursor, InvalidPageSize.
        """
        if webhook_type is not None and source is None:
            raise InvalidSource(field="source", reason="a type is asked for together with its source")
        size = page_size(limit)
        before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.entries(
            self.db,
            tenant_id=self.tenant_id,
            status=status,
            source=source,
            webhook_type=webhook_type,
            before_at=before_at,
            before_id=before_id,
            size=size + 1,
        )
        return page_of(rows, size, lambda row: (row.received_at, row.id))

    @operation
    async def depths(self) -> Sequence[InboxDepth]:
        """How much waits, is being handled, and was given up."""
        return await queries.depths(self.db, tenant_id=self.tenant_id)

    @audited("inbox.replay", "webhook", "message_id")
    @transactional
    async def replay(self, *, message_id: InboxId) -> InboxEntry:
        """Process a message again, with all its attempts: one that failed, was skipped, or waits for its next try.

        Raises:
            MessageNotFound: no such message.
            MessageNotReplayable: it was processed, is about to be, or its source has not signed it.
        """
        if not await queries.replay(self.db, tenant_id=self.tenant_id, message_id=message_id):
            found = await self._entry(message_id)
            raise MessageNotReplayable(
                message_id=message_id, status=found.status, signature_valid=bool(found.signature_valid)
            )
        wake(self.db)
        return await self._entry(message_id)

    async def _entry(self, message_id: InboxId) -> InboxEntry:
        found = await queries.entry(self.db, tenant_id=self.tenant_id, message_id=message_id)
        if found is None:
            raise MessageNotFound(message_id=message_id)
        return found


def read(body: bytes) -> dict[str, Any]:
    """The JSON object that a message is. Raises InvalidMessage."""
    if len(body) > BODY_BYTES_MAX:
        raise InvalidMessage(reason=f"more than {BODY_BYTES_MAX} bytes")
    found = _object(body)
    if found is None:
        raise InvalidMessage(reason="the body is no JSON object")
    return found


def digest(body: bytes) -> str:
    """The id of an event that has none: the same bytes are the same event."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def clean(value: Any) -> Any:
    """The same JSON without U+0000, which no row can hold."""
    if isinstance(value, str):
        return value.replace(_UNTEXT, "")
    if isinstance(value, Mapping):
        return {str(name).replace(_UNTEXT, ""): clean(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def _object(body: bytes) -> dict[str, Any] | None:
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        found = msgspec.json.decode(body)
        return clean(found) if isinstance(found, dict) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _said(place: str | None, headers: Mapping[str, str], payload: Mapping[str, Any]) -> str | None:
    """What stands at `header:name` or `payload:a.b`; None where nothing does that is a text or a number."""
    where, _, path = (place or "").partition(":")
    found: Any = headers.get(path) if where == "header" else payload if path else None
    if where == "payload":
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) and str(found).strip() else None


def _short(event_id: str) -> str:
    """As it came, where it fits; a long one, or one that no column holds, by its digest."""
    if len(event_id) <= EVENT_ID_LENGTH_MAX and event_id.isprintable():
        return event_id
    return digest(event_id.encode("utf-8", "replace"))


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = [
        (_text(name.lower(), HEADER_LENGTH_MAX), _text(value, HEADER_LENGTH_MAX))
        for name, value in headers.items()
        if name.lower() not in UNKEPT_HEADERS and not any(word in name.lower() for word in UNKEPT_WORDS)
    ]
    return dict(kept[:HEADERS_KEPT_MAX])


def _text(text: str, length: int) -> str:
    return text.encode("utf-8", "replace").decode().replace(_UNTEXT, "")[:length]
