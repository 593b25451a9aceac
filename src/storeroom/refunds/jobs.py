"""What the worker does for refund quotes."""

from typing import Final

from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.refunds import queries
from storeroom.refunds.model import QUOTE_KEPT

TENANTS_MAX: Final = 500  # in one round


async def remove_expired_quotes(db: Database, *, limit: int = 1_000) -> int:
    """Remove quotes that nobody decided and that expired QUOTE_KEPT ago; return how many it were."""
    done = 0
    for tenant_id in await queries.tenants_with_expired_quotes(db, kept_for=QUOTE_KEPT, rows=TENANTS_MAX):
        if done >= limit:
            break
        done += await queries.delete_expired_quotes(
            db, tenant_id=TenantId(tenant_id), kept_for=QUOTE_KEPT, rows=limit - done
        )
    return done
