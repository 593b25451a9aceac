"""Browsers: whose pages may read answers, what a page cannot make a visitor's browser do, and what every answer says."""

import httpx
import pytest
from door import Door, client_of, code_of

from storeroom.access import ORIGINS_MAX, InvalidOrigin, normal_origin
from storeroom.identity import Permission, UserRole

SHOP = "https://shop.example"
EVIL = "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


async def test_only_allowed_origins_of_this_shop_may_read(door: Door) -> None:
    admin = await door.token_of(UserRole.STAFF, Permission.SETTINGS_WRITE)
    kept = await door.call("PUT", "/v1/admin/origins", admin, json={"origins": ["HTTPS://Shop.Example:443", SHOP]})
    assert kept.json() == {"origins": [SHOP]}
    assert (await door.call("GET", "/v1/admin/origins", admin)).json() == {"origins": [SHOP]}

    asked = await door.call("OPTIONS", "/v1/carts", headers={"Origin": SHOP, **ASKS})
    assert (asked.status_code, allowed(asked)) == (204, SHOP)
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert "PATCH" in asked.headers["access-control-allow-methods"]
    read = await door.call("GET", "/v1/products", headers={"Origin": SHOP})
    assert (read.status_code, allowed(read)) == (200, SHOP)
    assert "x-request-id" in read.headers["access-control-expose-headers"]
    refused = await door.call("GET", "/v1/account", headers={"Origin": SHOP})
    assert (refused.status_code, allowed(refused)) == (401, SHOP), "a page reads why it was refused"
    for answer in (asked, read, refused):
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"]

    for origin in (EVIL, "null", "*", f"{SHOP}.evil.example", "http://shop.example", f"{SHOP}:444"):
        assert allowed(await door.call("OPTIONS", "/v1/carts", headers={"Origin": origin, **ASKS})) is None
        assert allowed(await door.call("GET", "/v1/products", headers={"Origin": origin})) is None


async def test_what_one_shop_allows_another_does_not(door: Door) -> None:
    await door.shop.origins.replace(origins=[SHOP])
    other = f"{door.shop.tenant_id}o"
    await door.room.tenants.create(other, name="Other", currency="USD")
    await door.room.tenants.add_host(other, f"o.{door.host}")
    async with client_of(door.app, f"o.{door.host}") as http:
        assert allowed(await http.get("/v1/products", headers={"Origin": SHOP})) is None
        assert allowed(await http.options("/v1/carts", headers={"Origin": SHOP, **ASKS})) is None
    named = {"Origin": SHOP, "Storeroom-Tenant": other}
    assert allowed(await door.call("GET", "/v1/products", headers=named)) is None
    assert allowed(await door.call("GET", "/v1/products", headers={"Origin": SHOP})) == SHOP


async def test_an_unknown_host_allows_nobody(door: Door) -> None:
    await door.shop.origins.replace(origins=[SHOP])
    answer = await door.call("OPTIONS", "/v1/carts", headers={"Origin": SHOP, "Host": "nobody.test", **ASKS})
    assert allowed(answer) is None


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://shop.example", "https://shop.example"),
        (" HTTP://Shop.Example:80 ", "http://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        *((wrong, None) for wrong in ("*", "null", "", "shop.example", "https://", "https://shop.example/")),
        *(
            (wrong, None)
            for wrong in ("https://a b", "ftp://a.example", "https://a.example:0", "https://a.example:99999")
        ),
        *(
            (wrong, None)
            for wrong in ("https://user@a.example", "https://*.example", "https://a.example\n", "https://é.example")
        ),
    ],
)
def test_an_origin_is_scheme_host_and_port(written: str, kept: str | None) -> None:
    if kept is None and written.strip() != "https://a.example":
        with pytest.raises(InvalidOrigin):
            normal_origin(written)
    else:
        assert normal_origin(written) == (kept or written.strip())


async def test_bad_or_too_many_origins_leave_what_there_was(door: Door) -> None:
    await door.shop.origins.replace(origins=[SHOP])
    for origins in ([SHOP, "nonsense"], [f"https://s{n}.example" for n in range(ORIGINS_MAX + 1)]):
        with pytest.raises(InvalidOrigin):
            await door.shop.origins.replace(origins=origins)
    assert await door.shop.origins.list() == [SHOP]
    assert await door.shop.origins.replace(origins=[]) == []
    assert await door.shop.origins.list() == []


@pytest.mark.parametrize(
    ("sent", "foreign"),
    [
        ({}, False),
        ({"Origin": "own"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": EVIL}, True),
        ({"Origin": "null"}, True),
        ({"Origin": SHOP}, True),  # allowed, and allowed origins send tokens
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
    ],
)
async def test_no_other_page_acts_by_a_visitors_cookie(door: Door, sent: dict[str, str], foreign: bool) -> None:
    await door.shop.origins.replace(origins=[SHOP])
    made = await door.http.post("/v1/carts", json={})
    assert made.status_code == 201
    assert "storeroom_session" in door.http.cookies
    cart = f"/v1/carts/{made.json()['id']}"
    headers = {name: f"https://{door.host}" if value == "own" else value for name, value in sent.items()}
    answer = await door.http.post(f"{cart}/reprice", headers=headers)
    assert code_of(answer) == ((403, "auth.foreign_origin") if foreign else (answer.status_code, None)), answer.text
    assert foreign or answer.status_code < 300
    assert (await door.http.get(cart, headers=headers)).status_code == 200, "reading changes nothing"
    token = made.json()["token"]
    door.http.cookies.clear()
    shown = await door.http.post(f"{cart}/reprice", headers={**headers, "Storeroom-Session": token})
    assert shown.status_code < 300, "a token in a header was sent on purpose"


async def test_a_foreign_page_cannot_sign_a_visitor_in_with_their_cart(door: Door) -> None:
    """Signing in claims the guest of the cookie: not for another page's account."""
    await door.http.post("/v1/carts", json={})
    body = {"email": "eve@evil.example", "password": "a long password"}
    answer = await door.http.post("/v1/auth/sign-in", json=body, headers={"Origin": EVIL})
    assert code_of(answer) == (403, "auth.foreign_origin")


@pytest.mark.parametrize("https", [False, True])
async def test_the_cookie_is_kept_from_scripts_and_other_sites(door: Door, https: bool) -> None:
    door.http.base_url = httpx.URL(f"http{'s' if https else ''}://{door.host}")
    cookie = (await door.http.post("/v1/carts", json={})).headers["set-cookie"]
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= parts
    assert ("Secure" in parts) is https


async def test_what_every_answer_says(door: Door) -> None:
    token = await door.token_of(UserRole.CUSTOMER)
    for path, sent, status in (
        ("/v1/products", None, 200),
        ("/v1/account", token, 200),
        ("/v1/account", None, 401),
        ("/nowhere", None, 404),
        ("/docs/api", None, 200),
        ("/health", None, 200),
    ):
        answer = await door.call("GET", path, sent)
        assert answer.status_code == status, path
        said = answer.headers
        assert said["x-content-type-options"] == "nosniff"
        assert said["x-frame-options"] == "DENY"
        assert said["referrer-policy"] == "strict-origin-when-cross-origin"
        assert said["cross-origin-resource-policy"] == "same-origin"
        assert said.get_list("content-security-policy")[0].startswith("default-src 'none'")
        assert len(said.get_list("content-security-policy")) == 1
        assert "frame-ancestors 'none'" in said["content-security-policy"]
        assert (said.get("cache-control") == "no-store") is (sent is not None)
        assert "strict-transport-security" not in said
    door.http.base_url = httpx.URL(f"https://{door.host}")
    assert (await door.http.get("/health")).headers["strict-transport-security"] == "max-age=31536000"
    new = await door.http.post("/v1/auth/guest")
    assert new.headers["cache-control"] == "no-store", "it sets a cookie"
    for path in ("/v1/auth/sign-in", "/v1/auth/refresh", "/v1/auth/nonce", "/v1/orders/lookup", "/nowhere"):
        answered = await door.http.post(path, json={})
        assert answered.headers["cache-control"] == "no-store", "it may hold tokens, or somebody's order"
