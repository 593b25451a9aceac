"""Accounts: making them, finding them, and changing what they are and may do."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from storeroom.analytics import note
from storeroom.audit import audited
from storeroom.core.contact import normal_email, normal_phone
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.errors import violations
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.identity import checks, passwords, queries
from storeroom.identity.errors import (
    BirthDateMissing,
    EmailTaken,
    InvalidPerson,
    NotStaff,
    PhoneTaken,
    RoleForbidden,
    TooYoung,
    UserNotFound,
    UserStatusRefused,
    WrongPassword,
)
from storeroom.identity.model import (
    CONSENTS_LISTED_MAX,
    FULL_NAME_LENGTH_MAX,
    LEGAL_AGE,
    MAY_SIGN_IN,
    PROFILE_NAME_LENGTH_MAX,
    SEARCH_LOOKED_AT_MAX,
    SEARCH_ROWS_MAX,
    USER_AGENT_LENGTH_MAX,
    USER_MOVES,
    Attribution,
    AuthProvider,
    ConsentChange,
    ConsentKind,
    KycStatus,
    Managed,
    Permission,
    Profile,
    ProfileChanges,
    RevokedSession,
    Rights,
    TokenPurpose,
    User,
    UserRole,
    UserStatus,
    age_on,
    may_manage,
)
from storeroom.identity.revocations import Revocations
from storeroom.tenants import settings_of

METADATA_BYTES_MAX: Final = 10 * 1024


class People(Service):
    """What the services of this slice share: whose account the caller may touch."""

    async def _lock_own(self, user_id: UserId) -> Managed:
        """An account that the caller may change in what is a person's own: their own, or one they manage."""
        if self.context.actor.user_id == user_id:
            return await self._lock(user_id)
        return await self._lock_managed(user_id)

    async def _lock_managed(self, user_id: UserId, *, to: UserRole | None = None) -> Managed:
        """An account that the caller may change in what it is and may do, and make one of role `to`."""
        self._check_customer(user_id)
        user = await self._lock(user_id)
        await self._check_rank(user.role if to is None else max(user.role, to, key=_rank_order))
        return user

    async def _lock(self, user_id: UserId) -> Managed:
        user = await queries.lock_user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None:
            raise UserNotFound(user_id=user_id)
        return user

    def _check_customer(self, user_id: UserId) -> None:
        """For a customer there is no account but their own."""
        actor = self.context.actor
        if actor.kind is ActorKind.CUSTOMER and actor.user_id != user_id:
            raise UserNotFound(user_id=user_id)

    async def _check_rank(self, role: UserRole) -> None:
        """Whether the caller stands above accounts of this role. The system does."""
        actor = self.context.actor
        if actor.kind in (ActorKind.SYSTEM, ActorKind.WEBHOOK):
            return
        own = (
            await queries.role_of(self.db, tenant_id=self.tenant_id, user_id=actor.user_id)
            if actor.kind is ActorKind.ADMIN and actor.user_id is not None
            else None
        )
        if own is None or not may_manage(own, role):
            raise RoleForbidden(role=role)

    async def _end_sessions(self, user_id: UserId, reason: str, *, but: SessionId | None = None) -> int:
        ended = await queries.revoke_all(self.db, tenant_id=self.tenant_id, user_id=user_id, reason=reason, but=but)
        revoked = Revocations.of(self.db)
        for session_id in ended:
            revoked.note(self.db, RevokedSession(self.tenant_id, session_id))
        return len(ended)


class Users(People):
    """The accounts of one tenant.

    Customers touch their own account only. Staff touch accounts below their own rank: see `may_manage`.
    """

    # --- Making -------------------------------------------------------------------------------------------------------

    async def register(
        self,
        *,
        email: str,
        password: str,
        full_name: str,
        phone: str | None = None,
        attribution: Attribution | None = None,
    ) -> User:
        """Make a customer's account and profile; the mail address is not proven yet, and signing in works.

        Args:
            email: becomes lower case; unique in the shop for ever.
            password: 10 to 200 characters; kept as an Argon2id hash.
            full_name: 1 to 100 characters.
            phone: in the customs of the tenant's country, or with + and a country code; unique in the shop.
            attribution: where the person came from; kept as it is now, for ever.

        Raises:
            InvalidEmail, InvalidPassword, InvalidPhone, InvalidPerson: a field cannot be taken. Nothing was written.
            EmailTaken: somebody has the address, or had it.
            PhoneTaken: somebody has the number.
            PasswordsBusy: too many sign in at once.
        """
        await self.context.settings()
        name = checks.required(full_name, field="full_name", length_max=FULL_NAME_LENGTH_MAX)
        known = normal_email(email)
        number = await self._phone(phone)
        return await self._insert(
            email=known,
            full_name=name,
            phone=number,
            password_hash=await passwords.hashed(password),
            attribution=attribution,
        )

    async def create(
        self,
        *,
        email: str,
        role: UserRole = UserRole.CUSTOMER,
        password: str | None = None,
        full_name: str | None = None,
        phone: str | None = None,
        auth_provider: AuthProvider = AuthProvider.EMAIL,
        permissions: Iterable[Permission] = (),
        status: UserStatus = UserStatus.PENDING_VERIFICATION,
        metadata: dict[str, Any] | None = None,
    ) -> User:
        """Make an account of any role, by staff or the command line; an e-mail address is enough.

        Without a password nobody can sign in by one: for accounts of a provider, or until one is set.

        Raises:
            RoleForbidden: the caller does not stand above that role.
            NotStaff: permissions for a role that is not staff.
            EmailTaken, PhoneTaken, InvalidEmail, InvalidPassword, InvalidPhone, InvalidPerson: as for `register`.
        """
        await self.context.settings()
        await self._check_rank(role)
        if status is UserStatus.DELETED:
            raise InvalidPerson(field="status", reason="an account is not made deleted")
        known = normal_email(email)
        number = await self._phone(phone)
        return await self._insert(
            email=known,
            signed_up=False,  # somebody else did it
            full_name=checks.line(full_name, field="full_name", length_max=FULL_NAME_LENGTH_MAX),
            phone=number,
            password_hash=None if password is None else await passwords.hashed(password),
            auth_provider=auth_provider,
            role=role,
            permissions=_permissions(role, permissions),
            status=status,
            metadata=_metadata(metadata),
        )

    @audited("identity.create_user", "user")
    @transactional
    async def _insert(
        self,
        *,
        email: str,
        full_name: str | None,
        phone: str | None,
        password_hash: str | None,
        auth_provider: AuthProvider = AuthProvider.EMAIL,
        role: UserRole = UserRole.CUSTOMER,
        permissions: Sequence[Permission] = (),
        status: UserStatus = UserStatus.PENDING_VERIFICATION,
        metadata: dict[str, Any] | None = None,
        attribution: Attribution | None = None,
        signed_up: bool = True,
    ) -> User:
        user_id = UserId(new_id())
        with violations({"users_email_unique": EmailTaken, "users_phone_unique": PhoneTaken}, self.db.names):
            await queries.insert_user(
                self.db,
                tenant_id=self.tenant_id,
                id=user_id,
                email=email,
                full_name=full_name,
                phone=phone,
                password_hash=password_hash,
                auth_provider=auth_provider,
                role=role,
                permissions=list(permissions),
                status=status,
                metadata=metadata or {},
            )
        await self._ensure_profile(user_id, attribution)
        if signed_up:
            await note(self.db, self.context, event_name="user.signup.completed", user_id=user_id)
        return await self._user(user_id)

    # --- Finding ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, user_id: UserId) -> User:
        """One account.

        Raises:
            UserNotFound: none of this id, or it was deleted.
        """
        self._check_customer(user_id)
        return await self._user(user_id)

    @operation
    async def by_email(self, *, email: str) -> User:
        """The account of a mail address, however it is written.

        Raises:
            InvalidEmail: not a mail address.
            UserNotFound: no account has it, or it was deleted.
        """
        user = await queries.user_by_email(self.db, tenant_id=self.tenant_id, email=normal_email(email))
        if user is None:
            raise UserNotFound
        return user

    @operation
    async def list(
        self, *, status: UserStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[User]:
        """Accounts, newest first, without the deleted ones; all of them, or those of one status."""
        size = page_size(limit)
        if status is None:
            before_at, before_id = decode_cursor(cursor, (datetime, UUID)) if cursor is not None else (None, None)
            rows = await queries.users_newest(
                self.db, tenant_id=self.tenant_id, before_at=before_at, before_id=before_id, rows=size + 1
            )
            return page_of(rows, size, lambda user: (user.created_at, user.id))
        before = decode_cursor(cursor, (UUID,))[0] if cursor is not None else None
        rows = await queries.users_of_status(
            self.db, tenant_id=self.tenant_id, status=status, before=before, rows=size + 1
        )
        return page_of(rows, size, lambda user: (user.id,))

    @operation
    async def search(self, *, text: str, limit: int = SEARCH_ROWS_MAX) -> Sequence[User]:
        """Accounts whose name, mail address or number has this part, newest first, at most SEARCH_ROWS_MAX.

        Letters' case does not matter. Of more than SEARCH_LOOKED_AT_MAX matches the list shows some: search for more.

        Raises:
            SearchRefused: fewer than 3 characters, or too many.
        """
        return await queries.users_matching(
            self.db,
            tenant_id=self.tenant_id,
            pattern=checks.search_pattern(text),
            looked_at=SEARCH_LOOKED_AT_MAX,
            rows=min(max(limit, 1), SEARCH_ROWS_MAX),
        )

    # --- What an account is and may do: by those above it -------------------------------------------------------------

    @audited("identity.set_role", "user", "user_id")
    @transactional
    async def set_role(self, *, user_id: UserId, role: UserRole) -> User:
        """Give an account another role. Permissions of staff are forgotten when they become something else.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account, or above that role.
        """
        await self._lock_managed(user_id, to=role)
        await queries.set_role(self.db, tenant_id=self.tenant_id, user_id=user_id, role=role)
        if role is not UserRole.STAFF:
            await queries.set_permissions(self.db, tenant_id=self.tenant_id, user_id=user_id, permissions=[])
        return await self._with_new_rights(user_id)

    @audited("identity.set_permissions", "user", "user_id")
    @transactional
    async def set_permissions(self, *, user_id: UserId, permissions: Iterable[Permission]) -> User:
        """Say what an account of role staff may do; the list replaces the one before.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller is not an admin.
            NotStaff: the account has another role.
        """
        user = await self._lock_managed(user_id)
        await queries.set_permissions(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            permissions=_permissions(user.role, permissions, needs_staff=True),
        )
        return await self._with_new_rights(user_id)

    @audited("identity.set_status", "user", "user_id")
    @transactional
    async def set_status(self, *, user_id: UserId, status: UserStatus) -> User:
        """Move an account to another status; one that may not sign in loses its sessions at once.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account.
            UserStatusRefused: its status does not lead there; deleting has its own operation.
        """
        user = await self._lock_managed(user_id)
        moved = status is not UserStatus.DELETED and await queries.set_status(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            status=status,
            sources=sources(USER_MOVES, status),
        )
        if not moved:
            raise UserStatusRefused(status=user.status, to=status)
        if status not in MAY_SIGN_IN:
            await self._end_sessions(user_id, f"account {status}")
        return await self._user(user_id)

    @audited("identity.verify_age", "user", "user_id")
    @transactional
    async def verify_age(self, *, user_id: UserId) -> User:
        """Record that somebody saw a proof of the date of birth in the profile.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account.
            BirthDateMissing: the profile has none.
            TooYoung: not of age today, in the tenant's time zone.
        """
        await self._lock_managed(user_id)
        profile = await queries.profile(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if profile is None or profile.date_of_birth is None:
            raise BirthDateMissing
        settings = await settings_of(self.context)
        today = self.context.clock.now().astimezone(ZoneInfo(settings.time_zone)).date()
        if age_on(profile.date_of_birth, today) < LEGAL_AGE:
            raise TooYoung
        await queries.set_age_verified(self.db, tenant_id=self.tenant_id, user_id=user_id)
        return await self._user(user_id)

    @audited("identity.set_kyc", "user", "user_id")
    @transactional
    async def set_kyc(self, *, user_id: UserId, status: KycStatus) -> User:
        """Record how far the check of the person has come; approving notes when.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account.
        """
        await self._lock_managed(user_id)
        if status is KycStatus.APPROVED:
            await queries.approve_kyc(self.db, tenant_id=self.tenant_id, user_id=user_id)
        else:
            await queries.set_kyc(self.db, tenant_id=self.tenant_id, user_id=user_id, kyc_status=status)
        return await self._user(user_id)

    async def set_password(self, *, user_id: UserId, password: str) -> None:
        """Give an account a password without knowing the old one; all its sessions end.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account.
            InvalidPassword, PasswordsBusy: as for `register`.
        """
        password_hash = await passwords.hashed(password)
        await self._set_password(user_id, password_hash)

    @transactional
    async def _set_password(self, user_id: UserId, password_hash: str) -> None:
        await self._lock_managed(user_id)
        await queries.set_password(self.db, tenant_id=self.tenant_id, user_id=user_id, password_hash=password_hash)
        await self._end_sessions(user_id, "password set")

    # --- What is a person's own ---------------------------------------------------------------------------------------

    async def change_password(
        self, *, user_id: UserId, current_password: str, new_password: str, keep_session_id: SessionId | None = None
    ) -> None:
        """Replace a password by one who knows it; all other sessions of the account end.

        Raises:
            UserNotFound: no such account.
            WrongPassword: the present one is another, or there is none.
            InvalidPassword, PasswordsBusy: as for `register`.
        """
        await self.context.settings()
        self._check_customer(user_id)
        passwords.normal_password(new_password, field="new_password")
        await self._user(user_id)
        present = await queries.password_hash(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if not await passwords.verified(present, current_password) or present is None:
            raise WrongPassword
        replacement = await passwords.hashed(new_password, field="new_password")
        await self._replace_password(user_id, present, replacement, keep_session_id)

    @transactional
    async def _replace_password(
        self, user_id: UserId, present: str, replacement: str, keep_session_id: SessionId | None
    ) -> None:
        await self._lock_own(user_id)
        if not await queries.replace_password_hash(
            self.db, tenant_id=self.tenant_id, user_id=user_id, old=present, new=replacement
        ):
            raise WrongPassword  # a rival changed it while we computed
        await self._end_sessions(user_id, "password changed", but=keep_session_id)

    @audited("identity.set_name", "user", "user_id")
    @transactional
    async def set_name(self, *, user_id: UserId, full_name: str) -> User:
        """Change how the person is called.

        Raises:
            UserNotFound: no such account.
            InvalidPerson: no name, or more than 100 characters.
        """
        name = checks.required(full_name, field="full_name", length_max=FULL_NAME_LENGTH_MAX)
        await self._lock_own(user_id)
        await queries.set_name(self.db, tenant_id=self.tenant_id, user_id=user_id, full_name=name)
        return await self._user(user_id)

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
        if full_name is not UNSET:
            await self.set_name(user_id=user_id, full_name=full_name)
        if phone is not UNSET:
            await self.change_phone(user_id=user_id, phone=phone)
        if profile is not None:
            await self.update_profile(user_id=user_id, changes=profile)
        self._check_customer(user_id)
        return await self._user(user_id)

    @audited("identity.change_email", "user", "user_id")
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
            await queries.set_email(self.db, tenant_id=self.tenant_id, user_id=user_id, email=known)
        return await self._user(user_id)

    @audited("identity.change_phone", "user", "user_id")
    @transactional
    async def change_phone(self, *, user_id: UserId, phone: str | None) -> User:
        """Change the telephone number, or forget it; the new one is not proven yet.

        Raises:
            UserNotFound: no such account.
            InvalidPhone: not a number.
            PhoneTaken: somebody has it.
        """
        number = await self._phone(phone)
        await self._lock_own(user_id)
        with violations({"users_phone_unique": PhoneTaken}, self.db.names):
            await queries.set_phone(self.db, tenant_id=self.tenant_id, user_id=user_id, phone=number)
        return await self._user(user_id)

    @transactional
    async def phone_proven(self, *, phone: str) -> None:
        """Note that whoever has this number answered there; no account need have it.

        For `verification`, which has seen the code that was sent; no route leads here.

        Args:
            phone: E.164 digits.
        """
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
        for kind, field, change in (
            (ConsentKind.MARKETING, "marketing_consent", queries.set_marketing_consent),
            (ConsentKind.SMS, "sms_consent", queries.set_sms_consent),
        ):
            if field in given and await change(self.db, tenant_id=self.tenant_id, user_id=user_id, given=given[field]):
                await self._note_consent(user_id, kind, given=given[field])
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
        """
        await self._lock_own(user_id)
        for kind, change in (
            (ConsentKind.MARKETING, queries.set_marketing_consent),
            (ConsentKind.SMS, queries.set_sms_consent),
        ):
            if await change(self.db, tenant_id=self.tenant_id, user_id=user_id, given=False):
                await self._note_consent(user_id, kind, given=False)
        for purpose in (TokenPurpose.VERIFY_EMAIL, TokenPurpose.RESET_PASSWORD):
            await queries.delete_account_tokens(self.db, tenant_id=self.tenant_id, user_id=user_id, purpose=purpose)
        await queries.clear_password(self.db, tenant_id=self.tenant_id, user_id=user_id)
        await queries.delete_user(self.db, tenant_id=self.tenant_id, user_id=user_id)
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
        await self.delete(user_id=user_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _user(self, user_id: UserId) -> User:
        user = await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None:
            raise UserNotFound(user_id=user_id)
        return user

    async def _with_new_rights(self, user_id: UserId) -> User:
        user = await self._user(user_id)
        Revocations.of(self.db).note(self.db, Rights(self.tenant_id, user_id, user.role, user.permissions))
        return user

    async def _profile(self, user_id: UserId) -> Profile:
        profile = await queries.profile(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if profile is None:
            raise UserNotFound(user_id=user_id)
        return profile

    async def _ensure_profile(self, user_id: UserId, attribution: Attribution | None = None) -> None:
        await queries.insert_profile(
            self.db, tenant_id=self.tenant_id, id=new_id(), user_id=user_id, **checks.attribution(attribution)
        )

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

    async def _phone(self, phone: str | None) -> str | None:
        if phone is None:
            return None
        return normal_phone(phone, (await settings_of(self.context)).country_code)

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


def _rank_order(role: UserRole) -> int:
    return list(UserRole).index(role)


def _permissions(role: UserRole, permissions: Iterable[Permission], *, needs_staff: bool = False) -> list[Permission]:
    """Each once, in declared order."""
    try:
        wanted = {Permission(permission) for permission in permissions}
    except ValueError:
        raise InvalidPerson(field="permissions", reason="no such permission") from None
    if (wanted or needs_staff) and role is not UserRole.STAFF:
        raise NotStaff(role=role)
    return [permission for permission in Permission if permission in wanted]


def _metadata(metadata: dict[str, Any] | None) -> dict[str, Any]:
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES_MAX:
        raise InvalidPerson(field="metadata", reason=f"more than {METADATA_BYTES_MAX} bytes of JSON")
    return metadata or {}
