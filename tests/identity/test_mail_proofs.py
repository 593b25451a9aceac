"""Mail addresses proven by a message, forgotten passwords, and that nobody learns from them who has an account."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from house import PASSWORD, SECRET, House

from posted import posted
from rivals import race
from serving import app_of
from storeroom.core.secrets import token_hash
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Database, Transaction
from storeroom.identity import (
    AccountSettings,
    CommonPassword,
    InvalidCredentials,
    InvalidPassword,
    InvalidPerson,
    MailProofs,
    OneTimeTokenRefused,
    SignedIn,
    TokenRefused,
    UserRole,
    UserStatus,
    WrongPassword,
)
from storeroom.identity.jobs import remove_account_tokens
from storeroom.identity.model import RESET_LIFETIME, VERIFICATION_LIFETIME
from storeroom.identity.proof_routes import MESSAGES_BY_EMAIL
from storeroom.notices import NOTICES_FOLDER
from storeroom.room import Storeroom

ANN = {"email": "ann@example.com", "password": PASSWORD, "full_name": "Ann Buyer"}
NEXT = "another horse battery"


class Mailbox:
    """What was queued for the shop, read once."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def read(self) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(each) for each in await posted(self._house.room, self._house.shop.tenant_id)]

    async def token(self, kind: str) -> str:
        """Of the only message there is."""
        (notice,) = await self.read()
        assert notice["kind"] == kind
        return str(notice["facts"]["token"])


@pytest.fixture
def mailbox(house: House) -> Mailbox:
    return Mailbox(house)


async def sign_in(house: House, password: str = PASSWORD) -> SignedIn:
    return await house.shop.sessions.sign_in(email="ann@example.com", password=password)


async def outdated(house: House) -> None:
    await house.run("UPDATE {account_tokens} SET expires_at = now() WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-USR-07")
async def test_an_address_is_proven_by_whoever_reads_its_mail(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    await house.shop.mail_proofs.send_verification(email=" ANN@example.com")
    (notice,) = await mailbox.read()
    assert (notice["to"], notice["channel"], notice["facts"]["name"]) == ("ann@example.com", "mail", "Ann Buyer")
    token = notice["facts"]["token"]
    assert await house.rows("SELECT token_hash, email FROM {account_tokens} WHERE tenant_id = $1") == [
        (token_hash(token), "ann@example.com")
    ]
    proven = await house.shop.mail_proofs.verify_email(token=token)
    assert (proven.email_verified, proven.status) == (True, UserStatus.ACTIVE)
    assert proven.email_verified_at is not None
    assert await house.count("account_tokens") == 0
    with pytest.raises(OneTimeTokenRefused):
        await house.shop.mail_proofs.verify_email(token=token)
    await house.shop.mail_proofs.send_verification(email=user.email)
    assert await mailbox.read() == [], "there is nothing left to prove"


@pytest.mark.requirement("SBB-USR-07")
async def test_a_token_proves_only_the_address_that_it_was_sent_to(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    await house.shop.mail_proofs.send_verification(email=user.email)
    token = await mailbox.token("verify_email")
    await house.of(user).users.change_email(user_id=user.id, email="eve@example.com")
    with pytest.raises(OneTimeTokenRefused):
        await house.shop.mail_proofs.verify_email(token=token)
    assert await house.column("email_verified", user.id) is False
    await house.shop.mail_proofs.send_verification(email="eve@example.com")
    await house.shop.mail_proofs.verify_email(token=await mailbox.token("verify_email"))
    await house.of(user).users.change_email(user_id=user.id, email="ann@example.com")
    row = await house.rows("SELECT email_verified, email_verified_at FROM {users} WHERE tenant_id = $1")
    assert row == [(False, None)]


async def test_a_token_is_good_once_for_one_thing_in_one_shop_and_for_a_time(
    house: House, other: House, mailbox: Mailbox
) -> None:
    user = await house.customer()
    await house.shop.mail_proofs.send_verification(email=user.email)
    replaced = await mailbox.token("verify_email")
    await house.shop.mail_proofs.send_verification(email=user.email)
    token = await mailbox.token("verify_email")
    proofs = house.shop.mail_proofs
    for refused in (
        proofs.verify_email(token=replaced),
        proofs.reset_password(token=token, new_password=NEXT),
        other.shop.mail_proofs.verify_email(token=token),
        *(proofs.verify_email(token=odd) for odd in ("", "x", token_hash(token), token + "x", "\ud800", "x" * 9999)),
    ):
        with pytest.raises(OneTimeTokenRefused):
            await refused
    await outdated(house)
    with pytest.raises(OneTimeTokenRefused):
        await proofs.verify_email(token=token)
    assert await house.column("email_verified", user.id) is False
    assert timedelta(hours=2) >= RESET_LIFETIME < VERIFICATION_LIFETIME


async def test_a_forgotten_password_of_staff_that_is_replaced_stands_in_the_trail(
    house: House, mailbox: Mailbox
) -> None:
    customer, member = await house.customer(), await house.member(UserRole.STAFF)
    for user in (customer, member):
        await house.shop.mail_proofs.send_reset(email=user.email)
        await house.of(None).mail_proofs.reset_password(token=await mailbox.token("reset_password"), new_password=NEXT)
        await mailbox.read()
    entries = (await house.shop.audit.list(action="identity.reset_password")).items
    assert [(entry.user_id, entry.user_email, entry.user_role) for entry in entries] == [
        (member.id, member.email, "staff")
    ]


async def test_a_forgotten_password_is_replaced_and_every_session_ends(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    stolen = await sign_in(house)
    await house.shop.mail_proofs.send_reset(email=user.email)
    token = await mailbox.token("reset_password")
    with pytest.raises(InvalidPassword):
        await house.shop.mail_proofs.reset_password(token=token, new_password="short")
    with pytest.raises(CommonPassword):
        await house.shop.mail_proofs.reset_password(token=token, new_password="Password123")
    with pytest.raises(CommonPassword):
        await house.shop.mail_proofs.reset_password(token=token, new_password=user.email.upper())
    assert await mailbox.read() == []
    await house.shop.mail_proofs.reset_password(token=token, new_password=NEXT)
    assert [notice["kind"] for notice in await mailbox.read()] == ["password_changed"]
    with pytest.raises(InvalidCredentials):
        await sign_in(house)
    assert (await sign_in(house, NEXT)).user.email_verified, "who got the message reads that mail"
    for refused in (
        house.shop.sessions.authenticate(stolen.access_token),
        house.shop.sessions.refresh(stolen.refresh_token),
    ):
        with pytest.raises(TokenRefused):
            await refused
    with pytest.raises(OneTimeTokenRefused):
        await house.shop.mail_proofs.reset_password(token=token, new_password="a third horse battery")
    await sign_in(house, NEXT)


async def test_a_new_password_makes_the_message_for_a_forgotten_one_worthless(house: House, mailbox: Mailbox) -> None:
    """Whoever could read the mail for a while must not come back with a link of that time."""
    user = await house.customer()
    users = house.shop.users
    changes = (
        lambda: users.change_password(user_id=user.id, current_password=PASSWORD, new_password=NEXT),
        lambda: users.set_password(user_id=user.id, password=PASSWORD),
    )
    for change in changes:
        await house.shop.mail_proofs.send_reset(email=user.email)
        token = await mailbox.token("reset_password")
        await change()
        assert [notice["kind"] for notice in await mailbox.read()] == ["password_changed"]
        with pytest.raises(OneTimeTokenRefused):
            await house.shop.mail_proofs.reset_password(token=token, new_password="a third horse battery")
    await sign_in(house)


async def test_the_owner_is_told_of_a_new_password_however_it_came(house: House, mailbox: Mailbox) -> None:
    """And of no change that was refused. The message holds no password."""
    user = await house.customer()
    own = house.of(user).users
    with pytest.raises(WrongPassword):
        await own.change_password(user_id=user.id, current_password="not this one", new_password=NEXT)
    assert await mailbox.read() == []
    await own.change_password(user_id=user.id, current_password=PASSWORD, new_password=NEXT)
    await house.shop.users.set_password(user_id=user.id, password=PASSWORD)
    told = await mailbox.read()
    assert [(notice["kind"], notice["to"]) for notice in told] == [("password_changed", "ann@example.com")] * 2
    assert PASSWORD not in str(told) and NEXT not in str(told)


async def test_a_first_password_changes_nothing_of_the_owners(house: House, mailbox: Mailbox) -> None:
    """Accounts that are planted, or made by staff, get theirs after they are made."""
    user = await house.shop.users.create(email="new@example.com")
    await house.shop.users.set_password(user_id=user.id, password=PASSWORD)
    assert await mailbox.read() == []
    await house.shop.users.set_password(user_id=user.id, password=NEXT)
    assert [notice["to"] for notice in await mailbox.read()] == ["new@example.com"]


async def test_another_address_is_the_accounts_once_its_mail_was_read(
    house: House, mailbox: Mailbox, http: httpx.AsyncClient
) -> None:
    """Whoever asks learns from no answer whether somebody has the address; whoever has it hears of it."""
    user, other = await house.customer(), await house.customer("bo@example.com")
    bearer = {"Authorization": f"Bearer {(await sign_in(house)).access_token}"}

    async def ask(email: str, password: str = PASSWORD) -> httpx.Response:
        body = {"email": email, "current_password": password}
        return await http.put("/v1/account/email", json=body, headers=bearer)

    wrong = await ask("new@example.com", "not this one")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "identity.wrong_password")
    assert (await ask("no address")).status_code == 422
    assert await mailbox.read() == []
    taken, free = await ask("BO@example.com"), await ask("New@Example.com")
    assert (taken.status_code, taken.text) == (free.status_code, free.text) == (202, '{"status":"look into your mail"}')
    known, sent = await mailbox.read()
    assert (known["kind"], known["to"], known["facts"]) == ("account_exists", other.email, {})
    assert (sent["kind"], sent["to"]) == ("change_email", "new@example.com")
    assert await house.rows("SELECT user_id, email FROM {account_tokens} WHERE tenant_id = $1") == [
        (user.id, "new@example.com")
    ]
    assert (await sign_in(house)).user.email == "ann@example.com", "so far nothing has changed"
    proven = await http.post("/v1/auth/verify-email", json={"token": sent["facts"]["token"]})
    assert (proven.status_code, proven.json()) == (200, {"email": "new@example.com"})
    (told,) = await mailbox.read()
    assert (told["kind"], told["to"]) == ("email_changed", "ann@example.com")
    assert "new@" not in str(told)
    with pytest.raises(InvalidCredentials):
        await sign_in(house)
    there = (await house.shop.sessions.sign_in(email="new@example.com", password=PASSWORD)).user
    assert (there.id, there.email_verified, there.status) == (user.id, True, UserStatus.ACTIVE)
    again = await http.post("/v1/auth/verify-email", json={"token": sent["facts"]["token"]})
    assert again.status_code == 422


@pytest.mark.usefixtures("one_window")
async def test_messages_to_new_addresses_are_bounded(house: House, mailbox: Mailbox, http: httpx.AsyncClient) -> None:
    await house.customer()
    bearer = {"Authorization": f"Bearer {(await sign_in(house)).access_token}"}
    statuses = [
        (
            await http.put(
                "/v1/account/email",
                json={"email": f"new{number}@example.com", "current_password": PASSWORD},
                headers=bearer,
            )
        ).status_code
        for number in range(MESSAGES_BY_EMAIL + 1)
    ]
    assert statuses == [202] * MESSAGES_BY_EMAIL + [429]
    assert len(await mailbox.read()) == MESSAGES_BY_EMAIL
    assert await house.count("account_tokens") == 1, "the last one counts"


@pytest.mark.parametrize("how", ["changed", "set", "reset", "moved by staff"])
async def test_a_change_of_address_ends_with_a_new_password(house: House, mailbox: Mailbox, how: str) -> None:
    """Whoever had the password for a while must not take the account along when it has another."""
    user = await house.customer()
    users, proofs = house.shop.users, house.shop.mail_proofs
    await proofs.change_email(user_id=user.id, email="thief@example.com", current_password=PASSWORD)
    token = await mailbox.token("change_email")
    if how == "changed":
        await users.change_password(user_id=user.id, current_password=PASSWORD, new_password=NEXT)
    elif how == "set":
        await users.set_password(user_id=user.id, password=NEXT)
    elif how == "reset":
        await proofs.send_reset(email=user.email)
        await proofs.reset_password(token=await mailbox.token("reset_password"), new_password=NEXT)
    else:
        await users.change_email(user_id=user.id, email="ann@elsewhere.example")
    before = await house.column("email", user.id)
    with pytest.raises(OneTimeTokenRefused):
        await proofs.verify_email(token=token)
    assert await house.column("email", user.id) == before


async def test_an_address_that_is_taken_meanwhile_stays_where_it_is(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    proofs = house.shop.mail_proofs
    await proofs.change_email(user_id=user.id, email="new@example.com", current_password=PASSWORD)
    token = await mailbox.token("change_email")
    rival = await house.customer("new@example.com")
    with pytest.raises(OneTimeTokenRefused):
        await proofs.verify_email(token=token)
    assert await house.column("email", user.id) == "ann@example.com"
    assert await mailbox.read() == []
    await house.shop.users.delete(user_id=rival.id)
    await proofs.change_email(user_id=user.id, email="new@example.com", current_password=PASSWORD)
    assert await mailbox.read() == [], "the address of a deleted account goes to nobody, and nobody is written to"
    await house.shop.users.set_status(user_id=user.id, status=UserStatus.SUSPENDED)
    await proofs.change_email(user_id=user.id, email="another@example.com", current_password=PASSWORD)
    assert await mailbox.read() == []


async def test_the_trail_says_that_staff_have_another_address(house: House, mailbox: Mailbox) -> None:
    staff, user = await house.member(UserRole.STAFF), await house.customer()
    await house.shop.users.set_password(user_id=staff.id, password=PASSWORD)
    await mailbox.read()
    for person, email in ((staff, "boss@shop.example"), (user, "new@example.com")):
        proofs = house.shop.mail_proofs
        await proofs.change_email(user_id=person.id, email=email, current_password=PASSWORD)
        await house.of(None).mail_proofs.verify_email(token=await mailbox.token("change_email"))
        await mailbox.read()
    rows = await house.rows(
        "SELECT user_id FROM {audit_logs} WHERE tenant_id = $1 AND action = 'identity.change_email'"
    )
    assert rows == [(staff.id,)]


async def test_a_message_that_cannot_be_sent_keeps_no_password_from_being_changed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation without a secret queues nothing; its messages go to a folder after the commit."""
    user = await house.customer()
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setenv("STOREROOM_DATA_DIR", str(tmp_path / "file"))
    bare = Storeroom(house.db).tenant(house.shop.tenant_id)
    await bare.users.set_password(user_id=user.id, password=NEXT)
    await sign_in(house, NEXT)


async def test_without_a_secret_messages_go_to_the_folder_once_it_is_committed(
    house: House, mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOREROOM_DATA_DIR", str(tmp_path))
    bare = Storeroom(house.db).tenant(house.shop.tenant_id)
    await bare.users.register(email="ann@example.com", password=PASSWORD, full_name="Ann Buyer")
    await bare.mail_proofs.send_reset(email="ann@example.com")
    (file,) = (tmp_path / NOTICES_FOLDER).iterdir()
    assert json.loads(file.read_text())["kind"] == "reset_password"
    assert await mailbox.read() == []


@pytest.mark.requirement("SBB-WOUT-07")
async def test_a_message_is_queued_with_its_change_or_not_at_all(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    with pytest.raises(ZeroDivisionError):
        async with house.shop.transaction() as tx:
            await tx.mail_proofs.send_reset(email=user.email)
            await tx.users.set_password(user_id=user.id, password=NEXT)
            raise ZeroDivisionError
    assert await mailbox.read() == []
    await sign_in(house)
    async with house.shop.transaction() as tx:
        await tx.users.set_password(user_id=user.id, password=NEXT)
    assert [notice["kind"] for notice in await mailbox.read()] == ["password_changed"]


async def test_of_two_who_use_one_token_at_once_one_sets_the_password(house: House, mailbox: Mailbox) -> None:
    user = await house.customer()
    await house.shop.mail_proofs.send_reset(email=user.email)
    token = await mailbox.token("reset_password")

    async def first(tx: Transaction) -> None:
        await house.shop.mail_proofs.bound(tx)._reset(token, NEXT, "the hash of the first")

    outcome = await race(house.db, first, lambda: house.shop.mail_proofs.reset_password(token=token, new_password=NEXT))
    assert isinstance(outcome, OneTimeTokenRefused)
    assert await house.column("password_hash", user.id) == "the hash of the first"


@pytest.mark.parametrize("status", [UserStatus.SUSPENDED, UserStatus.BANNED, UserStatus.DELETED])
async def test_an_account_that_may_not_sign_in_gets_no_message(
    house: House, mailbox: Mailbox, status: UserStatus
) -> None:
    user = await house.customer()
    await house.shop.mail_proofs.send_reset(email=user.email)
    token = await mailbox.token("reset_password")
    if status is UserStatus.DELETED:
        await house.shop.users.delete(user_id=user.id)
    else:
        await house.shop.users.set_status(user_id=user.id, status=status)
    await house.shop.mail_proofs.send_reset(email=user.email)
    await house.shop.mail_proofs.send_verification(email=user.email)
    assert await mailbox.read() == []
    with pytest.raises(OneTimeTokenRefused):  # the one that is under way
        await house.shop.mail_proofs.reset_password(token=token, new_password=NEXT)


async def test_where_addresses_must_be_proven_nobody_signs_in_before(house: House, mailbox: Mailbox) -> None:
    """And whoever registers another one's address learns nothing, not even by signing in afterwards."""
    proofs = house.shop.mail_proofs
    await proofs.set_settings(settings=AccountSettings(verify_email=True))
    await proofs.register(**ANN, phone="212 555 0123")
    with pytest.raises(InvalidCredentials):
        await sign_in(house)
    await proofs.verify_email(token=await mailbox.token("verify_email"))
    await sign_in(house)
    await proofs.register(**{**ANN, "password": NEXT})
    (notice,) = await mailbox.read()
    assert (notice["kind"], notice["to"], notice["facts"]) == ("account_exists", "ann@example.com", {})
    with pytest.raises(InvalidCredentials):
        await sign_in(house, NEXT)
    assert await house.count("users") == 1
    await proofs.register(**{**ANN, "email": "bo@example.com"}, phone="212 555 0123")
    assert await house.rows("SELECT email, phone FROM {users} WHERE tenant_id = $1 ORDER BY email") == [
        ("ann@example.com", "12125550123"),
        ("bo@example.com", None),
    ]
    staff = await house.member(UserRole.STAFF)
    await house.shop.users.set_password(user_id=staff.id, password=PASSWORD)
    assert await house.shop.sessions.sign_in(email=staff.email, password=PASSWORD)
    for bad in ([""], ["x" * 256], [" id"], ["id"] * 21):
        with pytest.raises(InvalidPerson):
            await proofs.set_settings(settings=AccountSettings(google_client_ids=bad))
    assert await proofs.settings() == AccountSettings(verify_email=True)


async def test_a_password_and_a_token_show_themselves_nowhere(house: House, caplog: pytest.LogCaptureFixture) -> None:
    new = await house.shop.mail_proofs.prepare(**ANN)
    assert "argon2" not in repr(new)
    await house.shop.mail_proofs.finish(new)
    assert PASSWORD not in caplog.text


# --- Over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    host = f"{secrets.token_hex(6)}.test"
    await house.room.tenants.add_host(house.shop.tenant_id, host)
    app: Any = app_of(house.room)
    transport = httpx.ASGITransport(app=app, client=(f"2001:db8::{secrets.token_hex(2)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client


async def test_from_registration_to_a_new_password_over_http(
    house: House, mailbox: Mailbox, http: httpx.AsyncClient
) -> None:
    assert (await http.post("/v1/auth/register", json=ANN)).status_code == 201
    verified = await http.post("/v1/auth/verify-email", json={"token": await mailbox.token("verify_email")})
    assert (verified.status_code, verified.json()) == (200, {"email": "ann@example.com"})
    again = await http.post("/v1/auth/verify-email", json={"token": "x" * 43})
    assert (again.status_code, again.json()["code"]) == (422, "identity.one_time_token_refused")
    assert (await http.post("/v1/auth/forgot-password", json={"email": ANN["email"]})).status_code == 202
    body = {"token": await mailbox.token("reset_password"), "new_password": NEXT}
    assert (await http.post("/v1/auth/reset-password", json=body)).status_code == 204
    for password, status in ((PASSWORD, 401), (NEXT, 200)):
        answer = await http.post("/v1/auth/sign-in", json={"email": ANN["email"], "password": password})
        assert answer.status_code == status


@pytest.mark.parametrize("path", ["register", "send-verification", "forgot-password"])
async def test_no_answer_and_no_work_before_it_tells_who_is_known(
    house: House, mailbox: Mailbox, http: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What differs is done once the answer is out: until then both ask the database the same."""
    await house.shop.mail_proofs.set_settings(settings=AccountSettings(verify_email=True))
    await house.customer()
    monkeypatch.setattr(house.room.tenants.cache, "_keep_s", 600)  # a slow machine takes longer than what is kept
    monkeypatch.setattr("storeroom.server.gate.TENANT_CACHE_S", 600)
    house.room.tenants.cache.forget(house.shop.tenant_id)
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        real: Callable[..., Any] = getattr(Database, name)

        async def ask(self: Database, sql: str, *args: object, real: Callable[..., Any] = real) -> Any:
            asked.append(sql)
            return await real(self, sql, *args)

        monkeypatch.setattr(Database, name, ask)
    held: list[Any] = []
    monkeypatch.setattr(
        "storeroom.identity.proof_routes.BackgroundTask.__call__", lambda self: _kept(held, self), raising=True
    )
    said = []
    for email in ("ann@example.com", "bo@example.com", "ann@example.com", "cy@example.com"):
        asked.clear()
        body = {**ANN, "email": email} if path == "register" else {"email": email}
        answer = await http.post(f"/v1/auth/{path}", json=body)
        mine = [
            sql for sql in asked if "pg_notify" not in sql
        ]  # of who made an account a moment before, for the workers
        said.append((answer.status_code, answer.text, mine))
    assert said[2] == said[3], "the first two warm caches"
    assert said[2][0] == 202
    assert len(held) == 4
    monkeypatch.undo()


async def _kept(held: list[Any], task: Any) -> None:
    held.append(task)


@pytest.mark.usefixtures("one_window")
async def test_messages_to_one_address_are_bounded(house: House, mailbox: Mailbox, http: httpx.AsyncClient) -> None:
    await house.customer()
    for _ in range(MESSAGES_BY_EMAIL):
        assert (await http.post("/v1/auth/forgot-password", json={"email": "ann@example.com"})).status_code == 202
    limited = await http.post("/v1/auth/forgot-password", json={"email": "ANN@example.com "})
    assert limited.status_code == 429
    assert len(await mailbox.read()) == MESSAGES_BY_EMAIL
    buckets = await house.rows("SELECT bucket FROM {rate_counters} WHERE tenant_id = $1")
    assert not [bucket for (bucket,) in buckets if "ann" in bucket]


async def test_a_message_that_cannot_be_queued_is_logged_and_breaks_nothing(
    house: House, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(self: MailProofs, *, email: str) -> None:
        raise DatabaseUnavailable(reason="gone")

    monkeypatch.setattr(MailProofs, "send_verification", gone)
    assert (await http.post("/v1/auth/register", json=ANN)).status_code == 201
    assert "a message was not sent" in caplog.text
    assert "ann@" not in caplog.text


async def test_how_the_shop_lets_people_in_is_set_by_staff_who_may(house: House, http: httpx.AsyncClient) -> None:
    boss = await house.member(UserRole.ADMIN)
    for user, status in ((await house.customer(), 403), (boss, 200)):
        await house.shop.users.set_password(user_id=user.id, password=PASSWORD)
        token = (await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)).access_token
        headers = {"Authorization": f"Bearer {token}"}
        body = {"verify_email": True, "google_client_ids": ["shop.apps.example"]}
        answer = await http.put("/v1/admin/account-settings", json=body, headers=headers)
        assert answer.status_code == status
    kept = await http.get("/v1/admin/account-settings", headers=headers)
    assert kept.json() == {**body, "apple_client_ids": []}


async def test_old_tokens_are_removed_and_only_they(fresh_database: Callable[..., Any], mailbox: Mailbox) -> None:
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        house = await House.open(room.db)
        for email in ("ann@example.com", "bo@example.com"):
            await house.customer(email)
            await house.shop.mail_proofs.send_verification(email=email)
        await house.run("UPDATE {account_tokens} SET expires_at = now() WHERE tenant_id = $1 AND email LIKE 'ann%'")
        assert await asyncio.gather(*(remove_account_tokens(room.db) for _ in range(2))) in ([1, 0], [0, 1])
        assert await house.rows("SELECT email FROM {account_tokens} WHERE tenant_id = $1") == [("bo@example.com",)]
        assert await remove_account_tokens(room.db) == 0
    assert MailProofs
