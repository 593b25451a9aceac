"""Sends the customers of all shops to their SAP. Nobody is asked inside a transaction."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from storeroom.configuration import ConfigUnreadable, Configuration
from storeroom.core.crypto import SealBroken
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import TenantId, new_id
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context, TenantSuspended, TenantUnknown
from storeroom.identity import SigningSecretMissing, TokenKeys
from storeroom.integration import Courier
from storeroom.sap import queries
from storeroom.sap.customers import CustomerSyncs
from storeroom.sap.errors import SapCodeTaken, SapFailed
from storeroom.sap.model import ToSync
from storeroom.sap.port import SAP_ADDRESS, Sap
from storeroom.tenants import Tenants

TENANTS_MAX: Final = 1_000  # looked at in one run
AT_ONCE: Final = 4  # customers that one shop's SAP is told of at a time

_log: Final = logging.getLogger(__name__)
_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, name="sync_customers")


async def sync_customers(db: Database, /, *, keys: TokenKeys, courier: Courier, limit: int) -> int:
    """Send at most `limit` customers who are due, AT_ONCE of a shop at a time; return how many were tried.

    A SAP that cannot be reached is left in peace until the next run, which then does not follow at once: less than
    `limit` is returned.
    A shop without an address is passed over: its customers wait, and no attempt is counted.
    """
    tenants = list(await queries.tenants_with_waiting(db, size=TENANTS_MAX))
    random.shuffle(tenants)  # where there are more than we can serve, each comes in its turn
    lookup, done, all_reached = Tenants(db).cache, 0, True
    for tenant_id in tenants:
        context = Context(db=db, tenant_id=TenantId(tenant_id), tenants=lookup, actor=_ACTOR)
        try:
            address = await Configuration(context, keys).value(SAP_ADDRESS)
        except (TenantSuspended, TenantUnknown):
            continue
        except (ConfigUnreadable, SealBroken, SigningSecretMissing) as error:
            _log.error("%s: sap.address: %s (%s)", tenant_id, error, error.code)
            continue
        while address is not None and done < limit:
            syncs, claim = CustomerSyncs(context), new_id()
            claimed = await syncs.claim(claim=claim, size=min(AT_ONCE, limit - done))
            if not claimed:
                break
            done += len(claimed)
            if not await _send(Sap(courier, address), syncs, claim, claimed):
                all_reached = False
                break
    return done if all_reached else min(done, limit - 1)


async def _send(sap: Sap, syncs: CustomerSyncs, claim: UUID, claimed: Sequence[ToSync]) -> bool:
    """False: SAP did not answer for one of them."""
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(_send_one(sap, syncs, claim, customer)) for customer in claimed]
    return all(task.result() for task in sent)


async def _send_one(sap: Sap, syncs: CustomerSyncs, claim: UUID, customer: ToSync) -> bool:
    """What goes wrong with one is written into their row. False: nobody answered."""
    try:
        code = await sap.customer(customer)
        await syncs.synced(claim=claim, sync_id=customer.id, sap_customer_code=code)
    except SapFailed as error:
        await syncs.failed(claim=claim, sync_id=customer.id, error=error.reason, attempts=customer.attempts)
        return error.status is not None
    except SapCodeTaken as error:
        await syncs.failed(claim=claim, sync_id=customer.id, error=str(error), attempts=customer.attempts)
    except StoreroomError as error:
        _log.error("a customer could not be synced: %s (%s)", error, error.code)
        await syncs.failed(claim=claim, sync_id=customer.id, error=error.code, attempts=customer.attempts)
    except Exception as error:  # noqa: BLE001  # a fault of ours with one is not the others'
        _log.exception("customer %s could not be synced", customer.id)
        await syncs.failed(claim=claim, sync_id=customer.id, error=type(error).__name__, attempts=customer.attempts)
    return True
