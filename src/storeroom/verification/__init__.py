"""Proving who one is beside a password: codes sent to a phone."""

from storeroom.verification.errors import CodeRefused, CodesBusy, PhoneProofRequired, TooManyCodes
from storeroom.verification.model import (
    CODE_ATTEMPTS_MAX,
    CODE_DIGITS,
    CODE_LIFETIME,
    CODE_REQUESTS_MAX,
    CODE_WINDOW,
    PROOF_LIFETIME,
    CodeSent,
    PhoneProof,
)
from storeroom.verification.otp import PhoneCodes

__all__ = [
    "CODE_ATTEMPTS_MAX",
    "CODE_DIGITS",
    "CODE_LIFETIME",
    "CODE_REQUESTS_MAX",
    "CODE_WINDOW",
    "PROOF_LIFETIME",
    "CodeRefused",
    "CodeSent",
    "CodesBusy",
    "PhoneCodes",
    "PhoneProof",
    "PhoneProofRequired",
    "TooManyCodes",
]
