"""Sealing what has to be read again: AES-256-GCM, with keys derived from the installation's secret.

What is only ever compared is hashed instead (`core.secrets`); what is sealed here can be opened by whoever has the
secret and the table, and by nobody who has the table alone.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from storeroom.core.errors import Misconfigured
from storeroom.core.secrets import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = "1"
NONCE_BYTES: Final = 12
KEY_ID_LENGTH: Final = 8


class SealBroken(Misconfigured):
    """What was sealed cannot be opened: another secret, another place, or changed since."""

    code = "core.seal_broken"

    def __init__(self) -> None:
        super().__init__("what was sealed cannot be opened with the secret of this installation")


class KeyRing:
    """The keys of one purpose: the first one seals, each one opens what it has sealed.

    A key is known by an id made from it, which stands in what it sealed. So a secret can be replaced while rows of the
    old one are still there: put the new one first, seal the rows again, then drop the old one.
    """

    def __init__(self, secrets: Sequence[Secret], *, purpose: str) -> None:
        """Derive the keys; keys of another purpose open nothing of this one.

        Args:
            secrets: of the installation, the one in use first; at least one.
            purpose: what is sealed, with a number that grows when its form changes.
        """
        if not secrets:
            raise ValueError("a ring has at least one key")
        keys = [_derived(secret, purpose) for secret in secrets]
        self._current = keys[0][0]
        self._keys: dict[str, AESGCM] = dict(keys)

    def seal(self, text: bytes, *, bound_to: str) -> str:
        """Encrypt.

        Args:
            text: what is to be kept.
            bound_to: the place it is kept at, such as tenant and row; it opens at no other.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, text, _bound(self._current, bound_to))
        return f"{VERSION}.{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, sealed: str, *, bound_to: str) -> bytes:
        """Decrypt what `seal` gave, at the same place.

        Raises:
            SealBroken: none of our keys opens it there.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # slow to import

        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        key = self._keys.get(key_id)
        if version != VERSION or key is None:
            raise SealBroken
        try:
            raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            return key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(key_id, bound_to))
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SealBroken from error

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids of all keys, the one that seals first."""
        return list(self._keys)

    def reseal(self, sealed: str, *, bound_to: str) -> str:
        """The same text under the key in use; what is sealed by it already comes back as it is, once it opened.

        Raises:
            SealBroken: none of our keys opens it there.
        """
        text = self.open(sealed, bound_to=bound_to)
        return sealed if key_id(sealed) == self._current else self.seal(text, bound_to=bound_to)

    @override
    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"


def key_id(sealed: str) -> str:
    """The id of the key that sealed it."""
    return sealed.split(".", 2)[1] if sealed.count(".") == 2 else ""  # version, key, text


def _bound(key_id: str, place: str) -> bytes:
    return f"{VERSION}.{key_id}.{place}".encode()


def _derived(secret: Secret, purpose: str) -> "tuple[str, AESGCM]":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # slow to import
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    info = f"storeroom {purpose}".encode()
    derived = HKDF(algorithm=SHA256(), length=32 + KEY_ID_LENGTH // 2, salt=None, info=info).derive(
        secret.reveal().encode()
    )
    return derived[32:].hex(), AESGCM(derived[:32])
