"""The trail over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from works import Works

from storeroom.identity import Permission, Proof, UserRole


async def token_of(works: Works, *permissions: Permission) -> dict[str, str]:
    user = await works.shop.users.create(
        email=f"{len(permissions)}@shop.example", role=UserRole.STAFF, permissions=permissions
    )
    signed_in = await works.shop.sessions.start(proof=Proof(user_id=user.id))
    return {"Authorization": f"Bearer {signed_in.access_token}"}


async def read(works: Works, **query: Any) -> list[dict[str, Any]]:
    answer = await works.http.get("/v1/admin/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


@pytest.mark.requirement("SBB-AUD-01", "SBB-PRIN-05")
async def test_staff_read_who_did_what(works: Works) -> None:
    variant_id = str(await works.id_of("variant_id"))
    path = f"/v1/admin/stock/{variant_id}/adjustments"
    for number in (1, 2, 3):
        assert (await works.http.post(path, json={"by": number, "reason": "found"})).is_success
    newest, *others = await read(works, resource_type="stock", resource_id=variant_id)
    assert [entry["new_values"]["by"] for entry in (newest, *others)] == [3, 2, 1]
    assert (newest["action"], newest["user_email"], newest["success"]) == ("inventory.adjust", "ann@shop.example", True)
    assert newest["old_values"] == {"on_hand": 13}
    assert await read(works, action="inventory.count") == []
    assert len(await read(works, user_id=str(works.admin))) == 3
    assert await read(works, user_id=str(works.admin), until=others[0]["created_at"]) == [others[1]]
    page = (await works.http.get("/v1/admin/audit", params={"limit": 1, "user_id": str(works.admin)})).json()
    assert page["items"] == [newest]
    assert (await read(works, limit=1, user_id=str(works.admin), cursor=page["next_cursor"])) == [others[0]]


async def test_only_those_who_may_read_it(works: Works) -> None:
    for permissions in ((), (Permission.ORDERS_READ, Permission.USERS_WRITE)):
        answer = await works.http.get("/v1/admin/audit", headers=await token_of(works, *permissions))
        assert answer.status_code == 403
    for denied in await read(works, action="rights.denied"):
        assert (denied["success"], denied["resource_type"], denied["user_role"]) == (False, "route", "staff")
        assert denied["new_values"] == {"permission": "audit.read", "method": "GET", "path": "/v1/admin/audit"}
    assert len(await read(works, action="rights.denied")) == 2
    allowed = await works.http.get("/v1/admin/audit", headers=await token_of(works, Permission.AUDIT_READ))
    assert allowed.status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resource_type": "order"}, 422),
        ({"resource_id": "0198c0de-0000-7000-8000-000000000000"}, 422),
        ({"action": ""}, 422),
        ({"since": "2026-01-01T00:00:00"}, 422),
        ({"cursor": "nonsense"}, 422),
    ],
)
async def test_what_cannot_be_asked(works: Works, query: dict[str, str], status: int) -> None:
    answer = await works.http.get("/v1/admin/audit", params=query)
    assert answer.status_code == status, answer.text
