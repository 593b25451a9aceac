"""Batches over HTTP, for staff."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from storeroom.catalog.batches import NEAR_EXPIRY_MAX, Batches
from storeroom.catalog.drafts import BatchDraft
from storeroom.catalog.errors import BatchExpired, BatchNotFound, BatchNumberTaken, InvalidBatch, ProductNotFound
from storeroom.catalog.model import Batch
from storeroom.core.ids import BatchId, ProductId
from storeroom.identity import Permission
from storeroom.web import IDEMPOTENT, requires, says

DaysParameter = Annotated[
    int, QueryParameter(description="Batches whose last day is within so many days.", ge=0, le=NEAR_EXPIRY_MAX.days)
]


class StaffBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch with its certificate."""

    id: UUID
    product_id: UUID
    batch_number: str
    quantity_produced: int
    quantity_remaining: int
    coa_file_url: str
    coa_verified: bool
    coa_verified_by: UUID | None
    coa_verified_at: datetime | None
    manufactured_at: date
    expires_at: date
    is_active: bool
    created_at: datetime
    updated_at: datetime


class StaffBatches(msgspec.Struct, frozen=True):
    """Batches of a product, or those that expire soon."""

    items: list[StaffBatch]


@get(
    "/v1/admin/products/{product_id:uuid}/batches",
    summary="The batches of a product",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(),
)
async def list_batches(product_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatches:
    """First the one that expires last."""
    return StaffBatches([_batch(batch) for batch in await batches.list(product_id=ProductId(product_id))])


@post(
    "/v1/admin/products/{product_id:uuid}/batches",
    summary="Record a batch",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    opt=IDEMPOTENT,
    responses=says(InvalidBatch, ProductNotFound, BatchNumberTaken),
)
async def create_batch(
    product_id: FromPath[UUID], data: JSONBody[BatchDraft], batches: NamedDependency[Batches]
) -> StaffBatch:
    """With its certificate. Nothing is shipped from it before it is verified."""
    return _batch(await batches.create(product_id=ProductId(product_id), **msgspec.structs.asdict(data)))


@get(
    "/v1/admin/batches/expiring",
    summary="Batches that expire soon",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(),
)
async def list_expiring_batches(batches: NamedDependency[Batches], days: DaysParameter = 30) -> StaffBatches:
    """Active ones, the first to expire first."""
    return StaffBatches([_batch(batch) for batch in await batches.near_expiry(within=timedelta(days=days))])


@post(
    "/v1/admin/batches/{batch_id:uuid}/verify",
    status_code=200,
    summary="Say that the certificate was looked at",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(BatchNotFound),
)
async def verify_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """The first one who did stays recorded."""
    return _batch(await batches.verify(batch_id=BatchId(batch_id)))


@post(
    "/v1/admin/batches/{batch_id:uuid}/activate",
    status_code=200,
    summary="Use a batch again",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(BatchNotFound, BatchExpired),
)
async def activate_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """Not after its last day."""
    return _batch(await batches.activate(batch_id=BatchId(batch_id)))


@post(
    "/v1/admin/batches/{batch_id:uuid}/deactivate",
    status_code=200,
    summary="Ship nothing from a batch any more",
    tags=["admin"],
    guards=[requires(Permission.CATALOG_WRITE)],
    responses=says(BatchNotFound),
)
async def deactivate_batch(batch_id: FromPath[UUID], batches: NamedDependency[Batches]) -> StaffBatch:
    """A recall, or used up."""
    return _batch(await batches.deactivate(batch_id=BatchId(batch_id)))


def _batch(batch: Batch) -> StaffBatch:
    return msgspec.convert(batch, StaffBatch, from_attributes=True)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_batches,
    create_batch,
    list_expiring_batches,
    verify_batch,
    activate_batch,
    deactivate_batch,
)
