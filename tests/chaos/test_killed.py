"""A killed server loses nothing that it promised, and a killed database neither."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from counter import HOME
from market import Market
from process import ServerProcess
from storeroom.core.ids import VariantId
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.pool import Database
from storeroom.doctor import examine
from storeroom.settings import DATABASE_NAME, Settings

BUYERS = 12
ORDERS_BEFORE_THE_KILL = 120
DEADLINE_S = 120.0
ADDRESS = {
    name: getattr(HOME, name) for name in ("recipient_name", "street_line_1", "city", "state_province", "postal_code")
}


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    folder = Path(tempfile.mkdtemp(prefix="storeroom-chaos-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    process = ServerProcess(folder)
    process.start()
    yield process
    process.stop()
    shutil.rmtree(folder)


@dataclass
class Stream:
    """Buyers who order one after the other, and what they were promised."""

    url: str
    sku: str
    asked: dict[str, dict[str, object]] = field(default_factory=dict)  # by idempotency key
    promised: dict[str, str] = field(default_factory=dict)  # key -> order number
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def buyer(self, *, with_cart: bool) -> None:
        """Order until somebody says stop; whatever got no answer is left as it is."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as http:
            while not self.stopped.is_set():
                try:
                    await self.one(http, with_cart=with_cart)
                except httpx.TransportError:
                    await asyncio.sleep(0.02)

    async def one(self, http: httpx.AsyncClient, *, with_cart: bool) -> None:
        body: dict[str, object] = {"email": "ann@example.com", "name": "Ann", "shipping_address": ADDRESS}
        if with_cart:
            http.cookies.clear()
            cart = await http.post("/v1/carts")
            if cart.status_code != 201:
                return
            body["cart_id"] = cart.json()["id"]
            await http.post(f"/v1/carts/{body['cart_id']}/items", json={"sku": self.sku, "quantity": 1})
            await http.post(f"/v1/carts/{body['cart_id']}/reserve")
        else:
            body["lines"] = [{"sku": self.sku, "quantity": 1}]
        key = str(uuid4())
        if not with_cart:
            self.asked[key] = body  # can be asked again by anyone
        answer = await http.post("/v1/checkout", json=body, headers={"Idempotency-Key": key})
        if answer.status_code == 201:
            self.promised[key] = answer.json()["order"]["number"]

    async def ask_again(self) -> None:
        """Whoever got no answer asks again under the same key, until there is one."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as http:
            for key, body in self.asked.items():
                async with asyncio.timeout(DEADLINE_S):
                    while True:
                        try:
                            answer = await http.post("/v1/checkout", json=body, headers={"Idempotency-Key": key})
                        except httpx.TransportError:
                            answer = None
                        if answer is not None and answer.status_code == 201:
                            break
                        await asyncio.sleep(0.05)
                number = answer.json()["order"]["number"]
                assert self.promised.setdefault(key, number) == number


async def shop_of(server: ServerProcess) -> tuple[EmbeddedPostgres, Database, Market, VariantId]:
    """A lease of the server's PostgreSQL, and something to sell in the tenant `default`."""
    postgres = EmbeddedPostgres(Settings.from_environment(server.env).postgres_dir)
    postgres.start()
    db = await Database.open(postgres.dsn(DATABASE_NAME))
    market = await Market.open(db, tenant_id="default")
    variant = await market.variant(stock=0, sku="HOT")
    await market.inventory.adjust(variant_id=variant, by=100_000, reason="delivery")
    return postgres, db, market, variant


async def settle(stream: Stream, market: Market, db: Database, variant: VariantId) -> None:
    """Everything that was promised is there, once; nothing else holds a unit."""
    await stream.ask_again()
    numbers = [row[0] for row in await market.rows("SELECT order_number FROM {orders} WHERE tenant_id = $1")]
    assert len(numbers) == len(set(numbers))
    assert set(stream.promised.values()) <= set(numbers)
    assert len(stream.promised.values()) == len(set(stream.promised.values()))
    direct = await market.one("SELECT count(*) FROM {orders} WHERE tenant_id = $1 AND source_cart_id IS NULL")
    assert direct == len(stream.asked)
    held = await market.one(
        "SELECT coalesce(sum(quantity), 0) FROM {inventory_reservations} WHERE tenant_id = $1 AND status = 'active'"
    )
    assert await market.stock(variant) == (100_000, len(numbers) + held)
    broken = [(result.name, result.findings) for result in await examine(db) if result.broken]
    assert broken == []


async def stream_until(stream: Stream, enough: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(stream.buyer(with_cart=place % 3 == 0)) for place in range(BUYERS)]
    async with asyncio.timeout(DEADLINE_S):
        while len(stream.promised) < enough:
            await asyncio.sleep(0.01)
    return tasks


@pytest.mark.timeout(480)
async def test_a_server_killed_in_the_middle_of_its_checkouts_keeps_every_order(server: ServerProcess) -> None:
    postgres, db, market, variant = await shop_of(server)
    try:
        stream = Stream(server.url, "HOT")
        tasks = await stream_until(stream, ORDERS_BEFORE_THE_KILL)
        server.kill()
        promised = len(stream.promised)
        server.start()
        async with asyncio.timeout(DEADLINE_S):
            while len(stream.promised) < promised + ORDERS_BEFORE_THE_KILL:
                await asyncio.sleep(0.01)
        stream.stopped.set()
        await asyncio.gather(*tasks)
        await settle(stream, market, db, variant)
    finally:
        await db.close()
        postgres.stop()


@pytest.mark.timeout(480)
async def test_a_database_killed_in_the_middle_of_its_commits_keeps_every_order(server: ServerProcess) -> None:
    postgres, db, market, variant = await shop_of(server)
    try:
        stream = Stream(server.url, "HOT")
        tasks = await stream_until(stream, ORDERS_BEFORE_THE_KILL)
        postmaster = int((postgres.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(postmaster, signal.SIGKILL)
        promised = len(stream.promised)
        async with asyncio.timeout(DEADLINE_S):  # the server brings it back by itself
            while len(stream.promised) < promised + ORDERS_BEFORE_THE_KILL:
                await asyncio.sleep(0.01)
        stream.stopped.set()
        await asyncio.gather(*tasks)
        await settle(stream, market, db, variant)
    finally:
        await db.close()
        postgres.stop()
