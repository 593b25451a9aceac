"""What the worker brings besides webhooks, in one list."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from storeroom.conversions import Purchases
from storeroom.erp import ErpCarrier
from storeroom.integration import Carrier, Courier
from storeroom.messaging import Bureau, HappeningsCarrier, MailCarrier, SmsCarrier, Smtp
from storeroom.notices import NOTICES_FOLDER, NoticeFolder
from storeroom.room import Storeroom
from storeroom.sap import SapCustomers
from storeroom.settings import Mode, Settings

_log: Final = logging.getLogger(__name__)


def carriers(room: Storeroom, courier: Courier, settings: Settings) -> tuple[Carrier, ...]:
    """One for each destination of the queue that is ours to bring.

    Args:
        room: whose rows they are.
        courier: carries what goes over HTTP.
        settings: of the installation.
    """
    return (
        SapCustomers(lambda tenant_id: room.tenant(tenant_id).configuration),
        Purchases(room.db, room.tenants.cache),
        ErpCarrier(room.db, courier, keys=room.token_keys),
        *_notices(room, courier, settings),
    )


@asynccontextmanager
async def carrying(room: Storeroom, settings: Settings) -> AsyncIterator[tuple[Courier, tuple[Carrier, ...]]]:
    """The courier and the carriers, which close what they keep open when it ends."""
    async with Courier(allowed=settings.private_destinations) as courier:
        ours = carriers(room, courier, settings)
        try:
            yield courier, ours
        finally:
            for carrier in ours:
                if isinstance(carrier, MailCarrier):
                    await carrier.close()


def _notices(room: Storeroom, courier: Courier, settings: Settings) -> Iterable[Carrier]:
    bureau = Bureau(
        room.db,
        context_of=lambda tenant_id: room.tenant(tenant_id).context,
        keys=room.token_keys,
        configs=room.configs,
    )
    folder = NoticeFolder(settings.data_dir.absolute() / NOTICES_FOLDER)
    production = settings.mode is Mode.PRODUCTION
    for variable, given in (("STOREROOM_SMTP_URL", settings.smtp), ("STOREROOM_SMS_URL", settings.sms)):
        if production and given is None:
            _log.warning("%s is not set: nobody gets these messages, they are written to %s", variable, NOTICES_FOLDER)
    yield MailCarrier(bureau, folder, Smtp(settings.smtp) if settings.smtp else None, settings.mail_from)
    yield SmsCarrier(bureau, folder, courier, settings.sms)
    # Where mail goes nowhere in production, codes are still written down; a file for each order would fill the disk.
    yield HappeningsCarrier(room.db, bureau, enabled=settings.smtp is not None or not production)
