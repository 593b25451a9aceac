"""What is a person's own: password, name, mail address, number, profile, consents, and closing the account."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from storeroom.audit import audited, refusals
from storeroom.core.contact import normal_email
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.database.errors import violations
from storeroom.database.service import ActorKind, operation, transactional
from storeroom.identity import checks, passwords, queries
from storeroom.identity.errors import (
    EmailTaken,
    PhoneTaken,
    UserNotFound,
    WrongPassword,
)
from storeroom.identity.model import (
    CONSENTS_LISTED_MAX,
    FULL_NAME_LENGTH_MAX,
    PROFILE_NAME_LENGTH_MAX,
    USER_AGENT_LENGTH_MAX,
    ConsentChange,
    ConsentKind,
    Profile,
    ProfileChanges,
    TokenPurpose,
    User,
    UserStatus,
)
from storeroom.identity.people import CUSTOMER_UPDATED, People
from storeroom.notices import Notice

CHANGE_PASSWORD: Final = "identity.change_password"  # noqa: S105  # actions in the audit trail
CHANGE_EMAIL: Final = "identity.change_email"


class OwnAccounts(People):
    """What people change of their own account, or staff above them in their name."""

    async def change_password(
        self, *, user_id: UserId, current_password: str, new_password: str, keep_session_id: SessionId | None = None
    ) -> None:
        """Replace a password by one who knows it; all other sessions of the account end, and its owner gets a mail.

        Raises:
            UserNotFound: no such account.
            WrongPassword: the present one is another, or there is none.
            InvalidPassword, CommonPassword, PasswordsBusy: as for `register`.
        """
        await self.context.settings()
        self._check_customer(user_id)
        async with refusals(self.context, action=CHANGE_PASSWORD, resource_type="user", resource_id=user_id):
            passwords.normal_password(new_password, field="new_password")
            user = await self._user(user_id)
            present = await queries.password_hash(self.db, tenant_id=self.tenant_id, user_id=user_id)
            if not await passwords.verified(present, current_password) or present is None:
                raise WrongPassword
            replacement = await passwords.hashed(new_password, field="new_password", email=user.email)
        await self._tell(await self._replace_password(user_id, present, replacement, keep_session_id))

    @audited(CHANGE_PASSWORD, "user", "user_id")
    @transactional
    async def _replace_password(
        self, user_id: UserId, present: str, replacement: str, keep_session_id: SessionId | None
    ) -> Notice | None:
        await self._lock_own(user_id)
        if not await queries.replace_password_hash(
            self.db, tenant_id=self.tenant_id, user_id=user_id, old=present, new=replacement
        ):
            raise WrongPassword  # a rival changed it while we computed
        await self._forget_resets(user_id)
        await self._end_sessions(user_id, "password changed", but=keep_session_id)
        return await self._of_password(user_id)

    @audited("identity.set_name", "user", "user_id")
    @transactional
    async def set_name(self, *, user_id: UserId, full_name: str) -> User:
        """Change how the person is called.

        Raises:
            UserNotFound: no such account.
            InvalidPerson: no name, or more than 100 characters.
        """
        await self._rename(user_id, full_name)
        return await self._announced(user_id)

    @audited("identity.update_user", "user", "user_id")
    @transactional
    async def update(
        self,
        *,
        user_id: UserId,
        full_name: str | UnsetType = UNSET,
        phone: str | UnsetType | None = UNSET,
        profile: ProfileChanges | None = None,
    ) -> User:
        """Several of `set_name`, `change_phone` and `update_profile` at once: all of it or nothing.

        Raises:
            as they do.
        """
        changed = full_name is not UNSET
        if full_name is not UNSET:
            await self._rename(user_id, full_name)
        if phone is not UNSET:
            changed |= await self._renumber(user_id, phone)
        if profile is not None:
            changed |= await self._change_profile(user_id, profile)
        self._check_customer(user_id)
        return await (self._announced(user_id) if changed else self._user(user_id))

    @audited(CHANGE_EMAIL, "user", "user_id")
    @transactional
    async def change_email(self, *, user_id: UserId, email: str) -> User:
        """Change the mail address; the new one is not proven yet.

        Raises:
            UserNotFound: no such account.
            InvalidEmail: not a mail address.
            EmailTaken: somebody has it, or had it.
        """
        known = normal_email(email)
        await self._lock_own(user_id)
        with violations({"users_email_unique": EmailTaken}, self.db.names):
            changed = await queries.set_email(self.db, tenant_id=self.tenant_id, user_id=user_id, email=known)
        await self._forget_resets(user_id)
        await self._check_not_erased(user_id, known)
        return await (self._announced(user_id) if changed else self._user(user_id))

    @audited("identity.change_phone", "user", "user_id")
    @transactional
    async def change_phone(self, *, user_id: UserId, phone: str | None) -> User:
        """Change the telephone number, or forget it; the new one is not proven yet.

        Raises:
            UserNotFound: no such account.
            InvalidPhone: not a number.
            PhoneTaken: somebody has it.
        """
        changed = await self._renumber(user_id, phone)
        return await (self._announced(user_id) if changed else self._user(user_id))

    @transactional
    async def phone_proven(self, *, phone: str) -> None:
        """Note that whoever has this number answered there; no account need have it.

        For `verification`, which has seen the code that was sent; no route leads here. Where a customer is signed in,
        the number is taken off another account that has it unproven: it is not that one's.

        Args:
            phone: E.164 digits.
        """
        actor = self.context.actor
        if actor.kind is ActorKind.CUSTOMER and actor.user_id is not None:
            lost = await queries.take_phone(self.db, tenant_id=self.tenant_id, phone=phone, user_id=actor.user_id)
            if lost is not None:
                await self._announced(lost)
                return
        await queries.set_phone_verified(self.db, tenant_id=self.tenant_id, phone=phone)

    @operation
    async def profile(self, *, user_id: UserId) -> Profile:
        """What is known of a person beside the account. Raises UserNotFound."""
        self._check_customer(user_id)
        await self._user(user_id)
        profile = await queries.profile(self.db, tenant_id=self.tenant_id, user_id=user_id)
        return profile if profile is not None else await self.update_profile(user_id=user_id, changes=ProfileChanges())

    @audited("identity.update_profile", "user", "user_id", rows="profile")
    @transactional
    async def update_profile(self, *, user_id: UserId, changes: ProfileChanges) -> Profile:
        """Change what `changes` names. Where the person came from stays as it was at registration.

        Another date of birth takes the verified age back. A consent that changes gets the time of the change.

        Raises:
            UserNotFound: no such account.
            InvalidPerson, UnknownCurrency: a field cannot be taken. Nothing was written.
        """
        if await self._change_profile(user_id, changes):
            await self._announced(user_id)
        return await self._profile(user_id)

    @operation
    async def consents(self, *, user_id: UserId) -> Sequence[ConsentChange]:
        """What the person agreed to and took back, the newest CONSENTS_LISTED_MAX. Raises UserNotFound."""
        self._check_customer(user_id)
        await self._user(user_id)
        return await queries.consent_changes(
            self.db, tenant_id=self.tenant_id, user_id=user_id, rows=CONSENTS_LISTED_MAX
        )

    @audited("identity.delete_user", "user", "user_id")
    @transactional
    async def delete(self, *, user_id: UserId) -> None:
        """Close an account: nobody finds it or signs in with it. Its row, profile and orders stay, as the law wants.

        Its mail address is not given to another. What nobody needs any more goes: the password, messages under way, and
        the consents, each with a row that says so.

        Raises:
            UserNotFound: no such account, or deleted before.
            RoleForbidden: the caller does not stand above the account, or is staff and it is their own: see `close`.
        """
        user = await self._lock_own(user_id)
        if self.context.actor.kind is ActorKind.ADMIN:
            self._check_not_own(user_id, user.role)
        await self._delete(user_id)

    @audited("identity.delete_user", "user", "user_id")
    @transactional
    async def _close(self, *, user_id: UserId) -> None:
        await self._lock_own(user_id)
        await self._delete(user_id)

    async def _delete(self, user_id: UserId) -> None:
        for kind, change in (
            (ConsentKind.MARKETING, queries.set_marketing_consent),
            (ConsentKind.SMS, queries.set_sms_consent),
        ):
            if await change(self.db, tenant_id=self.tenant_id, user_id=user_id, given=False):
                await self._note_consent(user_id, kind, given=False)
        for purpose in (TokenPurpose.VERIFY_EMAIL, TokenPurpose.RESET_PASSWORD):
            await queries.delete_account_tokens(self.db, tenant_id=self.tenant_id, user_id=user_id, purpose=purpose)
        await queries.clear_password(self.db, tenant_id=self.tenant_id, user_id=user_id)
        user = await self._user(user_id)
        await queries.delete_user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        await self._announce(CUSTOMER_UPDATED, msgspec.structs.replace(user, status=UserStatus.DELETED))
        await self._end_sessions(user_id, "account deleted")

    async def close(self, *, user_id: UserId, current_password: str | None = None) -> None:
        """`delete` by the owner, who says the password once more; an account without one is closed without.

        Raises:
            UserNotFound: no such account.
            WrongPassword: there is a password, and it is another.
            PasswordsBusy: too many sign in at once.
        """
        await self.context.settings()
        self._check_customer(user_id)
        await self._user(user_id)
        present = await queries.password_hash(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if present is not None and not await passwords.verified(present, current_password or ""):
            raise WrongPassword
        await self._close(user_id=user_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _rename(self, user_id: UserId, full_name: str) -> None:
        name = checks.required(full_name, field="full_name", length_max=FULL_NAME_LENGTH_MAX)
        await self._lock_own(user_id)
        await queries.set_name(self.db, tenant_id=self.tenant_id, user_id=user_id, full_name=name)

    async def _renumber(self, user_id: UserId, phone: str | None) -> bool:
        """Whether it is another number."""
        number = await self._phone(phone)
        await self._lock_own(user_id)
        with violations({"users_phone_unique": PhoneTaken}, self.db.names):
            return bool(await queries.set_phone(self.db, tenant_id=self.tenant_id, user_id=user_id, phone=number))

    async def _change_profile(self, user_id: UserId, changes: ProfileChanges) -> bool:
        """Whether anything is another than it was."""
        given = self._checked(changes)
        await self._lock_own(user_id)
        await self._ensure_profile(user_id)
        known = await self._profile(user_id)
        fields = (
            "first_name",
            "last_name",
            "display_name",
            "date_of_birth",
            "preferred_currency",
            "timezone",
            "locale",
        )
        if changed := {name: given[name] for name in fields if name in given and given[name] != getattr(known, name)}:
            merged: dict[str, Any] = {name: changed.get(name, getattr(known, name)) for name in fields}
            await queries.update_profile(self.db, tenant_id=self.tenant_id, user_id=user_id, **merged)
        if "date_of_birth" in changed:
            await queries.clear_age_verified(self.db, tenant_id=self.tenant_id, user_id=user_id)
        consented = False
        for kind, field, change in (
            (ConsentKind.MARKETING, "marketing_consent", queries.set_marketing_consent),
            (ConsentKind.SMS, "sms_consent", queries.set_sms_consent),
        ):
            if field in given and await change(self.db, tenant_id=self.tenant_id, user_id=user_id, given=given[field]):
                await self._note_consent(user_id, kind, given=given[field])
                consented = True
        return bool(changed) or consented

    async def _profile(self, user_id: UserId) -> Profile:
        profile = await queries.profile(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if profile is None:
            raise UserNotFound(user_id=user_id)
        return profile

    async def _note_consent(self, user_id: UserId, kind: ConsentKind, *, given: bool) -> None:
        await queries.insert_consent_change(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            user_id=user_id,
            kind=kind,
            given=given,
            actor_kind=self.context.actor.kind,
            ip=checks.ip_address(self.context.ip),
            user_agent=checks.cut(self.context.user_agent, USER_AGENT_LENGTH_MAX),
        )

    def _checked(self, changes: ProfileChanges) -> dict[str, Any]:
        given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
        for name in ("first_name", "last_name", "display_name"):
            if name in given:
                given[name] = checks.line(given[name], field=name, length_max=PROFILE_NAME_LENGTH_MAX)
        if "date_of_birth" in given:
            given["date_of_birth"] = checks.birth_date(given["date_of_birth"], self.context.clock.now().date())
        for name, check in (
            ("preferred_currency", checks.currency),
            ("timezone", checks.time_zone),
            ("locale", checks.locale),
        ):
            if name in given:
                given[name] = check(given[name])
        return given
