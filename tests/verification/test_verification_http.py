"""Codes by phone over HTTP."""

import httpx
import pytest
from phones import PHONE, Phones

from storeroom.verification.routes import CODES_BY_ADDRESS, TRIES_BY_ADDRESS


@pytest.mark.requirement("SIG-OTP-01")
async def test_a_phone_is_proven(http: httpx.AsyncClient, phones: Phones) -> None:
    asked = await http.post("/v1/auth/otp/request", json={"phone": "077 123 4567"})
    await phones.arrive()
    assert asked.status_code == 202 and set(asked.json()) == {"session_id", "expires_at"}
    assert phones.code() not in asked.json().values()
    again = await http.post("/v1/auth/otp/resend", json={"session_id": asked.json()["session_id"]})
    assert again.status_code == 202
    await phones.arrive()
    session_id = again.json()["session_id"]
    wrong = await http.post("/v1/auth/otp/verify", json={"session_id": session_id, "code": phones.wrong()})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "verification.code_refused")
    right = await http.post("/v1/auth/otp/verify", json={"session_id": session_id, "code": phones.code()})
    assert right.status_code == 200
    assert (right.json()["verified"], right.json()["session_id"]) == (True, session_id)
    await phones.codes.require(session_id=session_id, phone=PHONE)


async def test_known_and_unknown_numbers_look_the_same(http: httpx.AsyncClient, phones: Phones) -> None:
    await phones.shop.users.register(email="a@example.com", password="correct horse", full_name="Ann", phone=PHONE)
    known, unknown = [await http.post("/v1/auth/otp/request", json={"phone": phone}) for phone in (PHONE, "0777654321")]
    assert known.status_code == unknown.status_code == 202
    assert set(known.json()) == set(unknown.json()) == {"session_id", "expires_at"}


@pytest.mark.usefixtures("one_window")
async def test_an_address_asks_and_guesses_so_often(http: httpx.AsyncClient) -> None:
    said = [
        (await http.post("/v1/auth/otp/request", json={"phone": "0112345678"})).status_code
        for _ in range(CODES_BY_ADDRESS + 1)
    ]
    assert said == [422] * CODES_BY_ADDRESS + [429]
    guess = {"session_id": "00000000-0000-4000-8000-000000000000", "code": "123456"}
    tried = [(await http.post("/v1/auth/otp/verify", json=guess)).status_code for _ in range(TRIES_BY_ADDRESS + 1)]
    assert tried == [401] * TRIES_BY_ADDRESS + [429]


async def test_too_many_for_one_phone_says_when_to_come_again(http: httpx.AsyncClient) -> None:
    said = [await http.post("/v1/auth/otp/request", json={"phone": PHONE}) for _ in range(6)]
    assert [each.status_code for each in said] == [202] * 5 + [429]
    assert said[-1].json()["code"] == "verification.too_many_codes"
    assert 0 < int(said[-1].headers["Retry-After"]) <= 900
