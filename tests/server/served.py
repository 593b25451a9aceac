"""The whole application over an open room, and ways to have something in its shop."""

from dataclasses import dataclass
from typing import Any

import httpx
from litestar import Litestar

from factories import own_text
from market import Market
from storeroom.room import Storeroom

SECRET = "a secret of the tests, long enough to sign with"
ADDRESS = {
    "recipient_name": "Ada Lovelace",
    "street_line_1": "12 Example St",
    "city": "Austin",
    "state_province": "TX",
    "postal_code": "78701",
    "country_code": "US",
}


@dataclass
class Place:
    """A shop at a host of its own, and its client."""

    room: Storeroom
    app: Litestar
    market: Market
    host: str
    http: httpx.AsyncClient

    async def sku(self, **options: Any) -> str:
        """Something to buy."""
        sku = f"SKU-{own_text()}"
        await self.market.variant(sku=sku, **options)
        return sku

    async def order(self, sku: str, quantity: int = 1, **changes: Any) -> dict[str, Any]:
        """What a checkout sends."""
        return {
            "lines": [{"sku": sku, "quantity": quantity}],
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "shipping_address": ADDRESS,
            **changes,
        }

    async def count(self, table: str) -> int:
        return int(await self.market.one(f"SELECT count(*) FROM {{{table}}} WHERE tenant_id = $1"))


def client_of(app: Litestar, host: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")
