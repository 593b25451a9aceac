"""What is kept for a retry holds no token that opens anything."""

import pytest
from served import Place

ROWS = "SELECT coalesce(string_agg(to_jsonb(k)::text, ' '), '') FROM {idempotency_keys} k WHERE tenant_id = $1"
EVENT = {"event_name": "page.view", "event_category": "page", "session_id": "visit"}


@pytest.mark.requirement("CED-IDK-01")
@pytest.mark.parametrize(("path", "body"), [("/v1/carts", {"utm_source": "ig"}), ("/v1/events", [EVENT])])
async def test_a_new_guests_token_is_nowhere_in_the_tables_and_comes_again_with_the_answer(
    place: Place, path: str, body: object
) -> None:
    headers = {"Idempotency-Key": "a-key-nobody-guesses"}
    first = await place.http.post(path, json=body, headers=headers)
    token = first.json()["token"]
    assert await place.count("idempotency_keys") == 1
    assert token.rpartition(".")[2] not in await place.market.one(ROWS)
    place.http.cookies.clear()
    again = await place.http.post(path, json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replay"] == "true"
