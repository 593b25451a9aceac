"""Accounts: making them, finding them, and changing what they are and may do. What is their owner's: `own_accounts`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from storeroom import outbox
from storeroom.analytics import note
from storeroom.audit import audited, refusals
from storeroom.core.contact import normal_email
from storeroom.core.ids import UserId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.states import sources
from storeroom.database.errors import violations
from storeroom.database.service import operation, transactional
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
)
from storeroom.identity.model import (
    CUSTOMER_ROLES,
    FULL_NAME_LENGTH_MAX,
    LEGAL_AGE,
    MAY_SIGN_IN,
    METADATA_BYTES_MAX,
    REASON_LENGTH_MAX,
    SEARCH_LOOKED_AT_MAX,
    SEARCH_ROWS_MAX,
    USER_MOVES,
    Attribution,
    AuthProvider,
    ConsentKind,
    KycStatus,
    Permission,
    Rights,
    User,
    UserRole,
    UserStatus,
    age_on,
)
from storeroom.identity.own_accounts import OwnAccounts
from storeroom.identity.people import CUSTOMER_CREATED, CUSTOMER_UPDATED
from storeroom.identity.revocations import Revocations
from storeroom.notices import Notice
from storeroom.tenants import settings_of

SET_PASSWORD: Final = "identity.set_password"  # noqa: S105  # an action in the audit trail


class Users(OwnAccounts):
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
            password_hash=await passwords.hashed(password, email=known),
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
            password_hash=None if password is None else await passwords.hashed(password, email=known),
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
        await self._check_not_erased(user_id, email)
        await self._ensure_profile(user_id, attribution)
        if signed_up:
            await note(self.db, self.context, event_name="user.signup.completed", user_id=user_id)
        user = await self._user(user_id)
        await self._announce(CUSTOMER_CREATED, user)
        return user

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
    async def search(
        self, *, text: str, statuses: Sequence[UserStatus] | None = None, limit: int = SEARCH_ROWS_MAX
    ) -> Sequence[User]:
        """Accounts whose name, mail address or number has this part, newest first, at most SEARCH_ROWS_MAX.

        Letters' case does not matter. Of more than SEARCH_LOOKED_AT_MAX matches the list shows some: search for more.

        Args:
            text: the part.
            statuses: shows of the matches those of these statuses; None: all.
            limit: how many at most.

        Raises:
            SearchRefused: fewer than 3 characters, or too many.
        """
        return await queries.users_matching(
            self.db,
            tenant_id=self.tenant_id,
            pattern=checks.search_pattern(text),
            statuses=statuses,
            looked_at=SEARCH_LOOKED_AT_MAX,
            rows=min(max(limit, 1), SEARCH_ROWS_MAX),
        )

    # --- What an account is and may do: by those above it -------------------------------------------------------------

    @audited("identity.set_role", "user", "user_id")
    @transactional
    async def set_role(self, *, user_id: UserId, role: UserRole) -> User:
        """Give an account another role. Permissions of staff are forgotten when they become something else.

        Whoever becomes staff of a shop that requires a second factor signs in anew, and with one.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account, or above that role.
        """
        user = await self._lock_managed(user_id, to=role)
        await queries.set_role(self.db, tenant_id=self.tenant_id, user_id=user_id, role=role)
        if role is not UserRole.STAFF:
            await queries.set_permissions(self.db, tenant_id=self.tenant_id, user_id=user_id, permissions=[])
        becomes_staff = user.role in CUSTOMER_ROLES and role not in CUSTOMER_ROLES
        if becomes_staff and (await settings_of(self.context)).staff_second_factor_required:
            await self._end_sessions(user_id, "became staff")
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
        return await self._announced(user_id)

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
        """Give an account a password without knowing the old one; all its sessions end, and its owner gets a mail.

        Of an account's first password there is no mail: nothing of the owner's was changed.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above the account.
            InvalidPassword, PasswordsBusy: as for `register`.
        """
        async with refusals(self.context, action=SET_PASSWORD, resource_type="user", resource_id=user_id):
            password_hash = await passwords.hashed(password)
        await self._tell(await self._set_password(user_id, password_hash))

    @audited(SET_PASSWORD, "user", "user_id")
    @transactional
    async def _set_password(self, user_id: UserId, password_hash: str) -> Notice | None:
        await self._lock_managed(user_id)
        first = not await queries.has_password(self.db, tenant_id=self.tenant_id, user_id=user_id)
        await queries.set_password(self.db, tenant_id=self.tenant_id, user_id=user_id, password_hash=password_hash)
        await self._forget_resets(user_id)
        await self._end_sessions(user_id, "password set")
        return None if first else await self._of_password(user_id)

    @audited("identity.merge_metadata", "user", "user_id", hidden=("changes",))
    @transactional
    async def merge_metadata(self, *, user_id: UserId, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set some keys of what other systems keep with an account; the other keys stay. Returns all of them.

        Raises:
            UserNotFound: no such account.
            InvalidPerson: it would be more than METADATA_BYTES_MAX. Nothing was written.
        """
        merged = await queries.merge_metadata(self.db, tenant_id=self.tenant_id, user_id=user_id, changes=dict(changes))
        if merged is None:
            raise UserNotFound
        return _metadata(merged)

    # --- Erasing: see flows.erasure -----------------------------------------------------------------------------------

    @operation
    async def check_erasable(self, *, user_id: UserId, reason: str) -> None:
        """Whether the caller may erase the owner of an account, a deleted one included.

        Raises:
            UserNotFound: no such account.
            RoleForbidden: the caller does not stand above it, or it is their own.
            InvalidPerson: no reason, or one too long.
        """
        checks.required(reason, field="reason", length_max=REASON_LENGTH_MAX)
        self._check_customer(user_id)
        role = await queries.role_of_any(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if role is None:
            raise UserNotFound(user_id=user_id)
        if user_id == self.context.actor.user_id:
            raise RoleForbidden(role=role)
        await self._check_rank(role)

    @transactional
    async def close_erased(self, *, user_id: UserId, address: str) -> None:
        """End what an erased account still had: consents, each with a row that says so, and sessions.

        Others hear of it as of any change.

        Args:
            user_id: the account, which is locked.
            address: what stands for its mail address now.

        Raises:
            UserNotFound: no such account.
        """
        role = await queries.role_of_any(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if role is None:
            raise UserNotFound(user_id=user_id)
        for kind, change in (
            (ConsentKind.MARKETING, queries.set_marketing_consent),
            (ConsentKind.SMS, queries.set_sms_consent),
        ):
            if await change(self.db, tenant_id=self.tenant_id, user_id=user_id, given=False):
                await self._note_consent(user_id, kind, given=False)
        await self._end_sessions(user_id, "account erased")
        payload = {"id": user_id, "email": address, "full_name": None, "role": role, "status": UserStatus.DELETED}
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=CUSTOMER_UPDATED,
            payload=payload,
            entity_type="user",
            entity_id=user_id,
        )

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _with_new_rights(self, user_id: UserId) -> User:
        user = await self._announced(user_id)
        Revocations.of(self.db).note(self.db, Rights(self.tenant_id, user_id, user.role, user.permissions))
        return user


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
