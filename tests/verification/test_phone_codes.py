"""Codes by phone: sent, tried, used once, and never more often than allowed, however many try at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import bcrypt
import pytest
from phones import PHONE, Phones

from factories import SECRET, open_shop
from rivals import race
from storeroom.core.contact import InvalidPhone
from storeroom.core.errors import TooMany
from storeroom.core.ids import UserId
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.notices import Channel, Notice
from storeroom.room import Storeroom
from storeroom.verification import (
    CODE_ATTEMPTS_MAX,
    CODE_REQUESTS_MAX,
    PROOF_LIFETIME,
    CodeRefused,
    CodeSent,
    PhoneProofRequired,
    TooManyCodes,
    queries,
)
from storeroom.verification.jobs import remove_expired_codes

REFUSED = (CodeRefused, TooMany)  # by the code's own count, or because the phone failed too often by whatever code


@pytest.mark.requirement("SIG-OTP-01", "SIG-OTP-02")
async def test_a_code_arrives_and_is_kept_as_a_hash_only(phones: Phones, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sent = await phones.codes.request(phone="077 123 4567")
    code = phones.code()
    assert len(code) == 6 and code.isdigit()
    row = await phones.one("SELECT to_jsonb(o) FROM {otp_sessions} o WHERE tenant_id = $1")
    assert row["phone"] == PHONE
    by_chance = {"tenant_id", "id", "session_id", "phone", "created_at", "expires_at"}  # where any six digits may be
    assert not any(code in str(value) for column, value in row.items() if column not in by_chance)
    kept = await phones.one("SELECT otp_hash FROM {otp_sessions} WHERE tenant_id = $1")
    assert bcrypt.checkpw(code.encode(), kept.encode())
    assert not bcrypt.checkpw(phones.wrong().encode(), kept.encode())

    proof = await phones.codes.verify(session_id=sent.session_id, code=code)
    assert (proof.phone, proof.session_id) == (PHONE, sent.session_id)
    assert await phones.one("SELECT verified AND attempts = 0 FROM {otp_sessions} WHERE tenant_id = $1")
    await phones.codes.require(session_id=sent.session_id, phone=PHONE)
    assert code not in caplog.text


async def test_a_message_is_readable_by_nobody_else(phones: Phones) -> None:
    await phones.codes.request(phone=PHONE)
    (file,) = phones.folder.iterdir()
    assert (file.stat().st_mode & 0o777, phones.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    notice = Notice(tenant_id=phones.shop.tenant_id, kind="k", channel=Channel.SMS, to=PHONE, facts={"code": "123"})
    assert "123" not in f"{notice}" and PHONE not in f"{notice}"


@pytest.mark.requirement("SIG-CUS-05")
@pytest.mark.parametrize("spelling", ["0771234567", "94771234567", "+94 77 123 4567", "+94-77-1234567"])
async def test_one_phone_however_it_is_written(phones: Phones, spelling: str) -> None:
    await phones.codes.request(phone=spelling)
    assert await phones.one("SELECT phone FROM {otp_sessions} WHERE tenant_id = $1") == PHONE
    user = await phones.shop.users.register(
        email="ann@example.com", password="correct horse battery", full_name="Ann", phone=spelling
    )
    assert user.phone == PHONE


@pytest.mark.requirement("SIG-CUS-05")
@pytest.mark.parametrize("text", ["7712", "+94 11 123", "0112345678", "not a number", "", "+94 77 123 4567 ext 3"])
async def test_where_no_message_arrives_none_is_sent(phones: Phones, text: str) -> None:
    with pytest.raises(InvalidPhone):
        await phones.codes.request(phone=text)
    assert not phones.folder.exists()
    assert await phones.one("SELECT count(*) FROM {otp_requests} WHERE tenant_id = $1") == 0


@pytest.mark.requirement("SIG-OTP-03")
async def test_wrong_codes_are_counted_and_then_the_right_one_is_refused(phones: Phones) -> None:
    sent = await phones.codes.request(phone=PHONE)
    for count, wrong in enumerate([phones.wrong(), "", "12345", "١٢٣٤٥٦", phones.wrong()], 1):
        with pytest.raises(CodeRefused):
            await phones.codes.verify(session_id=sent.session_id, code=wrong)
        assert await phones.attempts() == count
    assert count == CODE_ATTEMPTS_MAX
    with pytest.raises(REFUSED):
        await phones.codes.verify(session_id=sent.session_id, code=phones.code())
    assert await phones.one("SELECT NOT verified FROM {otp_sessions} WHERE tenant_id = $1")


@pytest.mark.requirement("SIG-OTP-03")
async def test_many_wrong_codes_at_once_are_all_counted(phones: Phones) -> None:
    sent = await phones.codes.request(phone=PHONE)
    wrong = phones.wrong()
    said = await asyncio.gather(
        *(phones.codes.verify(session_id=sent.session_id, code=wrong) for _ in range(4 * CODE_ATTEMPTS_MAX)),
        return_exceptions=True,
    )
    assert all(isinstance(each, REFUSED) for each in said)
    assert sum(isinstance(each, CodeRefused) for each in said) >= CODE_ATTEMPTS_MAX
    assert await phones.attempts() == CODE_ATTEMPTS_MAX
    with pytest.raises(REFUSED):
        await phones.codes.verify(session_id=sent.session_id, code=phones.code())


async def _take(phones: Phones, tx: Transaction, sent: CodeSent) -> Any:
    return await queries.take_try(
        tx, tenant_id=phones.shop.tenant_id, session_id=sent.session_id, attempts_max=CODE_ATTEMPTS_MAX
    )


@pytest.mark.requirement("SIG-OTP-03")
@pytest.mark.parametrize(("left", "passes"), [(1, False), (2, True)])
async def test_who_waits_for_the_last_try_gets_none(
    phones: Phones, database: Database, left: int, passes: bool
) -> None:
    """The control has one try more: then the one who waited is through."""
    sent = await phones.codes.request(phone=PHONE)
    await phones.one("UPDATE {otp_sessions} SET attempts = $2 WHERE tenant_id = $1", CODE_ATTEMPTS_MAX - left)
    outcome = await race(
        database,
        lambda tx: _take(phones, tx, sent),
        lambda: phones.codes.verify(session_id=sent.session_id, code=phones.code()),
    )
    assert isinstance(outcome, CodeRefused) is not passes, outcome


@pytest.mark.requirement("SIG-OTP-04")
async def test_the_right_code_is_refused_when_its_time_is_over(phones: Phones) -> None:
    sent = await phones.codes.request(phone=PHONE)
    await phones.age("otp_sessions", "expires_at")
    with pytest.raises(CodeRefused):
        await phones.codes.verify(session_id=sent.session_id, code=phones.code())


@pytest.mark.requirement("SIG-OTP-04")
async def test_a_code_works_once(phones: Phones) -> None:
    sent = await phones.codes.request(phone=PHONE)
    said = await asyncio.gather(
        *(phones.codes.verify(session_id=sent.session_id, code=phones.code()) for _ in range(CODE_ATTEMPTS_MAX)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, BaseException) for each in said) == 1
    assert sum(isinstance(each, CodeRefused) for each in said) == CODE_ATTEMPTS_MAX - 1
    with pytest.raises(CodeRefused):
        await phones.codes.verify(session_id=sent.session_id, code=phones.code())


@pytest.mark.requirement("SIG-OTP-04")
async def test_of_two_right_ones_that_meet_the_second_is_refused(phones: Phones, database: Database) -> None:
    sent = await phones.codes.request(phone=PHONE)

    async def first(tx: Transaction) -> None:
        opened = await _take(phones, tx, sent)
        assert await queries.mark_verified(
            tx, tenant_id=phones.shop.tenant_id, id=opened.id, proof_lifetime=PROOF_LIFETIME
        )

    outcome = await race(database, first, lambda: phones.codes.verify(session_id=sent.session_id, code=phones.code()))
    assert isinstance(outcome, CodeRefused)


@pytest.mark.requirement("SIG-OTP-05")
async def test_a_new_code_replaces_the_open_one(phones: Phones) -> None:
    first = await phones.codes.request(phone=PHONE)
    old = phones.code()
    second = await phones.codes.request(phone="0771234567")
    for session_id, code in [(first.session_id, old), (first.session_id, phones.code())]:
        with pytest.raises(CodeRefused):
            await phones.codes.verify(session_id=session_id, code=code)
    if old != phones.code():
        with pytest.raises(CodeRefused):
            await phones.codes.verify(session_id=second.session_id, code=old)
    assert (await phones.codes.verify(session_id=second.session_id, code=phones.code())).phone == PHONE


@pytest.mark.requirement("SIG-OTP-05")
async def test_requests_for_one_phone_are_limited_also_at_once(phones: Phones) -> None:
    said = await asyncio.gather(
        *(phones.codes.request(phone=PHONE) for _ in range(2 * CODE_REQUESTS_MAX)), return_exceptions=True
    )
    assert sum(isinstance(each, CodeSent) for each in said) == CODE_REQUESTS_MAX
    refused = [each for each in said if isinstance(each, TooManyCodes)]
    assert len(refused) == CODE_REQUESTS_MAX and all(0 < each.retry_after_s <= 900 for each in refused)
    assert len(phones.messages()) == CODE_REQUESTS_MAX
    assert await phones.one("SELECT count(*) FROM {otp_sessions} WHERE tenant_id = $1") == 1

    await phones.codes.request(phone="0777654321")  # another phone has its own count
    await phones.age("otp_requests", "window_ends_at")
    assert await phones.codes.request(phone=PHONE), "and in another window it may be asked for again"


@pytest.mark.requirement("SIG-OTP-05", "SIG-CUS-06")
async def test_the_account_with_the_number_is_verified_until_the_number_changes(phones: Phones) -> None:
    users = phones.shop.users
    user = await users.register(email="ann@example.com", password="correct horse battery", full_name="Ann", phone=PHONE)
    other = await users.register(
        email="bo@example.com", password="correct horse battery", full_name="Bo", phone="0777654321"
    )
    assert not user.phone_verified
    sent = await phones.codes.request(phone=PHONE)
    with pytest.raises(CodeRefused):
        await phones.codes.verify(session_id=sent.session_id, code=phones.wrong())
    assert not (await users.get(user_id=user.id)).phone_verified
    await phones.codes.verify(session_id=sent.session_id, code=phones.code())
    assert (await users.get(user_id=user.id)).phone_verified
    assert not (await users.get(user_id=other.id)).phone_verified
    assert (await users.change_phone(user_id=user.id, phone=PHONE)).phone_verified, "the same number is no change"
    assert not (await users.change_phone(user_id=user.id, phone="0775555555")).phone_verified


async def test_whoever_proves_a_number_takes_it_from_an_account_that_only_said_it(phones: Phones) -> None:
    """Mallory's account has Ann's number; that Ann answers there must not prove Mallory's account."""
    users = phones.shop.users
    people = [
        await users.register(email=f"{name}@example.com", password="correct horse battery", full_name=name)
        for name in ("mallory", "ann")
    ]
    mallory, ann = (people[0].id, people[1].id)
    await users.change_phone(user_id=mallory, phone=PHONE)

    async def proves(user_id: UserId) -> None:
        sent = await phones.codes.request(phone=PHONE)
        actor = Actor(kind=ActorKind.CUSTOMER, user_id=user_id)
        await phones.shop.acting(actor=actor).phone_codes.verify(session_id=sent.session_id, code=phones.code())

    await proves(ann)
    for user_id in (mallory, ann):
        user = await users.get(user_id=user_id)
        assert (user.phone, user.phone_verified) == (None, False)
    await users.change_phone(user_id=ann, phone=PHONE)
    await proves(ann)
    await proves(mallory)
    assert (await users.get(user_id=ann)).phone_verified, "a proven number stays"


async def test_a_code_is_sent_again(phones: Phones) -> None:
    first = await phones.codes.request(phone=PHONE)
    second = await phones.codes.resend(session_id=first.session_id)
    assert len(phones.messages()) == 2
    with pytest.raises(CodeRefused):
        await phones.codes.resend(session_id=first.session_id)
    await phones.codes.verify(session_id=second.session_id, code=phones.code())
    with pytest.raises(CodeRefused):
        await phones.codes.resend(session_id=uuid4())


async def test_a_proof_is_of_one_phone_and_ends(phones: Phones) -> None:
    sent = await phones.codes.request(phone=PHONE)
    for session_id, phone in [(None, PHONE), (sent.session_id, PHONE), (uuid4(), PHONE)]:
        with pytest.raises(PhoneProofRequired):
            await phones.codes.require(session_id=session_id, phone=phone)
    await phones.codes.verify(session_id=sent.session_id, code=phones.code())
    await phones.codes.require(session_id=sent.session_id, phone=PHONE)
    with pytest.raises(PhoneProofRequired):
        await phones.codes.require(session_id=sent.session_id, phone="94777654321")
    await phones.age("otp_sessions", "expires_at")
    with pytest.raises(PhoneProofRequired):
        await phones.codes.require(session_id=sent.session_id, phone=PHONE)


async def _three_and_one(phones: Phones) -> None:
    for digit in "123":
        await phones.codes.request(phone=f"077000000{digit}")
    await phones.age("otp_sessions", "expires_at")
    await phones.codes.request(phone=PHONE)


CLEANUP = "SELECT {cleanup_expired_otps_v1}($1, 100)"
LEFT = "SELECT array_agg(phone) FROM {otp_sessions} WHERE tenant_id = $1"


@pytest.mark.requirement("SIG-FN-06")
async def test_the_function_removes_what_expired_and_says_how_many(phones: Phones) -> None:
    await _three_and_one(phones)
    assert await phones.one("SELECT {cleanup_expired_otps_v1}($1, 2)") == 2
    assert await phones.one(CLEANUP) == 1
    assert await phones.one(CLEANUP) == 0
    assert await phones.one(LEFT) == [PHONE]


@pytest.mark.requirement("SIG-RET-03")
async def test_two_cleanups_at_once_do_no_harm(phones: Phones, database: Database) -> None:
    await _three_and_one(phones)
    sql = database.names.render(CLEANUP)
    async with database.transaction() as one, database.transaction() as other:
        removed = [await tx.fetchval(sql, phones.shop.tenant_id) for tx in (one, other)]
    assert removed == [3, 0], "the second passes by what the first holds"
    assert await phones.one(LEFT) == [PHONE]


@pytest.mark.requirement("SIG-RET-03")
async def test_the_job_removes_codes_and_counts_whose_time_is_over(
    fresh_database: Callable[..., Awaitable[str]], tmp_path: Path
) -> None:
    """In a database of its own: the job looks at all shops, whose codes end when they end."""
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        phones = Phones(await open_shop(room, actor=SYSTEM, country_code="LK"), tmp_path / "notices", room)
        await _three_and_one(phones)
        await phones.one("UPDATE {otp_requests} SET window_ends_at = now() WHERE tenant_id = $1 AND phone <> $2", PHONE)
        assert await remove_expired_codes(room.db) == 6
        assert await remove_expired_codes(room.db, limit=10) == 0
        assert await phones.one(LEFT) == [PHONE]
        assert await phones.one("SELECT array_agg(phone) FROM {otp_requests} WHERE tenant_id = $1") == [PHONE]
