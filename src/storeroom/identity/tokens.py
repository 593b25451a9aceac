"""The tokens of sessions: short-lived ones that are signed, and long-lived ones of which only hashes are kept.

A refresh token is two random texts: what all tokens of its session share, and what changes with every use. So a token
that was used before is known for one of ours however long ago that was, and nobody can make one who never had one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.core.crypto import KeyRing
from storeroom.core.ids import SessionId, TenantId, UserId
from storeroom.core.secrets import Secret, new_token, token_hash
from storeroom.identity.errors import SigningSecretMissing, TokenRefused
from storeroom.identity.model import ACCESS_TOKEN_LIFETIME, AccessClaims, UserRole

if TYPE_CHECKING:
    from joserfc.jwk import OctKey
    from joserfc.jwt import Token

ALGORITHM: Final = "HS256"
TOKEN_LENGTH_MAX: Final = 4096
SECRET_LENGTH_MIN: Final = 32  # characters
_PURPOSE: Final = b"storeroom access tokens, 1"


class TokenKeys:
    """Signs and reads access tokens, with a key derived from the installation's secret."""

    def __init__(self, secret: Secret | None, others: Sequence[Secret] = ()) -> None:
        """Without a secret nothing can be signed; everything else of the installation works.

        Args:
            secret: signs and seals.
            others: read as well: the one before it, until nothing of it is left, or the next one, before it signs.
        """
        self._secret = secret
        self._others = others
        self._rings: dict[str, KeyRing] = {}

    @classmethod
    def of(cls, secret: Secret | str | None, others: Sequence[Secret | str] = ()) -> Self:
        """Take the secrets as they come from the environment or a caller."""
        first, *rest = [Secret(each) if isinstance(each, str) else each for each in (secret, *others)]
        return cls(first, [each for each in rest if each is not None and each != first])

    def __bool__(self) -> bool:
        """Whether there is a secret at all."""
        return bool(self._secret)

    def require(self) -> None:
        """Raise SigningSecretMissing where tokens cannot be signed."""
        self._keys  # noqa: B018  # derived when it is first asked for

    def ring(self, purpose: str) -> KeyRing:
        """Keys to seal with, from the same secrets. Raises SigningSecretMissing."""
        ring = self._rings.get(purpose)
        if ring is None:
            ring = self._rings[purpose] = KeyRing(self._required(), purpose=purpose)
        return ring

    @cached_property
    def _keys(self) -> "Sequence[OctKey]":
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  # slow to import
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415
        from joserfc.jwk import OctKey  # noqa: PLC0415

        return [
            OctKey.import_key(
                HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.reveal().encode())
            )
            for secret in self._required()
        ]

    def _required(self) -> Sequence[Secret]:
        if not self._secret:
            raise SigningSecretMissing
        secrets = [self._secret, *self._others]
        if any(len(secret.reveal()) < SECRET_LENGTH_MIN for secret in secrets):
            raise SigningSecretMissing(reason=f"it has fewer than {SECRET_LENGTH_MIN} characters")
        return secrets

    def sign(
        self,
        *,
        user_id: UserId,
        session_id: SessionId,
        tenant_id: TenantId,
        email: str,
        role: UserRole,
        permissions: Sequence[str],
        now: datetime,
    ) -> tuple[str, datetime]:
        """An access token and when it ends, ACCESS_TOKEN_LIFETIME from now, in whole seconds.

        It carries what a request needs to know of the account, so that reading it is all that a request costs.

        Raises:
            SigningSecretMissing: there is no secret to sign with.
        """
        from joserfc import jwt  # noqa: PLC0415  # slow to import

        issued_s = int(now.timestamp())
        expires_s = issued_s + int(ACCESS_TOKEN_LIFETIME.total_seconds())
        claims = {
            "sub": str(user_id),
            "sid": str(session_id),
            "tid": tenant_id,
            "email": email,
            "role": role.value,
            "permissions": list(permissions),
            "iat": issued_s,
            "exp": expires_s,
        }
        token = jwt.encode({"alg": ALGORITHM}, claims, self._keys[0], algorithms=[ALGORITHM])
        return token, datetime.fromtimestamp(expires_s, UTC)

    def read(self, access_token: str, *, now: datetime) -> AccessClaims:
        """What the token says, if we signed it and its time is not over. Asks no database.

        Raises:
            TokenRefused: it is not ours, or expired.
            SigningSecretMissing: there is no secret to test it with.
        """
        from joserfc import jwt  # noqa: PLC0415  # slow to import
        from joserfc.errors import JoseError  # noqa: PLC0415

        if len(access_token) > TOKEN_LENGTH_MAX:
            raise TokenRefused
        keys = self._keys
        try:
            token = self._decoded(access_token, keys)
            required: Any = {"essential": True}
            # The signature says nothing of the time: joserfc looks at `exp` only here.
            jwt.JWTClaimsRegistry(now=int(now.timestamp()), exp=required, iat=required, sub=required).validate(
                token.claims
            )
            return _claims(token.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TokenRefused from error

    @staticmethod
    def _decoded(access_token: str, keys: "Sequence[OctKey]") -> "Token":
        """By the first key that signed it. One before the last is rarely there, so trying in turn costs nothing."""
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import BadSignatureError  # noqa: PLC0415

        for key in keys[:-1]:
            try:
                return jwt.decode(access_token, key, algorithms=[ALGORITHM])
            except BadSignatureError:
                continue
        return jwt.decode(access_token, keys[-1], algorithms=[ALGORITHM])


def _claims(claims: dict[str, Any]) -> AccessClaims:
    return AccessClaims(
        user_id=UserId(UUID(claims["sub"])),
        session_id=SessionId(UUID(claims["sid"])),
        tenant_id=TenantId(msgspec.convert(claims["tid"], str)),
        email=msgspec.convert(claims["email"], str),
        role=UserRole(claims["role"]),
        permissions=msgspec.convert(claims["permissions"], list[str]),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


class RefreshToken(msgspec.Struct, frozen=True):
    """A refresh token in its two parts."""

    family: str
    turn: str

    @classmethod
    def first(cls) -> "RefreshToken":
        """The token of a new session."""
        return cls(new_token(), new_token())

    @classmethod
    def read(cls, text: str) -> "RefreshToken":
        """Take one apart. Raises TokenRefused where it has not two parts."""
        family, dot, turn = text.partition(".")
        if len(text) > TOKEN_LENGTH_MAX or not (family and dot and turn):
            raise TokenRefused
        return cls(family, turn)

    def next(self) -> "RefreshToken":
        """The one that replaces it."""
        return RefreshToken(self.family, new_token())

    @property
    def text(self) -> str:
        """As it is handed out."""
        return f"{self.family}.{self.turn}"

    @property
    def hash(self) -> str:
        """As it is kept."""
        return token_hash(self.text)

    @property
    def family_hash(self) -> str:
        """As the part that stays is kept."""
        return token_hash(self.family)

    @override
    def __repr__(self) -> str:
        return "RefreshToken(hidden)"
