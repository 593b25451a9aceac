"""Who of the staff signed in, or could not, and whose password changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyotp
import pytest
from works import Works

from storeroom.database.service import Actor, ActorKind
from storeroom.identity import InvalidPassword, User, UserRole, UserStatus, WrongPassword

PASSWORD, NEXT = "correct horse battery", "another horse battery"


async def member(works: Works, email: str = "bo@shop.example", role: UserRole = UserRole.STAFF) -> User:
    return await works.shop.users.create(email=email, role=role, password=PASSWORD)


async def post(works: Works, path: str, **body: Any) -> httpx.Response:
    headers = {"Storeroom-Tenant": works.shop.tenant_id, "Authorization": ""}
    return await works.http.post(f"/v1/auth/{path}", json=body, headers=headers)


async def told(works: Works, user: User) -> list[tuple[Any, ...]]:
    """What the trail has of an account since it was made, the oldest first."""
    entries = (await works.shop.audit.list(resource_type="user", resource_id=user.id)).items
    return [
        (entry.action, entry.user_email, (entry.error_message or "").partition(":")[0])
        for entry in reversed(entries)
        if entry.action != "identity.create_user"
    ]


async def test_staff_who_sign_in_leave_an_entry(works: Works) -> None:
    bo = await member(works)
    signed_in = await post(works, "sign-in", email=bo.email, password=PASSWORD)
    assert signed_in.status_code == 200, signed_in.text
    (entry,) = (await works.shop.audit.list(action="identity.sign_in")).items
    assert (entry.actor_kind, entry.user_id, entry.user_email, entry.user_role) == (
        *(ActorKind.ADMIN, bo.id, bo.email, "staff"),
    )
    assert (entry.ip_address, entry.user_agent, entry.success) == ("203.0.113.9", "walker", True)
    (session,) = await works.by_admin.sessions.list(user_id=bo.id)
    assert entry.new_values == {"session_id": str(session.id), "second_factor": False}


async def test_a_wrong_password_of_staff_leaves_an_entry_in_nobodys_name(works: Works) -> None:
    bo = await member(works)
    for email in ("BO@shop.example", "nobody@shop.example", "no address"):
        assert (await post(works, "sign-in", email=email, password="wrong")).status_code == 401
    assert await told(works, bo) == [("identity.sign_in", "guest", "identity.invalid_credentials")]
    (entry,) = (await works.shop.audit.list(action="identity.sign_in")).items
    assert (entry.user_id, entry.new_values) == (None, None)


async def test_the_right_password_of_a_blocked_account_leaves_an_entry_in_its_name(works: Works) -> None:
    bo = await member(works)
    await works.shop.users.set_status(user_id=bo.id, status=UserStatus.SUSPENDED)
    assert (await post(works, "sign-in", email=bo.email, password=PASSWORD)).status_code == 403
    assert (await told(works, bo))[1:] == [("identity.sign_in", bo.email, "identity.account_blocked")]


async def test_a_wrong_second_factor_leaves_an_entry_and_the_right_one_says_that_there_was_one(works: Works) -> None:
    bo = await member(works)
    own = works.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=bo.id, name=bo.email)).second_factors
    app = pyotp.TOTP((await own.enrol(user_id=bo.id)).secret)
    codes = await own.confirm(user_id=bo.id, code=app.at(datetime.now(UTC)))
    challenge = (await post(works, "sign-in", email=bo.email, password=PASSWORD)).json()["challenge"]
    already = len(await told(works, bo))
    good = {app.at(datetime.now(UTC) + timedelta(seconds=30 * steps)) for steps in range(-10, 11)}
    wrong = next(code for code in map("{:06}".format, range(len(good) + 1)) if code not in good)
    assert (await post(works, "second-factor", challenge=challenge, code=wrong)).status_code == 401
    assert (await post(works, "second-factor", challenge=challenge, code=codes[0])).status_code == 200
    assert (await told(works, bo))[already:] == [
        ("identity.sign_in", bo.email, "verification.second_factor_refused"),
        ("identity.sign_in", bo.email, ""),
    ]
    (newest, _) = (await works.shop.audit.list(action="identity.sign_in")).items
    assert (newest.new_values or {})["second_factor"] is True


async def test_what_customers_do_to_sign_in_is_not_in_it(works: Works) -> None:
    customer = await member(works, "jo@buyer.example", UserRole.CUSTOMER)
    assert (await post(works, "sign-in", email=customer.email, password="wrong")).status_code == 401
    assert (await post(works, "sign-in", email=customer.email, password=PASSWORD)).status_code == 200
    jo = works.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=customer.id, name=customer.email))
    await jo.users.change_password(user_id=customer.id, current_password=PASSWORD, new_password=NEXT)
    assert await told(works, customer) == []


async def test_a_password_that_staff_change_or_cannot_leaves_an_entry_without_it(works: Works) -> None:
    bo = await member(works)
    own = works.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=bo.id, name=bo.email, role=bo.role))
    with pytest.raises(WrongPassword):
        await own.users.change_password(user_id=bo.id, current_password="not this one", new_password=NEXT)
    await own.users.change_password(user_id=bo.id, current_password=PASSWORD, new_password=NEXT)
    with pytest.raises(InvalidPassword):
        await works.shop.users.set_password(user_id=bo.id, password="short")
    await works.shop.users.set_password(user_id=bo.id, password=PASSWORD)
    assert await told(works, bo) == [
        ("identity.change_password", bo.email, "identity.wrong_password"),
        ("identity.change_password", bo.email, ""),
        ("identity.set_password", "system", "identity.invalid_password"),
        ("identity.set_password", "system", ""),
    ]
    texts = await works.shop.context.db.fetchval(
        "SELECT jsonb_agg(a)::text FROM audit_logs a WHERE tenant_id = $1", works.shop.tenant_id
    )
    assert not any(each in texts for each in (PASSWORD, NEXT, "not this one", "argon2"))
