"""What people without an account tried to prove: every attempt is kept, and too many wrong ones are refused."""

from storeroom.guests.errors import TooManyAttempts
from storeroom.guests.model import (
    FAILURE_WINDOW,
    FAILURES_MAX,
    AttemptsFound,
    GuestAttempt,
    GuestMethod,
    map_guest_attempt,
)
from storeroom.guests.service import GuestAttempts, ensure_guest_user_audits

__all__ = [
    "FAILURES_MAX",
    "FAILURE_WINDOW",
    "AttemptsFound",
    "GuestAttempt",
    "GuestAttempts",
    "GuestMethod",
    "TooManyAttempts",
    "ensure_guest_user_audits",
    "map_guest_attempt",
]
