"""What somebody agreed to: each change leaves a row that says when and from where, and nobody rewrites it."""

import asyncpg
import pytest
from house import PASSWORD, House

from storeroom.database.service import ActorKind
from storeroom.identity import ConsentKind, EmailTaken, PhoneTaken, ProfileChanges, UserNotFound, WrongPassword


@pytest.mark.requirement("SBB-PROF-05", "SIG-CUS-08")
async def test_giving_and_taking_back_are_both_traceable(house: House) -> None:
    user = await house.customer()
    own = house.of(user).acting(actor=house.of(user).context.actor, ip="203.0.113.9", user_agent="browser")
    for given in (True, True, False):  # saying the same again is no change
        await own.users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=given))
    await house.shop.users.update_profile(user_id=user.id, changes=ProfileChanges(sms_consent=True))
    sms, taken, given_at_first = await own.users.consents(user_id=user.id)
    assert (sms.kind, sms.given, sms.actor_kind, sms.ip_address) == (ConsentKind.SMS, True, ActorKind.SYSTEM, None)
    assert [(each.kind, each.given) for each in (taken, given_at_first)] == [
        (ConsentKind.MARKETING, False),
        (ConsentKind.MARKETING, True),
    ]
    assert (taken.actor_kind, taken.ip_address, taken.user_agent) == (ActorKind.CUSTOMER, "203.0.113.9", "browser")
    profile = await own.users.profile(user_id=user.id)
    assert (profile.marketing_consent, profile.marketing_consent_at) == (False, taken.created_at)
    stranger = await house.customer("bo@example.com")
    with pytest.raises(UserNotFound):
        await house.of(stranger).users.consents(user_id=user.id)


@pytest.mark.requirement("SBB-USR-19")
async def test_an_account_that_is_closed_keeps_its_row_and_gives_up_what_nobody_needs(house: House) -> None:
    user = await house.customer(phone="212 555 0123")
    own = house.of(user)
    await own.users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=True))
    await house.shop.mail_proofs.send_reset(email=user.email)
    for wrong in (None, "", "not the password"):
        with pytest.raises(WrongPassword):
            await own.users.close(user_id=user.id, current_password=wrong)
    stranger = await house.customer("bo@example.com")
    with pytest.raises(UserNotFound):
        await house.of(stranger).users.close(user_id=user.id, current_password=PASSWORD)
    assert await house.column("status", user.id) == "pending_verification"
    await own.users.close(user_id=user.id, current_password=PASSWORD)
    (row,) = await house.rows(
        "SELECT status, email, password_hash, deleted_at IS NOT NULL FROM {users} WHERE tenant_id = $1 AND id = $2",
        user.id,
    )
    assert row == ("deleted", "ann@example.com", None, True)
    assert await house.count("account_tokens") == 0
    changes = await house.rows(
        "SELECT kind, given FROM {consent_changes} WHERE tenant_id = $1 AND user_id = $2 ORDER BY id", user.id
    )
    assert changes == [("marketing", True), ("marketing", False)]
    profiles = "SELECT marketing_consent FROM {user_profiles} WHERE tenant_id = $1 AND user_id = $2"
    assert await house.rows(profiles, user.id) == [(False,)]
    for taken, refusal in (
        ({"email": user.email}, EmailTaken),
        ({"email": "x@x.example", "phone": user.phone}, PhoneTaken),
    ):
        with pytest.raises(refusal):
            await house.customer(**({**taken, "phone": f"+{taken['phone']}"} if "phone" in taken else taken))


async def test_nobody_who_works_for_the_shop_rewrites_it(house: House) -> None:
    user = await house.customer()
    await house.shop.users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=True))
    for rewrite in ("UPDATE {consent_changes} SET given = FALSE WHERE tenant_id = $1", "DELETE FROM {consent_changes}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await house.db.execute(house.db.names.render(rewrite), *([house.shop.tenant_id] if "$1" in rewrite else []))
    assert len(await house.shop.users.consents(user_id=user.id)) == 1
