"""Whether the bytes of a message are signed by its source, by each of the schemes."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from storeroom.core.secrets import Secret
from storeroom.inbox.model import Encoding, Scheme, SourceKeys

SIGNATURES_MAX: Final = 10  # in one header; a source signs with two secrets at most
TIMESTAMP_LENGTH_MAX: Final = 20


class _Token(msgspec.Struct):
    timestamp: str | int
    token: str
    signature: str


class _Mailgun(msgspec.Struct):
    signature: _Token


def signature_of(source: SourceKeys, body: bytes, headers: Mapping[str, str]) -> str | None:
    """What the message brought as its signature, to be kept with it."""
    if source.scheme is Scheme.MAILGUN:
        token = _mailgun(body)
        return None if token is None else token.signature
    return headers.get(source.signature_header)


def signed(source: SourceKeys, secret: Secret, body: bytes, headers: Mapping[str, str], *, now: datetime) -> bool:
    """Whether the secret has signed these very bytes, lately where the scheme says when. No input raises.

    Args:
        source: which scheme, and its settings.
        secret: one of the source's.
        body: as it came.
        headers: names in lower case.
        now: by our clock. Standard Webhooks' library has its own, and five minutes of tolerance.
    """
    match source.scheme:
        case Scheme.STANDARD_WEBHOOKS:
            return _by_standard_webhooks(secret, body, headers)
        case Scheme.STRIPE:
            return _by_time_and_body(source, secret, body, headers.get(source.signature_header, ""), now)
        case Scheme.HMAC:
            return _by_hmac(source, secret, body, headers, now)
        case Scheme.MAILGUN:
            return _by_token(source, secret, body, now)


def _by_standard_webhooks(secret: Secret, body: bytes, headers: Mapping[str, str]) -> bool:
    if len(headers.get("webhook-signature", "").split(" ")) > SIGNATURES_MAX:
        return False
    try:
        StandardWebhook(secret.reveal()).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # the latter of a header that is no signature at all
        return False
    return True


def _by_time_and_body(source: SourceKeys, secret: Secret, body: bytes, header: str, now: datetime) -> bool:
    parts = [part.strip().partition("=") for part in header.split(",")[: 2 * SIGNATURES_MAX]]
    at = next((value for name, _, value in parts if name == "t"), "")
    expected = _mac(secret, at.encode() + b"." + body).hex()
    given = [value for name, _, value in parts if name == "v1"][:SIGNATURES_MAX]
    return _recent(at, source, now) and any(_same(expected, each) for each in given)


def _by_hmac(source: SourceKeys, secret: Secret, body: bytes, headers: Mapping[str, str], now: datetime) -> bool:
    signed_bytes = body
    if source.timestamp_header is not None:
        at = headers.get(source.timestamp_header, "")
        if not _recent(at, source, now):
            return False
        signed_bytes = at.encode() + b"." + body
    given, mac = headers.get(source.signature_header, ""), _mac(secret, signed_bytes)
    if not given.startswith(source.prefix):
        return False
    given = given.removeprefix(source.prefix)
    if source.encoding is Encoding.HEX:
        return _same(mac.hex(), given.lower())
    try:
        return hmac.compare_digest(mac, base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        return False


def _by_token(source: SourceKeys, secret: Secret, body: bytes, now: datetime) -> bool:
    found = _mailgun(body)
    if found is None:
        return False
    at = str(found.timestamp)
    expected = _mac(secret, (at + found.token).encode("utf-8", "replace")).hex()
    return _recent(at, source, now) and _same(expected, found.signature)


def _mailgun(body: bytes) -> _Token | None:
    try:
        return msgspec.json.decode(body, type=_Mailgun).signature
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _recent(at: str, source: SourceKeys, now: datetime) -> bool:
    """A time of tomorrow is as wrong as one of yesterday: it would be good for longer than anybody meant."""
    if not (at.isascii() and at.isdigit() and len(at) <= TIMESTAMP_LENGTH_MAX):
        return False
    return abs(now.timestamp() - int(at)) <= source.tolerance_seconds


def _mac(secret: Secret, text: bytes) -> bytes:
    return hmac.digest(secret.reveal().encode(), text, hashlib.sha256)


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
