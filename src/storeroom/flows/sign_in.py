"""Signing in joins two lives: what the guest put into the cart, and did before, becomes the account's."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeAlias

import msgspec
from typing_extensions import override

from storeroom.analytics import Events, note
from storeroom.carts import Carts
from storeroom.database.executor import Executor
from storeroom.database.service import Actor, ActorKind, Context, Service, transactional
from storeroom.identity import (
    AccountBlocked,
    Attribution,
    AuthProvider,
    InvalidCredentials,
    Proof,
    ProviderProofs,
    Sessions,
    SignedIn,
    TokenKeys,
)
from storeroom.verification import Enrolment, SecondFactorRefused, SecondFactors

Later: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]


class SignIn(Service):
    """The ways to sign in."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        super().__init__(context)
        self._keys = keys

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    async def with_password(
        self,
        *,
        email: str,
        password: str,
        guest_token: str | None = None,
        device: str | None = None,
        later: Later | None = None,
    ) -> SignedIn:
        """Begin a session of an account; the guest's session becomes it, and their carts become one.

        What the guest did in the last days (`analytics.LINKED_WITHIN`) is the account's from then on.

        All or nothing: a guest whose cart cannot be merged is still a guest. Of two sign-ins with one guest's token at
        once, the first takes the guest's session and cart along, the second gets a session of its own.

        Args:
            email: however it is written.
            password: the account's.
            guest_token: of the guest who signs in.
            device: what the client calls itself.
            later: takes what is to be done once the answer is out: that a password was wrong is told for accounts of
                staff, and its time must not say whose address is one. None: done at once.

        Raises:
            InvalidCredentials, AccountBlocked, PasswordsBusy, SigningSecretMissing: as `Sessions.sign_in`.
            SecondFactorRequired: the password was right; go on with its challenge. The guest is still a guest.
        """
        sessions = Sessions(self.context, self._keys)
        try:
            proof = await sessions.prove(email=email, password=password)
        except InvalidCredentials as error:
            await self._note_failure(guest_token)
            tell = partial(sessions.tell_refusal, error, email=email, proven=False)
            await tell() if later is None else later(tell)
            raise
        except AccountBlocked as error:
            await sessions.tell_refusal(error, email=email, proven=True)
            raise
        return await self._join(proof, guest_token, device)

    async def with_second_factor(
        self, *, challenge: str, code: str, guest_token: str | None = None, device: str | None = None
    ) -> SignedIn:
        """Go on where the first step ended with SecondFactorRequired.

        Args:
            challenge: of that error.
            code: of the authenticator app, or a recovery code; each works once.
            guest_token: as for the first step.
            device: as for the first step.

        Raises:
            ChallengeRefused: it is none of ours, or its time is over.
            SecondFactorRefused: not a code, or one too many.
            InvalidCredentials, AccountBlocked: password or account were changed in between.
        """
        await self.context.settings()
        proof = SecondFactors(self.context, self._keys).proof_of(challenge)
        async with self._refusals_told(proof):
            signed_in = await self._passed(proof, code, guest_token, device)
            if signed_in is None:
                raise SecondFactorRefused
            return signed_in

    async def enrol(self, *, challenge: str) -> Enrolment:
        """Set up the second factor that the shop requires of an account which has none yet.

        Raises:
            ChallengeRefused: as above.
            SecondFactorActive: it has one, so the challenge asks for a code.
            InvalidCredentials, AccountBlocked: password or account were changed in between.
        """
        await self.context.settings()
        proof = SecondFactors(self.context, self._keys).proof_of(challenge)
        async with self._refusals_told(proof):
            return await self._offered(proof)

    async def with_new_second_factor(
        self, *, challenge: str, code: str, guest_token: str | None = None, device: str | None = None
    ) -> tuple[SignedIn, Sequence[str]]:
        """Confirm what `enrol` has set up, and go on. Also returns the recovery codes, shown this once.

        All or nothing: whoever could not be signed in has no second factor that they did not see the codes of.

        Raises:
            as `with_second_factor`.
        """
        await self.context.settings()
        proof = SecondFactors(self.context, self._keys).proof_of(challenge)
        async with self._refusals_told(proof):
            confirmed = await self._confirmed(proof, code, guest_token, device)
            if confirmed is None:
                raise SecondFactorRefused
            return confirmed

    @asynccontextmanager
    async def _refusals_told(self, proof: Proof) -> AsyncIterator[None]:
        """Whoever said the password of staff and goes no further leaves an entry in the audit trail."""
        try:
            yield
        except (SecondFactorRefused, InvalidCredentials, AccountBlocked) as error:
            await Sessions(self.context, self._keys).tell_refusal(error, user_id=proof.user_id, proven=True)
            raise

    # A challenge lives for minutes, in which the owner may have changed a password that somebody else had said. So each
    # step holds the proof before it does anything. A wrong code is answered, not raised: its try is to be counted.

    @transactional
    async def _offered(self, proof: Proof) -> Enrolment:
        await Sessions(self.context, self._keys).hold(proof=proof)
        return await self._factors_of(proof).enrol(user_id=proof.user_id)

    @transactional
    async def _passed(self, proof: Proof, code: str, guest_token: str | None, device: str | None) -> SignedIn | None:
        await Sessions(self.context, self._keys).hold(proof=proof)
        if not await SecondFactors(self.context, self._keys).passes(user_id=proof.user_id, code=code):
            return None
        return await self._join(proof, guest_token, device, passed=True)

    @transactional
    async def _confirmed(
        self, proof: Proof, code: str, guest_token: str | None, device: str | None
    ) -> tuple[SignedIn, Sequence[str]] | None:
        await Sessions(self.context, self._keys).hold(proof=proof)
        codes = await self._factors_of(proof).confirms(user_id=proof.user_id, code=code)
        if codes is None:
            return None
        return await self._join(proof, guest_token, device, passed=True), codes

    def _factors_of(self, proof: Proof) -> SecondFactors:
        """In the name of whoever has just said the password."""
        actor = Actor(kind=ActorKind.ADMIN, user_id=proof.user_id)
        return SecondFactors(msgspec.structs.replace(self.context, actor=actor), self._keys)

    async def with_provider(
        self,
        *,
        provider: AuthProvider,
        id_token: str,
        nonce: str,
        attribution: Attribution | None = None,
        guest_token: str | None = None,
        device: str | None = None,
    ) -> SignedIn:
        """The same for whom Google or Apple vouches; a person whom the shop does not know gets an account.

        Raises:
            ProviderNotOffered, IdTokenRefused, ProviderUnavailable, LinkRefused, AccountBlocked: as
                `ProviderProofs.prove`.
        """
        proof = await ProviderProofs(self.context).prove(
            provider=provider, id_token=id_token, nonce=nonce, attribution=attribution
        )
        return await self._join(proof, guest_token, device)

    @transactional
    async def _join(
        self, proof: Proof, guest_token: str | None, device: str | None, *, passed: bool = False
    ) -> SignedIn:
        """Every way to sign in ends here, so that none goes past the second factor unless it was passed."""
        sessions = Sessions(self.context, self._keys)
        held = await sessions.hold(proof=proof)
        if not passed:
            await SecondFactors(self.context, self._keys).ask(proof=proof, held=held)
        signed_in = await sessions.start(proof=proof, held=held, guest_token=guest_token, device=device)
        await sessions.tell_sign_in(signed_in, second_factor=passed)
        if signed_in.was_guest:
            await Carts(self.context).merge(user_id=signed_in.user.id, session_id=signed_in.session_id)
            # After the merge, which has waited for whoever was at the guest's cart: what they noted is committed.
            await Events(self.context).link(session_id=signed_in.session_id)
        await note(
            self.db,
            self.context,
            event_name="user.login.success",
            user_id=signed_in.user.id,
            session_id=signed_in.session_id,
        )
        return signed_in

    async def _note_failure(self, guest_token: str | None) -> None:
        """Whose visit it was, and not whose account was meant: that nobody has proven."""
        guest = await Sessions(self.context, self._keys).visitor(guest_token) if guest_token else None
        if guest is not None:
            await note(self.db, self.context, event_name="user.login.failed", session_id=guest.session_id)
