"""Mail addresses proven by a message: for a new account, and for one whose password was forgotten.

Nothing here tells whether an address is known: the same is answered either way, and the one who reads that mail learns
the rest. A token goes out in the message and nowhere else; the table keeps its hash.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from typing_extensions import override

from storeroom.audit import audited, record, refusals
from storeroom.core.contact import normal_email, normal_phone
from storeroom.core.ids import UserId, new_id
from storeroom.core.secrets import new_token, token_hash
from storeroom.database.errors import violations
from storeroom.database.service import operation, transactional
from storeroom.identity import checks, passwords, queries
from storeroom.identity.errors import (
    EmailTaken,
    InvalidPerson,
    OneTimeTokenRefused,
    PhoneTaken,
    UserNotFound,
    WrongPassword,
)
from storeroom.identity.model import (
    CLIENT_ID_LENGTH_MAX,
    CLIENT_IDS_MAX,
    FULL_NAME_LENGTH_MAX,
    MAY_SIGN_IN,
    RESET_LIFETIME,
    VERIFICATION_LIFETIME,
    AccountSettings,
    Attribution,
    TokenPurpose,
    User,
)
from storeroom.identity.own_accounts import CHANGE_EMAIL
from storeroom.identity.people import People, as_staff
from storeroom.identity.service import Users
from storeroom.identity.tokens import TOKEN_LENGTH_MAX
from storeroom.notices import Channel, Notice
from storeroom.tenants import settings_of

VERIFY: Final = "verify_email"  # kinds of notice
RESET: Final = "reset_password"
KNOWN: Final = "account_exists"
CHANGE: Final = "change_email"
CHANGED: Final = "email_changed"
TO_MOVE: Final = "to."  # begins a token that moves its account to the address that it was sent to; no other one does


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants an account, in the form in which it is kept."""

    email: str
    full_name: str
    phone: str | None
    password_hash: str
    attribution: Attribution | None

    @override
    def __repr__(self) -> str:
        return "NewAccount(hidden)"


class MailProofs(People):
    """Tokens by mail, for the accounts of one tenant."""

    # --- How the shop lets people in ----------------------------------------------------------------------------------

    @operation
    async def settings(self) -> AccountSettings:
        """How this shop lets people in."""
        return await queries.account_settings(self.db, tenant_id=self.tenant_id) or AccountSettings()

    @audited("identity.set_account_settings", "account_settings")
    @transactional
    async def set_settings(self, *, settings: AccountSettings) -> AccountSettings:
        """Change it; the whole of it.

        Raises:
            InvalidPerson: too many client ids, or one that is none.
        """
        for field in ("google_client_ids", "apple_client_ids"):
            ids = getattr(settings, field)
            if len(ids) > CLIENT_IDS_MAX:
                raise InvalidPerson(field=field, reason=f"at most {CLIENT_IDS_MAX}")
            for each in ids:
                if checks.required(each, field=field, length_max=CLIENT_ID_LENGTH_MAX) != each:
                    raise InvalidPerson(field=field, reason="holds blanks that belong to no id")
        await queries.set_account_settings(
            self.db,
            tenant_id=self.tenant_id,
            verify_email=settings.verify_email,
            google_client_ids=settings.google_client_ids,
            apple_client_ids=settings.apple_client_ids,
        )
        return settings

    # --- Registering --------------------------------------------------------------------------------------------------

    async def register(
        self,
        *,
        email: str,
        password: str,
        full_name: str,
        phone: str | None = None,
        attribution: Attribution | None = None,
    ) -> None:
        """As `Users.register`, telling nobody but the reader of that mail whether the address was known.

        A new account gets a message with the token for `verify_email`; a known one that it exists. A telephone number
        that another account has is left out, for the same reason.

        Raises:
            InvalidEmail, InvalidPassword, InvalidPhone, InvalidPerson, PasswordsBusy: as `Users.register`.
        """
        await self.finish(
            await self.prepare(
                email=email, password=password, full_name=full_name, phone=phone, attribution=attribution
            )
        )

    async def prepare(
        self,
        *,
        email: str,
        password: str,
        full_name: str,
        phone: str | None = None,
        attribution: Attribution | None = None,
    ) -> NewAccount:
        """The half of `register` that takes the same time for every address; raises what it raises."""
        country = (await settings_of(self.context)).country_code
        known = normal_email(email)
        return NewAccount(
            full_name=checks.required(full_name, field="full_name", length_max=FULL_NAME_LENGTH_MAX),
            email=known,
            phone=None if phone is None else normal_phone(phone, country),
            password_hash=await passwords.hashed(password, email=known),
            attribution=attribution,
        )

    async def finish(self, new: NewAccount) -> None:
        """The other half: an answer does not wait for it."""
        try:
            try:
                await self._insert(new)
            except PhoneTaken:
                await self._insert(msgspec.structs.replace(new, phone=None))
        except EmailTaken:
            await self._tell_known(new.email)
            return
        await self.send_verification(email=new.email)

    async def _insert(self, new: NewAccount) -> None:
        given = {name: getattr(new, name) for name in NewAccount.__struct_fields__}
        await Users(self.context)._insert(**given)  # noqa: SLF001 - the password is a hash already

    # --- Proving an address -------------------------------------------------------------------------------------------

    async def send_verification(self, *, email: str) -> None:
        """Send the token that proves the address, if an account has it and did not prove it yet.

        The message is queued with the token.

        Raises:
            InvalidEmail: not an address.
        """
        user = await self._reachable(normal_email(email))
        if user is not None and not user.email_verified:
            await self._issue(user, TokenPurpose.VERIFY_EMAIL, VERIFICATION_LIFETIME, VERIFY)

    async def verify_email(self, *, token: str) -> User:
        """Take the token back: the address is proven, and an account that waited for it is active.

        A token of `change_email` gives the account its new address, and the old one hears of it.

        Raises:
            OneTimeTokenRefused: used, replaced, too old, none of ours; or the account has another address now, or
                somebody else has the new one.
        """
        if not token.startswith(TO_MOVE):
            return await self._verified(token)
        user, notice = await self._moved(token)
        await self._tell(notice)
        return user

    @transactional
    async def _verified(self, token: str) -> User:
        user_id, email = await self._redeem(token, TokenPurpose.VERIFY_EMAIL)
        await queries.set_email_verified(self.db, tenant_id=self.tenant_id, user_id=user_id, email=email)
        return await self._found(user_id)

    # --- Another address ----------------------------------------------------------------------------------------------

    async def change_email(self, *, user_id: UserId, email: str, current_password: str) -> None:
        """Send a token to the address that an account is to have; it has it once `verify_email` gets the token.

        Where somebody has the address, or had it, they hear that it has an account, and the caller nothing.

        Raises:
            InvalidEmail: not an address.
            UserNotFound: no such account, or a customer asks for somebody else's.
            WrongPassword: it is another, or there is none.
            PasswordsBusy: too many sign in at once.
        """
        known = await self.prepare_change(user_id=user_id, email=email, current_password=current_password)
        await self.finish_change(user_id=user_id, email=known)

    async def prepare_change(self, *, user_id: UserId, email: str, current_password: str) -> str:
        """The half of `change_email` that takes the same time for every address, whose stored form it returns."""
        async with refusals(self.context, action=CHANGE_EMAIL, resource_type="user", resource_id=user_id):
            await self.context.settings()
            self._check_customer(user_id)
            known = normal_email(email)
            await self._user(user_id)
            present = await queries.password_hash(self.db, tenant_id=self.tenant_id, user_id=user_id)
            if not await passwords.verified(present, current_password) or present is None:
                raise WrongPassword
            return known

    async def finish_change(self, *, user_id: UserId, email: str) -> None:
        """The other half: an answer does not wait for it."""
        await self.context.settings()
        user = await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None or user.status not in MAY_SIGN_IN or user.email == email:
            return
        if await queries.email_taken(self.db, tenant_id=self.tenant_id, email=email, user_id=user_id):
            await self._tell_known(email)
            return
        await self._issue(user, TokenPurpose.VERIFY_EMAIL, VERIFICATION_LIFETIME, CHANGE, to=email)

    @transactional
    async def _moved(self, token: str) -> tuple[User, Notice | None]:
        user_id, email = await self._redeem(token, TokenPurpose.VERIFY_EMAIL)
        before = await self._found(user_id)
        with violations({"users_email_unique": OneTimeTokenRefused}, self.db.names):
            await queries.set_email(self.db, tenant_id=self.tenant_id, user_id=user_id, email=email)
        if await self._of_erased(user_id, email):
            raise OneTimeTokenRefused
        await queries.set_email_verified(self.db, tenant_id=self.tenant_id, user_id=user_id, email=email)
        await self._forget_resets(user_id)
        user = await self._announced(user_id)
        if (owner := as_staff(self.context, user)) is not None:
            await record(self.db, owner, action=CHANGE_EMAIL, resource_type="user", resource_id=user_id)
        facts = {"name": user.full_name, "changed_at": self.context.clock.now()}
        notice = self._mail(CHANGED, before.email, facts)
        return user, await self._post.within(self.db, notice, entity_type="user", entity_id=user_id)

    # --- A forgotten password -----------------------------------------------------------------------------------------

    async def send_reset(self, *, email: str) -> None:
        """Send the token that lets an account have a new password, if an account that may sign in has the address.

        The message is queued with the token.

        Raises:
            InvalidEmail: not an address.
        """
        user = await self._reachable(normal_email(email))
        if user is not None:
            await self._issue(user, TokenPurpose.RESET_PASSWORD, RESET_LIFETIME, RESET)

    async def reset_password(self, *, token: str, new_password: str) -> None:
        """Replace a password by whoever reads the account's mail; all its sessions end, and the address is proven.

        A second message says that it happened.

        Raises:
            OneTimeTokenRefused: used, replaced, too old, none of ours; or the account has another address now.
            InvalidPassword, PasswordsBusy: as for `Users.register`. The token is not used up.
        """
        await self.context.settings()
        normal = passwords.normal_password(new_password, field="new_password")
        if await self._owner(token, TokenPurpose.RESET_PASSWORD) is None:
            raise OneTimeTokenRefused  # before the work of a hash
        await self._tell(await self._reset(token, normal, await passwords.hashed(normal, field="new_password")))

    @transactional
    async def _reset(self, token: str, normal: str, password_hash: str) -> Notice | None:
        user_id, email = await self._redeem(token, TokenPurpose.RESET_PASSWORD)
        passwords.normal_password(normal, field="new_password", email=email)
        await queries.set_password(self.db, tenant_id=self.tenant_id, user_id=user_id, password_hash=password_hash)
        await queries.set_email_verified(self.db, tenant_id=self.tenant_id, user_id=user_id, email=email)
        await self._forget_resets(user_id)
        await self._end_sessions(user_id, "password reset")
        if (owner := as_staff(self.context, await self._found(user_id))) is not None:
            await record(self.db, owner, action="identity.reset_password", resource_type="user", resource_id=user_id)
        return await self._of_password(user_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _reachable(self, email: str) -> User | None:
        await self.context.settings()
        user = await queries.user_by_email(self.db, tenant_id=self.tenant_id, email=email)
        return user if user is not None and user.status in MAY_SIGN_IN else None

    async def _issue(
        self, user: User, purpose: TokenPurpose, lifetime: timedelta, kind: str, *, to: str | None = None
    ) -> None:
        await self._post.after(await self._keep(user, purpose, lifetime, kind, to))

    @transactional
    async def _keep(
        self, user: User, purpose: TokenPurpose, lifetime: timedelta, kind: str, to: str | None
    ) -> Notice | None:
        if await queries.lock_user(self.db, tenant_id=self.tenant_id, user_id=user.id) is None:
            return None
        token = new_token() if to is None else TO_MOVE + new_token()
        await queries.delete_account_tokens(self.db, tenant_id=self.tenant_id, user_id=user.id, purpose=purpose)
        await queries.insert_account_token(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            purpose=purpose,
            token_hash=token_hash(token),
            user_id=user.id,
            email=to or user.email,
            lifetime=lifetime,
        )
        expires_at = self.context.clock.now() + lifetime
        facts = {"token": token, "name": user.full_name, "expires_at": expires_at}
        notice = self._mail(kind, to or user.email, facts, expires_at=expires_at)
        return await self._post.within(self.db, notice, entity_type="user", entity_id=user.id)

    async def _tell_known(self, email: str) -> None:
        await self._post.after(await self._queue_known(email))

    @transactional
    async def _queue_known(self, email: str) -> Notice | None:
        user = await queries.user_by_email(self.db, tenant_id=self.tenant_id, email=email)
        if user is None:  # deleted: its address stays taken, and nobody is written to
            return None
        notice = self._mail(KNOWN, email, {})
        return await self._post.within(self.db, notice, entity_type="user", entity_id=user.id)

    def _mail(self, kind: str, to: str, facts: dict[str, Any], *, expires_at: datetime | None = None) -> Notice:
        return Notice(
            tenant_id=self.tenant_id, kind=kind, channel=Channel.MAIL, to=to, facts=facts, expires_at=expires_at
        )

    async def _owner(self, token: str, purpose: TokenPurpose) -> UserId | None:
        if not 1 <= len(token) <= TOKEN_LENGTH_MAX or not token.isascii():
            return None
        return await queries.owner_of_token(
            self.db, tenant_id=self.tenant_id, token_hash=token_hash(token), purpose=purpose
        )

    async def _redeem(self, token: str, purpose: TokenPurpose) -> tuple[UserId, str]:
        """The account under lock, and the address that was proven: still the account's, or the one that it moves to."""
        owner = await self._owner(token, purpose)
        if owner is None:
            raise OneTimeTokenRefused
        try:
            account = await self._lock(owner)
        except UserNotFound:
            raise OneTimeTokenRefused from None
        redeemed = await queries.redeem_token(
            self.db, tenant_id=self.tenant_id, token_hash=token_hash(token), purpose=purpose
        )
        user = await self._found(owner)
        if redeemed is None or redeemed.email is None or account.status not in MAY_SIGN_IN:
            raise OneTimeTokenRefused
        if redeemed.email != user.email and not token.startswith(TO_MOVE):
            raise OneTimeTokenRefused
        return owner, redeemed.email

    async def _found(self, user_id: UserId) -> User:
        user = await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None:
            raise OneTimeTokenRefused
        return user
