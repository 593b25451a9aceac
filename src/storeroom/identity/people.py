"""What the services of this slice share: whose account the caller may touch, and what is read of it."""

import logging
from typing import Final, Self

import msgspec
from typing_extensions import override

from storeroom import outbox
from storeroom.core.contact import normal_phone
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.database.executor import Executor
from storeroom.database.service import Actor, ActorKind, Context, Service
from storeroom.identity import checks, queries
from storeroom.identity.errors import (
    EmailTaken,
    RoleForbidden,
    UserNotFound,
)
from storeroom.identity.model import (
    CUSTOMER_ROLES,
    Attribution,
    Managed,
    RevokedSession,
    TokenPurpose,
    User,
    UserRole,
    erased_email,
    may_manage,
)
from storeroom.identity.revocations import Revocations
from storeroom.identity.tokens import TokenKeys
from storeroom.notices import Channel, Notice, Notices, Post
from storeroom.tenants import settings_of

CUSTOMER_CREATED: Final = "customer.created"  # what others hear of
CUSTOMER_UPDATED: Final = "customer.updated"
PASSWORD_CHANGED: Final = "password_changed"  # noqa: S105  # a kind of notice

_log: Final = logging.getLogger(__name__)


class People(Service):
    """What the services of this slice share: whose account the caller may touch, and how its owner hears of it."""

    def __init__(self, context: Context, keys: TokenKeys | None = None, notices: Notices | None = None) -> None:
        """Without keys nothing is signed or sealed, and messages go to the folder of notices.

        Args:
            context: see Service.
            keys: of the installation.
            notices: sends messages after the commit, instead of the queue.
        """
        super().__init__(context)
        self._keys = keys or TokenKeys(None)
        self._notices = notices
        self._post = Post(self._keys, notices)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._notices)

    async def _lock_own(self, user_id: UserId) -> Managed:
        """An account that the caller may change in what is a person's own: their own, or one they manage."""
        if self.context.actor.user_id == user_id:
            return await self._lock(user_id)
        return await self._lock_managed(user_id)

    async def _lock_managed(self, user_id: UserId, *, to: UserRole | None = None) -> Managed:
        """An account that the caller may change in what it is and may do, and make one of role `to`.

        Never their own: not even a super_admin, or a shop would be without its last one by a slip of the hand.
        """
        self._check_customer(user_id)
        user = await self._lock(user_id)
        self._check_not_own(user_id, user.role)
        await self._check_rank(user.role if to is None else max(user.role, to, key=_rank_order))
        return user

    def _check_not_own(self, user_id: UserId, role: UserRole) -> None:
        if self.context.actor.user_id == user_id:
            raise RoleForbidden(role=role)

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

    async def _forget_resets(self, user_id: UserId) -> None:
        """What was sent to get at an account, or to move it elsewhere, ends with a new password and a new address."""
        await queries.delete_account_tokens(
            self.db, tenant_id=self.tenant_id, user_id=user_id, purpose=TokenPurpose.RESET_PASSWORD
        )
        await queries.delete_email_changes(self.db, tenant_id=self.tenant_id, user_id=user_id)

    async def _user(self, user_id: UserId) -> User:
        user = await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None:
            raise UserNotFound(user_id=user_id)
        return user

    async def _of_erased(self, user_id: UserId, email: str) -> bool:
        """Whether an address is that of somebody else, who was erased."""
        erased = erased_email(self.tenant_id, email)
        return await queries.email_taken(self.db, tenant_id=self.tenant_id, email=erased, user_id=user_id)

    async def _check_not_erased(self, user_id: UserId, email: str) -> None:
        """After an address was written: who erases its owner meanwhile has it until the end, and we waited for that."""
        if await self._of_erased(user_id, email):
            raise EmailTaken

    async def _ensure_profile(self, user_id: UserId, attribution: Attribution | None = None) -> None:
        await queries.insert_profile(
            self.db, tenant_id=self.tenant_id, id=new_id(), user_id=user_id, **checks.attribution(attribution)
        )

    async def _phone(self, phone: str | None) -> str | None:
        if phone is None:
            return None
        return normal_phone(phone, (await settings_of(self.context)).country_code)

    async def _announce(self, event: str, user: User) -> None:
        """Others hear that an account was made or changed; what they may know of it, they ask for."""
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=event,
            payload={
                "id": user.id,
                "email": user.email,
                "full_name": user.full_name,
                "role": user.role,
                "status": user.status,
            },
            entity_type="user",
            entity_id=user.id,
        )

    async def _announced(self, user_id: UserId) -> User:
        """The account as it is now, which others hear of."""
        user = await self._user(user_id)
        await self._announce(CUSTOMER_UPDATED, user)
        return user

    async def _of_password(self, user_id: UserId) -> Notice | None:
        """Somebody who did not do it has to hear of it: queued with the change, or given back for `_tell`."""
        user = await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if user is None:
            return None
        facts = {"name": user.full_name, "changed_at": self.context.clock.now()}
        notice = Notice(
            tenant_id=self.tenant_id, kind=PASSWORD_CHANGED, channel=Channel.MAIL, to=user.email, facts=facts
        )
        return await self._post.within(self.db, notice, entity_type="user", entity_id=user_id)

    async def _tell(self, notice: Notice | None) -> None:
        """What was changed stays, whatever becomes of the message."""
        try:
            await self._post.after(notice)
        except (StoreroomError, OSError) as error:
            _log.warning("nobody was told of a change: %s", getattr(error, "code", type(error).__name__))


def as_staff(context: Context, user: User) -> Context | None:
    """The call in the name of a member of staff who has just proven to be one; None for who is none.

    Signing in and a forgotten password begin in nobody's name, and what customers do is not in the audit trail.
    """
    if user.role in CUSTOMER_ROLES:
        return None
    actor = Actor(kind=ActorKind.ADMIN, user_id=user.id, name=user.email, role=user.role)
    return msgspec.structs.replace(context, actor=actor)


def _rank_order(role: UserRole) -> int:
    return list(UserRole).index(role)
