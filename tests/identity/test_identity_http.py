"""Accounts over HTTP: the whole way from a guest to staff, who may call what, and what no answer tells."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from house import PASSWORD, House
from litestar import Litestar

from market import Market
from serving import app_of
from storeroom.database.pool import Database
from storeroom.flows.sign_in_routes import SIGN_INS_BY_ACCOUNT, WRONG_BY_ADDRESS
from storeroom.identity import KycStatus, Permission, User, UserRole, UserStatus
from storeroom.identity.account_routes import PHONES_BY_ACCOUNT
from storeroom.identity.proof_routes import MESSAGES_BY_EMAIL

HOME = {
    "recipient_name": "Ann Buyer",
    "street_line_1": "1 Main Street",
    "city": "Albany",
    "state_province": "New York",
    "postal_code": "12207",
}
ANN = {"email": "ann@example.com", "password": PASSWORD, "full_name": "Ann Buyer"}


@dataclass
class Front:
    """The shop's HTTP face, and the shop behind it."""

    house: House
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, body: object = None, token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.request(method, path, json=body, headers=headers)

    async def token(self, user: User) -> str:
        """Of an account, whose password is set for it."""
        await self.house.shop.users.set_password(user_id=user.id, password=PASSWORD)
        return (await self.house.shop.sessions.sign_in(email=user.email, password=PASSWORD)).access_token


@pytest.fixture
async def front(database: Database) -> AsyncIterator[Front]:
    house = await House.open(database)
    host = f"{secrets.token_hex(6)}.test"
    await house.room.tenants.add_host(house.shop.tenant_id, host)
    app: Litestar = app_of(house.room)
    transport = httpx.ASGITransport(app=app, client=(f"2001:db8::{secrets.token_hex(2)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield Front(house, http)


async def test_from_a_guest_to_an_account_and_out_again(front: Front) -> None:
    guest = (await front.call("POST", "/v1/auth/guest")).json()
    assert front.http.cookies["storeroom_session"] == guest["token"]
    market = Market(front.house.db, front.house.shop.context)
    shirt = await market.variant()
    cart = (await front.call("POST", "/v1/carts", {})).json()
    assert cart["token"] is None, "the guest is known by the cookie"
    await front.call("POST", f"/v1/carts/{cart['id']}/items", {"variant_id": str(shirt), "quantity": 2})

    made = await front.call("POST", "/v1/auth/register", {**ANN, "utm_source": "news", "phone": "212 555 0123"})
    assert made.status_code == 201
    assert made.json()["status"] == "pending_verification"
    assert not {"password", "password_hash"} & set(made.json())

    answer = await front.call("POST", "/v1/auth/sign-in", {"email": ANN["email"], "password": PASSWORD})
    assert answer.status_code == 200
    tokens = answer.json()
    assert "storeroom_session" not in front.http.cookies
    assert tokens["token_type"] == "Bearer"
    own = await front.call("GET", f"/v1/carts/{cart['id']}", token=tokens["access_token"])
    assert [item["quantity"] for item in own.json()["items"]] == [2]

    account = (await front.call("GET", "/v1/account", token=tokens["access_token"])).json()
    assert account["account"]["email"] == ANN["email"]
    assert account["profile"]["locale"] == "en-US"
    assert "utm_source" not in account["profile"]

    turned = (await front.call("POST", "/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})).json()
    raced = await front.call("POST", "/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert (raced.status_code, raced.json()["code"]) == (409, "identity.refresh_raced")
    out = await front.call("POST", "/v1/auth/sign-out", {"refresh_token": turned["refresh_token"]})
    assert out.status_code == 204
    after = await front.call("GET", "/v1/account", token=turned["access_token"])
    assert (after.status_code, after.json()["code"]) == (401, "auth.invalid_token")
    refused = await front.call("POST", "/v1/auth/refresh", {"refresh_token": turned["refresh_token"]})
    assert (refused.status_code, refused.json()["code"]) == (401, "identity.token_refused")


async def test_an_account_is_changed_whole_or_not_at_all(front: Front) -> None:
    user = await front.house.customer()
    token = await front.token(user)
    changed = await front.call(
        "PATCH", "/v1/account", {"full_name": "Ann B.", "phone": "+1 212 555 0123", "first_name": "Ann"}, token
    )
    assert changed.status_code == 200
    assert changed.json()["account"]["phone"] == "12125550123"
    assert changed.json()["profile"]["first_name"] == "Ann"
    refused = await front.call("PATCH", "/v1/account", {"full_name": "Eve", "timezone": "Mars/Olympus"}, token)
    assert (refused.status_code, refused.json()["field"]) == (422, "timezone")
    refused = await front.call("PATCH", "/v1/account", {"full_name": "Eve", "preferred_currency": "XXQ"}, token)
    assert (refused.status_code, refused.json()["field"]) == (422, "preferred_currency")
    for body in ({"role": "admin"}, {"utm_source": "mine"}, {"email": "eve@example.com"}, {"full_name": None}):
        refused = await front.call("PATCH", "/v1/account", body, token)
        assert refused.status_code == 400, body
    now = (await front.call("GET", "/v1/account", token=token)).json()
    assert now["account"]["full_name"] == "Ann B."
    assert (await front.call("PATCH", "/v1/account", {"phone": None}, token)).json()["account"]["phone"] is None

    change = {"current_password": PASSWORD, "new_password": "another password"}
    wrong = await front.call("PUT", "/v1/account/password", {**change, "current_password": "no"}, token)
    assert (wrong.status_code, wrong.json()["field"]) == (403, "current_password")
    assert (await front.call("PUT", "/v1/account/password", change, token)).status_code == 204
    assert (await front.call("GET", "/v1/account", token=token)).status_code == 200, "this session stays"


@pytest.mark.usefixtures("one_window")
async def test_nobody_tries_all_numbers_on_their_own_account(front: Front) -> None:
    """Each answer tells whether somebody has the number. What else is changed is not counted, nor that one has none."""
    token = await front.token(await front.house.customer())
    await front.house.customer("bo@example.com", phone="+1 212 555 0100")
    taken = await front.call("PATCH", "/v1/account", {"phone": "+1 212 555 0100"}, token)
    assert (taken.status_code, taken.json()["code"]) == (409, "identity.phone_taken")
    for number in range(1, PHONES_BY_ACCOUNT):
        tried = await front.call("PATCH", "/v1/account", {"phone": f"+1 212 555 {100 + number:04}"}, token)
        assert tried.status_code == 200
    for number in (100, 190):
        tried = await front.call("PATCH", "/v1/account", {"phone": f"+1 212 555 {number:04}"}, token)
        assert (tried.status_code, tried.json()["code"]) == (429, "request.rate_limited")
    for body in ({"first_name": "Ann"}, {"phone": None}):
        assert (await front.call("PATCH", "/v1/account", body, token)).status_code == 200


async def test_sessions_over_http(front: Front) -> None:
    user = await front.house.customer()
    token = await front.token(user)
    theirs = await front.token(await front.house.member(UserRole.ADMIN))
    body = {"email": user.email, "password": PASSWORD, "device": "phone"}
    phone = (await front.call("POST", "/v1/auth/sign-in", body)).json()
    listed = (await front.call("GET", "/v1/account/sessions", token=token)).json()
    assert [(each["device"], each["current"]) for each in listed] == [("phone", False), (None, True)]
    elsewhere = f"/v1/account/sessions/{listed[0]['id']}"
    assert (await front.call("DELETE", elsewhere, token=theirs)).json()["code"] == "identity.session_not_found"
    assert (await front.call("GET", "/v1/account", token=phone["access_token"])).status_code == 200
    assert (await front.call("DELETE", elsewhere, token=token)).status_code == 204
    refused = await front.call("POST", "/v1/auth/refresh", {"refresh_token": phone["refresh_token"]})
    assert refused.json()["code"] == "identity.token_refused"
    assert (await front.call("GET", "/v1/account", token=phone["access_token"])).status_code == 401
    assert (await front.call("DELETE", "/v1/account/sessions", token=token)).status_code == 204
    for gone in (token, phone["access_token"]):
        assert (await front.call("GET", "/v1/account", token=gone)).status_code == 401
    assert (await front.call("GET", "/v1/account", token=theirs)).status_code == 200


async def test_addresses_over_http(front: Front) -> None:
    token = await front.token(await front.house.customer())
    added = await front.call("POST", "/v1/account/addresses", {"address": HOME, "is_default": True}, token)
    assert added.status_code == 201
    address = added.json()
    assert (address["state_province"], address["country_code"], address["is_default"]) == ("NY", "US", True)
    path = f"/v1/account/addresses/{address['id']}"
    changed = await front.call("PUT", path, {"address": {**HOME, "city": "Troy"}, "label": "Home"}, token)
    assert (changed.json()["city"], changed.json()["label"]) == ("Troy", "Home")
    assert (await front.call("PUT", f"{path}/default", token=token)).json()["is_default"]
    assert (await front.call("GET", path, token=token)).json() == (
        await front.call("GET", "/v1/account/addresses", token=token)
    ).json()[0]
    bad = await front.call("POST", "/v1/account/addresses", {"address": {**HOME, "state_province": "Mars"}}, token)
    assert (bad.status_code, bad.json()["field"]) == (422, "state_province")
    theirs = await front.token(await front.house.customer("bo@example.com"))
    assert (await front.call("GET", path, token=theirs)).status_code == 404
    assert (await front.call("DELETE", path, token=theirs)).status_code == 404
    assert (await front.call("DELETE", path, token=token)).status_code == 204
    assert (await front.call("GET", "/v1/account/addresses", token=token)).json() == []


def staff_calls(user_id: object) -> list[tuple[str, str, dict[str, Any] | None, Permission]]:
    path, read, write = f"/v1/admin/users/{user_id}", Permission.USERS_READ, Permission.USERS_WRITE
    return [
        ("GET", "/v1/admin/users", None, read),
        ("GET", "/v1/admin/users?q=buyer", None, read),
        ("GET", path, None, read),
        ("GET", f"{path}/profile", None, read),
        ("GET", f"{path}/sessions", None, read),
        ("DELETE", f"{path}/sessions", None, write),
        ("POST", "/v1/admin/users", {"email": f"{secrets.token_hex(4)}@example.com"}, write),
        ("PUT", f"{path}/kyc", {"status": "approved"}, write),
        ("PUT", f"{path}/role", {"role": "wholesale"}, write),
        ("PUT", f"{path}/status", {"status": "suspended"}, write),
        ("DELETE", path, None, write),
    ]


@pytest.mark.requirement("STO-USR-03")
async def test_staff_may_what_their_list_says_and_admins_everything(front: Front) -> None:
    """And a customer gains nothing from a list."""
    house = front.house
    buyer = await house.customer("buyer@example.com")
    customer = await front.token(await house.customer())
    await house.run("UPDATE {users} SET permissions = $2 WHERE tenant_id = $1", list(Permission))
    bare = await front.token(await house.member(UserRole.STAFF))
    listed = {
        permission: await front.token(await house.member(UserRole.STAFF, permission))
        for permission in (Permission.USERS_READ, Permission.USERS_WRITE)
    }
    before = await house.rows("SELECT id, role, status FROM {users} WHERE tenant_id = $1 ORDER BY id")
    for method, path, body, permission in staff_calls(buyer.id):
        other = next(token for known, token in listed.items() if known is not permission)
        for token, status, code in (
            (None, 401, "auth.sign_in_required"),
            (customer, 403, "auth.staff_only"),
            (bare, 403, "auth.permission_missing"),
            (other, 403, "auth.permission_missing"),
        ):
            answer = await front.call(method, path, body, token)
            assert (answer.status_code, answer.json()["code"]) == (status, code), (method, path)
    assert await house.rows("SELECT id, role, status FROM {users} WHERE tenant_id = $1 ORDER BY id") == before
    for method, path, body, permission in staff_calls(buyer.id):
        answer = await front.call(method, path, body, listed[permission])
        assert answer.status_code < 300, (method, path, answer.text)
        assert "password" not in answer.text
        assert "argon2" not in answer.text
    admin = await front.token(await house.member(UserRole.ADMIN))
    second = await house.customer("second@example.com")
    for method, path, body, _ in staff_calls(second.id):
        assert (await front.call(method, path, body, admin)).status_code < 300, (method, path)


async def test_a_search_keeps_to_the_status_that_is_asked_for(front: Front) -> None:
    users, admin = front.house.shop.users, await front.token(await front.house.member(UserRole.ADMIN))
    made = [await users.create(email=f"zelda{n}@example.com", status=UserStatus.ACTIVE) for n in range(3)]
    await users.set_status(user_id=made[1].id, status=UserStatus.SUSPENDED)
    for path, kept in (
        ("/v1/admin/users?q=zelda&status=suspended", [1]),
        ("/v1/admin/users?q=zelda&status=active", [2, 0]),
        ("/v1/admin/users?q=zelda&status=deleted", []),
        ("/v1/admin/users?q=zelda", [2, 1, 0]),
        ("/v1/admin/customers?q=zelda&active=true", [2, 0]),
        ("/v1/admin/customers?q=zelda", [2, 1, 0]),
    ):
        answer = await front.call("GET", path, token=admin)
        assert [each["id"] for each in answer.json()["items"]] == [str(made[n].id) for n in kept], path


async def test_staff_cannot_lift_themselves(front: Front) -> None:
    staff = await front.house.member(UserRole.STAFF, Permission.USERS_WRITE)
    token, path = await front.token(staff), f"/v1/admin/users/{staff.id}"
    for method, what, body in (
        ("PUT", f"{path}/role", {"role": "super_admin"}),
        ("PUT", f"{path}/permissions", {"permissions": ["settings.write"]}),
        ("POST", "/v1/admin/users", {"email": "x@example.com", "role": "admin", "password": PASSWORD}),
    ):
        answer = await front.call(method, what, body, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "identity.role_forbidden")
    admin = await front.token(await front.house.member(UserRole.ADMIN))
    given = await front.call("PUT", f"{path}/permissions", {"permissions": ["orders.read"]}, admin)
    assert given.json()["permissions"] == ["orders.read"]
    unknown = await front.call("PUT", f"{path}/permissions", {"permissions": ["everything"]}, admin)
    assert unknown.status_code == 400


@pytest.mark.parametrize("role", [UserRole.STAFF, UserRole.ADMIN, UserRole.SUPER_ADMIN])
async def test_nobody_of_the_staff_changes_what_they_are_themselves(front: Front, role: UserRole) -> None:
    """Not even who stands above all: the last super_admin would be gone by a slip of the hand."""
    permissions = [Permission.USERS_WRITE] if role is UserRole.STAFF else []
    own = await front.house.member(role, *permissions)
    token, path = await front.token(own), f"/v1/admin/users/{own.id}"
    for method, what, body in (
        ("PUT", f"{path}/role", {"role": "customer"}),
        ("PUT", f"{path}/permissions", {"permissions": []}),
        ("PUT", f"{path}/status", {"status": "suspended"}),
        ("PUT", f"{path}/kyc", {"status": "approved"}),
        ("POST", f"{path}/verify-age", None),
        ("POST", f"{path}/erase", {"reason": "asked by letter"}),
        ("DELETE", path, None),
    ):
        answer = await front.call(method, what, body, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "identity.role_forbidden"), what
    known = await front.house.shop.users.get(user_id=own.id)
    assert (known.role, known.kyc_status, known.age_verified) == (role, KycStatus.NOT_REQUIRED, False)
    left = await front.call("POST", "/v1/account/close", {"current_password": "not this one"}, token)
    assert (left.status_code, left.json()["code"]) == (403, "identity.wrong_password")
    assert (await front.call("POST", "/v1/account/close", {"current_password": PASSWORD}, token)).status_code == 204
    assert (await front.call("GET", "/v1/account", token=token)).status_code == 401


async def test_staff_verify_an_age_and_an_address(front: Front) -> None:
    user = await front.house.customer()
    token, admin = await front.token(user), await front.token(await front.house.member(UserRole.ADMIN))
    path = f"/v1/admin/users/{user.id}"
    missing = await front.call("POST", f"{path}/verify-age", token=admin)
    assert (missing.status_code, missing.json()["code"]) == (409, "identity.birth_date_missing")
    await front.call("PATCH", "/v1/account", {"date_of_birth": "1990-01-31"}, token)
    assert (await front.call("POST", f"{path}/verify-age", token=admin)).json()["age_verified"] is True
    address = (await front.call("POST", "/v1/account/addresses", {"address": HOME}, token)).json()
    validate = f"{path}/addresses/{address['id']}/validate"
    assert (await front.call("POST", validate, {"source": "manual"}, token)).status_code == 403
    assert (await front.call("POST", validate, {"source": "manual"}, admin)).json()["validated"] is True


async def test_no_answer_tells_whether_an_address_is_known(front: Front) -> None:
    await front.house.customer()
    known, unknown = [
        await front.call("POST", "/v1/auth/sign-in", {"email": email, "password": "not the password"})
        for email in ("ann@example.com", "nobody@example.com")
    ]
    assert known.status_code == unknown.status_code == 401
    without_id = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in (known, unknown)]
    assert without_id[0] == without_id[1]


@pytest.mark.usefixtures("one_window")
async def test_passwords_are_not_guessed_for_ever(front: Front) -> None:
    """The right one is refused too, once there were too many: else the limit would tell it."""
    await front.house.customer()
    for n in range(SIGN_INS_BY_ACCOUNT):
        answer = await front.call("POST", "/v1/auth/sign-in", {"email": " ANN@example.com", "password": f"guess {n}"})
        assert answer.status_code == 401
    limited = await front.call("POST", "/v1/auth/sign-in", {"email": "ann@example.com", "password": PASSWORD})
    assert (limited.status_code, limited.json()["code"]) == (429, "request.rate_limited")
    assert int(limited.headers["retry-after"]) > 0
    buckets = await front.house.rows("SELECT bucket FROM {rate_counters} WHERE tenant_id = $1")
    assert not [bucket for (bucket,) in buckets if "ann" in bucket]


@pytest.mark.usefixtures("one_window")
async def test_another_spelling_of_the_address_is_no_fresh_limit(front: Front) -> None:
    """The account is found by each of them, so all are counted as one."""
    await front.house.customer()
    spellings = ["ann@example.com", "Ann@Example.COM ", "ann@\uff45xample.com", "ann@ex\uff41mple\u3002com"]
    for n in range(SIGN_INS_BY_ACCOUNT):
        body = {"email": spellings[n % len(spellings)], "password": f"guess {n}"}
        assert (await front.call("POST", "/v1/auth/sign-in", body)).status_code == 401
    for spelling in (*spellings, "ann@exampl\uff45.com"):
        limited = await front.call("POST", "/v1/auth/sign-in", {"email": spelling, "password": PASSWORD})
        assert limited.status_code == 429, spelling
    for path in ("send-verification", "forgot-password"):
        sent = [
            (await front.call("POST", f"/v1/auth/{path}", {"email": spellings[n % len(spellings)]})).status_code
            for n in range(MESSAGES_BY_EMAIL + 1)
        ]
        assert sent == [202] * MESSAGES_BY_EMAIL + [429], path


@pytest.mark.usefixtures("one_window")
async def test_an_office_signs_in_behind_one_address(front: Front) -> None:
    """However many are right, only wrong tries count for the address."""
    await front.house.customer()
    password_hash = await front.house.column(
        "password_hash", (await front.house.shop.users.by_email(email="ann@example.com")).id
    )
    for number in range(WRONG_BY_ADDRESS + 2):
        user = await front.house.shop.users.create(email=f"bo{number}@example.com", status=UserStatus.ACTIVE)
        await front.house.run(
            "UPDATE {users} SET password_hash = $3 WHERE tenant_id = $1 AND id = $2", user.id, password_hash
        )
        body = {"email": user.email, "password": PASSWORD}
        assert (await front.call("POST", "/v1/auth/sign-in", body)).status_code == 200
    for number in range(WRONG_BY_ADDRESS):
        body = {"email": f"cy{number}@example.com", "password": PASSWORD}
        assert (await front.call("POST", "/v1/auth/sign-in", body)).status_code == 401
    body = {"email": "ann@example.com", "password": PASSWORD}
    assert (await front.call("POST", "/v1/auth/sign-in", body)).status_code == 429


async def test_a_refresh_over_http_asks_the_database_once(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes no counter: 256 random bits are not guessed."""
    user = await front.house.customer()
    kept = (await front.house.shop.sessions.sign_in(email=user.email, password=PASSWORD)).refresh_token
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        real: Callable[..., Any] = getattr(Database, name)

        async def ask(self: Database, sql: str, *args: object, real: Callable[..., Any] = real) -> Any:
            if "pg_notify" not in sql:  # of who made an account a moment before, for the workers
                asked.append(sql)
            return await real(self, sql, *args)

        monkeypatch.setattr(Database, name, ask)
    for _ in range(2):  # the first one warms the caches of hosts and shops
        asked.clear()
        kept = (await front.call("POST", "/v1/auth/refresh", {"refresh_token": kept})).json()["refresh_token"]
    assert len(asked) == 1, asked
    assert "refresh_session" in asked[0]


async def test_no_token_is_kept_for_an_idempotency_key(front: Front) -> None:
    await front.house.customer()
    body = {"email": "ann@example.com", "password": PASSWORD}
    headers = {"Idempotency-Key": f"key-{uuid4()}"}
    answers = [await front.http.post("/v1/auth/sign-in", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["refresh_token"] != answers[1].json()["refresh_token"]
    assert await front.house.count("idempotency_keys") == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/auth/register", {**ANN, "password": "short"}, 400, "password"),
        ("/v1/auth/register", {**ANN, "email": "nobody"}, 422, "email"),
        ("/v1/auth/register", {**ANN, "role": "admin"}, 400, "role"),
        ("/v1/auth/register", {**ANN, "full_name": "A\x00n"}, 422, "full_name"),
        ("/v1/auth/register", {"email": "ann@example.com"}, 400, "password"),
        ("/v1/auth/sign-in", {"email": "ann@example.com"}, 400, "password"),
        ("/v1/auth/refresh", {}, 400, "refresh_token"),
        ("/v1/auth/refresh", {"refresh_token": "\x00.\x00"}, 401, None),
    ],
)
async def test_bad_input_is_named(
    front: Front, path: str, body: dict[str, str], status: int, field: str | None
) -> None:
    answer = await front.call("POST", path, body)
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
    assert PASSWORD not in answer.text
    assert await front.house.count("users") == 0
