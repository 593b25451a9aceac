"""Who may call a route: `guards=[requires("orders.write")]`."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from storeroom.web.context import Principal, PrincipalKind, call_of
from storeroom.web.errors import PermissionMissing, SignInRequired, StaffOnly

Connection = ASGIConnection[Any, Any, Any, State]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]

PERMISSIONS: Final = "permissions"  # the attribute of a guard that says what it asks for; for tests and documentation


async def requires_account(connection: Connection, _: BaseRouteHandler) -> None:
    """Only who is signed in; a key is nobody's account."""
    await _account(connection)


async def requires_staff(connection: Connection, _: BaseRouteHandler) -> None:
    """Only staff, whatever their permissions."""
    await _staff(connection)


def requires(*permissions: str) -> Guard:
    """Only staff and keys who have all of these; admins have every one."""

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        principal = await _staff(connection)
        for permission in permissions:
            if not principal.may(permission):
                raise PermissionMissing(permission=str(permission))

    setattr(guard, PERMISSIONS, tuple(map(str, permissions)))
    return guard


async def _account(connection: Connection) -> Principal:
    principal = await call_of(connection.scope).principal()
    if principal.kind is not PrincipalKind.ACCOUNT:
        raise SignInRequired
    return principal


async def _staff(connection: Connection) -> Principal:
    """A key counts as staff with a list of permissions."""
    principal = await call_of(connection.scope).principal()
    if principal.kind not in (PrincipalKind.ACCOUNT, PrincipalKind.KEY):
        raise SignInRequired
    if not principal.staff:
        raise StaffOnly
    return principal
