"""The catalogue of a fresh tenant."""

import secrets
from collections.abc import Callable

import msgspec
import pytest

from storeroom.catalog import Batches, Categories, Products
from storeroom.core.clock import FixedClock
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import Context
from storeroom.tenants import Tenants


@pytest.fixture
async def context(database: Database) -> Context:
    return await fresh_tenant(database)


async def fresh_tenant(database: Database, **settings: str) -> Context:
    tenants = Tenants(database)
    tenant_id = TenantId(f"t_{secrets.token_hex(6)}")
    await tenants.create(tenant_id, name="Test", currency="USD", **settings)
    return Context(db=database, tenant_id=tenant_id, tenants=tenants.cache)


@pytest.fixture
async def stranger(database: Database) -> Products:
    """The products of another tenant."""
    return Products(await fresh_tenant(database))


@pytest.fixture
def products(context: Context) -> Products:
    return Products(context)


@pytest.fixture
def categories(context: Context) -> Categories:
    return Categories(context)


@pytest.fixture
def batches(context: Context) -> Batches:
    return Batches(context)


@pytest.fixture
def at(context: Context) -> Callable[[FixedClock], Context]:
    """The same tenant by another clock."""
    return lambda clock: msgspec.structs.replace(context, clock=clock)
