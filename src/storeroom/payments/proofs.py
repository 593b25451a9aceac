"""Proofs of payment: what kind of file it is, and the store that keeps it.

The store is a folder or a bucket, by its URL. A folder keeps no content type, so that stands in our row. A file is put
before the row that names it and outside of any transaction; one whose row never came is an orphan and harmless.
"""

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from storeroom.core.errors import Misconfigured
from storeroom.core.ids import PaymentId, TenantId, new_id
from storeroom.payments.errors import FilesUnavailable, ProofNotAccepted
from storeroom.payments.model import PROOF_BYTES_MAX, ProofFile

FILES_URL: Final = "STOREROOM_FILES_URL"
DATA_DIR: Final = "STOREROOM_DATA_DIR"
DATA_DIR_DEFAULT: Final = "data"
REQUEST_TIMEOUT: Final = timedelta(seconds=30)
RETRIES_MAX: Final = 3
RETRY_TIMEOUT: Final = timedelta(seconds=20)

_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# Content type -> its extension, and how such a file begins. What the sender calls it is never asked.
KINDS: Final[Mapping[str, tuple[str, Callable[[bytes], bool]]]] = {
    "image/jpeg": ("jpg", lambda head: head.startswith(b"\xff\xd8\xff")),
    "image/png": ("png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    "image/webp": ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    "image/heic": ("heic", lambda head: head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS),
    "application/pdf": ("pdf", lambda head: head.startswith(b"%PDF-")),
}


class FilesMisconfigured(Misconfigured):
    """STOREROOM_FILES_URL names no store that we know."""

    code = "payments.files_misconfigured"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"{FILES_URL}: {reason}")
        self.reason = reason


def content_type(file: bytes) -> str:
    """What the file is, by its first bytes.

    Raises:
        ProofNotAccepted: empty, larger than PROOF_BYTES_MAX, or none of KINDS.
    """
    if not 1 <= len(file) <= PROOF_BYTES_MAX:
        raise ProofNotAccepted(reason=f"a file has 1 to {PROOF_BYTES_MAX} bytes, this one {len(file)}")
    for kind, (_, begins) in KINDS.items():
        if begins(file[:16]):
            return kind
    raise ProofNotAccepted(reason="it is neither JPEG, PNG, WebP, HEIC nor PDF")


class ProofStore:
    """Keeps files under names of our own making."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> "ProofStore":
        """Open a store: `s3://bucket/prefix`, `file:///folder`, or the path of a folder, which is made if missing.

        A bucket's region, keys and endpoint come from the usual AWS_… variables.

        Raises:
            FilesMisconfigured: another kind of URL, or a folder that cannot be made.
        """
        parts = urlsplit(url)
        try:
            if parts.scheme == "s3":
                if not parts.netloc:
                    raise FilesMisconfigured(reason="a bucket is missing: s3://bucket/prefix")
                return cls(_bucket(parts.netloc, parts.path.strip("/")))
            if parts.scheme == "file":
                return cls(_folder(Path(url2pathname(parts.path))))
            if "://" not in url:
                return cls(_folder(Path(url)))
        except (BaseError, OSError, ValueError) as error:
            raise FilesMisconfigured(reason=f"{url!r} cannot be used: {_first_line(error)}") from error
        raise FilesMisconfigured(reason=f"{parts.scheme}:// is not supported; use s3:// or a folder")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ProofStore":
        """The store that STOREROOM_FILES_URL names; without it the folder `files` in STOREROOM_DATA_DIR."""
        data = environment.get(DATA_DIR, "").strip() or DATA_DIR_DEFAULT
        return _opened(environment.get(FILES_URL, "").strip() or str((Path(data) / "files").absolute()))

    async def put(self, file: bytes, *, tenant_id: TenantId, payment_id: PaymentId) -> ProofFile:
        """Keep a file under a new name.

        Raises:
            ProofNotAccepted: see `content_type`. Nothing was kept.
            FilesUnavailable: the store does not answer.
        """
        kind = content_type(file)
        path = _path(tenant_id, payment_id, new_id(), KINDS[kind][0])
        try:
            await obstore.put_async(self._store, path, file)
        except (BaseError, OSError) as error:
            raise FilesUnavailable(reason=_first_line(error)) from error
        return ProofFile(path=path, content_type=kind)

    async def keep(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep what comes in pieces, under this path; what breaks off is not kept.

        Raises:
            FilesUnavailable: the store does not answer.
        """
        try:
            await obstore.put_async(self._store, path, chunks)
        except (BaseError, OSError) as error:
            raise FilesUnavailable(reason=_first_line(error)) from error

    async def open(self, path: str) -> tuple[int, AsyncIterator[bytes]] | None:
        """Size and content of a file; None where the store has no such file.

        Raises:
            FilesUnavailable: the store does not answer, now or while the content is read.
        """
        try:
            found = await obstore.get_async(self._store, path)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise FilesUnavailable(reason=_first_line(error)) from error
        return found.meta["size"], _chunks(found)


async def _chunks(found: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in found.stream():
            yield bytes(chunk)
    except (BaseError, OSError) as error:
        raise FilesUnavailable(reason=_first_line(error)) from error


@cache  # a bucket's client keeps connections; one for each URL
def _opened(url: str) -> ProofStore:
    return ProofStore.at(url)


def _bucket(bucket: str, prefix: str) -> S3Store:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"timeout": REQUEST_TIMEOUT, "allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": RETRIES_MAX, "retry_timeout": RETRY_TIMEOUT},
    )


def _folder(folder: Path) -> LocalStore:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # receipts are nobody else's business
    return LocalStore(folder)


def _path(tenant_id: TenantId, payment_id: PaymentId, file_id: UUID, extension: str) -> str:
    return f"{tenant_id}/payments/{payment_id}/{file_id}.{extension}"


def _first_line(error: BaseException) -> str:
    """The store's message without the debug output after it, and without query strings, which may be signed."""
    line = str(error).partition("\n")[0] or type(error).__name__
    return re.sub(r"\?\S*", "?…", line)[:300]
