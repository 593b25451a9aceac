# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import TenantId
from storeroom.database.executor import Executor
from storeroom.database.sealed import SealedCount
from storeroom.integration.model import (
    Attempt,
    Claimed,
    Destination,
    Endpoint,
    EndpointKeys,
    OpenDestination,
    QueueAge,
    QueueDepth,
    SealedEndpoint,
    Webhook,
)

async def enqueue(
    db: Executor,
    /,
    *,
    tenant_id: str,
    webhook_id: UUID,
    destination: str,
    url: str,
    event_type: str,
    payload: Any,
    headers: Any,
    max_attempts: int,
    entity_type: str | None,
    entity_id: UUID | None,
    next_attempt_at: datetime | None,
) -> int: ...
async def fan_out(
    db: Executor, /, *, tenant_id: str, destinations: Sequence[str], event_types: Sequence[str], size: int
) -> int: ...
async def tenants_with_events(db: Executor, /, *, size: int) -> list[TenantId]: ...
async def due_destinations(
    db: Executor, /, *, after_tenant: str | None = None, after_destination: str | None, size: int
) -> list[Destination]: ...
async def claim(
    db: Executor, /, *, tenant_id: str, destination: str, claim: UUID, lease: timedelta, size: int
) -> list[Claimed]: ...
async def claim_in_order(
    db: Executor, /, *, tenant_id: str, destination: str, claim: UUID, lease: timedelta, size: int
) -> list[Claimed]: ...
async def settle(
    db: Executor,
    /,
    *,
    tenant_id: str,
    claim: UUID,
    ids: Sequence[UUID],
    delivered: Sequence[bool],
    final: Sequence[bool],
    errors: Sequence[str],
    statuses: Sequence[int],
    bodies: Sequence[str],
    durations: Sequence[int],
    again_in: Sequence[timedelta],
) -> int: ...
async def held(db: Executor, /, *, tenant_id: str, webhook_id: UUID, claim: UUID) -> int | None: ...
async def put_off(db: Executor, /, *, tenant_id: str, webhook_id: UUID, next_attempt_at: datetime) -> int: ...
async def mark_processing(
    db: Executor, /, *, tenant_id: str, webhook_id: UUID, claim: UUID, lease: timedelta
) -> Claimed | None: ...
async def webhook(db: Executor, /, *, tenant_id: str, webhook_id: UUID) -> Webhook | None: ...
async def webhooks_listed(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: UUID | None, size: int
) -> list[Webhook]: ...
async def webhooks_of_status(
    db: Executor,
    /,
    *,
    tenant_id: str,
    status: str,
    before_at: datetime | None = None,
    before_id: UUID | None,
    size: int,
) -> list[Webhook]: ...
async def webhooks_of(
    db: Executor, /, *, tenant_id: str, entity_type: str, entity_id: UUID, size: int
) -> list[Webhook]: ...
async def attempts_of(db: Executor, /, *, tenant_id: str, webhook_id: UUID, size: int) -> list[Attempt]: ...
async def retry(db: Executor, /, *, tenant_id: str, webhook_id: UUID) -> int: ...
async def delete(db: Executor, /, *, tenant_id: str, webhook_id: UUID) -> int: ...
async def tenants_with_lost_leases(db: Executor, /, *, size: int) -> list[TenantId]: ...
async def return_lost(db: Executor, /, *, tenant_id: str, webhook_id: UUID | None = None, size: int) -> int: ...
async def tenants_set_back(db: Executor, /, *, size: int) -> list[TenantId]: ...
async def catch_up(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
async def release(db: Executor, /, *, tenant_id: str, claim: UUID) -> int: ...
async def tenants_with_old(db: Executor, /, *, before: datetime, size: int) -> list[TenantId]: ...
async def purge(db: Executor, /, *, tenant_id: str, before: datetime, size: int) -> int: ...
async def depths(db: Executor, /, *, tenant_id: str) -> list[QueueDepth]: ...
async def depths_of_all(db: Executor, /) -> list[QueueAge]: ...
async def insert_endpoint(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    name: str,
    url: str,
    event_types: Sequence[str] | None,
    secret: str,
    max_attempts: int,
    timeout_seconds: int,
    in_flight_max: int,
    keeps_order: bool,
    is_active: bool,
) -> int: ...
async def endpoint(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> Endpoint | None: ...
async def lock_endpoint(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> Endpoint | None: ...
async def lock_against_rows(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> UUID | None: ...
async def endpoints(db: Executor, /, *, tenant_id: str, size: int) -> list[Endpoint]: ...
async def update_endpoint(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    name: str,
    url: str,
    event_types: Sequence[str] | None,
    max_attempts: int,
    timeout_seconds: int,
    in_flight_max: int,
    keeps_order: bool,
    is_active: bool,
) -> int: ...
async def change_secret(db: Executor, /, *, tenant_id: str, endpoint_id: UUID, secret: str) -> int: ...
async def drop_previous_secret(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> int: ...
async def cancel_queued(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> int: ...
async def delete_endpoint(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> int: ...
async def endpoint_keys(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> EndpointKeys | None: ...
async def endpoint_answered(db: Executor, /, *, tenant_id: str, endpoint_id: UUID) -> int: ...
async def endpoint_failed(db: Executor, /, *, tenant_id: str, endpoint_id: UUID, failures: int) -> int | None: ...
async def pause_endpoint(db: Executor, /, *, tenant_id: str, endpoint_id: UUID, pause: timedelta) -> int: ...
async def open_destinations(
    db: Executor, /, *, tenant_id: str, destination: str | None = None, size: int
) -> list[OpenDestination]: ...
async def sealed_endpoints(
    db: Executor, /, *, after_tenant: str, after_id: UUID, size: int
) -> list[SealedEndpoint]: ...
async def reseal_endpoint(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    known: str,
    known_previous: str | None,
    secret: str,
    previous_secret: str | None,
) -> int: ...
async def endpoint_seals(db: Executor, /) -> list[SealedCount]: ...
