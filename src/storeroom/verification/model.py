"""Proofs beside a password: a code by phone."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from typing_extensions import override

CODE_DIGITS: Final = 6
CODE_LIFETIME: Final = timedelta(minutes=5)
CODE_ATTEMPTS_MAX: Final = 5  # wrong ones; then a new code is needed
CODE_REQUESTS_MAX: Final = 5  # for one phone in CODE_WINDOW, so it can be guessed at 25 times in it
CODE_WINDOW: Final = timedelta(minutes=15)
PROOF_LIFETIME: Final = timedelta(minutes=30)  # so long the right code opens what asks for one


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
