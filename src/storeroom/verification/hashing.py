"""One-time codes: made, and kept as bcrypt hashes only, which threads of their own compute."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from storeroom.verification.errors import CodesBusy
from storeroom.verification.model import CODE_DIGITS

# A million codes fall to any hash in the end. This one makes it take half a day, and a code lives for minutes.
ROUNDS: Final = 10
AT_ONCE_MAX: Final = 2
WAITING_MAX: Final = 100  # some 3 s of work; who comes later is told to come again

R = TypeVar("R")

_threads: Final = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="codes")
_waiting: Final[set[object]] = set()


def new_code() -> str:
    """CODE_DIGITS random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


async def hashed(code: str) -> str:
    """What is stored of a code. Raises CodesBusy."""
    import bcrypt  # noqa: PLC0415  # slow to import

    return await _in_thread(lambda: bcrypt.hashpw(code.encode(), bcrypt.gensalt(ROUNDS)).decode())


async def verified(otp_hash: str, code: str) -> bool:
    """Whether this is the code, compared in constant time. Raises CodesBusy."""
    import bcrypt  # noqa: PLC0415  # slow to import

    return await _in_thread(lambda: bcrypt.checkpw(code.encode(), otp_hash.encode()))


async def _in_thread(work: Callable[[], R]) -> R:
    if len(_waiting) >= WAITING_MAX:
        raise CodesBusy
    ticket = object()
    _waiting.add(ticket)
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting.discard(ticket)
