"""Each POST that makes something takes an Idempotency-Key, and does its work once."""

from __future__ import annotations

import re
from importlib import import_module
from string import Formatter
from typing import Any

import httpx
import msgspec
import pytest
from test_every_route import CASES, Case
from works import Works

from factories import HOME
from storeroom.core.ids import OrderId
from storeroom.server.app import ROUTED

# Made by visitors and accounts; what staff make is in CASES.
OTHERS: dict[str, Case] = {
    "POST /v1/account/addresses": Case({"address": msgspec.to_builtins(HOME)}),
    "POST /v1/carts": Case({}),
    "POST /v1/carts/{cart_id}/items": Case({"variant_id": "{variant_id}", "quantity": 1}),
    "POST /v1/events": Case({"event_name": "page.view", "event_category": "page", "session_id": "visit-1"}),
    "POST /v1/orders/{number}/payments": Case({"method": "zelle"}),
}
# These take a key, and are sent twice where what they need is at hand.
ELSEWHERE = {
    "POST /v1/checkout": "keeps its key in its own transaction: tests/flows",
    "POST /v1/payments/{reference}/hosted-session": "needs a provider: tests/hosted",
}
# An answer under a key is kept for a day, and the request's digest with it. No secret may be in either.
KEPT_FROM = {
    "POST /v1/admin/api-keys": "the answer holds the key",
    "POST /v1/admin/nonces": "the answer is what lets one act; one more harms nobody",
    "POST /v1/admin/webhook-endpoints": "the answer holds the secret",
    "POST /v1/admin/webhook-sources": "the answer holds the secret",
    "POST /v1/admin/users": "the request may hold a password; a second one of the mail address is refused",
    "POST /v1/auth/guest": "the answer holds a token; a guest more harms nobody",
    "POST /v1/auth/nonce": "the answer is good once; one more harms nobody",
    "POST /v1/auth/register": "the request holds a password; a second one of the mail address is refused",
}


CREATING = {
    "POST " + re.sub(r":\w+}", "}", path)
    for room in ROUTED
    for handler in import_module(f"storeroom.{room}.routes").route_handlers
    for path in getattr(handler, "paths", ())
    if handler.http_methods == {"POST"} and handler.status_code == 201
}


@pytest.mark.requirement("CED-IDK-01", "CED-OP-046")
async def test_every_creating_route_takes_a_key_or_says_why_not(works: Works) -> None:
    keyed = set()
    for path, operations in (await works.http.get("/schema/openapi.json")).json()["paths"].items():
        parameters = operations.get("post", {}).get("parameters", ())
        if any(each["in"] == "header" and each["name"].lower() == "idempotency-key" for each in parameters):
            keyed.add(f"POST {path}")
    assert len(CREATING) > 25
    assert CREATING - keyed == KEPT_FROM.keys()
    assert (
        CREATING - KEPT_FROM.keys() == (CREATING & CASES.keys() - KEPT_FROM.keys()) | OTHERS.keys() | ELSEWHERE.keys()
    )


@pytest.mark.requirement("CED-IDK-01", "CED-OP-046", "CED-OP-047")
@pytest.mark.parametrize("name", sorted(CREATING - KEPT_FROM.keys() - ELSEWHERE.keys()))
async def test_sent_twice_it_is_done_once(works: Works, name: str) -> None:
    case, template = CASES.get(name) or OTHERS[name], name.removeprefix("POST ")
    if case.before is not None:
        await case.before(works)
    known = {field: await id_of(works, field) for _, field, _, _ in Formatter().parse(template) if field}
    body = case.body
    if isinstance(body, dict):
        body = {
            key: str(await id_of(works, value[1:-1])) if isinstance(value, str) and value[:1] == "{" else value
            for key, value in body.items()
        }

    async def send(changed: Any = None) -> httpx.Response:
        key = {"Idempotency-Key": "the same key, sent again"}
        return await works.http.post(template.format(**known), json=changed or body, headers=key)

    first = await send()
    assert first.status_code == 201, first.text
    before = await rows(works)
    second = await send()
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Idempotency-Replay"] == "true"
    assert "Idempotency-Replay" not in first.headers
    assert await rows(works) == before, "nothing was written"
    other = await send({"another": "request"})
    assert other.status_code in (400, 422), "another request under the key is refused"
    assert await rows(works) == before


async def id_of(works: Works, name: str) -> Any:
    if name == "cart_id":
        return (await works.http.post("/v1/carts", json={})).json()["id"]
    if name == "number":
        order = await works.shop.orders.get(order_id=OrderId(await works.id_of("order_id")))
        await works.shop.payments.cancel(payment_id=await works.id_of("payment_id"))
        return order.number if hasattr(order, "number") else order.order_number
    return await works.id_of(name)


async def rows(works: Works) -> dict[str, int]:
    """How many rows the shop has in each table; what limits and trails write is their own."""
    db = works.shop.context.db
    tables = await db.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attname = 'tenant_id' ORDER BY 1"
    )
    counted = " UNION ALL ".join(
        f"SELECT '{row['name']}', count(*) FROM {row['name']} WHERE tenant_id = $1"
        for row in tables
        if not db.names.original(row["name"]).startswith(("rate_counters", "audit_", "tenant_hosts"))
    )
    return {row[0]: row[1] for row in await db.fetch(counted, works.shop.tenant_id)}
