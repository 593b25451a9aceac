"""A shop's settings in the hands of its staff."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from factories import open_shop
from serving import app_of
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission, Proof, UserRole
from storeroom.room import Shop, Storeroom
from storeroom.tenants import SETTINGS, InvalidTenant

PATH = "/v1/admin/settings"


@dataclass
class Office:
    """A shop, and one of its staff who may change its settings."""

    room: Storeroom
    shop: Shop
    http: httpx.AsyncClient


@pytest.fixture
async def office(room: Storeroom) -> AsyncIterator[Office]:
    shop = await open_shop(room, actor=SYSTEM)
    staff = await shop.users.create(
        email=f"{secrets.token_hex(4)}@shop.example", role=UserRole.STAFF, permissions=[Permission.SETTINGS_WRITE]
    )
    token = (await shop.sessions.start(proof=Proof(user_id=staff.id))).access_token
    transport = httpx.ASGITransport(app_of(room), client=("203.0.113.9", 40000))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://any.test", headers=headers) as http:
        yield Office(room, shop, http)


async def test_staff_read_and_change_what_binds_the_shop(office: Office) -> None:
    before = (await office.http.get(PATH)).json()
    assert (before["currency"], before["status"], before["order_window_s"]) == ("USD", "active", 7 * 86400)
    assert {name.removesuffix("_s") for name in before} >= set(SETTINGS), "each that can be changed is shown"
    change = {"order_window_s": 3600, "staff_second_factor_required": True, "country_code": "ch", "name": "Another"}
    changed = await office.http.patch(PATH, json=change)
    assert changed.status_code == 200, changed.text
    after = changed.json()
    assert after == {**before, **change, "country_code": "CH", "updated_at": after["updated_at"]}
    assert (await office.http.get(PATH)).json() == after
    known = await office.shop.context.settings()
    assert (known.order_window, known.staff_second_factor_required) == (timedelta(hours=1), True), "at once, here"  # type: ignore[attr-defined]


async def test_each_setting_of_a_shop_can_be_changed_over_http(office: Office) -> None:
    """A setting that is added later is in nobody's hands until it is here."""
    fields = {
        name.removesuffix("_s")
        for name in (await office.http.get("/schema/openapi.json")).json()["components"]["schemas"]["SettingsChange"][
            "properties"
        ]
    }
    assert fields == set(SETTINGS)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"time_zone": "Mars/Olympus"}, 422),
        ({"country_code": "XX"}, 422),
        ({"open_orders_max": 0}, 400),
        ({"order_window_s": 59}, 400),
        ({"currency": "EUR"}, 400),
        ({"status": "suspended"}, 400),
        ({"name": None}, 400),
    ],
)
async def test_what_is_out_of_bounds_or_the_operators_changes_nothing(
    office: Office, change: dict[str, Any], status: int
) -> None:
    before = await office.room.tenants.get(office.shop.tenant_id)
    refused = await office.http.patch(PATH, json={"open_orders_max": 5, **change})
    assert refused.status_code == status, refused.text
    assert await office.room.tenants.get(office.shop.tenant_id) == before


async def test_what_is_taken_back_is_not_gone_by(office: Office) -> None:
    with pytest.raises(RuntimeError):
        async with office.shop.transaction() as tx:
            await tx.shop_settings.update(open_orders_max=3)
            raise RuntimeError
    assert (await office.shop.shop_settings.get()).open_orders_max == 20
    with pytest.raises(InvalidTenant):
        await office.shop.shop_settings.update(tenant_id="other")
