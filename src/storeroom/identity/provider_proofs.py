"""Accounts that Google or Apple vouch for: which of ours they are, and when one is made."""

from collections.abc import Sequence
from datetime import datetime

from storeroom.audit import audited
from storeroom.core.ids import UserId, new_id
from storeroom.core.secrets import new_token, token_hash
from storeroom.database.service import operation, transactional
from storeroom.identity import checks, queries
from storeroom.identity.errors import (
    AccountBlocked,
    EmailTaken,
    IdTokenRefused,
    LastWayIn,
    LinkRefused,
    ProviderNotLinked,
    ProviderNotOffered,
    UserNotFound,
)
from storeroom.identity.model import (
    CUSTOMER_ROLES,
    FULL_NAME_LENGTH_MAX,
    MAY_SIGN_IN,
    NONCE_LIFETIME,
    AccountSettings,
    Attribution,
    AuthProvider,
    LinkedIdentity,
    TokenPurpose,
    UserStatus,
)
from storeroom.identity.people import People
from storeroom.identity.providers import Vouched, vouched
from storeroom.identity.service import Users
from storeroom.identity.sessions import Proof


class ProviderProofs(People):
    """People whom a provider knows, in one tenant."""

    @operation
    async def nonce(self) -> tuple[str, datetime]:
        """What an ID token must say to be taken, and until when; it works once."""
        nonce = new_token()
        await queries.insert_account_token(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            purpose=TokenPurpose.SIGN_IN_NONCE,
            token_hash=token_hash(nonce),
            user_id=None,
            email=None,
            lifetime=NONCE_LIFETIME,
        )
        return nonce, self.context.clock.now() + NONCE_LIFETIME

    async def prove(
        self, *, provider: AuthProvider, id_token: str, nonce: str, attribution: Attribution | None = None
    ) -> Proof:
        """Whose account of this shop the token proves; one is made for a person that the shop does not know.

        The provider's own name for the person decides. The first time it is the mail address, and only one for which
        the provider vouches. An account that had registered with the address and never proved it is the provider's
        person's from then on: its password is forgotten and its sessions end, since whoever chose them may be another.

        Args:
            provider: google or apple.
            id_token: as the provider gave it to the client.
            nonce: from `nonce`, and in the token.
            attribution: where the person came from, kept if an account is made.

        Raises:
            ProviderNotOffered: the shop has no client id there.
            IdTokenRefused, ProviderUnavailable: as `providers.vouched`; or the nonce was used, or is too old.
            LinkRefused: no proven mail address; or the account is of staff, linked before they were or not.
            AccountBlocked: suspended, banned or deleted.
        """
        await self.context.settings()
        settings = await queries.account_settings(self.db, tenant_id=self.tenant_id) or AccountSettings()
        audience = {
            AuthProvider.GOOGLE: settings.google_client_ids,
            AuthProvider.APPLE: settings.apple_client_ids,
        }.get(provider)
        if not audience:
            raise ProviderNotOffered(provider=provider)
        person = await vouched(
            id_token, provider=provider, audience=audience, nonce=nonce, now=self.context.clock.now()
        )
        if not await queries.redeem_token(
            self.db, tenant_id=self.tenant_id, token_hash=token_hash(nonce), purpose=TokenPurpose.SIGN_IN_NONCE
        ):
            raise IdTokenRefused
        for _ in range(2):
            try:
                return Proof(user_id=await self._account_of(person, attribution))
            except EmailTaken:  # by a rival who made the account while we did; then it is found
                continue
        raise AccountBlocked(status=UserStatus.DELETED)  # nobody finds it, and nobody else gets its address

    @operation
    async def list(self, *, user_id: UserId) -> Sequence[LinkedIdentity]:
        """By which providers' accounts this one is signed in to. Raises UserNotFound."""
        self._check_customer(user_id)
        if await queries.role_of(self.db, tenant_id=self.tenant_id, user_id=user_id) is None:
            raise UserNotFound(user_id=user_id)
        return await queries.identities_of(self.db, tenant_id=self.tenant_id, user_id=user_id)

    @audited("identity.unlink_provider", "user", "user_id")
    @transactional
    async def unlink(self, *, user_id: UserId, provider: AuthProvider) -> None:
        """Let a provider no longer sign in to an account. Its sessions stay: their owner is at work.

        Raises:
            UserNotFound: no such account, or a customer asks for somebody else's.
            RoleForbidden: the caller does not stand above the account.
            ProviderNotLinked: it was not.
            LastWayIn: there is no password and no other provider; nothing was written.
        """
        await self._lock_own(user_id)  # so that of two that are unlinked at once the second sees what is left
        linked = await queries.identities_of(self.db, tenant_id=self.tenant_id, user_id=user_id)
        left = [identity.provider for identity in linked if identity.provider is not provider]
        if len(left) == len(linked):
            raise ProviderNotLinked(provider=provider)
        password = await queries.password_hash(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if not left and password is None:
            raise LastWayIn
        await queries.delete_identities(self.db, tenant_id=self.tenant_id, user_id=user_id, provider=provider)
        remaining = AuthProvider.EMAIL if password is not None else left[0]
        await queries.set_auth_provider(self.db, tenant_id=self.tenant_id, user_id=user_id, provider=remaining)

    @transactional
    async def _account_of(self, person: Vouched, attribution: Attribution | None) -> UserId:
        known = await queries.account_of_identity(
            self.db, tenant_id=self.tenant_id, provider=person.provider, subject=person.subject
        )
        if known is not None:
            return await self._opened(known)
        if person.email is None:
            raise LinkRefused(reason="the provider does not vouch for a mail address")
        found = await queries.user_by_email(self.db, tenant_id=self.tenant_id, email=person.email)
        user_id = await self._made(person, attribution) if found is None else await self._taken_over(found.id)
        await queries.set_email_verified(self.db, tenant_id=self.tenant_id, user_id=user_id, email=person.email)
        await queries.insert_identity(
            self.db,
            tenant_id=self.tenant_id,
            provider=person.provider,
            subject=person.subject,
            user_id=user_id,
            email=person.email,
        )
        return user_id

    async def _opened(self, user_id: UserId) -> UserId:
        """Of customers only: a mailbox elsewhere is no second factor of staff, nor where they were customers before."""
        try:
            account = await self._lock(user_id)
        except UserNotFound:
            raise AccountBlocked(status=UserStatus.DELETED) from None
        if account.status not in MAY_SIGN_IN:
            raise AccountBlocked(status=account.status)
        if account.role not in CUSTOMER_ROLES:
            raise LinkRefused(reason="the account signs in with its password")
        return user_id

    async def _taken_over(self, user_id: UserId) -> UserId:
        """An account that has the address already."""
        await self._opened(user_id)
        if not (await self._user(user_id)).email_verified:
            await queries.clear_password(self.db, tenant_id=self.tenant_id, user_id=user_id)
            await self._forget_resets(user_id)
            await self._end_sessions(user_id, "address proven by another")
        return user_id

    async def _made(self, person: Vouched, attribution: Attribution | None) -> UserId:
        user = await Users(self.context)._insert(  # noqa: SLF001 - a customer's account, as by registering
            email=str(person.email),
            full_name=checks.cut(person.name, FULL_NAME_LENGTH_MAX),
            phone=None,
            password_hash=None,
            auth_provider=person.provider,
            status=UserStatus.ACTIVE,
            attribution=attribution,
        )
        return user.id
