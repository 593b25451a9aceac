"""Customers over HTTP: staff who may read accounts see them, nobody else does."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from factories import HOME, make_product, open_shop, place
from serving import app_of
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, Proof, UserRole, UserStatus
from storeroom.room import Shop, Storeroom

PATH = "/v1/admin/customers"


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    return await open_shop(room, actor=SYSTEM)


@pytest.fixture
async def http(room: Storeroom, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    host = f"{secrets.token_hex(8)}.test"
    await room.tenants.add_host(shop.tenant_id, host)
    transport = httpx.ASGITransport(app_of(room), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client


async def token(shop: Shop, role: UserRole, *permissions: Permission) -> dict[str, str]:
    user = await shop.users.create(email=f"{secrets.token_hex(6)}@shop.example", role=role, permissions=permissions)
    if user.status is not UserStatus.ACTIVE:
        await shop.users.set_status(user_id=user.id, status=UserStatus.ACTIVE)
    signed_in = await shop.sessions.start(proof=Proof(user_id=user.id))
    return {"Authorization": f"Bearer {signed_in.access_token}"}


async def test_staff_who_may_read_accounts_and_orders_see_what_they_bought(shop: Shop, http: httpx.AsyncClient) -> None:
    staff = await token(shop, UserRole.STAFF, Permission.USERS_READ, Permission.ORDERS_READ)
    ann = await shop.users.register(email="ann@buyer.example", password="correct horse", full_name="Ann Buyer")
    await shop.addresses.add(user_id=ann.id, address=HOME, is_default=True)
    placed = await place(shop, (await make_product(shop, price=1250), 2), visitor=Visitor(user_id=ann.id))

    async def get(path: str) -> Any:
        answer = await http.get(PATH + path, headers=staff)
        assert answer.status_code == 200, answer.text
        return answer.json()

    one = await get(f"/{ann.id}")
    assert (one["id"], one["email"], one["total_orders"]) == (str(ann.id), "ann@buyer.example", 1)
    assert one["total_spent"] == {"amount": 2500, "currency": "USD"}
    assert "password_hash" not in one
    assert (await get(""))["items"][0] == one  # the newest
    assert (await get("?q=ann%20buy"))["items"] == [one]
    assert (await get("?q=nobody"))["items"] == []
    first = await get("?limit=1&active=true")
    assert len(first["items"]) == 1
    assert len((await get(f"?limit=1&active=true&cursor={first['next_cursor']}"))["items"]) == 1
    assert [row["city"] for row in await get(f"/{ann.id}/addresses")] == ["Albany"]
    assert [row["order_code"] for row in (await get(f"/{ann.id}/orders"))["items"]] == [placed.order.number]
    assert (await get("/consenting"))["items"] == []
    accounts_only = await token(shop, UserRole.STAFF, Permission.USERS_READ)
    assert (await http.get(f"{PATH}/{ann.id}", headers=accounts_only)).status_code == 200
    assert (await http.get(f"{PATH}/{ann.id}/orders", headers=accounts_only)).status_code == 403


@pytest.mark.parametrize("path", ["", "/consenting", "/{id}", "/{id}/addresses", "/{id}/orders"])
async def test_nobody_else_sees_them(shop: Shop, http: httpx.AsyncClient, path: str) -> None:
    ann = await shop.users.register(email="ann@buyer.example", password="correct horse", full_name="Ann Buyer")
    url = PATH + path.format(id=ann.id)
    own = await shop.sessions.start(proof=Proof(user_id=ann.id))
    assert (await http.get(url)).status_code == 401
    for headers in (
        {"Authorization": f"Bearer {own.access_token}"},
        await token(shop, UserRole.WHOLESALE),
        await token(shop, UserRole.STAFF, Permission.ORDERS_READ),
    ):
        answer = await http.get(url, headers=headers)
        assert answer.status_code == 403, answer.text
    assert (await http.get(url, headers=await token(shop, UserRole.ADMIN))).status_code == 200


async def test_an_unknown_customer_and_a_bad_page_are_refused(shop: Shop, http: httpx.AsyncClient) -> None:
    staff = await token(shop, UserRole.ADMIN)
    unknown = "00000000-0000-7000-8000-000000000000"
    for path in (f"/{unknown}", f"/{unknown}/addresses", f"/{unknown}/orders"):
        answer = await http.get(PATH + path, headers=staff)
        assert (answer.status_code, answer.json()["code"]) == (404, "identity.user_not_found")
    assert (await http.get(f"{PATH}?cursor=nonsense", headers=staff)).json()["code"] == "core.invalid_cursor"
    assert (await http.get(f"{PATH}?q=a", headers=staff)).status_code == 422
