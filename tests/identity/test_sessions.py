"""Guests, signing in, tokens: what opens the door, for how long, and what is left of it in the database."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import argon2
import asyncpg
import pytest
from house import PASSWORD, SECRET, House

from rivals import race
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.core.secrets import Secret, new_token, token_hash
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database, Transaction
from storeroom.identity import (
    ACCESS_TOKEN_LIFETIME,
    REVOCATIONS_EVERY,
    REVOCATIONS_KEPT,
    InvalidCredentials,
    PasswordsBusy,
    Permission,
    RefreshRaced,
    RefreshReused,
    RoleForbidden,
    SessionNotFound,
    SignedIn,
    SigningSecretMissing,
    TokenKeys,
    TokenRefused,
    UserNotFound,
    UserRole,
    UserStatus,
    passwords,
    revocations,
)
from storeroom.identity.jobs import expire_sessions, remove_sessions
from storeroom.identity.revocations import Revocations
from storeroom.room import Storeroom

EVERY_ROW = """
SELECT string_agg(format('SELECT %L || t::TEXT AS row FROM %I AS t WHERE t.tenant_id = $1', relname, relname), ' UNION ALL ')
  FROM pg_class
 WHERE relnamespace = current_schema()::REGNAMESPACE AND relkind IN ('r', 'p') AND NOT relispartition
   AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id')
"""


async def sign_in(house: House, **more: Any) -> SignedIn:
    return await house.shop.sessions.sign_in(**{"email": "ann@example.com", "password": PASSWORD, **more})


async def session_of(house: House, session_id: SessionId, columns: str) -> tuple[Any, ...]:
    (row,) = await house.rows(f"SELECT {columns} FROM {{auth_sessions}} WHERE tenant_id = $1 AND id = $2", session_id)
    return row


# --- Guests -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-SES-01", "STO-SES-03", "SBB-SES-05")
async def test_a_guest_is_known_by_the_token_until_its_time_is_over(house: House) -> None:
    shop = house.shop.acting(ip="203.0.113.9", user_agent="curl")
    session, token = await shop.sessions.guest(device="phone")
    assert session.user_id is None
    assert session.status == "active"
    assert timedelta(days=29) < session.expires_at - session.created_at <= timedelta(days=30)
    row = await session_of(house, session.id, "user_id, host(ip_address), user_agent, device_fingerprint")
    assert row == (None, "203.0.113.9", "curl", "phone")
    assert await shop.sessions.visitor(token) == Visitor(session_id=session.id)
    for stranger in ("", token[:-1], token + "x", "x" * 5000, "\ud800", "\x00", token_hash(token)):
        assert await shop.sessions.visitor(stranger) is None
    await house.run("UPDATE {auth_sessions} SET expires_at = now() WHERE tenant_id = $1")
    assert await shop.sessions.visitor(token) is None
    fresh, other_token = await shop.sessions.guest()
    assert fresh.id != session.id
    await house.run(
        "UPDATE {auth_sessions} SET status = 'revoked', revoked_at = now() WHERE tenant_id = $1 AND id = $2", fresh.id
    )
    assert await shop.sessions.visitor(other_token) is None


async def test_an_address_that_is_none_is_not_kept(house: House) -> None:
    session, _ = await house.shop.acting(ip="unix:", user_agent="x" * 600 + "\x00").sessions.guest()
    assert await session_of(house, session.id, "ip_address, length(user_agent)") == (None, 500)


async def test_a_visit_is_noted_once_a_minute_and_puts_the_end_off(house: House) -> None:
    session, token = await house.shop.sessions.guest()
    columns = "last_used_at, expires_at"
    first = await session_of(house, session.id, columns)
    await house.shop.sessions.visitor(token)
    assert await session_of(house, session.id, columns) == first
    await house.run(
        "UPDATE {auth_sessions} SET last_used_at = now() - INTERVAL '2 min', expires_at = now() + INTERVAL '1 h' "
        "WHERE tenant_id = $1"
    )
    assert await house.shop.sessions.visitor(token)
    used, ends = await session_of(house, session.id, columns)
    assert used > first[0]
    assert ends > first[1]


async def test_a_guest_of_another_shop_is_unknown(house: House, other: House) -> None:
    _, token = await other.shop.sessions.guest()
    assert await house.shop.sessions.visitor(token) is None
    assert await other.shop.sessions.visitor(token)


@pytest.mark.requirement("STO-SES-02", "SBB-SES-04")
async def test_one_token_belongs_to_one_session_also_in_parallel(house: House) -> None:
    insert = house.db.names.render(
        "INSERT INTO {auth_sessions} (tenant_id, id, anonymous_id, refresh_token_hash, expires_at) "
        "VALUES ($1, $2, 'a', 'the same', now())"
    )

    async def first(tx: Transaction) -> None:
        await tx.execute(insert, house.shop.tenant_id, new_id())

    outcome = await race(house.db, first, lambda: house.db.execute(insert, house.shop.tenant_id, new_id()))
    assert isinstance(outcome, asyncpg.UniqueViolationError)
    assert await house.count("auth_sessions") == 1


# --- Signing in -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-SES-01", "SBB-SES-02", "SBB-SES-05", "SBB-SES-01")
async def test_a_session_from_sign_in_to_sign_out(house: House) -> None:
    user = await house.customer()
    shop = house.shop.acting(ip="2001:db8::1", user_agent="browser")
    first = await shop.sessions.sign_in(email=" ANN@Example.com", password=PASSWORD, device="laptop")
    assert first.user == user
    columns = (
        "user_id, status, host(ip_address), user_agent, device_fingerprint, revoked_at, revoked_reason, "
        "expires_at > now() + INTERVAL '29 days', created_at <= now(), last_used_at"
    )
    row = await session_of(house, first.session_id, columns)
    assert row[:-1] == (user.id, "active", "2001:db8::1", "browser", "laptop", None, None, True, True)
    known = await shop.sessions.authenticate(first.access_token)
    assert (known.user_id, known.session_id, known.tenant_id) == (user.id, first.session_id, house.shop.tenant_id)
    assert (known.role, known.email) == (UserRole.CUSTOMER, "ann@example.com")
    assert known.visitor == Visitor(user_id=user.id, session_id=first.session_id)
    second = await shop.sessions.refresh(first.refresh_token)
    assert second.session_id == first.session_id
    assert second.refresh_token != first.refresh_token
    assert (await session_of(house, first.session_id, "last_used_at"))[0] > row[-1]
    await shop.sessions.sign_out(second.refresh_token)
    status, dated, reason = await session_of(house, first.session_id, "status, revoked_at <= now(), revoked_reason")
    assert (status, dated, reason) == ("revoked", True, "signed out")
    for refused in (shop.sessions.authenticate(second.access_token), shop.sessions.refresh(second.refresh_token)):
        with pytest.raises(TokenRefused):
            await refused
    await shop.sessions.sign_out(second.refresh_token)
    await shop.sessions.sign_out("nonsense")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {auth_sessions} SET status = 'asleep' WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-SES-03")
async def test_no_token_and_no_password_is_anywhere_in_the_database(house: House) -> None:
    await house.customer()
    _, guest_token = await house.shop.sessions.guest()
    signed_in = await sign_in(house)
    refreshed = await house.shop.sessions.refresh(signed_in.refresh_token)
    rows = [row[0] for row in await house.rows(await house.db.fetchval(EVERY_ROW))]
    assert len([row for row in rows if row.startswith("auth_sessions")]) == 2
    secrets = [
        guest_token,
        *signed_in.refresh_token.split("."),
        *refreshed.refresh_token.split("."),
        signed_in.access_token.split(".")[2],
        PASSWORD,
    ]
    for secret in secrets:
        assert not [row for row in rows if secret in row]
    assert [row for row in rows if token_hash(guest_token) in row], "the search finds what is there"
    for shown in (
        repr(Secret(PASSWORD)),
        repr(house.room.token_keys),
        repr(await house.shop.sessions.prove(email="ann@example.com", password=PASSWORD)),
    ):
        assert PASSWORD not in shown
        assert "argon2" not in shown


async def test_an_unknown_address_looks_and_lasts_like_a_wrong_password(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.customer()
    await house.shop.users.create(email="google@example.com")
    tested: list[str] = []
    real = passwords._verified

    def counted(password_hash: str, password: str) -> bool:
        tested.append(password_hash.rpartition("$")[0].rpartition("$")[0])  # algorithm and parameters
        return real(password_hash, password)

    monkeypatch.setattr(passwords, "_verified", counted)
    said = set()
    for email in ("ann@example.com", "nobody@example.com", "google@example.com", "not an address", "\x00@example.com"):
        with pytest.raises(InvalidCredentials) as caught:
            await sign_in(house, email=email, password="not the password")
        said.add((str(caught.value), str(caught.value.facts())))
    assert len(said) == 1
    assert len(tested) == 5, "each cost one test of a password"
    assert len(set(tested)) == 1
    for odd in ("", "x" * 100_000, "\ud800" * 12):
        with pytest.raises(InvalidCredentials):
            await sign_in(house, password=odd)


async def test_a_password_typed_on_another_keyboard_is_the_same(house: House) -> None:
    await house.customer(password="Zu\u0308rich sommer")
    await sign_in(house, password="Z\u00fcrich sommer")


async def test_a_hash_of_weaker_parameters_is_replaced_at_sign_in(house: House) -> None:
    user = await house.customer()
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    await house.run("UPDATE {users} SET password_hash = $2 WHERE tenant_id = $1", weak.hash("short"))
    await sign_in(house, password="short")  # taken before by other rules
    renewed = await house.column("password_hash", user.id)
    assert f"m={passwords.MEMORY_KIB},t={passwords.PASSES},p={passwords.LANES}" in renewed
    await sign_in(house, password="short")
    assert await house.column("password_hash", user.id) == renewed
    with pytest.raises(InvalidCredentials):
        await sign_in(house, password="shorts")


async def test_no_session_begins_with_a_password_that_was_just_changed(house: House) -> None:
    user = await house.customer()
    proof = await house.shop.sessions.prove(email=user.email, password=PASSWORD)
    await house.shop.users.set_password(user_id=user.id, password="another password")
    with pytest.raises(InvalidCredentials):
        await house.shop.sessions.start(proof=proof)
    assert await house.count("auth_sessions") == 0


async def test_more_passwords_than_can_be_tested_are_told_to_come_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.customer()
    monkeypatch.setattr(passwords, "WAITING_MAX", 3)
    outcomes = await asyncio.gather(
        *(passwords.verified(None, "not the password") for _ in range(10)), return_exceptions=True
    )
    assert sum(outcome is False for outcome in outcomes) == 3
    assert sum(isinstance(outcome, PasswordsBusy) for outcome in outcomes) == 7
    assert await passwords.verified(None, "not the password") is False  # and afterwards there is room again


async def test_without_a_secret_guests_work_and_signing_in_says_what_is_missing(database: Database) -> None:
    for secret in (None, "", "too short"):
        house = await House.open(database, secret=secret)
        await house.customer()
        _, token = await house.shop.sessions.guest()
        assert await house.shop.sessions.visitor(token)
        for call in (
            sign_in(house),
            house.shop.sessions.authenticate("a.b.c"),
            house.shop.sessions.refresh("a.b"),
        ):
            with pytest.raises(SigningSecretMissing):
                await call
        assert await house.count("auth_sessions") == 1


# --- Access tokens ----------------------------------------------------------------------------------------------------


def forged(token: str, *, header: dict[str, Any] | None = None, signature: bool = True, **claims: Any) -> str:
    """The token with another header or other claims, and its old signature or none."""
    head, body, signed = token.split(".")
    if header is not None:
        head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    if claims:
        payload = {**json.loads(base64.urlsafe_b64decode(body + "==")), **claims}
        body = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signed if signature else ''}"


async def test_an_access_token_ends_after_five_minutes(house: House) -> None:
    await house.customer()
    signed_in = await sign_in(house)
    assert timedelta(minutes=5) == ACCESS_TOKEN_LIFETIME, "what the documents promise of a revocation"
    assert signed_in.access_expires_at <= house.clock.now() + ACCESS_TOKEN_LIFETIME
    house.clock.move(ACCESS_TOKEN_LIFETIME - timedelta(seconds=2))
    assert await house.shop.sessions.authenticate(signed_in.access_token)
    house.clock.move(timedelta(seconds=2))
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(signed_in.access_token)
    assert await house.shop.sessions.authenticate((await sign_in(house)).access_token)


async def test_a_token_that_we_did_not_sign_is_refused(house: House, other: House) -> None:
    user = await house.customer()
    signed_in = await sign_in(house)
    token = signed_in.access_token
    assert await house.shop.sessions.authenticate(token)
    facts: Any = {
        "user_id": user.id,
        "session_id": signed_in.session_id,
        "tenant_id": house.shop.tenant_id,
        "email": user.email,
        "role": UserRole.CUSTOMER,
        "permissions": [],
        "now": house.clock.now(),
    }
    elsewhere, _ = TokenKeys.of("the secret of another installation").sign(**facts)
    odd, _ = house.room.token_keys.sign(**{**facts, "session_id": "no uuid"})
    for refused in (
        forged(token, role="super_admin"),
        forged(token, permissions=["orders.read"]),
        forged(token, exp=9_999_999_999),
        forged(token, header={"alg": "none"}, signature=False),
        forged(token, header={"alg": "HS512"}),
        forged(token, signature=False),
        elsewhere,
        odd,
        "",
        "a.b.c",
        "\ud800.b.c",
        token + "x",
        token * 50,
        signed_in.refresh_token,
    ):
        with pytest.raises(TokenRefused):
            await house.shop.sessions.authenticate(refused)
    with pytest.raises(TokenRefused):  # signed by us, for another shop
        await other.shop.sessions.authenticate(token)
    with pytest.raises(TokenRefused):
        await other.shop.sessions.refresh(signed_in.refresh_token)
    assert await house.shop.sessions.refresh(signed_in.refresh_token)


async def test_role_permissions_and_status_are_those_of_now(house: House) -> None:
    user = await house.customer()
    signed_in = await sign_in(house)
    await house.shop.users.set_role(user_id=user.id, role=UserRole.STAFF)
    await house.shop.users.set_permissions(user_id=user.id, permissions=[Permission.ORDERS_READ])
    known = await house.shop.sessions.authenticate(signed_in.access_token)
    assert known.allows(Permission.ORDERS_READ)
    assert not known.allows(Permission.USERS_WRITE)
    await house.run("UPDATE {users} SET status = 'suspended' WHERE tenant_id = $1")  # the session itself is open
    with pytest.raises(TokenRefused):
        await house.shop.sessions.refresh(signed_in.refresh_token)


class Asked:
    """What a handle asks of the database."""

    def __init__(self, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.transactions = 0
        begin = db.transaction

        def begun(*args: Any, **more: Any) -> Any:
            self.transactions += 1
            return begin(*args, **more)

        monkeypatch.setattr(db, "transaction", begun)
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            monkeypatch.setattr(db, name, self._counting(getattr(db, name)))

    def _counting(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ask(sql: str, *args: object) -> Any:
            if "pg_notify" not in sql:  # of who made an account a moment before, for the workers
                self.statements.append(sql)
            return await real(sql, *args)

        return ask


async def test_reading_an_access_token_asks_the_database_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a guest's token and a refresh ask for one thing each."""
    staff = await house.member(UserRole.STAFF, Permission.ORDERS_READ)
    await house.shop.users.set_password(user_id=staff.id, password=PASSWORD)
    signed_in = await sign_in(house, email=staff.email)
    _, guest_token = await house.shop.sessions.guest()
    Revocations.of(house.db).forget()  # whatever was known: half a minute begins
    await house.shop.sessions.authenticate(signed_in.access_token)  # what was revoked lately is known from here on
    asked = Asked(house.db, monkeypatch)
    for _ in range(3):
        known = await house.shop.sessions.authenticate(signed_in.access_token)
        assert (known.email, known.role, known.permissions) == (staff.email, UserRole.STAFF, ["orders.read"])
    assert asked.statements == []
    assert await house.shop.sessions.visitor(guest_token)
    assert len(asked.statements) == 1
    for number in range(2, 5):
        signed_in = await house.shop.sessions.refresh(signed_in.refresh_token)
        assert len(asked.statements) == number
        assert (signed_in.user.email, signed_in.user.permissions) == (staff.email, ["orders.read"])
    await house.shop.sessions.sign_out(signed_in.refresh_token)
    assert len(asked.statements) == 5
    assert asked.transactions == 0


@pytest.fixture
async def elsewhere(house: House, dsn: str) -> Any:
    """The same shop, as another process of the installation sees it."""
    async with await Database.open(dsn) as db:
        room = Storeroom(db, clock=house.clock, secret=SECRET)
        yield House(room, room.tenant(house.shop.tenant_id), house.clock)


async def test_what_one_process_takes_back_the_others_learn(house: House, elsewhere: House) -> None:
    """Here at once; there when they ask next, which they do after REVOCATIONS_EVERY; and by itself in five minutes."""
    user = await house.customer()
    ended, kept = await sign_in(house), await sign_in(house)
    for signed_in in (ended, kept):
        assert await elsewhere.shop.sessions.authenticate(signed_in.access_token)
    await house.shop.sessions.end(session_id=ended.session_id)
    await house.shop.users.set_role(user_id=user.id, role=UserRole.STAFF)
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(ended.access_token)
    assert (await elsewhere.shop.sessions.authenticate(ended.access_token)).role is UserRole.CUSTOMER, "not yet"
    Revocations.of(elsewhere.db).forget()  # the half minute is over
    with pytest.raises(TokenRefused):
        await elsewhere.shop.sessions.authenticate(ended.access_token)
    assert (await elsewhere.shop.sessions.authenticate(kept.access_token)).role is UserRole.STAFF
    assert timedelta(minutes=1) >= REVOCATIONS_EVERY
    assert REVOCATIONS_KEPT >= ACCESS_TOKEN_LIFETIME


async def test_a_revocation_that_was_taken_back_revoked_nothing(house: House) -> None:
    user = await house.customer()
    signed_in = await sign_in(house)
    with pytest.raises(RuntimeError):
        async with house.shop.transaction() as tx:
            await tx.sessions.end_all(user_id=user.id)
            raise RuntimeError
    assert await house.shop.sessions.authenticate(signed_in.access_token)
    assert await house.shop.sessions.end_all(user_id=user.id) == 1
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(signed_in.access_token)


async def test_where_too_much_was_revoked_each_token_is_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.customer()
    ended, kept = await sign_in(house), await sign_in(house)
    await house.shop.sessions.end(session_id=(await sign_in(house)).session_id)
    monkeypatch.setattr(revocations, "REVOCATIONS_MAX", 0)
    Revocations.of(house.db).forget()
    assert await house.shop.sessions.authenticate(kept.access_token)
    await house.run("UPDATE {auth_sessions} SET expires_at = now() WHERE tenant_id = $1 AND id = $2", ended.session_id)
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(ended.access_token)
    Revocations.of(house.db).forget()


async def test_sessions_are_listed_and_ended_by_their_owner_and_by_staff_above(house: House) -> None:
    ann, bo = await house.customer(), await house.customer("bo@example.com")
    shop = house.shop.acting(ip="203.0.113.9", user_agent="browser")
    first = await shop.sessions.sign_in(email=ann.email, password=PASSWORD, device="laptop")
    second = await sign_in(house)
    await sign_in(house, email=bo.email)
    listed = await house.of(ann).sessions.list(user_id=ann.id)
    assert [session.id for session in listed] == [second.session_id, first.session_id]
    assert (listed[1].device, listed[1].ip_address, listed[1].user_agent) == ("laptop", "203.0.113.9", "browser")
    for refused in (
        house.of(bo).sessions.list(user_id=ann.id),
        house.of(bo).sessions.end_all(user_id=ann.id),
        house.shop.sessions.list(user_id=UserId(new_id())),
    ):
        with pytest.raises(UserNotFound):
            await refused
    assert await house.of(ann).sessions.end_all(user_id=ann.id) == 2
    assert await house.of(ann).sessions.list(user_id=ann.id) == []
    assert len(await house.shop.sessions.list(user_id=bo.id)) == 1
    boss = await house.member(UserRole.ADMIN)
    staff = await house.member(UserRole.STAFF, Permission.USERS_WRITE)
    assert await house.by(staff).sessions.end_all(user_id=bo.id, reason="lost phone") == 1
    with pytest.raises(RoleForbidden):
        await house.by(staff).sessions.end_all(user_id=boss.id)
    await house.shop.users.set_password(user_id=boss.id, password=PASSWORD)
    above = await sign_in(house, email=boss.email)
    with pytest.raises(RoleForbidden):
        await house.by(staff).sessions.end(session_id=above.session_id)
    assert await house.shop.sessions.authenticate(above.access_token)


async def test_suspending_ends_every_session(house: House) -> None:
    user = await house.customer()
    sessions = [await sign_in(house) for _ in range(2)]
    await house.shop.users.set_status(user_id=user.id, status=UserStatus.SUSPENDED)
    await house.shop.users.set_status(user_id=user.id, status=UserStatus.ACTIVE)
    for signed_in in sessions:
        with pytest.raises(TokenRefused):
            await house.shop.sessions.authenticate(signed_in.access_token)
        row = await session_of(house, signed_in.session_id, "status, revoked_reason")
        assert row == ("revoked", "account suspended")


@pytest.mark.requirement("SBB-SES-05")
@pytest.mark.parametrize(
    "change", ["expires_at = now()", "status = 'revoked', revoked_at = now()", "status = 'expired'"]
)
async def test_a_session_that_ended_is_refused_at_the_very_next_call(house: House, change: str) -> None:
    await house.customer()
    signed_in = await sign_in(house)
    await house.run(f"UPDATE {{auth_sessions}} SET {change} WHERE tenant_id = $1")
    with pytest.raises(TokenRefused):
        await house.shop.sessions.refresh(signed_in.refresh_token)


async def test_a_customer_ends_no_session_but_their_own(house: House) -> None:
    ann, bo = await house.customer(), await house.customer("bo@example.com")
    signed_in = await sign_in(house)
    with pytest.raises(SessionNotFound):
        await house.of(bo).sessions.end(session_id=signed_in.session_id)
    assert await house.shop.sessions.authenticate(signed_in.access_token)
    await house.of(ann).sessions.end(session_id=signed_in.session_id)
    with pytest.raises(TokenRefused):
        await house.shop.sessions.authenticate(signed_in.access_token)


# --- Refresh tokens ---------------------------------------------------------------------------------------------------


async def test_of_two_who_refresh_at_once_one_wins_and_the_session_stays(house: House) -> None:
    await house.customer()
    signed_in = await sign_in(house)
    won: list[SignedIn] = []

    async def first(tx: Transaction) -> None:
        won.append(await house.shop.sessions.bound(tx).refresh(signed_in.refresh_token))

    outcome = await race(house.db, first, lambda: house.shop.sessions.refresh(signed_in.refresh_token))
    assert isinstance(outcome, RefreshRaced)
    assert await house.shop.sessions.authenticate(won[0].access_token)
    await house.shop.sessions.refresh(won[0].refresh_token)


async def later(house: House) -> None:
    """Let the moment pass in which two tabs may race."""
    await house.run("UPDATE {auth_sessions} SET rotated_at = rotated_at - INTERVAL '11 s' WHERE tenant_id = $1")


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_a_token_that_comes_back_ends_the_session_however_old(house: House, turns: int) -> None:
    """A thief who turns the token twice at once must not make us forget the one that was stolen."""
    await house.customer()
    stolen = current = await sign_in(house)
    bystander = await sign_in(house)
    for _ in range(turns):
        current = await house.shop.sessions.refresh(current.refresh_token)
    await later(house)
    with pytest.raises(RefreshReused):
        await house.shop.sessions.refresh(stolen.refresh_token)
    for refused in (
        house.shop.sessions.refresh(current.refresh_token),
        house.shop.sessions.authenticate(current.access_token),
        house.shop.sessions.refresh(stolen.refresh_token),
    ):
        with pytest.raises(TokenRefused):
            await refused
    row = await session_of(house, stolen.session_id, "status, revoked_reason")
    assert row == ("revoked", "refresh token used a second time")
    await house.shop.sessions.refresh(bystander.refresh_token)


async def test_who_never_had_a_token_ends_no_session(house: House) -> None:
    await house.customer()
    signed_in = await sign_in(house)
    family, turn = signed_in.refresh_token.split(".")
    for made_up in (f"{new_token()}.{turn}", f"{signed_in.session_id}.{turn}", turn, family, f"{family}.", "", "." * 9):
        with pytest.raises(TokenRefused):
            await house.shop.sessions.refresh(made_up)
    await house.shop.sessions.refresh(signed_in.refresh_token)


async def test_a_session_cannot_be_refreshed_for_ever(house: House) -> None:
    await house.customer()
    _, token = await house.shop.sessions.guest()
    await house.run(
        "UPDATE {auth_sessions} SET created_at = now() - INTERVAL '1 year' WHERE tenant_id = $1"
    )  # a guest of long standing
    signed_in = await sign_in(house, guest_token=token)
    signed_in = await house.shop.sessions.refresh(signed_in.refresh_token)
    await house.run("UPDATE {auth_sessions} SET signed_in_at = now() - INTERVAL '181 days' WHERE tenant_id = $1")
    with pytest.raises(TokenRefused):
        await house.shop.sessions.refresh(signed_in.refresh_token)


# --- Jobs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def lone(fresh_database: Callable[..., Awaitable[str]]) -> Any:
    """A shop in a database of its own: jobs look at every tenant."""
    async with Storeroom.open(await fresh_database(), secret="a secret of the installation, for tests only") as room:
        yield await House.open(room.db)


@pytest.mark.requirement("SBB-SES-10", "SBB-SES-01")
async def test_overdue_sessions_are_marked_and_only_they(lone: House) -> None:
    await lone.customer()
    valid, overdue = await sign_in(lone), await sign_in(lone)
    await lone.run("UPDATE {auth_sessions} SET expires_at = now() WHERE tenant_id = $1 AND id = $2", overdue.session_id)
    assert await expire_sessions(lone.db) == 1
    assert await session_of(lone, overdue.session_id, "status") == ("expired",)
    assert await session_of(lone, valid.session_id, "status") == ("active",)
    assert await expire_sessions(lone.db) == 0
    assert await lone.shop.sessions.authenticate(valid.access_token)


async def test_two_workers_expire_each_session_once(lone: House) -> None:
    for _ in range(20):
        await lone.shop.sessions.guest()
    await lone.run("UPDATE {auth_sessions} SET expires_at = now() WHERE tenant_id = $1")
    done = await asyncio.gather(*(expire_sessions(lone.db) for _ in range(3)))
    assert sum(done) == 20
    assert await expire_sessions(lone.db, limit=5) == 0


@pytest.mark.requirement("SBB-SES-10")
async def test_sessions_that_ended_long_ago_are_removed_but_not_a_buyers(lone: House) -> None:
    async def guest(status: str, ended: str) -> SessionId:
        session, _ = await lone.shop.acting(ip="203.0.113.9").sessions.guest()
        await lone.run(
            f"UPDATE {{auth_sessions}} SET status = $3::text::{{session_status}}, expires_at = now() - INTERVAL '{ended}', "
            "revoked_at = CASE WHEN $3 = 'revoked' THEN now() END WHERE tenant_id = $1 AND id = $2",
            session.id,
            status,
        )
        return session.id

    await guest("expired", "91 days")
    await guest("revoked", "91 days")
    kept = {await guest("expired", "89 days"), await guest("active", "91 days")}
    browsed, bought = await guest("expired", "91 days"), await guest("expired", "91 days")
    order_id = new_id()
    for session_id, status in ((browsed, "active"), (bought, "converted")):
        await lone.run(
            "INSERT INTO {carts} (tenant_id, id, session_id, anonymous_id, currency, status, converted_to_order_id, "
            "converted_at) VALUES ($1, $2, $3, 'a', 'USD', $4::text::{cart_status}, $5, $6)",
            new_id(),
            session_id,
            status,
            order_id if status == "converted" else None,
            lone.clock.now() if status == "converted" else None,
        )
    await lone.run(
        "INSERT INTO {orders} (tenant_id, id, order_number, source_cart_id, customer_email, customer_name, currency, "
        "subtotal_amount, total_amount, payment_due_at) SELECT $1, $2, 'ABCD', id, 'a@example.com', 'Ann', 'USD', 0, 0, "
        "now() FROM {carts} WHERE tenant_id = $1 AND status = 'converted'",
        order_id,
    )
    assert await remove_sessions(lone.db) == 4
    left = {row[0] for row in await lone.rows("SELECT id FROM {auth_sessions} WHERE tenant_id = $1")}
    assert left == kept | {bought}
    assert await session_of(lone, bought, "ip_address") == (None,)
    assert [row[0] for row in await lone.rows("SELECT status FROM {carts} WHERE tenant_id = $1")] == ["converted"]
    assert await remove_sessions(lone.db) == 0


@pytest.mark.requirement("SBB-SES-09")
async def test_no_session_of_an_unknown_account(house: House) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await house.run(
            "INSERT INTO {auth_sessions} (tenant_id, id, user_id, anonymous_id, refresh_token_hash, expires_at) "
            "VALUES ($1, $2, $2, 'a', 'x', now())",
            new_id(),
        )
    assert await house.one(
        "SELECT confdeltype = 'c' FROM pg_constraint WHERE conname = 'auth_sessions_user_fkey' AND $1 <> ''"
    )
