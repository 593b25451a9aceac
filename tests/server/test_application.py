"""What holds for the application as a whole: every route, every error, every answer."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from served import Place, client_of

from storeroom.core.errors import StoreroomError
from storeroom.core.ids import human_code
from storeroom.database.pool import Database
from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.server.logs import configure_logs
from storeroom.server.openapi import finished
from storeroom.settings import Settings
from storeroom.web import PROBLEM_JSON, WITHOUT_KEY, requires_staff, status_of
from storeroom.web.guards import PERMISSIONS


@pytest.fixture(scope="module")
def document(app: Litestar) -> dict[str, Any]:
    return finished(app, app.openapi_schema.to_schema())


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_every_operation_answers_errors_as_problems(document: dict[str, Any]) -> None:
    assert len(operations(document)) > 40
    for name, operation in operations(document):
        assert operation.get("summary"), name
        assert operation.get("tags"), name
        for status, response in operation["responses"].items():
            if status[0] in "45d":
                assert list(response["content"]) == [PROBLEM_JSON], (name, status)
        assert "default" in operation["responses"], name


def test_every_operation_has_its_own_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert sorted(ids) == sorted(set(ids))


def test_patterns_and_bounds_are_those_of_json_schema(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert "\\\\Z" not in text
    assert "e+18" not in text


def handlers(app: Litestar) -> list[tuple[str, str, Any]]:
    return [
        (str(method), route.path, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    ]


def test_no_route_of_staff_is_open(app: Litestar) -> None:
    of_staff = [(method, path, handler) for method, path, handler in handlers(app) if path.startswith("/v1/admin")]
    assert len(of_staff) > 20
    for method, path, handler in of_staff:
        if method != "OPTIONS":
            guards = handler.resolve_guards()
            assert any(hasattr(guard, PERMISSIONS) or guard is requires_staff for guard in guards), (method, path)


def takes_a_key(handler: Any) -> bool:
    """Kept for it, or asked for by the route itself, as checkout does."""
    wanted = handler.parsed_fn_signature.parameters.values()
    return bool(handler.opt.get("idempotent")) or "Idempotency-Key" in str([each.raw for each in wanted])


def test_every_post_that_creates_takes_a_key_or_says_why_not(app: Litestar, document: dict[str, Any]) -> None:
    """In the document, and on the page for those who call it."""
    creating = [
        (re.sub(r":\w+}", "}", path), handler)
        for method, path, handler in handlers(app)
        if method == "POST" and handler.status_code == 201 and handler.include_in_schema is not False
    ]
    without = {path: h.opt[WITHOUT_KEY] for path, h in creating if not takes_a_key(h)}
    assert len(creating) > 20 and len(without) == 8
    for path, handler in creating:
        said = document["paths"][path]["post"]
        named = any(each.get("name") == "Idempotency-Key" for each in said.get("parameters", []))
        assert named is takes_a_key(handler), path
        assert (WITHOUT_KEY in handler.opt) is not named, path
        if not named:
            assert f"Takes no Idempotency-Key: {without[path]}." in said["description"]
    page = (Path(__file__).parents[2] / "docs" / "repeated-requests.md").read_text()
    rows = dict(re.findall(r"^\| `POST (\S+)` \| (.+) \|$", page, re.MULTILINE))
    assert rows == without


def test_every_error_of_the_package_has_a_status(app: Litestar) -> None:
    known = {code: error for code, error in StoreroomError.by_code.items() if not code.startswith("test.")}
    assert len(known) > 80
    for error in known.values():
        assert status_of(error) in {400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503}


def test_a_server_has_a_page_for_each_error_that_the_docs_have() -> None:
    """Of a process that has loaded nothing but the server; the tests load everything."""
    program = "import storeroom.server.pages as pages; print(*sorted(pages.known_errors()))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    written = {page.stem for page in (Path(__file__).parents[2] / "docs" / "errors").glob("*.md")} - {"README"}
    assert written - set(said.stdout.split()) == {"cli.no_database"}, "the command line's own: it has not started this"
    assert set(said.stdout.split()) <= written


async def test_the_document_is_served_and_names_every_call(place: Place) -> None:
    answer = await place.http.get("/schema/openapi.json")
    document = answer.json()
    assert answer.status_code == 200
    assert document["openapi"].startswith("3.1")
    checkout = document["paths"]["/v1/checkout"]["post"]
    assert {"200", "201", "400", "404", "409", "422"} <= set(checkout["responses"])
    assert "checkout.out_of_stock" in checkout["responses"]["409"]["description"]
    carts = document["paths"]["/v1/carts"]["post"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in carts["parameters"]}


def test_what_may_be_absent_keeps_its_lower_bound(document: dict[str, Any]) -> None:
    """The framework forgets a bound of 0 where a field may be null or left out."""
    fields = document["components"]["schemas"]["VariantChanges"]["properties"]
    assert (fields["weight_g"]["minimum"], fields["weight_g"]["maximum"]) == (0, 1_000_000_000)


def test_a_body_that_may_be_a_list_keeps_its_bounds(document: dict[str, Any]) -> None:
    """Of a union the framework forgets them, whatever the items are."""
    schema = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    (batch,) = [each for each in schema["anyOf"] if each.get("type") == "array"]
    assert (batch["minItems"], batch["maxItems"]) == (1, 1_000)


async def test_pages_for_people_need_nothing_from_outside(place: Place) -> None:
    await place.sku(price=1234)
    for path in ("/", "/docs/api", "/docs/errors", "/docs/errors/checkout.out_of_stock"):
        page = await place.http.get(path)
        assert page.status_code == 200, (path, page.text)
        assert page.headers["content-type"].startswith("text/html")
        assert not re.search(r"<script|(?:src|href)=.https?:|@import|url\(", page.text), path
    first = (await place.http.get("/")).text
    assert "Shirt" in first
    assert "$12.34" in first
    assert "Shirt" not in (await place.http.get("/", headers={"Host": "unknown.test"})).text
    missing = await place.http.get("/docs/errors/no.such_code")
    assert (missing.status_code, missing.json()["code"]) == (404, "server.no_such_error_code")


async def test_the_type_of_a_problem_leads_to_its_page(place: Place) -> None:
    problem = (await place.http.get("/v1/nowhere")).json()
    page = await place.http.get(problem["type"])
    assert page.status_code == 200
    assert problem["code"] in page.text


async def test_every_answer_has_an_id_and_our_headers(place: Place) -> None:
    for path, status in (("/health", 200), ("/v1/nowhere", 404), ("/v1/account", 401)):
        answer = await place.http.get(path, headers={"X-Request-ID": "mine-1"})
        assert answer.status_code == status
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_body_over_the_limit_is_413_before_it_is_read(place: Place) -> None:
    large = await place.http.post("/v1/checkout", content=b"x" * (2 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["code"]) == (413, "request.too_large")


async def test_json_deeper_than_can_be_read_is_refused_wherever_it_stands(place: Place) -> None:
    deep = b'{"x":' + b"[" * 1200 + b"]" * 1200 + b"}"
    segment = base64.urlsafe_b64encode(deep).rstrip(b"=").decode()
    by_token = await place.http.get("/v1/account", headers={"Authorization": f"Bearer e30.{segment}.x"})
    assert (by_token.status_code, by_token.json()["code"]) == (401, "auth.invalid_token")
    for path in ("/v1/payments/PAY-AAAAA-AAAAA/proof", "/v1/checkout", "/v1/webhooks/default/mailgun"):
        answer = await place.http.post(path, content=deep, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, (path, answer.text)


async def test_metrics_have_templates_for_paths(place: Place) -> None:
    await place.http.get(f"/v1/carts/{'0' * 8}-0000-7000-8000-{'0' * 12}")
    await place.http.get(f"/v1/{human_code()}")
    text = (await place.http.get("/metrics")).text
    assert re.search(r'storeroom_requests_total\{method="GET",path="/v1/carts/\{cart_id\}",status="\d+"\} ', text)
    assert 'path="unmatched",status="404"' in text
    assert "storeroom_database_connections" in text
    assert "storeroom_request_seconds_bucket" in text


async def test_one_line_per_request_and_no_secret_in_it(place: Place) -> None:
    stream = io.StringIO()
    configure_logs(stream, json=True)
    person = {"email": "eve@example.com", "password": "correct horse battery"}
    await place.http.post("/v1/auth/register", json={**person, "full_name": "Eve"}, headers={"X-Request-ID": "r-1"})
    await place.http.get("/health")
    await place.http.get("/v1/nowhere?token=zebra", headers={"X-Request-ID": "r-2"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["request_id"], line["path"], line["status"]) for line in lines] == [
        ("r-1", "/v1/auth/register", 201),
        ("r-2", "unmatched", 404),
    ]
    assert lines[0]["tenant"] == place.market.tenant_id
    assert "correct horse" not in stream.getvalue()
    assert "zebra" not in stream.getvalue()


async def test_a_bug_is_logged_with_its_request_and_without_variables(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        hidden = "correct horse battery"
        raise RuntimeError(f"{len(hidden)} characters")

    monkeypatch.setattr("storeroom.tenants.Tenants.at_host", broken)
    stream = io.StringIO()
    configure_logs(stream, json=True)
    async with client_of(place.app, "never-seen.test") as http:
        answer = await http.post("/v1/checkout", json=await place.order("x"), headers={"X-Request-ID": "r-9"})
    assert (answer.status_code, answer.json()["code"]) == (500, "server.internal")
    assert "characters" not in answer.text
    (unexpected,) = (json.loads(line) for line in stream.getvalue().splitlines() if "unexpected" in line)
    assert unexpected["request_id"] == "r-9"
    assert "RuntimeError: 21 characters" in unexpected["exception"]
    assert "correct horse" not in stream.getvalue()


async def test_a_flood_from_one_address_is_stopped(place: Place) -> None:
    app = create_app(place.room, Settings(flood_requests=3))
    async with client_of(app, place.host) as http:
        answers = [await http.get("/health") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "request.rate_limited"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].headers["x-request-id"]


async def test_a_flood_from_one_line_is_stopped_whatever_its_addresses(place: Place) -> None:
    app = create_app(place.room, Settings(flood_requests=3))
    statuses = []
    for ip in ("2001:db8::1", "2001:db8::2", "2001:db8::ff:3", "2001:db8::4", "2001:db8:0:1::1"):
        transport = httpx.ASGITransport(app, client=(ip, 40000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{place.host}") as http:
            statuses.append((await http.get("/health")).status_code)
    assert statuses == [200, 200, 200, 429, 200]


async def test_ready_says_so_when_the_database_is_away_or_old(fresh_database: Any, postgres: Any, place: Place) -> None:
    dsn = await fresh_database()
    name = dsn.split("@/")[1].split("?")[0]
    async with (
        Storeroom.open(dsn, secret="x" * 40) as room,
        client_of(create_app(room), "a.test") as http,
        await Database.open(postgres.dsn("postgres"), role=None) as admin,
    ):
        assert (await http.get("/ready")).status_code == 200
        await admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        away = await http.get("/ready")
        assert (away.status_code, away.json()["code"]) == (503, "server.not_ready")
        assert "retry-after" in away.headers
        assert name not in away.text
        assert (await http.get("/health")).status_code == 200
        await admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        assert (await http.get("/ready")).status_code == 200
