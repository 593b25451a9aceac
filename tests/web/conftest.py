"""The small application, its tenant and its client."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from small_app import TestGate, application, client_of

from storeroom.database.pool import Database
from storeroom.tenants import Tenants


@pytest.fixture
async def tenant(database: Database) -> str:
    tenant_id = f"t_{uuid.uuid4().hex}"
    await Tenants(database).create(tenant_id, name="Test", currency="USD")
    return tenant_id


@pytest.fixture
def gate(database: Database, tenant: str) -> TestGate:
    return TestGate(database, tenant)


@pytest.fixture
async def http(gate: TestGate) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(gate)) as client:
        yield client
