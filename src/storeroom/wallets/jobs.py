"""What the worker does for payments from wallets."""

from datetime import timedelta
from typing import Final

from storeroom.core.clock import Clock, SystemClock
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context
from storeroom.tenants import Tenants
from storeroom.wallets import queries
from storeroom.wallets.model import QUOTE_KEPT
from storeroom.wallets.transactions import Transactions

TENANTS_MAX: Final = 50  # looked at in one round
BATCH_MAX: Final = 1_000  # rows in one transaction
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="archive_payments")


class Archival:
    """Moves payments older than the retention to the archive: a run for each tenant and interval, whoever does it.

    A run begins with moving on the tenant's row of `archival_runs`, which one process does; that process then moves
    batch after batch, each in a transaction of its own. Where it dies, the next run takes up what is left.
    """

    def __init__(self, *, retention: timedelta, interval: timedelta, clock: Clock | None = None) -> None:
        """Nothing runs yet.

        Args:
            retention: payments stay in the ledger for so long.
            interval: from the beginning of a tenant's run to that of the next.
            clock: what tells both.
        """
        self._retention = retention
        self._interval = interval
        self._clock = clock or SystemClock()
        self._begun: dict[str, None] = {}  # tenants whose run is ours and not at its end

    async def __call__(self, db: Database, /, *, limit: int) -> int:
        """Move at most `limit` rows; return how many it were. Fewer: nothing is left to do in this interval."""
        moved = 0
        while moved < limit:
            if not self._begun and not await self._begin(db):
                break
            tenant_id = next(iter(self._begun))
            size = min(BATCH_MAX, limit - moved)
            context = Context(db=db, tenant_id=TenantId(tenant_id), tenants=Tenants(db).cache, actor=_ACTOR)
            before = self._clock.now() - self._retention
            found = await Transactions(context).archive_older_than(before=before, limit=size)
            moved += found
            if found < size:
                del self._begun[tenant_id]
        return moved

    async def _begin(self, db: Database) -> bool:
        """Claim the runs that are due; say whether there is one."""
        now = self._clock.now()
        due = now - self._interval
        for tenant_id in await queries.tenants_to_archive(db, before=now - self._retention, due=due, size=TENANTS_MAX):
            if await queries.claim_archival(db, tenant_id=tenant_id, started_at=now, due=due):
                self._begun[tenant_id] = None
        return bool(self._begun)


async def remove_lapsed_quotes(db: Database, *, limit: int = 5_000) -> int:
    """Remove quotes that nobody paid, QUOTE_KEPT after their time; return how many it were.

    Any number of workers may do it at once. What was paid stays for ever.
    """
    done = 0
    while done < limit:
        before = done
        for tenant_id in await queries.tenants_with_lapsed(db, kept=QUOTE_KEPT, size=TENANTS_MAX):
            size = min(BATCH_MAX, limit - done)
            if size <= 0:
                break
            done += await queries.remove_lapsed(db, tenant_id=tenant_id, kept=QUOTE_KEPT, size=size)
        if done == before:
            break
    return done
