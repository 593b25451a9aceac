"""Whatever goes wrong comes out as a problem body that a program can act on, and that tells no secret."""

import httpx
import pytest

from storeroom.core.errors import StoreroomError
from storeroom.web import PROBLEM_JSON, problem, status_of, title_of
from storeroom.web.errors import InternalError

CODES = {
    "clash": (409, "test.clash"),
    "gone": (404, "test.gone"),
    "not_yours": (403, "test.not_yours"),
    "away": (503, "test.away"),
    "broken": (500, "test.broken"),
    "bug": (500, "server.internal"),
}


@pytest.mark.parametrize("kind", CODES)
async def test_each_kind_of_error_has_its_status_and_the_members_of_the_standard(
    http: httpx.AsyncClient, kind: str
) -> None:
    answer = await http.get(f"/fail/{kind}", headers={"X-Request-ID": "abc-1"})
    body, (status, code) = answer.json(), CODES[kind]
    assert answer.status_code == body["status"] == status
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert body["code"] == code
    assert body["type"] == f"/docs/errors/{code}"
    assert body["request_id"] == "abc-1"
    assert body["instance"] == f"/fail/{kind}"
    assert body["title"]
    assert body["detail"]


async def test_facts_stand_beside_and_never_over_the_standard_members(http: httpx.AsyncClient) -> None:
    body = (await http.get("/fail/clash")).json()
    assert body["left"] == 3
    assert body["fact_status"] == "merged"
    assert body["status"] == 409


@pytest.mark.parametrize("kind", ["away", "broken", "bug"])
async def test_what_only_an_operator_may_know_is_not_in_the_answer(http: httpx.AsyncClient, kind: str) -> None:
    text = (await http.get(f"/fail/{kind}", headers={"X-Request-ID": "ours"})).text  # a random one may hold a db7
    assert "internal:5432" not in text
    assert "keeper" not in text
    assert "zebra" not in text
    assert "Traceback" not in text


async def test_where_waiting_helps_the_answer_says_how_long(http: httpx.AsyncClient) -> None:
    assert int((await http.get("/fail/away")).headers["retry-after"]) >= 1


GOOD = {"name": "n", "parts": [{"sku": "a", "quantity": 1}]}
BAD_BODIES = [
    ({**GOOD, "name": None}, "name"),
    ({"parts": []}, "name"),
    ({**GOOD, "colour": "red"}, "colour"),
    ({**GOOD, "parts": [{"sku": "a", "quantity": 0}]}, "parts[0].quantity"),
    ({**GOOD, "parts": [GOOD["parts"][0], {"sku": "a", "quantity": "two"}]}, "parts[1].quantity"),
    ({**GOOD, "parts": [{"sku": "a"}]}, "parts[0].quantity"),
    ({**GOOD, "parts": [{"sku": "a", "quantity": 1, "size": "L"}]}, "parts[0].size"),
    ({**GOOD, "parts": {}}, "parts"),
    ({**GOOD, "parts": [{"sku": "a", "quantity": "2"}]}, "parts[0].quantity"),
    ({**GOOD, "name": 1}, "name"),
    ([GOOD], None),
]
UNSTORABLE = [
    ({**GOOD, "name": "a\x00b"}, "name"),
    ({**GOOD, "parts": [{"sku": "\x00", "quantity": 1}]}, "parts[0].sku"),
]


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
async def test_bad_input_names_the_field(http: httpx.AsyncClient, body: object, field: str | None) -> None:
    answer = await http.post("/store", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "request.invalid"
    assert answer.json().get("field") == field


@pytest.mark.parametrize(("body", "field"), UNSTORABLE)
async def test_what_fits_its_schema_and_cannot_be_kept_is_422(
    http: httpx.AsyncClient, body: object, field: str
) -> None:
    answer = await http.post("/store", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.unstorable"), answer.text
    assert answer.json()["field"] == field


async def test_a_good_body_passes_where_the_bad_ones_did_not(http: httpx.AsyncClient) -> None:
    whole = {**GOOD, "parts": [{"sku": "a", "quantity": 2.0}]}
    for body in (GOOD, whole):
        assert (await http.post("/store", json=body)).status_code == 201


async def test_a_query_parameter_is_named_too(http: httpx.AsyncClient) -> None:
    assert (await http.get("/list", params={"limit": "9"})).json() == {"cursor": None, "limit": 9}
    for query, field in ((("limit", "0"), "limit"), (("limit", "101"), "limit"), (("limit", "x"), "limit")):
        answer = await http.get("/list", params=[query])
        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert answer.json()["source"] == "query"
    answer = await http.get("/store", params={"text": "a\x00"})
    assert (answer.status_code, answer.json()["field"]) == (422, "text")


async def test_a_path_that_no_row_can_have_leads_nowhere(http: httpx.AsyncClient) -> None:
    assert (await http.get("/store/a")).status_code == 200
    for path in ("/store/%00", "/store/a%00?text=b"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "request.no_such_path"), answer.text


@pytest.mark.parametrize("content", [b"{", b'{"name": ', b"\xff\xfe", b""])
async def test_a_body_that_cannot_be_read_is_400(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/store", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.malformed")


async def test_http_has_its_own_refusals(http: httpx.AsyncClient) -> None:
    missing = await http.get("/nowhere")
    assert (missing.status_code, missing.json()["code"]) == (404, "request.no_such_path")
    wrong = await http.delete("/store")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "request.method_not_allowed")
    assert "POST" in wrong.headers["allow"]
    large = await http.post("/store", json={**GOOD, "name": "x" * 5000})
    assert (large.status_code, large.json()["code"]) == (413, "request.too_large")


def test_every_known_error_has_a_status_and_a_title() -> None:
    for error in StoreroomError.by_code.values():
        assert 400 <= status_of(error) <= 503
        assert title_of(error)


def test_an_error_without_a_kind_would_have_no_status() -> None:
    class Kindless(StoreroomError):
        """Of no kind."""

    with pytest.raises(StopIteration):
        status_of(Kindless)
    assert problem(InternalError())["status"] == 500
