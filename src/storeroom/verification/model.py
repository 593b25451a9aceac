"""Proofs beside a password: a code by phone, and the second factor of staff."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.core.ids import UserId
from storeroom.database.sealed import SealedCount
from storeroom.identity import UserRole

__all__ = ["SealedCount"]

CODE_DIGITS: Final = 6
CODE_LIFETIME: Final = timedelta(minutes=5)
CODE_ATTEMPTS_MAX: Final = 5  # wrong ones; then a new code is needed
CODE_REQUESTS_MAX: Final = 5  # for one phone in CODE_WINDOW, so it can be guessed at 25 times in it
CODE_WINDOW: Final = timedelta(minutes=15)
PROOF_LIFETIME: Final = timedelta(minutes=30)  # so long the right code opens what asks for one

STAFF_ROLES: Final = frozenset({UserRole.STAFF, UserRole.ADMIN, UserRole.SUPER_ADMIN})
STEP_S: Final = 30  # RFC 6238; so long an app shows one code
STEPS_ASIDE: Final = 1  # a clock may be off by so many
TOTP_DIGITS: Final = 6
FACTOR_FAILURES_MAX: Final = 5  # in FACTOR_WINDOW; then no code is looked at until it is over
FACTOR_WINDOW: Final = timedelta(minutes=15)
CHALLENGE_LIFETIME: Final = timedelta(minutes=5)  # between the password and the code
CHALLENGE_LENGTH_MAX: Final = 1000
NONCE_LIFETIME: Final = timedelta(minutes=5)
NONCE_LIFETIME_MAX: Final = timedelta(hours=1)
NONCE_ID_LENGTH_MAX: Final = 255
NONCE_PURPOSE_LENGTH_MAX: Final = 100
RECOVERY_CODES: Final = 10
RECOVERY_CODE_LENGTH: Final = 16  # characters of 4.9 bits
ISSUER_LENGTH_MAX: Final = 60  # of the shop's name, as an app shows it


class OpenCode(msgspec.Struct, frozen=True):
    """A code that may be tried now. Never leaves this slice."""

    id: UUID
    phone: str
    otp_hash: str

    @override
    def __repr__(self) -> str:
        return f"OpenCode({self.id})"


class CodeSent(msgspec.Struct, frozen=True, kw_only=True):
    """A code is on its way to a phone."""

    session_id: UUID  # what the code is verified with
    expires_at: datetime


class PhoneProof(msgspec.Struct, frozen=True, kw_only=True):
    """The code was right: whoever knows the session's id has that phone, until then."""

    session_id: UUID
    phone: str  # E.164 digits
    expires_at: datetime


class Standing(msgspec.Struct, frozen=True):
    """An account, as far as it concerns a second factor."""

    role: UserRole
    email: str
    confirmed_at: datetime | None
    recovery_codes_left: int

    @property
    def staff(self) -> bool:
        """Whether a second factor is for this account at all."""
        return self.role in STAFF_ROLES


class SealedFactor(msgspec.Struct, frozen=True):
    """A second factor, for a rotation of keys."""

    tenant_id: str
    id: UUID
    user_id: UserId
    secret: str

    @override
    def __repr__(self) -> str:
        return f"SealedFactor({self.id})"


class Factor(msgspec.Struct, frozen=True):
    """A second factor under lock, while a code is tried. Never leaves this slice."""

    id: UUID
    secret: str  # sealed
    last_step: int

    @override
    def __repr__(self) -> str:
        return f"Factor({self.id})"


class SecondFactorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an account signs in with a second factor."""

    active: bool
    since: datetime | None
    required: bool  # by the shop, of its staff
    recovery_codes_left: int


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What an authenticator app is told. Shown this once, and worth nothing until a code of it was right."""

    secret: str  # base 32, to type
    uri: str  # the same as otpauth://, for a QR code

    @override
    def __repr__(self) -> str:
        return "Enrolment(hidden)"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody has just said an account's password; travels sealed."""

    user_id: UserId
    password_mark: str | None  # as in identity's Proof
    expires_at: datetime


class Nonce(msgspec.Struct, frozen=True, kw_only=True):
    """Permission for one act, once."""

    id: str
    purpose: str  # as in `approve-refund`
    created_at: datetime
    expires_at: datetime  # from this instant on it is no good
    consumed_at: datetime | None
