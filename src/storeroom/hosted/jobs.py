"""What nobody has told us of: sessions and transactions whose provider is to be asked. Who asks is a flow."""

from typing import Final

from storeroom.database.pool import Database
from storeroom.hosted import queries
from storeroom.hosted.model import MPGS_OPEN, POLL_AFTER, POLL_EVERY, POLL_STRIPE_AFTER, Due

TENANTS_MAX: Final = 50  # looked at in one run


async def claim_due(db: Database, *, limit: int) -> list[Due]:
    """At most `limit` of all tenants, each by one worker alone and once in POLL_EVERY."""
    due: list[Due] = []
    for tenant_id in await queries.tenants_with_open_sessions(
        db, older_than=POLL_STRIPE_AFTER, poll_every=POLL_EVERY, size=TENANTS_MAX
    ):
        if (left := limit - len(due)) > 0:
            sessions = await queries.claim_open_sessions(
                db, tenant_id=tenant_id, older_than=POLL_STRIPE_AFTER, poll_every=POLL_EVERY, size=left
            )
            due += [Due(tenant_id=tenant_id, session_id=each) for each in sessions]
    for tenant_id in await queries.tenants_with_open_transactions(
        db, older_than=POLL_AFTER, poll_every=POLL_EVERY, size=TENANTS_MAX
    ):
        for status in sorted(MPGS_OPEN):
            if (left := limit - len(due)) > 0:
                transactions = await queries.claim_open_transactions(
                    db, tenant_id=tenant_id, status=status, older_than=POLL_AFTER, poll_every=POLL_EVERY, size=left
                )
                due += [Due(tenant_id=tenant_id, transaction_id=each) for each in transactions]
    return due
