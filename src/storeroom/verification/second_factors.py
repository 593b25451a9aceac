"""The second factor of staff: an authenticator app, and recovery codes for when the phone is lost."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self

import msgspec
from typing_extensions import override

from storeroom.audit import audited, record
from storeroom.core.crypto import KeyRing, SealBroken
from storeroom.core.ids import UserId, human_code, new_id
from storeroom.core.secrets import token_hash
from storeroom.database.executor import Executor
from storeroom.database.service import ActorKind, Context, Service, operation, transactional
from storeroom.identity import HeldAccount, Proof, Sessions, TokenKeys, UserNotFound, may_manage
from storeroom.tenants import settings_of
from storeroom.verification import queries, totp
from storeroom.verification.errors import (
    ChallengeRefused,
    SecondFactorActive,
    SecondFactorKept,
    SecondFactorMissing,
    SecondFactorNotOffered,
    SecondFactorNotYours,
    SecondFactorRefused,
    SecondFactorRequired,
)
from storeroom.verification.model import (
    CHALLENGE_LENGTH_MAX,
    CHALLENGE_LIFETIME,
    FACTOR_FAILURES_MAX,
    FACTOR_WINDOW,
    ISSUER_LENGTH_MAX,
    RECOVERY_CODE_LENGTH,
    RECOVERY_CODES,
    STAFF_ROLES,
    Challenge,
    Enrolment,
    SecondFactorStatus,
    Standing,
)
from storeroom.verification.sealed import PURPOSE, place_of

_OF_CHALLENGES: Final = "sign-in challenges, 1"


class SecondFactors(Service):
    """The second factors of one tenant's staff.

    What takes a code counts the try before it tests it. Give those no transaction of your own: an error would take the
    count back. `passes` and `confirms` are for one: they answer, and the caller commits before it raises.
    """

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys nothing can be sealed: enrolling and signing in say that the installation has no secret."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    # --- One's own ----------------------------------------------------------------------------------------------------

    @operation
    async def status(self, *, user_id: UserId) -> SecondFactorStatus:
        """Whether an account has one, and must.

        Raises:
            SecondFactorNotYours: a customer asks for somebody else's.
            UserNotFound: no such account.
        """
        if self.context.actor.kind is ActorKind.CUSTOMER:
            self._check_own(user_id)
        known = await self._standing(user_id)
        return SecondFactorStatus(
            active=known.confirmed_at is not None,
            since=known.confirmed_at,
            required=known.staff and (await settings_of(self.context)).staff_second_factor_required,
            recovery_codes_left=known.recovery_codes_left,
        )

    @transactional
    async def enrol(self, *, user_id: UserId) -> Enrolment:
        """Make the secret that an app is set up with; again, until it is confirmed, makes another.

        Raises:
            SecondFactorNotYours: somebody else's account.
            UserNotFound: no such account.
            SecondFactorNotOffered: the account is not of staff.
            SecondFactorActive: there is a confirmed one.
            SigningSecretMissing: the installation has no secret to seal with.
        """
        self._check_own(user_id)
        known = await self._standing(user_id)
        if not known.staff:
            raise SecondFactorNotOffered
        secret = totp.new_secret()
        sealed = self._secrets.seal(secret.encode(), bound_to=self._place(user_id))
        if not await queries.offer_factor(
            self.db, tenant_id=self.tenant_id, id=new_id(), user_id=user_id, secret=sealed
        ):
            raise SecondFactorActive
        issuer = (await settings_of(self.context)).name[:ISSUER_LENGTH_MAX]
        return Enrolment(secret=secret, uri=totp.uri(secret, account=known.email, issuer=issuer))

    async def confirm(self, *, user_id: UserId, code: str) -> Sequence[str]:
        """Prove that the app is set up; from now on it is asked for. Returns the recovery codes, shown this once.

        Raises:
            SecondFactorNotYours: somebody else's account.
            SecondFactorRefused: not a code of the app, or too many were wrong lately, or nothing waits for one.
        """
        await self.context.settings()
        self._check_own(user_id)
        codes = await self.confirms(user_id=user_id, code=code)
        if codes is None:
            raise SecondFactorRefused
        return codes

    async def renew_recovery_codes(self, *, user_id: UserId, code: str) -> Sequence[str]:
        """New recovery codes; those before are worth nothing any more.

        Raises:
            SecondFactorNotYours: somebody else's account.
            SecondFactorRefused: as for `check`.
        """
        await self.context.settings()
        self._check_own(user_id)
        await self.check(user_id=user_id, code=code)
        return await self._recovery_codes(user_id)

    async def remove(self, *, user_id: UserId, code: str) -> None:
        """Sign in without one again.

        Raises:
            SecondFactorNotYours: somebody else's account.
            SecondFactorKept: the shop requires it of its staff.
            SecondFactorRefused: as for `check`.
        """
        settings = await settings_of(self.context)
        self._check_own(user_id)
        known = await self._standing(user_id)
        if known.staff and settings.staff_second_factor_required:
            raise SecondFactorKept
        await self.check(user_id=user_id, code=code)
        await self._delete(user_id)

    # --- Somebody else's ----------------------------------------------------------------------------------------------

    @audited("second_factors.reset", "user", "user_id")
    @transactional
    async def reset(self, *, user_id: UserId) -> None:
        """Forget the second factor of somebody who lost it, and end their sessions; they set up another.

        Raises:
            UserNotFound: no such account.
            SecondFactorNotYours: the caller does not stand above it.
            SecondFactorMissing: there is none.
        """
        known = await self._standing(user_id)
        actor = self.context.actor
        if actor.kind is not ActorKind.SYSTEM:
            own = await self._standing(actor.user_id) if actor.kind is ActorKind.ADMIN and actor.user_id else None
            if own is None or not own.staff or actor.user_id == user_id or not may_manage(own.role, known.role):
                raise SecondFactorNotYours(user_id=user_id)
        await Sessions(self.context, self._keys).end_all(user_id=user_id)  # locks the account first, as signing in does
        if not await self._delete(user_id):
            raise SecondFactorMissing

    # --- Signing in ---------------------------------------------------------------------------------------------------

    @operation
    async def ask(self, *, proof: Proof, held: HeldAccount) -> None:
        """Pass who signs in without a second factor; raise a challenge for who has one, or has to get one.

        Args:
            proof: what the challenge stands for.
            held: what `Sessions.hold` has answered to it.

        Raises:
            SecondFactorRequired: carries the challenge.
        """
        active = held.second_factor_since is not None
        staff = held.user.role in STAFF_ROLES
        if not active and not (staff and (await settings_of(self.context)).staff_second_factor_required):
            return
        expires_at = self.context.clock.now() + CHALLENGE_LIFETIME
        challenge = Challenge(user_id=proof.user_id, password_mark=proof.mark, expires_at=expires_at)
        sealed = self._challenges.seal(msgspec.json.encode(challenge), bound_to=self.tenant_id)
        raise SecondFactorRequired(challenge=sealed, expires_at=expires_at, active=active)

    def proof_of(self, challenge: str) -> Proof:
        """Whose password was right, a moment ago. Asks no database.

        Raises:
            ChallengeRefused: it is none of ours, of another shop, or its time is over.
            SigningSecretMissing: there is no secret to open it with.
        """
        if len(challenge) > CHALLENGE_LENGTH_MAX:
            raise ChallengeRefused
        ring = self._challenges
        try:
            found = msgspec.json.decode(ring.open(challenge, bound_to=self.tenant_id), type=Challenge)
        except (SealBroken, msgspec.MsgspecError) as error:
            raise ChallengeRefused from error
        if found.expires_at <= self.context.clock.now():
            raise ChallengeRefused
        return Proof(user_id=found.user_id, password_mark=found.password_mark)

    async def check(self, *, user_id: UserId, code: str) -> None:
        """Test a code of the app, or a recovery code; each counts once.

        Raises:
            SecondFactorRefused: it is neither, or was used; or FACTOR_FAILURES_MAX were wrong within FACTOR_WINDOW.
        """
        await self.context.settings()
        if not await self.passes(user_id=user_id, code=code):
            raise SecondFactorRefused

    @transactional
    async def passes(self, *, user_id: UserId, code: str) -> bool:
        """As `check`: False comes back instead of an error, so that the count of the try is committed."""
        return await self._right(user_id, code, confirmed=True)

    @transactional
    async def confirms(self, *, user_id: UserId, code: str) -> Sequence[str] | None:
        """As `confirm`: None comes back instead of an error, so that the count of the try is committed."""
        self._check_own(user_id)
        if not await self._right(user_id, code, confirmed=False):
            return None
        await self._recorded("second_factors.confirm", user_id)
        return await self._recovery_codes(user_id)

    async def _recorded(self, action: str, user_id: UserId) -> None:
        """What staff do to their own: an entry by hand, since the code must not stand in it."""
        if self.context.actor.kind is not ActorKind.CUSTOMER and not self.context.audited:
            await record(self.db, self.context, action=action, resource_type="user", resource_id=user_id)

    async def _right(self, user_id: UserId, code: str, *, confirmed: bool) -> bool:
        now = self.context.clock.now()
        factor = await queries.take_factor_try(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            confirmed=confirmed,
            tried_at=now,
            window_ends_at=now + FACTOR_WINDOW,
            failures_max=FACTOR_FAILURES_MAX,
        )
        if factor is None:
            return False
        secret = self._secrets.open(factor.secret, bound_to=self._place(user_id)).decode()
        step = totp.matching_step(secret, code, now=now)
        if step is not None and step > factor.last_step:
            await queries.pass_factor(self.db, tenant_id=self.tenant_id, id=factor.id, last_step=step)
            if not confirmed:
                await queries.confirm_factor(self.db, tenant_id=self.tenant_id, id=factor.id)
            return True
        if not confirmed or not await queries.use_recovery_code(
            self.db, tenant_id=self.tenant_id, user_id=user_id, code_hash=_hash(code)
        ):
            return False
        await queries.pass_factor(self.db, tenant_id=self.tenant_id, id=factor.id, last_step=factor.last_step)
        return True

    @transactional
    async def _recovery_codes(self, user_id: UserId) -> Sequence[str]:
        await self._recorded("second_factors.new_recovery_codes", user_id)
        codes = [human_code(RECOVERY_CODE_LENGTH) for _ in range(RECOVERY_CODES)]
        await queries.delete_recovery_codes(self.db, tenant_id=self.tenant_id, user_id=user_id)
        await queries.insert_recovery_codes(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            ids=[new_id() for _ in codes],
            code_hashes=[_hash(code) for code in codes],
        )
        return codes

    @transactional
    async def _delete(self, user_id: UserId) -> bool:
        await self._recorded("second_factors.remove", user_id)
        await queries.delete_recovery_codes(self.db, tenant_id=self.tenant_id, user_id=user_id)
        return bool(await queries.delete_factor(self.db, tenant_id=self.tenant_id, user_id=user_id))

    async def _standing(self, user_id: UserId) -> Standing:
        known = await queries.standing(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if known is None:
            raise UserNotFound(user_id=user_id)
        return known

    def _check_own(self, user_id: UserId) -> None:
        actor = self.context.actor
        if actor.kind is not ActorKind.SYSTEM and actor.user_id != user_id:
            raise SecondFactorNotYours(user_id=user_id)

    def _place(self, user_id: UserId) -> str:
        return place_of(self.tenant_id, user_id)

    @cached_property
    def _secrets(self) -> KeyRing:
        return self._keys.ring(PURPOSE)

    @cached_property
    def _challenges(self) -> KeyRing:
        return self._keys.ring(_OF_CHALLENGES)


def _hash(code: str) -> str:
    """Of a recovery code, however it was typed."""
    plain = "".join(character for character in code.upper() if character.isalnum())
    return token_hash(plain.encode("utf-8", "replace").decode())
