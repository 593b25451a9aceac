"""The reference for the product list: Starlette, asyncpg and msgspec doing the bare query, under the server's settings.

    python -m bench.reference_products DSN PORT

No shops by host, no rate limit, no metrics, no logs, no request ids, no problem bodies: the least that answers the
same products.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.ground import TENANT
from storeroom.catalog import queries
from storeroom.database.names import TableNames
from storeroom.database.pool import POOL_SIZE_MAX
from storeroom.server.serve import BACKLOG

LIMIT_MAX = 100


class _Statement:
    """Stands where the executor stands, to learn the text of the statement that the shop sends."""

    names = TableNames()

    def __init__(self) -> None:
        self.sql = ""
        self.arguments: tuple[object, ...] = ()

    async def fetch(self, sql: str, /, *arguments: object) -> list[Any]:
        self.sql, self.arguments = sql, arguments
        return []


async def statement_of(limit: int) -> tuple[str, tuple[object, ...]]:
    """The statement of the list, with its arguments, as `shop.products.list` sends it."""
    seen = _Statement()
    await queries.product_summaries(seen, tenant_id=TENANT, limit=limit, status="active")  # type: ignore[arg-type]
    return seen.sql, seen.arguments


def create_app(dsn: str) -> Starlette:
    """One route."""
    held: list[asyncpg.Pool] = []
    statements: dict[int, tuple[str, tuple[object, ...]]] = {}

    async def init(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            format="binary",
            encoder=lambda value: b"\x01" + msgspec.json.encode(value),
            decoder=lambda value: msgspec.json.decode(value[1:]),
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=POOL_SIZE_MAX, init=init) as pool:
            held.append(pool)
            yield

    encode = msgspec.json.Encoder().encode

    async def products(request: Request) -> Response:
        limit = min(max(int(request.query_params.get("limit", 24)), 1), LIMIT_MAX)
        if limit not in statements:
            statements[limit] = await statement_of(limit + 1)
        sql, arguments = statements[limit]
        rows = await held[0].fetch(sql, *arguments)
        items = []
        for row in rows[:limit]:
            item = dict(row)
            currency = item.pop("currency")
            item["price"] = {"amount": item["price"], "currency": currency}
            items.append(item)
        cursor = str(rows[limit - 1]["id"]) if len(rows) > limit else None
        return Response(encode({"items": items, "next_cursor": cursor}), media_type="application/json")

    return Starlette(routes=[Route("/v1/products", products)], lifespan=lifespan)


async def main(dsn: str, port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server(
        create_app(dsn),
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    await stop.wait()
    server.stop()  # type: ignore[no-untyped-call]
    await serving


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
