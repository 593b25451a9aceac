"""Google and Apple: whether an ID token is theirs, for us, fresh, and what it says of a person.

Their keys are read from where they publish them and kept for KEYS_KEPT_S. A key that we do not know is looked for once
more, at most every KEYS_EVERY_S: whoever makes up key ids does not make us ask all the time.
"""

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Collection
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import msgspec

from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.core.secrets import same
from storeroom.identity.errors import IdTokenRefused, LinkRefused, ProviderUnavailable
from storeroom.identity.model import AuthProvider
from storeroom.identity.tokens import TOKEN_LENGTH_MAX

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

KEYS_KEPT_S: Final = 3600.0
KEYS_EVERY_S: Final = 60.0
KEYS_BYTES_MAX: Final = 256 * 1024
KEYS_TIMEOUT_S: Final = 5.0
LEEWAY_S: Final = 60  # clocks differ
SUBJECT_LENGTH_MAX: Final = 255
ALGORITHMS: Final = ("RS256", "ES256")


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Who vouches for people, and where the keys are."""

    issuers: tuple[str, ...]
    keys_url: str


PROVIDERS: Final[dict[AuthProvider, Provider]] = {
    AuthProvider.GOOGLE: Provider(
        issuers=("https://accounts.google.com", "accounts.google.com"),
        keys_url="https://www.googleapis.com/oauth2/v3/certs",
    ),
    AuthProvider.APPLE: Provider(
        issuers=("https://appleid.apple.com",), keys_url="https://appleid.apple.com/auth/keys"
    ),
}


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of a person, once its signature was found right."""

    provider: AuthProvider
    subject: str
    email: str | None  # proven, by the word of the provider; None: it has none, or does not vouch for it
    name: str | None


class _Header(msgspec.Struct):
    alg: str
    kid: str


class _Keys:
    """The published keys of one provider."""

    def __init__(self) -> None:
        self._found: KeySet | None = None
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def key(self, provider: AuthProvider, url: str, kid: str) -> Any:
        """The key of this name. Raises IdTokenRefused where there is none, ProviderUnavailable."""
        if time.monotonic() - self._asked_at < KEYS_KEPT_S and (key := self._named(kid)) is not None:
            return key
        async with self._asking:
            if self._found is None or time.monotonic() - self._asked_at >= KEYS_EVERY_S:
                self._found = await asyncio.to_thread(_read_keys, provider, url)
                self._asked_at = time.monotonic()
        key = self._named(kid)
        if key is None:
            raise IdTokenRefused
        return key

    def _named(self, kid: str) -> Any:
        keys = self._found.keys if self._found is not None else ()
        return next((key for key in keys if key.kid == kid), None)


_keys: Final[dict[str, _Keys]] = {}  # by URL


async def vouched(
    id_token: str, *, provider: AuthProvider, audience: Collection[str], nonce: str, now: datetime
) -> Vouched:
    """What an ID token says.

    Args:
        id_token: as the provider gave it to the client.
        provider: whose it must be.
        audience: the client ids of the shop; it must be for one of them.
        nonce: what we gave the client; the token has it, or its SHA-256 in hexadecimal digits, as Apple's kits send it.
        now: by our clock.

    Raises:
        IdTokenRefused: not signed by the provider, for somebody else, too old, or with another nonce.
        ProviderUnavailable: its keys cannot be read.
    """
    from joserfc import jwt  # noqa: PLC0415  # slow to import
    from joserfc.errors import JoseError  # noqa: PLC0415

    known = PROVIDERS[provider]
    header = _header(id_token)
    key = await _keys.setdefault(known.keys_url, _Keys()).key(provider, known.keys_url, header.kid)
    try:
        claims = jwt.decode(id_token, key, algorithms=list(ALGORITHMS)).claims
        required: Any = {"essential": True}
        jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "values": list(known.issuers)},
            aud=required,
            exp=required,
            iat=required,
            sub=required,
            nonce=required,
        ).validate(claims)
        subject, said = msgspec.convert(claims["sub"], str), msgspec.convert(claims["nonce"], str)
        audiences = msgspec.convert(claims["aud"], str | list[str])
    except (JoseError, msgspec.ValidationError, ValueError, KeyError, TypeError) as error:
        raise IdTokenRefused from error
    named = [audiences] if isinstance(audiences, str) else audiences
    # A token for several is not one for us alone, whoever else it was given to.
    if len(named) != 1 or named[0] not in audience or not 1 <= len(subject) <= SUBJECT_LENGTH_MAX:
        raise IdTokenRefused
    if not (same(said, nonce) or same(said, hashlib.sha256(nonce.encode()).hexdigest())):
        raise IdTokenRefused
    name = claims.get("name")
    return Vouched(
        provider=provider, subject=subject, email=_proven(claims), name=name if isinstance(name, str) else None
    )


def _proven(claims: dict[str, Any]) -> str | None:
    verified = claims.get("email_verified")  # Apple says it in words
    if not (verified is True or verified == "true") or not isinstance(claims.get("email"), str):
        return None
    try:
        return normal_email(claims["email"])
    except InvalidEmail as error:
        raise LinkRefused(reason="the provider's mail address is none that can be kept") from error


def _header(token: str) -> _Header:
    try:
        if len(token) > TOKEN_LENGTH_MAX:
            raise IdTokenRefused
        first = token.partition(".")[0]
        header = msgspec.json.decode(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)), type=_Header)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError) as error:
        raise IdTokenRefused from error
    if header.alg not in ALGORITHMS:
        raise IdTokenRefused
    return header


def _read_keys(provider: AuthProvider, url: str) -> "KeySet":
    from joserfc.errors import JoseError  # noqa: PLC0415  # slow to import
    from joserfc.jwk import KeySet  # noqa: PLC0415

    try:
        with urlopen(url, timeout=KEYS_TIMEOUT_S) as answer:  # noqa: S310 - one of PROVIDERS, not a caller's
            text = answer.read(KEYS_BYTES_MAX + 1)
        if len(text) > KEYS_BYTES_MAX:
            raise ProviderUnavailable(provider=provider)
        return KeySet.import_key_set(msgspec.json.decode(text))
    except (OSError, HTTPException, ValueError, KeyError, TypeError, JoseError, msgspec.MsgspecError) as error:
        raise ProviderUnavailable(provider=provider) from error
