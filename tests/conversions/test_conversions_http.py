"""Over HTTP: a visitor agrees, staff keep providers and see what waits; secrets come back from nowhere."""

from __future__ import annotations

import httpx
import pytest
from stall import TOKEN, Stall

from serving import app_of
from storeroom.conversions import InvalidProvider, ProviderKind
from storeroom.database.service import SYSTEM
from storeroom.identity import Permission


async def test_a_visitor_agrees_and_staff_see_what_waits(stall: Stall) -> None:
    host = f"{stall.shop.tenant_id.replace('_', '-')}.test"
    await stall.room.tenants.add_host(stall.shop.tenant_id, host)
    _, key = await stall.shop.acting(actor=SYSTEM).api_keys.create(
        name="staff", permissions=[Permission.CONVERSIONS_WRITE]
    )
    staff = {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app_of(stall.room), client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        agreed = await http.put("/v1/conversion-consent", json={"consents": True, "fbp": "fb.1.1.2"})
        assert (agreed.status_code, agreed.json()["fbp"]) == (200, "fb.1.1.2")
        guest = {"Authorization": f"Bearer {agreed.json()['token']}"}
        http.cookies.clear()
        cart = (await http.post("/v1/carts", headers=guest)).json()["id"]
        added = await http.post(
            f"/v1/carts/{cart}/items",
            json={"variant_id": str(stall.variant), "quantity": 2},
            headers=guest | {"User-Agent": "Tester/1", "X-Request-Id": "the-browsers-own"},
        )
        assert added.status_code < 300, added.text
        (row,) = (await http.get("/v1/admin/conversions", headers=staff)).json()["items"]
        meta = row["payload"]["meta"]
        assert (meta["event_id"], added.headers["x-request-id"]) == ("the-browsers-own", "the-browsers-own")
        assert (meta["user_data"]["fbp"], meta["user_data"]["client_user_agent"]) == ("fb.1.1.2", "Tester/1")
        assert meta["user_data"]["client_ip_address"] == "203.0.113.9"
        listed = await http.get("/v1/admin/conversion-providers", headers=staff)
        assert len(listed.json()) == 2 and TOKEN not in listed.text
        refused = await http.put("/v1/conversion-consent", json={"consents": False}, headers=guest)
        assert (refused.status_code, refused.json()["fbp"]) == (200, None)
        assert (await http.get("/v1/admin/conversions/waiting", headers=staff)).json() == []
        assert (await http.get("/v1/admin/conversions", headers=guest)).status_code in {401, 403}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"account_id": "G-AB12CD34EF"}, "account_id"),
        ({"secret": "fünf"}, "secret"),
        ({"name": "\x07"}, "name"),
        ({"kind": "ga4", "account_id": "G-AB12CD34EG", "test_event_code": "T1"}, "test_event_code"),
    ],
)
async def test_what_cannot_be_a_provider_is_refused(stall: Stall, change: dict[str, str], field: str) -> None:
    asked = {"kind": "meta", "name": "one", "account_id": "77", "secret": "s", **change}
    with pytest.raises(InvalidProvider) as refused:
        await stall.shop.conversions.create_provider(**{**asked, "kind": ProviderKind(asked["kind"])})
    assert refused.value.field == field
    assert len(await stall.shop.conversions.providers()) == 2
