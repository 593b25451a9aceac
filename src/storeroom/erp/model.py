"""What an ERP is to the shop: where it is, what it is sent, what it answers, and how far the two agree."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.ids import TenantId
from storeroom.database.sealed import SealedCount

__all__ = ["SealedCount", "TenantId"]

TIMEOUT_DEFAULT_S: Final = 15
TIMEOUT_MAX_S: Final = 30
URL_LENGTH_MAX: Final = 2000
AUTH_NAME_LENGTH_MAX: Final = 100
SECRET_LENGTH_MAX: Final = 2000
ERP_ID_LENGTH_MAX: Final = 50
ANSWER_BYTES_MAX: Final = 256 * 1024  # of an answer
ERROR_LENGTH_MAX: Final = 500
COUNTED_MAX: Final = 100_000  # rows of one kind; a longer backlog is said to be this long
BACKLOG_MAX: Final = 5_000  # rows that wait for the ERP; the sweep adds none beyond
RESYNC_MAX: Final = 10_000  # in one call
WANTED_KEPT: Final = timedelta(seconds=5)  # that a shop has a connection
IN_FLIGHT_MAX: Final = 4


class ErpEntity(StrEnum):
    """What the ERP keeps as well."""

    USER = "user"  # Customer Master
    PRODUCT = "product"  # Item Master
    ORDER = "order"  # Sales Order
    PAYMENT = "payment"  # Payment/Receipt
    REFUND = "refund"  # Credit Memo


class ErpAuth(StrEnum):
    """How we say who we are."""

    NONE = "none"
    BEARER = "bearer"  # Authorization: Bearer …
    BASIC = "basic"  # a name and a password
    HEADER = "header"  # a header of the ERP's own


class ErpConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ERP is. Of the credential it says only that it is set."""

    code: str
    kind: str
    base_url: str
    auth: ErpAuth
    auth_name: str | None  # the user of basic, the header of header
    has_credential: bool
    timeout_seconds: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as it is kept; the credential is sealed. Never leaves this room."""

    code: str
    kind: str
    base_url: str
    auth: ErpAuth
    auth_name: str | None
    credential: str | None
    timeout_seconds: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class SealedConnection(msgspec.Struct, frozen=True):
    """The credential of a connection, for a rotation of keys."""

    tenant_id: str
    code: str
    credential: str


class Need(msgspec.Struct, frozen=True):
    """What the ERP has to know first."""

    entity: ErpEntity
    id: UUID


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One entity as it is now, and what is to be done with it."""

    erp_id: str | None  # the ERP knows it
    synced: bool  # and nobody wants it sent once more
    refusal: str | None  # why it is not sent
    data: dict[str, Any]
    currency: str | None
    lines: list[UUID]  # of an order, in the order in which they are sent
    needs: list[Need]


class ErpMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the ERP is told of one entity: all of it, as it is now."""

    tenant_id: str
    entity: str  # as the ERP calls it, as in 'Sales Order'
    path: str  # the same in an address, as in 'sales-order'
    id: UUID  # ours
    erp_id: str | None  # None: the ERP does not know it yet
    key: str  # the same for one entity for ever: by it the ERP knows a repeat
    currency: str | None
    digits: int | None  # after the point; amounts are whole numbers of the smallest unit
    lines: int  # how many; of each the ERP gives an id
    data: dict[str, Any]


class ErpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Under which ids the ERP keeps it."""

    id: str
    line_ids: list[str] = []  # of the lines, in the order in which they were sent; none: as they were


class ConnectionTest(msgspec.Struct, frozen=True, kw_only=True):
    """What came of calling the ERP."""

    ok: bool
    duration_ms: int
    response_status: int | None
    error: str | None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of entity, as its table says."""

    unsynced: int
    oldest: datetime | None
    to_resync: int
    last_synced_at: datetime | None


class QueueStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of entity, as the queue says."""

    entity: str
    waiting: int
    dead: int


class ErpEntityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ERP has one kind of entity."""

    entity: ErpEntity
    sent_as: str
    unsynced: int  # never sent, COUNTED_MAX at most
    oldest: datetime | None  # of those: when it was made
    to_resync: int  # to be sent once more
    waiting: int  # rows in the queue
    dead_letters: int  # given up; for staff to look at
    last_synced_at: datetime | None


class ErpStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ERP has what it should."""

    connection: ErpConnection | None
    entities: list[ErpEntityStatus]


class Resync(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent once more."""

    entity: ErpEntity
    reset: int
    more: bool  # there are some that this call did not come to; call again
