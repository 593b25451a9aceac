"""Who tried what they have no right to: an entry in the audit trail for staff and keys that were turned away."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from litestar.types import Scope

from storeroom.audit import record
from storeroom.room import Storeroom
from storeroom.server.gate import shop_of
from storeroom.web.errors import PermissionMissing

_log: Final = logging.getLogger(__name__)


def denials(room: Storeroom) -> Callable[[Exception, Scope], Awaitable[None]]:
    """A hook that records a missing permission; whoever is no staff at all has nothing to be recorded for."""

    async def tell(error: Exception, scope: Scope) -> None:
        if not isinstance(error, PermissionMissing):
            return
        try:
            context = (await shop_of(scope, room)).context
            await record(
                context.db,
                context,
                action="rights.denied",
                resource_type="route",
                new_values={"permission": error.permission, "method": scope.get("method"), "path": scope["path"]},
                error_message=f"{error.code}: {error}",
            )
        except Exception:  # noqa: BLE001 - the caller is refused either way
            _log.exception("a denial could not be recorded")

    return tell
