"""A second factor: set up, asked for at sign-in, each code once, and never more tries than allowed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest

from rivals import race
from storeroom.core.clock import FixedClock
from storeroom.core.crypto import SealBroken
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import AccountBlocked, InvalidCredentials, TokenRefused, User, UserRole, UserStatus
from storeroom.room import Shop, Storeroom
from storeroom.verification import (
    CHALLENGE_LIFETIME,
    FACTOR_FAILURES_MAX,
    FACTOR_WINDOW,
    RECOVERY_CODES,
    ChallengeRefused,
    SecondFactorActive,
    SecondFactorKept,
    SecondFactorMissing,
    SecondFactorNotOffered,
    SecondFactorNotYours,
    SecondFactorRefused,
    SecondFactorRequired,
    queries,
)

SECRET = "a secret of the installation, for tests only"
PASSWORD = "correct horse battery"


@dataclass
class Staffed:
    """A shop whose clock a test moves, with one who works there and their authenticator app."""

    room: Storeroom
    shop: Shop
    clock: FixedClock
    ann: User
    app: pyotp.TOTP | None = None
    recovery: Sequence[str] = ()

    @classmethod
    async def open(cls, db: Database, **settings: Any) -> Staffed:
        clock = FixedClock(datetime.now(UTC))
        room = Storeroom(db, clock=clock, secret=SECRET)
        tenant_id = f"t_{secrets.token_hex(6)}"
        await room.tenants.create(tenant_id, name="A shop", currency="USD", **settings)
        shop = room.tenant(tenant_id)
        return cls(room, shop, clock, await cls._member(shop, UserRole.STAFF))

    @staticmethod
    async def _member(shop: Shop, role: UserRole) -> User:
        email = f"{secrets.token_hex(4)}@shop.example"
        return await shop.users.create(email=email, role=role, password=PASSWORD)

    async def member(self, role: UserRole) -> User:
        return await self._member(self.shop, role)

    def by(self, user: User, kind: ActorKind = ActorKind.ADMIN) -> Shop:
        return self.shop.acting(actor=Actor(kind=kind, user_id=user.id, name=user.email))

    @property
    def own(self) -> Any:
        return self.by(self.ann).second_factors

    def code(self) -> str:
        """What the app shows."""
        assert self.app is not None
        return self.app.at(self.clock.now())

    def near(self) -> list[str]:
        """What the app shows now, and in the steps around."""
        assert self.app is not None
        return [self.app.at(self.clock.now(), counter_offset=step) for step in range(-3, 4)]

    def wrong(self) -> str:
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in self.near())

    def until_codes_differ(self) -> None:
        """Two steps have the same code once in a million."""
        while len(set(self.near())) < len(self.near()):
            self.clock.move(timedelta(seconds=30))

    async def enrolled(self) -> Staffed:
        """Ann's app is set up, and shows the next code already."""
        self.app = pyotp.TOTP((await self.own.enrol(user_id=self.ann.id)).secret)
        self.recovery = await self.own.confirm(user_id=self.ann.id, code=self.code())
        self.clock.move(timedelta(seconds=60))
        return self

    async def challenge(self, user: User | None = None) -> str:
        with pytest.raises(SecondFactorRequired) as asked:
            await self.shop.sign_in.with_password(email=(user or self.ann).email, password=PASSWORD)
        return asked.value.challenge

    async def one(self, sql: str, *args: object) -> Any:
        db = self.room.db
        return await db.fetchval(db.names.render(sql), self.shop.tenant_id, *args)


@pytest.fixture
async def staffed(database: Database) -> Staffed:
    return await Staffed.open(database)


async def test_staff_sign_in_with_a_code_once_they_have_an_app(staffed: Staffed) -> None:
    shop = staffed.shop
    assert (await shop.sign_in.with_password(email=staffed.ann.email, password=PASSWORD)).access_token
    offered = await staffed.own.enrol(user_id=staffed.ann.id)
    assert offered.uri.startswith("otpauth://totp/A%20shop:") and offered.secret in offered.uri
    assert offered.secret not in repr(offered)
    await shop.sign_in.with_password(
        email=staffed.ann.email, password=PASSWORD
    )  # until it is confirmed, nothing changes

    await staffed.enrolled()
    challenge = await staffed.challenge()
    signed_in = await shop.sign_in.with_second_factor(challenge=challenge, code=staffed.code())
    assert (await shop.sessions.authenticate(signed_in.access_token)).user_id == staffed.ann.id
    status = await staffed.own.status(user_id=staffed.ann.id)
    assert (status.active, status.required, status.recovery_codes_left) == (True, False, RECOVERY_CODES)


async def test_the_secret_is_sealed_and_codes_are_hashed(staffed: Staffed) -> None:
    await staffed.enrolled()
    assert staffed.app is not None
    row = await staffed.one("SELECT to_jsonb(f)::text FROM {second_factors} f WHERE tenant_id = $1")
    rows = await staffed.one("SELECT jsonb_agg(r)::text FROM {recovery_codes} r WHERE tenant_id = $1")
    assert staffed.app.secret not in row
    assert not any(code in rows or code.replace("-", "") in rows for code in staffed.recovery)
    other = Storeroom(staffed.room.db, clock=staffed.clock, secret="another secret of an installation, as long")
    with pytest.raises(SealBroken):
        await other.tenant(staffed.shop.tenant_id).second_factors.check(user_id=staffed.ann.id, code=staffed.code())


async def test_a_sealed_secret_opens_in_no_other_row(staffed: Staffed) -> None:
    await staffed.enrolled()
    bo = await staffed.member(UserRole.STAFF)
    await staffed.by(bo).second_factors.enrol(user_id=bo.id)
    await staffed.one(
        "UPDATE {second_factors} SET secret = (SELECT secret FROM {second_factors} WHERE tenant_id = $1 AND user_id = $2), "
        "confirmed_at = now() WHERE tenant_id = $1 AND user_id = $3",
        staffed.ann.id,
        bo.id,
    )
    with pytest.raises(SealBroken):
        await staffed.shop.second_factors.check(user_id=bo.id, code=staffed.code())


async def test_a_code_counts_once(staffed: Staffed) -> None:
    await staffed.enrolled()
    staffed.until_codes_differ()
    check = staffed.shop.second_factors.check
    await check(user_id=staffed.ann.id, code=staffed.code())
    with pytest.raises(SecondFactorRefused):
        await check(user_id=staffed.ann.id, code=staffed.code())
    staffed.clock.move(timedelta(seconds=30))
    said = await asyncio.gather(
        *(check(user_id=staffed.ann.id, code=staffed.code()) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in said) == ["NoneType"] + ["SecondFactorRefused"] * 3


async def test_a_clock_may_be_off_by_a_step_and_no_more(staffed: Staffed) -> None:
    await staffed.enrolled()
    assert staffed.app is not None
    staffed.clock.move(timedelta(minutes=5))
    staffed.until_codes_differ()
    now = staffed.clock.now()
    for off, right in [(-60, False), (60, False), (-30, True), (30, True)]:
        code = staffed.app.at(now + timedelta(seconds=off))
        if right:
            await staffed.shop.second_factors.check(user_id=staffed.ann.id, code=f"{code[:3]} {code[3:]}")
        else:
            with pytest.raises(SecondFactorRefused):
                await staffed.shop.second_factors.check(user_id=staffed.ann.id, code=code)


async def test_many_wrong_codes_at_once_are_no_more_than_allowed(staffed: Staffed) -> None:
    await staffed.enrolled()
    check = staffed.shop.second_factors.check
    said = await asyncio.gather(
        *(check(user_id=staffed.ann.id, code=staffed.wrong()) for _ in range(3 * FACTOR_FAILURES_MAX)),
        return_exceptions=True,
    )
    assert {type(each) for each in said} == {SecondFactorRefused}
    assert await staffed.one("SELECT failures FROM {second_factors} WHERE tenant_id = $1") == FACTOR_FAILURES_MAX
    for code in (staffed.code(), staffed.recovery[0]):
        with pytest.raises(SecondFactorRefused):
            await check(user_id=staffed.ann.id, code=code)
    staffed.clock.move(FACTOR_WINDOW)
    await check(user_id=staffed.ann.id, code=staffed.code())
    assert await staffed.one("SELECT failures FROM {second_factors} WHERE tenant_id = $1") == 0


@pytest.mark.parametrize(("left", "passes"), [(1, False), (2, True)])
async def test_who_waits_for_the_last_try_gets_none(
    staffed: Staffed, database: Database, left: int, passes: bool
) -> None:
    """The control has one try more: then the one who waited is through."""
    await staffed.enrolled()
    now = staffed.clock.now()
    await staffed.one(
        "UPDATE {second_factors} SET failures = $2, window_ends_at = $3 WHERE tenant_id = $1",
        FACTOR_FAILURES_MAX - left,
        now + FACTOR_WINDOW,
    )

    async def first(tx: Transaction) -> None:
        assert await queries.take_factor_try(
            tx,
            tenant_id=staffed.shop.tenant_id,
            user_id=staffed.ann.id,
            confirmed=True,
            tried_at=now,
            window_ends_at=now + FACTOR_WINDOW,
            failures_max=FACTOR_FAILURES_MAX,
        )

    outcome = await race(
        database, first, lambda: staffed.shop.second_factors.check(user_id=staffed.ann.id, code=staffed.code())
    )
    assert isinstance(outcome, SecondFactorRefused) is not passes, outcome


async def test_a_recovery_code_opens_once(staffed: Staffed) -> None:
    await staffed.enrolled()
    assert len(set(staffed.recovery)) == RECOVERY_CODES
    sign_in = staffed.shop.sign_in
    typed = staffed.recovery[0].lower().replace("-", " ")
    assert (await sign_in.with_second_factor(challenge=await staffed.challenge(), code=typed)).access_token
    said = await asyncio.gather(
        *(staffed.shop.second_factors.check(user_id=staffed.ann.id, code=staffed.recovery[1]) for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(each is None for each in said) == 1
    with pytest.raises(SecondFactorRefused):
        await sign_in.with_second_factor(challenge=await staffed.challenge(), code=staffed.recovery[0])

    fresh = await staffed.own.renew_recovery_codes(user_id=staffed.ann.id, code=staffed.code())
    with pytest.raises(SecondFactorRefused):
        await staffed.shop.second_factors.check(user_id=staffed.ann.id, code=staffed.recovery[2])
    await staffed.shop.second_factors.check(user_id=staffed.ann.id, code=fresh[2])


async def test_a_challenge_stands_for_the_password_a_few_minutes(staffed: Staffed, database: Database) -> None:
    await staffed.enrolled()
    sign_in = staffed.shop.sign_in
    challenge = await staffed.challenge()
    other = await Staffed.open(database)
    for refused in ("", "x", "1.a.b", challenge[:-4] + "AAAA", "x" * 2_000):
        with pytest.raises(ChallengeRefused):
            await sign_in.with_second_factor(challenge=refused, code=staffed.code())
    with pytest.raises(ChallengeRefused):
        await other.shop.sign_in.with_second_factor(challenge=challenge, code=staffed.code())
    with pytest.raises(TokenRefused):
        await staffed.shop.sessions.authenticate(challenge)
    staffed.clock.move(CHALLENGE_LIFETIME)
    with pytest.raises(ChallengeRefused):
        await sign_in.with_second_factor(challenge=challenge, code=staffed.code())

    challenge = await staffed.challenge()
    await staffed.shop.users.set_password(user_id=staffed.ann.id, password="another horse battery")
    with pytest.raises(InvalidCredentials):
        await sign_in.with_second_factor(challenge=challenge, code=staffed.code())


async def test_where_the_shop_requires_it_staff_set_it_up_at_sign_in(database: Database) -> None:
    staffed = await Staffed.open(database, staff_second_factor_required=True)
    sign_in = staffed.shop.sign_in
    customer = await staffed.shop.users.register(email="bo@example.com", password=PASSWORD, full_name="Bo")
    assert (await sign_in.with_password(email=customer.email, password=PASSWORD)).access_token
    for role in (UserRole.ADMIN, UserRole.SUPER_ADMIN):
        await staffed.challenge(await staffed.member(role))

    with pytest.raises(SecondFactorRequired) as asked:
        await sign_in.with_password(email=staffed.ann.email, password=PASSWORD)
    assert not asked.value.active
    challenge = asked.value.challenge
    with pytest.raises(SecondFactorRefused):
        await sign_in.with_second_factor(challenge=challenge, code="123456")
    staffed.app = pyotp.TOTP((await sign_in.enrol(challenge=challenge)).secret)
    with pytest.raises(SecondFactorRefused):
        await sign_in.with_new_second_factor(challenge=challenge, code=staffed.wrong())
    with pytest.raises(SecondFactorRefused):
        await sign_in.with_second_factor(challenge=challenge, code=staffed.code())
    signed_in, codes = await sign_in.with_new_second_factor(challenge=challenge, code=staffed.code())
    assert signed_in.user.id == staffed.ann.id and len(codes) == RECOVERY_CODES

    with pytest.raises(SecondFactorRequired) as asked:
        await sign_in.with_password(email=staffed.ann.email, password=PASSWORD)
    assert asked.value.active
    with pytest.raises(SecondFactorActive):
        await sign_in.enrol(challenge=asked.value.challenge)
    with pytest.raises(SecondFactorKept):
        await staffed.own.remove(user_id=staffed.ann.id, code=codes[0])


@pytest.mark.parametrize("required", [True, False])
async def test_whoever_becomes_staff_signs_in_anew_where_a_second_factor_is_required(
    database: Database, required: bool
) -> None:
    """Else the session that began without one would go on for half a year."""
    staffed = await Staffed.open(database, staff_second_factor_required=required)
    shop = staffed.shop
    customer = await shop.users.register(email="bo@example.com", password=PASSWORD, full_name="Bo")
    begun = await shop.sign_in.with_password(email=customer.email, password=PASSWORD)
    await shop.users.set_role(user_id=customer.id, role=UserRole.WHOLESALE)
    kept = await shop.sessions.refresh(begun.refresh_token)
    await shop.users.set_role(user_id=customer.id, role=UserRole.STAFF)
    if not required:
        kept = await shop.sessions.refresh(kept.refresh_token)
        assert (await shop.sessions.authenticate(kept.access_token)).role is UserRole.STAFF
        return
    for refused in (shop.sessions.refresh(kept.refresh_token), shop.sessions.authenticate(kept.access_token)):
        with pytest.raises(TokenRefused):
            await refused
    challenge = await staffed.challenge(customer)
    staffed.app = pyotp.TOTP((await shop.sign_in.enrol(challenge=challenge)).secret)
    signed_in, _ = await shop.sign_in.with_new_second_factor(challenge=challenge, code=staffed.code())
    await shop.users.set_role(user_id=customer.id, role=UserRole.ADMIN)
    assert (await shop.sessions.authenticate(signed_in.access_token)).role is UserRole.ADMIN, "it has passed one"


async def test_an_old_challenge_sets_up_nothing_once_the_password_is_another(database: Database) -> None:
    """Whoever had stolen it would have the app of the account, and its owner none."""
    staffed = await Staffed.open(database, staff_second_factor_required=True)
    sign_in, users, ann = staffed.shop.sign_in, staffed.shop.users, staffed.ann
    before, after = await staffed.challenge(), "another horse battery"
    app = pyotp.TOTP((await sign_in.enrol(challenge=before)).secret)
    await users.set_password(user_id=ann.id, password=after)
    for refused in (
        sign_in.enrol(challenge=before),
        sign_in.with_new_second_factor(challenge=before, code=app.at(staffed.clock.now())),
    ):
        with pytest.raises(InvalidCredentials):
            await refused
    assert not (await staffed.own.status(user_id=ann.id)).active
    assert await staffed.one("SELECT count(*) FROM {recovery_codes} WHERE tenant_id = $1") == 0
    with pytest.raises(SecondFactorRequired) as asked:
        await sign_in.with_password(email=ann.email, password=after)
    offered = await sign_in.enrol(challenge=asked.value.challenge)
    assert offered.secret != app.secret
    await users.set_status(user_id=ann.id, status=UserStatus.SUSPENDED)
    code = pyotp.TOTP(offered.secret).at(staffed.clock.now())
    for refused in (
        sign_in.enrol(challenge=asked.value.challenge),
        sign_in.with_new_second_factor(challenge=asked.value.challenge, code=code),
    ):
        with pytest.raises(AccountBlocked):
            await refused
    assert not (await staffed.own.status(user_id=ann.id)).active


async def test_who_confirms_while_the_password_is_being_changed_waits_and_is_refused(database: Database) -> None:
    staffed = await Staffed.open(database, staff_second_factor_required=True)
    sign_in = staffed.shop.sign_in
    challenge = await staffed.challenge()
    code = pyotp.TOTP((await sign_in.enrol(challenge=challenge)).secret).at(staffed.clock.now())

    async def first(tx: Transaction) -> None:
        await staffed.shop.users.bound(tx).set_password(user_id=staffed.ann.id, password="another horse battery")

    outcome = await race(database, first, lambda: sign_in.with_new_second_factor(challenge=challenge, code=code))
    assert isinstance(outcome, InvalidCredentials)
    assert not (await staffed.own.status(user_id=staffed.ann.id)).active


async def test_a_sign_in_that_fails_at_its_end_takes_no_code_and_sets_nothing_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the factor would be active, and its recovery codes lost. Wrong codes are counted all the same."""
    staffed = await Staffed.open(database, staff_second_factor_required=True)
    sign_in = staffed.shop.sign_in
    challenge = await staffed.challenge()
    staffed.app = pyotp.TOTP((await sign_in.enrol(challenge=challenge)).secret)

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("storeroom.identity.Sessions.start", broken)
        with pytest.raises(ZeroDivisionError):
            await sign_in.with_new_second_factor(challenge=challenge, code=staffed.code())
    assert not (await staffed.own.status(user_id=staffed.ann.id)).active
    with pytest.raises(SecondFactorRefused):
        await sign_in.with_new_second_factor(challenge=challenge, code=staffed.wrong())
    assert await staffed.one("SELECT failures FROM {second_factors} WHERE tenant_id = $1") == 1
    _, codes = await sign_in.with_new_second_factor(challenge=challenge, code=staffed.code())
    challenge = await staffed.challenge()
    with monkeypatch.context() as patched:
        patched.setattr("storeroom.identity.Sessions.start", broken)
        with pytest.raises(ZeroDivisionError):
            await sign_in.with_second_factor(challenge=challenge, code=codes[0])
    assert (await sign_in.with_second_factor(challenge=challenge, code=codes[0])).access_token
    for _ in range(2):
        with pytest.raises(SecondFactorRefused):
            await sign_in.with_second_factor(challenge=challenge, code=staffed.wrong())
    assert await staffed.one("SELECT failures FROM {second_factors} WHERE tenant_id = $1") == 2


async def test_it_is_removed_with_a_code_of_it(staffed: Staffed) -> None:
    await staffed.enrolled()
    with pytest.raises(SecondFactorActive):
        await staffed.own.enrol(user_id=staffed.ann.id)
    with pytest.raises(SecondFactorRefused):
        await staffed.own.remove(user_id=staffed.ann.id, code=staffed.wrong())
    await staffed.own.remove(user_id=staffed.ann.id, code=staffed.code())
    assert (await staffed.shop.sign_in.with_password(email=staffed.ann.email, password=PASSWORD)).access_token
    assert await staffed.one("SELECT count(*) FROM {recovery_codes} WHERE tenant_id = $1") == 0


async def test_who_stands_above_resets_it_and_nobody_else(staffed: Staffed) -> None:
    await staffed.enrolled()
    signed_in = await staffed.shop.sign_in.with_second_factor(challenge=await staffed.challenge(), code=staffed.code())
    bo = await staffed.member(UserRole.STAFF)
    customer = await staffed.shop.users.register(email="bo@example.com", password=PASSWORD, full_name="Bo")
    for who in (staffed.by(staffed.ann), staffed.by(bo), staffed.by(customer, ActorKind.CUSTOMER)):
        with pytest.raises(SecondFactorNotYours):
            await who.second_factors.reset(user_id=staffed.ann.id)
    admin = staffed.by(await staffed.member(UserRole.ADMIN))
    with pytest.raises(SecondFactorMissing):
        await admin.second_factors.reset(user_id=bo.id)
    await admin.second_factors.reset(user_id=staffed.ann.id)
    with pytest.raises(TokenRefused):
        await staffed.shop.sessions.refresh(signed_in.refresh_token)
    assert (await staffed.shop.sign_in.with_password(email=staffed.ann.email, password=PASSWORD)).access_token


async def test_the_trail_says_who_changed_it_and_holds_no_code(staffed: Staffed) -> None:
    await staffed.enrolled()
    admin = await staffed.member(UserRole.ADMIN)
    bo = await staffed.member(UserRole.STAFF)
    with pytest.raises(SecondFactorNotYours):
        await staffed.by(bo).second_factors.reset(user_id=staffed.ann.id)
    await staffed.by(admin).second_factors.reset(user_id=staffed.ann.id)
    trail = await staffed.one(
        "SELECT jsonb_agg(jsonb_build_array(action, user_id, error_message IS NULL) ORDER BY created_at, id) "
        "FROM {audit_logs} WHERE tenant_id = $1 AND resource_id = $2 AND action LIKE 'second_factors.%'",
        staffed.ann.id,
    )
    assert trail == [
        ["second_factors.confirm", str(staffed.ann.id), True],
        ["second_factors.new_recovery_codes", str(staffed.ann.id), True],
        ["second_factors.reset", str(bo.id), False],
        ["second_factors.reset", str(admin.id), True],
    ]
    assert staffed.app is not None
    whole = await staffed.one("SELECT jsonb_agg(a)::text FROM {audit_logs} a WHERE tenant_id = $1")
    assert not any(each in whole for each in (staffed.app.secret, *staffed.recovery))


async def test_one_s_own_is_one_s_own(staffed: Staffed) -> None:
    await staffed.enrolled()
    admin = staffed.by(await staffed.member(UserRole.SUPER_ADMIN)).second_factors
    for attempt in (
        admin.enrol(user_id=staffed.ann.id),
        admin.confirm(user_id=staffed.ann.id, code="123456"),
        admin.renew_recovery_codes(user_id=staffed.ann.id, code=staffed.code()),
        admin.remove(user_id=staffed.ann.id, code=staffed.code()),
    ):
        with pytest.raises(SecondFactorNotYours):
            await attempt
    customer = await staffed.shop.users.register(email="bo@example.com", password=PASSWORD, full_name="Bo")
    his = staffed.by(customer, ActorKind.CUSTOMER).second_factors
    with pytest.raises(SecondFactorNotOffered):
        await his.enrol(user_id=customer.id)
    with pytest.raises(SecondFactorNotYours):
        await his.status(user_id=staffed.ann.id)
