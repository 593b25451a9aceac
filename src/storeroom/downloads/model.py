"""Files of digital products: what they are, where they are kept, and links to them."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from storeroom.configuration import Setting, declare, number
from storeroom.core.ids import OrderId, OrderLineId, ProductId, TenantId, new_id
from storeroom.downloads.errors import FileNotAccepted

FILE_BYTES_MAX: Final = 1024 * 1024 * 1024
HEAD_BYTES: Final = 16
SENT_WITHIN: Final = timedelta(days=30)  # an order that is paid later has its links sent by hand
NOTED_WITHIN: Final = timedelta(days=30)  # what becomes of a mail is noted so long
LINES_MAX: Final = 200  # of one order
LOOKED_AGAIN_PART: Final = 4  # a line that cannot be sent is left alone for a quarter of the time since it was ordered,
LOOKED_AGAIN_MIN: Final = timedelta(minutes=1)
LOOKED_AGAIN_MAX: Final = timedelta(hours=6)  # and no longer: nobody tells of a path that staff wrote by hand
DUE_AT_ONCE_MAX: Final = 1_000  # lines that a new file makes due; those ordered before wait for their time

DAYS: Final = declare(
    Setting(key="downloads.days", default=14, parse=number(1, 366), group="downloads", says="how long a link works")
)
TIMES: Final = declare(
    Setting(key="downloads.times", default=5, parse=number(1, 100), group="downloads", says="how often it does")
)


def _zip(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


# Content type -> its extension, and how such a file begins. Whatever name a file is sent with is not asked. No browser
# runs any of it: all are handed out as attachments.
KINDS: Final[Mapping[str, tuple[str, Callable[[bytes], bool]]]] = MappingProxyType(
    {
        "application/pdf": ("pdf", lambda head: head.startswith(b"%PDF-")),
        "application/epub+zip": ("epub", _zip),
        "application/zip": ("zip", _zip),
        "application/json": ("json", lambda head: b"\x00" not in head),
        "text/plain": ("txt", lambda head: b"\x00" not in head),
        "text/csv": ("csv", lambda head: b"\x00" not in head),
        "image/jpeg": ("jpg", lambda head: head.startswith(b"\xff\xd8\xff")),
        "image/png": ("png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
        "audio/mpeg": ("mp3", lambda head: head.startswith(b"ID3") or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")),
        "audio/flac": ("flac", lambda head: head.startswith(b"fLaC")),
        "audio/wav": ("wav", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE"),
        "video/mp4": ("mp4", lambda head: head[4:8] == b"ftyp"),
    }
)
TYPES: Final[Mapping[str, str]] = MappingProxyType({extension: kind for kind, (extension, _) in KINDS.items()})

_BELOW: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")
PATH_LENGTH_MAX: Final = 255


def folder(tenant_id: TenantId) -> str:
    """Where a shop's goods are, and nothing else: proofs of payment lie in the same store."""
    return f"{tenant_id}/goods/"


def new_path(tenant_id: TenantId, product_id: ProductId, content_type: str) -> str:
    """A path that no file has yet."""
    return f"{folder(tenant_id)}{product_id}/{new_id()}.{KINDS[content_type][0]}"


def is_good(tenant_id: TenantId, path: str | None) -> bool:
    """Whether a product's path is one that is handed out: below the shop's own folder, by plain names.

    Staff may write any path at a product. One that leads elsewhere, to another shop or to its proofs, has no file.
    """
    below = (path or "").removeprefix(folder(tenant_id))
    return path is not None and below != path and len(path) <= PATH_LENGTH_MAX and bool(_BELOW.fullmatch(below))


def content_type_of(path: str) -> str:
    """By its extension; what is not known is handed out as bytes."""
    return TYPES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


async def checked(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[bytes]:
    """The same, refused where it begins as no file of its kind does, is empty or too large.

    Raises:
        FileNotAccepted: while it is read, so that nothing of it is kept.
    """
    begins = KINDS[content_type][1]
    head, size, known = b"", 0, False
    async for chunk in chunks:
        size += len(chunk)
        if size > FILE_BYTES_MAX:
            raise FileNotAccepted(reason=f"larger than {FILE_BYTES_MAX} bytes")
        if known:
            yield chunk
            continue
        head += chunk
        if len(head) >= HEAD_BYTES:
            if not begins(head[:HEAD_BYTES]):
                raise FileNotAccepted(reason=f"it does not begin as {content_type} does")
            known = True
            yield head
    if not size:
        raise FileNotAccepted(reason="it is empty")
    if not known:
        if not begins(head):
            raise FileNotAccepted(reason=f"it does not begin as {content_type} does")
        yield head


class Goods(msgspec.Struct, frozen=True, kw_only=True):
    """A product as far as its file goes."""

    id: ProductId
    is_digital: bool
    file_path: str | None


def look_again_at(*, ordered_at: datetime, now: datetime) -> datetime | None:
    """When a line that cannot be sent now is looked at again if nothing changes; None: never, it is left to staff."""
    age = now - ordered_at
    if age >= SENT_WITHIN:
        return None
    return now + min(max(age / LOOKED_AGAIN_PART, LOOKED_AGAIN_MIN), LOOKED_AGAIN_MAX)


class DueLine(msgspec.Struct, frozen=True, kw_only=True):
    """A digital line that is to be looked at."""

    id: OrderLineId
    ordered_at: datetime
    now: datetime


class LineToSend(msgspec.Struct, frozen=True, kw_only=True):
    """A digital line of a paid order whose product has a file."""

    id: OrderLineId
    order_id: OrderId
    product_name: str
    order_number: str
    email: str
    name: str
    domain: str | None
    domain_known: bool  # a host of the shop
    locale: str | None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it was made."""

    order_item_id: OrderLineId
    generation: int
    expires_at: datetime


class LinkMail(StrEnum):
    """What became of the mail with a link."""

    QUEUED = "queued"  # it waits, or is tried again
    MAILED = "mailed"  # a server took it
    WRITTEN = "written"  # there is no server: it lies in the folder of notices, for staff to pass on
    FAILED = "failed"  # it was given up: staff see why in the queue, and send the link anew


class EndedMail(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a mail, to be noted."""

    order_item_id: OrderLineId
    notice_id: UUID
    mail: LinkMail


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A digital line of an order, and what became of its link."""

    order_item_id: OrderLineId
    product_name: str
    sent: bool  # a server took the mail with the link, or it was written to the folder of notices
    mail: LinkMail | None  # None: no link yet
    downloads: int
    downloads_max: int | None  # None: no link yet
    expires_at: datetime | None
    last_downloaded_at: datetime | None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a token leads to."""

    order_item_id: OrderLineId
    generation: int
    file_path: str | None
    slug: str
    expired: bool
    used_up: bool
    closed: bool


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed out."""

    name: str
    content_type: str
    size: int
    chunks: AsyncIterator[bytes]


class Named(msgspec.Struct, frozen=True, array_like=True):
    """What a token says, sealed."""

    order_item_id: UUID
    generation: int
