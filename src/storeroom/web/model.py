"""An Idempotency-Key's row, and the answer it keeps."""

import base64
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from storeroom.core.crypto import KeyRing


class IdempotencyState(StrEnum):
    """How far the request of a key has come."""

    IN_FLIGHT = "in_flight"  # somebody works on it, until the lease ends
    SETTLED = "settled"  # the work is committed, the answer not yet stored
    DONE = "done"  # the answer can be given again


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer, as it is kept."""

    status: int
    headers: dict[str, str]
    body: str
    base64: bool = False  # the body is not text
    sealed: bool = False  # the body is, with a key of the installation: it carries a token

    @classmethod
    def of(cls, status: int, headers: dict[str, str], body: bytes) -> "StoredAnswer":
        """Keep the bytes as text where they are text: such a row can be read."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            return cls(status=status, headers=headers, body=base64.b64encode(body).decode(), base64=True)
        return cls(status=status, headers=headers, body=text)

    def sealed_with(self, ring: KeyRing, *, place: str) -> "StoredAnswer":
        """The same answer, which only the installation reads, and only at its place."""
        return msgspec.structs.replace(self, body=ring.seal(self.body.encode(), bound_to=place), sealed=True)

    def opened_with(self, ring: KeyRing, *, place: str) -> "StoredAnswer":
        """What was sealed. Raises SealBroken."""
        return msgspec.structs.replace(self, body=ring.open(self.body, bound_to=place).decode(), sealed=False)

    @property
    def content(self) -> bytes:
        """The bytes that were sent."""
        return base64.b64decode(self.body) if self.base64 else self.body.encode()


class KnownKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a key's row says to the next who comes with it."""

    request_fingerprint: str
    state: IdempotencyState
    claim: UUID
    leased: bool  # the lease still runs
    response: StoredAnswer | None
    created_at: datetime
    expires_at: datetime
