"""Tokens that must not be guessed, and values that must not be printed."""

import hashlib
import hmac
import re
import secrets
from typing import Final

from typing_extensions import override

TOKEN_BYTES: Final = 32


def new_token() -> str:
    """256 random bits as 43 characters that may stand in a URL, a header or a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """The SHA-256 of a token, 64 hexadecimal digits: what is stored, so that a stolen table opens nothing.

    A plain hash suffices because a token has 256 random bits; a password or a six-digit code needs a slow one.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare without telling by the time it takes how much of the two agrees."""
    return hmac.compare_digest(one.encode(), other.encode())


class Secret:
    """A text that shows itself only when asked by name: not in logs, tracebacks, f-strings or JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Pass it on, do not keep it."""
        return self._text

    @override
    def __repr__(self) -> str:
        return "Secret(hidden)"

    @override
    def __eq__(self, other: object) -> bool:
        return same(self._text, other._text) if isinstance(other, Secret) else NotImplemented

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)


_SECRET_NAMES: Final = re.compile(r"secret|passw|pwd|passphrase|key|token|credential|salt|pin(?![a-z])|private")


def sounds_secret(name: str) -> bool:
    """Whether what has this name had better not be read: rather one too many than one too few."""
    return _SECRET_NAMES.search(name.lower()) is not None
