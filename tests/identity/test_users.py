"""Accounts: what is kept of them, who may change them, and what never changes."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from house import PASSWORD, House

from rivals import race
from storeroom.core.contact import InvalidEmail, InvalidPhone
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import UserId, new_id
from storeroom.database.pool import Database, Transaction
from storeroom.identity import (
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    USER_MOVES,
    AccountBlocked,
    Attribution,
    AuthProvider,
    BirthDateMissing,
    CommonPassword,
    EmailTaken,
    InvalidCredentials,
    InvalidPassword,
    InvalidPerson,
    KycStatus,
    NotStaff,
    Permission,
    PhoneTaken,
    ProfileChanges,
    RoleForbidden,
    SearchRefused,
    TooYoung,
    UserNotFound,
    UserRole,
    UserStatus,
    UserStatusRefused,
    WrongPassword,
    age_on,
    allows,
    may_manage,
    passwords,
    queries,
)
from storeroom.identity.common_passwords import COMMON_PASSWORDS
from storeroom.identity.revocations import Revocations

CAMPAIGN = Attribution(
    utm_source="news",
    utm_medium="mail",
    utm_campaign="spring",
    utm_term="shirt",
    utm_content="top",
    referrer_url="https://news.example/1",
    landing_page="/shirts?x=1",
)


# --- Making -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-USR-02", "SBB-USR-06", "SBB-USR-04")
async def test_a_customer_registers_and_reads_everything_back(house: House) -> None:
    user = await house.customer(" Ann@Example.COM ", full_name="  Ann   Buyer ", phone="(212) 555-0123")
    assert (
        user == await house.shop.users.get(user_id=user.id) == await house.shop.users.by_email(email="ANN@example.com")
    )
    assert (user.email, user.full_name, user.phone) == ("ann@example.com", "Ann Buyer", "12125550123")
    assert (user.auth_provider, user.role, user.status) == ("email", "customer", "pending_verification")
    assert user.permissions == []
    assert not (user.email_verified or user.phone_verified or user.age_verified)
    assert user.kyc_status == "not_required"
    assert user.email_verified_at is user.age_verified_at is user.kyc_verified_at is user.deleted_at is None
    assert user.created_at == user.updated_at


@pytest.mark.requirement("SBB-USR-04", "SBB-USR-06")
async def test_an_address_is_enough_for_an_account_that_staff_make(house: House) -> None:
    least = await house.shop.users.create(email="bo@example.com")
    assert (least.auth_provider, least.role, least.status) == ("email", "customer", "pending_verification")
    assert least.full_name is least.phone is None
    full = await house.shop.users.create(
        email="cy@example.com",
        role=UserRole.STAFF,
        password=PASSWORD,
        full_name="Cy",
        phone="+44 20 7946 0958",
        permissions=[Permission.USERS_READ, Permission.ORDERS_READ, Permission.USERS_READ],
        status=UserStatus.ACTIVE,
        metadata={"credit_limit": 5},
    )
    assert full == await house.shop.users.get(user_id=full.id)
    assert (full.role, full.status, full.phone) == ("staff", "active", "442079460958")
    assert full.permissions == ["orders.read", "users.read"]
    assert full.metadata == {"credit_limit": 5}


@pytest.mark.requirement("STO-USR-06")
@pytest.mark.parametrize(
    ("fields", "refused", "named"),
    [
        ({"full_name": ""}, InvalidPerson, "full_name"),
        ({"full_name": " \t "}, InvalidPerson, "full_name"),
        ({"full_name": "x" * 101}, InvalidPerson, "full_name"),
        ({"full_name": "An\x00n"}, InvalidPerson, "full_name"),
        ({"password": ""}, InvalidPassword, "password"),
        ({"password": "x" * 9}, InvalidPassword, "password"),
        ({"password": "x" * 201}, InvalidPassword, "password"),
        ({"password": "\ud800" * 12}, InvalidPassword, "password"),
        ({"email": "ann"}, InvalidEmail, "email"),
        ({"phone": "12"}, InvalidPhone, "phone"),
    ],
)
async def test_nobody_registers_with_a_field_that_is_wrong(
    house: House, fields: dict[str, Any], refused: type[StoreroomError], named: str
) -> None:
    with pytest.raises(refused) as caught:
        await house.customer(**fields)
    assert caught.value.facts()["field"] == named
    assert await house.count("users") == await house.count("user_profiles") == 0


@pytest.mark.requirement("STO-USR-06")
async def test_a_change_advances_updated_at_only(house: House) -> None:
    user = await house.customer()
    changed = await house.shop.users.set_name(user_id=user.id, full_name="Ann B.")
    assert changed.updated_at > user.updated_at
    assert changed.created_at == user.created_at
    with pytest.raises(asyncpg.NotNullViolationError):
        await house.run("UPDATE {users} SET created_at = NULL WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-USR-11", "STO-USR-04")
async def test_two_who_register_one_address_at_once_leave_one_account(house: House) -> None:
    users = house.shop.users

    async def first(tx: Transaction) -> None:
        await users.bound(tx).create(email="ann@example.com")

    outcome = await race(house.db, first, lambda: users.create(email="Ann@Example.com"))
    assert isinstance(outcome, EmailTaken)
    assert await house.count("users") == await house.count("user_profiles") == 1


@pytest.mark.requirement("SBB-USR-11")
async def test_the_address_of_a_deleted_account_is_not_given_to_another(house: House, other: House) -> None:
    user = await house.customer()
    await house.shop.users.delete(user_id=user.id)
    with pytest.raises(EmailTaken):
        await house.customer()
    assert await house.count("users") == 1
    await other.customer()  # another shop is another world


@pytest.mark.requirement("SBB-USR-12")
async def test_a_number_belongs_to_one_account_and_many_have_none(house: House) -> None:
    users = house.shop.users
    await users.create(email="a@example.com")
    await users.create(email="b@example.com")

    async def first(tx: Transaction) -> None:
        await users.bound(tx).create(email="c@example.com", phone="+1 212 555 0123")

    outcome = await race(house.db, first, lambda: users.create(email="d@example.com", phone="(212) 555-0123"))
    assert isinstance(outcome, PhoneTaken)
    assert await house.one("SELECT count(*) FROM {users} WHERE tenant_id = $1 AND phone IS NOT NULL") == 1
    assert await house.count("users") == 3


@pytest.mark.requirement("SBB-USR-05", "SBB-USR-03")
async def test_a_password_is_kept_as_a_hash_and_a_providers_account_has_none(house: House) -> None:
    user = await house.customer()
    kept = await house.column("password_hash", user.id)
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept
    for provider in (AuthProvider.GOOGLE, AuthProvider.APPLE):
        theirs = await house.shop.users.create(email=f"{provider}@example.com", auth_provider=provider)
        assert theirs.auth_provider is provider
        assert await house.column("password_hash", theirs.id) is None
        for guess in ("", "None", PASSWORD):
            with pytest.raises(InvalidCredentials):
                await house.shop.sessions.sign_in(email=theirs.email, password=guess)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {users} SET auth_provider = 'phone' WHERE tenant_id = $1")


# --- Finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-IDX-10")
async def test_search_finds_a_part_of_a_name_an_address_or_a_number(house: House, other: House) -> None:
    users = house.shop.users
    ann = await house.customer("ann.lee@example.com", full_name="Ann Özil", phone="+1 212 555 0123")
    bo = await house.customer("bo_50%@example.org", full_name="Bo Leeds")
    gone = await house.customer("gone@example.com", full_name="Ann Gone")
    await users.delete(user_id=gone.id)
    await other.customer("ann@example.com", full_name="Ann Elsewhere")
    found = {
        text: [user.id for user in await users.search(text=text)]
        for text in ("ÖZI", "nn.le", "212 555", "(0)555-01", "lee", "50%", "0_%", "%%%", "ann")
    }
    assert found == {
        "ÖZI": [ann.id],
        "nn.le": [ann.id],
        "212 555": [ann.id],
        "(0)555-01": [ann.id],
        "lee": [bo.id, ann.id],
        "50%": [bo.id],
        "0_%": [],
        "%%%": [],
        "ann": [ann.id],
    }
    assert len(await users.search(text="lee", limit=1)) == 1
    for refused in ("", "ab", "0 12", "x" * 101, "an\x00n"):
        with pytest.raises(SearchRefused):
            await users.search(text=refused)


@pytest.mark.requirement("SBB-IDX-10")
async def test_a_search_among_those_of_a_status(house: House) -> None:
    users = house.shop.users
    made = [await users.create(email=f"ann{n}@example.com", status=UserStatus.ACTIVE) for n in range(4)]
    await users.set_status(user_id=made[1].id, status=UserStatus.SUSPENDED)
    await users.set_status(user_id=made[2].id, status=UserStatus.BANNED)

    async def found(*statuses: UserStatus) -> list[UserId]:
        return [user.id for user in await users.search(text="ann", statuses=statuses)]

    assert await found(UserStatus.SUSPENDED) == [made[1].id]
    assert await found(UserStatus.SUSPENDED, UserStatus.BANNED) == [made[2].id, made[1].id]
    assert await found(UserStatus.ACTIVE) == [made[3].id, made[0].id]
    assert await found() == []
    able = await house.shop.customers.search(text="ann", active=True)
    assert [customer.id for customer in able] == [made[3].id, made[0].id]
    assert len(await house.shop.customers.search(text="ann")) == 4


async def test_lists_are_newest_first_page_by_page_without_the_deleted(house: House) -> None:
    made = [await house.shop.users.create(email=f"u{n}@example.com") for n in range(5)]
    await house.shop.users.delete(user_id=made[2].id)
    await house.shop.users.set_status(user_id=made[1].id, status=UserStatus.ACTIVE)

    async def all_of(status: UserStatus | None) -> list[UserId]:
        ids, cursor = [], None
        while True:
            page = await house.shop.users.list(status=status, cursor=cursor, limit=2)
            ids += [user.id for user in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return ids

    assert await all_of(None) == [made[n].id for n in (4, 3, 1, 0)]
    assert await all_of(UserStatus.PENDING_VERIFICATION) == [made[n].id for n in (4, 3, 0)]
    assert await all_of(UserStatus.ACTIVE) == [made[1].id]
    assert await all_of(UserStatus.DELETED) == []


# --- What an account is and may do ------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-USR-01", "STO-USR-01", "STO-USR-03")
@pytest.mark.parametrize("role", UserRole)
async def test_each_role_can_be_stored_and_permits_what_it_permits(house: House, role: UserRole) -> None:
    user = await house.shop.users.create(email="x@example.com", role=role)
    assert (await house.shop.users.get(user_id=user.id)).role is role
    listed = [Permission.ORDERS_READ]
    everything = role in (UserRole.ADMIN, UserRole.SUPER_ADMIN)
    assert allows(role, listed, Permission.ORDERS_READ) is (everything or role is UserRole.STAFF)
    assert allows(role, listed, Permission.USERS_WRITE) is everything
    assert allows(role, [], Permission.ORDERS_READ) is everything
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {users} SET role = 'owner' WHERE tenant_id = $1")


@pytest.mark.requirement("STO-USR-03")
async def test_permissions_are_a_list_of_known_ones_for_staff_only(house: House) -> None:
    users = house.shop.users
    staff = await house.member(UserRole.STAFF)
    assert staff.permissions == []
    given = await users.set_permissions(
        user_id=staff.id, permissions=[Permission.ORDERS_WRITE, Permission.CATALOG_WRITE]
    )
    assert given.permissions == ["catalog.write", "orders.write"]
    assert (await users.set_permissions(user_id=staff.id, permissions=[])).permissions == []
    with pytest.raises(InvalidPerson):
        await users.set_permissions(user_id=staff.id, permissions=["everything"])  # type: ignore[list-item]
    for role in (UserRole.CUSTOMER, UserRole.ADMIN):
        with pytest.raises(NotStaff):
            await users.set_permissions(user_id=(await house.member(role)).id, permissions=[Permission.ORDERS_READ])
        with pytest.raises(NotStaff):
            await house.member(role, Permission.ORDERS_READ)
    await users.set_permissions(user_id=staff.id, permissions=[Permission.ORDERS_WRITE])
    assert (await users.set_role(user_id=staff.id, role=UserRole.CUSTOMER)).permissions == []


RANKS = (UserRole.CUSTOMER, UserRole.STAFF, UserRole.ADMIN, UserRole.SUPER_ADMIN)


@pytest.mark.parametrize("actor", RANKS)
@pytest.mark.parametrize("target", RANKS)
async def test_nobody_changes_an_account_of_their_own_rank_or_above(
    house: House, actor: UserRole, target: UserRole
) -> None:
    """Staff who may edit accounts must not make themselves admin, nor take over an admin by a new password."""
    below = actor is UserRole.SUPER_ADMIN or RANKS.index(target) < RANKS.index(actor)
    assert may_manage(actor, target) is below
    users, user = house.by(await house.member(actor)).users, await house.member(target)
    calls = [
        lambda: users.set_status(user_id=user.id, status=UserStatus.ACTIVE),
        lambda: users.set_password(user_id=user.id, password=PASSWORD),
        lambda: users.set_kyc(user_id=user.id, status=KycStatus.PENDING),
        lambda: users.change_email(user_id=user.id, email="mine@example.com"),
        lambda: users.create(email="new@example.com", role=target),
        lambda: users.set_role(user_id=user.id, role=UserRole.CUSTOMER),
        lambda: users.delete(user_id=user.id),
    ]
    before = await house.rows("SELECT id, role, status, password_hash, updated_at FROM {users} WHERE tenant_id = $1")
    for call in calls:
        if below:
            await call()
        else:
            with pytest.raises(RoleForbidden):
                await call()
    if not below:
        after = await house.rows("SELECT id, role, status, password_hash, updated_at FROM {users} WHERE tenant_id = $1")
        assert sorted(after) == sorted(before)


async def test_nobody_lifts_an_account_to_their_own_rank(house: House) -> None:
    admin, staff = await house.member(UserRole.ADMIN), await house.member(UserRole.STAFF, Permission.USERS_WRITE)
    customer = await house.customer()
    with pytest.raises(RoleForbidden):
        await house.by(admin).users.set_role(user_id=customer.id, role=UserRole.ADMIN)
    with pytest.raises(RoleForbidden):
        await house.by(staff).users.set_role(user_id=customer.id, role=UserRole.STAFF)
    for own, role in ((staff, UserRole.ADMIN), (admin, UserRole.SUPER_ADMIN)):
        with pytest.raises(RoleForbidden):
            await house.by(own).users.set_role(user_id=own.id, role=role)
    with pytest.raises(RoleForbidden):
        await house.by(staff).users.set_permissions(user_id=staff.id, permissions=list(Permission))
    await house.shop.users.delete(user_id=admin.id)
    with pytest.raises(RoleForbidden):
        await house.by(admin).users.set_role(user_id=customer.id, role=UserRole.WHOLESALE)
    assert (await house.by(customer).users.get(user_id=customer.id)).role is UserRole.CUSTOMER


async def test_a_customer_touches_no_account_but_their_own(house: House) -> None:
    ann, bo = await house.customer(), await house.customer("bo@example.com")
    changes = ProfileChanges(first_name="Eve")
    for shop in (house.of(ann), house.of(None)):
        for call in (
            lambda users=shop.users: users.get(user_id=bo.id),
            lambda users=shop.users: users.profile(user_id=bo.id),
            lambda users=shop.users: users.update_profile(user_id=bo.id, changes=changes),
            lambda users=shop.users: users.set_name(user_id=bo.id, full_name="Eve"),
            lambda users=shop.users: users.change_email(user_id=bo.id, email="eve@example.com"),
            lambda users=shop.users: users.change_phone(user_id=bo.id, phone=None),
            lambda users=shop.users: users.change_password(
                user_id=bo.id, current_password=PASSWORD, new_password="another password"
            ),
            lambda users=shop.users: users.set_password(user_id=bo.id, password=PASSWORD),
            lambda users=shop.users: users.set_role(user_id=bo.id, role=UserRole.CUSTOMER),
            lambda users=shop.users: users.delete(user_id=bo.id),
        ):
            with pytest.raises(UserNotFound):
                await call()
    for own in (
        house.of(ann).users.set_role(user_id=ann.id, role=UserRole.ADMIN),
        house.of(ann).users.set_password(user_id=ann.id, password=PASSWORD),
        house.of(ann).users.verify_age(user_id=ann.id),
        house.of(ann).users.set_kyc(user_id=ann.id, status=KycStatus.APPROVED),
        house.of(ann).users.create(email="new@example.com"),
    ):
        with pytest.raises(RoleForbidden):
            await own
    assert await house.shop.users.get(user_id=bo.id) == bo
    assert (await house.of(ann).users.set_name(user_id=ann.id, full_name="Ann B.")).full_name == "Ann B."


async def test_another_tenants_account_is_not_found(house: House, other: House) -> None:
    user = await other.customer()
    users = house.shop.users
    for call in (
        users.get(user_id=user.id),
        users.by_email(email=user.email),
        users.profile(user_id=user.id),
        users.update_profile(user_id=user.id, changes=ProfileChanges(first_name="Eve")),
        users.set_role(user_id=user.id, role=UserRole.ADMIN),
        users.set_status(user_id=user.id, status=UserStatus.BANNED),
        users.set_password(user_id=user.id, password="another password"),
        users.change_email(user_id=user.id, email="eve@example.com"),
        users.verify_age(user_id=user.id),
        users.set_kyc(user_id=user.id, status=KycStatus.APPROVED),
        users.delete(user_id=user.id),
    ):
        with pytest.raises(UserNotFound):
            await call
    with pytest.raises(RoleForbidden):  # nor does their admin rule here
        await house.by(await other.member(UserRole.SUPER_ADMIN)).users.create(email="x@example.com")
    assert await other.shop.users.get(user_id=user.id) == user


@pytest.mark.requirement("SBB-USR-02")
@pytest.mark.parametrize("start", UserStatus)
@pytest.mark.parametrize("to", UserStatus)
async def test_every_status_against_every_other(house: House, start: UserStatus, to: UserStatus) -> None:
    user = await house.customer()
    if start is UserStatus.DELETED:
        await house.shop.users.delete(user_id=user.id)
    else:
        await house.run("UPDATE {users} SET status = $2::text::{user_status} WHERE tenant_id = $1", start.value)
    if start is UserStatus.DELETED:
        with pytest.raises(UserNotFound):
            await house.shop.users.set_status(user_id=user.id, status=to)
    elif to in USER_MOVES[start] and to is not UserStatus.DELETED:
        assert (await house.shop.users.set_status(user_id=user.id, status=to)).status is to
    else:
        with pytest.raises(UserStatusRefused):
            await house.shop.users.set_status(user_id=user.id, status=to)
        assert await house.column("status", user.id) == start


@pytest.mark.requirement("SBB-USR-02")
async def test_signing_in_works_for_the_statuses_that_allow_it(house: House) -> None:
    user = await house.customer()
    sign_in = {"email": user.email, "password": PASSWORD}
    for status in ("pending_verification", "active"):
        await house.run("UPDATE {users} SET status = $2::text::{user_status} WHERE tenant_id = $1", status)
        await house.shop.sessions.sign_in(**sign_in)
    for status in ("suspended", "banned"):
        await house.run("UPDATE {users} SET status = $2::text::{user_status} WHERE tenant_id = $1", status)
        with pytest.raises(AccountBlocked):
            await house.shop.sessions.sign_in(**sign_in)
        with pytest.raises(InvalidCredentials):  # who has not the password is not told
            await house.shop.sessions.sign_in(email=user.email, password="not the password")
    await house.shop.users.delete(user_id=user.id)
    with pytest.raises(InvalidCredentials):
        await house.shop.sessions.sign_in(**sign_in)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {users} SET status = 'asleep' WHERE tenant_id = $1")


async def test_another_address_or_number_is_not_proven(house: House) -> None:
    user = await house.customer(phone="+1 212 555 0123")
    prove = "UPDATE {users} SET email_verified = TRUE, email_verified_at = now(), phone_verified = TRUE WHERE tenant_id = $1"
    await house.run(prove)
    same = await house.shop.users.change_email(user_id=user.id, email="ANN@example.com")
    assert same.email_verified
    changed = await house.shop.users.change_email(user_id=user.id, email="ann@example.org")
    assert (changed.email, changed.email_verified, changed.email_verified_at) == ("ann@example.org", False, None)
    assert changed.phone_verified
    assert (await house.shop.users.change_phone(user_id=user.id, phone="212-555-0123")).phone_verified
    assert not (await house.shop.users.change_phone(user_id=user.id, phone="+1 212 555 0199")).phone_verified
    assert (await house.shop.users.change_phone(user_id=user.id, phone=None)).phone is None
    await house.customer("bo@example.com", phone="+1 212 555 0123")
    with pytest.raises(PhoneTaken):
        await house.shop.users.change_phone(user_id=user.id, phone="+1 212 555 0123")
    with pytest.raises(EmailTaken):
        await house.shop.users.change_email(user_id=user.id, email="bo@example.com")


@pytest.mark.requirement("SBB-USR-19")
async def test_a_deleted_account_keeps_its_row_profile_and_orders(house: House) -> None:
    user = await house.customer()
    signed_in = await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    await house.run(
        "INSERT INTO {orders} (tenant_id, id, order_number, user_id, customer_email, customer_name, currency, "
        "subtotal_amount, total_amount, payment_due_at) "
        "VALUES ($1, $2, 'ABCD', $3, 'ann@example.com', 'Ann', 'USD', 0, 0, now())",
        new_id(),
        user.id,
    )
    await house.of(user).users.delete(user_id=user.id)
    (row,) = await house.rows("SELECT status, deleted_at IS NOT NULL FROM {users} WHERE tenant_id = $1")
    assert row == ("deleted", True)
    assert await house.count("user_profiles") == await house.count("orders") == 1
    users = house.shop.users
    for call in (users.get(user_id=user.id), users.by_email(email=user.email), users.delete(user_id=user.id)):
        with pytest.raises(UserNotFound):
            await call
    assert (await users.list()).items == []
    assert await users.search(text="ann") == []
    with pytest.raises(StoreroomError):
        await house.shop.sessions.authenticate(signed_in.access_token)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.run("DELETE FROM {users} WHERE tenant_id = $1")


# --- Passwords --------------------------------------------------------------------------------------------------------


async def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(house: House) -> None:
    user = await house.customer()
    here, there = [await house.shop.sessions.sign_in(email=user.email, password=PASSWORD) for _ in range(2)]
    users = house.of(user).users
    with pytest.raises(WrongPassword):
        await users.change_password(user_id=user.id, current_password="not this one", new_password="another password")
    with pytest.raises(InvalidPassword) as caught:
        await users.change_password(user_id=user.id, current_password=PASSWORD, new_password="short")
    assert caught.value.field == "new_password"
    await users.change_password(
        user_id=user.id, current_password=PASSWORD, new_password="another password", keep_session_id=here.session_id
    )
    assert await house.shop.sessions.authenticate(here.access_token)
    with pytest.raises(StoreroomError):
        await house.shop.sessions.authenticate(there.access_token)
    with pytest.raises(InvalidCredentials):
        await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    await house.shop.sessions.sign_in(email=user.email, password="another password")
    await house.shop.users.set_password(user_id=user.id, password="a third password")
    with pytest.raises(StoreroomError):
        await house.shop.sessions.authenticate(here.access_token)


@pytest.mark.parametrize(
    "common", ["password123", "PassWord123", "qwertyuiop", " 1234567890 ", "iloveyou 123", "storeroom123"]
)
async def test_what_is_guessed_first_is_no_password(house: House, common: str) -> None:
    for refused in (
        house.shop.users.register(email="ann@example.com", password=common, full_name="Ann"),
        house.shop.users.create(email="ann@example.com", password=common),
    ):
        with pytest.raises(CommonPassword):
            await refused
    assert await house.count("users") == 0
    user = await house.customer(password=f"{common} and more")
    with pytest.raises(CommonPassword) as caught:
        await house.of(user).users.change_password(
            user_id=user.id, current_password=f"{common} and more", new_password=common
        )
    assert caught.value.field == "new_password"


@pytest.mark.parametrize("own", ["ann.of.leeds@example.com", " Ann.of.Leeds@Example.com", "ANN.OF.LEEDS"])
async def test_ones_own_mail_address_is_no_password(house: House, own: str) -> None:
    email, shop = "ann.of.leeds@example.com", house.shop
    for refused in (
        shop.users.register(email=email, password=own, full_name="Ann"),
        shop.users.create(email=email, password=own),
        shop.mail_proofs.register(email=email, password=own, full_name="Ann"),
    ):
        with pytest.raises(CommonPassword):
            await refused
    assert await house.count("users") == 0
    user = await shop.users.create(email=email, password=PASSWORD)
    with pytest.raises(CommonPassword) as caught:
        await house.of(user).users.change_password(user_id=user.id, current_password=PASSWORD, new_password=own)
    assert caught.value.field == "new_password"
    await shop.sessions.sign_in(email=email, password=PASSWORD)


@pytest.mark.parametrize("held", [" " * 10, "z" * 40, "é " * 8])
async def test_one_key_held_down_is_no_password(house: House, held: str) -> None:
    with pytest.raises(CommonPassword):
        await house.shop.users.register(email="ann@example.com", password=held, full_name="Ann")


def test_the_list_of_common_passwords_is_long_and_each_could_be_taken() -> None:
    assert len(COMMON_PASSWORDS) >= 200
    for password in COMMON_PASSWORDS:
        assert PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX, "length alone refuses it"
        assert password == password.casefold()


async def test_a_common_password_of_before_still_opens(house: House) -> None:
    """Who has one is not locked out; the next one is another."""
    user = await house.customer()
    await house.run(
        "UPDATE {users} SET password_hash = $3 WHERE tenant_id = $1 AND id = $2",
        user.id,
        await passwords.rehashed("password123"),
    )
    assert await house.shop.sessions.sign_in(email=user.email, password="password123")


async def test_of_two_who_change_one_password_at_once_one_wins(house: House) -> None:
    user = await house.customer()
    outcomes = await asyncio.gather(
        *(
            house.shop.users.change_password(
                user_id=user.id, current_password=PASSWORD, new_password=f"a newer password {n}"
            )
            for n in range(2)
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "WrongPassword"]


# --- Profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PROF-04", "SBB-PROF-01", "SBB-PROF-06")
async def test_a_profile_keeps_every_field(house: House) -> None:
    user = await house.customer(attribution=CAMPAIGN)
    profile = await house.shop.users.profile(user_id=user.id)
    assert (profile.preferred_currency, profile.timezone, profile.locale) == ("USD", "America/New_York", "en-US")
    assert not (profile.marketing_consent or profile.sms_consent)
    assert {name: getattr(profile, name) for name in Attribution.__struct_fields__} == {
        name: getattr(CAMPAIGN, name) for name in Attribution.__struct_fields__
    }
    changes = ProfileChanges(
        first_name=" Ann ",
        last_name="Buyer",
        display_name="Annie",
        date_of_birth=date(1990, 2, 28),
        preferred_currency="EUR",
        timezone="Europe/Berlin",
        locale="de_DE",
        marketing_consent=True,
        sms_consent=True,
    )
    full = await house.of(user).users.update_profile(user_id=user.id, changes=changes)
    assert full == await house.shop.users.profile(user_id=user.id)
    assert (full.first_name, full.last_name, full.display_name) == ("Ann", "Buyer", "Annie")
    assert (full.date_of_birth, full.preferred_currency) == (date(1990, 2, 28), "EUR")
    assert (full.timezone, full.locale) == ("Europe/Berlin", "de-DE")
    forgotten = await house.shop.users.update_profile(user_id=user.id, changes=ProfileChanges(display_name=None))
    assert forgotten.display_name is None
    assert forgotten.first_name == "Ann"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", "x" * 101),
        ("date_of_birth", date(1899, 12, 31)),
        ("date_of_birth", date(2999, 1, 1)),
        ("preferred_currency", "XXY"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "Europe"),
        ("locale", "klingon?"),
    ],
)
async def test_a_field_that_is_wrong_leaves_the_profile_as_it_was(house: House, field: str, value: object) -> None:
    user = await house.customer()
    before = await house.shop.users.profile(user_id=user.id)
    with pytest.raises(StoreroomError):
        await house.shop.users.update_profile(
            user_id=user.id, changes=ProfileChanges(**{"last_name": "Kept?", field: value})
        )
    assert await house.shop.users.profile(user_id=user.id) == before


@pytest.mark.requirement("SBB-PROF-02")
async def test_two_who_make_one_profile_leave_one_row(house: House) -> None:
    user = await house.customer()
    await house.run("DELETE FROM {user_profiles} WHERE tenant_id = $1")

    async def first(tx: Transaction) -> None:
        await queries.insert_profile(tx, tenant_id=house.shop.tenant_id, id=new_id(), user_id=user.id, **columns)

    async def second() -> int:
        return await queries.insert_profile(
            house.db, tenant_id=house.shop.tenant_id, id=new_id(), user_id=user.id, **columns
        )

    columns: dict[str, Any] = dict.fromkeys(Attribution.__struct_fields__)
    assert await race(house.db, first, second) == 0
    assert await house.count("user_profiles") == 1
    with pytest.raises(asyncpg.NotNullViolationError):
        await house.run("UPDATE {user_profiles} SET user_id = NULL WHERE tenant_id = $1")


async def test_an_account_without_a_profile_gets_one_when_it_is_looked_at(house: House) -> None:
    user = await house.customer()
    await house.run("DELETE FROM {user_profiles} WHERE tenant_id = $1")
    both = await asyncio.gather(*(house.shop.users.profile(user_id=user.id) for _ in range(2)))
    assert both[0] == both[1]
    assert await house.count("user_profiles") == 1


@pytest.mark.requirement("SBB-PROF-06")
async def test_where_somebody_came_from_is_written_once(house: House) -> None:
    user = await house.customer(attribution=CAMPAIGN)
    first = await house.shop.users.profile(user_id=user.id)
    with pytest.raises(EmailTaken):
        await house.customer(attribution=Attribution(utm_source="later"))
    await house.shop.users.update_profile(user_id=user.id, changes=ProfileChanges(first_name="Ann"))
    _, token = await house.shop.sessions.guest()
    await house.shop.sign_in.with_password(email=user.email, password=PASSWORD, guest_token=token)
    columns: dict[str, Any] = dict.fromkeys(Attribution.__struct_fields__, "later")
    assert not await queries.insert_profile(
        house.db, tenant_id=house.shop.tenant_id, id=new_id(), user_id=user.id, **columns
    )
    after = await house.shop.users.profile(user_id=user.id)
    for name in Attribution.__struct_fields__:
        assert getattr(after, name) == getattr(first, name) == getattr(CAMPAIGN, name)
        assert name not in ProfileChanges.__struct_fields__


async def test_a_long_link_is_cut_and_nobody_is_refused_for_it(house: House) -> None:
    user = await house.customer(
        attribution=Attribution(
            utm_source="s" * 300, landing_page="/" + "p" * 3000, utm_term="a\x00b", referrer_url=" "
        )
    )
    profile = await house.shop.users.profile(user_id=user.id)
    assert profile.utm_source == "s" * 100
    assert profile.landing_page is not None
    assert len(profile.landing_page) == 2000
    assert profile.utm_term == "ab"
    assert profile.referrer_url is None


@pytest.mark.requirement("SBB-PROF-05")
async def test_a_consent_is_dated_and_its_withdrawal_too(house: House) -> None:
    user = await house.customer()
    users = house.shop.users
    for flag in ("marketing_consent", "sms_consent"):
        before = await users.profile(user_id=user.id)
        assert (getattr(before, flag), getattr(before, f"{flag}_at")) == (False, None)
        given = await users.update_profile(user_id=user.id, changes=ProfileChanges(**{flag: True}))
        given_at = getattr(given, f"{flag}_at")
        assert getattr(given, flag)
        assert given_at is not None
        again = await users.update_profile(user_id=user.id, changes=ProfileChanges(**{flag: True}))
        assert getattr(again, f"{flag}_at") == given_at
        withdrawn = await users.update_profile(user_id=user.id, changes=ProfileChanges(**{flag: False}))
        assert not getattr(withdrawn, flag)
        assert getattr(withdrawn, f"{flag}_at") > given_at


# --- Age and KYC ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-PROF-03")
async def test_an_age_is_verified_by_the_date_of_birth(house: House) -> None:
    user = await house.customer()
    users = house.shop.users
    with pytest.raises(BirthDateMissing):
        await users.verify_age(user_id=user.id)
    house.clock.move(datetime(2026, 6, 15, 12, tzinfo=UTC) - house.clock.now())
    await users.update_profile(user_id=user.id, changes=ProfileChanges(date_of_birth=date(2008, 6, 16)))
    with pytest.raises(TooYoung):
        await users.verify_age(user_id=user.id)
    assert not (await users.get(user_id=user.id)).age_verified
    house.clock.move(timedelta(days=1))
    verified = await users.verify_age(user_id=user.id)
    assert verified.age_verified
    assert verified.age_verified_at is not None
    await users.update_profile(user_id=user.id, changes=ProfileChanges(date_of_birth=date(2008, 6, 16), last_name="B"))
    assert (await users.get(user_id=user.id)).age_verified
    await users.update_profile(user_id=user.id, changes=ProfileChanges(date_of_birth=date(2008, 6, 17)))
    taken_back = await users.get(user_id=user.id)
    assert (taken_back.age_verified, taken_back.age_verified_at) == (False, None)


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (date(2008, 6, 15), date(2026, 6, 14), 17),
        (date(2008, 6, 15), date(2026, 6, 15), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_age_counts_completed_years(born: date, day: date, age: int) -> None:
    assert age_on(born, day) == age


async def test_kyc_is_dated_when_it_is_approved(house: House) -> None:
    user = await house.customer()
    for status in (KycStatus.PENDING, KycStatus.REJECTED, KycStatus.NOT_REQUIRED):
        changed = await house.shop.users.set_kyc(user_id=user.id, status=status)
        assert (changed.kyc_status, changed.kyc_verified_at) == (status, None)
    approved = await house.shop.users.set_kyc(user_id=user.id, status=KycStatus.APPROVED)
    assert approved.kyc_verified_at is not None
    assert (await house.shop.users.set_kyc(user_id=user.id, status=KycStatus.REJECTED)).kyc_verified_at is None
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {users} SET kyc_status = 'maybe' WHERE tenant_id = $1")


# --- What signing in reads --------------------------------------------------------------------------------------------


@pytest.mark.requirement("SBB-USR-18")
async def test_signing_in_and_testing_tokens_never_read_profiles(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await house.customer()
    statements: list[str] = []

    def spied(real: Any) -> Any:
        def spy(self: Any, sql: str, *args: object) -> Any:
            statements.append(sql)
            return real(self, sql, *args)

        return spy

    for executor in (Database, Transaction):
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            monkeypatch.setattr(executor, name, spied(getattr(executor, name)))
    Revocations.of(house.db).forget()  # so that this is asked, too
    signed_in = await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    await house.shop.sessions.authenticate(signed_in.access_token)
    await house.shop.sessions.refresh(signed_in.refresh_token)
    assert any("users" in sql for sql in statements)
    assert any("refresh_session_v1" in sql for sql in statements)
    inside = await house.one("SELECT prosrc FROM pg_proc WHERE proname = 'refresh_session_v1' AND $1 <> ''")
    assert not [sql for sql in (*statements, inside) if "user_profiles" in sql]
    statements.clear()
    await house.shop.users.profile(user_id=user.id)
    assert [sql for sql in statements if "user_profiles" in sql], "the spy sees what it is there for"
