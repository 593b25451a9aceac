"""The second factor over HTTP: from the password to the tokens, and one's own settings."""

import secrets
from collections.abc import AsyncIterator

import httpx
import pyotp
import pytest
from test_second_factors import PASSWORD, Staffed

from storeroom.database.pool import Database
from storeroom.identity import UserRole
from storeroom.server import create_app
from storeroom.settings import Settings


class Front:
    def __init__(self, staffed: Staffed, http: httpx.AsyncClient) -> None:
        self.staffed, self.http = staffed, http

    async def post(self, path: str, token: str | None = None, **body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.post(path, json=body or None, headers=headers)

    async def get(self, path: str, token: str) -> httpx.Response:
        return await self.http.get(path, headers={"Authorization": f"Bearer {token}"})

    async def sign_in(self, email: str) -> httpx.Response:
        return await self.post("/v1/auth/sign-in", email=email, password=PASSWORD)


@pytest.fixture
async def front(database: Database) -> AsyncIterator[Front]:
    staffed = await Staffed.open(database)
    host = f"{secrets.token_hex(6)}.test"
    await staffed.room.tenants.add_host(staffed.shop.tenant_id, host)
    transport = httpx.ASGITransport(
        app=create_app(staffed.room, Settings()), client=(f"2001:db8::{secrets.token_hex(2)}", 1)
    )
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield Front(staffed, http)


async def test_one_sets_it_up_and_signs_in_with_it(front: Front) -> None:
    staffed = front.staffed
    token = (await front.sign_in(staffed.ann.email)).json()["access_token"]
    assert not (await front.get("/v1/account/second-factor", token)).json()["active"]
    offered = (await front.post("/v1/account/second-factor", token)).json()
    staffed.app = pyotp.TOTP(offered["secret"])
    wrong = await front.post("/v1/account/second-factor/confirm", token, code=staffed.wrong())
    assert (wrong.status_code, wrong.json()["code"]) == (401, "verification.second_factor_refused")
    confirmed = await front.post("/v1/account/second-factor/confirm", token, code=staffed.code())
    codes = confirmed.json()["recovery_codes"]
    assert (confirmed.status_code, len(codes)) == (200, 10)
    assert (await front.get("/v1/account/second-factor", token)).json()["active"]

    asked = await front.sign_in(staffed.ann.email)
    assert (asked.status_code, asked.json()["code"]) == (401, "verification.second_factor_required")
    assert asked.json()["active"] is True and "access_token" not in asked.text
    step = {"challenge": asked.json()["challenge"]}
    assert (await front.post("/v1/auth/second-factor", **step, code=staffed.wrong())).status_code == 401
    signed_in = await front.post("/v1/auth/second-factor", **step, code=codes[0])
    assert signed_in.status_code == 200
    assert (await front.get("/v1/account", signed_in.json()["access_token"])).status_code == 200

    renewed = await front.post("/v1/account/second-factor/recovery-codes", token, code=codes[1])
    fresh = renewed.json()["recovery_codes"]
    assert (await front.post("/v1/account/second-factor/remove", token, code=codes[2])).status_code == 401
    assert (await front.post("/v1/account/second-factor/remove", token, code=fresh[0])).status_code == 204
    assert (await front.sign_in(staffed.ann.email)).status_code == 200


async def test_where_it_is_required_it_is_set_up_on_the_way_in(front: Front) -> None:
    staffed = front.staffed
    await staffed.room.tenants.update(staffed.shop.tenant_id, staff_second_factor_required=True)
    asked = (await front.sign_in(staffed.ann.email)).json()
    assert asked["active"] is False
    step = {"challenge": asked["challenge"]}
    offered = await front.post("/v1/auth/second-factor/enrol", **step)
    staffed.app = pyotp.TOTP(offered.json()["secret"])
    through = await front.post("/v1/auth/second-factor/confirm", **step, code=staffed.code())
    assert through.status_code == 200
    token = through.json()["tokens"]["access_token"]
    status = (await front.get("/v1/account/second-factor", token)).json()
    assert (status["active"], status["required"], status["recovery_codes_left"]) == (True, True, 10)
    kept = await front.post("/v1/account/second-factor/remove", token, code=through.json()["recovery_codes"][0])
    assert (kept.status_code, kept.json()["code"]) == (409, "verification.second_factor_kept")


async def test_an_admin_resets_it(front: Front) -> None:
    staffed = await front.staffed.enrolled()
    admin = await staffed.member(UserRole.ADMIN)
    token = (await front.sign_in(admin.email)).json()["access_token"]
    path = f"/v1/admin/users/{staffed.ann.id}/second-factor"
    assert (await front.http.delete(path)).status_code == 401
    done = await front.http.delete(path, headers={"Authorization": f"Bearer {token}"})
    assert done.status_code == 204
    assert (await front.sign_in(staffed.ann.email)).status_code == 200
    again = await front.http.delete(path, headers={"Authorization": f"Bearer {token}"})
    assert (again.status_code, again.json()["code"]) == (404, "verification.second_factor_missing")


async def test_a_customer_is_not_offered_one(front: Front) -> None:
    await front.post("/v1/auth/register", email="bo@example.com", password=PASSWORD, full_name="Bo")
    token = (await front.sign_in("bo@example.com")).json()["access_token"]
    refused = await front.post("/v1/account/second-factor", token)
    assert (refused.status_code, refused.json()["code"]) == (403, "verification.second_factor_not_offered")
