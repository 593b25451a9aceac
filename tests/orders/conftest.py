"""A fresh tenant's order desk, and one of another tenant."""

import secrets

import pytest

from desk import STAFF, Desk
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, Context
from storeroom.tenants import Tenants


async def open_desk(database: Database, actor: Actor) -> Desk:
    tenants = Tenants(database)
    tenant_id = f"t_{secrets.token_hex(6)}"
    await tenants.create(tenant_id, name="A shop", currency="USD")
    context = Context(
        db=database, tenant_id=TenantId(tenant_id), tenants=tenants.cache, actor=actor, request_id="request-1"
    )
    return Desk(database, tenant_id, context)


@pytest.fixture
async def desk(database: Database) -> Desk:
    """A fresh tenant in USD, seen by staff."""
    return await open_desk(database, STAFF)


@pytest.fixture
async def other(database: Database) -> Desk:
    """Another tenant."""
    return await open_desk(database, SYSTEM)
