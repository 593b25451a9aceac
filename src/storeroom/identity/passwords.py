"""Passwords: hashed with Argon2id, in threads of their own, and never kept, logged or compared in any other way."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from storeroom.core.secrets import new_token
from storeroom.identity.common_passwords import COMMON_PASSWORDS
from storeroom.identity.errors import CommonPassword, InvalidPassword, PasswordsBusy
from storeroom.identity.model import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# The second set of parameters in RFC 9106 trades memory for passes; OWASP's cheat sheet names this point of the curve.
MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1
AT_ONCE_MAX: Final = 2  # each takes MEMORY_KIB
WAITING_MAX: Final = 200  # some 4 s of work; who comes later is told to come again

R = TypeVar("R")

# Threads rather than a semaphore: they serve every event loop of the process, and their number is the bound.
_threads: Final = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="passwords")
_waiting: Final[set[object]] = set()


def normal_password(password: str, *, field: str = "password", email: str | None = None) -> str:
    """The form that is hashed: Unicode composed, so that the same keys on another keyboard give the same password.

    Raises:
        InvalidPassword: fewer than PASSWORD_LENGTH_MIN characters, more than PASSWORD_LENGTH_MAX, or no text.
        CommonPassword: one of COMMON_PASSWORDS, one key held down, or the account's own mail address.
    """
    normal = unicodedata.normalize("NFC", password)
    if not PASSWORD_LENGTH_MIN <= len(normal) <= PASSWORD_LENGTH_MAX or not _is_text(normal):
        raise InvalidPassword(field=field)
    typed = "".join(normal.casefold().split())
    own = () if email is None else (email.casefold(), email.casefold().rpartition("@")[0])
    if typed in COMMON_PASSWORDS or typed in own or len(set(typed)) <= 1:
        raise CommonPassword(field=field)
    return normal


async def hashed(password: str, *, field: str = "password", email: str | None = None) -> str:
    """What is stored of a new password of the account with this mail address, where it is known.

    Raises:
        InvalidPassword, CommonPassword: see `normal_password`.
        PasswordsBusy: too many wait already.
    """
    return await rehashed(normal_password(password, field=field, email=email))


async def rehashed(password: str) -> str:
    """The same of a password that was taken before, perhaps by other rules. Raises PasswordsBusy."""
    normal = unicodedata.normalize("NFC", password)
    return await _in_thread(lambda: _hasher().hash(normal))


async def verified(password_hash: str | None, password: str) -> bool:
    """Whether this is the password.

    Where there is no hash (no such account, or one without a password) it takes as long, and is never right.

    Raises:
        PasswordsBusy: too many wait already.
    """
    normal = unicodedata.normalize("NFC", password[: PASSWORD_LENGTH_MAX + 1])
    if len(normal) > PASSWORD_LENGTH_MAX or not _is_text(normal):
        return False
    return await _in_thread(lambda: _verified(password_hash or _nobodys(), normal)) and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than those of today."""
    return _hasher().check_needs_rehash(password_hash)


def _verified(password_hash: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415  # slow to import

    try:
        return _hasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[[], R]) -> R:
    if len(_waiting) >= WAITING_MAX:
        raise PasswordsBusy
    ticket = object()
    _waiting.add(ticket)
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting.discard(ticket)


def _is_text(password: str) -> bool:
    return not any(unicodedata.category(character) == "Cs" for character in password)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # noqa: PLC0415  # slow to import

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobodys() -> str:
    """A hash that nobody has the password of, made with the same parameters."""
    return _hasher().hash(new_token())
