"""What the worker runs, and how often. Where several are due, they run in this order.

Payments come before orders: an order whose last payment has just expired is cancelled in the same round.
"""

from datetime import timedelta
from functools import partial
from typing import Final

from storeroom.analytics.jobs import make_partitions, retire_months
from storeroom.audit.jobs import make_months, seal
from storeroom.carts.jobs import abandon_carts
from storeroom.catalog.jobs import deactivate_expired_batches
from storeroom.downloads.jobs import note_mails, send_links
from storeroom.erp.jobs import queue_unsynced
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.flows.hosted_polling import POLLED_MAX, poll_hosted
from storeroom.flows.vendure import retry_waiting
from storeroom.identity import TokenKeys
from storeroom.identity.jobs import expire_sessions, remove_account_tokens, remove_sessions
from storeroom.inbox.jobs import purge as purge_inbox
from storeroom.inbox.jobs import return_lost as return_lost_messages
from storeroom.integration import Courier
from storeroom.integration.jobs import purge, return_lost
from storeroom.inventory.jobs import expire_reservations
from storeroom.orders.jobs import fill_search
from storeroom.payments.jobs import expire_payments
from storeroom.refunds.jobs import remove_expired_quotes
from storeroom.retention.jobs import note_idle, remind
from storeroom.sap import sync_customers
from storeroom.settings import Mode, Settings
from storeroom.subscriptions.jobs import renew_due
from storeroom.verification.jobs import remove_expired_codes, remove_expired_nonces
from storeroom.wallets.jobs import Archival, remove_lapsed_quotes
from storeroom.web.jobs import delete_expired_keys, delete_old_counters
from storeroom.worker.model import Batch, Job

LOOK_EVERY_MAX: Final = timedelta(hours=1)  # whether an archival is due: the database knows when the last was


def _every(seconds: int, name: str, run: Batch, *, limit: int = 500) -> Job:
    return Job(name=name, every=timedelta(seconds=seconds), run=run, limit=limit)


SCHEDULE: Final[tuple[Job, ...]] = (
    _every(1, "orders.fill_search", fill_search, limit=1_000),  # staff look for the order they hear of on the phone
    _every(
        5, "inventory.expire_reservations", expire_reservations
    ),  # a checkout that needs the units frees them itself
    _every(10, "payments.expire_payments", expire_payments),
    _every(10, "flows.cancel_unpaid", cancel_unpaid, limit=200),
    _every(30, "carts.abandon_carts", abandon_carts),
    _every(30, "retention.note_idle", note_idle, limit=1_000),
    _every(60, "subscriptions.renew_due", renew_due),
    _every(60, "catalog.deactivate_expired_batches", deactivate_expired_batches),
    _every(60, "identity.expire_sessions", expire_sessions),
    _every(600, "identity.remove_sessions", remove_sessions),
    _every(600, "identity.remove_account_tokens", remove_account_tokens),
    _every(60, "verification.remove_expired_codes", remove_expired_codes, limit=1_000),
    _every(600, "refunds.remove_expired_quotes", remove_expired_quotes, limit=1_000),
    _every(60, "verification.remove_expired_nonces", remove_expired_nonces, limit=1_000),
    _every(3600, "analytics.make_partitions", make_partitions),
    _every(300, "wallets.remove_lapsed_quotes", remove_lapsed_quotes, limit=5_000),
    _every(60, "web.delete_expired_keys", delete_expired_keys, limit=1_000),
    _every(60, "web.delete_old_counters", delete_old_counters, limit=1_000),
    _every(60, "downloads.note_mails", note_mails, limit=1_000),
    _every(15, "erp.queue_unsynced", queue_unsynced),
    _every(5, "integration.return_lost", return_lost),
    _every(600, "integration.purge", purge, limit=1_000),
    _every(5, "inbox.return_lost", return_lost_messages),
    _every(600, "inbox.purge", purge_inbox, limit=1_000),
    _every(60, "flows.retry_waiting", retry_waiting, limit=200),  # what other systems told before its time
    _every(30, "audit.seal", seal, limit=10_000),
    _every(3600, "audit.make_months", make_months, limit=100),
)


def sealing(keys: TokenKeys) -> tuple[Job, ...]:
    """What queues mail with links, and needs keys to seal them."""
    return (
        _every(30, "retention.remind", partial(remind, keys=keys)),
        _every(60, "downloads.send_links", partial(send_links, keys=keys), limit=1_000),
    )


def schedule(settings: Settings, keys: TokenKeys | None = None) -> tuple[Job, ...]:
    """What the worker of an installation runs: SCHEDULE, and what its settings and its secret allow."""
    jobs = [*SCHEDULE]
    # Where mail goes nowhere in production, nobody counts as reminded, and no link as sent.
    if keys and (settings.smtp is not None or settings.mode is not Mode.PRODUCTION):
        jobs += sealing(keys)
    if settings.archival_enabled:
        archival = Archival(retention=settings.archival_retention, interval=settings.archival_interval)
        every = min(settings.archival_interval, LOOK_EVERY_MAX)
        jobs.append(Job(name="wallets.archive_payments", every=every, run=archival, limit=5_000))
    if settings.events_months:
        retire = partial(retire_months, months_kept=settings.events_months, drop=settings.events_drop)
        jobs.append(_every(3600, "analytics.retire_months", retire, limit=12))
    return tuple(jobs)


def asking(keys: TokenKeys, courier: Courier) -> tuple[Job, ...]:
    """What calls payment providers, and needs keys to read how."""
    return (_every(30, "flows.poll_hosted", partial(poll_hosted, keys=keys, courier=courier), limit=POLLED_MAX),)


def asking_sap(keys: TokenKeys, courier: Courier) -> tuple[Job, ...]:
    """What calls the shops' SAP, which may be away for hours."""
    return (_every(10, "sap.sync_customers", partial(sync_customers, keys=keys, courier=courier), limit=100),)
