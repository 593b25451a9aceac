"""Guests, signing in and out, and the tokens that prove who calls."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from typing_extensions import override

from storeroom.audit import audited, record, record_refusal
from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.core.ids import SessionId, UserId, new_id
from storeroom.core.secrets import new_token, token_hash
from storeroom.core.visitor import Visitor
from storeroom.database.service import ActorKind, operation, transactional
from storeroom.identity import checks, passwords, queries
from storeroom.identity.errors import (
    AccountBlocked,
    InvalidCredentials,
    RefreshRaced,
    RefreshReused,
    SessionNotFound,
    TokenRefused,
    UserNotFound,
)
from storeroom.identity.model import (
    CUSTOMER_ROLES,
    DEVICE_LENGTH_MAX,
    GUEST_SESSION_LIFETIME,
    MAY_SIGN_IN,
    REASON_LENGTH_MAX,
    REFRESH_GRACE,
    SESSION_IDLE_MAX,
    SESSION_LIFETIME_MAX,
    SESSIONS_LISTED_MAX,
    TOUCH_EVERY,
    USER_AGENT_LENGTH_MAX,
    Authenticated,
    HeldAccount,
    OpenSession,
    RefreshOutcome,
    RevokedSession,
    Session,
    SignedIn,
    User,
    UserRole,
    UserStatus,
)
from storeroom.identity.people import People, as_staff
from storeroom.identity.revocations import Revocations
from storeroom.identity.tokens import TOKEN_LENGTH_MAX, RefreshToken

SIGN_IN: Final = "identity.sign_in"  # an action in the audit trail

_STATUSES: Final = list(MAY_SIGN_IN)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody proved to be the owner of an account. It holds as long as the password stays as it was."""

    user_id: UserId
    password_hash: str | None = None  # None: proven by something else than a password
    password_mark: str | None = None  # instead of the hash, in a proof that has travelled

    @property
    def mark(self) -> str | None:
        """What stands for the password where the proof leaves the process: a hash of its hash."""
        return token_hash(self.password_hash) if self.password_hash is not None else self.password_mark

    @override
    def __repr__(self) -> str:
        return f"Proof({self.user_id})"


class Sessions(People):
    """The sessions of one tenant's guests and accounts."""

    # --- Guests -------------------------------------------------------------------------------------------------------

    @operation
    async def guest(self, *, device: str | None = None) -> tuple[Session, str]:
        """Begin a guest's session; return it and its token, which is kept as a hash only.

        It ends GUEST_SESSION_LIFETIME after the last visit, or when the guest signs in.
        """
        token = new_token()
        session = await queries.insert_guest(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            anonymous_id=str(new_id()),
            token_hash=token_hash(token),
            lifetime=GUEST_SESSION_LIFETIME,
            **self._place(device),
        )
        return session, token

    @operation
    async def visitor(self, guest_token: str) -> Visitor | None:
        """The guest whose token this is; None for one that is unknown, expired or revoked.

        A visit is noted, and the session's end put off, at most once in TOUCH_EVERY.
        """
        if not 1 <= len(guest_token) <= TOKEN_LENGTH_MAX:
            return None
        seen = await queries.guest(
            self.db, tenant_id=self.tenant_id, token_hash=_hash(guest_token), touch_every=TOUCH_EVERY
        )
        if seen is None:
            return None
        if seen.stale:
            await queries.touch_guest(
                self.db, tenant_id=self.tenant_id, session_id=seen.id, lifetime=GUEST_SESSION_LIFETIME
            )
        return Visitor(session_id=seen.id)

    # --- Signing in ---------------------------------------------------------------------------------------------------

    async def sign_in(
        self, *, email: str, password: str, guest_token: str | None = None, device: str | None = None
    ) -> SignedIn:
        """Begin a session of an account. `flows.SignIn` does the same and brings the guest's cart along.

        It also asks for the second factor, and this does not: for programs that are sure by other means. No route leads
        here.

        Args:
            email: however it is written.
            password: the account's.
            guest_token: of the guest who signs in: the session becomes the account's, and this token ends. A token
                that is no longer valid is no error.
            device: what the client calls itself, at most 255 characters of it are kept.

        Raises:
            InvalidCredentials: no such address, or not its password; it takes as long either way. Or the shop wants
                mail addresses proven first, and this one is not.
            AccountBlocked: the password is right, the account suspended or banned.
            PasswordsBusy: too many sign in at once.
            SigningSecretMissing: the installation has no secret to sign tokens with.
        """
        proof = await self.prove(email=email, password=password)
        return await self.start(proof=proof, guest_token=guest_token, device=device)

    async def prove(self, *, email: str, password: str) -> Proof:
        """Test a password; the first half of `sign_in`. It takes some 20 ms of a processor, so no transaction is open.

        A hash made with weaker parameters than those of today is replaced.

        Raises:
            as `sign_in`.
        """
        await self.context.settings()
        self._keys.require()
        try:
            known = await queries.credentials(self.db, tenant_id=self.tenant_id, email=normal_email(email))
        except InvalidEmail:
            known = None
        present = known.password_hash if known is not None else None
        right = await passwords.verified(present, password)
        if not right or known is None or present is None:
            raise InvalidCredentials
        if known.status not in MAY_SIGN_IN:
            raise AccountBlocked(status=known.status)
        if known.status is UserStatus.PENDING_VERIFICATION:
            await self._check_email_proven(known.user_id)
        if passwords.outdated(present):
            renewed = await passwords.rehashed(password)
            if await queries.replace_password_hash(
                self.db, tenant_id=self.tenant_id, user_id=known.user_id, old=present, new=renewed
            ):
                present = renewed
        return Proof(user_id=known.user_id, password_hash=present)

    async def _check_email_proven(self, user_id: UserId) -> None:
        """Where a shop wants mail addresses proven, an account that waits for it is like none.

        Saying more would tell whoever has just registered somebody else's address that it was free.
        """
        settings = await queries.account_settings(self.db, tenant_id=self.tenant_id)
        if settings is None or not settings.verify_email:
            return
        role = await queries.role_of(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if role in CUSTOMER_ROLES:  # staff did not register themselves
            raise InvalidCredentials

    @transactional
    async def hold(self, *, proof: Proof) -> HeldAccount:
        """See whether a proof still holds, and keep it so until the transaction ends: whatever rests on it comes after.

        Returns the account of the proof.

        Raises:
            InvalidCredentials: the password was changed since, or the account deleted.
            AccountBlocked: it was suspended or banned since.
        """
        known = await queries.hold_account(self.db, tenant_id=self.tenant_id, user_id=proof.user_id)
        if known is None or (proof.mark is not None and token_hash(known.password_hash or "") != proof.mark):
            raise InvalidCredentials
        if known.status not in MAY_SIGN_IN:
            raise AccountBlocked(status=known.status)
        return known.held

    @transactional
    async def start(
        self,
        *,
        proof: Proof,
        held: HeldAccount | None = None,
        guest_token: str | None = None,
        device: str | None = None,
    ) -> SignedIn:
        """Begin a session of an account that was proven; the second half of `sign_in`.

        Args:
            proof: of `prove`.
            held: what `hold` has answered to the proof in this transaction. None: it is held here.
            guest_token: as for `sign_in`.
            device: as for `sign_in`.

        Raises:
            InvalidCredentials: the password was changed since, or the account deleted.
            AccountBlocked: it was suspended or banned since.
        """
        user = (held or await self.hold(proof=proof)).user
        token = RefreshToken.first()
        session = None
        if guest_token:
            session = await queries.claim_guest(
                self.db,
                tenant_id=self.tenant_id,
                guest_hash=_hash(guest_token),
                user_id=proof.user_id,
                token_hash=token.hash,
                family_hash=token.family_hash,
                lifetime=SESSION_IDLE_MAX,
                **self._place(device),
            )
        was_guest = session is not None
        if session is None:
            session = await queries.insert_session(
                self.db,
                tenant_id=self.tenant_id,
                id=new_id(),
                user_id=proof.user_id,
                anonymous_id=str(new_id()),
                token_hash=token.hash,
                family_hash=token.family_hash,
                lifetime=SESSION_IDLE_MAX,
                **self._place(device),
            )
        return self._signed_in(
            user,
            token,
            session_id=session.id,
            expires_at=session.expires_at,
            was_guest=was_guest,
        )

    @transactional
    async def tell_sign_in(self, signed_in: SignedIn, *, second_factor: bool) -> None:
        """Leave an entry in the audit trail that a member of staff signed in; of customers, none."""
        user = signed_in.user
        if (owner := as_staff(self.context, user)) is not None:
            facts = {"session_id": str(signed_in.session_id), "second_factor": second_factor}
            await record(self.db, owner, action=SIGN_IN, resource_type="user", resource_id=user.id, new_values=facts)

    @operation
    async def tell_refusal(
        self, error: Exception, *, email: str | None = None, user_id: UserId | None = None, proven: bool
    ) -> None:
        """Leave an entry in the audit trail that signing in to an account of staff was refused; to others, none.

        Args:
            error: what refused it.
            email: as it was typed.
            user_id: instead, of whoever went that far.
            proven: the password was right, so the entry has its owner's name; else it has nobody's.
        """
        try:
            user = (
                await queries.user(self.db, tenant_id=self.tenant_id, user_id=user_id)
                if user_id is not None
                else await queries.user_by_email(self.db, tenant_id=self.tenant_id, email=normal_email(email or ""))
            )
        except InvalidEmail:
            return
        owner = as_staff(self.context, user) if user is not None else None
        if user is None or owner is None:
            return
        context = owner if proven else self.context
        await record_refusal(context, error, action=SIGN_IN, resource_type="user", resource_id=user.id, asked={})

    # --- Using a session ----------------------------------------------------------------------------------------------

    @operation
    async def authenticate(self, access_token: str) -> Authenticated:
        """Whoever holds this access token, with role and permissions as they are now.

        Signature and time say nearly all; what was taken back since is kept in memory (see `Revocations`). So this asks
        the database nothing, and a session that was ended, or an account that was suspended or lost a permission, is
        noticed at once in the process that did it, within REVOCATIONS_EVERY in all others.

        Raises:
            TokenRefused: not ours, of another shop, expired; or its session has ended, or its account is blocked.
        """
        claims = self._keys.read(access_token, now=self.context.clock.now())
        if claims.tenant_id != self.tenant_id:
            raise TokenRefused
        revoked = Revocations.of(self.db)
        await revoked.learn(self.db)
        if revoked.ended(claims):
            raise TokenRefused
        if revoked.complete:
            present = revoked.present(claims)
            return Authenticated(
                user_id=present.user_id,
                session_id=present.session_id,
                tenant_id=present.tenant_id,
                email=present.email,
                role=present.role,
                permissions=present.permissions,
            )
        found = await queries.authenticated(
            self.db,
            tenant_id=self.tenant_id,
            session_id=claims.session_id,
            user_id=claims.user_id,
            statuses=_STATUSES,
        )
        if found is None:
            raise TokenRefused
        return found

    @operation
    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for new tokens. Each works once. It costs one statement.

        Two who use one token at once are taken for two tabs of one browser: the second is told so, for REFRESH_GRACE.
        Later the token must have been stolen from one of the two, so the session ends for both. Give this no
        transaction of your own: an error would take the end of the session back.

        Raises:
            TokenRefused: not ours; or the session has ended, or the account is blocked.
            RefreshRaced: replaced a moment ago.
            RefreshReused: used before; the session was ended.
        """
        self._keys.require()
        token = RefreshToken.read(refresh_token)
        replacement = token.next()
        found = await queries.refresh(
            self.db,
            tenant_id=self.tenant_id,
            family_hash=token.family_hash,
            token_hash=token.hash,
            replacement_hash=replacement.hash,
            reason="refresh token used a second time",
            lifetime=SESSION_IDLE_MAX,
            grace=REFRESH_GRACE,
            lifetime_max=SESSION_LIFETIME_MAX,
            statuses=_STATUSES,
        )
        if found is None:
            raise TokenRefused
        if found.outcome is RefreshOutcome.REUSED:
            Revocations.of(self.db).note(self.db, RevokedSession(self.tenant_id, found.session_id))
            raise RefreshReused
        if found.outcome is RefreshOutcome.RACED:
            raise RefreshRaced
        return self._signed_in(
            found.user,
            replacement,
            session_id=found.session_id,
            expires_at=found.session_expires_at,
            was_guest=False,
        )

    # --- Ending a session ---------------------------------------------------------------------------------------------

    @operation
    async def sign_out(self, refresh_token: str) -> None:
        """End the session that a refresh token belongs to; again, or with a token of none, is no error."""
        try:
            token = RefreshToken.read(refresh_token)
        except TokenRefused:
            return
        ended = await queries.end_family(
            self.db, tenant_id=self.tenant_id, family_hash=token.family_hash, reason="signed out"
        )
        if ended is not None:
            Revocations.of(self.db).note(self.db, RevokedSession(self.tenant_id, ended))

    @audited("identity.end_session", "session", "session_id")
    @transactional
    async def end(self, *, session_id: SessionId, user_id: UserId | None = None, reason: str = "signed out") -> None:
        """End a session by its id, and of `user_id` only where that is given; again is no error.

        Raises:
            SessionNotFound: no such session, or a customer asks for somebody else's.
            RoleForbidden: the caller does not stand above the account.
        """
        session = await queries.session(self.db, tenant_id=self.tenant_id, session_id=session_id)
        actor = self.context.actor
        if (
            session is None
            or user_id not in (None, session.user_id)
            or (actor.kind is ActorKind.CUSTOMER and session.user_id != actor.user_id)
        ):
            raise SessionNotFound(session_id=session_id)
        if session.user_id is not None:
            await self._lock_own(session.user_id)
        await self._revoke(session_id, checks.cut(reason, REASON_LENGTH_MAX) or "ended")

    @operation
    async def list(self, *, user_id: UserId) -> Sequence[OpenSession]:
        """The open sessions of an account, the newest SESSIONS_LISTED_MAX. Raises UserNotFound."""
        self._check_customer(user_id)
        await self._user_known(user_id)
        return await queries.open_sessions(self.db, tenant_id=self.tenant_id, user_id=user_id, rows=SESSIONS_LISTED_MAX)

    @audited("identity.end_sessions", "user", "user_id")
    @transactional
    async def end_all(self, *, user_id: UserId, reason: str = "signed out everywhere") -> int:
        """End all sessions of an account; return how many it were.

        Raises:
            UserNotFound: no such account, or a customer asks for somebody else's.
            RoleForbidden: the caller does not stand above the account.
        """
        await self._lock_own(user_id)
        return await self._end_sessions(user_id, checks.cut(reason, REASON_LENGTH_MAX) or "ended")

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _revoke(self, session_id: SessionId, reason: str) -> None:
        await queries.revoke(self.db, tenant_id=self.tenant_id, session_id=session_id, reason=reason)
        Revocations.of(self.db).note(self.db, RevokedSession(self.tenant_id, session_id))

    async def _user_known(self, user_id: UserId) -> None:
        if await queries.role_of(self.db, tenant_id=self.tenant_id, user_id=user_id) is None:
            raise UserNotFound(user_id=user_id)

    def _signed_in(
        self, user: User, token: RefreshToken, *, session_id: SessionId, expires_at: datetime, was_guest: bool
    ) -> SignedIn:
        access_token, access_expires_at = self._keys.sign(
            user_id=user.id,
            session_id=session_id,
            tenant_id=self.tenant_id,
            email=user.email,
            role=user.role,
            permissions=user.permissions if user.role is UserRole.STAFF else (),
            now=self.context.clock.now(),
        )
        return SignedIn(
            access_token=access_token,
            access_expires_at=access_expires_at,
            refresh_token=token.text,
            refresh_expires_at=expires_at,
            session_id=session_id,
            was_guest=was_guest,
            user=user,
        )

    def _place(self, device: str | None) -> dict[str, str | None]:
        """Where the call comes from, as far as that can be kept."""
        return {
            "ip": checks.ip_address(self.context.ip),
            "user_agent": checks.cut(self.context.user_agent, USER_AGENT_LENGTH_MAX),
            "device": checks.cut(device, DEVICE_LENGTH_MAX),
        }


def _hash(token: str) -> str:
    """Of a token from outside, which may hold what no text does."""
    return token_hash(token.encode("utf-8", "replace").decode())
