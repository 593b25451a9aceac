"""Who calls and which shop they mean."""

import uuid

import httpx
import pytest
from small_app import TestGate, application, client_of

from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.tenants import Tenants
from storeroom.web import COOKIE, InvalidToken, guest_token, read_guest_token


@pytest.fixture
async def other(database: Database) -> str:
    tenant_id = f"t_{uuid.uuid4().hex}"
    await Tenants(database).create(tenant_id, name="Other", currency="EUR")
    return tenant_id


async def test_the_host_says_which_shop(http: httpx.AsyncClient, gate: TestGate, tenant: str, other: str) -> None:
    gate.hosts["other.test"] = TenantId(other)
    assert (await http.get("/who")).json()["tenant"] == tenant
    assert (await http.get("/who", headers={"Host": "OTHER.test:8000"})).json()["tenant"] == other
    assert (await http.get("/who", headers={"Host": "nobody.test"})).status_code == 404


async def test_a_caller_without_token_may_name_the_shop(http: httpx.AsyncClient, other: str) -> None:
    assert (await http.get("/who", headers={"Storeroom-Tenant": other})).json()["tenant"] == other
    for made_up in ("no/such shop", "nobody"):
        refused = await http.get("/who", headers={"Storeroom-Tenant": made_up})
        assert (refused.status_code, refused.json()["code"]) == (404, "tenants.unknown")


async def test_a_shop_that_somebody_made_up_is_counted_nowhere(http: httpx.AsyncClient, database: Database) -> None:
    """Each name would have a count of its own: as many calls as there are names, and a row for each."""
    made_up = f"t_{uuid.uuid4().hex}"
    assert (await http.post("/guess", headers={"Storeroom-Tenant": made_up})).status_code == 404
    token = {"Storeroom-Session": guest_token(made_up, "x" * 43)}
    assert (await http.post("/guess", headers=token)).status_code == 401
    assert await database.fetchval("SELECT count(*) FROM rate_counters WHERE tenant_id = $1", made_up) == 0


async def test_no_header_and_no_host_override_a_token(
    http: httpx.AsyncClient, gate: TestGate, tenant: str, other: str
) -> None:
    gate.hosts["other.test"] = TenantId(other)
    session = (await http.post("/arrivals")).json()["token"]
    http.cookies.clear()
    away = {"Storeroom-Tenant": other, "Host": "other.test"}
    for token in ({"Authorization": f"Bearer {gate.account(tenant)}"}, {"Storeroom-Session": session}):
        assert (await http.get("/who", headers={**away, **token})).json()["tenant"] == tenant


async def test_a_guest_is_known_by_each_way_to_send_the_token(http: httpx.AsyncClient) -> None:
    arrived = await http.post("/arrivals")
    token, visitor = arrived.json()["token"], arrived.json()["visitor"]
    http.cookies.clear()
    ways = ({"Authorization": f"Bearer {token}"}, {"Storeroom-Session": token}, {"Cookie": f"{COOKIE}={token}"})
    for headers in ways:
        assert (await http.get("/visitor", headers=headers)).json() == visitor
    nobody = await http.get("/visitor")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "auth.visitor_required")
    assert nobody.headers["www-authenticate"] == "Bearer"


async def test_who_arrives_with_a_token_keeps_it(http: httpx.AsyncClient) -> None:
    first = (await http.post("/arrivals")).json()
    http.cookies.clear()
    again = (await http.post("/arrivals", headers={"Storeroom-Session": first["token"]})).json()
    assert again == {"visitor": first["visitor"], "token": None, "expires_at": None}


async def test_a_wrong_token_in_a_header_is_refused_and_a_stale_cookie_is_not(
    http: httpx.AsyncClient, tenant: str, other: str
) -> None:
    unknown = guest_token(tenant, "x" * 43)
    for headers in (
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {unknown}"},
        {"Storeroom-Session": unknown},
        {"Storeroom-Session": "without a tenant"},
    ):
        refused = await http.get("/who", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "auth.invalid_token"), headers
    for cookie in (unknown, "nonsense", guest_token(other, "x" * 43)):
        assert (await http.get("/who", headers={"Cookie": f"{COOKIE}={cookie}"})).json()["kind"] == "none"


async def test_a_cookie_of_another_shop_counts_for_nothing(
    http: httpx.AsyncClient, gate: TestGate, tenant: str, other: str
) -> None:
    foreign = (await http.post("/arrivals", headers={"Storeroom-Tenant": other})).json()["token"]
    http.cookies.clear()
    seen = (await http.get("/who", headers={"Cookie": f"{COOKIE}={foreign}"})).json()
    assert (seen["kind"], seen["tenant"]) == ("none", tenant)


def test_a_guest_token_is_read_back_and_nothing_else_is() -> None:
    assert read_guest_token(guest_token("acme-1", "abc.def")) == ("acme-1", "abc.def")
    for text in (
        "",
        "guest_",
        "guest_acme",
        "guest_acme.",
        "guest_.abc",
        "acme.abc",
        "guest_a b.abc",
        f"guest_a.{'x' * 5000}",
    ):
        with pytest.raises(InvalidToken):
            read_guest_token(text)


async def test_a_sane_request_id_is_kept_and_another_is_replaced(http: httpx.AsyncClient) -> None:
    assert (await http.get("/who", headers={"X-Request-ID": "a.b_c-1"})).json()["request_id"] == "a.b_c-1"
    for insane in ("", "a b", "x" * 65, "<script>"):
        given = (await http.get("/who", headers={"X-Request-ID": insane})).json()["request_id"]
        assert given != insane
        assert len(given) == 32


FORWARDED = {"X-Forwarded-For": "198.51.100.7, 192.0.2.1, 10.0.0.2"}


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [(0, "203.0.113.9"), (1, "10.0.0.2"), (2, "192.0.2.1"), (3, "198.51.100.7"), (9, "198.51.100.7")],
)
async def test_the_address_is_the_one_that_our_last_proxy_saw(gate: TestGate, trusted: int, seen: str) -> None:
    async with client_of(application(gate, trusted_proxies=trusted)) as client:
        assert (await client.get("/who", headers=FORWARDED)).json()["ip"] == seen


async def test_an_address_that_is_none_is_not_passed_on(gate: TestGate) -> None:
    async with client_of(application(gate, trusted_proxies=1)) as client:
        assert (await client.get("/who", headers={"X-Forwarded-For": "'; drop"})).json()["ip"] is None


async def test_the_agent_is_cut_and_the_domain_has_no_port(http: httpx.AsyncClient) -> None:
    seen = (await http.get("/who", headers={"User-Agent": "u" * 900, "Host": "shop.test:8000"})).json()
    assert len(seen["user_agent"]) == 500
    assert seen["domain"] == "shop.test"


PEOPLE = [
    (None, (), "/account", 401, "auth.sign_in_required"),
    ("guest", (), "/account", 401, "auth.sign_in_required"),
    ("customer", (), "/account", 200, None),
    (None, (), "/admin", 401, "auth.sign_in_required"),
    ("customer", ("orders.write",), "/admin", 403, "auth.staff_only"),
    ("staff", ("orders.read",), "/admin", 403, "auth.permission_missing"),
    ("staff", ("orders.write",), "/admin", 200, None),
    ("admin", (), "/admin", 200, None),
    ("super_admin", (), "/admin", 200, None),
]


@pytest.mark.parametrize(("role", "permissions", "path", "status", "code"), PEOPLE)
async def test_who_may_enter(
    http: httpx.AsyncClient,
    gate: TestGate,
    tenant: str,
    role: str | None,
    permissions: tuple[str, ...],
    path: str,
    status: int,
    code: str | None,
) -> None:
    headers = {}
    if role == "guest":
        headers = {"Storeroom-Session": (await http.post("/arrivals")).json()["token"]}
        http.cookies.clear()
    elif role is not None:
        headers = {"Authorization": f"Bearer {gate.account(tenant, role, *permissions)}"}
    answer = await http.get(path, headers=headers)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code


async def test_histories_say_admin_for_staff_and_customer_for_the_rest(
    http: httpx.AsyncClient, gate: TestGate, tenant: str
) -> None:
    for role, actor in (
        ("staff", "admin"),
        ("super_admin", "admin"),
        ("customer", "customer"),
        ("wholesale", "customer"),
    ):
        headers = {"Authorization": f"Bearer {gate.account(tenant, role)}"}
        assert (await http.get("/who", headers=headers)).json()["actor"] == actor
    assert (await http.get("/who")).json()["actor"] == "customer"
