"""The ERP over HTTP, for staff. A credential comes in and never goes out."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.erp.errors import ErpEntityNotFound, ErpNotConnected, InvalidErpConnection, OutsideErpBoundary
from storeroom.erp.model import (
    AUTH_NAME_LENGTH_MAX,
    SECRET_LENGTH_MAX,
    TIMEOUT_DEFAULT_S,
    TIMEOUT_MAX_S,
    URL_LENGTH_MAX,
    ConnectionTest,
    ErpAuth,
    ErpConnection,
    ErpEntity,
    ErpStatus,
    Resync,
)
from storeroom.erp.service import Erp
from storeroom.identity import Permission, SigningSecretMissing
from storeroom.web import requires, says

_TAGS: Final = ["admin: erp"]
_WRITE: Final = [requires(Permission.ERP_WRITE)]


class AskedConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ERP is. Without a credential the one that is there stays, where address and authentication do."""

    base_url: Annotated[str, Meta(min_length=8, max_length=URL_LENGTH_MAX, examples=["https://erp.example/api"])]
    auth: ErpAuth = ErpAuth.NONE
    auth_name: Annotated[str, Meta(min_length=1, max_length=AUTH_NAME_LENGTH_MAX)] | None = None
    credential: Annotated[str, Meta(min_length=1, max_length=SECRET_LENGTH_MAX)] | None = None
    timeout_seconds: Annotated[int, Meta(ge=1, le=TIMEOUT_MAX_S)] = TIMEOUT_DEFAULT_S
    is_active: bool = True


class AskedResync(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to send once more: one, or all of a kind."""

    entity: ErpEntity
    entity_id: UUID | None = None  # null: all that the ERP has


@get("/v1/admin/erp", summary="How far the ERP is", tags=_TAGS, guards=_WRITE, responses=says())
async def erp_status(erp: NamedDependency[Erp]) -> ErpStatus:
    """Of each kind what was never sent, what waits, what was given up, and when the ERP last got one."""
    return await erp.status()


@get(
    "/v1/admin/erp/connection",
    summary="Where the ERP is",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ErpNotConnected),
)
async def erp_connection(erp: NamedDependency[Erp]) -> ErpConnection:
    """Of the credential it says only that it is set."""
    return await erp.connection()


@put(
    "/v1/admin/erp/connection",
    summary="Connect the ERP",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(InvalidErpConnection, SigningSecretMissing),
)
async def connect_erp(data: JSONBody[AskedConnection], erp: NamedDependency[Erp]) -> ErpConnection:
    """It gets everything that it has not got yet, and from then on what changes."""
    return await erp.connect(**msgspec.structs.asdict(data))


@delete(
    "/v1/admin/erp/connection",
    status_code=204,
    summary="Disconnect the ERP",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ErpNotConnected),
)
async def disconnect_erp(erp: NamedDependency[Erp]) -> None:
    """The ids under which it keeps things stay, so that it is sent no second of each when it comes back."""
    await erp.disconnect()


@get(
    "/v1/admin/erp/connection/test",
    summary="Call the ERP once",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ErpNotConnected, SigningSecretMissing),
)
async def check_erp(erp: NamedDependency[Erp]) -> ConnectionTest:
    """`GET` of its address, with the credential. Nothing is changed, here or there."""
    return await erp.test()


@post(
    "/v1/admin/erp/resync",
    status_code=200,
    summary="Send once more",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(ErpNotConnected, ErpEntityNotFound, OutsideErpBoundary),
)
async def resync_erp(data: JSONBody[AskedResync], erp: NamedDependency[Erp]) -> Resync:
    """As it is now. What the ERP has is changed there, and not made a second time."""
    if data.entity_id is None:
        return await erp.resync_all(entity=data.entity)
    return await erp.resync(entity=data.entity, entity_id=data.entity_id)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    erp_status,
    erp_connection,
    connect_erp,
    disconnect_erp,
    check_erp,
    resync_erp,
)
