"""Limits on how often: a counter in memory against floods, and counters in PostgreSQL that hold over all processes.

All count in fixed windows. That lets at most twice the limit through around a window's edge, and costs one number per
caller where a sliding window would cost a list of instants.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import Final
from weakref import WeakKeyDictionary

from storeroom.core.clock import Clock, SystemClock
from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.core.errors import StoreroomError
from storeroom.core.secrets import token_hash
from storeroom.database.pool import Database
from storeroom.web import queries
from storeroom.web.errors import RateLimited

BUCKET_LENGTH_MAX: Final = 200
IPV6_PREFIX: Final = 64  # one line of a provider has so much, and all addresses in it
FLOOD_CALLERS_MAX: Final = 50_000  # addresses counted at a time; more of them start the window anew
SPARE_CALLERS_MAX: Final = 50_000  # whose right tries a process keeps at a time; with more of them all are forgotten
QUOTA_WINDOW_S: Final = 60
QUOTA_BLOCKS: Final = 50  # a process takes a quota in so many parts: it writes once for each of them
QUOTA_CALLERS_MAX: Final = 50_000  # whose parts a process holds at a time; with more of them all are forgotten


async def limit(
    db: Database, *, tenant_id: str, bucket: str, times: int, window: timedelta, clock: Clock | None = None
) -> None:
    """Count one more, whatever happens to the caller's own work afterwards.

    Args:
        db: not a transaction: a refused sign-in has to be counted too, and this one's commit waits for no disk.
        tenant_id: whose shop; the same bucket of another shop is another one.
        bucket: what is counted and for whom, as in `sign_in:203.0.113.9`.
        times: allowed in one window.
        window: counted from the epoch, so that all processes agree on it.
        clock: for tests.

    Raises:
        RateLimited: it was one too many; carries the seconds until the window ends.
    """
    now = (clock or SystemClock()).now()
    window_at = _window_at(now, window)
    hits = await queries.count_hits(db, tenant_id=tenant_id, bucket=_short(bucket), window_at=window_at, hits=1)
    if hits > times:
        raise RateLimited(retry_after_s=max(1, ceil((window_at + window - now).total_seconds())))


def _window_at(now: datetime, window: timedelta) -> datetime:
    """When the window began that an instant lies in."""
    length_s = window.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // length_s * length_s, UTC)


def network(ip: str) -> str:
    """Who is counted for an address: an IPv4 address itself, mapped into IPv6 or not; of IPv6 the first 64 bits.

    Whoever has one address of a line has all 2**64 of it, so a count by address would count nobody.
    """
    if ":" not in ip:
        return ip
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if not isinstance(address, IPv6Address):
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return ip
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))


class Limiter:
    """`limit` for the shop and the caller of one request."""

    def __init__(self, db: Database, tenant_id: str, ip: str | None, *, clock: Clock | None = None) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self._ip = ip
        self._clock = clock or SystemClock()

    async def by_address(self, what: str, *, times: int, window: timedelta) -> None:
        """Count for the caller's address, as `network` has it. Raises RateLimited."""
        await self.by(what, self._address, times=times, window=window)

    @asynccontextmanager
    async def wrong_by_address(
        self, what: str, *, times: int, window: timedelta, right: tuple[type[StoreroomError], ...] = ()
    ) -> AsyncIterator[None]:
        """Count a try for the caller's address, and give it back where it was right: a whole office has one address.

        It is counted before it is made, so that of many at once no more wrong ones pass than the limit has. One that is
        given back stays with this process, for the next from there: see `_Spare`.

        Args:
            what: is tried.
            times: wrong ones in one window.
            window: see `limit`.
            right: errors that say no more than that there is another step.

        Raises:
            RateLimited: there were too many wrong ones.
        """
        address = self._address
        who = (self._tenant_id, what, address)
        spare, at = _Spare.of(self._db), _window_at(self._clock.now(), window)
        if not spare.take(who, at):
            await self.by(what, address, times=times, window=window)
        try:
            yield
        except right:
            spare.give(who, at)
            raise
        spare.give(who, at)

    async def by_email(self, what: str, email: str, *, times: int, window: timedelta) -> None:
        """Count for a mail address, however it is written; also for what is none. Raises RateLimited.

        The bucket is a hash: the counters' table is no list of mail addresses.
        """
        try:
            known = normal_email(email)
        except InvalidEmail:
            known = email.strip().lower()
        await self.by(what, token_hash(known)[:32], times=times, window=window)

    async def by(self, what: str, who: str, *, times: int, window: timedelta) -> None:
        """Count for an account, an order number, whatever is guessed at. Raises RateLimited."""
        await limit(
            self._db,
            tenant_id=self._tenant_id,
            bucket=f"{what}:{who}",
            times=times,
            window=window,
            clock=self._clock,
        )

    @property
    def _address(self) -> str:
        return network(self._ip) if self._ip else "unknown"


class _Spare:
    """Tries that this process has counted in the database, and that were right.

    The next one from the same address takes such a try and writes nothing. So never more wrong ones pass than the limit
    has, whatever the number of processes; what one of them keeps, as many as were under way there at once, the others
    have less until the window ends.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], tuple[datetime, int]] = {}

    @classmethod
    def of(cls, db: Database) -> "_Spare":
        """Those of one database; one for the whole process."""
        found = _spare.get(db)
        if found is None:
            found = _spare[db] = cls()
        return found

    def take(self, who: tuple[str, str, str], window_at: datetime) -> bool:
        """Use one of this window, if there is one."""
        at, tries = self._kept.pop(who, (window_at, 0))
        if at != window_at or tries == 0:
            return False
        if tries > 1:
            self._kept[who] = (at, tries - 1)
        return True

    def give(self, who: tuple[str, str, str], window_at: datetime) -> None:
        """Keep one for the next."""
        at, tries = self._kept.pop(who, (window_at, 0))
        if len(self._kept) >= SPARE_CALLERS_MAX:
            self._kept.clear()
        self._kept[who] = (window_at, tries + 1 if at == window_at else 1)


_spare: Final[WeakKeyDictionary[Database, _Spare]] = WeakKeyDictionary()


class Quotas:
    """How many calls a minute one caller has, over all processes, for less than a write a call.

    A process takes a part of the quota from the shared counter and gives it out from memory. So never more calls pass
    than the quota has, whatever the number of processes; what is left of a part when the minute ends is lost, a
    QUOTA_BLOCKS-th of the quota for each process at most.
    """

    def __init__(self, db: Database, *, clock: Clock | None = None) -> None:
        self._db = db
        self._clock = clock or SystemClock()
        self._start_s = 0.0
        self._parts: dict[tuple[str, str], _Part] = {}

    async def take(self, *, tenant_id: str, bucket: str, times: int) -> None:
        """Count one call.

        Args:
            tenant_id: whose shop.
            bucket: who calls, as in `calls_account:0192…`; not longer than BUCKET_LENGTH_MAX.
            times: allowed in a minute, 1 or more.

        Raises:
            RateLimited: it was one too many. The database is asked no more for this caller until the minute ends.
        """
        now_s = self._clock.now().timestamp()
        start_s = now_s // QUOTA_WINDOW_S * QUOTA_WINDOW_S
        if start_s != self._start_s or len(self._parts) >= QUOTA_CALLERS_MAX:
            self._start_s, self._parts = start_s, {}
        part = self._parts.get((tenant_id, bucket))
        if part is None:
            part = self._parts[tenant_id, bucket] = _Part()
        async with part.asking:  # who comes meanwhile has what is left of the part that is just being taken
            if part.left == 0 and not part.over:
                size = max(1, times // QUOTA_BLOCKS)
                taken = await queries.count_hits(
                    self._db,
                    tenant_id=tenant_id,
                    bucket=bucket,
                    window_at=datetime.fromtimestamp(start_s, UTC),
                    hits=size,
                )
                part.left = max(0, min(size, times - (taken - size)))
                part.over = part.left == 0
            if part.left == 0:
                raise RateLimited(retry_after_s=max(1, ceil(start_s + QUOTA_WINDOW_S - now_s)))
            part.left -= 1


class _Part:
    """What one process holds of a quota."""

    __slots__ = ("asking", "left", "over")

    def __init__(self) -> None:
        self.asking = asyncio.Lock()
        self.left = 0
        self.over = False  # nothing more in this minute, whoever asks


class Flood:
    """Requests per address in this process, in memory: a cheap first wall that asks no database."""

    def __init__(self, *, times: int, window_s: float, monotonic: Callable[[], float]) -> None:
        """Allow `times` requests of one address in each window; 0 allows any number."""
        self._times = times
        self._window_s = window_s
        self._monotonic = monotonic
        self._until = 0.0
        self._hits: dict[str, int] = {}

    def hit(self, who: str) -> None:
        """Count one more. Raises RateLimited."""
        if not self._times:
            return
        now = self._monotonic()
        if now >= self._until or len(self._hits) >= FLOOD_CALLERS_MAX:
            self._hits.clear()
            self._until = now + self._window_s
        hits = self._hits[who] = self._hits.get(who, 0) + 1
        if hits > self._times:
            raise RateLimited(retry_after_s=max(1, ceil(self._until - now)))


def _short(bucket: str) -> str:
    """What comes from outside may be long, or hold what the database refuses."""
    if len(bucket) <= BUCKET_LENGTH_MAX and bucket.isprintable():
        return bucket
    return f"{bucket.partition(':')[0][:50]}:{hashlib.sha256(bucket.encode('utf-8', 'replace')).hexdigest()}"
