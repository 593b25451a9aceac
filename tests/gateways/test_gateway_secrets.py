"""A gateway's secret goes in and never comes out: searched for in everything that was written."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from storeroom.core.secrets import Secret
from storeroom.database.pool import Database
from storeroom.room import Shop

HIDDEN = "zebra-crossing-4711"  # of all secrets that these tests send
START = HIDDEN[:10]  # long enough to be in no seal by chance
KEY = {"Idempotency-Key": "gateways-1"}


async def every_row(database: Database, tenant_id: str) -> str:
    """All that the tables hold of a tenant: audit, outbox, events and kept answers among it."""
    tables = await database.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attname = 'tenant_id'"
    )
    rows = []
    for (table,) in tables:
        found = await database.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t WHERE tenant_id = $1", tenant_id)
        rows += [f"{table}: {row['row']}" for row in found]
    return "\n".join(rows)


async def kept_answers(database: Database, tenant_id: str) -> str:
    rows = await database.fetch("SELECT * FROM idempotency_keys WHERE tenant_id = $1", tenant_id)
    return "\n".join(
        (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)) for row in rows for value in row
    )


@pytest.mark.requirement("STO-GW-02", "STO-CFG-07")
async def test_a_secret_is_nowhere_but_sealed(
    house: Shop, http: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[httpx.Response] = []

    async def send(method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        answers.append(await http.request(method, f"/v1/admin/gateways{path}", json=body, headers=headers))
        return answers[-1]

    new = {"id": "sslcommerz", "name": "SSLCommerz", "config": {"store_id": "visible-1", "store_passwd": HIDDEN}}
    made = await send("POST", "", new, **KEY)
    assert made.status_code == 201, made.text
    assert made.json()["config"] == {"store_id": "visible-1", "store_passwd": {"set": True}}
    again = await send("POST", "", new, **KEY)
    assert again.content == made.content
    # Everything that can be refused, with the secret in it.
    for body in (
        new,
        {**new, "id": "no slug"},
        {**new, "id": "second", "config": {"test_endpoint": f"https://{HIDDEN}@sandbox.example"}},
        {**new, "id": "second", "config": {"api_key": [HIDDEN]}},
        {**new, "id": "second", "config": {"api_key": HIDDEN * 300}},
        {**new, "id": "second", "config": {"Api Key": HIDDEN}},
        {**new, "id": "second", "config": {"mode": {"password": HIDDEN}}},
        {**new, "id": "stripe", "config": {"secret_key": f"sk_live_{HIDDEN}"}},
        {**new, "config": HIDDEN},
        {**new, "unknown": HIDDEN},
    ):
        assert (await send("POST", "", body)).is_client_error
    assert (await send("PATCH", "/sslcommerz", {"config": {"store_passwd": f"{HIDDEN}-2", "salt": HIDDEN}})).is_success
    assert (await send("PATCH", "/sslcommerz", {"config": {"store_passwd": {"pass": HIDDEN}}})).is_client_error
    assert (await send("PATCH", "/nobody", {"config": {"store_passwd": HIDDEN}})).status_code == 404
    for method, path in (
        ("POST", "/sslcommerz/activate"),
        ("GET", "/sslcommerz"),
        ("GET", ""),
        ("POST", "/x/activate"),
    ):
        await send(method, path)

    config = await house.gateways.config(gateway_id="sslcommerz")
    assert config.secret("store_passwd") == Secret(f"{HIDDEN}-2")  # it is there, so there is something to find
    written = await every_row(database, house.tenant_id)
    assert "visible-1" in written and "gateways.update" in written and "gateways.invalid" in written
    for where, text in (
        ("rows", written),
        ("kept answers", await kept_answers(database, house.tenant_id)),
        ("log", caplog.text),
        ("answers", "\n".join(f"{answer.headers} {answer.text}" for answer in answers)),
    ):
        assert START not in text, f"{where}: {text[max(0, text.index(START) - 300) :][:400]}"
    assert "visible-1" in await kept_answers(database, house.tenant_id)


async def test_control_a_field_that_is_no_secret_is_found(
    house: Shop, http: httpx.AsyncClient, database: Database
) -> None:
    """The search finds what is there to be found."""
    made = await http.post(
        "/v1/admin/gateways", json={"id": "cod", "name": "Cash", "config": {"note": HIDDEN}}, headers=KEY
    )
    assert made.is_success
    assert HIDDEN in made.text
    assert HIDDEN in await every_row(database, house.tenant_id)
    assert HIDDEN in await kept_answers(database, house.tenant_id)


async def test_the_trail_names_the_fields_that_were_given(house: Shop, http: httpx.AsyncClient) -> None:
    await http.post(
        "/v1/admin/gateways", json={"id": "cod", "name": "Cash", "config": {"api_key": HIDDEN, "note": "n"}}
    )
    (entry,) = (await house.audit.list()).items[:1]
    assert entry.action == "gateways.create"
    assert entry.new_values is not None and entry.new_values["config"] == ["api_key", "note"]
