"""Signing in joins two lives: what the guest put into the cart, and did before, becomes the account's."""

from typing import Self

from typing_extensions import override

from storeroom.analytics import Events, note
from storeroom.carts import Carts
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, transactional
from storeroom.identity import InvalidCredentials, Proof, Sessions, SignedIn, TokenKeys


class SignIn(Service):
    """The ways to sign in."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        super().__init__(context)
        self._keys = keys

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    async def with_password(
        self, *, email: str, password: str, guest_token: str | None = None, device: str | None = None
    ) -> SignedIn:
        """Begin a session of an account; the guest's session becomes it, and their carts become one.

        What the guest did in the last days (`analytics.LINKED_WITHIN`) is the account's from then on.

        All or nothing: a guest whose cart cannot be merged is still a guest. Of two sign-ins with one guest's token at
        once, the first takes the guest's session and cart along, the second gets a session of its own.

        Raises:
            InvalidCredentials, AccountBlocked, PasswordsBusy, SigningSecretMissing: as `Sessions.sign_in`.
        """
        try:
            proof = await Sessions(self.context, self._keys).prove(email=email, password=password)
        except InvalidCredentials:
            await self._note_failure(guest_token)
            raise
        return await self._join(proof, guest_token, device)

    @transactional
    async def _join(self, proof: Proof, guest_token: str | None, device: str | None) -> SignedIn:
        signed_in = await Sessions(self.context, self._keys).start(proof=proof, guest_token=guest_token, device=device)
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
